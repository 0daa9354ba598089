"""Which items make which batch, and how an item is loaded; needs NumPy and OpenCV, never Keras.

The worker processes run this module, so it and what it imports must not load Keras.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self, TypeAlias

import numpy as np

from keras_actrec.data._shards import shard_of
from keras_actrec.data._video_error import VideoError
from keras_actrec.data.cache import CachedVideo
from keras_actrec.data.decode import VideoInfo, pick_frames, scan, sized
from keras_actrec.data.manifest import Record
from keras_actrec.data.sampling import Sampling, clip_rng
from keras_actrec.data.skeletons import SkeletonTransform
from keras_actrec.data.transforms import ClipTransform
from keras_actrec.errors import UserError

# A record and what is known of it: `VideoInfo` (`None` where the video was not read yet), `CachedVideo`,
# `FeatureFile` or joints, or of the last two a function that gives them.
Item: TypeAlias = tuple[Record, Any]
View: TypeAlias = tuple[np.ndarray, np.ndarray]  # array and mask
Sample: TypeAlias = tuple[np.ndarray, np.ndarray, int]  # array, mask and label
# The arguments of `load_item`: a source, an item and the arguments of `clip_rng`.
Call: TypeAlias = tuple[Any, Item, tuple[int, int, int] | None]
Batch: TypeAlias = tuple[np.ndarray | dict[str, np.ndarray], np.ndarray]  # what the model takes, and labels

_WINDOW = 1024  # items of tar files that are shuffled at a time

# ---- what a worker is asked for: pure functions of a source and an item


def load_item(source: Any, item: Item, drawn: tuple[int, int, int] | None) -> Sample:
    """Array, mask and label of an item. `drawn` are the arguments of `clip_rng`, `None` draws nothing."""
    with naming(item):
        return source.load(item, None if drawn is None else clip_rng(*drawn))


def length_of(source: Any, item: Item) -> int:
    """Number of steps of the sequence that holds all of an item."""
    with naming(item):
        return source.length(item)


@contextmanager
def naming(item: Item) -> Iterator[None]:
    """Turns any error into a `UserError` that names the item's file, unless it is one already."""
    file = item[0].file
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        if isinstance(error, UserError):
            if str(file) in str(error):
                raise
            what = str(error)
        else:
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{file}: {what}") from error


# ---- sources: how items, pairs of a `Record` and what is known of it, become arrays. `sized` gives the same
# with another number of steps


@dataclass(frozen=True)
class Clips:
    """Clips of a video."""

    sampling: Sampling
    transform: ClipTransform
    name = "clip"

    def load(self, item: Item, rng: np.random.Generator | None) -> Sample:
        """One clip."""
        choose = cache(lambda frames: [self.sampling.indices(frames, rng)])  # which draws once
        ((frames, mask),) = _clips(item, choose, self.transform)
        clip, label = self.transform.labeled(frames, item[0].label, rng)
        return clip, mask, label

    def views(self, item: Item) -> Iterator[View]:
        """All clips and crops that a test looks at, while the video is read."""
        bounded = self.sampling.num_views is not None
        for frames, mask in _clips(item, self.sampling.each_clip, self.transform, bounded):
            for crop in self.transform.crops(frames):
                yield crop, mask

    def length(self, item: Item) -> int:
        return _steps(self.sampling, item[1].frames)

    def sized(self, frames: int) -> Self:
        return replace(self, sampling=replace(self.sampling, frames=frames))


@dataclass(frozen=True)
class Features:
    """Some steps of a file of features."""

    sampling: Sampling
    name = "features"

    def load(self, item: Item, rng: np.random.Generator | None) -> Sample:
        """One clip."""
        file = _given(item)
        indices, mask = self.sampling.indices(file.frames, rng)
        return file.read(indices), mask, item[0].label

    def views(self, item: Item) -> Iterator[View]:
        """All clips that a test looks at."""
        file = _given(item)
        for indices, mask in self.sampling.each_clip(file.frames):
            yield file.read(indices), mask

    def length(self, item: Item) -> int:
        return _steps(self.sampling, _given(item).frames)

    def sized(self, frames: int) -> Self:
        return replace(self, sampling=replace(self.sampling, frames=frames))


@dataclass(frozen=True)
class Skeletons:
    """A skeleton sequence."""

    transform: SkeletonTransform
    name = "features"

    def load(self, item: Item, rng: np.random.Generator | None) -> Sample:
        return self.transform.labeled(_given(item), item[0].label, rng)

    def length(self, item: Item) -> int:
        return len(_given(item))

    def views(self, item: Item) -> Iterator[View]:
        """All views of the sequence that a test looks at."""
        yield from self.transform.views(_given(item))

    def sized(self, frames: int) -> Self:
        return replace(self, transform=replace(self.transform, frames=frames))


def _given(item: Item) -> Any:
    """What is known of an item, from the function that gives it where that is one."""
    record, known = item
    return known(record) if callable(known) else known


def _clips(
    item: Item,
    choose: Callable[[int], Iterable[tuple[np.ndarray, np.ndarray]]],
    transform: ClipTransform,
    bounded: bool = True,
) -> Iterator[View]:
    """Frames, as far as `prepare` takes them, and mask of each clip of a video.

    A frame is decoded once and prepared at once. Where there are more clips the longer a video is, it is held
    no longer than a clip needs it, so that the memory does not grow with the video.

    Args:
        item: the video.
        choose: gives indices and masks of the clips of a video of so many frames, as `Sampling.each_clip`.
        transform: that takes the frames.
        bounded: whether the number of clips does not depend on the video. Of a video that was not read yet
            their frames are then taken while all are counted. Otherwise no clip begins before the last one.
    """
    record, video = item
    if isinstance(video, CachedVideo):
        _check_prepared(video, transform)
        for indices, mask in choose(video.frames):
            yield video.read(indices), mask
        return
    held: dict[int, np.ndarray] = {}
    if video is None:
        video, held = scan(
            record.file,
            lambda frames: [index for indices, _ in choose(frames) for index in indices] if bounded else (),
            lambda frame: transform.prepare(frame[None])[0],
            start=record.start,
            stop=record.stop,
        )
    needed = np.zeros(video.frames, bool)
    for indices, _ in choose(video.frames):
        needed[indices] = True
    needed[list(held)] = False
    coming = _decoded(record, video, np.flatnonzero(needed), transform)
    for indices, mask in choose(video.frames):
        if not bounded:  # the first frames of clips ascend then
            for number in [number for number in held if number < indices[0]]:
                del held[number]
        absent = set(indices.tolist()) - held.keys()
        while absent:
            number, held[number] = next(coming)
            absent.discard(number)
        yield np.stack([held[number] for number in indices.tolist()]), mask


def _decoded(
    record: Record, video: VideoInfo, numbers: np.ndarray, transform: ClipTransform
) -> Iterator[tuple[int, np.ndarray]]:
    """Numbers of frames and the frames, prepared."""
    if not len(numbers):
        return
    size = video.height, video.width
    frames = pick_frames(record.file, numbers, start=record.start, stop=record.stop)
    for number, frame in zip(numbers.tolist(), frames, strict=True):
        yield number, transform.prepare(sized(frame, size)[None])[0]


def _check_prepared(video: CachedVideo, transform: ClipTransform) -> None:
    if video.prepared != transform.preparation:
        raise UserError(
            f"{video.file} (of {video.source}): it holds {video.prepared or 'features'}, and the transform "
            f"takes {transform.preparation}; cache the frames with this transform"
        )


def _steps(sampling: Sampling, frames: int) -> int:
    """Every e-th frame and of these every s-th is every (e s)-th."""
    return -(-frames // (sampling.frame_step * sampling.stride))


# ---- batches


class Batches:
    """Batches as a pure function of (seed, epoch, number).

    Without `lengths`, batches are cut out of the (shuffled) items in turn. With `buckets` and the items'
    `lengths`, an item belongs to the smallest bucket that holds it, else to the largest; batches are cut out
    of each bucket's items in turn, and those of all buckets are shuffled.

    Items in tar files are shuffled in another way, so that a disk reads on and on: the tar files, and then
    all items within windows of `_WINDOW`; batches of all buckets stay in this order.
    """

    def __init__(
        self,
        items: Sequence[Item],
        source: Any,
        *,
        batch_size: int,
        seed: int,
        training: bool,
        masked: bool,
        buckets: Sequence[int] | None = None,
        lengths: Sequence[int] = (),
    ) -> None:
        self.items = items
        self.batch_size = batch_size
        self.seed = seed
        self.training = training
        self.masked = masked
        self.name = source.name
        self.sources = [source] if buckets is None else [source.sized(frames) for frames in buckets]
        self.bucket_of = np.zeros(len(items), int)  # index in `sources` for each item
        if buckets is not None:
            self.bucket_of = np.minimum(np.searchsorted(buckets, lengths), len(buckets) - 1)
        self.shard_of = _numbered_shards(items)
        self.rows: Callable[[int], slice] = slice  # of a batch of so many those that are loaded: all
        self._order: tuple[int | None, list[np.ndarray]] = None, []

    def __len__(self) -> int:
        return int(sum(-(-np.bincount(self.bucket_of) // self.batch_size)))

    def item_indices(self, epoch: int, index: int) -> list[int]:
        """Indices in `items` of the items of a batch."""
        ordered, batches = self._order
        if ordered != epoch:
            batches = self._ordered(epoch)
            self._order = epoch, batches  # in one go: threads ask for batches of one epoch
        return batches[index].tolist()

    def _ordered(self, epoch: int) -> list[np.ndarray]:
        count = len(self.items)
        order = np.arange(count)
        if self.training:
            # The stream after the last item's: SeedSequence takes [seed, epoch] for [seed, epoch, 0].
            rng = clip_rng(self.seed, epoch, count)
            order = rng.permutation(count) if self.shard_of is None else _by_shards(self.shard_of, rng)
        groups = [order[self.bucket_of[order] == bucket] for bucket in np.unique(self.bucket_of)]
        batches = [
            group[at : at + self.batch_size]
            for group in groups
            for at in range(0, len(group), self.batch_size)
        ]
        if len(groups) == 1:
            return batches
        if self.training and self.shard_of is None:
            batches = [batches[number] for number in rng.permutation(len(batches))]
        elif self.training:
            place = np.argsort(order)
            batches.sort(key=lambda batch: place[batch[0]])
        # On TensorFlow, Keras takes the shapes of an epoch from its first two batches: they must differ.
        buckets = [self.bucket_of[batch[0]] for batch in batches]
        batches.insert(1, batches.pop(next(at for at, bucket in enumerate(buckets) if bucket != buckets[0])))
        return batches

    def calls(self, epoch: int, index: int) -> list[Call]:
        """Arguments of `load_item` for the items of a batch, of those that are loaded here."""
        items = self.item_indices(epoch, index)
        return [
            (
                self.sources[self.bucket_of[item]],
                self.items[item],
                (self.seed, epoch, item) if self.training else None,
            )
            for item in items[self.rows(len(items))]
        ]

    def collate(self, samples: Sequence[Sample], calls: Sequence[Call]) -> Batch:
        """The batch of what `load_item` gave for each of `calls`."""
        arrays, masks, labels = zip(*samples, strict=True)
        files = [item[0].file for _, item, _ in calls]
        for array, file in zip(arrays, files, strict=True):
            if array.shape != arrays[0].shape:
                raise UserError(
                    f"{file}: its shape is {array.shape}, that of {files[0]} is {arrays[0].shape}; "
                    "they cannot be in one batch"
                )
        x = np.stack(arrays)
        return ({self.name: x, "mask": np.stack(masks)} if self.masked else x), np.array(labels, "int32")

    def batch(self, epoch: int, index: int) -> Batch:
        """A batch, loaded here and now."""
        calls = self.calls(epoch, index)
        return self.collate([load_item(*call) for call in calls], calls)


def _numbered_shards(items: Sequence[Item]) -> np.ndarray | None:
    """A number for the tar file of each item, one of its own for what is in none; None without tar files."""
    of_folder = cache(lambda folder: shard_of(os.path.join(folder, "_")))
    shards = [of_folder(os.path.dirname(record.file)) for record, _ in items]
    if not any(shards):
        return None
    numbers: dict[Any, int] = {}
    keys = [shard or number for number, shard in enumerate(shards)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _by_shards(shards: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An order of items, tar file by tar file in a drawn order, and drawn again within windows."""
    place = rng.permutation(shards.max() + 1)[shards]
    order = np.argsort(place, kind="stable")
    windows = range(0, len(order), _WINDOW)
    return np.concatenate([rng.permutation(order[at : at + _WINDOW]) for at in windows])


class Epochs:
    """The batches of some epochs in one row, as Grain reads them."""

    def __init__(self, batches: Batches, epochs: int) -> None:
        self.batches = batches
        self.epochs = epochs

    def __len__(self) -> int:
        return self.epochs * len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.batches.batch(*divmod(index, len(self.batches)))
