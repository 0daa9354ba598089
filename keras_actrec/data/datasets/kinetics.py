"""Kinetics-400, -600 and -700: ten seconds out of YouTube videos, listed in CSV files."""

import csv
import io
from pathlib import Path

from keras_actrec.data.datasets._common import choose, finish, index, look_for, read_text, relative
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_COLUMNS = ("label", "youtube_id", "time_start", "time_end")


def kinetics(root: str | Path, *, test_part: str = "val") -> Manifest:
    """Kinetics, any edition: clips as the official CSV files list them.

    Looks for `train.csv` and `val.csv` (and `test.csv`), or names that end so, such as
    `kinetics_train.csv`, in `root/annotations`, in `root` or in one of its folders: columns
    `label,youtube_id,time_start,time_end`, times in seconds. The clip of a row is the file
    `<youtube_id>_<start>_<end>`, both with six digits, or `<youtube_id>`, anywhere below `root`: already
    cut to its time range, as all distributions have it. Classes are in sorted order, which is that of the
    official list. Many videos are no longer to be had: `official` counts the clips of the CSV files,
    `found` the files that are there. A clip that a part lists twice has its first label.

    Args:
        root: folder with the CSV files and the videos.
        test_part: the part that is the split `test`: `"val"`, as papers report it, or `"test"`, where its
            labels are in the CSV file; then `val` is the split `validation`.

    Returns:
        A `Manifest`.

    Raises:
        UserError: another layout, rows without labels, or a clip in two parts.
    """
    choose("test_part", test_part, ("val", "test"))
    parts = {"train": "train", "val": "test"}
    if test_part == "test":
        parts = {"train": "train", "val": "validation", "test": "test"}
    rows: dict[tuple[str, int, int, str], str] = {}
    for part, split in parts.items():
        ends = [f"{end}.csv" for end in ({"val": ("val", "validate", "validation")}.get(part, (part,)))]
        table = look_for(
            root, "Kinetics", *(f"{where}*{end}" for where in ("annotations/", "", "*/") for end in ends)
        )
        reader = csv.DictReader(io.StringIO(read_text(table), newline=""))
        if not {*_COLUMNS} <= {*(reader.fieldnames or ())}:
            raise UserError(
                f"{table}: the first line must name {','.join(_COLUMNS)}. "
                f"Received: {','.join(reader.fieldnames or ())!r}"
            )
        for row in reader:
            try:
                start, end = (int(float(row[column])) for column in ("time_start", "time_end"))
            except (TypeError, ValueError, OverflowError) as error:
                raise UserError(f"{table}, line {reader.line_num}: times must be seconds") from error
            if not row["label"]:
                raise UserError(
                    f"{table}, line {reader.line_num}: there is no label; its labels are withheld"
                )
            rows.setdefault((row["youtube_id"], start, end, split), row["label"])
    names = sorted(set(rows.values()))
    labels = {name: label for label, name in enumerate(names)}
    files, official, records = index(root), dict.fromkeys(parts.values(), 0), []
    for (clip, start, end, split), name in rows.items():
        official[split] += 1
        file = files.get(f"{clip}_{start:06d}_{end:06d}", files.get(clip))
        if file is not None:
            records.append(Record(file, relative(file, root), labels[name], split))
    return finish("kinetics", root, names, records, official)
