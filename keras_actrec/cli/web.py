"""`keras-actrec web`: a page to drop clips on."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.cli._terminal import say


def web(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL", help="Files model.keras, of videos, or names of trained models."),
    ],
    out: Annotated[
        Path, typer.Option(help="The CSV file of corrected labels; clips that are kept lie beside it.")
    ] = Path("corrections/labels.csv"),
    host: Annotated[
        str, typer.Option(help="The address to listen at; by default this machine alone gets there.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any that is free.")] = 8000,
    megabytes: Annotated[int, typer.Option(min=1, max=2000, help="Of a clip at most.")] = 64,
    frames: Annotated[int, typer.Option(min=1, max=65536, help="Of a clip at most.")] = 3000,
) -> None:
    """Serve a page on which somebody drops a clip, or takes one with the camera, and sees the answer and why.

    It has the five best classes, the frames with what the model looked at, and the time line, as `explain`.
    The right label goes into a CSV file for `train --data`. A clip is deleted once it is answered, unless a
    copy is asked for. Nothing leaves this machine.
    """
    from keras_actrec import _backend, load
    from keras_actrec.deploy.web import WebLimits, serve_page, web_page

    _backend.keep_programs()
    found = {}
    for path in models:
        recognizer = load(path)
        found[f"{recognizer.model.name} ({path})"] = recognizer
    limits = WebLimits(megabytes=megabytes, frames=frames)
    serve_page(web_page(found, out, limits=limits, host=host), host=host, port=port, tell=say)
