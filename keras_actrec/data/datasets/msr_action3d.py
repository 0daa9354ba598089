"""MSR-Action3D: skeletons of gestures and sports in front of a depth camera."""

import re
from pathlib import Path

import numpy as np

from keras_actrec.data._video_error import VideoError
from keras_actrec.data.datasets._common import (
    checked_joints,
    choose,
    finish,
    index,
    look_for,
    option,
    read_numbers,
    read_text,
    relative,
)
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_CLASSES = (
    "high arm wave",
    "horizontal arm wave",
    "hammer",
    "hand catch",
    "forward punch",
    "high throw",
    "draw x",
    "draw tick",
    "draw circle",
    "hand clap",
    "two hand wave",
    "side-boxing",
    "bend",
    "forward kick",
    "side kick",
    "jogging",
    "tennis swing",
    "tennis serve",
    "golf swing",
    "pick up & throw",
)
_SUBSETS = {
    "all": tuple(range(1, 21)),
    "AS1": (2, 3, 5, 6, 10, 13, 18, 20),
    "AS2": (1, 4, 7, 8, 9, 11, 12, 14),
    "AS3": (6, 14, 15, 16, 17, 18, 19, 20),
}
_LISTS = ("files_used_in_cvpr12_paper.txt", "JiangExperimentFileList.txt")
_OF_LIST = {"all": (284, 273), "AS1": (114, 105), "AS2": (116, 112), "AS3": (111, 111)}


def msr_action3d(root: str | Path, *, subset: str = "all", files: str = "557") -> Manifest:
    """MSR-Action3D: 567 sequences of 20 actions by 10 subjects, the odd ones for training.

    Looks for `aAA_sSS_eEE_skeleton3D.txt` (real-world coordinates, action, subject, episode) in `root` or
    up to two folders below. The subject is the group. `subset` takes eight of the actions, numbered 0 to 7
    in the order of their ids: the action sets of Li et al. (2010). `files="557"` reads only those on the
    list of Wang et al. (CVPR 2012), which leaves out ten sequences with missing or wrong skeletons:
    `files_used_in_cvpr12_paper.txt` or `JiangExperimentFileList.txt`, in `root` or one of its folders. Of
    those 284 train and 273 test, counted on the list; the 567, the action sets and the names of the classes
    could not be checked.

    Args:
        root: folder with the files.
        subset: `"all"`, `"AS1"`, `"AS2"` or `"AS3"`.
        files: `"557"` or `"all"`; the parts of all 567 have no official count.

    Returns:
        A `Manifest`.

    Raises:
        UserError: another layout, an unknown option, or `files="557"` without the list.
    """
    subset, files = choose("subset", subset, _SUBSETS), choose("files", files, ("557", "all"))
    pattern = "a[0-9][0-9]_s[0-9][0-9]_e[0-9][0-9]_skeleton3D.txt"
    look_for(root, "MSR-Action3D", pattern, f"*/{pattern}", f"*/*/{pattern}")
    listed = None
    if files == "557":
        try:
            table = look_for(root, "MSR-Action3D", *_LISTS, *(f"*/{name}" for name in _LISTS))
        except UserError as error:
            raise UserError(f"{error}; or {option('files', 'all')}") from error
        listed = set(re.findall(r"a\d\d_s\d\d_e\d\d", read_text(table)))
    labels, records = {action: label for label, action in enumerate(_SUBSETS[subset])}, []
    for stem, file in index(root, suffixes=(".txt",)).items():
        match = re.fullmatch(r"(a(\d\d)_(s(\d\d))_e\d\d)_skeleton3D", stem)
        if match is None or (listed is not None and match[1] not in listed) or int(match[2]) not in labels:
            continue
        part = "train" if int(match[4]) % 2 else "test"
        records.append(Record(file, relative(file, root), labels[int(match[2])], part, match[3]))
    names = [_CLASSES[action - 1] for action in labels]
    official = dict(zip(("train", "test"), _OF_LIST[subset], strict=True)) if listed is not None else {}
    return finish("msr_action3d", root, names, records, official)


def read_skeleton(record: Record) -> np.ndarray:
    """Joints `(T, 1, 20, 3)` in meters; the fourth column of the file, a confidence, is left out.

    A joint that was not seen is zeros in the file; so is the whole of `a13_s09_e02`.
    """
    rows = read_numbers(record.file)
    if not rows or len(rows) % 20 or any(len(row) != 4 for row in rows):
        raise VideoError(record.file, "truncated", "each frame must be 20 lines of x, y, z, confidence")
    try:
        joints = np.array(rows, "float32").reshape(-1, 1, 20, 4)[..., :3]
    except ValueError as error:
        raise VideoError(record.file, "unreadable", "not a text file of numbers; get it again") from error
    return checked_joints(record.file, joints, (1, 20, 3))
