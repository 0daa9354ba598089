"""PYSKL and MMAction2: a pickle of annotated sequences, of a whole set or of one recording.

A set is `{"split": {"xsub_train": [frame_dir, ...], ...}, "annotations": [annotation, ...]}`, an annotation
`{"frame_dir": str, "label": int, "total_frames": T, "img_shape": (h, w), "keypoint": (M, T, V, C) array,
"keypoint_score": (M, T, V) array}`. A file may hold one annotation alone, or a list. Nothing that a pickle
asks for is run, see `_pickles`.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec._pickles import read_plain, short
from keras_actrec.data._pose import Pose, checked_axes, numbers, reordered, without_gaps, without_scores
from keras_actrec.data._readers import stamp

# By the number of joints and of coordinates.
_LAYOUTS = {(25, 3): "ntu25", (17, 2): "coco17", (18, 2): "openpose18", (26, 2): "halpe26"}
_PART = re.compile(r"(?:(.+?)_)?(train|val|test)(\d*)")
_READING = threading.Lock()


def annotations(path: Path) -> list[Mapping[str, Any]]:
    """The annotations of a file. The last file is kept, as its sequences are asked for one by one.

    Raises:
        ValueError: for another file.
    """
    with _READING:
        return _annotations(path, stamp(path))[0]


def _named(path: Path, name: str) -> list[Mapping[str, Any]]:
    with _READING:
        return _annotations(path, stamp(path))[2].get(name, [])


def splits(path: Path) -> dict[str, dict[str, list[str]]]:
    """The names of sequences in each part of each split: `{"xsub": {"train": [...], "val": [...]}, ...}`.

    Raises:
        ValueError: for another file.
    """
    with _READING:
        named = _annotations(path, stamp(path))[1]
    found: dict[str, dict[str, list[str]]] = {}
    for name, members in named.items():
        match = _PART.fullmatch(name) if isinstance(name, str) else None
        if match is None or not isinstance(members, list | tuple):
            raise ValueError(f"`split` must have lists named train, val and test. Received: {short(name)}")
        found.setdefault(match[1] or match[3] or "", {})[match[2]] = [str(each) for each in members]
    return found


def read(path: Path, name: str | None = None, declared: Mapping[str, str] | None = None) -> Pose:
    """The joints of an annotation, by its `frame_dir` where there are several.

    Args:
        path: the file.
        name: the `frame_dir`, or `None` in a file with one annotation.
        declared: `axes` and `channels` as somebody says them, if they are said.

    Raises:
        ValueError: for what does not fit together, or a name that there is not.
    """
    found = annotations(path) if name is None else _named(path, name)
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} sequences" + (f" named {short(name)}" if name else ""))
    values = found[0]
    joints = _array("keypoint", values["keypoint"], 4)
    scores = values.get("keypoint_score")
    scores = None if scores is None else _array("keypoint_score", scores, 3)
    if joints.shape[3] not in (2, 3, 4) or not joints.size:
        raise ValueError(f"`keypoint` must be (M, T, V, 2 or 3). Received: {joints.shape}")
    if scores is not None and scores.shape != joints.shape[:3]:
        raise ValueError(f"`keypoint_score` must be {joints.shape[:3]}. Received: {scores.shape}")
    declared = declared or {}
    axes = checked_axes(declared.get("axes", "MTVC"), joints.ndim)
    joints = reordered(joints, axes, "TMVC")
    scores = None if scores is None else reordered(scores, axes.replace("C", ""), "TMV")
    joints, scores = without_gaps(*without_scores(joints, scores, declared.get("channels")))
    return Pose(joints, scores, layout=_LAYOUTS.get(joints.shape[2:]))


@lru_cache(maxsize=1)
def _annotations(
    path: Path, changed: tuple[int, int]
) -> tuple[list[Mapping[str, Any]], Mapping[Any, Any], Mapping[str, list[Mapping[str, Any]]]]:
    """The annotations, the splits, and the annotations by name."""
    content = read_plain(path)
    named: Any = {}
    if isinstance(content, dict) and "annotations" in content:
        named = content.get("split") or {}
        content = content["annotations"]
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list) or not isinstance(named, dict):
        raise ValueError("it holds no list of `annotations`")
    listed = list(_checked(content))
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for each in listed:
        by_name.setdefault(each["frame_dir"], []).append(each)
    return listed, named, by_name


def _checked(listed: list[Any]) -> Iterator[Mapping[str, Any]]:
    if not listed:
        raise ValueError("it holds no annotation")
    for number, each in enumerate(listed):
        if not isinstance(each, dict) or "keypoint" not in each:
            raise ValueError(f"annotation {number} has no `keypoint`, a (M, T, V, C) array")
        name, label = each.get("frame_dir", str(number)), each.get("label")
        if not isinstance(name, str) or not (label is None or type(label) is int and label >= 0):
            raise ValueError(f"annotation {number} must have a text `frame_dir` and a number `label`")
        yield {**each, "frame_dir": name, "label": label}


def _array(name: str, values: Any, ndim: int) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.ndim != ndim:
        raise ValueError(f"`{name}` must be an array with {ndim} axes")
    return numbers(name, values)
