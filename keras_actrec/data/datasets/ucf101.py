"""UCF101: sports and daily actions from YouTube."""

import re
from pathlib import Path

from keras_actrec.data.datasets._common import choose, finish, index, look_for, read_lines, relative
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_OFFICIAL: dict[int | str, tuple[int, int]] = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}


def ucf101(root: str | Path, *, split: int | str = 1) -> Manifest:
    """UCF101: 13,320 clips of 101 actions in three official splits.

    Looks for `classInd.txt` and `trainlist0N.txt`, `testlist0N.txt` in `root/ucfTrainTestlist`, in `root`
    or in one of its folders, and for the videos by name anywhere below `root`. The group of a clip is the
    source video, `gNN` within its class.
    The counts a split in `official` could be checked in their sum only.

    Args:
        root: folder with the lists and the videos.
        split: 1, 2 or 3, or `"all"`: the clips of all lists that exist, in no part.

    Returns:
        A `Manifest`; clips that the lists name and that do not exist are left out (compare `found` and
        `official`).

    Raises:
        UserError: another layout, another split, or a clip or group in train and in test.
    """
    split = choose("split", split, (*_OFFICIAL, "all"))
    lists = look_for(
        root, "UCF101", "ucfTrainTestlist/classInd.txt", "classInd.txt", "*/classInd.txt", "*/*/classInd.txt"
    ).parent
    names = [line.split(maxsplit=1)[-1] for line in read_lines(lists / "classInd.txt")]
    labels, records = {name: label for label, name in enumerate(names)}, []
    # HandStand is Handstand in some copies.
    files = {stem.lower(): file for stem, file in index(root).items()}
    if split == "all":
        tables, official = dict.fromkeys(sorted(lists.glob("t*list0[1-3].txt")), ""), {"": 13320}
    else:
        tables = {lists / f"{part}list0{split}.txt": part for part in ("train", "test")}
        official = dict(zip(("train", "test"), _OFFICIAL[split], strict=True))
    for path, part in tables.items():
        for line in read_lines(path):
            match = re.fullmatch(r"(\w+)/(v_\w+_(g\d+)_c\d+)\.avi(\s+\d+)?", line)
            if match is None or match[1] not in labels:
                raise UserError(
                    f"{path}: each line must read Class/v_Class_gNN_cNN.avi with a class of classInd.txt. "
                    f"Received: {line!r}"
                )
            file = files.get(match[2].lower())
            if file is not None:
                group = f"{match[1]}_{match[3]}"
                records.append(Record(file, relative(file, root), labels[match[1]], part, group))
    if split == "all":
        records = list({record.path: record for record in records}.values())
    return finish("ucf101", root, names, records, official)
