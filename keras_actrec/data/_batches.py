"""Which items make which batch, and how an item is loaded; needs NumPy and OpenCV, never Keras.

The worker processes run this module, so it and what it imports must not load Keras.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np

from keras_actrec.data._video_error import VideoError
from keras_actrec.data.cache import CachedVideo
from keras_actrec.data.decode import VideoInfo, read_frames
from keras_actrec.data.manifest import Record
from keras_actrec.data.sampling import Sampling, clip_rng
from keras_actrec.data.skeletons import SkeletonTransform
from keras_actrec.data.transforms import ClipTransform
from keras_actrec.errors import UserError

# A record and what is known of it: `VideoInfo`, `CachedVideo`, `FeatureFile`, or joints or a function that
# gives them.
Item: TypeAlias = tuple[Record, Any]
Sample: TypeAlias = tuple[np.ndarray, np.ndarray, int]  # array, mask and label
# The arguments of `load_item`: a source, an item and the arguments of `clip_rng`.
Call: TypeAlias = tuple[Any, Item, tuple[int, int, int] | None]
Batch: TypeAlias = tuple[np.ndarray | dict[str, np.ndarray], np.ndarray]  # what the model takes, and labels

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
    """One clip of a video."""

    sampling: Sampling
    transform: ClipTransform
    name = "clip"

    def load(self, item: Item, rng: np.random.Generator | None) -> Sample:
        record, video = item
        indices, mask = self.sampling.indices(video.frames, rng)
        frames = _frames(record, video, indices, self.transform)
        clip, label = self.transform.labeled(frames, record.label, rng)
        return clip, mask, label

    def length(self, item: Item) -> int:
        return _steps(self.sampling, item[1].frames)

    def sized(self, frames: int) -> Self:
        return replace(self, sampling=replace(self.sampling, frames=frames))


@dataclass(frozen=True)
class Views:
    """All clips and crops of a video."""

    sampling: Sampling
    transform: ClipTransform
    name = "clip"

    def load(self, item: Item, rng: np.random.Generator | None) -> Sample:
        record, video = item
        needed, clips, masks = _all_clips(self.sampling, video.frames)
        frames = _frames(record, video, needed, self.transform)
        views = [self.transform.crops(frames[clip]) for clip in clips]
        return np.concatenate(views), np.repeat(masks, self.transform.num_crops, axis=0), record.label


@dataclass(frozen=True)
class Features:
    """Some steps of a file of features."""

    sampling: Sampling
    name = "features"

    def load(self, item: Item, rng: np.random.Generator | None) -> Sample:
        record, video = item
        indices, mask = self.sampling.indices(video.frames, rng)
        return video.read(indices), mask, record.label

    def length(self, item: Item) -> int:
        return _steps(self.sampling, item[1].frames)

    def sized(self, frames: int) -> Self:
        return replace(self, sampling=replace(self.sampling, frames=frames))


@dataclass(frozen=True)
class FeatureViews:
    """All clips of a file of features."""

    sampling: Sampling
    name = "features"

    def load(self, item: Item, rng: np.random.Generator | None) -> Sample:
        record, video = item
        needed, clips, masks = _all_clips(self.sampling, video.frames)
        return video.read(needed)[clips], masks, record.label


@dataclass(frozen=True)
class Skeletons:
    """A skeleton sequence."""

    transform: SkeletonTransform
    name = "features"

    def load(self, item: Item, rng: np.random.Generator | None) -> Sample:
        sequence, mask = self.transform(self._joints(item), rng)
        return sequence, mask, item[0].label

    def length(self, item: Item) -> int:
        return len(self._joints(item))

    @staticmethod
    def _joints(item: Item) -> np.ndarray:
        record, joints = item
        return joints(record) if callable(joints) else joints

    def sized(self, frames: int) -> Self:
        return replace(self, transform=replace(self.transform, frames=frames))


def _frames(
    record: Record, video: VideoInfo | CachedVideo, indices: np.ndarray, transform: ClipTransform
) -> np.ndarray:
    """Frames for a transform, decoded or, if they are cached, as far as `prepare` takes them."""
    if not isinstance(video, CachedVideo):
        size = video.height, video.width
        return read_frames(record.file, indices, start=record.start, stop=record.stop, size=size)
    if video.prepared != transform.preparation:
        raise UserError(
            f"{video.file} (of {video.source}): it holds {video.prepared or 'features'}, and the transform "
            f"takes {transform.preparation}; cache the frames with this transform"
        )
    return video.read(indices)


def _all_clips(sampling: Sampling, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frames of all clips, each once; the positions of each clip's among them `(M, T)`; the masks."""
    indices, masks = sampling.clips(frames)
    needed, positions = np.unique(indices, return_inverse=True)
    return needed, positions.reshape(indices.shape), masks


def _steps(sampling: Sampling, frames: int) -> int:
    """Every e-th frame and of these every s-th is every (e s)-th."""
    return -(-frames // (sampling.frame_step * sampling.stride))


# ---- batches


class Batches:
    """Batches as a pure function of (seed, epoch, number).

    Without `lengths`, batches are cut out of the (shuffled) items in turn. With `buckets` and the items'
    `lengths`, an item belongs to the smallest bucket that holds it, else to the largest; batches are cut out
    of each bucket's items in turn, and those of all buckets are shuffled.
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
            order = rng.permutation(count)
        groups = [order[self.bucket_of[order] == bucket] for bucket in np.unique(self.bucket_of)]
        batches = [
            group[at : at + self.batch_size]
            for group in groups
            for at in range(0, len(group), self.batch_size)
        ]
        if len(groups) == 1:
            return batches
        if self.training:
            batches = [batches[number] for number in rng.permutation(len(batches))]
        # On TensorFlow, Keras takes the shapes of an epoch from its first two batches: they must differ.
        buckets = [self.bucket_of[batch[0]] for batch in batches]
        batches.insert(1, batches.pop(next(at for at, bucket in enumerate(buckets) if bucket != buckets[0])))
        return batches

    def calls(self, epoch: int, index: int) -> list[Call]:
        """Arguments of `load_item` for the items of a batch."""
        return [
            (
                self.sources[self.bucket_of[item]],
                self.items[item],
                (self.seed, epoch, item) if self.training else None,
            )
            for item in self.item_indices(epoch, index)
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


class ViewBatches(Batches):
    """Batches of one item each, whose array has the axis of the batch already."""

    def collate(self, samples: Sequence[Sample], calls: Sequence[Call]) -> Batch:
        ((views, masks, label),) = samples
        return ({self.name: views, "mask": masks} if self.masked else views), np.full(
            len(views), label, "int32"
        )


class Epochs:
    """The batches of some epochs in one row, as Grain reads them."""

    def __init__(self, batches: Batches, epochs: int) -> None:
        self.batches = batches
        self.epochs = epochs

    def __len__(self) -> int:
        return self.epochs * len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.batches.batch(*divmod(index, len(self.batches)))
