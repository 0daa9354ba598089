"""From answers in time to segments: smoothed, with hysteresis, and in files."""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec._files import growing_csv, replacing
from keras_actrec._text import printable
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError

SEGMENT_SUFFIXES = (".json", ".vtt", ".csv")


@dataclass(frozen=True)
class Segment:
    """A part of a stream that shows one class.

    Attributes:
        start: seconds.
        end: seconds.
        label: the class.
        score: mean of its smoothed probabilities.
    """

    start: float
    end: float
    label: str
    score: float

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.start:.2f} - {self.end:.2f} s  {self.score:.3f} {printable(self.label)}"


def check_ignored(ignore: Sequence[str], class_names: Sequence[str]) -> None:
    """Refuse to ignore a class that there is not.

    Raises:
        UserError: for such a class.
    """
    if unknown := [name for name in ignore if name not in class_names]:
        raise UserError(f"`ignore` names {unknown[0]}, and the model has {', '.join(class_names)}")


class Segmenter:
    """Segments from probabilities in time, which are smoothed first.

    `p_t = p_{t-1} + (1 - exp(-dt / smoothing)) (x_t - p_{t-1})`, `p_1 = x_1`. A segment of the most probable
    class begins where its p reaches `enter`. It ends where its p falls below `leave`, or another class is
    more probable and reaches `enter`.

    Args:
        class_names: of the probabilities.
        smoothing: time constant in seconds; 0 for none.
        enter: probability at which a segment begins.
        leave: probability below which it ends, at most `enter`.
        shortest: seconds below which a segment is left out.
        ignore: classes of which no segments are made, such as one for nothing in particular.

    Attributes:
        scores: the smoothed probabilities `(C,)`, None before the first ones.
        label: the class of the segment that is open, or None.

    Raises:
        UserError: for an argument out of range.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        smoothing: float = 0.5,
        enter: float = 0.5,
        leave: float = 0.3,
        shortest: float = 0.0,
        ignore: Sequence[str] = (),
    ) -> None:
        if not 0 < leave <= enter <= 1:
            raise UserError(
                f"`leave` must be above 0 and at most `enter`, and that at most 1. Received: {leave}, {enter}"
            )
        for name, value in (("smoothing", smoothing), ("shortest", shortest)):
            if not 0 <= value < math.inf:
                raise UserError(f"`{name}` must be seconds, 0 or more. Received: {name}={value}")
        check_ignored(ignore, class_names)
        self._names = tuple(class_names)
        self._smoothing, self._enter, self._leave, self._shortest = smoothing, enter, leave, shortest
        self._ignored = [name in ignore for name in self._names]
        self.scores: np.ndarray | None = None
        self._time = 0.0
        self._open: int | None = None
        self._start, self._sum, self._count = 0.0, 0.0, 0

    @property
    def label(self) -> str | None:  # noqa: D102  (see the class)
        return None if self._open is None else self._names[self._open]

    def add(self, seconds: float, scores: np.ndarray) -> Segment | None:
        """Take the probabilities `(C,)` at a time, and return the segment that ends there, or None."""
        scores = np.asarray(scores, "float64")
        if self.scores is None:
            self.scores = scores
        elif self._smoothing:
            share = -math.expm1(-max(seconds - self._time, 0) / self._smoothing)
            self.scores = self.scores + share * (scores - self.scores)
        else:
            self.scores = scores
        self._time = seconds
        best = int(np.argmax(self.scores))
        ended = None
        if self._open is not None:
            other = best != self._open and self.scores[best] >= self._enter
            if other or self.scores[self._open] < self._leave:
                ended = self._close(seconds)
        if self._open is None and self.scores[best] >= self._enter and not self._ignored[best]:
            self._open, self._start, self._sum, self._count = best, seconds, 0.0, 0
        if self._open is not None:
            self._sum += float(self.scores[self._open])
            self._count += 1
        return ended

    def finish(self, seconds: float) -> Segment | None:
        """End the stream, and return the segment that was open, or None."""
        return None if self._open is None else self._close(seconds)

    def _close(self, seconds: float) -> Segment | None:
        assert self._open is not None
        segment = Segment(self._start, seconds, self._names[self._open], self._sum / self._count)
        self._open = None
        return segment if segment.end - segment.start >= self._shortest else None


@contextmanager
def writing_segments(path: PathLike, *, of_files: bool = False) -> Iterator[Callable[..., object]]:
    """Yield a function that appends a segment to a file, which is there when the block ends without an error.

    Args:
        path: `.json`, a list of `{"start", "end", "label", "score"}`; `.vtt`, subtitles that a browser shows
            (WebVTT); or `.csv`, with these four columns. Times are in seconds.
        of_files: whether the function takes the file of the segment too, which `.json` and `.csv` have first,
            as `path`, relative to the folder of the table where it is given so: `data.read_manifest` reads
            such a CSV file.

    Raises:
        UserError: for another suffix.
        OSError: for a file that cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in SEGMENT_SUFFIXES:
        raise UserError(f"{path}: segments are written as {', '.join(SEGMENT_SUFFIXES)}; name such a file")
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    folder = path.absolute().parent

    def values(segment: Segment, file: PathLike = "") -> dict[str, Any]:
        of = {}
        if of_files:
            of = {"path": str(file) if Path(file).is_absolute() else os.path.relpath(file, folder)}
        start, end, score = round(segment.start, 3), round(segment.end, 3), round(segment.score, 6)
        return {**of, "start": start, "end": end, "label": segment.label, "score": score}

    with replacing(path) as part:
        if kind == ".csv":
            columns = ["start", "end", "label", "score"]
            with growing_csv(part, ["path", *columns] if of_files else columns) as row:
                yield lambda *segment: row(values(*segment))
            return
        with open(part, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write("[" if kind == ".json" else "WEBVTT\n")
            count = 0

            def append(segment: Segment, of: PathLike = "") -> None:
                nonlocal count
                if kind == ".json":
                    row = json.dumps(values(segment, of), ensure_ascii=False)
                    file.write(("," if count else "") + "\n  " + row)
                else:
                    file.write(_cue(segment))
                count += 1

            yield append
            if kind == ".json":
                file.write("\n]\n" if count else "]\n")


def _cue(segment: Segment) -> str:
    """A cue of WebVTT, in which `<` begins a tag and `-->` a time."""
    text = printable(segment.label).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"\n{_clock(segment.start)} --> {_clock(segment.end)}\n{text} {segment.score:.2f}\n"


def _clock(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, thousandths = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{thousandths // 1000:02d}.{thousandths % 1000:03d}"
