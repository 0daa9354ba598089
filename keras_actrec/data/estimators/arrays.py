"""Joints as NumPy saves them: `.npy`, or `.npz` without the name `joints`, which is ours.

`(T, V, C)`, with persons `(T, M, V, C)`, `(M, T, V, C)` as PYSKL or `(C, T, V, M)` as ST-GCN. C is x, y,
maybe z, and maybe the score. Nothing in such a file says which is which: it is taken where only one is
possible, else `poses.toml` in the folder of the set says it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec._archive import open_archive, parts_of, read_arrays, read_header
from keras_actrec.data._pose import (
    FEWEST,
    Pose,
    axes_of,
    checked_axes,
    numbers,
    reordered,
    without_gaps,
    without_scores,
)
from keras_actrec.errors import UserError

_LAYOUTS = {33: "mediapipe33"}
_NAMES = ("keypoints", "keypoint", "landmarks", "poses", "pose", "skeletons", "skeleton", "arr_0")
_SCORES = ("scores", "keypoint_scores", "keypoint_score", "visibility")
_MANY = 10  # joints that an array with four axes has at least: else it could be a map of features


def shape_of(path: Path) -> tuple[int, ...]:
    """The shape of the joints in a file, by its header.

    Raises:
        Exception: for a damaged file, whatever is met first.
    """
    with open(path, "rb") as file:
        if path.suffix.lower() == ".npy":
            return read_header(file)[0]
        with open_archive(file) as archive:
            parts = {
                name.removesuffix(".npy"): part
                for name, part in parts_of(archive, path.stat().st_size).items()
            }
            with archive.open(parts[_chosen(list(parts))]) as inside:
                return read_header(inside)[0]


def is_of_joints(shape: tuple[int, ...]) -> bool:
    """Whether an array of a shape has joints, and no features."""
    if len(shape) == 3:
        return shape[2] in (2, 3, 4) and shape[1] >= FEWEST
    return (
        len(shape) == 4
        and shape[2] >= _MANY
        and (shape[3] in (2, 3, 4) or shape[0] in (2, 3) and shape[3] == 1)
    )


def read(path: Path, declared: Mapping[str, str]) -> Pose:
    """The joints of a file.

    Args:
        path: the file.
        declared: `axes`, `channels` and `layout` as somebody says them, if they are said.

    Raises:
        ValueError: for another file, or a shape of which it is not certain what is what.
    """
    content = _npy(path) if path.suffix.lower() == ".npy" else read_arrays(path)
    joints = numbers("joints", content[_chosen(list(content))])
    axes = _axes(joints.shape) if "axes" not in declared else checked_axes(declared["axes"], joints.ndim)
    joints = reordered(joints, axes, "TMVC")
    if joints.ndim != 4 or joints.shape[3] not in (2, 3, 4) or not joints.size:
        raise ValueError(f"joints must be (T, V, C) or (T, M, V, C), C 2 to 4. Received: {joints.shape}")
    scores = next((numbers("scores", content[name]) for name in _SCORES if name in content), None)
    if scores is not None:
        scores = reordered(scores, axes.replace("C", ""), "TMV")
        if scores.shape != joints.shape[:3]:
            raise ValueError(f"scores must be {joints.shape[:3]}, as the joints. Received: {scores.shape}")
    joints, scores = without_scores(joints, scores, declared.get("channels"))
    joints, scores = without_gaps(joints, scores)
    layout = declared.get("layout") or _LAYOUTS.get(joints.shape[2])
    return Pose(joints, scores, layout=layout)


def _axes(shape: tuple[int, ...]) -> str:
    try:
        return axes_of(shape, (2, 3, 4))
    except UserError as error:
        raise UserError(
            f"{str(error).partition(':')[0]}: write axes into poses.toml in the folder of the set, "
            'such as axes = "TMVC", "MTVC" (PYSKL) or "CTVM" (ST-GCN)'
        ) from error


def _chosen(names: list[str]) -> str:
    """The array that has the joints."""
    known = [name for name in _NAMES if name in names]
    if known or len(names) == 1:
        return known[0] if known else names[0]
    told = ", ".join(names[:5]) or "none"
    raise ValueError(f"its arrays are {told[:200]}; name the joints `joints`, see `Pose`")


def _npy(path: Path) -> dict[str, Any]:
    """The array of a `.npy` file, of which no more is believed than is there."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject or dtype.fields:
            raise ValueError("pickled objects and records are never loaded; save numbers with np.save")
        there = size - file.tell()
        if math.prod(shape) * dtype.itemsize > there:
            raise ValueError(f"its array claims {math.prod(shape) * dtype.itemsize} bytes, {there} are there")
        values = np.fromfile(file, dtype, math.prod(shape))
    return {"arr_0": values.reshape(shape, order="F" if fortran else "C")}
