"""Frames with the answer drawn in, as a video or in a window."""

import math
import sys
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import environ
from pathlib import Path

import numpy as np

from keras_actrec._files import replacing
from keras_actrec._fonts import is_shaped
from keras_actrec._text import printable
from keras_actrec._types import PathLike
from keras_actrec.data._opencv import opencv
from keras_actrec.data.decode import sized
from keras_actrec.data.transforms import Region
from keras_actrec.errors import UserError
from keras_actrec.insight._overlay import heated

# Okabe and Ito's palette for the color-blind, RGB, without black.
_COLORS = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (204, 121, 167)),
)
_GRAY = (130, 130, 130)
_SPAN = 10.0  # seconds of the time line
_LEAST = 240  # pixels of the short side
_TITLE = "keras_actrec"


class Overlay:
    """Draws the label, where the model looks, and a time line of the last ten seconds.

    Its bars are as high as the probability. Those of a segment have their class' color, those outside
    of any are gray. A name of which OpenCV lacks a letter, before its version 5 all but ASCII, is the class'
    number.

    Args:
        class_names: of the scores.
        region: what of a frame of a height and a width the model sees; by default all of it.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        region: Callable[[int, int], Region] = lambda height, width: Region(0, 0, height, width),
    ) -> None:
        self._region = region
        self._names = [
            name if _has_letters(name) else f"class {number}"
            for number, name in enumerate(
                unicodedata.normalize("NFC", printable(name)) for name in class_names
            )
        ]
        self._numbers = {name: number for number, name in enumerate(class_names)}
        self._past: deque[tuple[float, int | None, float]] = deque(maxlen=4096)

    def draw(
        self,
        frame: np.ndarray,
        seconds: float,
        label: str | None,
        scores: np.ndarray | None,
        attention: np.ndarray | None = None,
    ) -> np.ndarray:
        """A copy of a frame `(H, W, 3)`, RGB, with what is known at its time; enlarged if below 240 pixels.

        Args:
            frame: uint8.
            seconds: its time.
            label: the class of the open segment, or None.
            scores: probabilities `(C,)`, or None before the first answer.
            attention: shares `(N,)` of the cells of a square that lies over what the model sees; the largest
                is outlined.
        """
        frame = _enlarged(frame)
        if attention is not None and math.isqrt(len(attention)) ** 2 == len(attention):
            frame = self._looked_at(frame, attention)
        if scores is None:
            return frame
        best = int(np.argmax(scores))
        shown = best if label is None else self._numbers[label]
        score = float(scores[shown])
        self._past.append((seconds, None if label is None else shown, score))
        while self._past[0][0] < seconds - _SPAN:
            self._past.popleft()
        self._time_line(frame, seconds)
        self._text(frame, f"{self._names[shown]} {score:.2f}", _GRAY if label is None else _color(shown))
        return frame

    def _looked_at(self, frame: np.ndarray, attention: np.ndarray) -> np.ndarray:
        rows = math.isqrt(len(attention))
        cell = divmod(int(attention.argmax()), rows)
        shares = attention.reshape(rows, rows) / (attention.max() or 1)
        return heated(frame, shares, self._region(*frame.shape[:2]), cell=cell)

    def _time_line(self, frame: np.ndarray, now: float) -> None:
        height, width = frame.shape[:2]
        tall = max(8, height // 12)
        frame[-tall:] //= 3
        past = list(self._past)
        ends = [*(seconds for seconds, _, _ in past[1:]), now]
        for (seconds, label, score), until in zip(past, ends, strict=True):
            left = min(width - 1, round(width * (1 - (now - seconds) / _SPAN)))
            right = max(left + 1, round(width * (1 - (now - until) / _SPAN)))
            bar = max(1, round(tall * score))
            frame[height - bar :, left:right] = _GRAY if label is None else _color(label)

    @staticmethod
    def _text(frame: np.ndarray, text: str, color: tuple[int, int, int]) -> None:
        cv2, font = opencv(), opencv().FONT_HERSHEY_SIMPLEX
        height, width = frame.shape[:2]
        tall = height // 10
        frame[:tall] //= 4
        frame[:tall, :tall] = color
        (length, above), _ = cv2.getTextSize(text, font, 1.0, 1)
        scale = min(0.5 * tall / above, (width - 2 * tall) / length)
        place = (round(1.5 * tall), round(0.5 * (tall + scale * above)))
        cv2.putText(frame, text, place, font, scale, (255, 255, 255), max(1, round(scale)), cv2.LINE_AA)


def _has_letters(name: str) -> bool:
    """Whether OpenCV can write a name: for what it lacks it writes a question mark, or one for each byte."""

    def written(text: str) -> bytes:
        picture = np.zeros((40, 120), "uint8")
        cv2.putText(picture, text, (4, 30), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255,), 1)
        return picture.tobytes()

    if name.isascii():
        return True
    cv2 = opencv()
    unknown = [written(number * "?") for number in range(1, 5)]
    others = {c for c in name if not c.isascii() and not c.isspace()}
    return not any(is_shaped(c) or written(c) in unknown for c in others)


def _enlarged(frame: np.ndarray) -> np.ndarray:
    """A copy in which letters can be read: small frames are a whole number of times as large."""
    times = -(-_LEAST // min(frame.shape[:2]))
    height, width = (times * side for side in frame.shape[:2])
    return frame.copy() if times == 1 else opencv().resize(frame, (width, height))


def _color(number: int) -> tuple[int, int, int]:
    return _COLORS[number % len(_COLORS)]


@contextmanager
def writing_video(path: PathLike, fps: float) -> Iterator[Callable[[float, np.ndarray], None]]:
    """Yield a function `(seconds, frame)` that appends to an mp4, which is there when the block ends well.

    A frame is shown until the next one comes: it is written as often as this takes at the rate `fps`.

    Args:
        path: ends in `.mp4`.
        fps: frames a second of the video.

    Raises:
        UserError: for another suffix, or where OpenCV cannot write.
        OSError: for a folder that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise UserError(f"{path}: a video is written as .mp4; name such a file")
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    cv2 = opencv()
    with replacing(path) as part:
        part.touch()  # the system says why not, which OpenCV does not
        writer, size, count = None, (0, 0), 0

        def append(seconds: float, frame: np.ndarray) -> None:
            nonlocal writer, size, count
            if writer is None:
                size = frame.shape[:2]
                writer = cv2.VideoWriter(str(part), cv2.VideoWriter_fourcc(*"mp4v"), fps, size[::-1])
                if not writer.isOpened():
                    raise UserError(f"{path}: OpenCV cannot write mp4 files here; install opencv-python")
            picture = np.ascontiguousarray(sized(frame, size)[..., ::-1])
            while count <= round(seconds * fps):
                writer.write(picture)
                count += 1

        try:
            yield append
        finally:
            if writer is not None:
                writer.release()
        if _frames_of(part) < count:
            raise UserError(f"{path} is not whole: make room on the disk, and try again")


def _frames_of(path: Path) -> int:
    """How many frames a video claims, 0 where it does not open: OpenCV does not say that a disk is full."""
    cv2 = opencv()
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    return count


@contextmanager
def showing() -> Iterator[Callable[[np.ndarray], bool]]:
    """Yield a function that shows a frame in a window, and tells whether to go on: q and Escape end it.

    Raises:
        UserError: where there is no display, or OpenCV was built without windows.
    """
    if sys.platform == "linux" and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        raise UserError("there is no display: leave --show out, and write --video instead")  # Qt would abort
    cv2 = opencv()
    try:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error as error:
        raise UserError(
            "this OpenCV has no windows: pip install opencv-python instead of opencv-python-headless"
        ) from error

    def show(frame: np.ndarray) -> bool:
        cv2.imshow(_TITLE, np.ascontiguousarray(frame[..., ::-1]))
        return cv2.waitKey(1) & 0xFF not in (ord("q"), 27)

    try:
        yield show
    finally:
        cv2.destroyWindow(_TITLE)
