"""`keras-actrec demo`: made clips, two models, one page."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.cli._terminal import say


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for videos, runs and the page; an earlier demo is replaced.")
    ] = Path("runs/demo"),
) -> None:
    """Train HM-AN and the frame average on clips whose class is the order of their frames."""
    from keras_actrec import insight
    from keras_actrec.cli._progress import progress_bars

    with progress_bars() as progress:
        page, evaluations = insight.demo(out, progress=progress)
    for evaluation in evaluations:
        pairs = "  ".join(f"{name} {value}" for name, value in evaluation.extra.items())
        say(f"{evaluation.name:<12} top-1 {evaluation.top1:.3f}  {pairs}")
    say(f"wrote {page}")
