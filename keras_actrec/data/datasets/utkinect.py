"""UTKinect-Action3D: skeletons of Kinect v1, ten actions in one recording."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_actrec.data._video_error import VideoError
from keras_actrec.data.datasets._common import (
    checked_joints,
    choose,
    finish,
    holds_several,
    look_for,
    read_lines,
    read_numbers,
    relative,
)
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_LABELS = ("actionLabel_modified.txt", "actionLabel.txt")
_SPLITS = ("odd_even", "leave_one_sequence_out", "all")


def utkinect(root: str | Path, *, split: str = "odd_even") -> Manifest:
    """UTKinect-Action3D: 199 sequences, 10 actions by 10 people, twice each but for one.

    Looks for `actionLabel_modified.txt` (with corrected ranges), else `actionLabel.txt`, and for
    `joints_sSS_eEE.txt`, in `root` or in `root/joints`. A recording holds ten sequences: the labels give
    the first and the last frame of each, by the frame numbers that the joint files have in their first
    column, which have gaps. Here they are `Record.start` and, one after the last, `Record.stop`;
    `Record.path` is the file's with `#action` after it. The one range that is `NaN` is left out. Classes
    are in the order of the labels file.

    The splits are `"odd_even"`: odd subjects train, even ones test, and the subject is the group;
    `"leave_one_sequence_out"`: every sequence is a fold, named as its path, to be chosen by `test_fold`; and
    `"all"`: all sequences, in no part, the subject is the group.

    Args:
        root: folder with the labels and the joints.
        split: see above.

    Returns:
        A `Manifest`.

    Raises:
        UserError: another layout, an unknown split, or a line of labels that cannot be read.
    """
    split = choose("split", split, _SPLITS)
    table = look_for(root, "UTKinect", *(f"{where}{name}" for where in ("", "joints/") for name in _LABELS))
    folder = look_for(root, "UTKinect", "joints_s*_e*.txt", "joints/joints_s*_e*.txt").parent
    names, records = [], []
    for recording, name, first, stop in _ranges(table):
        if name not in names:
            names.append(name)
        file = folder / f"joints_{recording}.txt"
        if stop is None or not file.is_file():
            continue
        path, subject = f"{relative(file, root)}#{name}", recording[:3]
        if split == "odd_even":
            part = {"split": "train" if int(subject[1:]) % 2 else "test", "group": subject}
        else:
            part = {"group": subject} if split == "all" else {"fold": path}
        records.append(Record(file, path, names.index(name), start=first, stop=stop, **part))
    official = {"train": 100, "test": 99} if split == "odd_even" else {"": 199}
    return finish("utkinect", root, names, records, official)


def _ranges(table: Path) -> Iterator[tuple[str, str, int | None, int | None]]:
    """Recording, action, first frame and the one after the last of each line; none where it has `NaN`."""
    recording = None
    for line in read_lines(table):
        if match := re.fullmatch(r"s\d\d_e\d\d", line):
            recording = match[0]
            continue
        match = re.fullmatch(r"(\w+):\s*(\d+|NaN)\s+(\d+|NaN)", line)
        if match is None or recording is None:
            raise UserError(f"{table}: needs lines such as s01_e01 and `walk: 252 390`. Received: {line!r}")
        name, *frames = match.groups()
        if "NaN" in frames:
            yield recording, name, None, None
        else:
            yield recording, name, int(frames[0]), int(frames[1]) + 1


def read_skeleton(record: Record) -> np.ndarray:
    """Joints `(T, 1, 20, 3)` in meters: the rows of the file whose frame number is in the record's range.

    Some frame numbers occur twice, with joints a little apart; both rows are kept, as steps of time. A file
    without a range is one action, unless the labels next to it, or in the folder above, say otherwise.
    """
    if record.start is None and record.stop is None:
        _check_single(record.file)
    words = read_numbers(record.file)
    if any(len(row) != 61 for row in words):
        raise VideoError(record.file, "truncated", "each line must have a frame number and 20 x (x, y, z)")
    try:
        rows = np.array(words, "float64").reshape(-1, 61)
    except ValueError as error:
        raise VideoError(record.file, "unreadable", "not a text file of numbers; get it again") from error
    start = 0 if record.start is None else record.start
    stop = np.inf if record.stop is None else record.stop
    rows = rows[(rows[:, 0] >= start) & (rows[:, 0] < stop)]
    return checked_joints(record.file, rows[:, 1:].reshape(-1, 1, 20, 3), (1, 20, 3))


def _check_single(file: Path) -> None:
    """Refuses a recording in which several actions are labeled."""
    folder = file.absolute().parent
    for table in (where / name for where in (folder, folder.parent) for name in _LABELS):
        if table.is_file():
            found = [
                name
                for recording, name, _, stop in _ranges(table)
                if file.name == f"joints_{recording}.txt" and stop is not None
            ]
            if len(found) > 1:
                what = f"{len(found)} actions by {table.name} ({', '.join(found)})"
                raise holds_several(file, what, table.parent)
