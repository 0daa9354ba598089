"""Features of every frame of a set of videos, computed once and kept on disk."""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import keras
import numpy as np

from keras_actrec._files import replacing
from keras_actrec.data._readers import stamp
from keras_actrec.data.decode import iter_frames
from keras_actrec.data.manifest import Record
from keras_actrec.errors import UserError


@dataclass(frozen=True)
class FeatureItem:
    """The features of one video.

    Attributes:
        record: the video's `Record`.
        file: path of a `.npy` file, float16 `(frames, K, K, D)` or `(frames, D)`.
        frames: number of steps in the file.
    """

    record: Record
    file: Path
    frames: int


def extract_features(indexed, backbone, *, transform, out, stride=1, batch_size=32, progress=None):
    """Runs a frozen network over the frames of videos and stores what it gives.

    Writes one float16 file a video, `out/<key>/<path of the video>.npy`, where the key stands for the network
    (name, shapes, precision, weights), the transform and the stride. A file that is there is used again while
    size and time of change of its video are what they were. Batches are filled across videos and all have the
    same size, so the network is compiled once and computes nothing in vain but the rest of the last batch. An
    interrupted call leaves only finished files behind; the next one goes on from there.

    Args:
        indexed: pairs `(Record, VideoInfo)` from `index_videos`.
        backbone: `keras.Model` that maps frames `(B, H, W, 3)`, RGB, 0-255, to `(B, K, K, D)` or `(B, D)`.
        transform: a `ClipTransform`; nothing is drawn, so a random crop is a centred one.
        out: folder to write into; made if missing.
        stride: every `stride`-th frame is used, from the first on.
        batch_size: frames a batch.
        progress: called as `progress(done, total)` at the start, with what is there already, and after every
            video.

    Returns:
        list of `FeatureItem` in the order of `indexed`.

    Raises:
        UserError: an argument out of range, or features that do not fit into float16.
        VideoError: a video that does not decode (any more).
    """
    for name, value in (("stride", stride), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"`{name}` must be at least 1. Received: {name}={value}")
    folder = Path(out) / _key(backbone, transform, stride)
    indexed = list(indexed)
    files = [_file_of(folder, record) for record, _ in indexed]
    items = {
        place: FeatureItem(record, file, len(np.load(file, mmap_mode="r", allow_pickle=False)))
        for place, ((record, _), file) in enumerate(zip(indexed, files, strict=True))
        if _is_current(file, record)
    }
    todo = [place for place in range(len(indexed)) if place not in items]

    def frames():
        for place in todo:
            record = indexed[place][0]
            for frame in iter_frames(record.file, stride, start=record.start, stop=record.stop):
                yield place, transform(frame[None])[0]

    def report():
        if progress is not None:
            progress(len(items), len(indexed))

    report()
    for place, steps in itertools.groupby(_run(backbone, frames(), batch_size), key=lambda step: step[0]):
        record, file = indexed[place][0], files[place]
        with np.errstate(over="ignore"):  # an overflow is refused below
            features = np.stack([feature for _, feature in steps]).astype("float16")
        if not np.isfinite(features).all():
            raise UserError(f"{record.file}: {backbone.name} gives features beyond float16; scale them")
        with replacing(file) as beside:
            np.save(beside, features, allow_pickle=False)
        with replacing(_stamp_file(file)) as beside:
            beside.write_text(_stamp(record))
        items[place] = FeatureItem(record, file, len(features))
        report()
    return [items[place] for place in range(len(indexed))]


def _run(backbone, frames, batch_size):
    """Turns pairs (place, frame) into pairs (place, feature), in batches of one size."""
    while batch := list(itertools.islice(frames, batch_size)):
        places, images = zip(*batch, strict=True)
        filled = images + images[-1:] * (batch_size - len(images))
        yield from zip(places, backbone.predict_on_batch(np.stack(filled)), strict=False)


def _key(backbone, transform, stride):
    """Names what the features depend on, so that another network or size cannot be taken for this one.

    Weights go in by value and in order, without their names: those count up within a session.
    """
    key = hashlib.sha256()
    about = [backbone.name, backbone.input_shape, backbone.output_shape, backbone.dtype_policy.name]
    key.update(repr([*about, transform, stride]).encode())
    for weight in backbone.weights:
        value = keras.ops.convert_to_numpy(weight.value)
        key.update(repr((value.shape, str(value.dtype))).encode())
        key.update(np.ascontiguousarray(value).tobytes())
    return f"{backbone.name}-{key.hexdigest()[:16]}"


def _file_of(folder, record):
    path = PurePosixPath(record.path)
    if path.is_absolute() or ".." in path.parts:  # the file may lie anywhere, its features lie below `folder`
        path = PurePosixPath(hashlib.sha256(record.path.encode()).hexdigest()[:16]) / path.name
    if record.start is not None or record.stop is not None:  # one of several sequences of the file
        path = f"{path}.{record.start or 0}-{'' if record.stop is None else record.stop}"
    return folder / f"{path}.npy"


def _is_current(file, record):
    return file.is_file() and _stamp_file(file).is_file() and _stamp_file(file).read_text() == _stamp(record)


def _stamp_file(file):
    return file.with_suffix(".json")


def _stamp(record):
    size, changed = stamp(record.file)
    return json.dumps({"size": size, "mtime_ns": changed})
