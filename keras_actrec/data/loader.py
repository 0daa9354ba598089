"""Batches of clips or features for `fit`, `evaluate` and `predict`."""

import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import keras
import numpy as np

from keras_actrec._numbers import MOST_EPOCHS, MOST_SEED, MOST_WORKERS, whole
from keras_actrec.data._batches import (
    Batch,
    Batches,
    Clips,
    Epochs,
    Features,
    Item,
    Skeletons,
    length_of,
    load_item,
)
from keras_actrec.data._opencv import opencv
from keras_actrec.data._processes import Processes
from keras_actrec.data.cache import CachedVideo
from keras_actrec.data.decode import VideoInfo
from keras_actrec.data.features import FeatureFile
from keras_actrec.data.manifest import Record
from keras_actrec.data.sampling import Sampling
from keras_actrec.data.skeletons import SkeletonTransform
from keras_actrec.data.transforms import ClipTransform
from keras_actrec.errors import UserError

if TYPE_CHECKING:
    import grain

_AHEAD = 2  # batches that workers prepare while one is used
_LOG = logging.getLogger("keras_actrec")


class _Dataset(keras.utils.PyDataset):
    """Batches as a pure function of (seed, epoch, batch number): order, frames and augmentation.

    Keras's own workers are not used: they keep batches that were prepared ahead for the next epoch, in
    which they come first and in the wrong order (3.15, whenever an epoch is left early, as `fit` does on its
    first call to build a model). Here a batch that is prepared ahead belongs to its epoch and number and is
    dropped when they do not come up.
    """

    def __init__(
        self,
        items: Iterable[Item],
        source: Any,
        *,
        batch_size: int = 8,
        seed: int = 0,
        training: bool = False,
        masked: bool = False,
        buckets: Iterable[int] | None = None,
        workers: int = 0,
        processes: bool = False,
    ) -> None:
        super().__init__(workers=0)
        items = list(items)
        if not items:
            raise UserError("`items` must hold at least one video. Received: none")
        batch_size, seed = whole("batch_size", batch_size), whole("seed", seed, 0, MOST_SEED)
        workers = whole("workers", workers, 0, MOST_WORKERS)
        if processes and not workers:
            raise UserError("`processes` needs `workers` of at least 1, their number. Received: workers=0")
        self.epoch = 0
        self.failure: Exception | None = None
        self._lock = threading.Lock()
        self._pending: dict[tuple[int, int], list[Future[Any]]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._processes: Processes | None = None
        if workers:
            self._start_workers(workers, processes)
        lengths: list[int] = []
        if buckets is not None:
            buckets = _checked_buckets(buckets)
            lengths = self._lengths([(source, item) for item in items])
        self._batches = Batches(
            items,
            source,
            batch_size=batch_size,
            seed=seed,
            training=training,
            masked=masked,
            buckets=buckets,
            lengths=lengths,
        )

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(
                f"`index` must be below {len(self)}, the number of batches. Received: index={index}"
            )
        try:
            return self._batch(index)
        except Exception as error:
            self.failure = error
            _LOG.error("%s", error)
            raise

    def on_epoch_end(self) -> None:
        """Goes on to the next epoch. Note that `fit` calls this once before its first epoch too."""
        self.epoch += 1

    def item_indices(self, index: int) -> list[int]:
        """Indices in `items` of the items of a batch, in this epoch."""
        return self._batches.item_indices(self.epoch, index)

    def load_only(self, rows: Callable[[int], slice]) -> None:
        """Load of a batch of so many items the `rows` alone: other processes load the others."""
        self._batches.rows = rows

    def to_grain(self, epochs: int) -> "grain.MapDataset":
        """The batches of some epochs, one epoch after the other, as a `grain.MapDataset` (extra `grain`).

        Element i is batch i mod n of epoch i // n, where n is `len(dataset)`, whatever Grain reads it with:
        its threads, its worker processes (`to_iter_dataset().mp_prefetch(...)`, which wants absl's flags
        parsed) or neither. `fit` must be told n, or it takes all of them for one epoch:

            model.fit(dataset.to_grain(3), steps_per_epoch=len(dataset), epochs=3, shuffle=False)

        A run that is resumed at epoch e takes `[e * len(dataset) :]` of it. `epoch`, `failure`, `workers` and
        `FollowEpoch` have no part in it.

        Args:
            epochs: number of epochs, from epoch 0 on.

        Raises:
            UserError: Grain is not installed, or `epochs` is below 1.
        """
        epochs = whole("epochs", epochs, high=MOST_EPOCHS)
        try:
            import grain
        except ImportError as error:
            raise UserError("`to_grain` needs Grain: pip install 'keras_actrec[grain]'") from error
        return grain.MapDataset.source(Epochs(self._batches, epochs))

    def _start_workers(self, workers: int, processes: bool) -> None:
        """Start the workers, which end with this."""
        self._pool = ThreadPoolExecutor(workers)  # with `processes`, each thread waits for a process
        if processes:
            self._processes = Processes()
        else:
            opencv().setNumThreads(0)  # the videos are what runs in parallel; nested threads slow it down
        weakref.finalize(self, _close, self._pool, self._processes)

    def _lengths(self, calls: Iterable[tuple[Any, Item]]) -> list[int]:
        """What `length_of` gives for each of `calls`."""
        if self._pool is None:
            return [length_of(*call) for call in calls]
        return [future.result() for future in self._submit(length_of, calls)]

    def _batch(self, index: int) -> Batch:
        batches, epoch = self._batches, self.epoch
        if self._pool is None:
            return batches.batch(epoch, index)
        with self._lock:
            wanted = [(epoch, ahead) for ahead in range(index, min(index + 1 + _AHEAD, len(self)))]
            for stale in self._pending.keys() - set(wanted):
                for future in self._pending.pop(stale):
                    future.cancel()
            for key in wanted:
                if key not in self._pending:
                    self._pending[key] = self._submit(load_item, batches.calls(*key))
            futures = self._pending.pop(wanted[0])
        return batches.collate([future.result() for future in futures], batches.calls(epoch, index))

    def _submit(self, function: Callable[..., Any], calls: Iterable[Sequence[Any]]) -> list[Future[Any]]:
        """The futures of `function(*call)` for each of `calls`, in a thread or a process."""
        assert self._pool is not None
        first = (function,) if self._processes is None else (self._processes.call, function)
        return [self._pool.submit(*first, *call) for call in calls]


def _close(pool: ThreadPoolExecutor, processes: Processes | None) -> None:
    # Called by the garbage collector, in whatever thread, or when Python ends: it waits for no thread.
    pool.shutdown(wait=False, cancel_futures=True)
    if processes is not None:
        processes.close()


def _checked_buckets(buckets: Iterable[int]) -> list[int]:
    buckets = list(buckets)
    if not buckets or buckets[0] < 1 or any(a >= b for a, b in itertools.pairwise(buckets)):
        raise UserError(
            f"`buckets` must be numbers of steps from 1 on, ascending. Received: buckets={buckets}"
        )
    return buckets


class DatasetOptions(TypedDict, total=False):
    """Arguments that datasets share; `ClipDataset` describes them."""

    batch_size: int
    seed: int
    training: bool
    masked: bool
    buckets: Iterable[int] | None
    workers: int
    processes: bool


class ClipDataset(_Dataset):
    """Clips decoded from video files, batch by batch.

    A batch is `(x, y)`: `x` uint8 `(B, T, size, size, 3)`, RGB, or, with `masked`, a dict of `clip` and
    `mask` `(B, T)`, bool; `y` int32 `(B,)`. The last batch may be smaller. With `training` the order is
    shuffled and frames, crops, flips and colors are drawn anew in each epoch; all of it depends on (seed,
    `epoch`, index of the item in `items`) only, never on `workers` or on the backend. A mirrored clip has the
    label that `transform.swap` gives it.

    `on_epoch_end` adds 1 to `epoch`. Pass `shuffle=False` to `fit`, which otherwise changes the order of the
    batches in a way that cannot be repeated, and the callback `FollowEpoch(dataset)`, so that epoch 5 draws
    the same in a run that was resumed.

    With `buckets`, all clips of a batch have the length T of one of them, instead of `sampling.frames`: a
    video goes where all its frames (by `frame_step` and `stride`) just fit, or, if it fits nowhere, into the
    largest. The last batch of each bucket may be smaller, so an epoch has at most one T
    for each bucket and at most twice as many shapes. With `training` the batches of all buckets are shuffled;
    else they come bucket by bucket. The second batch is always of another bucket than the first, because
    Keras on TensorFlow takes from these two what varies. `item_indices(index)` tells which items a batch
    holds.

    An item that cannot be loaded raises an error that names its file. The error is logged (logger
    `keras_actrec`) and kept as the attribute `failure`; see `raising_failures`.

    Args:
        items: from `index_videos` or `cache_frames`.
        sampling: which frames; of cached videos, in steps of the cache (`Sampling.of_kept`).
        transform: how they are sized and changed.
        batch_size: clips a batch.
        seed: seed of everything drawn, at least 0.
        training: whether to shuffle and draw; else order and clips are always the same.
        masked: whether to add the mask.
        buckets: lengths of clips, ascending, such as `(16, 32, 64)`; `None` gives all `sampling.frames`.
        workers: number of threads that decode ahead; 0 decodes when asked.
        processes: whether the workers are processes. They take 0.4 s to start and about 60 MB each and do not
            load Keras; batches are the same. Functions in `items` must come from a module, not from the
            main script.

    Raises:
        UserError: no items, or an argument out of range; on access, an item that cannot be loaded.
        VideoError: on access, a file that does not decode (any more).
    """

    def __init__(
        self,
        items: Iterable[tuple[Record, VideoInfo | CachedVideo]],
        sampling: Sampling,
        transform: ClipTransform,
        **options: Unpack[DatasetOptions],
    ) -> None:
        super().__init__(items, Clips(sampling, transform), **options)


class FeatureDataset(_Dataset):
    """Clips of features, batch by batch.

    As `ClipDataset`, with `x` `(B, T, H, W, D)` or `(B, T, D)`, named `features` when `masked`: float16 as
    `extract_features` stores it, which Keras turns into what the model's input is, or float32 of one's own.
    Only the steps that a clip needs are read.

    Args:
        items: from `extract_features` or `index_features`.
        sampling: which steps of the features.
        batch_size: clips a batch.
        seed: seed of everything drawn, at least 0.
        training: whether to shuffle and draw; else order and clips are always the same.
        masked: whether to add the mask.
        buckets: lengths of clips, see `ClipDataset`.
        workers: number of threads that read ahead; 0 reads when asked.
        processes: whether the workers are processes, see `ClipDataset`.

    Raises:
        UserError: no items, an argument out of range, or, on access, a feature file that cannot be read.
    """

    def __init__(
        self,
        items: Iterable[tuple[Record, CachedVideo | FeatureFile]],
        sampling: Sampling,
        **options: Unpack[DatasetOptions],
    ) -> None:
        super().__init__(items, Features(sampling), **options)


class SkeletonDataset(_Dataset):
    """Skeleton sequences, batch by batch.

    As `ClipDataset`, with `x` float32 `(B, T, D)`, named `features` when `masked`. With `buckets`, which
    replace `transform.frames`, a sequence goes by its own length; a function is called for it when the
    dataset is made.

    Args:
        items: pairs of a `Record` and its joints, `(N, bodies, joints, 3)`, from `index_skeletons`, or a
            function that gives them when it is called with the record.
        transform: how joints are moved and sequences get one length.
        batch_size: sequences a batch.
        seed: seed of everything drawn, at least 0.
        training: whether to shuffle and draw; else order and sequences are always the same.
        masked: whether to add the mask.
        buckets: lengths of sequences, see `ClipDataset`.
        workers: number of threads that read ahead; 0 reads when asked.
        processes: whether the workers are processes, see `ClipDataset`.

    Raises:
        UserError: no items, an argument out of range, joints that `transform` refuses, or a file that cannot
            be read; the last two on access, or with `buckets` when the dataset is made.
    """

    def __init__(
        self,
        items: Iterable[tuple[Record, np.ndarray | Callable[[Record], np.ndarray]]],
        transform: SkeletonTransform,
        **options: Unpack[DatasetOptions],
    ) -> None:
        super().__init__(items, Skeletons(transform), **options)


class FollowEpoch(keras.callbacks.Callback):
    """Keeps the epoch of a dataset equal to that of `fit`.

    `fit` calls a dataset's `on_epoch_end` once before its first epoch, and starts a resumed run at
    `initial_epoch`. With this callback the n-th epoch draws the same clips in every run.

    Args:
        dataset: that `fit` is given.
    """

    def __init__(self, dataset: _Dataset) -> None:
        super().__init__()
        self.dataset = dataset

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the epoch; Keras calls it before it asks for the first batch."""
        self.dataset.epoch = epoch


@contextmanager
def raising_failures(*datasets: _Dataset) -> Iterator[None]:
    """Raises the error of an item that cannot be loaded as it is, where the backend hides it in its own.

    On TensorFlow, `fit` and `predict` raise `UnknownError` or `InvalidArgumentError` with the traceback of
    the generator as text. In this block, the error that a dataset kept as `failure` is raised instead.

        with raising_failures(dataset):
            model.fit(dataset)

    Args:
        *datasets: those that the block reads.

    Raises:
        UserError: the first dataset's failure, if the block raises and a dataset failed in it.
    """
    for dataset in datasets:
        dataset.failure = None
    try:
        yield
        return
    except Exception as error:
        failures = [dataset.failure for dataset in datasets if dataset.failure is not None]
        raised = failures[0] if failures else error
    raise raised  # out here, it does not carry the backend's error with it
