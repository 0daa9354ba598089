"""Batches of clips or features for `fit`, `evaluate` and `predict`."""

import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from keras_actrec.data._readers import opencv
from keras_actrec.data.decode import read_frames
from keras_actrec.data.sampling import clip_rng
from keras_actrec.errors import UserError

_AHEAD = 2  # batches that threads prepare while one is used
# One header at a time: NumPy parses it with `ast`, which has failed (SystemError, Python 3.11) with four
# threads in it. The features themselves are read outside.
_HEADER = threading.Lock()


class _Dataset(keras.utils.PyDataset):
    """Batches as a pure function of (seed, epoch, batch number): order, frames and augmentation.

    Keras's own worker threads are not used: they keep batches that were prepared ahead for the next epoch, in
    which they come first and in the wrong order (3.15, whenever an epoch is left early, as `fit` does on its
    first call to build a model). Here a batch that is prepared ahead belongs to its epoch and number and is
    dropped when they do not come up.
    """

    def __init__(self, items, sampling, *, batch_size, seed, training, masked, workers):
        super().__init__(workers=0)
        if not items:
            raise UserError("`items` must hold at least one video. Received: none")
        for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0), ("workers", workers, 0)):
            if value < least:
                raise UserError(f"`{name}` must be at least {least}. Received: {name}={value}")
        self.items = list(items)
        self.sampling = sampling
        self.batch_size = batch_size
        self.seed = seed
        self.training = training
        self.masked = masked
        self.epoch = 0
        self._lock = threading.Lock()
        self._pending = {}
        self._pool = None
        if workers:
            opencv().setNumThreads(0)  # the videos are what runs in parallel; nested threads slow it down
            self._pool = ThreadPoolExecutor(workers)

    def __len__(self):
        return -(-len(self.items) // self.batch_size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches. Received: index={index}")
        epoch = self.epoch
        if self._pool is None:
            return self._collate([self._sample(epoch, place) for place in self._places(epoch, index)])
        with self._lock:
            wanted = [(epoch, ahead) for ahead in range(index, min(index + 1 + _AHEAD, len(self)))]
            for stale in self._pending.keys() - set(wanted):
                for future in self._pending.pop(stale):
                    future.cancel()
            for key in wanted:
                if key not in self._pending:
                    places = self._places(*key)
                    self._pending[key] = [self._pool.submit(self._sample, epoch, place) for place in places]
            futures = self._pending.pop(wanted[0])
        return self._collate([future.result() for future in futures])

    def on_epoch_end(self):
        """Goes on to the next epoch. Note that `fit` calls this once before its first epoch too."""
        self.epoch += 1

    def _places(self, epoch, index):
        """Places in `items` of the items of one batch."""
        count = len(self.items)
        # The stream after the last item's: SeedSequence takes [seed, epoch] for the same as [seed, epoch, 0].
        order = clip_rng(self.seed, epoch, count).permutation(count) if self.training else np.arange(count)
        return order[index * self.batch_size : (index + 1) * self.batch_size].tolist()

    def _sample(self, epoch, place):
        rng = clip_rng(self.seed, epoch, place) if self.training else None
        return self._load(self.items[place], rng)

    def _collate(self, samples):
        arrays, masks, labels = zip(*samples, strict=True)
        x = np.stack(arrays)
        if self.masked:
            x = {self._input_name: x, "mask": np.stack(masks)}
        return x, np.array(labels, "int32")


class ClipDataset(_Dataset):
    """Clips decoded from video files, batch by batch.

    A batch is `(x, y)`: `x` uint8 `(B, T, size, size, 3)`, RGB, or, with `masked`, a dict of `clip` and
    `mask` `(B, T)`, bool; `y` int32 `(B,)`. The last batch may be smaller. With `training` the order is
    shuffled and frames, crops, flips and colours are drawn anew in each epoch; all of it depends on (seed,
    `epoch`, place of the item in `items`) only, never on `workers` or on the backend. A mirrored clip has the
    label that `transform.swap` gives it.

    `on_epoch_end` adds 1 to `epoch`. Pass `shuffle=False` to `fit`, which otherwise changes the order of the
    batches in a way that cannot be repeated, and the callback `FollowEpoch(dataset)`, so that epoch 5 draws
    the same in a run that was resumed.

    Args:
        items: pairs `(Record, VideoInfo)` from `index_videos`.
        sampling: a `Sampling`.
        transform: a `ClipTransform`.
        batch_size: clips a batch.
        seed: seed of everything drawn, at least 0.
        training: whether to shuffle and draw; else order and clips are always the same.
        masked: whether to add the mask.
        workers: number of threads that decode ahead; 0 decodes when asked.

    Raises:
        UserError: no items, or an argument out of range.
        VideoError: on access, a file that does not decode (any more).
    """

    _input_name = "clip"

    def __init__(
        self, items, sampling, transform, *, batch_size=8, seed=0, training=False, masked=False, workers=0
    ):
        super().__init__(
            items,
            sampling,
            batch_size=batch_size,
            seed=seed,
            training=training,
            masked=masked,
            workers=workers,
        )
        self.transform = transform

    def _load(self, item, rng):
        record, info = item
        indices, mask = self.sampling.indices(info.frames, rng)
        frames = read_frames(record.file, indices, start=record.start, stop=record.stop)
        clip, label = self.transform.labelled(frames, record.label, rng)
        return clip, mask, label


class ViewDataset(_Dataset):
    """All clips and crops of a video, video by video, for a test that averages over them.

    A batch is `(x, y)` as in `ClipDataset`, where B is the number of views of one video: each clip of
    `sampling.clips`, and of each all of `transform.crops`; `y` repeats the video's label. Nothing is drawn.

    Args:
        items: pairs `(Record, VideoInfo)` from `index_videos`.
        sampling: a `Sampling`.
        transform: a `ClipTransform`.
        masked: whether to add the mask.
        workers: number of threads that decode ahead; 0 decodes when asked.

    Raises:
        UserError: no items, or an argument out of range.
        VideoError: on access, a file that does not decode (any more).
    """

    _input_name = "clip"

    def __init__(self, items, sampling, transform, *, masked=False, workers=0):
        super().__init__(
            items, sampling, batch_size=1, seed=0, training=False, masked=masked, workers=workers
        )
        self.transform = transform

    def _load(self, item, rng):
        record, info = item
        indices, masks = self.sampling.clips(info.frames)
        needed, place = np.unique(indices, return_inverse=True)  # each frame is decoded once
        frames = read_frames(record.file, needed, start=record.start, stop=record.stop)
        views = [self.transform.crops(frames[clip]) for clip in place.reshape(indices.shape)]
        return np.concatenate(views), np.repeat(masks, self.transform.num_crops, axis=0), record.label

    def _collate(self, samples):
        x, y = super()._collate(samples)
        x = {name: value[0] for name, value in x.items()} if self.masked else x[0]
        return x, np.repeat(y, len(x["mask"] if self.masked else x))


class FeatureDataset(_Dataset):
    """Clips of extracted features, batch by batch.

    As `ClipDataset`, with `x` float32 `(B, T, K, K, D)` or `(B, T, D)`, named `features` when `masked`. Only
    the steps that a clip needs are read from disk.

    Args:
        items: `FeatureItem`s from `extract_features`.
        sampling: a `Sampling`, in steps of the features.
        batch_size: clips a batch.
        seed: seed of everything drawn, at least 0.
        training: whether to shuffle and draw; else order and clips are always the same.
        masked: whether to add the mask.
        workers: number of threads that read ahead; 0 reads when asked.

    Raises:
        UserError: no items, an argument out of range, or, on access, a feature file that cannot be read.
    """

    _input_name = "features"

    def __init__(self, items, sampling, *, batch_size=8, seed=0, training=False, masked=False, workers=0):
        super().__init__(
            items,
            sampling,
            batch_size=batch_size,
            seed=seed,
            training=training,
            masked=masked,
            workers=workers,
        )

    def _load(self, item, rng):
        indices, mask = self.sampling.indices(item.frames, rng)
        try:
            with _HEADER:
                features = np.load(item.file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{item.file}: not a feature file ({error}); extract it again") from error
        return features[indices].astype("float32"), mask, item.record.label


class SkeletonDataset(_Dataset):
    """Skeleton sequences, batch by batch.

    As `ClipDataset`, with `x` float32 `(B, T, D)`, named `features` when `masked`.

    Args:
        items: pairs of a `Record` and a function that gives its joints, `(N, bodies, joints, 3)`, when it is
            called with the record.
        transform: a `SkeletonTransform`.
        batch_size: sequences a batch.
        seed: seed of everything drawn, at least 0.
        training: whether to shuffle and draw; else order and sequences are always the same.
        masked: whether to add the mask.
        workers: number of threads that read ahead; 0 reads when asked.

    Raises:
        UserError: no items, an argument out of range, or, on access, joints that `transform` refuses.
    """

    _input_name = "features"

    def __init__(self, items, transform, *, batch_size=8, seed=0, training=False, masked=False, workers=0):
        super().__init__(
            items,
            None,
            batch_size=batch_size,
            seed=seed,
            training=training,
            masked=masked,
            workers=workers,
        )
        self.transform = transform

    def _load(self, item, rng):
        record, read = item
        joints = read(record)
        try:
            sequence, mask = self.transform(joints, rng)
        except UserError as error:
            raise UserError(f"{record.file}: {error}") from error
        return sequence, mask, record.label


class FollowEpoch(keras.callbacks.Callback):
    """Keeps the epoch of a dataset equal to that of `fit`.

    `fit` calls a dataset's `on_epoch_end` once before its first epoch, and starts a resumed run at
    `initial_epoch`. With this callback the n-th epoch draws the same clips in every run.

    Args:
        dataset: a `ClipDataset`, `FeatureDataset` or `SkeletonDataset`.
    """

    def __init__(self, dataset):
        super().__init__()
        self.dataset = dataset

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the epoch; Keras calls it before it asks for the first batch."""
        self.dataset.epoch = epoch
