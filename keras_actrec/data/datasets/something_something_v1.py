"""Something-Something version 1: hands and objects, as folders of frames."""

import os
from pathlib import Path

from keras_actrec.data.datasets._common import choose, finish, look_for, read_lines, relative
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_LABELS = "something-something-v1-labels.csv"


def something_something_v1(root: str | Path, *, class_order: str = "file") -> Manifest:
    """Something-Something v1: 86,017 clips for training and 11,522 for validation, 174 classes.

    Looks for `something-something-v1-labels.csv`, `-train.csv` and `-validation.csv` (lines `id;label`) in
    `root` or one of its folders, and for the frames as `20bn-something-something-v1/<id>/00001.jpg` or
    `<id>/` in `root`. A record is a folder of frames. The official test part is not read: as in the papers,
    **the validation part is the split `test`**. The counts could not be checked against the source.

    Args:
        root: folder with the lists and the frames.
        class_order: `"file"` is the order of the labels file; `"sorted"` the alphabetical one, which the
            published weights of GSM were trained with.

    Returns:
        A `Manifest`; clips that the lists name and that do not exist are left out.

    Raises:
        UserError: another layout, or a label that the labels file does not have.
    """
    choose("class_order", class_order, ("file", "sorted"))
    labels = look_for(root, "Something-Something v1", _LABELS, f"*/{_LABELS}")
    names = read_lines(labels)
    if class_order == "sorted":
        names = sorted(names)
    candidates = [folder / "20bn-something-something-v1" for folder in (Path(root), labels.parent)]
    frames = next((folder for folder in candidates if folder.is_dir()), Path(root))
    there = {entry.name for entry in os.scandir(frames) if entry.is_dir()}
    ids, records = {name: label for label, name in enumerate(names)}, []
    for part, split in (("train", "train"), ("validation", "test")):
        path = labels.with_name(_LABELS.replace("labels", part))
        for line in read_lines(path):
            clip, _, name = line.partition(";")
            if name not in ids:
                raise UserError(f"{path}: {name!r} is not a class of {labels.name}. Received: {line!r}")
            if clip in there:
                file = frames / clip
                records.append(Record(file, relative(file, root), ids[name], split))
    return finish("something_something_v1", root, names, records, {"train": 86017, "test": 11522})
