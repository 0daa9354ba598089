"""A source, a stream, segments and files: what the command `stream` does."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec._signals import Terminated
from keras_actrec._text import printable
from keras_actrec._types import PathLike, silent
from keras_actrec.data.live import LineSource, Source, open_source
from keras_actrec.deploy.overlay import Overlay, showing, writing_video
from keras_actrec.deploy.segments import Segment, Segmenter, writing_segments
from keras_actrec.deploy.stream import Stream
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

_BETWEEN = 1.0  # seconds from one running answer to the next, unless it changes


@dataclass(frozen=True)
class Watched:
    """What became of a stream.

    Attributes:
        frames: how many were seen.
        dropped: how many came too fast.
        segments: how many were found.
        seconds: time of the last frame.
    """

    frames: int
    dropped: int
    segments: int
    seconds: float

    def __str__(self) -> str:
        """One line for people."""
        seen = f"{self.seconds:.1f} s, {self.frames} frames seen, {self.dropped} dropped"
        return f"{seen}, {self.segments} segment{'' if self.segments == 1 else 's'}"


def watch(
    recognizer: Recognizer,
    source: str,
    *,
    every: int | None = None,
    segments: PathLike | None = None,
    video: PathLike | None = None,
    show: bool = False,
    fps: float | None = None,
    most_seconds: float | None = None,
    smoothing: float = 0.5,
    enter: float = 0.5,
    leave: float = 0.3,
    shortest: float = 0.0,
    ignore: Sequence[str] = (),
    tell: Callable[[object], Any] = silent,
) -> Watched:
    """Name what a stream shows, while it runs.

    Files are there when the stream ends or is interrupted, and not where it ends with an error.

    Args:
        recognizer: the model.
        source: see `data.live.open_source`; `-` for joints or features on standard input, a line a frame.
        every: see `Stream`.
        segments: file of the segments, see `writing_segments`.
        video: mp4 of the frames with the answers drawn in, and what the model's attention looks at.
        show: whether to open a window.
        fps: frames a second of a source without times, and of the video.
        most_seconds: after which the stream is left.
        smoothing: see `Segmenter`.
        enter: see `Segmenter`.
        leave: see `Segmenter`.
        shortest: see `Segmenter`.
        ignore: see `Segmenter`.
        tell: called with a line that says how the model looks, then with lines of running answers.

    Raises:
        UserError: for a source or a file that cannot be used.
        KeyboardInterrupt, Terminated: when it was interrupted; the files are there.
    """
    for written in (segments, video):
        if written and Path(written).resolve() == Path(source).resolve():
            raise UserError(f"{Path(written)} is what is read: write to another file")
    stream = Stream(recognizer, every=every)
    segmenter = Segmenter(
        recognizer.class_names,
        smoothing=smoothing,
        enter=enter,
        leave=leave,
        shortest=shortest,
        ignore=ignore,
    )
    frames_of = _open(recognizer, source, fps, pictures=bool(video) or show)
    overlay = _overlay(recognizer)
    attention = None
    frames, seconds = 0, 0.0
    interrupted: BaseException | None = None
    with ExitStack() as stack:
        stack.callback(frames_of.close)
        keep = stack.enter_context(writing_segments(segments)) if segments else None
        write = stack.enter_context(writing_video(video, frames_of.fps)) if video else None
        display = stack.enter_context(showing()) if show else None
        tell(stream)
        answers = _Answers(segmenter, recognizer.class_names, tell, keep)
        try:
            for seconds, frame in frames_of:
                frames += 1
                for answer in stream.push(frame):
                    attention = answer.attention
                    answers.add(seconds, answer.step)
                if write or display:
                    drawn = overlay.draw(frame, seconds, segmenter.label, segmenter.scores, attention)
                    if write:
                        write(seconds, drawn)
                    if display and not display(drawn):
                        break
                if most_seconds is not None and seconds >= most_seconds:
                    break
        except (KeyboardInterrupt, Terminated) as error:  # the way to end a camera: what was found is kept
            interrupted = error
        answers.end(seconds + 1 / frames_of.fps)
    if interrupted is not None:
        raise interrupted
    return Watched(frames, frames_of.dropped, answers.segments, seconds)


class _Answers:
    """Tells running answers, and segments when they end; these are counted, and given to `keep` too."""

    def __init__(
        self,
        segmenter: Segmenter,
        names: Sequence[str],
        tell: Callable[[object], Any],
        keep: Callable[[Segment], object] | None,
    ) -> None:
        self.segments = 0
        self._segmenter = segmenter
        self._names = names
        self._tell = tell
        self._keep = keep
        self._told: tuple[str, float] | None = None  # the last running answer, and when

    def add(self, seconds: float, scores: np.ndarray) -> None:
        """Take the probabilities of a step; the answer is told where it changes or a second has passed."""
        self._ended(self._segmenter.add(seconds, scores))
        smoothed = self._segmenter.scores
        assert smoothed is not None
        best = self._names[int(smoothed.argmax())]
        if self._told and self._told[0] == best and seconds - self._told[1] < _BETWEEN:
            return
        self._tell(f"{seconds:8.2f} s  {smoothed.max():.3f} {printable(best)}")
        self._told = best, seconds

    def end(self, seconds: float) -> None:
        """End the segment that is open."""
        self._ended(self._segmenter.finish(seconds))

    def _ended(self, segment: Segment | None) -> None:
        if segment is not None:
            self.segments += 1
            self._tell(segment)
            if self._keep:
                self._keep(segment)


def _overlay(recognizer: Recognizer) -> Overlay:
    """Draws on the whole frames, of which the model may see a part."""
    if recognizer.preprocessor.name != "clip":
        return Overlay(recognizer.class_names)
    transform = recognizer.preprocessor.transform.deterministic
    one = replace(transform, num_crops=1)
    return Overlay(recognizer.class_names, lambda height, width: one.regions(height, width)[0])


def _open(recognizer: Recognizer, source: str, fps: float | None, *, pictures: bool) -> Source:
    files = recognizer.preprocessor.files
    if files == "videos":
        if source == "-":
            raise UserError(
                "this model sees videos, not lines of joints: give a file, a camera or an address"
            )
        return open_source(source, fps=fps)
    if source != "-":
        raise UserError(f"this model sees {files}: give - as the source, and write a line of JSON a frame")
    if pictures:
        raise UserError(
            f"this model sees {files}, of which there is no picture: leave --video and --show out"
        )
    axes = 3 if files == "skeletons" else len(recognizer.model.inputs[0].shape) - 2
    return LineSource(sys.stdin, axes, fps)
