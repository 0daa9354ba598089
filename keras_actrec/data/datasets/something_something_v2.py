"""Something-Something version 2: hands and objects, as WebM files."""

from pathlib import Path

from keras_actrec.data.datasets._common import finish, index, look_for, read_json, relative
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError


def something_something_v2(root: str | Path) -> Manifest:
    """Something-Something v2: 168,913 clips for training and 24,777 for validation, 174 classes.

    Looks for `something-something-v2-labels.json`, `-train.json` and `-validation.json`, or `labels.json`,
    `train.json` and `validation.json`, in `root` or one of its folders, and for the videos as `<id>.webm`
    anywhere below `root`. The class of a clip is its template without the brackets. As in the papers, **the
    validation part is the split `test`**; the official test part is not read. Of the counts
    only the sum with it, 220,847, could be checked.

    Args:
        root: folder with the lists and the videos.

    Returns:
        A `Manifest`; clips that the lists name and that do not exist are left out.

    Raises:
        UserError: another layout, or a template that the labels file does not have.
    """
    tails = ("something-something-v2-labels.json", "labels.json")
    labels = look_for(root, "Something-Something v2", *tails, *(f"*/{tail}" for tail in tails))
    ids: dict[str, int] = {}
    for name, number in read_json(labels, dict).items():
        if not str(number).isdigit():
            raise UserError(f"{labels}: must map class names to numbers. Received: {name!r}: {number!r}")
        ids[name] = int(number)
    names = sorted(ids, key=ids.__getitem__)
    if [ids[name] for name in names] != list(range(len(names))):
        raise UserError(f"{labels}: the numbers of the classes must be 0 to {len(names) - 1}")
    files, records = index(root), []
    for part, split in (("train", "train"), ("validation", "test")):
        path = labels.with_name(labels.name.replace("labels", part))
        for entry in read_json(path, list):
            clip = str(entry.get("id")) if isinstance(entry, dict) else ""
            name = str(entry.get("template")).translate({91: None, 93: None}) if clip else ""
            if name not in ids:
                raise UserError(
                    f"{path}: needs `id` and a `template` of {labels.name}. Received: {entry!r:.200}"
                )
            file = files.get(clip)
            if file is not None:
                records.append(Record(file, relative(file, root), ids[name], split))
    return finish("something_something_v2", root, names, records, {"train": 168913, "test": 24777})
