"""The kinds of files that a model is exported to."""

from dataclasses import dataclass
from importlib.util import find_spec

from keras_actrec.errors import UserError

# By how much a probability may differ from the model's, for each kind of numbers in the file.
MOST_DIFFERENT = {None: 1e-4, "float16": 1e-2, "int8": 1e-1}


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        backend: of Keras that writes it.
        suffix: of the file; empty for a folder.
        needs: packages that write and run it.
        any_batch: whether the number of clips is free; otherwise it is one.
        any_length: whether the number of steps is free.
        quantized: which smaller numbers it can hold.
        via: the format that is written first.
        beside: suffixes of further files.
    """

    backend: str
    suffix: str
    needs: tuple[str, ...]
    any_batch: bool = True
    any_length: bool = False
    quantized: tuple[str, ...] = ()
    via: str | None = None
    beside: tuple[str, ...] = ()


FORMATS = {
    # In float16, ONNX Runtime 1.32 ends the process when it opens what its own converter makes of HM-AN.
    "onnx": Format("torch", ".onnx", ("onnx", "onnxscript", "onnxruntime"), quantized=("int8",)),
    "openvino": Format(
        "torch",
        ".xml",
        ("onnx", "onnxscript", "openvino"),
        quantized=("float16",),
        via="onnx",
        beside=(".bin",),
    ),
    "torch": Format("torch", ".pt2", ()),
    "saved_model": Format("tensorflow", "", (), any_length=True),
    "litert": Format(
        "tensorflow", ".tflite", ("ai_edge_litert",), any_batch=False, quantized=("int8", "float16")
    ),
}


def checked_format(name: str, quantize: str | None) -> Format:
    """The format of a name.

    Raises:
        UserError: for a name that is none, and for numbers that it cannot hold, with those that can.
    """
    if name not in FORMATS:
        raise UserError(f"`format` must be one of {', '.join(FORMATS)}. Received: format={name!r}")
    kinds = [kind for kind in MOST_DIFFERENT if kind]
    if quantize is not None and quantize not in kinds:
        raise UserError(f"`quantize` must be one of {', '.join(kinds)}. Received: quantize={quantize!r}")
    if quantize and quantize not in FORMATS[name].quantized:
        able = [name for name, kind in FORMATS.items() if quantize in kind.quantized]
        raise UserError(f"{name} has no {quantize}: leave `quantize` out, or choose {' or '.join(able)}")
    return FORMATS[name]


def check_installed(name: str) -> None:
    """Refuse a format whose backend or packages are missing, before a model is read or traced for it.

    Raises:
        UserError: which says what to install.
    """
    kind = FORMATS[name]
    missing = [package for package in (kind.backend, *kind.needs) if find_spec(package) is None]
    if missing:
        extras = [kind.backend] if kind.backend in missing else []
        extras += ["export"] if missing != extras else []
        raise UserError(f"{name} needs {', '.join(missing)}: pip install 'keras_actrec[{','.join(extras)}]'")
