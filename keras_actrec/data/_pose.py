"""One sequence of joints, and what its arrays must be."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_actrec.bodies import body, list_bodies
from keras_actrec.errors import UserError

# Orders of the axes time, person (M), joint (V) and coordinate: ours, that of ST-GCN, that of PYSKL.
ORDERS = ("TMVC", "CTVM", "MTVC")
_FEW = 4  # persons that any sequence may have
FEWEST = 5  # joints that an array without persons may have: it could be anything else
_SOME = 6  # persons that are believed in a sequence of few frames

_PIXELS = 10  # no meter and no share of a picture is as large
_SCORE = 1.5  # no score is above it, though some are a bit above 1
_CHANNELS = ("xy", "xyz", "xys", "xyzs")
_ALWAYS_DEEP = 33  # joints of MediaPipe

# Names of joints as others have them.
_ALIASES = {"hip": "pelvis", "mid_hip": "pelvis", "midhip": "pelvis"}
# Numbers of joints of whole bodies, with face and hands, and the body that they begin with.
WHOLE_BODIES = {133: "coco17", 136: "halpe26"}


@dataclass(frozen=True)
class Pose:
    """The joints of one sequence.

    A `.npz` file of ours holds these as arrays of the same names (no pickled objects), a `.json` file as one
    object with the same keys, arrays as nested lists; only `joints` is needed. A body or joint that was not
    seen is zeros or NaN (and its score 0); infinite numbers are refused.

    A file may say in which order its axes are, as `axes`: "TMVC" for time, persons, joints (vertices) and
    coordinates, "CTVM" as ST-GCN has them, "MTVC" as PYSKL, or any other; `scores` are in the same order
    without C, and without M there is one person. Without it an order that can only be one of these is taken,
    and a shape that would be a crowd is refused.

    Attributes:
        joints: float32 array `(T, bodies, joints, 2 or 3)`, in meters or pixels as the estimator has them;
            zeros where nothing was seen.
        scores: float32 array `(T, bodies, joints)`, the estimator's confidence, or `None`.
        fps: frames a second, or `None`.
        names: the joints' names, or `None`.
        layout: name of the `body` whose joints these are, where that is certain, or `None`.
        frames: the numbers that a tool's file gives its frames, or `None`: 0, 1, 2, ...
    """

    joints: np.ndarray
    scores: np.ndarray | None = None
    fps: float | None = None
    names: tuple[str, ...] | None = None
    layout: str | None = None
    frames: range | None = None


def checked(content: Mapping[str, Any]) -> Pose:
    """The pose of values by name, `axes` and `channels` among them.

    Raises:
        UserError: for what does not fit together.
    """
    if content.get("joints") is None:
        raise UserError("`joints` is missing; it must be (T, bodies, joints, 2 or 3)")
    joints = numbers("joints", content["joints"])
    scores, fps, names, said = (content.get(name) for name in ("scores", "fps", "names", "axes"))
    channels = content.get("channels")
    axes = axes_of(joints.shape) if said is None else checked_axes(str(said), joints.ndim)
    joints = reordered(joints, axes, ORDERS[0])
    depths = (2, 3) if channels is None else (2, 3, 4)
    if joints.ndim != 4 or joints.shape[3] not in depths or not joints.size:
        raise UserError(f"`joints` must be (T, bodies, joints, 2 or 3). Received: {joints.shape}")
    if scores is not None:
        scores = reordered(numbers("scores", scores), axes.replace("C", ""), "TMV")
        if scores.shape != joints.shape[:3]:
            raise UserError(f"`scores` must be {joints.shape[:3]}, as `joints`. Received: {scores.shape}")
    if channels is not None:
        joints, scores = without_scores(joints, scores, channels)
    elif said is None and scores is None and joints.shape[3] == 3:  # `write_pose` says the axes
        if np.nanmax(np.abs(joints[..., :2]), initial=0) > _PIXELS and third_is_score(joints) is not False:
            raise _uncertain()
    joints, scores = without_gaps(joints, scores)
    if fps is not None:
        fps = float(fps)
        if not 0 < fps < np.inf:
            raise UserError(f"`fps` must be above 0. Received: fps={fps}")
    if names is not None:
        names = tuple(map(str, names))
        if len(names) != joints.shape[2]:
            raise UserError(f"`names` must name {joints.shape[2]} joints. Received: {len(names)} names")
    layout = content.get("layout")
    layout = layout_of(names or ()) if layout is None else body(str(layout)).name
    if layout is not None and len(body(layout).joints) != joints.shape[2]:
        raise UserError(f"{layout} has {len(body(layout).joints)} joints, and these are {joints.shape[2]}")
    return Pose(joints, scores, fps, names, layout)


def third_is_score(joints: np.ndarray) -> bool | None:
    """Whether the third number of joints is a score and no z, where that is certain.

    Args:
        joints: `(..., 3)`; what was not seen is zeros or NaN.
    """
    third = joints[..., 2][~np.isnan(joints[..., 2])]
    if not third.any() or third.min() < 0 or third.max() > _SCORE:
        return False
    return True if third.max() <= 1 and np.nanmax(np.abs(joints[..., :2])) > _PIXELS else None


def without_scores(
    joints: np.ndarray, scores: np.ndarray | None, channels: str | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Joints `(..., V, C)` without a score among their numbers, and the scores.

    Args:
        joints: `(..., V, 2 to 4)`.
        scores: `(..., V)`, or `None`.
        channels: what the numbers are, as somebody says, or `None`: what they are by their values.

    Raises:
        UserError: for other channels than the joints have, or where these are not certain.
    """
    count = joints.shape[-1]
    channels = channels or _channels(joints, scores is not None)
    if len(channels) != count:
        raise UserError(f"`channels` {channels!r} are {len(channels)}, a joint has {count} numbers")
    return (joints[..., :-1], joints[..., -1]) if channels.endswith("s") else (joints, scores)


def checked_channels(channels: str) -> str:
    """What somebody says the numbers of a joint are.

    Raises:
        UserError: for none of the four.
    """
    if channels not in _CHANNELS:
        raise UserError(
            f"`channels` must be one of {', '.join(_CHANNELS)}, s the score. Received: {channels!r}"
        )
    return channels


def _channels(joints: np.ndarray, has_scores: bool) -> str:
    """What the numbers of a joint are."""
    *_, joint_count, count = joints.shape
    if count != 3:
        return "xyzs" if count == 4 else "xy"
    if has_scores or joint_count == _ALWAYS_DEEP:
        return "xyz"
    is_score = third_is_score(joints)
    if is_score is None:
        raise _uncertain()
    return "xys" if is_score else "xyz"


def _uncertain() -> UserError:
    return UserError(
        'whether the third number of a joint is z or a score is not certain: write channels = "xyz" or '
        '"xys" into poses.toml in the folder of the set'
    )


def without_gaps(joints: np.ndarray, scores: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Joints and scores with zeros for all of a joint of which a number is NaN.

    Raises:
        UserError: for infinite numbers.
    """
    for name, array in (("joints", joints), ("scores", scores)):
        if array is not None and np.isinf(array).any():
            raise UserError(f"`{name}` has numbers that are not finite; write zeros for what was not seen")
    lost = np.isnan(joints).any(axis=-1)
    if scores is not None:
        scores = np.where(lost | np.isnan(scores), np.float32(0), scores)
    return np.where(lost[..., None], np.float32(0), joints) if lost.any() else joints, scores


def layout_of(names: Sequence[str]) -> str | None:
    """The body that has joints of these names in this order, or a whole body that begins with it."""
    found = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in names]
    found = [_ALIASES.get(name, name) for name in found]
    for each in list_bodies():
        known = list(body(each).joints)
        if found == known or WHOLE_BODIES.get(len(found)) == each and found[: len(known)] == known:
            return each
    return None


def numbers(name: str, values: Any) -> np.ndarray:
    """Values as a float32 array.

    Raises:
        UserError: for texts and the like.
    """
    array = np.asarray(values)
    if array.dtype.kind in "bcSU":  # which NumPy would make numbers of
        raise UserError(f"`{name}` must be numbers. Received: {array.dtype}")
    with np.errstate(over="ignore"):  # what does not fit is refused as not finite
        return array.astype("float32")


def checked_axes(axes: str, ndim: int) -> str:
    """The order of axes that somebody says, of an array with so many.

    Raises:
        UserError: for one that cannot be.
    """
    letters = {3: "T, V and C", 4: "T, M, V and C"}
    if ndim in letters and sorted(axes) != sorted(re.findall("[A-Z]", letters[ndim])):
        raise UserError(f"`axes` must be the letters {letters[ndim]} in an order. Received: axes={axes!r}")
    return axes


def axes_of(shape: tuple[int, ...], depths: Collection[int] = (2, 3)) -> str:
    """The order of axes that a shape is in: ours where that can be, another one where only that can be.

    Args:
        shape: of the array.
        depths: how many coordinates a joint may have.

    Raises:
        UserError: for a shape of which it is not certain.
    """
    if len(shape) == 3 and shape[2] in depths and shape[1] >= FEWEST:
        return "TVC"
    if len(shape) != 4:
        return ORDERS[0]  # which is refused
    ours, *others = (dict(zip(axes, shape, strict=True)) for axes in ORDERS)
    persons = ours["M"]
    possible = ours["C"] in depths and (persons <= _SOME or persons < ours["T"] and persons <= ours["V"])
    fitting = [
        axes
        for axes, size in zip(ORDERS[1:], others, strict=True)
        if size["C"] in depths and size["M"] <= _FEW
    ]
    if possible and (persons <= ours["T"] or not fitting):
        return ORDERS[0]
    if len(fitting) == 1 and not possible:
        return fitting[0]
    if ours["C"] not in depths:
        return ORDERS[0]  # which is refused
    raise UserError(
        f"`joints` are {shape}, which would be {ours['T']} frames of {persons} persons x {ours['V']} joints: "
        'write `axes` into the file, "TMVC" if they are, "CTVM" (ST-GCN), "MTVC" (PYSKL) or another order of '
        "time, persons, joints, coordinates"
    )


def reordered(array: np.ndarray, axes: str, order: str) -> np.ndarray:
    """The array with its axes in an order, one person where none is among them.

    One of another number of axes is left as it is, which is refused.
    """
    if array.ndim != len(axes):
        return array
    if "M" not in axes:
        array, axes = array[None], f"M{axes}"
    return np.ascontiguousarray(array.transpose([axes.index(axis) for axis in order]))
