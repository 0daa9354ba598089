"""Options that several commands have."""

from typing import Annotated

import typer

OnError = Annotated[
    str | None, typer.Option(show_default="raise", help="raise or skip, for videos that cannot be read.")
]
MaxSkipped = Annotated[
    float | None, typer.Option(show_default="0.1", help="Largest share of the videos to skip.")
]


def skipping(on_error: str | None, max_skipped: float | None) -> list[str]:
    """The options as changes of a recipe."""
    options = {"on_error": on_error, "max_skipped": max_skipped}
    return [f"data.{name}={value}" for name, value in options.items() if value is not None]
