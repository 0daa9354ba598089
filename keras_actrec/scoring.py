"""The answers of a model to files, of which it sees one view or many: the one way in which all are scored."""

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_actrec import _backend
from keras_actrec._numbers import MOST_WORKERS, whole
from keras_actrec.cluster import Cluster
from keras_actrec.data import Record, VideoError
from keras_actrec.data._ahead import Part
from keras_actrec.data.preprocessors import Indexed, Preprocessor
from keras_actrec.errors import UserError

_BATCHES = 4  # of files that a process of a cluster has at a time, so that it reads ahead


class Fusion:
    """One answer from several, which are not kept: see `evaluation.fuse`.

    Args:
        how: `"probabilities"`, `"logits"` or `"votes"`.

    Raises:
        UserError: for another way.
    """

    def __init__(self, how: str = "probabilities") -> None:
        if how not in ("probabilities", "logits", "votes"):
            raise UserError(f"`how` must be one of probabilities, logits, votes. Received: how={how!r}")
        self.how = how
        self.count = 0  # of runs or views
        self._mean: np.ndarray | float = 0.0  # these are sums
        self._logits: np.ndarray | float = 0.0
        self._votes: np.ndarray | float = 0.0

    def add(self, scores: ArrayLike) -> None:
        """Count probabilities `(V, ..., C)` of V runs or views in."""
        scores = np.asarray(scores, "float64")
        self.count += len(scores)
        self._mean += scores.sum(axis=0)
        if self.how == "logits":
            self._logits += np.log(np.maximum(scores, np.finfo("float32").tiny)).sum(axis=0)
        classes = np.arange(scores.shape[-1])
        self._votes += (scores.argmax(axis=-1)[..., None] == classes).sum(axis=0)

    @property
    def votes(self) -> np.ndarray:
        """How many of them name each class, `(..., C)`."""
        return np.asarray(self._votes)

    def answer(self) -> np.ndarray:
        """The probabilities `(..., C)` of all that were added."""
        mean = np.asarray(self._mean) / self.count
        if self.how == "logits":
            logits = np.asarray(self._logits) / self.count
            fused = np.exp(logits - logits.max(axis=-1, keepdims=True))
            return fused / fused.sum(axis=-1, keepdims=True)
        if self.how == "votes":
            tie = 0.5 / (self.count + 1)  # below half a vote
            return (1 - tie) * self.votes / self.count + tie * mean
        return mean


@dataclass
class Scored:
    """What a model says of a file.

    Attributes:
        record: the file.
        fusion: of the answers to its views so far.
        error: why there is no answer.
        seconds: reading the file took, and the model for its views.
        waiting: number of its views that the model has not seen yet.
        last: whether all of its views are known.
    """

    record: Record
    fusion: Fusion
    error: UserError | None = None
    seconds: float = 0.0
    waiting: int = 0
    last: bool = False

    @property
    def scores(self) -> np.ndarray:
        """The probabilities `(C,)`.

        Raises:
            UserError: the file's, where there is no answer.
        """
        if self.error is not None:
            raise self.error
        return self.fusion.answer()


def score(
    model: keras.Model,
    preprocessor: Preprocessor,
    items: Indexed,
    *,
    masked: bool,
    average: str = "probabilities",
    batch_size: int | None = None,
    workers: int = 2,
    cluster: Cluster | None = None,
) -> Iterator[Scored]:
    """Score files one after the other, while threads read those that follow.

    A batch is filled across files, and the last one by repeating, so that all have as many views and nothing
    is compiled twice. Memory grows neither with the number of files nor with the length of one.

    Args:
        model: from views to probabilities `(B, C)`.
        preprocessor: how it looks at a file.
        items: what the preprocessor's `index`, `cached` or `item` gave.
        masked: whether the model takes a mask.
        average: how the answers to a file's views become one, see `Fusion`.
        batch_size: most views of a batch; by default 8, and on a CPU 1 of clips, whose frames are a batch
            already: more of them do not fit its caches.
        workers: threads that read; 0 reads when asked.
        cluster: reads and computes in place of this machine, each process whole batches of files, so that all
            see the batches that one machine would.

    Returns:
        The files in the order of `items`, each when the model has seen its last view.

    Raises:
        UserError: an argument out of range.
    """
    if batch_size is None:
        on_cpu = _backend.on_cpu() if cluster is None else not cluster.has_gpus
        batch_size = 1 if preprocessor.name == "clip" and on_cpu else 8
    batch_size = whole("batch_size", batch_size)
    workers = whole("workers", workers, 0, MOST_WORKERS)
    if not items:
        return iter(())
    each = preprocessor.num_views
    if each is not None:
        batch_size = min(batch_size, each * len(items))
    scorer = _Scorer(model, preprocessor, masked, average, batch_size, workers)
    if cluster is None:
        return scorer(items)
    size = _BATCHES * batch_size  # of files: whole batches, however many views each has
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    found = cluster.in_order(scorer.whole, chunks, files=_files_of, computes=True)
    return itertools.chain.from_iterable(found)


def _files_of(items: Indexed) -> list[Path]:
    return [record.file for record, _ in items]


@dataclass(frozen=True)
class _Scorer:
    """The arguments of `score`."""

    model: keras.Model
    preprocessor: Preprocessor
    masked: bool
    average: str
    batch_size: int
    workers: int

    def __call__(self, items: Indexed) -> Iterator[Scored]:
        views = min(self.preprocessor.num_views or self.batch_size, self.batch_size)  # of a file, in memory
        waiting = (
            2 * self.batch_size * _backend.concurrency()
        )  # what the model sees, and as many that come next
        ahead = self.workers + -(-waiting // views) if self.workers else 1
        parts = self.preprocessor.views(items, size=self.batch_size, ahead=ahead, workers=self.workers)
        batch = _Batch(self.model, self.preprocessor.name, self.masked, self.batch_size)
        return _scored(parts, batch, self.average)

    def whole(self, items: Indexed) -> list[Scored]:
        """All at once."""
        return list(self(items))


def _scored(parts: Iterable[Part | None], batch: "_Batch", average: str) -> Iterator[Scored]:
    files: deque[Scored] = deque()
    number = -1
    for part in parts:
        if part is None:
            batch.run()
        else:
            if part.number != number:
                number = part.number
                files.append(Scored(part.record, Fusion(average)))
            files[-1].seconds += part.seconds
            files[-1].error = files[-1].error or part.error
            files[-1].last = part.last
            for view in part.views:
                batch.add(files[-1], *view)
        while files and files[0].last and not files[0].waiting:
            yield files.popleft()
    batch.run()
    yield from files


class _Batch:
    """Views of several files, which the model sees together."""

    def __init__(self, model: keras.Model, name: str, masked: bool, size: int) -> None:
        self.model = model
        self.name = name
        self.masked = masked
        self.size = size
        self.concurrency = _backend.concurrency()
        self.views: list[tuple[Scored, np.ndarray, np.ndarray]] = []
        inputs = model.input[name] if masked else model.input
        self.shape = tuple(inputs.shape[1:])

    def add(self, file: Scored, array: np.ndarray, mask: np.ndarray) -> None:
        """Takes a view, and runs when there are enough."""
        same = [ours in (None, its) for ours, its in zip(self.shape, array.shape, strict=False)]
        if len(self.shape) != array.ndim or not all(same):
            reason = f"it gives {array.shape} and the model takes {self.shape}; use files as in its training"
            file.error = VideoError(file.record.file, "unreadable", reason)
            return
        file.waiting += 1
        self.views.append((file, array, mask))
        if len(self.views) == self.size * self.concurrency:
            self.run()

    def run(self) -> None:
        """Has the model answer what is there."""
        if not self.views:
            return
        start = time.perf_counter()
        files, arrays, masks = zip(*self.views, strict=True)
        batches = [
            self._inputs(arrays[at : at + self.size], masks[at : at + self.size])
            for at in range(0, len(files), self.size)
        ]
        found = np.concatenate(_backend.predict(self.model, batches))[: len(files)]
        seconds = (time.perf_counter() - start) / len(files)
        for file, scores in zip(files, found, strict=True):
            if not np.isfinite(scores).all():
                reason = "the model's answer to it is no number; train it again, slower, or mend the file"
                file.error = VideoError(file.record.file, "unreadable", reason)
            file.fusion.add(scores[None])
            file.waiting -= 1
            file.seconds += seconds
        self.views = []

    def _inputs(
        self, arrays: Sequence[np.ndarray], masks: Sequence[np.ndarray]
    ) -> np.ndarray | dict[str, np.ndarray]:
        """A batch, filled up with its last view."""
        missing = self.size - len(arrays)
        inputs = np.stack([*arrays, *[arrays[-1]] * missing])
        if not self.masked:
            return inputs
        return {self.name: inputs, "mask": np.stack([*masks, *[masks[-1]] * missing])}
