"""`keras-actrec export`: write a model for another runtime."""

import os
from pathlib import Path
from typing import Annotated

import typer

from keras_actrec._formats import check_installed, checked_format
from keras_actrec.cli._terminal import say


def export(
    model: Annotated[Path, typer.Argument(help="A model.keras file, or a name such as hman/synthetic.")],
    format: Annotated[str, typer.Option(help="onnx, openvino, torch, saved_model or litert.")],
    out: Annotated[
        Path,
        typer.Option(help="The file to write (openvino: .xml, with a .bin), or the folder of a SavedModel."),
    ],
    frames: Annotated[int | None, typer.Option(help="Steps, for a model that takes any number.")] = None,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="One step of a causal model, with its states as inputs and outputs."),
    ] = False,
    quantize: Annotated[
        str | None, typer.Option(help="A smaller file: int8 (onnx, litert) or float16 (openvino, litert).")
    ] = None,
) -> None:
    """Write a model for ONNX Runtime, OpenVINO, PyTorch, TensorFlow or LiteRT, and compare it there."""
    kind = checked_format(format, quantize)
    check_installed(format)
    os.environ["KERAS_BACKEND"] = kind.backend
    from keras_actrec import deploy, load

    say(f"writing {out}, and running it to compare: this can take minutes")
    about = deploy.export(load(model), out, format, frames=frames, stream=stream, quantize=quantize)
    same = f", and {about['same_answers']:.0%} name the same class" if quantize else ""
    say(f"wrote {out} and {out}.json: its answers differ by at most {about['largest_difference']:.0e}{same}")
    if about["largest_range"] < 0.01:
        say(f"this says little: in {about['compared']} no probability varies by 0.01; try it on your own")
