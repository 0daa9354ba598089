"""Joints from any pose estimator: one file a sequence, `.npz` or `.json`."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec._archive import open_archive, read_arrays
from keras_actrec._files import replacing, write_json
from keras_actrec._types import PathLike
from keras_actrec.data._video_error import VideoError, readable
from keras_actrec.errors import UserError

POSE_SUFFIXES = (".json", ".npz")

# Orders of the axes time, person (M), joint (V) and coordinate: ours, that of ST-GCN, that of PYSKL.
_ORDERS = ("TMVC", "CTVM", "MTVC")
_FEW = 4  # persons that any sequence may have
_SOME = 6  # persons that are believed in a sequence of few frames


@dataclass(frozen=True)
class Pose:
    """The joints of one sequence.

    A `.npz` file holds these as arrays of the same names (no pickled objects), a `.json` file as one object
    with the same keys, arrays as nested lists; only `joints` is needed. A body or joint that was not seen
    is zeros (and its score 0): numbers that are not finite are refused.

    A file may say in which order its axes are, as `axes`: "TMVC" for time, persons, joints (vertices) and
    coordinates, "CTVM" as ST-GCN has them, "MTVC" as PYSKL, or any other; `scores` are in the same order
    without C. Without it an order that can only be one of these is taken, and a shape that would be a crowd
    is refused.

    Attributes:
        joints: float32 array `(T, bodies, joints, 2 or 3)`, in meters or pixels as the estimator has them.
        scores: float32 array `(T, bodies, joints)`, the estimator's confidence, or `None`.
        fps: frames a second, or `None`.
        names: the joints' names, or `None`.
    """

    joints: np.ndarray
    scores: np.ndarray | None = None
    fps: float | None = None
    names: tuple[str, ...] | None = None


def holds_pose(path: PathLike) -> bool:
    """Whether a `.npz` file has joints by its list of contents; one that is damaged has."""
    try:
        if not Path(path).is_file():  # of a pipe reading might never end
            return True
        with open(path, "rb") as file, open_archive(file) as archive:
            return "joints.npy" in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return True  # `read_pose` says what is wrong with it


def read_pose(path: PathLike) -> Pose:
    """Reads the joints of a sequence from a `.npz` or `.json` file, see `Pose`.

    Args:
        path: the file.

    Returns:
        The joints, and what else the file holds.

    Raises:
        VideoError: not such a file, a pickled object in it, or shapes that do not fit together.
    """
    path = readable(path)
    try:
        if path.suffix.lower() == ".npz":
            content: Any = read_arrays(path, ("joints", "scores", "fps", "names", "axes"))
        else:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError("must hold an object")
    except Exception as error:  # a damaged archive ends in whatever zip, zlib or NumPy met first
        reason = " ".join(str(error).split())[:200]
        raise VideoError(path, "unreadable", f"not a file of joints ({reason}); see `Pose`") from error
    try:
        return _checked(content)
    except (UserError, TypeError, ValueError, OverflowError) as error:
        raise VideoError(path, "unreadable", " ".join(str(error).split())[:300]) from error


def write_pose(
    path: PathLike,
    joints: np.ndarray,
    *,
    scores: np.ndarray | None = None,
    fps: float | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Writes the joints of a sequence to a `.npz` or `.json` file, see `Pose`.

    Args:
        path: the file; its suffix says which.
        joints: array `(T, bodies, joints, 2 or 3)`.
        scores: array `(T, bodies, joints)`, or `None`.
        fps: frames a second, or `None`.
        names: names of the joints, or `None`.

    Raises:
        UserError: another suffix, shapes that do not fit together, or numbers that are not finite.
    """
    path = Path(path)
    if path.suffix.lower() not in POSE_SUFFIXES:
        raise UserError(f"{path}: the file must end with {' or '.join(POSE_SUFFIXES)}")
    given = {"joints": joints, "scores": scores, "fps": fps, "names": names, "axes": _ORDERS[0]}
    content = {name: value for name, value in vars(_checked(given)).items() if value is not None}
    content["axes"] = _ORDERS[0]
    if path.suffix.lower() == ".npz":
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **content)
    else:
        content = {name: getattr(value, "tolist", lambda v=value: v)() for name, value in content.items()}
        write_json(path, content, indent=None)


def _checked(content: Mapping[str, Any]) -> Pose:
    if content.get("joints") is None:
        raise UserError("`joints` is missing; it must be (T, bodies, joints, 2 or 3)")
    joints = _numbers("joints", content["joints"])
    scores, fps, names, axes = (content.get(name) for name in ("scores", "fps", "names", "axes"))
    axes = _axes_of(joints.shape) if axes is None else str(axes)
    if joints.ndim == 4 and sorted(axes) != sorted(_ORDERS[0]):
        raise UserError(f"`axes` must be the letters T, M, V and C in an order. Received: axes={axes!r}")
    joints = _reordered(joints, axes, _ORDERS[0])
    if joints.ndim != 4 or joints.shape[3] not in (2, 3) or not joints.size:
        raise UserError(f"`joints` must be (T, bodies, joints, 2 or 3). Received: {joints.shape}")
    if scores is not None:
        scores = _reordered(_numbers("scores", scores), axes.replace("C", ""), "TMV")
        if scores.shape != joints.shape[:3]:
            raise UserError(f"`scores` must be {joints.shape[:3]}, as `joints`. Received: {scores.shape}")
    for name, array in (("joints", joints), ("scores", scores)):
        if array is not None and not np.isfinite(array).all():
            raise UserError(f"`{name}` has numbers that are not finite; write zeros for what was not seen")
    if fps is not None:
        fps = float(fps)
        if not 0 < fps < np.inf:
            raise UserError(f"`fps` must be above 0. Received: fps={fps}")
    if names is not None:
        names = tuple(map(str, names))
        if len(names) != joints.shape[2]:
            raise UserError(f"`names` must name {joints.shape[2]} joints. Received: {len(names)} names")
    return Pose(joints, scores, fps, names)


def _numbers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind in "bcSU":  # which NumPy would make numbers of
        raise UserError(f"`{name}` must be numbers. Received: {array.dtype}")
    with np.errstate(over="ignore"):  # what does not fit is refused as not finite
        return array.astype("float32")


def _axes_of(shape: tuple[int, ...]) -> str:
    """The order of axes that a shape is in: ours where that can be, another one where only that can be."""
    if len(shape) != 4:
        return _ORDERS[0]
    ours, *others = (dict(zip(axes, shape, strict=True)) for axes in _ORDERS)
    persons = ours["M"]
    possible = persons <= _SOME or persons < ours["T"] and persons <= ours["V"]
    fitting = [
        axes
        for axes, size in zip(_ORDERS[1:], others, strict=True)
        if size["C"] in (2, 3) and size["M"] <= _FEW
    ]
    if ours["C"] in (2, 3) and possible:
        return _ORDERS[0]
    if len(fitting) == 1:
        return fitting[0]
    if ours["C"] not in (2, 3):
        return _ORDERS[0]  # which is refused
    raise UserError(
        f"`joints` are {shape}, which would be {ours['T']} frames of {persons} persons x {ours['V']} joints: "
        'write `axes` into the file, "TMVC" if they are, "CTVM" (ST-GCN), "MTVC" (PYSKL) or another order of '
        "time, persons, joints, coordinates"
    )


def _reordered(array: np.ndarray, axes: str, order: str) -> np.ndarray:
    """The array with its axes in an order; one of another number of axes as it is, which is refused."""
    if array.ndim != len(axes):
        return array
    return np.ascontiguousarray(array.transpose([axes.index(axis) for axis in order]))
