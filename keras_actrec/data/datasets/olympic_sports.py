"""Olympic Sports: athletes, from YouTube."""

from pathlib import Path

from keras_actrec.data.datasets._common import finish, index, look_for, read_lines, relative
from keras_actrec.data.manifest import VIDEO_SUFFIXES, Manifest, Record
from keras_actrec.errors import UserError


def olympic_sports(root: str | Path) -> Manifest:
    """Olympic Sports: 783 sequences of 16 sports, 649 for training and 134 for testing.

    Looks for `train_test_split/train/<class>.txt` and `test/<class>.txt`, one name a line, in `root` or in
    one of its folders, and for the sequences as `<class>/<name>.seq` (or a video that was made of it) below
    `root`. Where lists have spaces in their names, folders have underscores, and the lists of the two diving
    classes of the release lack the word diving. Classes are in the order of the folders' names.
    `read_frames` reads the frames of a `.seq` file.

    Args:
        root: folder with the lists and the class folders.

    Returns:
        A `Manifest`; sequences that the lists name and that do not exist are left out.

    Raises:
        UserError: another layout, a list without a class folder, or a sequence in train and in test.
    """
    end = "train_test_split/train/*.txt"
    lists = look_for(root, "Olympic Sports", end, f"*/{end}", "train/*.txt").parent.parent
    files = index(root, suffixes=(".seq", *VIDEO_SUFFIXES), parents=1)
    names, rows = sorted({key.split("/")[0] for key in files}), []
    for part in ("train", "test"):
        for path in sorted((lists / part).glob("[!.]*.txt")):
            stem = path.stem.strip().lower().replace(" ", "_")
            name = stem if stem in names else f"diving_{stem}"
            if name not in names:
                raise UserError(f"{path}: there is no folder {stem} with sequences below {root}")
            for line in read_lines(path):
                file = files.get(f"{name}/{line.removesuffix('.seq')}")
                if file is not None:
                    rows.append((file, name, part))
    names = sorted({name for _, name, _ in rows})  # without folders that are no classes
    records = [Record(file, relative(file, root), names.index(name), part) for file, name, part in rows]
    return finish("olympic_sports", root, names, records, {"train": 649, "test": 134})
