"""Which frames of a video make a clip: exact arithmetic on whole numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_actrec._numbers import whole
from keras_actrec.errors import MisfitError, UserError

# Each method and what it does with a video that is too short unless `short` says otherwise.
_METHODS = {
    "segments": "stretch",
    "tsn": "stretch",
    "contiguous": "mask",
    "dense": "loop",
    "stride": "mask",
    "sequences": "mask",
}
_SHORT = ("stretch", "first", "repeat", "loop", "mask")


@dataclass(frozen=True)
class Sampling:
    """A rule that picks `frames` frames of a video of any length, once or several times.

    With a video of `n` frames, T = `frames` and s = `stride`, one clip (`indices`) is:

    - `segments`: the video is cut into T segments, the i-th from floor(i n / T) up to floor((i + 1) n / T);
      one frame is drawn from each, or, without `rng`, its middle floor((2 i + 1) n / (2 T)) taken.
    - `tsn`: as `segments`, but drawn as TSN, TSM and GSM do in training: all segments have floor(n / T)
      frames and the rest at the end is left out.
    - `contiguous`: T frames every s frames. The start is drawn evenly from all that fit, or, without `rng`,
      centered.
    - `dense`: as `contiguous`, but T s frames must fit (TSM and I3D on Kinetics: 64 frames, s = 64 / T).
    - `stride`: every s-th frame from the first on; `rng` moves the start by less than s.
    - `sequences`: T frames every s frames that start at frame 0, h, 2 h, ... as long as they fit; h is `hop`.
      One of them is drawn, or, without `rng`, the middle one taken.

    For testing, `clips` gives M = `num_clips` of them. With `segments` and `tsn`, M = 1 takes the middles and
    M > 1 the j-th of M parts of each segment, floor((i + j / M) n / T), so that M = 2 is TSM's and GSM's
    "twice". With `contiguous` and `dense` the starts go in even steps from the first to the last that fits.
    `sequences` gives all that fit: by default, h = T s, they lie end to end and a rest is left out (STRN);
    with a smaller h they are sliding windows (h = 1 for the attention LSTM).

    `short` says what becomes of a video that is too short for T frames (every s frames):

    - `stretch`: the whole video is cut as in `segments`, and frames repeat.
    - `first`: a drawn clip is the first frame T times, as TSN, TSM and GSM train; others are stretched, as
      they test.
    - `repeat`: the frames it has, then its last one again (the attention LSTM).
    - `loop`: the frames it has, then the video from its start again: frame (start + i s) mod n (TSM, I3D).
    - `mask`: as `repeat`, but what was added is masked.

    With `rng`, `speed` draws a rate r of playing for each clip, evenly in its logarithm, between two numbers.
    The video is then as if it had floor(n / r + 1/2) frames, the j-th of which is its frame floor(j r), and
    frames are picked as above. `segments` and `tsn` span the video whatever its speed: for r below 1 they
    span r n of its frames, drawn anywhere, and all of them otherwise.

    With `frame_step` = e, all of this applies to the frames 0, e, 2e, ... of the video alone.

    Attributes:
        frames: T, number of frames of a clip.
        method: one of the six above.
        stride: s, step in frames; 1 for `"segments"` and `"tsn"`, which span the whole video.
        frame_step: e, use only every e-th frame of the video.
        short: one of the five above; by default `"stretch"` for `"segments"` and `"tsn"`, `"loop"` for
            `"dense"`, else `"mask"`.
        num_clips: M, number of clips that `clips` gives; 1 for `"stride"` and `"sequences"`.
        hop: h, frames from one sequence's start to the next one's; for `"sequences"` only.
        speed: slowest and fastest rate of playing, 1 as it is; `None` draws none.

    Raises:
        UserError: an argument out of range, or one that the method does not have.

    Reference:
        [Wang et al., 2016](https://arxiv.org/abs/1608.00859) for `tsn`,
        [Lin et al., 2019](https://arxiv.org/abs/1811.08383) for `dense`. Their code also validates on the
        first frame of a short video, never draws the last start of `dense`, and rounds in floating point.
    """

    frames: int = 16
    method: str = "segments"
    stride: int = 1
    frame_step: int = 1
    short: str | None = None
    num_clips: int = 1
    hop: int | None = None
    speed: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, known in (("method", _METHODS), ("short", (*_SHORT, None))):
            if getattr(self, name) not in known:
                names = ", ".join(filter(None, known))
                raise UserError(f"`{name}` must be one of {names}. Received: {name}={getattr(self, name)!r}")
        for name in ("frames", "stride", "frame_step", "num_clips", "hop"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, whole(name, getattr(self, name)))
        if self.spreads and self.stride != 1:
            raise MisfitError(
                f'`stride` must be 1 with method="{self.method}", which spans the whole video. '
                f"Received: stride={self.stride}",
                ("stride", "method"),
            )
        if self.method in ("stride", "sequences") and self.num_clips != 1:
            raise MisfitError(
                f'`num_clips` must be 1 with method="{self.method}", which settles it. '
                f"Received: num_clips={self.num_clips}",
                ("num_clips", "method"),
            )
        if self.method != "sequences" and self.hop is not None:
            raise MisfitError(
                f'`hop` goes with method="sequences". Received: hop={self.hop}', ("hop", "method")
            )
        if self.speed is not None:
            object.__setattr__(self, "speed", tuple(self.speed))  # JSON and TOML have lists
            if len(self.speed) != 2 or not 0.01 <= self.speed[0] <= self.speed[1] <= 100:
                raise UserError(
                    "`speed` must be two rates from 0.01 to 100, the slower one first, such as [0.8, 1.25]. "
                    f"Received: speed={list(self.speed)}"
                )

    def words(self, unit: str = "frame") -> str:
        """What is seen of a video, in words: `"2 clips of 8 frames (segments)"`."""
        step = f", stride {self.stride}" if self.stride > 1 else ""
        kept = f", 1 {unit} in {self.frame_step}" if self.frame_step > 1 else ""
        clips = "1 clip" if self.num_clips == 1 else f"{self.num_clips} clips"
        clips = "all clips" if self.method == "sequences" else clips
        return f"{clips} of {self.frames} {unit}s ({self.method}{step}{kept})"

    @property
    def masks(self) -> bool:
        """Whether frames of a short video can be masked."""
        return self._rule == "mask"

    @property
    def spreads(self) -> bool:
        """Whether the frames of a clip are spread over the whole video, however long."""
        return self.method in ("segments", "tsn")

    @property
    def num_views(self) -> int | None:
        """Number of clips that `clips` gives, `None` where it grows with the video."""
        return None if self.method == "sequences" else self.num_clips

    @property
    def deterministic(self) -> "Sampling":
        """The rule that draws no speed, with the `short` and `hop` that its method has by default."""
        hop = (self.hop or self.frames * self.stride) if self.method == "sequences" else None
        return replace(self, short=self._rule, hop=hop, speed=None)

    def indices(
        self, num_frames: int, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Picks the frames of one clip.

        Args:
            num_frames: number of frames of the video.
            rng: for training; `None` picks the same frames every time.

        Returns:
            int64 array `(frames,)`, 0-based, which falls with `short="loop"` only, and bool array
            `(frames,)`, true where the frame counts and false where it only fills up.

        Raises:
            UserError: `num_frames` is below 1.
        """
        number = self._kept(num_frames)
        picked = self._picked(number, rng) if rng is None or self.speed is None else self._played(number, rng)
        indices, mask = picked
        return self.frame_step * indices, mask

    def clips(self, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Picks the frames of all clips of a video that a test averages over. Nothing is drawn.

        Args:
            num_frames: number of frames of the video.

        Returns:
            int64 array `(M, frames)` and bool array `(M, frames)`, as for `indices`.

        Raises:
            UserError: `num_frames` is below 1.
        """
        indices, masks = zip(*self.each_clip(num_frames), strict=True)
        return np.stack(indices), np.stack(masks)

    def each_clip(self, num_frames: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The clips of `clips` one by one, of which a long video may have more than fit into memory."""
        number, count = self._kept(num_frames), self.num_clips
        if self._spreads(number):
            parts = [(1, 2)] if count == 1 else [(part, count) for part in range(count)]
            clips = (self._middles(number, *part) for part in parts)
        else:
            clips = (self._from(start, number) for start in self._starts(number))
        for indices, mask in clips:
            yield self.frame_step * indices, mask

    def of_kept(self) -> "Sampling":
        """The same rule for a list of only the frames 0, e, 2e, ..., such as their features."""
        return replace(self, frame_step=1)

    @property
    def _rule(self) -> str:
        return self.short or _METHODS[self.method]

    def _kept(self, num_frames: int) -> int:
        if num_frames < 1:
            raise UserError(f"`num_frames` must be at least 1. Received: num_frames={num_frames}")
        return _ceil_div(num_frames, self.frame_step)

    @property
    def _span(self) -> int:
        """Frames from the first to the last of a clip."""
        return (self.frames - 1) * self.stride + 1

    def _spreads(self, number: int) -> bool:
        """Whether the clip is spread over the whole video, whatever its length."""
        if number < self._span:
            return self._rule in ("stretch", "first")
        return self.spreads

    def _picked(self, number: int, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
        if not self._spreads(number):
            return self._from(self._start(number, rng), number)
        return self._middles(number, 1, 2) if rng is None else self._drawn(number, rng)

    def _played(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Frames of the video as it is played at a rate that is drawn."""
        slow, fast = self.speed or (1.0, 1.0)
        rate = math.exp(rng.uniform(math.log(slow), math.log(fast)))
        if self.spreads:
            length = max(1, math.floor(number * min(rate, 1) + 0.5))
            start = int(rng.integers(number - length + 1))
            indices, mask = self._picked(length, rng)
            return start + indices, mask
        indices, mask = self._picked(max(1, math.floor(number / rate + 0.5)), rng)
        return np.minimum(np.floor(indices * rate).astype("int64"), number - 1), mask

    def _middles(self, number: int, part: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
        """The frame at `part / parts` of each segment."""
        at = np.arange(self.frames) * parts + part
        return at * number // (self.frames * parts), np.ones(self.frames, bool)

    def _drawn(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A frame of each segment."""
        segment, everywhere = np.arange(self.frames), np.ones(self.frames, bool)
        if number < self._span and self._rule == "first":
            return np.zeros(self.frames, "int64"), everywhere
        if self.method == "tsn" and number >= self.frames:
            length = number // self.frames
            return rng.integers(segment * length, (segment + 1) * length), everywhere
        low = segment * number // self.frames
        high = (segment + 1) * number // self.frames
        return rng.integers(low, np.maximum(high, low + 1)), everywhere

    def _from(self, start: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """T frames every s frames from `start` on, short of frames as the rule says."""
        step, count = np.arange(self.frames), _ceil_div(number - start, self.stride)
        if self._rule == "loop":
            return (start + self.stride * step) % number, np.ones(self.frames, bool)
        indices = start + self.stride * np.minimum(step, count - 1)
        return indices, step < count if self.masks else np.ones(self.frames, bool)

    def _room(self, number: int) -> int:
        """The last start that fits."""
        if self.method == "dense":
            return max(number - self.frames * self.stride, 0)
        fit = min(self.frames, _ceil_div(number, self.stride))
        return number - 1 - (fit - 1) * self.stride

    def _start(self, number: int, rng: np.random.Generator | None) -> int:
        if self.method == "stride":
            return 0 if rng is None else int(rng.integers(min(self.stride, number)))
        if self.method == "sequences":
            starts = self._starts(number)
            return starts[(len(starts) - 1) // 2 if rng is None else int(rng.integers(len(starts)))]
        room = self._room(number)
        return room // 2 if rng is None else int(rng.integers(room + 1))

    def _starts(self, number: int) -> Sequence[int]:
        if self.method == "sequences":
            hop = self.hop or self.frames * self.stride
            return range(0, max(number - self._span, 0) + 1, hop)
        if self.num_clips == 1:
            return [self._start(number, None)]
        room = self._room(number)
        return [clip * room // (self.num_clips - 1) for clip in range(self.num_clips)]


def clip_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Random numbers of one clip in one epoch, whoever asks for it, in whatever order and in whatever thread.

    Args:
        seed: seed of the run, at least 0.
        epoch: number of the epoch.
        index: index of the clip in the list of clips, before shuffling.

    Returns:
        `np.random.default_rng([seed, epoch, index])`.
    """
    return np.random.default_rng([seed, epoch, index])


def _ceil_div(number: int, divisor: int) -> int:
    return -(-number // divisor)
