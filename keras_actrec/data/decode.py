"""Frames out of video files, and a clear word on files that have none."""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_actrec.errors import UserError

# OpenCV's FFmpeg reads this once, when the process opens its first video. Bad files are reported by us.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

_WAY_OUT = "re-encode it with ffmpeg or remove it"


class VideoError(UserError):
    """A video that cannot be used.

    Attributes:
        path: path of the file.
        status: `unreadable` (cannot be opened), `empty` (opens, but no frame decodes) or `truncated` (fewer
            than 9 in 10 of the frames that its header claims decode).
    """

    def __init__(self, path, status, reason):
        super().__init__(path, status, reason)  # all three, so that the error survives pickling
        self.path, self.status, self.reason = Path(path), status, reason

    def __str__(self):
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds.

    Attributes:
        frames: number of frames that decode.
        claimed_frames: number that the file's header claims, 0 where it claims none.
        fps: frames a second by the header.
        width: width of a frame as it is shown, in pixels.
        height: height of a frame as it is shown, in pixels.
    """

    frames: int
    claimed_frames: int
    fps: float
    width: int
    height: int


def probe(path):
    """Reads through a video file and counts its frames.

    The count is of frames that decode: a header's count is often wrong (cut files, edit lists).

    Args:
        path: path of the file.

    Returns:
        A `VideoInfo`.

    Raises:
        VideoError: see its `status`.
    """
    capture = _open(path)
    frames, shape = 0, None
    while capture.grab():
        if shape is None:  # a header's size is that before rotation; a frame's is what everyone sees
            found, frame = capture.retrieve()
            if not found:
                break
            shape = frame.shape
        frames += 1
    claimed, fps = _claimed_frames(capture), float(_property(capture, "FPS"))
    _check_count(path, frames, claimed)
    return VideoInfo(frames, claimed, fps, width=shape[1], height=shape[0])


def read_frames(path, indices=None):
    """Decodes frames of a video file.

    The file is read in order up to the last frame that is needed: seeking is slower and, for many files,
    gives wrong frames. Frames that are not needed are not converted.

    Args:
        path: path of the file.
        indices: which frames, 0-based, in any order and with repeats; `None` is all of them.

    Returns:
        uint8 array `(N, H, W, 3)`, RGB, in the order of `indices`.

    Raises:
        VideoError: the file cannot be used (see its `status`) or ends before the last of `indices`.
        UserError: `indices` is empty or holds a negative number.
    """
    if indices is None:
        return np.stack(list(iter_frames(path)))
    indices = [int(index) for index in indices]
    if not indices or min(indices) < 0:
        raise UserError(f"`indices` must be frame numbers from 0, one or more. Received: indices={indices}")
    capture = _open(path)
    wanted, last, found = set(indices), max(indices), {}
    for index in range(last + 1):
        if not capture.grab():
            break
        if index in wanted:
            frame = _retrieve(capture)
            if frame is None:
                break
            found[index] = frame
    if last not in found:
        _check_count(path, index, _claimed_frames(capture))
        raise VideoError(path, "truncated", f"frame {last} was asked for, {index} decode; index it again")
    return np.stack([found[index] for index in indices])


def iter_frames(path, stride=1):
    """Decodes a video file frame by frame, so that a long one does not have to fit into memory.

    Args:
        path: path of the file.
        stride: every `stride`-th frame is given, from the first on.

    Yields:
        uint8 arrays `(H, W, 3)`, RGB.

    Raises:
        VideoError: the file cannot be used (see its `status`); `empty` and `truncated` can only be known, and
            are raised, at the end.
    """
    capture = _open(path)
    frames = 0
    while capture.grab():
        if frames % stride == 0:
            frame = _retrieve(capture)
            if frame is None:
                break
            yield frame
        frames += 1
    _check_count(path, frames, _claimed_frames(capture))


def index_videos(records, *, on_error="raise", workers=2, progress=None):
    """Reads through videos, in threads, to know how many frames each one really has.

    Args:
        records: `Record`s.
        on_error: `"raise"` stops at the first file, in the order of `records`, that cannot be used; `"skip"`
            leaves such files out and tells which they are.
        workers: number of threads.
        progress: called as `progress(done, total)` after every file.

    Returns:
        Two lists: pairs `(Record, VideoInfo)` of the good files in the order of `records`, and the
        `VideoError`s of the bad ones.

    Raises:
        VideoError: with `on_error="raise"`, the first bad file.
        UserError: an argument out of range.
    """
    if on_error not in ("raise", "skip"):
        raise UserError(f'`on_error` must be "raise" or "skip". Received: on_error={on_error!r}')
    if workers < 1:
        raise UserError(f"`workers` must be at least 1. Received: workers={workers}")
    records = list(records)
    good, bad = [], []
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(probe, record.file) for record in records]
        try:
            for done, (record, future) in enumerate(zip(records, futures, strict=True), start=1):
                try:
                    good.append((record, future.result()))
                except VideoError as error:
                    if on_error == "raise":
                        reason = f"{error.reason}, or pass `--on-error skip`"
                        raise VideoError(error.path, error.status, reason) from error
                    bad.append(error)
                if progress is not None:
                    progress(done, len(records))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return good, bad


@functools.cache
def _opencv():
    """OpenCV, loaded when first needed and without its own messages about bad files."""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def _open(path):
    path = Path(path)
    if not path.is_file():
        raise VideoError(path, "unreadable", "file not found; check the path")
    if path.stat().st_size == 0:
        raise VideoError(path, "unreadable", "the file has zero bytes; get it again or remove it")
    capture = _opencv().VideoCapture(str(path))
    if not capture.isOpened():
        reason = "OpenCV cannot open it (damaged, no video track, or not a video)"
        raise VideoError(path, "unreadable", f"{reason}; {_WAY_OUT}")
    return capture


def _check_count(path, frames, claimed):
    if not frames:
        raise VideoError(path, "empty", f"the file opens but no frame decodes; {_WAY_OUT}")
    if 10 * frames < 9 * claimed:
        reason = f"only {frames} of {claimed} claimed frames decode; {_WAY_OUT}"
        raise VideoError(path, "truncated", reason)


def _retrieve(capture):
    found, frame = capture.retrieve()
    return _opencv().cvtColor(frame, _opencv().COLOR_BGR2RGB) if found else None


def _claimed_frames(capture):
    return max(0, int(_property(capture, "FRAME_COUNT")))  # streams without a count give a negative number


def _property(capture, name):
    return capture.get(getattr(_opencv(), f"CAP_PROP_{name}"))
