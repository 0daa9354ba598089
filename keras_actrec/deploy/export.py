"""A model as a file for another runtime, run there before it is handed over."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_actrec import _backend
from keras_actrec._files import write_json
from keras_actrec._locks import make_folder
from keras_actrec._numbers import whole
from keras_actrec._types import PathLike
from keras_actrec.deploy import _runtimes
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

MOST_DIFFERENT = 1e-4  # of a probability


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        backend: of Keras that writes it.
        suffix: of the file; empty for a folder.
        needs: packages that write and run it.
        any_batch: whether the number of clips is free; otherwise it is one.
        via: the format that is written first.
    """

    backend: str
    suffix: str
    needs: tuple[str, ...]
    any_batch: bool = True
    via: str | None = None


FORMATS = {
    "onnx": Format("torch", ".onnx", ("onnx", "onnxscript", "onnxruntime")),
    "openvino": Format("torch", ".xml", ("onnx", "onnxscript", "openvino"), via="onnx"),
    "torch": Format("torch", ".pt2", ()),
    "saved_model": Format("tensorflow", "", ()),
    "litert": Format("tensorflow", ".tflite", ("ai_edge_litert",), any_batch=False),
}


def format_named(name: str) -> Format:
    """The format of a name.

    Raises:
        UserError: for a name that is none.
    """
    if name not in FORMATS:
        raise UserError(f"`format` must be one of {', '.join(FORMATS)}. Received: format={name!r}")
    return FORMATS[name]


def export(
    recognizer: Recognizer, out: PathLike, format: str, *, frames: int | None = None
) -> dict[str, Any]:
    """Write a model for another runtime, run it there, and say how much its answers differ.

    The file takes what the model takes: clips `(B, T, H, W, 3)` of RGB values from 0 to 255, or sequences
    `(B, T, D)`, as float32, and a mask `(B, T)` where the model has one; T is fixed, B is free but in LiteRT.
    It gives probabilities `(B, C)`. `OUT.json` beside it says what a program without this library needs:
    names and shapes of the inputs, class names, how files are sampled and sized, and the largest difference
    from this model, over batches of 1 and 5.

    Args:
        recognizer: the model, as `keras_actrec.load` returns it.
        out: the file to write, or the folder of a SavedModel.
        format: one of `FORMATS`.
        frames: T, for a model that takes any number; by default as many as it looks at.

    Returns:
        What `OUT.json` says.

    Raises:
        UserError: for an unknown format or suffix, a backend or a package that cannot write it, `frames` that
            the model does not take, a folder in the place of the file that is not empty, or a file whose
            answers differ by more than 1e-4, which is not kept.
    """
    kind = format_named(format)
    out = Path(out)
    if out.suffix != kind.suffix:
        raise UserError(f"`out` must end in {kind.suffix or 'no suffix'} for {format}. Received: out={out}")
    if (kind.via or format) not in _backend.EXPORTS:
        raise UserError(f"{format} is written by {kind.backend}: set KERAS_BACKEND={kind.backend} first")
    if out.is_dir() and any(out.iterdir()):  # nothing is removed for it, not even an earlier export
        raise UserError(f"{out} is a folder with something in it: remove it, or choose another --out")
    _runtimes.check_installed(format, kind.needs)
    shapes = _shapes(recognizer, frames)
    make_folder(out.parent)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        written = Path(folder) / out.name
        _write(recognizer, format, written, _examples(recognizer, shapes, 2))
        difference = 0.0
        for batch in (1, 5) if kind.any_batch else (1, 1):
            inputs = _examples(recognizer, shapes, batch)
            difference = max(difference, _difference(recognizer, format, written, inputs))
        if not difference <= MOST_DIFFERENT:  # nor a number
            raise UserError(
                f"{format}: its answers differ by {difference:.1e}, more than {MOST_DIFFERENT:g}, from those "
                f"of {recognizer.model.name}: choose another format, one of {', '.join(FORMATS)}"
            )
        about = _about(recognizer, format, shapes, difference)
        _move(Path(folder), out)
        write_json(out.with_name(out.name + ".json"), about)
    return about


def _shapes(recognizer: Recognizer, frames: int | None) -> list[tuple[int, ...]]:
    """Shapes of the inputs, without the batch."""
    if frames is not None:
        frames = whole("frames", frames)
    shapes: list[tuple[int, ...]] = []
    for part in recognizer.model.inputs:
        steps, *sides = part.shape[1:]
        if frames is not None and steps not in (None, frames):
            raise UserError(f"{recognizer.model.name} takes {steps} frames: leave `frames` out")
        if None in sides:
            _, *sides = recognizer.preprocessor.shape(())
        shapes.append((steps or frames or recognizer.preprocessor.steps, *sides))
    return shapes


def _examples(recognizer: Recognizer, shapes: Sequence[tuple[int, ...]], batch: int) -> list[np.ndarray]:
    """Inputs to compare by: pixels of any value, or normal numbers; in a mask the last step is padding."""
    rng = np.random.default_rng(batch)
    inputs = []
    for part, shape in zip(recognizer.model.inputs, shapes, strict=True):
        if part.dtype == "bool":
            inputs.append(np.broadcast_to(np.arange(shape[0]) < max(1, shape[0] - 1), (batch, *shape)).copy())
        elif recognizer.spec.input_name == "clip":
            inputs.append(rng.integers(0, 256, (batch, *shape)).astype("float32"))
        else:
            inputs.append(rng.normal(size=(batch, *shape)).astype("float32"))
    return inputs


def _write(recognizer: Recognizer, format: str, path: Path, inputs: list[np.ndarray]) -> None:
    via = FORMATS[format].via
    write, _ = _backend.EXPORTS[via or format]
    first = path.with_suffix(FORMATS[via].suffix) if via else path
    try:
        write(recognizer.model, first, inputs)
        if via:
            _runtimes.to_openvino(first, path)
            first.unlink()
    except OSError:  # a disk that is full, which another format does not help
        raise
    except Exception as error:  # of the converters, which raise whatever they meet first
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{recognizer.model.name} cannot be written as {format} ({type(error).__name__}: {reason}): "
            f"choose another format, one of {', '.join(FORMATS)}"
        ) from error


def _difference(recognizer: Recognizer, format: str, path: Path, inputs: list[np.ndarray]) -> float:
    own = _backend.EXPORTS.get(format, (None, None))[1]
    names = [part.name for part in recognizer.model.inputs]
    answers = own(path, inputs) if own else _runtimes.run(format, path, names, inputs)
    expected = _backend.predictor(recognizer.model)(
        keras.tree.pack_sequence_as(recognizer.model.input, inputs)
    )
    if answers.shape != expected.shape:
        return math.inf
    return float(np.abs(answers - expected).max())


def _about(
    recognizer: Recognizer, format: str, shapes: Sequence[tuple[int, ...]], difference: float
) -> dict[str, Any]:
    kind = FORMATS[format]
    batch = None if kind.any_batch else 1
    return {
        "format": format,
        "model": recognizer.model.name,
        "inputs": [
            {
                "name": part.name,
                "shape": [batch, *shape],
                "dtype": "bool" if part.dtype == "bool" else "float32",
            }
            for part, shape in zip(recognizer.model.inputs, shapes, strict=True)
        ],
        "outputs": [{"name": "scores", "shape": [batch, len(recognizer.class_names)]}],
        "class_names": list(recognizer.class_names),
        "preprocessing": recognizer.preprocessor.to_json(),
        "normalization": "inside of the model: pixels are RGB from 0 to 255",
        "largest_difference": difference,
        "batches": [1, 5] if kind.any_batch else [1],
        "versions": {name: version(name) for name in ("keras_actrec", "keras", kind.backend, *kind.needs)},
    }


def _move(folder: Path, out: Path) -> None:
    """Put what was written in its place."""
    if out.is_dir():
        out.rmdir()  # an empty one, which a file could not replace
    for part in folder.iterdir():  # OpenVINO writes two files
        part.replace(out.with_name(part.name))
