"""Which video files exist, what they show and which part of the set they belong to."""

import functools
import gc
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_actrec._types import PathLike
from keras_actrec.data._readers import VIDEO_SUFFIXES, is_frame
from keras_actrec.data._samples import read_samples, shards_in, shards_of
from keras_actrec.data._shards import SHARD, inside, members, shard_of
from keras_actrec.data._tables import TABLE_SUFFIXES, Table, read_cuts, split_of
from keras_actrec.errors import UserError

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


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

    def between(self, start: str, stop: str) -> "Record":
        """The record of a part of the file, from cells of a table; it has its frames in its path."""
        if not (start or stop):
            return self
        return replace(
            self,
            path=f"{self.path}#{int(start or 0)}-{int(stop) if stop else ''}",
            start=int(start) if start else None,
            stop=int(stop) if stop else None,
        )


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


@contextmanager
def _without_collector() -> Iterator[None]:
    """Python looks for cycles again and again in what grows; records have none, and 200,000 take it 1 s."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collector()
def read_manifest(
    data: PathLike,
    *,
    manifest: str | None = None,
    suffixes: tuple[str, ...] = VIDEO_SUFFIXES,
    frames: Callable[[str], bool] | None = None,
    fps: float | None = None,
) -> Manifest:
    """Reads a set of videos from a table, from a folder or from tar files.

    A table, CSV or Parquet (extra `parquet`), has the columns `path,label` and optionally
    `split,group,fold,start,stop`, in any case; others are ignored, paths are relative to its folder.
    `split` is `train`, `validation` or `test`, or a usual spelling of these in any case (`valid`,
    `Training`, `test_set`). With `start`, the first frame, from 0 on, and `stop`, the one after the last,
    several sequences are cut out of one file: their paths are the file's with `#start-stop` after it, and
    where no split, group or fold says otherwise they stay in one part. With `end` in place of `stop`, both
    are seconds, see `read_cuts`. A folder is read from the table `manifest` inside it, else from
    `manifest.csv` or `manifest.parquet` where it has one, else from its folders: one folder a class, or
    folders named as splits that hold the class folders. Hidden files are passed over, others that are not
    taken are counted in `Manifest.passed_over`; a folder in a class folder that holds numbered images, and
    no videos or folders, is a video of these frames.

    A folder without videos that has tar files, one tar file, or a range of them such as
    `shards-{000..127}.tar` is a set as WebDataset has it, see `read_samples`. A video in a tar file is named
    as if this was a folder, `000.tar/walk/a.mp4`, in tables as well.

    Class ids follow the **sorted class names**, numbers by their value, so they depend neither on the order
    of the rows nor on the platform.

    Args:
        data: a table, a folder, or tar files.
        manifest: name of the table inside the folder `data`.
        suffixes: what the names of files end with that are taken from a folder without a table.
        frames: tells the names of files of which a folder of them is one recording; of videos `is_frame`.
        fps: frames a second of what tells none, where `start` and `end` are seconds.

    Returns:
        The labeled videos of the set.

    Raises:
        UserError: no such file or folder, a row is incomplete, a listed file is missing, a path is listed
            twice, a group is in two splits, folders that are partly named as splits, or a tar file that is
            refused.
    """
    data = Path(data)
    if data.is_dir():
        listed = table_in(data, manifest)
        if listed is None:
            return _of_folder(data, suffixes, frames)
    elif manifest is not None and (data.exists() or shards_of(data)):
        raise UserError(f"{data}: `manifest` goes with a folder, and this is none; leave it out")
    elif shards := shards_of(data):
        return _of_shards(data, shards, data.parent, fps)
    elif data.is_file():
        listed = data
    else:
        raise UserError(f"{data}: not found; looked for a table, tar files or a folder of videos")
    table = read_cuts(listed, ("path", "label"), ("split", "group", "fold"), fps=fps)
    table.name_splits()
    _check_there(data, table.columns["path"], listed.parent)
    return _manifest(data, table, listed.parent)


def table_in(folder: Path, name: str | None = None) -> Path | None:
    """The table in a folder that lists its files: the one of a name, or `manifest.csv` or such, if it has it.

    Raises:
        UserError: there is none of this name.
    """
    if name is not None and not (folder / name).is_file():
        raise UserError(f"{folder / name}: not found; `manifest` names a CSV file inside {folder}")
    names = [f"manifest{suffix}" for suffix in TABLE_SUFFIXES] if name is None else [name]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _of_folder(data: Path, suffixes: tuple[str, ...], frames: Callable[[str], bool] | None) -> Manifest:
    videos = suffixes == VIDEO_SUFFIXES
    found = _Folder.read(data, suffixes, is_frame if videos else frames or (lambda name: False))
    shards = shards_in(data) if videos and not found.taken else []
    if shards:
        passed_over = Counter({suffix: n for suffix, n in found.passed_over.items() if suffix != SHARD})
        made = _of_shards(data, shards, data, None)
        return replace(made, passed_over=dict(passed_over + Counter(made.passed_over)))
    made = _manifest(data, found.table(), data)
    return replace(made, passed_over=dict(found.passed_over), empty=found.empty(), deeper=found.deeper())


def _of_shards(data: Path, shards: list[Path], root: Path, fps: float | None) -> Manifest:
    table, others = read_samples(shards, root)
    table.cut(root, fps)
    table.name_splits()
    made = _manifest(data, table, root)
    return replace(made, passed_over=dict(others), remarks=_two_kinds(made.class_names))


def _two_kinds(class_names: Sequence[str]) -> tuple[str, ...]:
    """What is said where some tar files have numbers for what others have names."""
    numbers = [name for name in class_names if _NUMBER.fullmatch(name)]
    names = [name for name in class_names if name not in numbers]
    if not numbers or not names:
        return ()
    kinds = f"some classes are numbers, {_some(numbers)}, others names, {_some(names)}"
    return (f"{kinds}: if they are the same classes, call them the same everywhere",)


def _manifest(data: Path, table: Table, root: Path) -> Manifest:
    class_names = _in_order(set(table.columns["label"]))
    labels = {name: label for label, name in enumerate(class_names)}
    columns = [table.columns[name] for name in ("path", "label", "split", "group", "fold", "start", "stop")]
    cut = any(columns[-2]) or any(columns[-1])
    alone = cut and not any(map(any, columns[2:5]))
    records, seen = [], set[str]()
    for path, label, split, group, fold, start, stop in zip(*columns, strict=True):
        of = Record(root / path, path, labels[label], split, path if alone else group, fold)
        record = of.between(start, stop) if cut else of
        same = os.path.normpath(path) + record.path[len(path) :]
        if same in seen:
            raise UserError(f"{data}: the path {record.path!r} is listed twice; remove one of the rows")
        seen.add(same)
        records.append(record)
    for column in ("split", "fold"):
        cells = table.columns[column]
        if any(cells) and "" in cells:
            blank = records[cells.index("")].path
            raise UserError(f"{data}: `{column}` is blank for {blank!r}; fill it in everywhere or nowhere")
    _check_groups(data, records)
    return Manifest(tuple(records), class_names, root)


def _check_there(data: Path, paths: Sequence[str], root: Path) -> None:
    """Refuse paths of what does not exist; what exists and cannot be read is named when it is read."""
    names = functools.cache(lambda folder: _names_in(root / folder))
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if name not in names(folder) and not os.path.lexists(root / path):  # of names in upper or lower case
            missing.append(path)
    if missing:
        raise UserError(
            f"{data}: {len(missing)} of {len(paths)} listed files are missing, the first is {missing[0]!r}; "
            f"paths are relative to {root}"
        )


def _names_in(folder: Path) -> set[str]:
    """What is in a folder, or in one that is in a tar file."""
    try:
        return set(os.listdir(folder))
    except OSError:
        shard = shard_of(folder / "_")
    if shard is None:
        return set()
    above = inside(shard, folder / "_")[:-1]
    return {name.removeprefix(above) for name in members(shard) if name.startswith(above)}


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names sorted, as numbers where all are."""
    names = sorted(names)
    if all(map(_NUMBER.fullmatch, names)):
        names.sort(key=float)
    return tuple(names)


def _check_groups(data: Path, records: Iterable[Record]) -> None:
    splits: dict[str, str] = {}
    for record in records:
        if record.group and splits.setdefault(record.group, record.split) != record.split:
            raise UserError(
                f"{data}: the group {record.group!r} is in the splits {splits[record.group]!r} and "
                f"{record.split!r}; a group must stay in one"
            )


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

    def table(self) -> Table:
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
        blank = [""] * len(self.taken)
        columns = {
            "path": ["/".join(parts) for parts in self.taken],
            "label": [parts[int(split_level)] for parts in self.taken],
            "split": [split_of(parts[0]) for parts in self.taken] if split_level else blank,
            **dict.fromkeys(("group", "fold", "start", "stop"), blank),
        }
        return Table(self.root, tuple(columns), columns, lambda row: str(self.root / columns["path"][row]))

    def _has_splits(self) -> bool:
        """Whether the folders are splits that hold the class folders."""
        named = {parts[0]: split_of(parts[0]) for parts in self.taken}
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
        inner = {split_of(parts[1]) if len(parts) > 2 else "" for parts in self.taken}
        if "" not in inner and len(inner) > 1:
            first = "/".join(self.taken[0][:2])
            raise UserError(
                f"{self.root}: splits are inside of other folders, such as {first!r}: put the folders of "
                "splits on top and those of classes inside, or list the videos in manifest.csv"
            )
        return False
