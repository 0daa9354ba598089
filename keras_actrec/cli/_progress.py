"""Progress of long work on the terminal."""

from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_WORDS = {
    "videos": "reading videos",
    "features": "extracting features",
    "frames": "decoding frames",
    "epochs": "training",
    "batches": "scoring",
}


@contextmanager
def progress_bars():
    """Yield `progress(stage, done, total, text)`, which draws a bar a stage, on stderr.

    Where stderr is not a terminal there are no bars; every quarter of a stage's way becomes a line instead.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
        console=console,
    )
    tasks = {}

    def progress(stage, done, total, text=""):
        if (stage, total) not in tasks:
            tasks[stage, total] = bars.add_task(_label(stage), total=total, text=text)
        bars.update(tasks[stage, total], completed=done, text=text)

    with bars:
        yield progress


def _lines(console):
    shown = {}

    def progress(stage, done, total, text=""):
        quarter = 4 * done // max(total, 1)
        if shown.get((stage, total)) != quarter:
            shown[stage, total] = quarter
            console.print(f"{_label(stage)} {done}/{total}  {text}".rstrip(), highlight=False)

    return progress


def _label(stage):
    """`hman: epochs` reads `hman: training`."""
    model, colon, stage = stage.rpartition(": ")
    return model + colon + _WORDS.get(stage, stage)
