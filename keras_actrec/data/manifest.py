"""Which video files exist, what they show and which part of the set they belong to."""

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_actrec._types import PathLike
from keras_actrec.data._readers import is_frame
from keras_actrec.errors import UserError

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".seq", ".ts", ".webm", ".wmv")

_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Record:
    """One labeled video: where it is and what the manifest says of it.

    Attributes:
        file: where the file is.
        path: the path as the manifest has it, relative to the manifest's root; it names the video in results.
        label: 0-based class id, an index in `Manifest.class_names`.
        split: `train`, `validation`, `test` or empty.
        group: what must stay together in one part (a person, a scene, a source video), or empty.
        fold: name of the fold whose test part the video is, or empty.
        start: first frame of the sequence where a set cuts several out of one file, 0-based, else `None`.
        stop: the frame after its last one, else `None`.
    """

    file: Path
    path: str
    label: int
    split: str = ""
    group: str = ""
    fold: str = ""
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True)
class Manifest:
    """The labeled videos of a set.

    Attributes:
        records: in the order of the CSV file or sorted by path.
        class_names: sorted or in the order of the set's own class file; a label is an
            index in it.
        root: folder that the paths are relative to.
        official: number of records that the set should have, by split (an empty name for a set without
            splits); empty where that is not known. Compare with `found`.
        dataset: name of the reader that made it, see `list_datasets`, or empty.
    """

    records: tuple[Record, ...]
    class_names: tuple[str, ...]
    root: Path
    official: dict[str, int] = field(default_factory=dict)
    dataset: str = ""

    @property
    def found(self) -> dict[str, int]:
        """Number of records found, by split (an empty name for a set without splits)."""
        return dict(Counter(record.split for record in self.records))

    @property
    def sha256(self) -> str:
        """Hash of the sorted rows (path, class name, split, group, fold): the same set, the same hash.

        Where a record is a part of a file, its first and last frame belong to the row.
        """
        rows = sorted(
            (r.path, self.class_names[r.label], r.split, r.group, r.fold, *_part(r)) for r in self.records
        )
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _part(record: Record) -> tuple[int | None, ...]:
    return () if record.start is None and record.stop is None else (record.start, record.stop)


def read_manifest(
    data: PathLike, *, manifest: str | None = None, suffixes: tuple[str, ...] = VIDEO_SUFFIXES
) -> Manifest:
    """Reads a set of videos from a CSV file or from a folder.

    A CSV file has the columns `path,label` and optionally `split,group,fold`; other columns are ignored,
    paths are relative to the file's folder. `split` is `train`, `validation` (or `val`) or `test`. A folder
    is read from the CSV file `manifest` inside it, else from `manifest.csv` where it has one, else from its
    folders: one folder a class, or `train/`, `validation/` (or `val/`) and `test/` that hold the class
    folders. Hidden files and files without a video suffix are passed over; a folder in a class folder that
    holds numbered images, and no videos or folders, is a video of these frames.

    Class ids follow the **sorted class names**, so they depend neither on the order of the rows nor on the
    platform.

    Args:
        data: a CSV file or a folder.
        manifest: name of the CSV file inside the folder `data`.
        suffixes: what the names of files end with that are taken from a folder without a CSV file.

    Returns:
        The labeled videos of the set.

    Raises:
        UserError: no such file or folder, a row is incomplete, a listed file is missing, a path is listed
            twice, only one class, or a group is in two splits.
    """
    data = Path(data)
    if data.is_dir():
        table = data / (manifest or "manifest.csv")
        if manifest is not None and not table.is_file():
            raise UserError(f"{table}: not found; `manifest` names a CSV file inside {data}")
        rows = _rows_of_csv(table) if table.is_file() else _rows_of_folder(data, suffixes)
        root = table.parent
    elif data.is_file():
        if manifest is not None:
            raise UserError(f"{data}: `manifest` goes with a folder, and this is a file; leave it out")
        rows, root = _rows_of_csv(data), data.parent
    else:
        raise UserError(f"{data}: not found; looked for a CSV file or a folder of videos")
    return _manifest(data, rows, root)


def _manifest(data: Path, rows: list[dict[str, str]], root: Path) -> Manifest:
    class_names = tuple(sorted({row["label"] for row in rows}))
    if len(class_names) < 2:
        raise UserError(f"{data}: only one class, {class_names[0]!r}; at least two are needed")
    labels = {name: label for label, name in enumerate(class_names)}
    records, seen, missing = [], set(), []
    for row in rows:
        file = root / row["path"]
        normalized = os.path.normpath(row["path"])
        if normalized in seen:
            raise UserError(f"{data}: the path {row['path']!r} is listed twice; remove one of the rows")
        seen.add(normalized)
        if not os.path.lexists(file):  # what exists and cannot be read is named when it is read
            missing.append(row["path"])
        records.append(
            Record(file, row["path"], labels[row["label"]], row["split"], row["group"], row["fold"])
        )
    if missing:
        raise UserError(
            f"{data}: {len(missing)} of {len(rows)} listed files are missing, the first is {missing[0]!r}; "
            f"paths are relative to {root}"
        )
    for column in ("split", "fold"):
        blank = [record.path for record in records if not getattr(record, column)]
        if blank and len(blank) < len(records):
            raise UserError(f"{data}: `{column}` is blank for {blank[0]!r}; fill it in everywhere or nowhere")
    _check_groups(data, records)
    return Manifest(tuple(records), class_names, root)


def _check_groups(data: Path, records: Iterable[Record]) -> None:
    splits: dict[str, str] = {}
    for record in records:
        if record.group and splits.setdefault(record.group, record.split) != record.split:
            raise UserError(
                f"{data}: the group {record.group!r} is in the splits {splits[record.group]!r} and "
                f"{record.split!r}; a group must stay in one"
            )


def rows_of_csv(
    file: Path, needed: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """Lines of a CSV file that somebody has written: their number, and their cells by column.

    Args:
        file: in UTF-8, with a header.
        needed: columns that are there and that no line leaves blank.
        optional: columns that are blank where they are not there; all others are passed over.

    Raises:
        UserError: for another file, or one without lines.
    """
    rows = []
    with open(file, newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        try:
            columns = reader.fieldnames or ()
            for column in needed:
                if column not in columns:
                    also = f" (optionally {','.join(optional)})" if optional else ""
                    raise UserError(
                        f"{file}: the column `{column}` is missing; the first line must name "
                        f"{','.join(needed)}{also}. Received: {','.join(columns)!r}"
                    )
            for line in reader:
                row = {column: (line.get(column) or "").strip() for column in (*needed, *optional)}
                for column in needed:
                    if not row[column]:
                        where = f"{file}, line {reader.line_num}"
                        raise UserError(f"{where}: `{column}` is blank; fill it in or remove the row")
                rows.append((reader.line_num, row))
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{file}: not a CSV file in UTF-8 ({error})") from error
    if not rows:
        raise UserError(f"{file}: the file lists no videos; add rows of {','.join(needed)}")
    return rows


def _rows_of_csv(file: Path) -> list[dict[str, str]]:
    rows = []
    for number, row in rows_of_csv(file, ("path", "label"), ("split", "group", "fold")):
        if row["split"] and row["split"] not in _SPLITS:
            where = f"{file}, line {number}"
            raise UserError(f"{where}: `split` must be train, validation or test. Received: {row['split']!r}")
        row["split"] = _SPLITS.get(row["split"], "")
        rows.append(row)
    return rows


def _rows_of_folder(root: Path, suffixes: tuple[str, ...]) -> list[dict[str, str]]:
    files = sorted(_files_below(root, suffixes))
    if not files:
        what = "videos" if suffixes == VIDEO_SUFFIXES else "files"
        raise UserError(f"{root}: no {what} found (looked for {' '.join(suffixes)} in its folders)")
    split_level = all(parts[0] in _SPLITS for parts in files)
    rows = []
    for parts in files:
        if len(parts) < 2 + split_level:
            raise UserError(
                f"{root / Path(*parts)}: the video is in no class folder; make one folder a class or list "
                "the videos in manifest.csv"
            )
        split = _SPLITS[parts[0]] if split_level else ""
        rows.append(
            {
                "path": "/".join(parts),
                "label": parts[int(split_level)],
                "split": split,
                "group": "",
                "fold": "",
            }
        )
    return rows


def _files_below(root: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Parts of the paths, from `root` on, of files with these suffixes and of folders of frames."""
    above = {str(root): {os.path.realpath(root)}}
    for folder, folders, names in os.walk(root, followlinks=True):
        # a folder instead of a file is named when it is read
        names += [name for name in folders if name.lower().endswith(suffixes)]
        folders[:] = [name for name in folders if not name.startswith(".") and name not in names]
        for name in tuple(folders):
            inside = os.path.join(folder, name)
            above[inside] = above[folder] | {os.path.realpath(inside)}
            if len(above[inside]) == len(above[folder]):  # a link to a folder that contains it
                folders.remove(name)
        here = Path(folder).relative_to(root).parts
        found = [name for name in names if not name.startswith(".") and name.lower().endswith(suffixes)]
        yield from ((*here, name) for name in found)
        if here and not (found or folders) and suffixes == VIDEO_SUFFIXES and any(map(is_frame, names)):
            yield here
