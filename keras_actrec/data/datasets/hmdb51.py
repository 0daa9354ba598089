"""HMDB51: actions from films and YouTube."""

from pathlib import Path

from keras_actrec.data.datasets._common import choose, finish, index, look_for, read_lines, relative
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError


def hmdb51(root: str | Path, *, split: int | str = 1) -> Manifest:
    """HMDB51: 51 actions, 70 clips a class for training and 30 for testing in each of three splits.

    Looks for `<class>_test_splitN.txt` in `root/testTrainMulti_7030_splits`, in `root` or in one of its
    folders, and for the videos as `<class>/<name>` anywhere below `root`. In the lists 1 is train, 2 is
    test and 0 is unused: of 6,766 clips a split has 3,570 and 1,530. Classes are in the order of the list
    files' names. The set names no groups.

    Args:
        root: folder with the lists and the videos.
        split: 1, 2 or 3, or `"all"`: all clips, also unused ones, in no part.

    Returns:
        A `Manifest`; clips that the lists name and that do not exist are left out (compare `found` and
        `official`).

    Raises:
        UserError: another layout, another split, or a clip in train and in test.
    """
    split = choose("split", split, (1, 2, 3, "all"))
    official = {"": 6766} if split == "all" else {"train": 3570, "test": 1530}
    lists = class_lists("HMDB51", root, split)
    return from_lists("hmdb51", root, lists, index(root, parents=1), official)


def class_lists(dataset: str, root: str | Path, split: int | str) -> dict[str, Path]:
    """The lists `<class>_test_splitN.txt`, which J-HMDB has too, as a dict of class names to files.

    Those of every split name all clips; `"all"` takes the first that exist.
    """
    end = f"_test_split{'[1-3]' if split == 'all' else split}.txt"
    folders = ("testTrainMulti_7030_splits/", "splits/", "", "*/")
    first = look_for(root, dataset, *(f"{folder}*{end}" for folder in folders))
    end = first.name[first.name.rindex("_test_split") :]
    lists = sorted(path for path in first.parent.glob(f"*{end}") if not path.name.startswith("."))
    return {path.name.removesuffix(end): path for path in lists}


def from_lists(
    dataset: str, root: str | Path, lists: dict[str, Path], files: dict[str, Path], official: dict[str, int]
) -> Manifest:
    """The manifest by such lists and a dict of `class/name` to files; with `official` for no part, of all."""
    records = []
    for label, (name, path) in enumerate(lists.items()):
        for line in read_lines(path):
            clip, _, part = line.rpartition(" ")
            if not clip or part not in ("0", "1", "2"):
                raise UserError(f"{path}: each line must read `name.avi 0`, 1 or 2. Received: {line!r}")
            file = files.get(f"{name}/{Path(clip.strip()).stem}")
            if file is not None and (part != "0" or "" in official):
                split = "" if "" in official else "train" if part == "1" else "test"
                records.append(Record(file, relative(file, root), label, split))
    return finish(dataset, root, lists, records, official)
