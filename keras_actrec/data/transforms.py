"""From frames of any size to square frames of one size."""

from dataclasses import dataclass

import numpy as np

from keras_actrec.data.decode import _opencv
from keras_actrec.errors import UserError

_CROPS = ("center", "random", "none")


@dataclass(frozen=True)
class ClipTransform:
    """Resizes, crops and flips all frames of a clip in the same way.

    The frames are resized so that the short side is `short_side`, then a square of `size` is cut out of them.
    Sizes are in pixels. Normalisation is not done here: it is inside the models.

    Attributes:
        size: height and width of the result.
        short_side: short side before the crop, at least `size`; by default `size * 256 // 224`.
        crop: `"center"`; `"random"`, drawn evenly where a generator is given, else centred; or `"none"`,
            which resizes the frames straight to the square, without regard to their aspect.
        flip: whether to mirror left and right with probability 1/2 where a generator is given.

    Raises:
        UserError: an argument out of range.
    """

    size: int = 224
    short_side: int | None = None
    crop: str = "center"
    flip: bool = False

    def __post_init__(self):
        if self.size < 1:
            raise UserError(f"`size` must be at least 1. Received: size={self.size}")
        if self.crop not in _CROPS:
            raise UserError(f"`crop` must be one of {', '.join(_CROPS)}. Received: crop={self.crop!r}")
        if self.short_side is not None and self.crop == "none":
            raise UserError(
                f'`short_side` goes with a crop and must be left out with crop="none". '
                f"Received: short_side={self.short_side}"
            )
        if self.short_side is not None and self.short_side < self.size:
            raise UserError(
                f"`short_side` must be at least `size`, {self.size}. Received: short_side={self.short_side}"
            )

    def __call__(self, frames, rng=None):
        """Transforms a clip.

        Args:
            frames: uint8 array `(T, H, W, 3)`.
            rng: `np.random.Generator` for training; `None` gives the same result every time.

        Returns:
            uint8 array `(T, size, size, 3)`.

        Raises:
            UserError: `frames` has another type or shape.
        """
        frames = np.asarray(frames)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise UserError(
                f"`frames` must be a uint8 array (T, H, W, 3). Received: {frames.dtype} {frames.shape}"
            )
        height, width = frames.shape[1:3]
        if self.crop == "none":
            frames = _resize(frames, self.size, self.size)
        else:
            short, target = min(height, width), self.short_side or self.size * 256 // 224
            frames = _resize(frames, round(height * target / short), round(width * target / short))
            room = frames.shape[1] - self.size, frames.shape[2] - self.size
            if self.crop == "random" and rng is not None:
                top, left = rng.integers(room[0] + 1), rng.integers(room[1] + 1)
            else:
                top, left = room[0] // 2, room[1] // 2
            frames = frames[:, top : top + self.size, left : left + self.size]
        if self.flip and rng is not None and rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        return np.ascontiguousarray(frames)


def _resize(frames, height, width):
    if frames.shape[1:3] == (height, width):
        return frames
    cv2 = _opencv()
    shrinks = height * width < frames.shape[1] * frames.shape[2]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in frames])
