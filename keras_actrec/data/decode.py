"""Frames out of video files, and a clear word on files that have none."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from keras_actrec._numbers import MAX_SKIPPED, MOST_WORKERS, whole
from keras_actrec._types import PathLike, Progress
from keras_actrec.cluster import Cluster, Threads
from keras_actrec.data._opencv import opencv
from keras_actrec.data._readers import Reader, open_video
from keras_actrec.data._video_error import VideoError, unforeseen
from keras_actrec.data.manifest import Record
from keras_actrec.errors import UserError

Examined = TypeVar("Examined")
Found = TypeVar("Found")


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds.

    Attributes:
        frames: number of frames that decode.
        claimed_frames: number that the file's header claims, 0 where it claims none. A hint: formats without
            a count give length times rate, and an mp4 counts what its edit list hides.
        fps: frames a second by the header, 0 where it says nothing.
        width: width of a frame as it is shown, in pixels.
        height: height of a frame as it is shown, in pixels.
    """

    frames: int
    claimed_frames: int
    fps: float
    width: int
    height: int


def probe(path: PathLike, *, decoder: str = "opencv") -> VideoInfo:
    """Reads through a video and counts its frames.

    The count is of frames that decode: a header's count is often wrong (cut files, edit lists, rates that
    vary).

    Args:
        path: a video file, or of a folder of frames: images (`.jpg`, `.jpeg`, `.png`) whose names end
            with a number. They are in the order of the numbers, which may begin anywhere and have gaps;
            other files are passed over.
        decoder: `"opencv"` or `"pyav"` (extra `pyav`); for files, images are always read by OpenCV.

    Returns:
        What the file holds.

    Raises:
        VideoError: see its `status`.
    """
    return scan(path, decoder=decoder)[0]


def scan(
    path: PathLike,
    choose: Callable[[int], Iterable[int]] = lambda frames: (),
    change: Callable[[np.ndarray], np.ndarray] = lambda frame: frame,
    *,
    start: int | None = None,
    stop: int | None = None,
    decoder: str = "opencv",
) -> tuple[VideoInfo, dict[int, np.ndarray]]:
    """What `probe` says, and frames that come up on the way, so that most files are read once.

    Args:
        path: see `probe`.
        choose: which frames, ascending or not, are wanted of a video of so many frames. It is asked with the
            number that the header claims; where that is wrong, so may be what is found.
        change: what to do to a frame before it is kept; all have the size of the first one.
        start: first frame of the sequence that is read, as if it were the file; `None` is the first.
        stop: frame after the last of the sequence, where reading ends; `None` is the end of the file.
        decoder: see `probe`.

    Returns:
        What the file holds, and the frames that were found by their number from `start` on.

    Raises:
        VideoError: see its `status`.
    """
    first = _first(start, stop)
    reader = open_video(path, decoder)
    claimed = max(0, (reader.claimed if stop is None else stop) - first)
    wanted = {first + int(index) for index in choose(claimed)} if claimed else set()
    found: dict[int, np.ndarray] = {}
    size: Sequence[int] = ()
    frames = 0
    while frames != stop and reader.grab():
        needed = not size or reader.lazy  # a header's size is that before rotation; a frame's is what is seen
        if needed or frames in wanted:
            frame = reader.retrieve()
            if frame is not None:
                size = size or frame.shape[:2]
                if frames in wanted:
                    found[frames - first] = change(sized(frame, size))
            elif needed:
                break
        frames += 1
    if frames != stop:
        _check_count(path, frames, reader)
        frames = _frames_between(path, frames, start, stop) + first
    return VideoInfo(frames - first, claimed, reader.fps, width=size[1], height=size[0]), found


def read_frames(
    path: PathLike,
    indices: Iterable[int] | None = None,
    *,
    start: int | None = None,
    stop: int | None = None,
    size: tuple[int, int] | None = None,
    decoder: str = "opencv",
) -> np.ndarray:
    """Decodes frames of a video.

    The file is read in order up to the last frame that is needed: seeking is slower and, for many files,
    gives wrong frames. Frames that are not needed are not converted. Where the size changes within a file,
    all are resized to `size`.

    Args:
        path: a video file or of a folder of frames, see `probe`.
        indices: which frames, 0-based and from `start` on, in any order and with repeats; `None` is all.
        start: first frame of the sequence that is read; `None` is the first of the file.
        stop: frame after the last of the sequence; `None` is the end of the file.
        size: height and width of the result; `None` is those of the first frame in `indices`.
        decoder: see `probe`.

    Returns:
        uint8 array `(N, H, W, 3)`, RGB, in the order of `indices`.

    Raises:
        VideoError: the file cannot be used (see its `status`) or ends before the last of `indices`.
        UserError: `indices` is empty or holds a number out of range, or `stop` is not after `start`.
    """
    if indices is None:
        return _stack(list(iter_frames(path, start=start, stop=stop, decoder=decoder)), size)
    first = _first(start, stop)
    indices = [int(index) for index in indices]
    if not indices or min(indices) < 0:
        raise UserError(f"`indices` must be frame numbers from 0, one or more. Received: indices={indices}")
    if stop is not None and max(indices) >= stop - first:
        raise UserError(
            f"`indices` must be below {stop - first}, the length of the sequence from {first} to {stop}. "
            f"Received: indices={indices}"
        )
    wanted = sorted(set(indices))
    found = dict(zip(wanted, pick_frames(path, wanted, start=start, stop=stop, decoder=decoder), strict=True))
    return _stack([found[index] for index in indices], size)


def pick_frames(
    path: PathLike,
    wanted: Sequence[int] | np.ndarray,
    *,
    start: int | None = None,
    stop: int | None = None,
    decoder: str = "opencv",
) -> Iterator[np.ndarray]:
    """As `read_frames`, frame by frame: the numbers `wanted` ascend, and each frame has its own size."""
    for _, frame in pick_timed(path, wanted, start=start, stop=stop, decoder=decoder):
        yield frame


def pick_timed(
    path: PathLike,
    wanted: Sequence[int] | np.ndarray,
    *,
    start: int | None = None,
    stop: int | None = None,
    decoder: str = "opencv",
) -> Iterator[tuple[float | None, np.ndarray]]:
    """As `pick_frames`, in pairs of the seconds, as of `iter_timed`, and the frame."""
    first = _first(start, stop)
    reader = open_video(path, decoder)
    frames, begin = 0, None  # so far
    for index in wanted:
        frame = None
        while frames <= first + index and reader.grab():
            begin = begin if frames else reader.time
            frames += 1
        if frames > first + index:
            frame = reader.retrieve()
            frames -= frame is None
        if frame is None:
            _check_count(path, frames, reader)
            reason = f"frame {first + wanted[-1]} was asked for, {frames} decode; index it again"
            raise VideoError(path, "truncated", reason)
        yield _seconds(reader, begin, frames - 1), frame


def iter_frames(
    path: PathLike,
    stride: int = 1,
    *,
    start: int | None = None,
    stop: int | None = None,
    decoder: str = "opencv",
) -> Iterator[np.ndarray]:
    """Decodes a video frame by frame, so that a long one does not have to fit into memory.

    Args:
        path: a video file or of a folder of frames, see `probe`.
        stride: every `stride`-th frame is given, from the first on.
        start: first frame of the sequence that is read; `None` is the first of the file.
        stop: frame after the last of the sequence; `None` is the end of the file.
        decoder: see `probe`.

    Yields:
        uint8 arrays `(H, W, 3)`, RGB.

    Raises:
        VideoError: the file cannot be used (see its `status`); `empty` and `truncated` can only be known, and
            are raised, at the end.
    """
    for _, frame in iter_timed(path, stride, start=start, stop=stop, decoder=decoder):
        yield frame


def iter_timed(
    path: PathLike,
    stride: int = 1,
    *,
    start: int | None = None,
    stop: int | None = None,
    decoder: str = "opencv",
) -> Iterator[tuple[float | None, np.ndarray]]:
    """As `iter_frames`, in pairs: the seconds from the file's first frame on, and the frame.

    Where the file has no time stamps they follow from its rate, and are `None` where it has none either.
    """
    first = _first(start, stop)
    reader = open_video(path, decoder)
    frames, begin = 0, None
    while frames != stop and reader.grab():
        if frames == 0:
            begin = reader.time
        if frames >= first and (frames - first) % stride == 0:
            frame = reader.retrieve()
            if frame is None:
                break
            yield _seconds(reader, begin, frames), frame
        frames += 1
    if frames != stop:
        _check_count(path, frames, reader)
        _frames_between(path, frames, start, stop)


def _seconds(reader: Reader, begin: float | None, number: int) -> float | None:
    """From the first frame, whose time stamp is `begin`, to the one that was read, which has this number."""
    if reader.time is not None and begin is not None:
        return reader.time - begin
    return number / reader.fps if reader.fps else None


class Known(Protocol):
    """What is known of files without reading them, such as an `Audit`."""

    def look_up(self, record: Record) -> VideoInfo | None:
        """The `VideoInfo` of a record's file; None where it must be read. A bad file raises `VideoError`."""


def index_videos(
    records: Iterable[Record],
    *,
    on_error: str = "raise",
    max_skipped: float = MAX_SKIPPED,
    workers: int = 2,
    audit: Known | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> tuple[list[tuple[Record, VideoInfo]], list[VideoError]]:
    """Reads through videos, in threads, to know how many frames each one really has.

    Records that are sequences of one file (`start`, `stop`) have the frames of their sequence counted; the
    file is read once.

    Args:
        records: of a manifest.
        on_error: `"raise"` stops at the first file, in the order of `records`, that cannot be used; `"skip"`
            leaves such files out and tells which they are.
        max_skipped: largest share of the records that `"skip"` may leave out.
        workers: number of threads.
        audit: its word is taken for files that have not changed since.
        cluster: reads in place of the threads.
        progress: called as `progress(done, total)` after every record.

    Returns:
        The good files in the order of `records`, and the errors of the bad ones. Together they are as many as
        `records`.

    Raises:
        VideoError: with `on_error="raise"`, the first bad file.
        UserError: an argument out of range, or more than `max_skipped` left out.
    """
    return index_records(
        records,
        lambda record: _examine(record, audit),
        key=lambda record: record.file,  # which several may be sequences of
        finish=_sequence,
        on_error=on_error,
        max_skipped=max_skipped,
        workers=workers,
        cluster=cluster,
        progress=progress,
    )


def index_records(
    records: Iterable[Record],
    examine: Callable[[Record], Examined],
    *,
    key: Callable[[Record], Hashable],
    finish: Callable[[Record, Examined], Found],
    on_error: str,
    max_skipped: float,
    workers: int,
    cluster: Cluster | None,
    progress: Progress | None,
) -> tuple[list[tuple[Record, Found]], list[VideoError]]:
    """What `index_videos` does, for any kind of file.

    `examine(record)` is called in a thread, or on the cluster, once for all records of one `key(record)`; of
    what it found, `finish(record, found)` makes the second member of the record's pair.
    """
    if on_error not in ("raise", "skip"):
        raise UserError(f'`on_error` must be "raise" or "skip". Received: on_error={on_error!r}')
    workers = whole("workers", workers, high=MOST_WORKERS)
    if not 0 <= max_skipped <= 1:
        raise UserError(f"`max_skipped` must be between 0 and 1. Received: max_skipped={max_skipped}")
    records = list(records)
    first: dict[Hashable, Record] = {}
    for record in records:
        first.setdefault(key(record), record)
    pool = cluster or Threads(workers)
    examined: dict[Hashable, Examined | VideoError] = {}
    good, bad = [], []
    with closing(
        pool.in_order(partial(_guarded, examine), first.values(), files=lambda record: (record.file,))
    ) as coming:
        for done, record in enumerate(records, start=1):
            if key(record) not in examined:
                examined[key(record)] = next(coming)
            try:
                good.append((record, finish(record, _good(examined[key(record)]))))
            except VideoError as error:
                if on_error == "raise":
                    reason = f"{error.reason}, or pass `--on-error skip`"
                    raise VideoError(error.path, error.status, reason, error.counts) from error
                bad.append(error)
            if progress is not None:
                progress(done, len(records))
    if len(bad) > max_skipped * len(records):
        needed = math.ceil(1000 * len(bad) / len(records)) / 1000
        raise UserError(
            f"{len(bad)} of {len(records)} videos cannot be used, and `max_skipped` allows a share of "
            f"{max_skipped:g}: mend them, or pass `--max-skipped {needed:g}`; the first is {bad[0]}"
        ) from bad[0]
    return good, bad


def _guarded(examine: Callable[[Record], Examined], record: Record) -> Examined | VideoError:
    """What is found in a file, or what is wrong with it; an error of any kind is that file's status."""
    try:
        return examine(record)
    except VideoError as error:
        return error
    except UserError:
        raise
    except Exception as error:
        return unforeseen(record.file, error)


def _good(found: Examined | VideoError) -> Examined:
    if isinstance(found, VideoError):
        raise found
    return found


def _examine(record: Record, audit: Known | None) -> VideoInfo:
    info = audit.look_up(record) if audit is not None else None
    return info or probe(record.file)


def _sequence(record: Record, info: VideoInfo) -> VideoInfo:
    """What the whole file holds, cut to the record's sequence."""
    if record.start is None and record.stop is None:
        return info
    frames = _frames_between(record.file, info.frames, record.start, record.stop)
    end = info.claimed_frames if record.stop is None else record.stop
    return replace(info, frames=frames, claimed_frames=max(0, end - (record.start or 0)))


def _first(start: int | None, stop: int | None) -> int:
    first = 0 if start is None else start
    if first < 0 or (stop is not None and stop <= first):
        raise UserError(f"`start` must be from 0 and below `stop`. Received: start={start}, stop={stop}")
    return first


def _frames_between(path: PathLike, frames: int, start: int | None, stop: int | None) -> int:
    """How many of a file's frames lie between `start` and `stop`; enough of them, or it is an error."""
    first = _first(start, stop)
    inside = min(frames, stop if stop is not None else frames) - first
    if inside < 1 or (stop is not None and 10 * inside < 9 * (stop - first)):
        sequence = f"frame {first} to {'the end' if stop is None else stop}"
        reason = f"{frames} frames decode, the sequence is from {sequence}; mend the list or the file"
        raise VideoError(path, "truncated", reason)
    return inside


def _check_count(path: PathLike, frames: int, reader: Reader) -> None:
    if not frames:
        raise VideoError(path, "empty", f"the file opens but no frame decodes; {reader.hint}")
    if 10 * frames < 9 * reader.claimed and not reader.complete(frames):
        reason = f"only {frames} of {reader.claimed} claimed frames decode; {reader.hint}"
        raise VideoError(path, "truncated", reason, (frames, reader.claimed))


def sized(frame: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The frame with this height and width."""
    return frame if frame.shape[:2] == tuple(size) else opencv().resize(frame, size[::-1])


def _stack(frames: list[np.ndarray], size: Sequence[int] | None) -> np.ndarray:
    """One array of frames that may differ in size."""
    size = frames[0].shape[:2] if size is None else size
    return np.stack([sized(frame, size) for frame in frames])
