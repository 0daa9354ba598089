"""What a model looked at, laid over the frames as they are in the video."""

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_actrec.data._opencv import opencv
from keras_actrec.data.transforms import Region

if TYPE_CHECKING:
    from keras_actrec.insight.explain import Explanation

OUTLINE = "#ff2bd6"  # of the looked-at cell: no such color in the heat map, rare in videos
_RGB = (255, 43, 214)
_HEAT = 0.6  # opacity of the largest share: what was looked at stays visible
_UNSEEN = 0.4  # brightness of what lies outside of the model's crop
_BLANK = np.full((160, 160, 3), 150, "uint8")  # in the place of a frame where there is none
_PIXELS = 640  # of the longer side of a frame on a page: larger ones would make it heavy
_LEAST = 200  # of the longer side: browsers would blur what is smaller


@dataclass(frozen=True, eq=False)
class Layer:
    """One thing that is shown on the frames.

    Attributes:
        name: what it is called.
        shares: `(T, K, K)`, from 0 to 1, the largest of the clip.
        smooth: whether the cells are places of a map, between which values are interpolated.
        cells: row and column of the cell that is outlined, of every step; none where it is empty.
    """

    name: str
    shares: np.ndarray
    smooth: bool
    cells: tuple[tuple[int, int], ...] = ()


def layers_of(explanation: "Explanation") -> list[Layer]:
    """What an explanation has to show on frames."""
    layers = []
    if explanation.attention is not None:
        shares = explanation.attention
        most = shares.reshape(len(shares), -1).argmax(axis=1)
        cells = tuple(divmod(int(each), shares.shape[2]) for each in most)
        layers.append(Layer("attention", _of_largest(shares), False, cells))
    if explanation.evidence is not None:
        layers.append(Layer("evidence", explanation.evidence, True))
    if explanation.shifts is not None:
        moved = np.abs(explanation.shifts.gates).mean(axis=-1)
        layers.append(Layer(f"gates of {explanation.shifts.layer}", _of_largest(moved), True))
    if explanation.self_attention is not None:
        found = explanation.self_attention
        cells = (found.cell,) * len(found.shares)
        layers.append(Layer(f"self-attention of {found.layer}", _of_largest(found.shares), False, cells))
    return layers


def _of_largest(shares: np.ndarray) -> np.ndarray:
    """From 0 to 1, the largest of the clip, so that frames can be compared."""
    return shares / (shares.max() or 1)


def spread(values: np.ndarray, region: Region, height: int, width: int, smooth: bool = False) -> np.ndarray:
    """A map on the pixels of a frame, of which the model saw a region.

    Args:
        values: `(K, K')`, of equal parts of what the model saw.
        region: where that is in the frame.
        height: of the frame.
        width: of the frame.
        smooth: whether to interpolate between the middles of the parts.

    Returns:
        `(height, width)`, 0 outside of the region.
    """
    values = values[:, ::-1] if region.mirrored else values
    rows = _shares(values.shape[0], region.top, region.bottom, height, smooth)
    columns = _shares(values.shape[1], region.left, region.right, width, smooth)
    return rows @ values @ columns.T


def _shares(count: int, low: float, high: float, pixels: int, smooth: bool) -> np.ndarray:
    """How much each of so many parts from `low` to `high` has of each pixel, `(pixels, count)`."""
    at = (np.arange(pixels) + 0.5 - low) / (high - low)
    inside = (at >= 0) & (at < 1)
    place = np.clip(at * count - 0.5, 0, count - 1) if smooth else np.clip(np.floor(at * count), 0, count - 1)
    found = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(count)))
    return found * inside[:, None]


def draw_on(explanation: "Explanation", layer: Layer | None, step: int) -> np.ndarray:
    """A frame with a layer on it, uint8 `(H, W, 3)`; what the model did not see is dark."""
    frame = _BLANK if explanation.frames is None else explanation.frames[step]
    height, width = frame.shape[:2]
    region = explanation.region or Region(0, 0, height, width)
    seen = spread(np.ones((1, 1)), region, height, width)[..., None]
    image = (frame * (_UNSEEN + (1 - _UNSEEN) * seen)).round().astype("uint8")
    if layer is None:
        return image
    return heated(
        image,
        layer.shares[step],
        region,
        smooth=layer.smooth,
        cell=layer.cells[step] if layer.cells else None,
    )


def heated(
    frame: np.ndarray,
    shares: np.ndarray,
    region: Region,
    *,
    smooth: bool = False,
    cell: tuple[int, int] | None = None,
) -> np.ndarray:
    """A copy of a frame with shares of it in the colors of heat.

    Args:
        frame: uint8 `(H, W, 3)`, RGB.
        shares: `(K, K')`, from 0 to 1, of equal parts of the region.
        region: what of the frame the model saw.
        smooth: see `spread`.
        cell: row and column of the part that is outlined.
    """
    cv2 = opencv()
    height, width = frame.shape[:2]
    strength = spread(shares, region, height, width, smooth)
    heat = (255 * (0.5 + 0.45 * strength)).astype("uint8")
    colors = cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO)[..., ::-1]
    opacity = (_HEAT * strength)[..., None]
    image = (frame + opacity * (colors.astype("float64") - frame)).round().clip(0, 255).astype("uint8")
    if cell is not None:
        _outline(image, cell, shares.shape, region)
    return image


def _outline(image: np.ndarray, cell: tuple[int, int], grid: tuple[int, ...], region: Region) -> None:
    row, column = cell
    column = grid[1] - 1 - column if region.mirrored else column
    down, across = (region.bottom - region.top) / grid[0], (region.right - region.left) / grid[1]
    corners = [
        (round(region.left + at_column * across), round(region.top + at_row * down))
        for at_row, at_column in ((row, column), (row + 1, column + 1))
    ]
    (left, top), (right, bottom) = corners
    least = min(image.shape[:2])
    thick = max(2, least // 100) if least >= 100 else 1  # so that it leaves something of a small frame
    for color, wide in (((0, 0, 0), thick + 2), (_RGB, thick)):
        opencv().rectangle(image, (left, top), (right - 1, bottom - 1), color, wide)


def jpeg(image: np.ndarray) -> tuple[str, int, int]:
    """A data URI of a picture, with its width and height; the longer side is brought to 200 to 640 pixels."""
    cv2 = opencv()
    share = _PIXELS / max(image.shape[:2])
    if share < 1:
        size = round(image.shape[1] * share), round(image.shape[0] * share)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    times = -(-_LEAST // max(image.shape[:2]))
    image = image.repeat(times, axis=0).repeat(times, axis=1)
    _, file = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 85))
    text = base64.b64encode(file.tobytes()).decode("ascii")
    return f"data:image/jpeg;base64,{text}", image.shape[1], image.shape[0]
