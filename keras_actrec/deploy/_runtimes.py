"""The runtimes that exported files are run in, where they are no backend of Keras."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_actrec.deploy._networks import Run


def to_int8(path: Path) -> None:
    """Make an ONNX file smaller, by the tool that comes with ONNX Runtime.

    Kernels have eight bits, unsigned, with which convolutions take half of the time of signed ones; what they
    are multiplied with is scaled while it runs, by its own range.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(path, path, skip_symbolic_shape=True)
    quantize_dynamic(path, path, ["MatMul", "Conv"], weight_type=QuantType.QUInt8)


def to_openvino(source: Path, target: Path, numbers: str | None) -> None:
    """Convert an ONNX file; `target` ends in .xml, the weights beside it in .bin."""
    import openvino

    openvino.save_model(openvino.convert_model(source), target, compress_to_fp16=numbers == "float16")


def opened(format: str, path: Path) -> Run:
    """A function that runs a file."""
    return {"onnx": _onnx, "openvino": _openvino, "litert": _litert}[format](path)


def _onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [part.name for part in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def _openvino(path: Path) -> Run:
    import openvino

    # By default it computes in half precision where a processor has it.
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = {name for part in compiled.outputs for name in part.names}  # several of one that is two outputs

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        answer = compiled(inputs)
        return {name: answer[name].copy() for name in names}  # its memory is used again

    return run


def _litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))  # which owns the memory that the answer lies in
    serve = interpreter.get_signature_runner()
    return lambda inputs: {name: answer.copy() for name, answer in serve(**inputs).items()}
