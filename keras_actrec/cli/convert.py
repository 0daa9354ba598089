"""`keras-actrec convert`: from an official torch checkpoint to a model."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec._files import read_text
from keras_actrec.cli._terminal import say
from keras_actrec.errors import UserError


def convert(
    file: Annotated[Path, typer.Argument(help="A torch checkpoint of GSM, SA-GSM, TSM or TSN.")],
    to: Annotated[Path, typer.Option(help="The model.keras to write.")],
    frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 8,
    size: Annotated[
        int | None, typer.Option(help="Side of the frames in pixels; 229 for InceptionV3, else 224.")
    ] = None,
    classes: Annotated[Path | None, typer.Option(help="The classes' names, one a line.")] = None,
) -> None:
    """Convert a torch checkpoint of the official codes, without torch."""
    from keras_actrec import from_torch

    names = None if classes is None else _names(classes)
    recognizer, report = from_torch(file, frames=frames, size=size, class_names=names)
    recognizer.save(to)
    say(report)
    say(f"wrote {to}: {recognizer.model.name}, {len(recognizer.class_names)} classes")


def _names(file: Path) -> list[str]:
    try:
        return read_text(file).splitlines()
    except ValueError as error:
        raise UserError(f"{file} holds no names in UTF-8 ({error}): write them there, one a line") from error
