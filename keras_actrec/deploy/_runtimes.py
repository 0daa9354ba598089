"""The runtimes that exported files are run in, where they are no backend of Keras."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_actrec.errors import UserError


def check_installed(format: str, packages: Sequence[str]) -> None:
    """Refuse a format whose packages are missing, before a model is traced for it.

    Raises:
        UserError: which says what to install.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{format} needs {', '.join(missing)}: pip install 'keras_actrec[export]'")


def to_openvino(source: Path, target: Path) -> None:
    """Convert an ONNX file; `target` ends in .xml, the weights beside it in .bin."""
    import openvino

    openvino.save_model(openvino.convert_model(source), target, compress_to_fp16=False)


def run(format: str, path: Path, names: Sequence[str], inputs: Sequence[np.ndarray]) -> np.ndarray:
    """The answer of a file to inputs in the order of the names."""
    return {"onnx": _run_onnx, "openvino": _run_openvino, "litert": _run_litert}[format](path, names, inputs)


def _run_onnx(path: Path, names: Sequence[str], inputs: Sequence[np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["scores"], dict(zip(names, inputs, strict=True)))[0]


def _run_openvino(path: Path, names: Sequence[str], inputs: Sequence[np.ndarray]) -> np.ndarray:
    import openvino

    # By default it computes in half precision where a processor has it.
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(dict(zip(names, inputs, strict=True)))["scores"]


def _run_litert(path: Path, names: Sequence[str], inputs: Sequence[np.ndarray]) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))  # which owns the memory that the answer lies in
    serve = interpreter.get_signature_runner()
    (answer,) = serve(**dict(zip(names, inputs, strict=True))).values()
    return answer.copy()
