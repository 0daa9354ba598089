"""Progress of long work on the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
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
def progress_bars() -> Iterator[Callable[..., None]]:
    """Yield `progress(stage, done, total, text)`, which draws a bar for each stage, on stderr.

    Where stderr is not a terminal there are no bars; a line is written at every quarter of a stage instead.
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
    tasks: dict[tuple[str, int], TaskID] = {}

    def progress(stage: str, done: int, total: int, text: str = "") -> None:
        if (stage, total) not in tasks:
            tasks[stage, total] = bars.add_task(_label(stage), total=total, text=text)
        bars.update(tasks[stage, total], completed=done, text=text)

    with bars:
        yield progress


def _lines(console: Console) -> Callable[..., None]:
    shown: dict[tuple[str, int], int] = {}

    def progress(stage: str, done: int, total: int, text: str = "") -> None:
        quarter = 4 * done // max(total, 1)
        if shown.get((stage, total)) != quarter:
            shown[stage, total] = quarter
            console.print(f"{_label(stage)} {done}/{total}  {text}".rstrip(), highlight=False)

    return progress


def _label(stage: str) -> str:
    """`hman: epochs` reads `hman: training`."""
    model, colon, stage = stage.rpartition(": ")
    return model + colon + _WORDS.get(stage, stage)
