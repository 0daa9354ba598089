"""UCF Sports: sports from television."""

from pathlib import Path

import numpy as np

from keras_actrec.data._walk import walk
from keras_actrec.data.datasets._common import IMAGE_SUFFIXES, choose, finish, look_for, relative
from keras_actrec.data.manifest import VIDEO_SUFFIXES, Manifest, Record
from keras_actrec.errors import UserError

# Class name: the release's folders of it and how many sequences each has.
_CLASSES = {
    "Diving": {"Diving-Side": 14},
    "Golf-Swing": {"Golf-Swing-Back": 5, "Golf-Swing-Front": 8, "Golf-Swing-Side": 5},
    "Kicking": {"Kicking-Front": 10, "Kicking-Side": 10},
    "Lifting": {"Lifting": 6},
    "Riding-Horse": {"Riding-Horse": 12},
    "Running": {"Run-Side": 13},
    "SkateBoarding": {"SkateBoarding-Front": 12},
    "Swing-Bench": {"Swing-Bench": 20},
    "Swing-SideAngle": {"Swing-SideAngle": 13},
    "Walking": {"Walk-Front": 22},
}
_OFFICIAL = {
    "hm_an": {"train": 112, "test": 38},
    "lan": {"train": 103, "test": 47},
    "leave_one_out": {"": 150},
    "all": {"": 150},
}


def ucf_sports(root: str | Path, *, split: str = "hm_an", seed: int = 0) -> Manifest:
    """UCF Sports: 150 sequences of 10 actions.

    Looks for the folders of the release, `Diving-Side/001` to `Walk-Front/022`, in `root` or up to two
    folders below. The 13 folders are 10 classes: the views of golf and of kicking are one class each. A
    sequence is its video, or its folder of images where it has no video (`Diving-Side` 008 to 014 in the
    release).

    The splits are `"hm_an"`: 75 % of every class for training, drawn with `seed`, as HM-AN describes (its
    own draw is not known), 112 and 38 sequences; `"lan"`: the usual fixed split of Lan et al. (ICCV 2011),
    whose test part is the first third of every class in the order of the folders, 103 and 47;
    `"leave_one_out"`: every sequence is a fold, named as its path, to be chosen by `test_fold`; and `"all"`:
    all sequences, in no part.

    Args:
        root: folder with the class folders.
        split: see above.
        seed: seed of the draw of `"hm_an"`.

    Returns:
        A `Manifest`.

    Raises:
        UserError: another layout or an unknown split.
    """
    split = choose("split", split, _OFFICIAL)
    folder = look_for(root, "UCF Sports", "Diving-Side", "*/Diving-Side", "*/*/Diving-Side").parent
    rng, records = np.random.default_rng(seed), []
    for label, (name, views) in enumerate(_CLASSES.items()):
        found, before = {}, 0  # number in the class, which a missing sequence does not change: file
        for view, count in views.items():
            for sequence in sorted((folder / view).glob("[0-9]*")):
                file = _sequence(sequence) if sequence.name.isdigit() else None
                if file is not None:
                    found[before + int(sequence.name) - 1] = file
            before += count
        if not found:
            raise UserError(f"{folder}: no sequence of the class {name}; looked for {' and '.join(views)}")
        test = set(range(before // 3))
        if split == "hm_an":
            test = set(rng.permutation(list(found))[: round(0.25 * len(found))].tolist())
        for number, file in found.items():
            path = relative(file, root)
            if split in ("leave_one_out", "all"):
                records.append(Record(file, path, label, fold=path if split == "leave_one_out" else ""))
            else:
                records.append(Record(file, path, label, "test" if number in test else "train"))
    return finish("ucf_sports", root, _CLASSES, records, _OFFICIAL[split])


def _sequence(folder: Path) -> Path | None:
    """The video in a folder, else the folder in it that holds images, else None."""
    images = None
    for inside, names in walk(folder):
        for name in names:
            if name.lower().endswith(VIDEO_SUFFIXES):
                return inside / name
            if images is None and name.lower().endswith(IMAGE_SUFFIXES):
                images = inside
    return images
