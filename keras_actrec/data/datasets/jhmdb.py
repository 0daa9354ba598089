"""J-HMDB: a part of HMDB51 with the joints of the actor marked by hand."""

from pathlib import Path

import numpy as np

from keras_actrec.data._video_error import VideoError
from keras_actrec.data.datasets._common import checked_joints, choose, index, look_for, read_mat
from keras_actrec.data.datasets.hmdb51 import class_lists, from_lists
from keras_actrec.data.manifest import Manifest, Record

# The counts of the parts are from memory of the literature; only their sum, 928, could be checked.
_OFFICIAL: dict[int | str, tuple[int, int]] = {1: (660, 268), 2: (658, 270), 3: (663, 265)}


def jhmdb(root: str | Path, *, split: int | str = 1, modality: str = "video") -> Manifest:
    """J-HMDB: 928 clips of 21 actions in three splits, with 15 joints in every frame.

    Looks for `splits/<class>_test_splitN.txt` and, by `modality`, for `<class>/<name>.avi` (the original is
    in `ReCompress_Videos`) or `joint_positions/<class>/<name>/joint_positions.mat`. Classes are in the
    order of the list files' names. The numbers of clips a split in `official` could not be checked against
    the source.

    Args:
        root: folder with `splits` and the videos or joints.
        split: 1, 2 or 3, or `"all"`: all clips, in no part.
        modality: `"video"` or `"skeleton"`.

    Returns:
        A `Manifest`; clips that the lists name and that do not exist are left out.

    Raises:
        UserError: another layout, an unknown option, or a clip in train and in test.
    """
    split = choose("split", split, (*_OFFICIAL, "all"))
    lists = class_lists("J-HMDB", root, split)
    if choose("modality", modality, ("video", "skeleton")) == "video":
        files = index(root, parents=1)
    else:
        folder = look_for(root, "J-HMDB with joints", "joint_positions", "*/joint_positions")
        files = {
            f"{file.parent.parent.name}/{file.parent.name}": file
            for file in folder.glob("*/*/joint_positions.mat")
        }
    official = {"": 928} if split == "all" else dict(zip(("train", "test"), _OFFICIAL[split], strict=True))
    return from_lists("jhmdb", root, lists, files, official)


def read_skeleton(record: Record) -> np.ndarray:
    """Joints `(T, 1, 15, 3)` of a record with `modality="skeleton"`: x and y in **pixels**, and 0."""
    joints = read_mat(record.file, "pos_img")  # (2, 15, T)
    if joints.ndim == 2:  # MATLAB drops the last axis of a single frame
        joints = joints[..., None]
    if joints.shape[:2] != (2, 15):
        raise VideoError(record.file, "unreadable", f"`pos_img` must be (2, 15, T), and is {joints.shape}")
    joints = np.concatenate([joints, np.zeros_like(joints[:1])]).transpose(2, 1, 0)[:, None]
    return checked_joints(record.file, joints, (1, 15, 3))
