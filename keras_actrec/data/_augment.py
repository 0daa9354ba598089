"""Changes of a clip that are drawn in training: the same for all frames. `ClipTransform` describes them."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from keras_actrec.data._opencv import opencv

MAGNITUDE = 0.3

_GRAY = np.array([0.299, 0.587, 0.114])  # of RGB
_UNCOVERED = (128, 128, 128)
# The largest changes: degrees, shear, share of the side, of a factor 1, bits.
_TURN, _SHEAR, _SHIFT, _FACTOR, _BITS = 30, 0.3, 0.45, 0.9, 4
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
_AREAS, _ASPECTS = (0.02, 1 / 3), (0.3, 1 / 0.3)  # of what is erased


def recolor(
    frames: np.ndarray, brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0
) -> np.ndarray:
    """All three factors are one linear map of the three colors."""
    gray = brightness * (frames.mean(axis=(0, 1, 2)) @ _GRAY)
    mix = saturation * np.eye(3) + (1 - saturation) * _GRAY
    offset = np.full((3, 1), (1 - contrast) * gray)
    table = np.hstack([brightness * contrast * mix, offset])
    flat = frames.reshape(-1, *frames.shape[2:])  # OpenCV knows no time: (T H, W, 3)
    return opencv().transform(flat, table).reshape(frames.shape)


def rand_augment(frames: np.ndarray, count: int, magnitude: float, rng: np.random.Generator) -> np.ndarray:
    """Change uint8 frames `(T, H, W, 3)` by `count` operations of a `magnitude` from 0 to 1."""
    names = list(OPERATIONS)
    for _ in range(count):
        name = names[int(rng.integers(len(names)))]
        frames = OPERATIONS[name](frames, magnitude if rng.random() < 0.5 else -magnitude)
    return frames


def erase(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fill a box that is drawn with noise; after ten boxes that do not fit, nothing."""
    height, width = frames.shape[1:3]
    box = drawn_box(height, width, _AREAS, _ASPECTS, rng)
    if box is not None:
        top, left, high, wide = box
        frames = frames.copy()
        frames[:, top : top + high, left : left + wide] = rng.integers(0, 256, (high, wide, 3), "uint8")
    return frames


def drawn_box(
    height: int,
    width: int,
    areas: tuple[float, float],
    aspects: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int] | None:
    """Top, left, height and width of a box of a frame; after ten boxes that do not fit, None.

    Args:
        height: of the frame.
        width: of the frame.
        areas: the least and the largest share of the frame.
        aspects: the least and the largest width in heights, evenly drawn in their logarithm.
        rng: draws it.
    """
    for _ in range(10):
        area = height * width * rng.uniform(*areas)
        aspect = math.exp(rng.uniform(math.log(aspects[0]), math.log(aspects[1])))
        high, wide = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 1 <= high <= height and 1 <= wide <= width:
            return int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1)), high, wide
    return None


# ---- operations: frames and a signed magnitude, -1 to 1


def _none(frames: np.ndarray, amount: float) -> np.ndarray:
    return frames


def _turned(frames: np.ndarray, amount: float) -> np.ndarray:
    angle = math.radians(_TURN * amount)
    return warped(frames, [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _sheared_rows(frames: np.ndarray, amount: float) -> np.ndarray:
    return warped(frames, [[1, _SHEAR * amount], [0, 1]])


def _sheared_columns(frames: np.ndarray, amount: float) -> np.ndarray:
    return warped(frames, [[1, 0], [_SHEAR * amount, 1]])


def _shifted_across(frames: np.ndarray, amount: float) -> np.ndarray:
    return warped(frames, np.eye(2), (_SHIFT * amount * frames.shape[2], 0))


def _shifted_down(frames: np.ndarray, amount: float) -> np.ndarray:
    return warped(frames, np.eye(2), (0, _SHIFT * amount * frames.shape[1]))


def _brightened(frames: np.ndarray, amount: float) -> np.ndarray:
    return recolor(frames, brightness=1 + _FACTOR * amount)


def _contrasted(frames: np.ndarray, amount: float) -> np.ndarray:
    return recolor(frames, contrast=1 + _FACTOR * amount)


def _saturated(frames: np.ndarray, amount: float) -> np.ndarray:
    return recolor(frames, saturation=1 + _FACTOR * amount)


def _sharpened(frames: np.ndarray, amount: float) -> np.ndarray:
    """The smooth frame, and 1 + .9 `amount` times what it lacks."""
    kernel = -_FACTOR * amount * _SMOOTH
    kernel[1, 1] += 1 + _FACTOR * amount
    cv2 = opencv()
    return np.stack([cv2.filter2D(frame, -1, kernel, borderType=cv2.BORDER_REPLICATE) for frame in frames])


def _posterized(frames: np.ndarray, amount: float) -> np.ndarray:
    bits = round(_BITS * abs(amount))
    return frames >> bits << bits


def _solarized(frames: np.ndarray, amount: float) -> np.ndarray:
    return np.where(frames > 255 * (1 - abs(amount)), 255 - frames, frames)


def _equalized(frames: np.ndarray, amount: float) -> np.ndarray:
    """Each color by its rank among those of the whole clip."""
    tables = []
    for color in range(3):
        ranks = np.bincount(frames[..., color].ravel(), minlength=256).cumsum()
        least = ranks[ranks > 0][0]
        tables.append(255 * (ranks - least) / max(ranks[-1] - least, 1))
    return _looked_up(frames, tables)


def _stretched(frames: np.ndarray, amount: float) -> np.ndarray:
    """Each color from the least to the most that the whole clip has of it, to 0 to 255."""
    low, high = frames.min(axis=(0, 1, 2)), frames.max(axis=(0, 1, 2))
    shades = np.arange(256.0)
    return _looked_up(
        frames,
        [
            255 * (shades - least) / (most - least) if most > least else shades
            for least, most in zip(low.astype(float), high.astype(float), strict=True)
        ],
    )


def _looked_up(frames: np.ndarray, tables: list[np.ndarray]) -> np.ndarray:
    whole = [np.clip(np.round(table), 0, 255).astype("uint8") for table in tables]
    return np.stack([table[frames[..., color]] for color, table in enumerate(whole)], axis=-1)


def warped(
    frames: np.ndarray, matrix: np.ndarray | list[list[float]], shift: tuple[float, float] = (0, 0)
) -> np.ndarray:
    """Move what is x (columns, rows) from the center to `matrix` x + `shift`."""
    matrix = np.asarray(matrix, "float64")
    center = (np.array(frames.shape[2:0:-1]) - 1) / 2
    table = np.column_stack([matrix, center + shift - matrix @ center])
    cv2 = opencv()
    size = frames.shape[2], frames.shape[1]
    return np.stack([cv2.warpAffine(frame, table, size, borderValue=_UNCOVERED) for frame in frames])


_Operation: TypeAlias = Callable[[np.ndarray, float], np.ndarray]
OPERATIONS: dict[str, _Operation] = {
    "none": _none,
    "turn": _turned,
    "shear rows": _sheared_rows,
    "shear columns": _sheared_columns,
    "shift across": _shifted_across,
    "shift down": _shifted_down,
    "brightness": _brightened,
    "contrast": _contrasted,
    "color": _saturated,
    "sharpness": _sharpened,
    "bits": _posterized,
    "lights": _solarized,
    "histogram": _equalized,
    "range": _stretched,
}
