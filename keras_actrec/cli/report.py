"""`keras-actrec report`: a page on one run or several."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.cli._terminal import say


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or folders that hold some.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    data: Annotated[
        Path | None, typer.Option(help="Where the data is now, if not where the runs were trained on it.")
    ] = None,
    clips: Annotated[
        int, typer.Option(min=0, help="How many clips play in the page, mistakes first; all are listed.")
    ] = 600,
    folder: Annotated[
        bool, typer.Option("--folder", help="Put the clips into a folder beside the page, for many of them.")
    ] = False,
) -> None:
    """Write a page on runs: curves, scores beside floors, mistakes that play, calibration.

    Each run is scored on its test part, or its validation part where it has no other. The scores stay in its
    directory, so that the next report is quick.
    """
    from keras_actrec import _backend, insight
    from keras_actrec.cli._progress import progress_bars

    _backend.keep_programs()
    with progress_bars() as progress:
        insight.report_runs(
            runs, out, data=data, most_clips=clips, folder=folder, tell=say, progress=progress
        )
    say(f"wrote {out}")
