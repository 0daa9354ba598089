"""What lists of persons, frame by frame, have in common."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_actrec.bodies import body, list_bodies
from keras_actrec.data._pose import WHOLE_BODIES, Pose, without_gaps
from keras_actrec.data.persons import Seen, numbers_of, sequence_of
from keras_actrec.errors import UserError

# Of who is trained on COCO or Halpe, with or without face and hands, by the number of joints.
COCO_LAYOUTS = {17: "coco17", 26: "halpe26", **WHOLE_BODIES}


def pose_of(
    frames: Mapping[int, Sequence[Seen]], known: Mapping[int, str], declared: str | None, tool: str
) -> Pose:
    """The pose of persons by the number of their frame.

    Args:
        frames: who is in each frame.
        known: the layouts that files of this tool have, by number of joints.
        declared: the layout that somebody says, or `None`.
        tool: whose files these are, in words for errors.

    Raises:
        ValueError: for no person, or joints that are of no layout.
    """
    joints, scores = sequence_of(frames)
    count = joints.shape[2]
    layout = known.get(count)
    if declared is not None and len(body(declared).joints) == count:
        layout = declared
    if layout is None:
        counts = ", ".join(map(str, known)) or "none in three dimensions"
        may = [each for each in list_bodies() if len(body(each).joints) == count and joints.shape[3] == 2]
        fix = f"if they are {' or '.join(may)}, write that as layout into poses.toml, else " if may else ""
        raise UserError(
            f"{count} joints a person are none of {tool}'s that are known ({counts}); "
            f"{fix}write them, with their names, with keras_actrec.data.write_pose"
        )
    joints, scores = whole_body(joints, scores, layout)
    return Pose(joints, scores, layout=layout, frames=numbers_of(frames))


def whole_body(joints: np.ndarray, scores: np.ndarray, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Joints and scores of a body without the face and hands that follow."""
    if WHOLE_BODIES.get(joints.shape[2]) == layout:
        count = len(body(layout).joints)
        return joints[:, :, :count], scores[:, :, :count]
    return joints, scores


def triples(values: Any, track: Any = None) -> Seen:
    """A person from numbers `x, y, score`, joint after joint.

    Raises:
        ValueError: for other numbers.
    """
    if not isinstance(values, list) or not values or len(values) % 3:
        raise ValueError("keypoints must be a list of x, y, score for each joint")
    rows = numbers(values).reshape(-1, 3)
    return seen(rows[:, :2], rows[:, 2], track)


def seen(joints: np.ndarray, scores: np.ndarray, track: Any = None) -> Seen:
    """A person, if all numbers are finite or NaN. A track is a number or a name, maybe in lists."""
    joints, made = without_gaps(joints, scores)
    assert made is not None
    while isinstance(track, list):
        track = track[0] if track else None
    if isinstance(track, float):
        track = int(track)
    if isinstance(track, bool) or not isinstance(track, int | str) or track in (-1, ""):
        track = None
    return Seen(joints, made, track)


def numbers(values: Any) -> np.ndarray:
    """Lists of numbers as float32.

    Raises:
        ValueError: for anything else, or lists of several lengths.
    """
    array = np.array(values)  # which raises for lists of several lengths
    if array.dtype.kind == "O" and all(each is None or type(each) in (int, float) for each in array.flat):
        array = array.astype("float64")  # `null` is no number
    if array.dtype.kind not in "iuf":
        raise ValueError("keypoints must be numbers")
    with np.errstate(over="ignore"):  # what does not fit is refused as not finite
        return array.astype("float32")


def numbered(names: Sequence[Any]) -> dict[Any, int]:
    """The number of each frame, by its name: the last one in it, else its place.

    Raises:
        ValueError: for two names with one number, or what is neither a number nor a text.
    """
    unique = list(dict.fromkeys(names))
    if any(type(each) not in (int, str) for each in unique):
        raise ValueError("a frame must be named by a number or a text")
    found = [
        [str(each)] if type(each) is int else re.findall(r"\d+", re.sub(r"\.\w+$", "", each))
        for each in unique
    ]
    if not all(found):
        return {name: place for place, name in enumerate(unique)}
    made = {name: int(parts[-1][-18:]) for name, parts in zip(unique, found, strict=True)}
    if len(set(made.values())) < len(made):
        raise ValueError("several frames have one number: write one file for each video")
    return made
