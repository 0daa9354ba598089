"""HMDB51: actions from films and YouTube."""

from pathlib import Path

from keras_actrec.data.datasets._common import choose, finish, index, look_for, read_lines, relative
from keras_actrec.data.manifest import Record
from keras_actrec.errors import UserError


def hmdb51(root, *, split=1):
    """HMDB51: 51 actions, 70 clips a class for training and 30 for testing in each of three splits.

    Looks for `<class>_test_splitN.txt` in `root/testTrainMulti_7030_splits`, in `root` or in one of its
    folders, and for the videos as `<class>/<name>` anywhere below `root`. In the lists 1 is train, 2 is
    test and 0 is unused: of 6,766 clips a split has 3,570 and 1,530. Classes are in the order of the list
    files' names. The set names no groups.

    Args:
        root: folder with the lists and the videos.
        split: 1, 2 or 3.

    Returns:
        A `Manifest`; clips that the lists name and that are not there are left out (compare `found` and
        `official`).

    Raises:
        UserError: another layout, another split, or a clip in train and in test.
    """
    lists = class_lists("HMDB51", root, choose("split", split, (1, 2, 3)))
    return from_lists("hmdb51", root, lists, index(root, parents=1), (3570, 1530))


def class_lists(dataset, root, split):
    """The lists `<class>_test_splitN.txt`, which J-HMDB has too, as a dict of class names to files."""
    end = f"_test_split{split}.txt"
    first = look_for(
        root, dataset, f"testTrainMulti_7030_splits/*{end}", f"splits/*{end}", f"*{end}", f"*/*{end}"
    )
    lists = sorted(path for path in first.parent.glob(f"*{end}") if not path.name.startswith("."))
    return {path.name.removesuffix(end): path for path in lists}


def from_lists(dataset, root, lists, files, official):
    """The manifest by such lists and a dict of `class/name` to files."""
    records = []
    for label, (name, path) in enumerate(lists.items()):
        for line in read_lines(path):
            clip, _, part = line.rpartition(" ")
            if not clip or part not in ("0", "1", "2"):
                raise UserError(f"{path}: each line must read `name.avi 0`, 1 or 2. Received: {line!r}")
            file = files.get(f"{name}/{Path(clip.strip()).stem}")
            if file is not None and part != "0":
                records.append(Record(file, relative(file, root), label, "train" if part == "1" else "test"))
    return finish(dataset, root, lists, records, dict(zip(("train", "test"), official, strict=True)))
