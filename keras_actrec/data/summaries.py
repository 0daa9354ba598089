"""A file in a few numbers, as a simple classifier takes it: see `evaluation.floors`."""

from collections.abc import Iterable

import numpy as np

from keras_actrec.data._opencv import opencv

_GRID = (12, 16)  # rows and columns
_SEGMENTS = 8  # of the differences of frames
_STEPS = 4  # segments of features
_MOST = 512  # frames or steps of a file that are looked at


def summary_of_frames(frames: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Summaries of a video.

    Args:
        frames: RGB, uint8 `(H, W, 3)`, of one size or several.

    Returns:
        A dict of float32 vectors: `"one frame"`, the middle one as 12 x 16 gray values; `"mean frame"`; and
        `"frame differences"`: log(1 + |difference of neighboring frames|), each frame as 12 x 16 gray values,
        averaged over 8 segments.
    """
    grays = np.stack([_gray(frame) for frame in frames])
    changes = np.abs(np.diff(grays, axis=0)) if len(grays) > 1 else np.zeros_like(grays)
    return {
        "one frame": grays[len(grays) // 2].ravel(),
        "mean frame": grays.mean(axis=0).ravel(),
        "frame differences": np.log1p(_segments(changes, _SEGMENTS)).ravel(),
    }


def few(count: int) -> range:
    """Numbers of evenly spaced steps of so many, at most 512."""
    return range(0, count, -(-count // _MOST))


def summary_of_joints(joints: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, standard deviation and range over time of each coordinate of joints `(T, ..., 3)`."""
    rows = np.asarray(joints, "float32").reshape(len(joints), -1)
    vector = np.concatenate([rows.mean(axis=0), rows.std(axis=0), np.ptp(rows, axis=0)])
    return {"mean, spread and range of joints": vector}


def summary_of_features(steps: np.ndarray) -> dict[str, np.ndarray]:
    """The means of 4 segments of features `(T, D)`, or of `(T, H, W, D)` averaged over locations."""
    vectors = steps.reshape(len(steps), -1, steps.shape[-1]).mean(axis=1)
    return {"means of segments": _segments(vectors, _STEPS).ravel()}


def _gray(frame: np.ndarray) -> np.ndarray:
    cv2 = opencv()
    small = cv2.resize(frame, (4 * _GRID[1], 4 * _GRID[0]), interpolation=cv2.INTER_AREA)
    gray = small.astype("float32").mean(axis=-1)
    return gray.reshape(_GRID[0], 4, _GRID[1], 4).mean(axis=(1, 3))


def _segments(steps: np.ndarray, count: int) -> np.ndarray:
    """Means of `count` parts of equal length; of fewer steps some are in several."""
    edges = np.linspace(0, len(steps), count + 1)
    starts = np.minimum(np.floor(edges[:-1]).astype(int), len(steps) - 1)
    stops = np.maximum(np.ceil(edges[1:]).astype(int), starts + 1)
    return np.stack(
        [steps[start:stop].mean(axis=0) for start, stop in zip(starts, stops, strict=True)]
    ).astype("float32")
