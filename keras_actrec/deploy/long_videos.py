"""Segments of long recordings: what the command `predict --segments` does."""

import itertools
import math
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from keras_actrec import _backend
from keras_actrec._numbers import MOST_WORKERS, whole
from keras_actrec._text import printable
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.cluster import Cluster
from keras_actrec.data import Record, VideoError, expand_sources
from keras_actrec.data._ahead import Part, read_ahead
from keras_actrec.deploy._windows import Windows
from keras_actrec.deploy.proposals import mean_scores, propose, suppress
from keras_actrec.deploy.segments import Segment, check_ignored
from keras_actrec.errors import UserError
from keras_actrec.prediction import Prediction
from keras_actrec.recognizer import Recognizer

_RATE = 30.0  # frames a second where nothing says how many
_NONE = -1  # the label of what no segment holds


@dataclass(frozen=True)
class Segmented:
    """What a recording shows, one after the other.

    Attributes:
        path: the file, or a part of it, as in `Prediction`.
        record: the same as a record.
        status: `ok`, or as of a `Prediction`.
        segments: by time; none of a bad file.
        frames: numbers of the frames that were looked at `(N,)`, from the start of the recording on.
        labels: class id of the segment that holds each of them `(N,)`, -1 where none does.
        seconds: time of its end.
        error: as of a `Prediction`.
    """

    path: Path
    record: Record
    status: str
    segments: tuple[Segment, ...]
    frames: np.ndarray
    labels: np.ndarray
    seconds: float
    error: str | None = None

    def __str__(self) -> str:
        """A line, and one a segment, for people."""
        if self.error is not None:
            return f"{printable(self.path)}  {self.status}: {self.error}"
        count = len(self.segments)
        head = f"{printable(self.path)}  {count} segment{'' if count == 1 else 's'} in {self.seconds:.1f} s"
        return "\n".join([head, *(f"  {segment}" for segment in self.segments)])


def find_segments(
    recognizer: Recognizer,
    sources: PathLike | Iterable[PathLike | Record],
    *,
    window: float | None = None,
    least: float = 0.5,
    overlap: float = 0.0,
    shortest: float = 0.0,
    ignore: Sequence[str] = (),
    fps: float | None = None,
    workers: int = 2,
    cluster: Cluster | None = None,
    tell: Callable[[str], Any] | None = None,
    progress: StageProgress | None = None,
) -> Iterator[Segmented]:
    """Find what long recordings show, and when.

    The model sees windows of T steps, each a quarter of them after the one before; at each time counts the
    mean of its answers to the windows that hold it. Segments are proposed at several levels (`propose`), and
    of those that overlap one is left (`suppress`). What a backbone gives of a frame, and how a frame is
    decoded and sized, is computed once for all windows; a network in whose inside frames mix, such as `gsm`,
    runs for each window. Memory does not grow with the recording, but by the answers: 4 bytes a class and
    window.

    Args:
        recognizer: the model.
        sources: see `data.expand_sources`.
        window: seconds of a window, over which its T steps are spread; by default those of a training clip in
            the middle, where steps are spread over the whole clip and the model says how long these were,
            else T steps as the recognizer takes them. Where such a clip has fewer steps than T, a window has
            as many as it, and no frame is seen that training passes over.
        least: lowest mean probability of a segment.
        overlap: see `suppress`.
        shortest: seconds below which a segment is left out.
        ignore: classes of which no segments are made.
        fps: frames a second of what has no times, by default 30.
        workers: threads that read.
        cluster: looks at whole recordings in place of this machine, each in a process.
        tell: see `data.expand_sources`; called with a line that says how the model looks, too.
        progress: called as `progress("segmenting", done, total, path)`; of a long file, with its parts.

    Returns:
        An iterator of a `Segmented` for each file or part of one, in the order of the sources.

    Raises:
        UserError: for an argument out of range, or a source in which there is no file.
    """
    for name, value, low in (("window", window, 0), ("fps", fps, 0)):
        if value is not None and not low < value < math.inf:
            raise UserError(f"`{name}` must be a number above 0. Received: {name}={value}")
    for name, value in (("least", least), ("overlap", overlap)):
        if not 0 <= value <= 1:
            raise UserError(f"`{name}` must be from 0 to 1. Received: {name}={value}")
    if not 0 <= shortest < math.inf:
        raise UserError(f"`shortest` must be seconds, 0 or more. Received: shortest={shortest}")
    check_ignored(ignore, recognizer.class_names)
    finder = _Finder(recognizer, window, fps, least, overlap, shortest, ignore)
    records = expand_sources(sources, recognizer.preprocessor.patterns, fps=fps, tell=tell)
    if tell is not None:
        tell(str(finder))
    workers = whole("workers", workers, 0, MOST_WORKERS)
    progress = progress or silent
    if cluster is None:
        return finder.run(records, workers, progress)
    return _found_on(cluster, finder, records, workers, progress)


def _found_on(
    cluster: Cluster, finder: "_Finder", records: Sequence[Record], workers: int, progress: StageProgress
) -> Iterator[Segmented]:
    """What the processes of a cluster find, a recording each."""

    def find(record: Record) -> Segmented:
        (found,) = finder.run([record], workers, silent)
        return found

    progress("segmenting", 0, len(records), "")
    answers = cluster.in_order(find, records, files=lambda record: (record.file,), computes=True)
    for done, found in enumerate(answers, start=1):
        progress("segmenting", done, len(records), found.record.path)
        yield found


class _View(NamedTuple):
    """A step of a recording."""

    number: int  # of its frame
    seconds: float
    step: np.ndarray  # what a window is made of
    share: float  # of the recording that lies before it
    length: int  # of a window, in steps
    frames: int  # that it stands for: those up to the next step, or the end
    period: float  # seconds from one of them to the next, where times do not tell


class _Finder:
    """The arguments, and the networks."""

    def __init__(
        self,
        recognizer: Recognizer,
        window: float | None,
        fps: float | None,
        least: float,
        overlap: float,
        shortest: float,
        ignore: Sequence[str],
    ) -> None:
        self.arguments = recognizer, window, fps, least, overlap, shortest, ignore
        self.recognizer = recognizer
        self.windows = Windows(recognizer)
        self.window, self.fps = window, fps
        self.least, self.overlap, self.shortest = least, overlap, shortest
        self.ignored = [number for number, name in enumerate(recognizer.class_names) if name in ignore]
        self.concurrency = _backend.concurrency()
        self.at_once = _backend.frames_at_once(math.prod(self.windows.step[:-1]))
        single = self.windows.frames is None and recognizer.preprocessor.name == "clip"
        self.batch = 1 if single and _backend.on_cpu() else 8

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.arguments  # the networks have layers in common, which they would not after it

    def __str__(self) -> str:
        shared = "decoded and computed" if self.windows.frames is not None else "read"
        every, length = self.paced(self._clip.get("fps", 0.0))
        if self.window is not None:
            over = f" over {self.window:g} s"
        elif rate := self._clip.get("fps"):
            over = f" over {every * length / rate:.2g} s"
        else:
            over = f" over {every * length} frames" if every > 1 else ""
        return (
            f"{self.recognizer.spec.name}: windows of {length} steps{over}, {_hop(length)} apart; "
            f"each frame is {shared} once"
        )

    @property
    def _clip(self) -> dict[str, Any]:
        """How long training clips are in the middle, where steps are spread over them and that is known."""
        clip = self.recognizer.about.get("data", {}).get("clip")
        return clip if clip and self.recognizer.preprocessor.spreads else {}

    def paced(self, rate: float) -> tuple[int, int]:
        """Frames from a step to the next, and steps of a window, at this rate, 0 where it is unknown."""
        preprocessor, steps = self.recognizer.preprocessor, self.windows.length
        if self.window is not None:
            return max(1, round(self.window * (rate or self.fps or _RATE) / steps)), steps
        clip = self._clip
        if not clip:
            return preprocessor.every, steps
        frames = clip["frames"] * (rate / clip["fps"] if rate and clip["fps"] else 1)
        every = max(preprocessor.every, round(frames / steps))
        return every, min(steps, max(1, math.ceil(frames / preprocessor.every)))

    def views(self, item: tuple[Record, Any]) -> Iterator[_View]:
        """The steps of a recording, for `read_ahead`."""
        record, _ = item
        rate, claimed = self.recognizer.preprocessor.pace(record)
        (every, length), period = self.paced(rate), 1 / (rate or self.fps or _RATE)
        for count, (seconds, step) in enumerate(self.recognizer.preprocessor.each_step(record, every)):
            number = count * every
            if seconds is None:
                seconds = ((record.start or 0) + number) / (rate or self.fps or _RATE)
            share = min(number / claimed, 1.0) if claimed else 0.0
            yield _View(number, seconds, step, share, length, min(every, claimed - number), period)

    def run(self, records: Sequence[Record], workers: int, progress: StageProgress) -> Iterator[Segmented]:
        size = self.at_once * self.concurrency
        progress("segmenting", 0, len(records), "")
        items = [(record, None) for record in records]
        file: _File | None = None
        for part in read_ahead(self, items, size=size, ahead=2, workers=workers):
            if part is None:
                continue
            file = file or _File(self, part.record)
            file.add(part)
            if part.last:
                found, file = file.found(), None
                progress("segmenting", part.number + 1, len(records), part.record.path)
                yield found
            else:
                share = cast(_View, part.views[-1]).share
                progress("segmenting", part.number + share, len(records), part.record.path)


def _hop(length: int) -> int:
    """Steps from one window to the next."""
    return max(1, length // 4)


class _File:
    """A recording that is looked at: of its steps, only the last window's are held."""

    def __init__(self, finder: _Finder, record: Record) -> None:
        self.finder, self.record = finder, record
        self.held: deque[np.ndarray] = deque()
        self.length = finder.windows.length
        self.numbers, self.times, self.starts = array("q"), array("d"), array("q")  # 8 bytes each
        self.scores: list[np.ndarray] = []
        self.waiting: list[list[np.ndarray]] = []  # windows
        self.count = 0
        self.end = 0.0  # of what was seen, in seconds
        self.error: UserError | None = None

    def add(self, part: Part) -> None:
        """Take the next steps; after the last ones all windows are answered."""
        self.error = self.error or part.error
        if self.error is not None:
            return
        try:
            self._add(part.views)
            if part.last:
                start = max(self.count - self.length, 0)
                if self.count and start not in self.starts[-1:]:
                    self._window(start)
                self._answer()
        except UserError as error:
            self.error = error

    def _add(self, views: Sequence[Any]) -> None:
        if not views:
            return
        if not self.count:
            self.length = views[0].length
            self.held = deque(maxlen=self.length)
        self.numbers.extend(view.number for view in views)
        self.times.extend(view.seconds for view in views)
        self.end = self._end(views[-1])
        for step in self._computed([view.step for view in views]):
            self.held.append(step)
            self.count += 1
            start = self.count - self.length
            if start >= 0 and start % _hop(self.length) == 0:
                self._window(start)

    def _computed(self, steps: Sequence[np.ndarray]) -> Iterable[np.ndarray]:
        """What windows are made of: the steps, or what the backbone gives of them."""
        network, size = self.finder.windows.frames, self.finder.at_once
        if network is None:
            return steps
        filled = [*steps, *[steps[-1]] * (-len(steps) % size)]
        batches = [np.stack(filled[at : at + size])[None] for at in range(0, len(filled), size)]
        found = _backend.predict(network, batches)
        return itertools.islice((step for batch in found for step in batch[0]), len(steps))

    def _window(self, start: int) -> None:
        self.starts.append(start)
        self.waiting.append(list(self.held))
        if len(self.waiting) == self.finder.batch * self.finder.concurrency:
            self._answer()

    def _answer(self) -> None:
        """Have the model answer the windows that wait, in batches of one size."""
        size, windows = self.finder.batch, self.finder.windows
        if not self.waiting:
            return
        batches = [
            windows.inputs(self.waiting[at : at + size], size) for at in range(0, len(self.waiting), size)
        ]
        found = np.concatenate(_backend.predict(windows.head, batches))[: len(self.waiting)]
        if not np.isfinite(found).all():
            reason = "the model's answer to it is no number; train it again, slower, or mend the file"
            raise VideoError(self.record.file, "unreadable", reason)
        self.scores.append(found.astype("float32"))
        self.waiting = []

    def found(self) -> Segmented:
        """The segments."""
        path, frames = Path(self.record.path), np.array(self.numbers, int)
        if self.error is None and not self.count:
            self.error = VideoError(self.record.file, "empty", "there are no frames in it; remove it")
        if self.error is not None:
            row = Prediction.of_error(path, self.error, 0.0, self.record.file)
            labels = np.full(len(frames), _NONE)
            return Segmented(path, self.record, row.status, (), frames, labels, 0.0, row.error)
        finder = self.finder
        edges, means = mean_scores(self.starts, np.concatenate(self.scores), self.length, self.count)
        means[:, finder.ignored] = 0
        kept = suppress(propose(edges, means, finder.least), finder.overlap)
        ends = [*self.times, self.end]
        labels, segments = np.full(self.count, _NONE), []
        for start, end, label, score, _ in zip(*kept, strict=True):
            name = finder.recognizer.class_names[label]
            segment = Segment(ends[int(start)], ends[int(end)], name, float(score))
            if segment.end - segment.start >= finder.shortest:
                segments.append(segment)
                labels[int(start) : int(end)] = label
        return Segmented(path, self.record, "ok", tuple(segments), frames, labels, ends[-1])

    def _end(self, view: _View) -> float:
        """Seconds at which a step ends that may be the last one: its frames are as long as those before."""
        period = view.period
        if len(self.times) > 1 and self.times[-1] > self.times[-2]:
            period = (self.times[-1] - self.times[-2]) / (self.numbers[-1] - self.numbers[-2])
        return self.times[-1] + max(view.frames, 1) * period
