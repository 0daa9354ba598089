"""A model as a file for another runtime, run there before it is handed over."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec import _backend
from keras_actrec._files import write_json
from keras_actrec._formats import FORMATS, MOST_DIFFERENT, Format, check_installed, checked_format
from keras_actrec._locks import make_folder
from keras_actrec._types import PathLike
from keras_actrec.deploy import _runtimes
from keras_actrec.deploy._networks import OneStep, WholeClip
from keras_actrec.deploy._preprocessing import preprocessing
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer


def export(
    recognizer: Recognizer,
    out: PathLike,
    format: str,
    *,
    frames: int | None = None,
    stream: bool = False,
    quantize: str | None = None,
) -> dict[str, Any]:
    """Write a model for another runtime, run it there, and say how much its answers differ.

    The file takes what the model takes: clips `(B, T, H, W, 3)` of RGB values from 0 to 255, or sequences
    `(B, T, D)`, as float32, and a mask `(B, T)` where the model has one. It gives `scores`, probabilities
    `(B, C)`. B is free but in LiteRT; T is given, but in a SavedModel it is free where the model takes any.

    With `stream` it takes one step of one stream, `(1, 1, ...)`, and what a causal model remembers of those
    before, and gives `scores (1, 1, C)`, the answer to all steps so far, `steps (1, 1, C)`, that to this step
    alone, and what is to be remembered.

    `OUT.json` beside the file says what a program without this library needs: names and shapes of inputs and
    outputs, class names, how files are sampled and sized, which output of a stream goes back into which input
    and what that is at first, and the largest difference from this model, with the largest range over which
    a probability of the model moved meanwhile: where that is small, the difference says little.

    Args:
        recognizer: the model, as `keras_actrec.load` returns it.
        out: the file to write, or the folder of a SavedModel.
        format: one of `FORMATS`.
        frames: T, for a model that takes any number; by default as many as it looks at.
        stream: whether to write one step of a causal model.
        quantize: `"int8"` or `"float16"` for a smaller file, whose `OUT.json` also has the share of answers
            with the same best class.

    Returns:
        What `OUT.json` says.

    Raises:
        UserError: for an unknown format or suffix, a backend or a package that cannot write it, `frames` that
            the model does not take, a stream of a model that needs the whole clip, numbers that the format
            does not have, a folder in the place of the file that is not empty, weights of another file in the
            place of those of OpenVINO, which lie beside it in .bin, or a file whose probabilities
            differ by more than 1e-4 (float16: 0.01, int8: 0.1), which is not kept.
    """
    kind = checked_format(format, quantize)
    out = Path(out)
    if out.suffix != kind.suffix:
        raise UserError(f"`out` must end in {kind.suffix or 'no suffix'} for {format}. Received: out={out}")
    if (kind.via or format) not in _backend.EXPORTS:
        raise UserError(f"{format} is written by {kind.backend}: set KERAS_BACKEND={kind.backend} first")
    _check_place(out, kind)
    check_installed(format)
    network = _network(recognizer, kind, frames, stream)
    make_folder(out.parent)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        written = Path(folder) / out.name
        try:
            _write(network, format, written, quantize)
            found = _compare(network, format, written, many=quantize is not None)
        except (OSError, MemoryError):  # such as a full disk, which another format does not help
            raise
        except Exception as error:  # of the converters and runtimes, which raise whatever they meet first
            raise _refused(network, format, quantize, error) from error
        if not found["largest_difference"] <= MOST_DIFFERENT[quantize]:  # nor a number
            raise _too_different(network, format, quantize, found["largest_difference"])
        about = _about(recognizer, network, format, quantize) | found
        write_json(_json(written), about)
        _move(Path(folder), out)
    return about


def _check_place(out: Path, kind: Format) -> None:
    """Refuse a place where something else would be lost, or where not all files get in place."""
    if out.is_dir() and any(out.iterdir()):  # nothing is removed for it, not even an earlier export
        raise UserError(f"{out} is a folder with something in it: remove it, or choose another --out")
    beside = [out.with_suffix(suffix) for suffix in kind.beside]
    for path in (_json(out), *beside):
        if path.is_dir():
            raise UserError(f"{path} is a folder, and {out} comes with a file there: choose another --out")
    for path in beside:
        if path.exists() and not out.exists():  # with it, it is an earlier export
            raise UserError(f"{path} is there, and {out} comes with such a file: choose another --out")


def _network(recognizer: Recognizer, kind: Format, frames: int | None, stream: bool) -> WholeClip | OneStep:
    if stream and frames is not None:
        raise UserError("`frames` is of whole clips, and a stream has any number: leave it out")
    if stream:
        return OneStep(recognizer)
    return WholeClip(recognizer, frames, any_batch=kind.any_batch, any_length=kind.any_length)


def _write(network: WholeClip | OneStep, format: str, path: Path, quantize: str | None) -> None:
    via = FORMATS[format].via
    write, _ = _backend.EXPORTS[via or format]
    first = path.with_suffix(FORMATS[via].suffix) if via else path
    if format == "litert":  # whose converter does all at once
        write(network.model, path, network.inputs, quantize)
    else:
        write(network.model, first, network.inputs)
    if format == "onnx" and quantize:
        _runtimes.to_int8(path)
    if format == "openvino":
        _runtimes.to_openvino(first, path, quantize)
        first.unlink()


def _compare(network: WholeClip | OneStep, format: str, path: Path, *, many: bool) -> dict[str, Any]:
    """What was compared, the largest difference, and the share of answers with the same best class."""
    own = _backend.EXPORTS.get(format, (None, None))[1]
    run = own(path) if own else _runtimes.opened(format, path)
    largest, same, answers = 0.0, [], []
    for expected, found in network.compared(run, many):
        if expected.shape != found.shape:
            raise ValueError(f"its answer has the shape {found.shape} and not {expected.shape}")
        difference = np.abs(expected - found).max()
        largest = float("nan") if np.isnan(difference) else max(largest, float(difference))
        same += np.ravel(expected.argmax(-1) == found.argmax(-1)).tolist()
        answers += [*expected.reshape(-1, expected.shape[-1])]
    return {
        "compared": f"{len(answers)} answers to made-up inputs",
        "largest_range": float(np.ptp(answers, axis=0).max()),
        "largest_difference": largest,
        "same_answers": sum(same) / len(same),
    }


def _refused(network: WholeClip | OneStep, format: str, quantize: str | None, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:300]
    what = f"{network.model.name} cannot be written as {format}{f' in {quantize}' if quantize else ''}"
    return UserError(f"{what} ({type(error).__name__}: {reason}): {_instead(format, quantize)}")


def _too_different(
    network: WholeClip | OneStep, format: str, quantize: str | None, difference: float
) -> UserError:
    return UserError(
        f"{format}{f' in {quantize}' if quantize else ''}: its answers differ by {difference:.1e}, more than "
        f"{MOST_DIFFERENT[quantize]:g}, from those of {network.model.name}: {_instead(format, quantize)}"
    )


def _instead(format: str, quantize: str | None) -> str:
    """What to do where a format fails; float16 is finer than int8."""
    if quantize is None:
        return f"choose another format, one of {', '.join(name for name in FORMATS if name != format)}"
    finer = quantize == "int8" and "float16" in FORMATS[format].quantized
    return "leave `quantize` out" + (", or take float16" if finer else "")


def _about(
    recognizer: Recognizer, network: WholeClip | OneStep, format: str, quantize: str | None
) -> dict[str, Any]:
    kind, clips = FORMATS[format], recognizer.spec.input_name == "clip"
    return {
        "format": format,
        "model": recognizer.model.name,
        **network.about(),
        "numbers": quantize or "float32",
        "class_names": list(recognizer.class_names),
        "preprocessing": preprocessing(recognizer.preprocessor, network.steps),
        "every": recognizer.preprocessor.every,  # frames from a step of a stream to its next
        **({"normalization": "inside of the model: pixels are RGB from 0 to 255"} if clips else {}),
        "versions": {name: version(name) for name in ("keras_actrec", "keras", kind.backend, *kind.needs)},
    }


def _json(out: Path) -> Path:
    return out.with_name(out.name + ".json")


def _move(folder: Path, out: Path) -> None:
    """Put what was written in its place, last what is said of it."""
    if out.is_dir():
        out.rmdir()  # an empty one, which a file could not replace
    for part in sorted(folder.iterdir(), key=lambda part: part.name == _json(out).name):
        part.replace(out.with_name(part.name))  # OpenVINO writes two files
