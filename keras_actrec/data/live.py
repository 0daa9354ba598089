"""Frames of a stream: a file, of which none is dropped, or a camera, of which the newest one is taken."""

import itertools
import json
import re
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from keras_actrec.data._opencv import opencv
from keras_actrec.data._readers import open_video
from keras_actrec.data.decode import iter_timed
from keras_actrec.errors import UserError

_RATE = 30.0  # frames a second where nothing says how many


class Source(Protocol):
    """Frames, each with its time in seconds from the first one on.

    Attributes:
        fps: frames a second.
        dropped: how many frames came while the one before was not taken yet.
    """

    fps: float
    dropped: int

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]: ...

    def close(self) -> None:
        """Lets go of the camera or the file."""
        ...


def open_source(source: str, *, fps: float | None = None) -> Source:
    """Open a stream of pictures.

    Args:
        source: number of a camera, an address `rtsp://...`, a video file, or a folder of numbered images.
        fps: frames a second of a file without times; by default what it says, or 30.

    Raises:
        UserError: for a camera that does not open.
        VideoError: for a file that is none.
    """
    if source.isdecimal():
        return CameraSource(source, lambda: opencv().VideoCapture(int(source)))
    if re.match(r"rtsps?://", source):
        return CameraSource(source, lambda: opencv().VideoCapture(source, opencv().CAP_FFMPEG))
    if "://" in source:
        raise UserError(f"{_public(source)}: streams of the network are rtsp://; give one, or a file")
    return FileSource(source, fps)


class FileSource:
    """All frames of a video file or a folder of numbered images."""

    dropped = 0

    def __init__(self, path: str, fps: float | None = None) -> None:
        self._path = path
        self.fps = fps or open_video(path, "opencv").fps or _RATE

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        for number, (seconds, frame) in enumerate(iter_timed(self._path)):
            yield number / self.fps if seconds is None else seconds, frame

    def close(self) -> None:
        """Nothing is held."""


class CameraSource:
    """The newest frame of a camera each time one is asked for; what came in between is dropped and counted.

    Args:
        name: for errors.
        open_capture: gives an OpenCV `VideoCapture`, or what has its `isOpened`, `read` and `release`.
    """

    def __init__(self, name: str, open_capture: Any) -> None:
        self._name = _public(name)
        self._capture = open_capture()
        if not self._capture.isOpened():
            self._capture.release()
            raise UserError(f"{self._name} does not open: check the camera's number or address")
        self.fps = _RATE
        self.dropped = 0
        self._latest: tuple[float, np.ndarray] | None = None  # the queue, of one
        self._ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        begin = None
        while not self._ended:
            found, frame = self._capture.read()
            now = time.monotonic()
            begin = now if begin is None else begin
            with self._news:
                if found:
                    self.dropped += self._latest is not None
                    self._latest = now - begin, np.ascontiguousarray(frame[..., ::-1])  # from BGR
                else:
                    self._ended = True
                self._news.notify()
        self._capture.release()

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        for number in itertools.count():
            with self._news:
                self._news.wait_for(lambda: self._latest is not None or self._ended)
                latest, self._latest = self._latest, None
            if latest is None:
                if not number:
                    raise UserError(f"{self._name} opens but gives no frame: check the camera")
                return
            yield latest

    def close(self) -> None:
        """Ends the thread that reads, which lets go of the camera."""
        self._ended = True
        self._thread.join(timeout=5)  # a camera that hangs does not hold the program


class LineSource:
    """Frames of numbers, such as joints: a line of JSON each.

    A line is a list of numbers, nested as the frame is, or `{"time": seconds, "frame": such a list}`. Without
    a time frames are `1 / fps` apart.

    Args:
        lines: such as `sys.stdin`.
        ndim: axes of a frame: fewer are as if there were one more list around it.
        fps: frames a second, by default 30.
    """

    dropped = 0

    def __init__(self, lines: Iterable[str], ndim: int, fps: float | None = None) -> None:
        self._lines, self._ndim, self.fps = lines, ndim, fps or _RATE

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        number = 0
        for count, line in enumerate(self._lines, start=1):
            if not line.strip():
                continue
            try:
                seconds, frame = self._parsed(json.loads(line), number)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise UserError(
                    f"line {count} is no frame: write a JSON list of numbers, with {self._ndim} levels"
                ) from error
            yield seconds, frame
            number += 1
        if not number:
            raise UserError("standard input has no frame: write a line of JSON for each")

    def _parsed(self, value: Any, number: int) -> tuple[float, np.ndarray]:
        seconds = number / self.fps
        if isinstance(value, dict):
            seconds, value = float(value.get("time", seconds)), value["frame"]
        frame = np.array(value, "float64")
        if frame.ndim == self._ndim - 1:
            frame = frame[None]
        if frame.ndim != self._ndim or not np.isfinite(frame).all() or not np.isfinite(seconds):
            raise ValueError
        return seconds, frame

    def close(self) -> None:
        """Nothing is held."""


def _public(name: str) -> str:
    """An address without the password in it."""
    return re.sub(r"//[^/@]*@", "//…@", name)
