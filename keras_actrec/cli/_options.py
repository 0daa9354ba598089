"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec._numbers import MAX_SKIPPED

Data = Annotated[Path, typer.Option(help="A folder with one folder a class, a table (.csv), or .tar files.")]
Dataset = Annotated[str | None, typer.Option(help="Name of the set, in its official layout.")]
Manifest = Annotated[str | None, typer.Option(help="Name of the table in the folder.")]
Audit = Annotated[Path | None, typer.Option(help="JSON file of `audit`: no video is read twice.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Hash files again that the cache knows by size and time.")
]
OnError = Annotated[
    str | None, typer.Option(show_default="raise", help="raise or skip, for videos that cannot be read.")
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Work on a Ray cluster: the host:port of its head; local starts one on this machine.",
    ),
]
MaxSkipped = Annotated[
    float | None, typer.Option(show_default=str(MAX_SKIPPED), help="Largest share of the videos to skip.")
]


def skipping(on_error: str | None, max_skipped: float | None) -> list[str]:
    """The options as changes of a recipe."""
    options = {"on_error": on_error, "max_skipped": max_skipped}
    return [f"data.{name}={value}" for name, value in options.items() if value is not None]
