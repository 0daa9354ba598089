"""SYSU 3D Human-Object Interaction: skeletons of people who use things."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec.data._video_error import VideoError
from keras_actrec.data.datasets._common import checked_joints, choose, finish, look_for, read_mat, relative
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_CLASSES = (
    "drinking",
    "pouring",
    "calling phone",
    "playing phone",
    "wearing backpacks",
    "packing backpacks",
    "sitting chair",
    "moving chair",
    "taking out wallet",
    "taking from wallet",
    "mopping",
    "sweeping",
)


def sysu_3d_hoi(root: str | Path, *, split: str = "cs", fold: int = 1, seed: int = 0) -> Manifest:
    """SYSU 3D HOI: 480 sequences, 12 activities by 40 people, once each.

    Looks for `3DvideoNorm/<person>/video<N>/sklWorld.mat`, N = 1 to 12 the activity, in `root` or one of
    its folders. Both protocols have 240 sequences in each part and report the mean of 30 random folds:
    `"cs"` (cross subject, setting 2 of the paper) takes 20 people for training, and the person is the
    group; `"ss"` (same subjects, setting 1) takes half of the sequences of every activity. `"all"` is all
    sequences, in no part, and the person is the group. The folds are drawn with `seed`: the authors' own
    draws are not in the release as far as could be seen. That activity N is the N-th name of the paper's
    list could not be checked either, nor the unit of the joints.

    Args:
        root: folder of the release.
        split: `"cs"`, `"ss"` or `"all"`.
        fold: 1 to 30.
        seed: seed of the draws.

    Returns:
        A `Manifest`.

    Raises:
        UserError: another layout or an unknown option.
    """
    split, fold = choose("split", split, ("cs", "ss", "all")), choose("fold", fold, range(1, 31))
    folder = look_for(root, "SYSU 3D HOI", "3DvideoNorm", "*/3DvideoNorm")
    rows = []
    for file in sorted(folder.glob("*/video*/sklWorld.mat")):
        person, number = file.parent.parent.name, file.parent.name.removeprefix("video")
        if not number.isdigit() or not 1 <= int(number) <= len(_CLASSES):
            raise UserError(f"{file}: its folder must be video1 to video{len(_CLASSES)}; rename or remove it")
        rows.append((file, person, int(number) - 1))
    rng = np.random.default_rng([seed, fold])
    if split == "cs":
        train = _half(sorted({person for _, person, _ in rows}), rng)
    elif split == "ss":
        train = set()
        for label in range(len(_CLASSES)):
            train |= _half([file for file, _, other in rows if other == label], rng)
    records = []
    for file, person, label in rows:
        part, group = "", "" if split == "ss" else person
        if split != "all":
            part = "train" if (person if split == "cs" else file) in train else "test"
        records.append(Record(file, relative(file, root), label, part, group))
    official = {"": 480} if split == "all" else {"train": 240, "test": 240}
    return finish("sysu_3d_hoi", root, _CLASSES, records, official)


def _half(items: list[Any], rng: np.random.Generator) -> set[Any]:
    return {items[index] for index in rng.permutation(len(items))[: (len(items) + 1) // 2]}


def read_skeleton(record: Record) -> np.ndarray:
    """Joints `(T, 1, 20, 3)` in world coordinates as the file has them, which are taken to be meters."""
    joints = read_mat(record.file, "SW")  # (20, 3, T)
    if joints.ndim == 2:  # MATLAB drops the last axis of a single frame
        joints = joints[..., None]
    if joints.shape[:2] != (20, 3):
        raise VideoError(record.file, "unreadable", f"`SW` must be (20, 3, T), and is {joints.shape}")
    return checked_joints(record.file, joints.transpose(2, 0, 1)[:, None], (1, 20, 3))
