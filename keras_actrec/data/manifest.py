"""Which video files exist, what they show and which part of the set they belong to."""

import bisect
import csv
import functools
import hashlib
import itertools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_actrec._types import PathLike
from keras_actrec.data._readers import clock_of, is_frame
from keras_actrec.data._video_error import VideoError
from keras_actrec.errors import UserError

VIDEO_SUFFIXES = (
    *(".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".seq", ".ts", ".webm", ".wmv"),
    *(".3g2", ".3gp", ".asf", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".mjpeg", ".mpe", ".mts", ".mxf"),
    *(".nut", ".ogv", ".qt", ".vob", ".y4m"),
)

_MOST_LETTERS = 1024  # of a cell
_MOST_HEADER = 1 << 16  # letters of the first line of a CSV file

# What people call the parts, in lower case, without what is no letter and without what `_BESIDE` has.
_SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "validate", "validating"), "validation"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
_BESIDE = {"set", "data", "dataset", "split", "part", "videos", "clips", "frames"}


@dataclass(frozen=True, slots=True)
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

    @classmethod
    def of(
        cls,
        file: Path,
        row: Mapping[str, str],
        path: str,
        label: int = 0,
        *,
        split: str = "",
        group: str = "",
        fold: str = "",
    ) -> "Record":
        """The record of a row of `cuts_of_csv`: that of a part of a file has its frames in its path."""
        if not (row.get("start") or row.get("stop")):
            return cls(file, path, label, split, group, fold)
        start, stop = (int(row[name]) if row.get(name) else None for name in ("start", "stop"))
        path = f"{path}#{start or 0}-{'' if stop is None else stop}"
        return cls(file, path, label, split, group, fold, start, stop)


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
        passed_over: number of files by suffix that are in a folder of one's own and were not taken.
        empty: folders beside those of classes in which nothing was taken.
        deeper: a folder in that of a class, where all videos are in such and classes share their names; or
            empty.
        remarks: what else its reader has to say, for `notes`.
    """

    records: tuple[Record, ...]
    class_names: tuple[str, ...]
    root: Path
    official: dict[str, int] = field(default_factory=dict)
    dataset: str = ""
    passed_over: dict[str, int] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    deeper: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What somebody should know who thinks that all files of a folder are in the set: lines, or none."""
        lines = list(self.remarks)
        if self.passed_over:
            lines.append(passed_over_line(self.passed_over))
        if self.empty:
            lines.append(f"nothing to read in {', '.join(map(repr, self.empty))}")
        if self.deeper:
            top = f"the classes are the folders on top, {_some(self.class_names)}, and not those in them"
            lines.append(f"{top}, such as {self.deeper!r}: splits are named train, validation and test")
        return lines

    def announce(self, tell: Callable[[str], Any] | None) -> None:
        """Call `tell`, where there is one, with each line of `notes`."""
        if tell is not None:
            for line in self.notes:
                tell(line)

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


def kind_of_file(name: str) -> str:
    """The suffix of a file in lower case, or its name."""
    stem, suffix = os.path.splitext(name)
    return suffix.lower() or stem


def passed_over_line(counts: Mapping[str, int]) -> str:
    """What is said of files that were not taken, by suffix."""
    count = sum(counts.values())
    kinds = ", ".join(f"{number} {suffix}" for suffix, number in sorted(counts.items()))
    return f"{count} file{'s' if count > 1 else ''} passed over: {kinds}"


def _instead(passed_over: Mapping[str, int]) -> str:
    """What is said behind it where nothing was taken."""
    seen = f"; {passed_over_line(passed_over)}" if passed_over else ""
    ours = passed_over.keys() & {".json", ".npy", ".npz", ".pkl"}
    return f"{seen}; joints and features need `dataset`, poses or features" if ours else seen


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:4])) + (", ..." if len(names) > 4 else "")


def _part(record: Record) -> tuple[int | None, ...]:
    return () if record.start is None and record.stop is None else (record.start, record.stop)


def read_manifest(
    data: PathLike,
    *,
    manifest: str | None = None,
    suffixes: tuple[str, ...] = VIDEO_SUFFIXES,
    frames: Callable[[str], bool] | None = None,
    fps: float | None = None,
) -> Manifest:
    """Reads a set of videos from a CSV file or from a folder.

    A CSV file has the columns `path,label` and optionally `split,group,fold,start,stop`, in any case; others
    are ignored, paths are relative to the file's folder. `split` is `train`, `validation` or `test`, or a
    usual spelling of these in any case (`valid`, `Training`, `test_set`). With `start`, the first frame, from
    0 on, and `stop`, the one after the last, several sequences are cut out of one file: their paths are the
    file's with `#start-stop` after it, and where no split, group or fold says otherwise they stay in one
    part. With `end` in place of `stop`, both are seconds, see `cuts_of_csv`. A folder is read from the CSV
    file `manifest` inside it, else from `manifest.csv` where it has one, else from its folders: one folder a
    class, or folders named as splits that hold the class folders. Hidden files are passed over, others that
    are not taken are counted in `Manifest.passed_over`; a folder in a class folder that holds numbered
    images, and no videos or folders, is a video of these frames.

    Class ids follow the **sorted class names**, numbers by their value, so they depend neither on the order
    of the rows nor on the platform.

    Args:
        data: a CSV file or a folder.
        manifest: name of the CSV file inside the folder `data`.
        suffixes: what the names of files end with that are taken from a folder without a CSV file.
        frames: tells the names of files of which a folder of them is one recording; of videos `is_frame`.
        fps: frames a second of what tells none, where `start` and `end` are seconds.

    Returns:
        The labeled videos of the set.

    Raises:
        UserError: no such file or folder, a row is incomplete, a listed file is missing, a path is listed
            twice, a group is in two splits, or folders that are partly named as splits.
    """
    data = Path(data)
    if data.is_dir():
        table = data / (manifest or "manifest.csv")
        if manifest is not None and not table.is_file():
            raise UserError(f"{table}: not found; `manifest` names a CSV file inside {data}")
        if not table.is_file():
            if suffixes == VIDEO_SUFFIXES:
                frames = is_frame
            found = _Folder.read(data, suffixes, frames or (lambda name: False))
            made = _manifest(data, found.rows(), data)
            return replace(
                made, passed_over=dict(found.passed_over), empty=found.empty(), deeper=found.deeper()
            )
        rows, root = _rows_of_csv(table, fps), table.parent
    elif data.is_file():
        if manifest is not None:
            raise UserError(f"{data}: `manifest` goes with a folder, and this is a file; leave it out")
        rows, root = _rows_of_csv(data, fps), data.parent
    else:
        raise UserError(f"{data}: not found; looked for a CSV file or a folder of videos")
    return _manifest(data, rows, root)


def _manifest(data: Path, rows: list[dict[str, str]], root: Path) -> Manifest:
    class_names = _in_order({row["label"] for row in rows})
    labels = {name: label for label, name in enumerate(class_names)}
    cut = any(row.get("start") or row.get("stop") for row in rows)
    cut = cut and not any(row[name] for row in rows for name in ("split", "group", "fold"))
    records, seen, missing = [], set(), []
    for row in rows:
        file = root / row["path"]
        group = row["path"] if cut and not row["group"] else row["group"]
        of = {"split": row["split"], "group": group, "fold": row["fold"]}
        record = Record.of(file, row, row["path"], labels[row["label"]], **of)
        same = os.path.normpath(row["path"]) + record.path[len(row["path"]) :]
        if same in seen:
            raise UserError(f"{data}: the path {record.path!r} is listed twice; remove one of the rows")
        seen.add(same)
        if not os.path.lexists(file):  # what exists and cannot be read is named when it is read
            missing.append(row["path"])
        records.append(record)
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


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names sorted, as numbers where all are."""
    names = sorted(names)
    if all(re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", name) for name in names):
        names.sort(key=float)
    return tuple(names)


@functools.lru_cache(1024)  # a set names few, in many rows
def _split_of(name: str) -> str:
    """The split that a folder or a cell is named after, or nothing."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word not in {"", *_BESIDE}]
    if len(words) != 1:
        return ""
    (word,) = words
    return _SPLITS.get(word) or _SPLITS.get(word.removesuffix("set").removesuffix("data"), "")


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
        reader = csv.reader(lines, skipinitialspace=True)
        try:
            columns = _names(next(reader, []))
            for column in needed:
                if column not in columns:
                    also = f" (optionally {','.join(optional)})" if optional else ""
                    raise UserError(
                        f"{file}: the column `{column}` is missing; the first line must name "
                        f"{','.join(needed)}{also}. Received: {','.join(columns)[:200]!r}"
                    )
            names = (*needed, *optional)
            places = [columns.index(name) if name in columns else len(columns) for name in names]
            for cells in reader:
                if not cells:
                    continue
                cells += [""] * (len(columns) + 1 - len(cells))  # the last is of columns that are not there
                cells[len(columns)] = ""
                row = {name: cells[place].strip() for name, place in zip(names, places, strict=True)}
                _check_cells(row, needed, file, reader.line_num)
                rows.append((reader.line_num, row))
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{file}: not a CSV file in UTF-8 ({error})") from error
    if not rows:
        raise UserError(f"{file}: the file lists no videos; add rows of {','.join(needed)}")
    return rows


def _check_cells(row: Mapping[str, str], needed: Sequence[str], file: Path, number: int) -> None:
    for column, cell in row.items():
        if len(cell) > _MOST_LETTERS:
            where = f"{file}, line {number}"
            raise UserError(f"{where}: `{column}` has {len(cell)} letters; is a quote missing?")
        if not cell and column in needed:
            where = f"{file}, line {number}"
            raise UserError(f"{where}: `{column}` is blank; fill it in or remove the row")


def _rows_of_csv(file: Path, fps: float | None) -> list[dict[str, str]]:
    rows = []
    for number, row in cuts_of_csv(file, ("path", "label"), ("split", "group", "fold"), fps=fps):
        split = row["split"] and _split_of(row["split"])
        if row["split"] and not split:
            where = f"{file}, line {number}"
            raise UserError(f"{where}: `split` must be train, validation or test. Received: {row['split']!r}")
        row["split"] = split
        rows.append(row)
    return rows


def cuts_of_csv(
    file: Path, needed: Sequence[str], optional: Sequence[str] = (), *, fps: float | None = None
) -> list[tuple[int, dict[str, str]]]:
    """As `rows_of_csv`, with the cells `start` and `stop` where a row is a part of its file, in frames.

    A table with the column `end` in place of `stop` has both in seconds, as tables of segments have. They
    become the frames that begin nearest to them, at least one, by the time stamps where these are not those
    of the header's rate, else `floor(seconds rate + 1/2)`.

    Args:
        file: see `rows_of_csv`.
        needed: see `rows_of_csv`.
        optional: see `rows_of_csv`.
        fps: the rate of what tells none, such as joints.

    Raises:
        UserError: as `rows_of_csv`, for numbers that are no part of a file, both `stop` and `end`, or seconds
            of a file that tells no rate.
    """
    columns = header_of_csv(file)
    if {"stop", "end"} <= set(columns):
        raise UserError(f"{file}: `stop` is a frame and `end` a second: keep one of the columns")
    rows = rows_of_csv(file, needed, (*optional, "start", "stop", "end"))
    clocks: dict[str, tuple[float, list[float]]] = {}
    for number, row in rows:
        end = row.pop("end")
        if not (row["start"] or row["stop"] or end):
            continue
        where, path = f"{file}, line {number}", row["path"]
        if "end" not in columns:
            _check_frames(row, where)
        else:
            if path not in clocks:
                clocks[path] = _clock(file.parent / path, where, fps)
            row |= _in_frames(row["start"], end, clocks[path], where)
    return rows


def header_of_csv(file: Path) -> list[str]:
    """The columns of a CSV file, whatever it holds."""
    with open(file, newline="", encoding="utf-8-sig", errors="replace") as lines:
        return _names(next(csv.reader([lines.readline(_MOST_HEADER)]), []))


def _names(header: Iterable[str]) -> list[str]:
    """Columns by the names that we give them, however they are written: `Path`, ` start`."""
    return [name.strip().lower() for name in header]


def _check_frames(row: Mapping[str, str], where: str) -> None:
    for name in ("start", "stop"):
        if row[name] and not re.fullmatch("[0-9]{1,9}", row[name]):
            raise UserError(f"{where}: `{name}` must be the number of a frame. Received: {row[name]!r}")
    if row["stop"] and int(row["stop"]) <= int(row["start"] or 0):
        raise UserError(f"{where}: `stop` must be behind `start`. Received: {row['stop']!r}")


def _in_frames(start: str, end: str, clock: tuple[float, list[float]], where: str) -> dict[str, str]:
    """The cells `start` and `stop` of a part in seconds."""
    begin = _seconds(start, "start", where) if start else 0.0
    first = _frame_at(begin, *clock)
    if not end:
        return {"start": str(first), "stop": ""}
    until = _seconds(end, "end", where)
    if until <= begin:
        raise UserError(f"{where}: `end` must be behind `start`. Received: {end!r}")
    return {"start": str(first), "stop": str(max(_frame_at(until, *clock), first + 1))}


def _seconds(cell: str, name: str, where: str) -> float:
    try:
        seconds = float(cell)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise UserError(f"{where}: `{name}` must be seconds, 0 or more. Received: {cell!r}")
    return seconds


def _frame_at(seconds: float, rate: float, times: Sequence[float]) -> int:
    """Number of the frame that begins nearest to it; beyond the end they go on at the rate."""
    if len(times) > 1:
        end = 2 * times[-1] - times[-2]
        if seconds < end:
            middles = [(early + late) / 2 for early, late in itertools.pairwise([*times, end])]
            return bisect.bisect_right(middles, seconds)
        return len(times) + math.floor((seconds - end) * rate + 0.5)
    return math.floor(seconds * rate + 0.5)


def _clock(path: Path, where: str, fps: float | None) -> tuple[float, list[float]]:
    """See `clock_of`; any rate of a video that cannot be read, as it is named when it is read."""
    try:
        rate, times = clock_of(path)
    except VideoError:
        if path.suffix.lower() in VIDEO_SUFFIXES or not path.exists():
            return 1.0, []
        rate, times = 0.0, []
    if not rate and fps is None:
        raise UserError(
            f"{where}: {path} tells no frames a second: give `start` and `stop`, which are frames"
        )
    return rate or fps or 0.0, times


@dataclass
class _Folder:
    """What is in a folder of one's own.

    Attributes:
        root: the folder.
        suffixes: what the names of files end with that are taken.
        is_frame: tells the names of files of which a folder of them is taken.
        taken: parts of the paths, from `root` on, of these files and of folders of frames.
        folders: parts of the paths of all folders.
        passed_over: how many other files there are, by suffix.
    """

    root: Path
    suffixes: tuple[str, ...]
    is_frame: Callable[[str], bool]
    taken: list[tuple[str, ...]] = field(default_factory=list)
    folders: list[tuple[str, ...]] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, root: Path, suffixes: tuple[str, ...], is_frame: Callable[[str], bool]) -> "_Folder":
        """Walk through a folder."""
        found = cls(root, suffixes, is_frame)
        found._walk()
        found.taken.sort()
        return found

    def _walk(self) -> None:
        above = {str(self.root): {os.path.realpath(self.root)}}
        for folder, folders, names in os.walk(self.root, followlinks=True):
            # a folder instead of a file is named when it is read
            names += [name for name in folders if name.lower().endswith(self.suffixes)]
            folders[:] = [name for name in folders if not name.startswith(".") and name not in names]
            for name in tuple(folders):
                inside = os.path.join(folder, name)
                above[inside] = above[folder] | {os.path.realpath(inside)}
                if len(above[inside]) == len(above[folder]):  # a link to a folder that contains it
                    folders.remove(name)
            here = Path(folder).relative_to(self.root).parts
            self.folders.append(here)
            names = [name for name in names if not name.startswith(".")]
            found = [
                name for name in names if name.lower().endswith(self.suffixes) and not self.is_frame(name)
            ]
            if not here:  # lists of what is below
                found = [name for name in found if not name.lower().endswith(".csv")]
            self.taken += [(*here, name) for name in found]
            if here and not (found or folders) and any(map(self.is_frame, names)):
                self.taken.append(here)
            elif here:  # beside the folders lie notes and lists
                self.passed_over.update(kind_of_file(name) for name in names if name not in found)

    @property
    def _of_videos(self) -> bool:
        return self.suffixes == VIDEO_SUFFIXES

    def empty(self) -> tuple[str, ...]:
        """Folders where those of classes are, and of splits, in which there is nothing."""
        depth = 1 + self._has_splits()
        full = {parts[:length] for parts in self.taken for length in range(1, depth + 1)}
        there = {parts for parts in self.folders if 1 <= len(parts) <= depth} - full
        return tuple("/".join(parts) for parts in sorted(there) if parts[:-1] in {(), *full})

    def deeper(self) -> str:
        """A folder in that of a class, where these look like splits or folds that nobody has named so."""
        inner: dict[str, set[str]] = {}
        for parts in self.taken:
            inner.setdefault(parts[0], set()).update(parts[1:2] if len(parts) > 2 else ("",))
        shared = set.intersection(*inner.values()) - {""} if len(inner) > 1 else set[str]()
        if self._has_splits() or len(shared) < 2 or any("" in names for names in inner.values()):
            return ""
        return f"{min(inner)}/{min(shared)}"

    def rows(self) -> list[dict[str, str]]:
        """What a CSV file of these files would have."""
        if not self.taken:
            what = "videos" if self._of_videos else "files"
            looked = f"{self.root}: no {what} found (looked for {' '.join(self.suffixes)} in its folders)"
            raise UserError(f"{looked}{_instead(self.passed_over)}")
        split_level = self._has_splits()
        for parts in self.taken:
            if len(parts) < 2 + split_level:
                raise UserError(
                    f"{self.root / Path(*parts)}: the video is in no class folder; make one folder a class "
                    "or list the videos in manifest.csv"
                )
        return [
            {
                "path": "/".join(parts),
                "label": parts[int(split_level)],
                "split": _split_of(parts[0]) if split_level else "",
                "group": "",
                "fold": "",
            }
            for parts in self.taken
        ]

    def _has_splits(self) -> bool:
        """Whether the folders are splits that hold the class folders."""
        named = {parts[0]: _split_of(parts[0]) for parts in self.taken}
        if all(named.values()):
            return True
        fix = "name all of them train, validation or test, or list the videos in manifest.csv"
        for name, split in named.items():
            if split and all(len(parts) > 2 for parts in self.taken if parts[0] == name):
                other = next(other for other, split in named.items() if not split)
                raise UserError(
                    f"{self.root}: the folder {name!r} holds folders as a split does, and {other!r} is "
                    f"named as no split: {fix}"
                )
        inner = {_split_of(parts[1]) if len(parts) > 2 else "" for parts in self.taken}
        if "" not in inner and len(inner) > 1:
            first = "/".join(self.taken[0][:2])
            raise UserError(
                f"{self.root}: splits are inside of other folders, such as {first!r}: put the folders of "
                "splits on top and those of classes inside, or list the videos in manifest.csv"
            )
        return False
