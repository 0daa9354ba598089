"""Progress of long work on the terminal."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from keras_actrec._text import printable
from keras_actrec._types import StageProgress

Clock: TypeAlias = Callable[[], float]

# What a stage is called. The text of these is the name of the part of the data that they work on.
_OF_A_PART = {
    "videos": "reading videos",
    "features": "extracting features",
    "frames": "decoding frames",
    "scoring": "scoring",
}
_WORDS = {**_OF_A_PART, "epochs": "training"}
_POINTS = 1000  # of a stage, so that many steps stay cheap
_SILENT = 60.0  # seconds after which something is said where there are no bars
_SLOW = 5.0  # times the typical step, a step of the first epoch or item is one that compiles something


class Stage:
    """A stage of the work: what is done of it, since when, and how long the rest will take.

    The rest will be as fast as the later half of what is done was, so that a slow beginning is forgotten.
    The very first step, and in the first epoch a tenth of the steps if much slower than the others, do not
    count: there programs are compiled.

    Args:
        name: as `StageProgress` has it.
        total: what there is to do.
        began: when the work on it began, in seconds of some clock.
    """

    def __init__(self, name: str, total: float, began: float) -> None:
        self.name = name
        self.total = total
        self.began = began
        self.ended: float | None = None
        self.done = 0.0
        self._points: list[tuple[float, float]] = []

    @property
    def label(self) -> str:
        """In words; `hman: epochs` reads `hman: training`."""
        model, colon, name = self.name.rpartition(": ")
        return printable(model + colon + _WORDS.get(name, name))

    @property
    def is_of_a_part(self) -> bool:
        """Whether the text is the name of a part of the data, such as `train`."""
        return self.name.rpartition(": ")[2] in _OF_A_PART

    @property
    def count(self) -> str:
        """What is done of what there is to do, in whole ones."""
        return f"{int(self.done)}/{self.total}"

    def report(self, done: float, now: float) -> None:
        """Take what is done by now."""
        self.done = done
        if done >= self.total:
            self.ended = now
        if not self._points or done - self._points[-1][0] >= self.total / _POINTS:
            self._points.append((done, now))

    def left(self, now: float) -> float | None:
        """Seconds that are left, None while that cannot be known: the first step says little."""
        if len(self._points) < 3 or self.ended is not None:
            return None
        (first, _), (done, then) = self._points[0], self._points[-1]
        # Whole ones, as validation may be faster than training.
        since = first if done - first <= 1 else done - max(1, int((done - first) / 2))
        steps = [
            (end - start, seconds_end - seconds_start, end <= first + 1)
            for (start, seconds_start), (end, seconds_end) in itertools.pairwise(self._points)
            if end > since
        ]
        rate = _seconds_each(steps)
        waited = min(now - then, rate * steps[-1][0])  # what comes after a step that takes long stays to do
        return rate * (self.total - done) - waited

    def times(self, now: float) -> str:
        """How long it has taken, and how long the rest will take."""
        taken = _in_words((now if self.ended is None else self.ended) - self.began)
        left = self.left(now)
        return taken if left is None else f"{taken}, {_in_words(left)} left"


def _seconds_each(steps: list[tuple[float, float, bool]]) -> float:
    """Seconds for one, from steps of `(done, seconds, whether something may have been compiled)`."""
    typical = statistics.median(seconds / done for done, seconds, _ in steps)
    slow = [step for step in steps if step[2] and step[1] / step[0] > _SLOW * typical]
    if len(slow) <= max(2, len(steps) // 10):
        steps = [step for step in steps if step not in slow]
    return sum(step[1] for step in steps) / sum(step[0] for step in steps)


def _in_words(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _Stages:
    """The stages of some work. One that begins again, or has another total, is a new one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found: dict[tuple[str, float], Stage] = {}
        self._before = clock()

    def report(self, name: str, done: float, total: float) -> Stage:
        """The stage, which has come so far now."""
        now, stage = self._clock(), self._found.get((name, total))
        if stage is None or done < stage.done:
            stage = self._found[name, total] = Stage(name, total, self._before)
        stage.report(done, now)
        self._before = now
        return stage


@contextmanager
def progress_bars(console: Console | None = None, clock: Clock = time.monotonic) -> Iterator[StageProgress]:
    """Yield `progress(stage, done, total, text)`, which draws a bar for each stage.

    Where the console is not a terminal there are no bars; a line is written at every quarter of a stage, and
    whenever none was for a minute.

    Args:
        console: where to; by default stderr.
        clock: gives seconds.
    """
    console, stages = console or Console(stderr=True), _Stages(clock)
    if not console.is_interactive:
        yield _lines(console, clock, stages)
        return
    bars = _Bars(console, clock)
    tasks: dict[Stage, TaskID] = {}

    def progress(name: str, done: float, total: float, text: str = "") -> None:
        stage, text = stages.report(name, done, total), printable(text)
        if stage not in tasks:
            part = f", {text}" if stage.is_of_a_part and text else ""
            tasks[stage] = bars.add_task(stage.label + part, total=total, stage=stage)
        bars.text = "" if stage.is_of_a_part else text
        bars.update(tasks[stage], completed=done)

    with bars:
        yield progress


class _Bars(Progress):
    """A line for each stage, and below them what is said of the latest one.

    When the terminal is narrow the bar gives way, then the label; counts and times never do.
    """

    text = ""

    def __init__(self, console: Console, clock: Clock) -> None:
        widest = max(console.width - 40, 10)  # of a label
        label = Column(no_wrap=True, overflow="ellipsis", max_width=widest)
        super().__init__(
            TextColumn("{task.description}", markup=False, table_column=label),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            TextColumn("{task.fields[stage].count}", justify="right", table_column=Column(no_wrap=True)),
            _Times(clock),
            console=console,
            expand=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.text:
            yield Padding(Text(self.text), (0, 0, 0, 2))


class _Times(ProgressColumn):
    def __init__(self, clock: Clock) -> None:
        super().__init__(Column(no_wrap=True))
        self._clock = clock

    def render(self, task: Task) -> Text:
        return Text(task.fields["stage"].times(self._clock()), style="progress.remaining")


def _lines(console: Console, clock: Clock, stages: _Stages) -> StageProgress:
    quarters: dict[Stage, int] = {}
    written: dict[Stage, float] = {}

    def progress(name: str, done: float, total: float, text: str = "") -> None:
        stage, text = stages.report(name, done, total), printable(text)
        quarter, now = int(4 * done / max(total, 1)), clock()
        if quarters.get(stage) != quarter or now - written[stage] >= _SILENT:
            quarters[stage], written[stage] = quarter, now
            parts = f"{stage.label} {stage.count}", text, stage.times(now)
            console.print("  ".join(filter(None, parts)), markup=False, highlight=False, soft_wrap=True)

    return progress
