"""Joints from any pose estimator: one file a sequence, or a folder of a file a frame."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec._archive import open_archive, read_arrays
from keras_actrec._files import read_toml, replacing, write_json
from keras_actrec._suggest import did_you_mean
from keras_actrec._types import PathLike
from keras_actrec.bodies import body
from keras_actrec.data._pose import ORDERS, Pose, checked, checked_axes, checked_channels
from keras_actrec.data._video_error import VideoError, readable
from keras_actrec.data.estimators import arrays, coco, kinect, mediapipe, mmpose, openpose, pyskl
from keras_actrec.data.persons import NobodyError
from keras_actrec.errors import UserError

POSE_SUFFIXES = (".csv", ".json", ".npy", ".npz", ".pickle", ".pkl", ".skeleton")

_OURS = (".json", ".npz")  # that are written
_DECLARED = "poses.toml"
_ABOVE = 4  # folders above a file that are looked into: of a class, a split, the set
_KEYS = ("layout", "axes", "channels")


def read_pose(path: PathLike, *, name: str | None = None, layout: str | None = None) -> Pose:
    """Reads the joints of a sequence.

    What is read, by suffix and content; what each tool writes, see `keras_actrec.data.estimators`:

    - `.npz` and `.json` as `write_pose` writes them, see `Pose`;
    - a folder of OpenPose's `..._keypoints.json`, a file a frame;
    - `.json` of COCO's results and AlphaPose, and of MMPose;
    - `.pkl` and `.pickle` of PYSKL and MMAction2;
    - `.npy`, and `.npz` of other names: `(T, V, C)`, `(T, M, V, C)`, `(M, T, V, C)`, `(C, T, V, M)`;
    - `.csv` of MediaPipe's landmarks, `.skeleton` of Kinect v2 as NTU RGB+D has them.

    What a file cannot tell, `poses.toml` in its folder, or in one of three above it, may say: `layout`, the
    name of a `body`; `axes`, the order of an array's axes, such as "MTVC"; `channels`, what the numbers of a
    joint are: "xy", "xyz", "xys" or "xyzs", s the score. Formats other than arrays, pickles and ours have
    these always alike, and are not asked.

    Args:
        path: the file or folder.
        name: of a sequence in a file with several, its `frame_dir`.
        layout: name of a `body`, in place of what `poses.toml` says.

    Returns:
        The joints, and what else the file holds.

    Raises:
        VideoError: not such a file, a pickled object in it, or shapes that do not fit together.
        UserError: a `poses.toml` that says something else.
    """
    path = Path(path)
    declared = {**_declared(path), **({} if layout is None else {"layout": layout})}
    if not path.is_dir():
        path = readable(path)
    try:
        pose = _read(path, name, declared)
    except VideoError:
        raise
    except NobodyError as error:
        raise VideoError(path, "empty", str(error)) from error
    except Exception as error:  # a damaged file ends in whatever zip, zlib, JSON or NumPy met first
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if not isinstance(error, UserError):  # which says what to do
            reason = f"not a file of joints ({reason}); see `read_pose`"
        raise VideoError(path, "unreadable", reason) from error
    said = declared.get("layout")
    if said is None or pose.layout == said:
        return pose
    if pose.layout is not None or len(body(said).joints) != pose.joints.shape[2]:
        its = pose.layout or f"{pose.joints.shape[2]} joints"
        raise VideoError(path, "unreadable", f"it has {its}, and the layout is to be {said}")
    return replace(pose, layout=said)


def write_pose(
    path: PathLike,
    joints: np.ndarray,
    *,
    scores: np.ndarray | None = None,
    fps: float | None = None,
    names: Sequence[str] | None = None,
    layout: str | None = None,
) -> None:
    """Writes the joints of a sequence to a `.npz` or `.json` file, see `Pose`.

    Args:
        path: the file; its suffix says which.
        joints: array `(T, bodies, joints, 2 or 3)`; of a joint that was not seen zeros or NaN.
        scores: array `(T, bodies, joints)`, or `None`.
        fps: frames a second, or `None`.
        names: names of the joints, or `None`.
        layout: name of the `body` whose joints they are, or `None`.

    Raises:
        UserError: another suffix, shapes that do not fit together, or infinite numbers.
    """
    path = Path(path)
    if path.suffix.lower() not in _OURS:
        raise UserError(f"{path}: the file must end with {' or '.join(_OURS)}")
    given = {"joints": joints, "scores": scores, "fps": fps, "names": names, "axes": ORDERS[0]}
    pose = checked({**given, "layout": layout})
    content = {name: value for name, value in vars(pose).items() if value is not None}
    content["axes"] = ORDERS[0]
    if path.suffix.lower() == ".npz":
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **content)
    else:
        content = {name: getattr(value, "tolist", lambda v=value: v)() for name, value in content.items()}
        write_json(path, content, indent=None)


def holds_pose(path: PathLike) -> bool:
    """Whether a `.npz` or `.npy` file has joints, by its list of contents; one that is damaged has.

    `read_pose` says what is wrong with it.
    """
    path = Path(path)
    if not path.is_file() or _declared(path):  # of a pipe reading might never end
        return True
    try:
        if path.suffix.lower() == ".npz":
            with open(path, "rb") as file, open_archive(file) as archive:
                if "joints.npy" in archive.namelist():
                    return True
                if "features.npy" in archive.namelist():
                    return False
        return arrays.is_of_joints(arrays.shape_of(path))
    except ValueError:  # of several arrays none is named
        return False
    except Exception:  # whatever a damaged file raises: who reads it says what is wrong
        return path.suffix.lower() == ".npz"


def _read(path: Path, name: str | None, declared: Mapping[str, str]) -> Pose:
    layout, suffix = declared.get("layout"), path.suffix.lower()
    said = {key: declared[key] for key in ("axes", "channels") if key in declared}
    if path.is_dir():
        return openpose.read_folder(path, layout)
    if suffix in (".pickle", ".pkl"):
        return pyskl.read(path, name, declared)
    if suffix == ".skeleton":
        return checked({**vars(kinect.read(path)), "axes": ORDERS[0]})
    if suffix == ".csv":
        return mediapipe.read(path.read_text(encoding="utf-8-sig"))
    if suffix == ".npy":
        return arrays.read(path, declared)
    if suffix == ".npz":
        with open(path, "rb") as file, open_archive(file) as archive:
            if "joints.npy" not in archive.namelist():
                return arrays.read(path, declared)
        found = read_arrays(path, ("joints", "scores", "fps", "names", "axes", "layout"))
        return checked({**said, **found})
    content: Any = json.loads(path.read_text(encoding="utf-8"))
    if mmpose.fits(content):
        return mmpose.read(content, layout)
    if coco.fits(content):
        return coco.read(content, layout)
    if isinstance(content, dict) and "people" in content:
        return openpose.read(content, layout)
    if openpose.fits_images(content):
        return openpose.read_images(content, layout)
    if not isinstance(content, dict):
        raise ValueError("it must hold an object, or a list of persons or frames")
    return checked({**said, **content})


def declared_file(path: Path) -> Path | None:
    """The `poses.toml` that says something of a file, if there is one."""
    files = [folder / _DECLARED for folder in list(path.absolute().parents)[:_ABOVE]]
    return next((file for file in files if file.is_file()), None)


def _declared(path: Path) -> dict[str, str]:
    file = declared_file(path)
    return {} if file is None else _said_in(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _said_in(file: Path, changed: int) -> dict[str, str]:
    said = read_toml(file)
    for key, value in said.items():
        if key not in _KEYS:
            raise UserError(f"{file}: unknown key {key!r}; {did_you_mean(key, _KEYS)}")
        if not isinstance(value, str):
            raise UserError(f"{file}: {key} must be a text")
    try:
        if "layout" in said:
            body(said["layout"])
        if "channels" in said:
            checked_channels(said["channels"])
        if "axes" in said:
            checked_axes(said["axes"], min(max(len(said["axes"]), 3), 4))
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    return said
