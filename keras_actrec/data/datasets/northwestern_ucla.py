"""Northwestern-UCLA: skeletons of Kinect v1 from three views."""

import hashlib
import os
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
    read_json,
    readable,
    relative,
)
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_NAME = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)_v(\d\d)")
_CLASSES = {
    1: "pick up with one hand",
    2: "pick up with two hands",
    3: "drop trash",
    4: "walk around",
    5: "sit down",
    6: "stand up",
    8: "donning",
    9: "doffing",
    11: "throw",
    12: "carry",
}
_OFFICIAL = {
    "cross_view": {"train": 1020, "test": 464},
    "view1_view2": {"train": 516, "test": 504},
    "subject": {"": 1484},
    "five_folds": {"": 1484},
    "all": {"": 1484},
}


def northwestern_ucla(root: str | Path, *, split: str = "cross_view", duplicates: str = "refuse") -> Manifest:
    """Northwestern-UCLA Multiview Action3D in the JSON layout of the graph-convolution projects.

    Looks for `aAA_sSS_eEE_vVV.json` (action, subject, episode, view) in `root` or up to two folders below,
    such as `all_sqe`. Ten actions, numbered 1 to 12 without 7 and 10; 1,484 sequences in this layout, of
    which views 1 and 2 have 1,020, counted, and view 3 has 464, which could not be checked; nor could the
    names of the classes.

    The splits are `"cross_view"`: views 1 and 2 train, view 3 tests, the official protocol;
    `"view1_view2"`: view 1 trains, view 2 tests; `"subject"`: all views, every subject is a fold
    and a group, to be chosen by `test_fold`; `"five_folds"`, ours: the same with subjects 1 and 2 as fold
    0, 3 and 4 as fold 1, and so on; and `"all"`: all views, in no part and no fold, the subject is the group.
    In the first two the same people act in both parts, by design.

    In known copies of this layout the view 2 files of actions 2 and 3 are those of view 3, so that the test
    part is trained on. Files are compared by content; `duplicates` says what to do when a test file is in
    the train part too.

    Args:
        root: folder with the JSON files.
        split: see above.
        duplicates: `"refuse"`; `"drop"` leaves such files out of the train part; `"keep"` trains on them.

    Returns:
        A `Manifest`.

    Raises:
        UserError: another layout, an unknown option, a view that the split needs and that is not there, or
            the same content in train and in test.
    """
    split = choose("split", split, _OFFICIAL)
    choose("duplicates", duplicates, ("refuse", "drop", "keep"))
    pattern = "a[0-9][0-9]_s[0-9][0-9]_e[0-9][0-9]_v[0-9][0-9].json"
    look_for(root, "Northwestern-UCLA", pattern, f"*/{pattern}", f"*/*/{pattern}")
    train, test = {"cross_view": ((1, 2), (3,)), "view1_view2": ((1,), (2,))}.get(split, ((1, 2, 3), ()))
    labels, records = {action: label for label, action in enumerate(_CLASSES)}, []
    for stem, file in index(root, suffixes=(".json",)).items():
        match = _NAME.fullmatch(stem)
        if match is None:
            continue
        action, subject, _, view = map(int, match.groups())
        if action not in labels:
            raise UserError(
                f"{file}: action {action} is none of {', '.join(map(str, labels))}; remove the file"
            )
        if view not in train + test:
            continue
        part, group, fold = "train" if view in train else "test", "", ""
        if not test:
            part, group = "", f"s{match[2]}"
            fold = {"subject": group, "five_folds": str((subject - 1) // 2)}.get(split, "")
        records.append(Record(file, relative(file, root), labels[action], part, group, fold))
    if test:
        for part, views in (("train", train), ("test", test)):
            if not any(record.split == part for record in records):
                missing = " and ".join(map(str, views))
                raise UserError(
                    f"{root}: split={split!r} needs view {missing} to {part}, and it is not there; "
                    "use split='view1_view2' or split='subject'"
                )
        if duplicates != "keep":
            records = _without_copies(root, records, duplicates)
    return finish("northwestern_ucla", root, _CLASSES.values(), records, _OFFICIAL[split])


def _without_copies(root: str | Path, records: list[Record], duplicates: str) -> list[Record]:
    test = {_content(record.file): record.path for record in records if record.split == "test"}
    copies = {
        record.path: test[content]
        for record in records
        if record.split == "train" and (content := _content(record.file)) in test
    }
    if copies and duplicates == "refuse":
        train, other = next(iter(copies.items()))
        raise UserError(
            f"{root}: {len(copies)} train files have the content of test files, the first {train} = {other} "
            f"(a known defect of this layout); {option('duplicates', 'drop')}, or 'keep' to train on them"
        )
    return [record for record in records if record.path not in copies]


def _content(file: Path) -> bytes:
    """Hash of the file without the file's name in it, which comes before the joints."""
    try:
        content = readable(file).read_bytes()
    except (OSError, VideoError):  # who reads its joints says what is wrong with it
        content = os.fsencode(file)
    return hashlib.sha256(content[max(content.find(b'"skeletons"'), 0) :]).digest()


def read_skeleton(record: Record) -> np.ndarray:
    """Joints `(T, 1, 20, 3)` in meters, in the camera's coordinates."""
    readable(record.file)
    try:
        joints = read_json(record.file, dict).get("skeletons")
    except UserError as error:
        raise VideoError(record.file, "unreadable", "not a JSON file of skeletons; get it again") from error
    joints = checked_joints(record.file, joints, (20, 3))
    return joints[:, None]
