"""From frames of any size to square frames of one size."""

from dataclasses import dataclass, replace

import numpy as np

from keras_actrec._numbers import MOST_PIXELS, whole
from keras_actrec.data._augment import MAGNITUDE, drawn_box, erase, rand_augment, recolor
from keras_actrec.data._opencv import opencv
from keras_actrec.errors import MisfitError, UserError

_CROPS = ("center", "random", "multiscale", "resized", "none")
_JITTERS = ("brightness", "contrast", "saturation")

# Multi-scale crops: sides in thousandths of the short side, and (row, column) of the 13 positions in quarter
# steps of the room that the crop leaves: corners and center, middles of the edges, quarters.
_SCALES = (1000, 875, 750, 660)
_CORNERS_AND_CENTER = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))
_POSITIONS = (*_CORNERS_AND_CENTER, (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3))

_MOST_OPERATIONS = 100  # of RandAugment, for a clip


@dataclass(frozen=True)
class Region:
    """The part of a frame that a clip shows, in pixels of that frame.

    Edges, not centers: the whole of a frame of 240 x 320 is 0, 0, 240, 320. Where frames are resized, edges
    need not be whole.

    Attributes:
        top: the upper edge.
        left: the left edge.
        bottom: the lower edge.
        right: the right edge.
        mirrored: whether the clip shows it with left and right exchanged.
    """

    top: float
    left: float
    bottom: float
    right: float
    mirrored: bool = False


@dataclass(frozen=True)
class ClipTransform:
    """Resizes, crops, mirrors and recolors all frames of a clip in the same way.

    Sizes are in pixels, the result is a square of `size`. Normalization is not done here: it is inside the
    models. Where a generator is given, `crop` does this:

    - `center`: the frames are resized so that the short side is `short_side`; the middle is cut out.
    - `random`: the same, with a position drawn evenly.
    - `multiscale`: TSN's GroupMultiScaleCrop. From the frames as they are, height and width are drawn from
      1, .875, .75 and .66 of the short side, at most one step apart (10 pairs), and one of 13 fixed
      positions; what is cut out is resized. A side within 2 of `size` becomes `size`.
    - `resized`: .08 to 1 of the area with an aspect of 3/4 to 4/3, anywhere; what is cut out is resized.
    - `none`: the frames are resized straight to the square, without regard to their aspect.

    Before all of it, frames whose short side is longer than `shrink` are brought to that, which keeps a cache
    of decoded frames small.

    Without a generator nothing is drawn: all but `none` are `center`, nothing is mirrored or recolored.
    Resizing is bilinear; where it shrinks, areas are averaged.

    Colors are changed by factors drawn from 1 - v to 1 + v: brightness times the pixel, contrast about the
    clip's mean gray, saturation about the pixel's own gray, in this order.

    Then `rand_augment` changes the clip by as many operations, each drawn from fourteen: none, a turn, a
    shear and a shift along rows or columns, brightness, contrast, color, sharpness, fewer bits, inverted
    lights, an even histogram, and the full range. Their strength is `magnitude`, their direction is drawn.
    Last, with the probability `erasing`, a box of .02 to 1/3 of the area with an aspect of .3 to 3.3 is
    filled with noise. What is drawn is drawn once a clip and is the same in all of its frames.

    Attributes:
        size: height and width of the result.
        short_side: short side before a centered or random crop, at least `size`; by default
            `size * 256 // 224`.
        crop: one of the five above.
        flip: whether to mirror left and right with probability 1/2 where a generator is given.
        swap: pairs of class ids that a mirrored clip changes, such as "left to right" and "right to left";
            for Something-Something V1 `((86, 87), (93, 94), (166, 167))`.
        brightness: v of the brightness, 0 to 1.
        contrast: v of the contrast, 0 to 1.
        saturation: v of the saturation, 0 to 1.
        rand_augment: number of operations, 0 for none.
        magnitude: how much an operation changes, 0 to 1; by default .3. With 1 it is 30 degrees, a shear of
            .3, a shift of .45 of the side, factors of .1 and 1.9, 4 bits, and lights above 0.
        erasing: probability that a box is erased.
        num_crops: number of crops that `crops` gives: 1, 2, 3, 6 or 10.
        shrink: longest short side of the frames that are cropped, at least `short_side` (with `none`,
            `size`); `None` leaves them as they are.

    Raises:
        UserError: an argument out of range, or two that do not go together.

    Reference:
        [Wang et al., 2016](https://arxiv.org/abs/1608.00859) for `multiscale`. In their code a side also
        becomes `size` where the frame is smaller, and the crop reaches over its edge.
        [Szegedy et al., 2015](https://arxiv.org/abs/1409.4842) for `resized`.
        [Cubuk et al., 2020](https://arxiv.org/abs/1909.13719) for `rand_augment`; here what a turn, a shear
        or a shift uncovers is gray.
        [Zhong et al., 2020](https://arxiv.org/abs/1708.04896) for `erasing`; the area is that of timm.
    """

    size: int = 224
    short_side: int | None = None
    crop: str = "center"
    flip: bool = False
    swap: tuple[tuple[int, int], ...] = ()
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    rand_augment: int = 0
    magnitude: float | None = None
    erasing: float = 0.0
    num_crops: int = 1
    shrink: int | None = None

    def __post_init__(self) -> None:
        self._check_sizes()
        self._check_changes()
        self._check_crops()

    def _check_sizes(self) -> None:
        """What is cut out, and how large the frames are by then."""
        for name in ("size", "short_side", "shrink"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, whole(name, getattr(self, name), high=MOST_PIXELS))
        if self.crop not in _CROPS:
            raise UserError(f"`crop` must be one of {', '.join(_CROPS)}. Received: crop={self.crop!r}")
        if self.short_side is not None and self.crop == "none":
            raise MisfitError(
                f'`short_side` goes with a crop and must be left out with crop="none". '
                f"Received: short_side={self.short_side}",
                ("short_side", "crop"),
            )
        if self.short_side is not None and self.short_side < self.size:
            raise UserError(
                f"`short_side` must be at least `size`, {self.size}. Received: short_side={self.short_side}"
            )
        if self.shrink is not None and self.shrink < self._least:
            raise UserError(
                f"`shrink` must be at least the side that the frames are resized to, {self._least}. "
                f"Received: shrink={self.shrink}"
            )

    def _check_changes(self) -> None:
        """What is drawn besides the place."""
        for name in (*_JITTERS, "magnitude", "erasing"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UserError(f"`{name}` must be from 0 to 1. Received: {name}={value}")
        whole("rand_augment", self.rand_augment, 0, _MOST_OPERATIONS)
        if self.magnitude is not None and not self.rand_augment:
            raise MisfitError(
                f"`magnitude` goes with `rand_augment`. Received: magnitude={self.magnitude}",
                ("magnitude", "rand_augment"),
            )
        object.__setattr__(self, "swap", tuple(tuple(pair) for pair in self.swap))  # JSON and TOML have lists
        labels = [label for pair in self.swap for label in pair]
        if (
            any(len(pair) != 2 for pair in self.swap)
            or len(set(labels)) < len(labels)
            or min(labels, default=0) < 0
        ):
            raise UserError(f"`swap` must be pairs of class ids, each id once. Received: swap={self.swap}")

    def _check_crops(self) -> None:
        """What `crops` gives."""
        if self.num_crops not in (1, 2, 3, 6, 10):
            raise UserError(f"`num_crops` must be 1, 2, 3, 6 or 10. Received: num_crops={self.num_crops}")
        if self.num_crops > 2 and self.crop == "none":
            raise MisfitError(
                f'`num_crops` must be 1 or 2 with crop="none", which keeps the whole frame. '
                f"Received: num_crops={self.num_crops}",
                ("num_crops", "crop"),
            )
        if self.has_mirrored_crops and self.swap:
            raise UserError(
                "`num_crops` must be 1 or 3 with `swap`: half of the others are mirrored and show another "
                f"class. Received: num_crops={self.num_crops}"
            )

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the attributes by which the result depends on the generator."""
        names = ("flip", *_JITTERS, "rand_augment", "erasing")
        crop = ("crop",) if self.crop not in ("center", "none") else ()
        return (*crop, *(name for name in names if getattr(self, name)))

    @property
    def has_mirrored_crops(self) -> bool:
        """Whether half of `crops` are mirrored."""
        return self.num_crops % 2 == 0

    @property
    def deterministic(self) -> "ClipTransform":
        """The transform that draws nothing and gives what this one gives without a generator."""
        if self.crop == "none":
            return ClipTransform(self.size, crop="none", shrink=self.shrink)
        return ClipTransform(self.size, self._least, shrink=self.shrink)

    @property
    def preparation(self) -> str:
        """What `prepare` does, in words: transforms with the same words can share prepared frames."""
        done = f"shrunk to {self.shrink}, " if self.shrink else ""
        if self.crop == "none":
            return f"{done}square {self.size}"
        return f"{done}short side {self._least}" if self.crop in ("center", "random") else f"{done}as decoded"

    def prepare(self, frames: np.ndarray) -> np.ndarray:
        """Does what comes before anything is drawn, and is the same in every epoch.

        That is all resizing for `none`, that to `short_side` for `center` and `random`, and that to `shrink`.
        Prepared frames may replace the frames everywhere: nothing is done to them a second time, and
        the results are the same, bit for bit.

        Args:
            frames: uint8 array `(T, H, W, 3)`.

        Returns:
            uint8 array `(T, H', W', 3)`.

        Raises:
            UserError: `frames` has another type or shape.
        """
        frames = np.asarray(frames)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise UserError(
                f"`frames` must be a uint8 array (T, H, W, 3). Received: {frames.dtype} {frames.shape}"
            )
        if self.shrink is not None and min(frames.shape[1:3]) > self.shrink:
            frames = _resize_short(frames, self.shrink)
        if self.crop == "none":
            return _resize(frames, self.size, self.size)
        return _resize_short(frames, self._least) if self.crop in ("center", "random") else frames

    def __call__(self, frames: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Transforms a clip.

        Args:
            frames: uint8 array `(T, H, W, 3)`.
            rng: for training; `None` gives the same result every time.

        Returns:
            uint8 array `(T, size, size, 3)`.

        Raises:
            UserError: `frames` has another type or shape.
        """
        return self.labeled(frames, 0, rng)[0]  # whatever the label

    def labeled(
        self, frames: np.ndarray, label: int, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, int]:
        """Transforms a clip and its class id, which a mirrored clip swaps.

        Args:
            frames: uint8 array `(T, H, W, 3)`.
            label: class id.
            rng: as for a call.

        Returns:
            uint8 array `(T, size, size, 3)` and the class id.

        Raises:
            UserError: `frames` has another type or shape.
        """
        frames = self.prepare(frames)
        if self.crop == "multiscale" and rng is not None:
            height, width = frames.shape[1:3]
            frames = _resize(_cut(frames, *_multi_scale_box(height, width, self.size, rng)), self.size)
        elif self.crop == "resized" and rng is not None:
            height, width = frames.shape[1:3]
            frames = _resize(_cut(frames, *_resized_box(height, width, rng)), self.size)
        elif self.crop != "none":
            frames, room = self._scaled(frames)
            if self.crop == "random" and rng is not None:
                top, left = int(rng.integers(room[0] + 1)), int(rng.integers(room[1] + 1))
            else:
                top, left = room[0] // 2, room[1] // 2
            frames = _cut(frames, top, left, self.size, self.size)
        if self.flip and rng is not None and rng.random() < 0.5:
            frames = frames[:, :, ::-1]
            swapped = {**dict(self.swap), **{second: first for first, second in self.swap}}
            label = swapped.get(label, label)
        frames = np.ascontiguousarray(frames)
        if rng is not None and any(getattr(self, name) for name in _JITTERS):
            factors = [rng.uniform(1 - getattr(self, name), 1 + getattr(self, name)) for name in _JITTERS]
            frames = recolor(frames, *factors)
        if rng is not None and self.rand_augment:
            strength = MAGNITUDE if self.magnitude is None else self.magnitude
            frames = rand_augment(frames, self.rand_augment, strength, rng)
        if rng is not None and self.erasing and rng.random() < self.erasing:
            frames = erase(frames, rng)
        return frames, label

    def crops(self, frames: np.ndarray) -> np.ndarray:
        """Cuts out all crops of a clip that a test averages over. Nothing is drawn.

        The frames are resized so that the short side is `short_side`. Three crops lie at both ends and in the
        middle of the long side; with `short_side=size` they show everything that a 3:1 frame has. Two, six
        and ten crops are the one, the three, or the corners and the center, and then the same mirrored.

        Args:
            frames: uint8 array `(T, H, W, 3)`.

        Returns:
            uint8 array `(num_crops, T, size, size, 3)`.

        Raises:
            UserError: `frames` has another type or shape.
        """
        if self.num_crops <= 2:
            crops = self(frames)[None]
        else:
            frames, room = self._scaled(self.prepare(frames))
            corners = self._corners(*room)
            crops = np.stack([_cut(frames, top, left, self.size, self.size) for top, left in corners])
        return np.concatenate([crops, crops[:, :, :, ::-1]]) if self.has_mirrored_crops else crops

    def regions(self, height: int, width: int) -> tuple[Region, ...]:
        """What of frames of this size each clip that `crops` gives shows; a call shows the middle one.

        Args:
            height: of the frames before anything is done to them, in pixels.
            width: likewise.

        Returns:
            `num_crops` of them, in the order of `crops`.
        """
        if self.crop == "none":
            regions = [Region(0.0, 0.0, float(height), float(width))]
        else:
            sides = (height, width)
            if self.shrink is not None and min(sides) > self.shrink:
                sides = _short_sides(*sides, self.shrink)
            sides = _short_sides(*sides, self._least)
            down, across = height / sides[0], width / sides[1]  # pixels of the frame to one that is cropped
            regions = [
                Region(top * down, left * across, (top + self.size) * down, (left + self.size) * across)
                for top, left in self._corners(sides[0] - self.size, sides[1] - self.size)
            ]
        mirrored = [replace(region, mirrored=True) for region in regions] if self.has_mirrored_crops else []
        return (*regions, *mirrored)

    def _corners(self, down: int, across: int) -> list[tuple[int, int]]:
        """Top and left of every crop, the mirrored ones aside, where the crop leaves this room."""
        if self.num_crops <= 2:
            return [(down // 2, across // 2)]
        if self.num_crops == 10:
            return [(row * (down // 4), column * (across // 4)) for row, column in _CORNERS_AND_CENTER]
        if down > across:
            return [(top, across // 2) for top in (0, down // 2, down)]
        return [(down // 2, left) for left in (0, across // 2, across)]

    @property
    def _least(self) -> int:
        """Short side of what is cropped, or that of the square."""
        return self.size if self.crop == "none" else self.short_side or self.size * 256 // 224

    def _scaled(self, frames: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """The frames with the short side before the crop, and the rooms that the crop leaves."""
        frames = _resize_short(frames, self._least)
        return frames, (frames.shape[1] - self.size, frames.shape[2] - self.size)


def _multi_scale_box(
    height: int, width: int, size: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Top, left, height and width."""
    short = min(height, width)
    sides = [max(short * scale // 1000, 1) for scale in _SCALES]
    sides = [size if abs(side - size) < 3 and size <= short else side for side in sides]
    pairs = [(high, wide) for i, high in enumerate(sides) for j, wide in enumerate(sides) if abs(i - j) <= 1]
    high, wide = pairs[rng.integers(len(pairs))]
    row, column = _POSITIONS[rng.integers(len(_POSITIONS))]
    return row * ((height - high) // 4), column * ((width - wide) // 4), high, wide


def _resized_box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width. After ten misses, the largest middle with an aspect in range."""
    box = drawn_box(height, width, (0.08, 1), (3 / 4, 4 / 3), rng)
    if box is not None:
        return box
    high, wide = min(height, max(width * 4 // 3, 1)), min(width, max(height * 4 // 3, 1))
    return (height - high) // 2, (width - wide) // 2, high, wide


def _cut(frames: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    return frames[:, top : top + height, left : left + width]


def _resize(frames: np.ndarray, height: int, width: int | None = None) -> np.ndarray:
    width = height if width is None else width
    if frames.shape[1:3] == (height, width):
        return frames
    cv2 = opencv()
    shrinks = height * width < frames.shape[1] * frames.shape[2]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in frames])


def _resize_short(frames: np.ndarray, target: int) -> np.ndarray:
    """The frames with this short side and their aspect."""
    height, width = frames.shape[1:3]
    return _resize(frames, *_short_sides(height, width, target))


def _short_sides(height: int, width: int, target: int) -> tuple[int, int]:
    short = min(height, width)
    return round(height * target / short), round(width * target / short)
