"""Small clips for a page: videos that browsers play, or, where none can be written, a few frames."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_actrec.data import Record
from keras_actrec.data._opencv import opencv
from keras_actrec.data.decode import iter_timed, sized
from keras_actrec.errors import DiskFullError

_PIXELS = 112 * 84  # of a frame at most
_RATE = 10.0  # frames a second at most
_MOST = 150  # frames of a clip at most: longer ones have fewer a second
_NO_RATE = 30.0  # frames a second of what has no times, as of `stream`
_STILLS = 16
_QUALITY = 40  # of WebP
_PIXELS_A_BYTE = {"video": 10, "stills": 4}  # about: what is too large all the same is made again
_TRIES = 4


@dataclass(frozen=True, eq=False)
class SmallClip:
    """A video made small.

    Attributes:
        times: of every frame of the file, in seconds from the first one `(N,)`.
        seconds: how long it lasts.
        video: an MP4 file, VP9; None where OpenCV cannot write one.
        stills: WebP files, evenly in time, where there is no video.
    """

    times: np.ndarray
    seconds: float
    video: bytes | None
    stills: tuple[bytes, ...] = ()


def small_clip(record: Record, budget: int) -> SmallClip:
    """Read a video and make it small: at most 112 x 84 pixels, 10 frames a second and 150 in all.

    Args:
        record: the video.
        budget: bytes that it should take; where that is little, frames are fewer and smaller.

    Raises:
        VideoError: for a file that cannot be used.
    """
    times, kept, every = list[float](), list[np.ndarray](), 1
    size: tuple[int, int] = (0, 0)
    for number, (seconds, frame) in enumerate(iter_timed(record.file, start=record.start, stop=record.stop)):
        times.append(number / _NO_RATE if seconds is None else seconds)
        if number % every:
            continue
        size = size if kept else (frame.shape[0], frame.shape[1])
        kept.append(_shrunk(sized(frame, size), _PIXELS))
        if len(kept) > 2 * _MOST:  # so that memory does not grow with the length
            kept, every = kept[::2], 2 * every
    at = np.array(times) - times[0]
    if len(at) > 1 and at[-1] <= 0:  # time stamps that do not move
        at = np.arange(len(at)) / _NO_RATE
    seconds = float(at[-1] * len(at) / (len(at) - 1)) if len(at) > 1 else 1 / _NO_RATE
    source = _Source(kept, at[::every], seconds)
    video = source.video(budget)
    return SmallClip(at, seconds, video, () if video else source.stills(budget))


@dataclass(frozen=True, eq=False)
class _Source:
    """Frames, the time of each, and how long they last together."""

    frames: Sequence[np.ndarray]
    times: np.ndarray
    seconds: float

    def video(self, budget: int) -> bytes | None:
        """An MP4 file (VP9) of about so many bytes at most, or None where OpenCV cannot write one."""
        rate = min(_RATE, _MOST / self.seconds)
        share = min(1.0, budget * _PIXELS_A_BYTE["video"] / (rate * self.seconds * self._area))
        video = None
        for _ in range(_TRIES):
            area = max(share**0.5, 0.25)  # what is left is taken from the rate
            slower = rate * min(1.0, share / area)
            video = _encoded([_shrunk(frame, area * self._area) for frame in self._at(slower)], slower)
            if video is None or len(video) <= budget:
                break
            share *= 0.85 * budget / len(video)
        return video

    def stills(self, budget: int) -> tuple[bytes, ...]:
        """WebP files of some frames, evenly in time."""
        pixels = min(self._area, budget * _PIXELS_A_BYTE["stills"] / _STILLS)
        return tuple(_webp(_shrunk(frame, pixels)) for frame in self._at(_STILLS / self.seconds))

    @property
    def _area(self) -> int:
        return int(np.prod(self.frames[0].shape[:2]))

    def _at(self, rate: float) -> list[np.ndarray]:
        """Frames at even times: a frame is shown until the next one comes."""
        wanted = np.arange(max(1, round(self.seconds * rate))) / rate
        found = np.searchsorted(self.times[: len(self.frames)], wanted + 1e-6, side="right") - 1
        return [self.frames[index] for index in np.maximum(found, 0)]


def _shrunk(frame: np.ndarray, pixels: float) -> np.ndarray:
    """A frame of about so many pixels at most, of even sides, as codecs want them."""
    height, width = frame.shape[:2]
    scale = min(1.0, (pixels / (height * width)) ** 0.5)
    height, width = (max(2, 2 * round(side * scale / 2)) for side in (height, width))
    if frame.shape[:2] == (height, width):
        return frame
    return opencv().resize(frame, (width, height), interpolation=opencv().INTER_AREA)


def _encoded(frames: Sequence[np.ndarray], rate: float) -> bytes | None:
    cv2 = opencv()
    height, width = frames[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        codec = cv2.VideoWriter_fourcc(*"vp09")
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, rate, (width, height))
        if not writer.isOpened():
            return None
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()
        written = cv2.VideoCapture(str(path))  # OpenCV does not say that a disk is full
        if int(written.get(cv2.CAP_PROP_FRAME_COUNT)) < len(frames):
            raise DiskFullError(folder)
        return path.read_bytes()


def _webp(frame: np.ndarray) -> bytes:
    cv2 = opencv()
    _, data = cv2.imencode(".webp", frame[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    return data.tobytes()
