"""Features of every frame of a set of videos, computed once and kept on disk."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_actrec import _backend
from keras_actrec._numbers import whole
from keras_actrec._types import PathLike, Progress
from keras_actrec.backbones import folded
from keras_actrec.cluster import Cluster
from keras_actrec.data._ahead import one_ahead
from keras_actrec.data.cache import CachedVideo, decoded, fill
from keras_actrec.data.decode import VideoInfo
from keras_actrec.data.manifest import Record
from keras_actrec.data.transforms import ClipTransform
from keras_actrec.errors import UserError

if TYPE_CHECKING:
    from keras_actrec.data.audit import Audit


def extract_features(
    indexed: Iterable[tuple[Record, VideoInfo]],
    backbone: keras.Model,
    *,
    transform: ClipTransform,
    out: PathLike,
    stride: int = 1,
    batch_size: int | None = None,
    audit: "Audit | None" = None,
    verify: bool = False,
    workers: int = 2,
    cluster: Cluster | None = None,
    index: str | None = "index.csv",
    progress: Progress | None = None,
) -> list[tuple[Record, CachedVideo]]:
    """Runs a frozen network over the frames of videos and stores what it gives.

    Writes two files a video below `out/<name>-<key>`: `<hash>.npy`, float16 with a step a frame, and
    `<hash>.json`, with the time in seconds and the checksum of every step. The hash is that of the video's
    bytes, the key that of the network (name, shapes, precision, weights), of how frames are prepared and of
    the stride: what they do not match is not read. `index.csv` next to them, `path,label,file,steps`, tells
    which file belongs to which video. The hashes of videos are kept in `out/sources` while size and time of
    change of the files stay what they were.

    A video's features depend on these and on nothing else: batches do not cross videos. The last one of a
    video is filled up to a quarter, a half, three quarters or all of `batch_size`, so that the network is
    compiled for four shapes at most. An interrupted call, also one that was killed, leaves only whole entries
    behind (and maybe a `.part-` file, which can be removed); the next one goes on from there and ends with
    the same bytes. Several processes may write into the same folder.

    Args:
        indexed: from `index_videos`.
        backbone: maps frames `(B, H, W, 3)`, RGB, 0-255, to `(B, K, K, D)` or `(B, D)`.
        transform: how frames are prepared; nothing is drawn, so a random crop is a centered one.
        out: folder to write into; made if missing.
        stride: every `stride`-th frame is used, from the first on.
        batch_size: frames a batch; by default as many as the backend computes fastest. Of features that exist
            it changes nothing; those that are computed may differ by rounding.
        audit: its hashes are taken for files that have not changed since.
        verify: whether all files are hashed, also those whose size and time of change are as they were.
        workers: number of threads that hash videos.
        cluster: hashes and computes in place of this machine.
        index: name of the list; `None` writes none.
        progress: called as `progress(done, total)` at the start, with what exists already, and after every
            video.

    Returns:
        In the order of `indexed`, items for `FeatureDataset`.

    Raises:
        UserError: an argument out of range, or features that do not fit into float16.
        VideoError: a video that does not decode (any more).
    """
    stride = whole("stride", stride)
    if batch_size is not None:
        batch_size = whole("batch_size", batch_size)
    deterministic = transform.deterministic
    network: list[keras.Model] = []  # where anything is left to compute: a cluster's processes fold their own

    def make(record: Record, info: VideoInfo) -> tuple[np.ndarray, list[float | None]]:
        if not network:
            network.append(folded(backbone))
        size = batch_size or _backend.frames_at_once(deterministic.size**2)
        seconds: list[float | None] = []
        parts = []
        for times, frames in one_ahead(_prepared(record, info, stride, deterministic, size)):
            seconds += times
            with np.errstate(over="ignore"):  # an overflow is refused below
                parts.append(_run(network[0], frames, size).astype("float16"))
        features = np.concatenate(parts)
        if not np.isfinite(features).all():
            raise UserError(f"{record.file}: {backbone.name} gives features beyond float16; scale them")
        return features, seconds

    return fill(
        indexed,
        make,
        out=out,
        name=backbone.name,
        about=(*_about(backbone), deterministic.size, deterministic.preparation, stride),
        audit=audit,
        verify=verify,
        workers=workers,
        cluster=cluster,
        index=index,
        progress=progress,
        computes=True,
    )


def _prepared(
    record: Record, info: VideoInfo, stride: int, transform: ClipTransform, size: int
) -> Iterator[tuple[Sequence[float | None], np.ndarray]]:
    """The seconds and the frames of as many batches as run at a time, from the first to the last."""
    steps = decoded(record, info, stride)
    while some := list(itertools.islice(steps, size * _backend.concurrency())):
        seconds, frames = zip(*some, strict=True)
        yield seconds, transform(np.stack(frames))


def _run(network: keras.Model, frames: np.ndarray, size: int) -> np.ndarray:
    """The network on frames, in batches of `size`; the last one of at most four shapes."""
    rest = len(frames) % size
    batches = [frames[start : start + size] for start in range(0, len(frames) - rest, size)]
    answers = _backend.predict(network, batches) if batches else []
    if rest:
        quarter = -(-size // 4)
        fill_up = min(-(-rest // quarter) * quarter, size) - rest
        filled = np.concatenate([frames[-rest:], np.repeat(frames[-1:], fill_up, axis=0)])
        answers.append(_backend.predict(network, [filled])[0][:rest])
    return np.concatenate(answers)


def _about(backbone: keras.Model) -> tuple[Any, ...]:
    """What the features depend on, so that another network cannot be taken for this one.

    Weights go in by value and in order, without their names: those count up within a session.
    """
    weights = hashlib.sha256()
    for weight in backbone.weights:
        value = keras.ops.convert_to_numpy(weight.value)
        weights.update(repr((value.shape, str(value.dtype))).encode())
        weights.update(np.ascontiguousarray(value).tobytes())
    shapes = backbone.input_shape, backbone.output_shape
    return backbone.name, *shapes, backbone.dtype_policy.name, weights.hexdigest()
