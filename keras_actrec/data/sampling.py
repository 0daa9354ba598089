"""Which frames of a video make a clip: exact arithmetic on whole numbers."""

from dataclasses import dataclass, replace

import numpy as np

from keras_actrec.errors import UserError

_METHODS = ("segments", "contiguous", "stride")


@dataclass(frozen=True)
class Sampling:
    """A rule that picks `frames` frames of a video of any length.

    With a video of `n` frames, T = `frames` and s = `stride`:

    - `segments`: the video is cut into T segments, the i-th from floor(i n / T) up to floor((i + 1) n / T);
      one frame is drawn from each, or, without `rng`, its middle floor((2 i + 1) n / (2 T)) taken (as TSN
      does). A video of fewer than T frames is stretched: frames repeat. Nothing is masked.
    - `contiguous`: T frames every s frames. The start is drawn evenly from all that fit, or, without `rng`,
      centred. A shorter video gives what fits, then the last of these again, masked.
    - `stride`: as `contiguous`, but from the first frame; `rng` moves the start by less than s.

    With `every` = e, all of this applies to the frames 0, e, 2e, ... of the video, as if it had no others.

    Attributes:
        frames: T, number of frames of a clip.
        method: `"segments"`, `"contiguous"` or `"stride"`.
        stride: s, step in frames; 1 for `"segments"`, which spans the whole video.
        every: e, use only every e-th frame of the video.

    Raises:
        UserError: an argument out of range.

    Reference:
        [Wang et al., 2016](https://arxiv.org/abs/1608.00859) for `segments`. There the segments of a training
        clip have equal length and the remainder at the end is left out; here the whole video is covered.
    """

    frames: int = 16
    method: str = "segments"
    stride: int = 1
    every: int = 1

    def __post_init__(self):
        if self.frames < 1:
            raise UserError(f"`frames` must be at least 1. Received: frames={self.frames}")
        if self.method not in _METHODS:
            raise UserError(
                f"`method` must be one of {', '.join(_METHODS)}. Received: method={self.method!r}"
            )
        for name in ("stride", "every"):
            if getattr(self, name) < 1:
                raise UserError(f"`{name}` must be at least 1. Received: {name}={getattr(self, name)}")
        if self.method == "segments" and self.stride != 1:
            raise UserError(
                f'`stride` must be 1 with method="segments", which spans the whole video. '
                f"Received: stride={self.stride}"
            )

    def indices(self, num_frames, rng=None):
        """Picks the frames.

        Args:
            num_frames: number of frames of the video.
            rng: `np.random.Generator` for training; `None` picks the same frames every time.

        Returns:
            int64 array `(frames,)`, 0-based and never falling, and bool array `(frames,)`, true where the
            frame counts and false where it only fills up.

        Raises:
            UserError: `num_frames` is below 1.
        """
        if num_frames < 1:
            raise UserError(f"`num_frames` must be at least 1. Received: num_frames={num_frames}")
        if self.every > 1:
            indices, mask = self.of_kept().indices(_ceil_div(num_frames, self.every), rng)
            return self.every * indices, mask
        if self.method == "segments":
            return self._segments(num_frames, rng), np.ones(self.frames, bool)
        if self.method == "stride":
            start = 0 if rng is None else rng.integers(min(self.stride, num_frames))
            count = min(self.frames, _ceil_div(num_frames - start, self.stride))
        else:
            count = min(self.frames, _ceil_div(num_frames, self.stride))
            slack = num_frames - 1 - (count - 1) * self.stride
            start = slack // 2 if rng is None else rng.integers(slack + 1)
        step = np.arange(self.frames)
        return start + self.stride * np.minimum(step, count - 1), step < count

    def of_kept(self):
        """The same rule for a list of only the frames 0, e, 2e, ..., such as their features."""
        return replace(self, every=1)

    def _segments(self, num_frames, rng):
        segment = np.arange(self.frames)
        if rng is None:
            return (2 * segment + 1) * num_frames // (2 * self.frames)
        low = segment * num_frames // self.frames
        high = (segment + 1) * num_frames // self.frames
        return rng.integers(low, np.maximum(high, low + 1))


def clip_rng(seed, epoch, index):
    """Random numbers of one clip in one epoch, whoever asks for it, in whatever order and in whatever thread.

    Args:
        seed: seed of the run, at least 0.
        epoch: number of the epoch.
        index: place of the clip in the list of clips, before shuffling.

    Returns:
        `np.random.default_rng([seed, epoch, index])`.
    """
    return np.random.default_rng([seed, epoch, index])


def _ceil_div(number, divisor):
    return -(-number // divisor)
