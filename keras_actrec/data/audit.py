"""Every video of a set read once: what each file holds, and which are damaged."""

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from keras_actrec._files import growing_text, read_text, write_json
from keras_actrec._numbers import MOST_WORKERS, whole
from keras_actrec._text import command
from keras_actrec._types import PathLike, Progress
from keras_actrec.bodies import body, list_bodies
from keras_actrec.cluster import Cluster, Threads
from keras_actrec.data._pose import Pose
from keras_actrec.data._readers import content_hash, stamp
from keras_actrec.data._video_error import VideoError, unforeseen
from keras_actrec.data.datasets import files_of, read_persons
from keras_actrec.data.decode import VideoInfo, probe
from keras_actrec.data.features import open_features
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.data.poses import declared_file
from keras_actrec.errors import UserError

_STAMPS = ("bytes", "changed", "declared")
_Number = Annotated[int, pydantic.Field(ge=0)]


class _Entry(pydantic.BaseModel, strict=True):
    """What a file of an audit has of each file, see `Audit.files`."""

    path: str
    status: Literal["ok", "truncated", "unreadable", "empty"]
    frames: _Number
    claimed_frames: _Number
    fps: Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
    width: _Number
    height: _Number
    sha256: str | None


class _Details(pydantic.BaseModel, strict=True):
    """And what it has in addition, see `Audit.details`; joints only of files of joints."""

    bytes: int | None
    changed: int | None
    declared: int | None = None
    reason: str
    persons: _Number | None = None
    joints: _Number | None = None
    missing: float | None = None
    layout: str | None = None


class _Written(pydantic.BaseModel, strict=True):
    """And what it is as a whole, see `Audit`."""

    found: _Number
    official: _Number | None
    files: list[_Entry]
    details: dict[str, _Details]
    classes: dict[str, _Number] = {}


_ENTRY = tuple(_Entry.model_fields)


@dataclass(frozen=True)
class Audit:
    """What was found in the files of a set.

    Attributes:
        found: number of records in the manifest.
        official: number that the set should have, `None` where that is not known.
        files: dict of path, as the manifest has it, to a dict of `path`; `status`: `ok`, `truncated`,
            `unreadable` or `empty`; `frames` that decode, or steps of features, `claimed_frames` by the
            header, `fps`, `width` and `height`, all 0 where the file cannot be used (a truncated one has both
            counts); `sha256`, `None` where the file cannot be read.
        details: dict of path to a dict of `bytes` and `changed` (time in ns), by which a file is known again,
            `None` where it is not there, `declared`, the time of the `poses.toml` that says something of it,
            if there is one, and `reason`, empty where the status is `ok`. Of good files of
            joints also `persons`, `joints`, `missing`, the share of joints that were not seen, and `layout`,
            the name of their `body`, `None` where that is not certain.
        classes: dict of class name to the number of its records that can be used, also where it is 0.
    """

    found: int
    official: int | None
    files: dict[str, dict[str, Any]]
    details: dict[str, dict[str, Any]]
    classes: dict[str, int] = field(default_factory=dict)

    @property
    def bodies(self) -> list[str]:
        """Lines about joints: how many files have which, of how many persons, and what to do about it."""
        rows = [each for each in self.details.values() if "joints" in each]
        kinds = Counter((row["joints"], row["layout"]) for row in rows)
        lines = [f"{count} files have {_body_line(*kind)}" for kind, count in kinds.most_common()]
        if rows:
            persons = [row["persons"] for row in rows]
            missing = sum(row["missing"] for row in rows) / len(rows)
            lines.append(f"persons a file: {min(persons)} to {max(persons)}; joints missing: {missing:.1%}")
        return lines

    @property
    def counts(self) -> dict[str, int]:
        """Dict of status to number of files."""
        statuses = [entry["status"] for entry in self.files.values()]
        return {status: statuses.count(status) for status in ("ok", "truncated", "unreadable", "empty")}

    def problems(self, manifest: Manifest) -> list[VideoError]:
        """The `VideoError`s of a manifest's files, in its order."""
        return [
            VideoError(record.file, self.files[record.path]["status"], self.details[record.path]["reason"])
            for record in {record.path: record for record in manifest.records}.values()
            if self.files[record.path]["status"] != "ok"
        ]

    def look_up(self, record: Record) -> VideoInfo | None:
        """What the audit says of a record's file.

        Returns:
            A `VideoInfo`, or `None` where the file is not in the audit or has changed since.

        Raises:
            VideoError: for a file that cannot be used.
        """
        entry = self._current(record)
        if entry is None:
            return None
        if entry["status"] != "ok":
            raise VideoError(record.file, entry["status"], entry["reason"])
        return VideoInfo(**{name: entry[name] for name in VideoInfo.__dataclass_fields__})

    def hash_of(self, record: Record) -> str | None:
        """The SHA-256 of a record's file, or `None` where it is not in the audit or has changed since."""
        entry = self._current(record)
        return None if entry is None else entry["sha256"]

    def _current(self, record: Record) -> dict[str, Any] | None:
        """The entry and the details of a record's file, or `None`."""
        if record.path not in self.files:
            return None
        entry = {**self.files[record.path], **self.details[record.path]}
        return entry if _is_current(record, entry) else None

    def write(self, path: PathLike) -> None:
        """Writes the audit as JSON."""
        about = {**asdict(self), "files": list(self.files.values())}
        write_json(path, about)


def audit_videos(
    manifest: Manifest,
    *,
    out: PathLike | None = None,
    verify: bool = False,
    workers: int = 2,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Reads every video, skeleton sequence or file of features of a set through and hashes its file.

    With `out` the work is kept: what an interrupted call has done, also one that was killed, is not done
    again, and a later call reads only files whose size, time of change or `poses.toml` differ. The file's
    bytes depend on the set alone.

    Args:
        manifest: a `Manifest`; `read_whole` gives that of all files of a set.
        out: JSON file to write, see `Audit`; until it is complete, `.journal-<name>` next to it holds a
            line a file.
        verify: whether files that `out` knows by their size and time of change are read all the same.
        workers: number of threads.
        cluster: reads in place of the threads.
        progress: called as `progress(done, total)` at the start, with what was known, and after every file.

    Returns:
        An `Audit`.

    Raises:
        UserError: an argument out of range, or a file `out` that is not an audit.
    """
    workers = whole("workers", workers, high=MOST_WORKERS)
    records = {record.path: record for record in manifest.records}  # several may be sequences of one file
    known = {} if verify else _known(out)
    rows = {
        path: known[path]
        for path, record in records.items()
        if path in known and _is_current(record, known[path])  # what could not be read is tried again
    }

    def report() -> None:
        if progress is not None:
            progress(len(rows), len(records))

    report()
    todo = [record for path, record in records.items() if path not in rows]
    examine = partial(_examine, dataset=manifest.dataset, begun=time.time_ns())
    found = (cluster or Threads(workers)).map(examine, todo, files=lambda record: (record.file,))
    with _journal(out) as add, closing(found):
        for _, row in found:
            add(row)
            rows[row["path"]] = row
            report()
    audit = Audit(
        found=len(manifest.records),
        official=sum(manifest.official.values()) or None,
        files={path: {name: rows[path][name] for name in _ENTRY} for path in records},
        details={path: {n: v for n, v in rows[path].items() if n not in _ENTRY} for path in records},
        classes=_count(manifest, {path for path, row in rows.items() if row["status"] == "ok"}),
    )
    if out is not None:
        audit.write(out)
        _journal_of(out).unlink(missing_ok=True)
    return audit


def read_audit(path: PathLike) -> Audit:
    """Reads what `audit_videos` wrote.

    Returns:
        An `Audit`, for `index_videos` and the like.

    Raises:
        UserError: the file is missing or is not an audit.
    """
    try:
        written = _Written.model_validate(json.loads(read_text(path)))
        files = {entry.path: entry.model_dump() for entry in written.files}
        details = {path: written.details[path].model_dump(exclude_unset=True) for path in files}
        return Audit(written.found, written.official, files, details, written.classes)
    except FileNotFoundError as error:
        then = command("audit", "--json", path, "--data", "DATA")
        raise UserError(f"{path}: not found; write it with {then}") from error
    except (ValueError, KeyError, RecursionError) as error:
        new = Path(path).with_suffix(".new.json")  # what is there, maybe somebody's own, stays
        then = command("audit", "--json", new, "--data", "DATA")
        raise UserError(f"{path}: not an audit; write it with {then}, and name that file") from error


def _count(manifest: Manifest, good: Collection[str]) -> dict[str, int]:
    """Good records of each class."""
    counts = Counter(record.label for record in manifest.records if record.path in good)
    return {name: counts[label] for label, name in enumerate(manifest.class_names)}


@contextmanager
def _journal(out: PathLike | None) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """Yield a function that notes a row: each is kept at once, so that killing us loses none."""
    if out is None:
        yield lambda row: None
        return
    with growing_text(_journal_of(out), new=False) as append:
        append("\n")  # after a line that was cut off
        yield lambda row: append(json.dumps(row) + "\n")


def _journal_of(out: PathLike) -> Path:
    return Path(out).with_name(f".journal-{Path(out).name}")


def _known(out: PathLike | None) -> dict[str, dict[str, Any]]:
    """Rows of an earlier audit and of the journal of one that was interrupted."""
    rows = {}
    if out is not None and Path(out).exists():
        audit = read_audit(out)
        rows = {path: {**entry, **audit.details[path]} for path, entry in audit.files.items()}
    if out is not None and _journal_of(out).exists():
        for line in _journal_of(out).read_bytes().splitlines():
            try:
                row = json.loads(line)
                entry, details = _Entry.model_validate(row), _Details.model_validate(row)
                rows[entry.path] = {**entry.model_dump(), **details.model_dump(exclude_unset=True)}
            except (ValueError, RecursionError):  # empty, or cut off when we were killed
                continue
    return rows


def _examine(record: Record, dataset: str, begun: int) -> dict[str, Any]:
    """One file: the entry and the details in one dict."""
    row = {"path": record.path, "status": "ok", "frames": 0, "claimed_frames": 0, "fps": 0.0}
    row |= {"width": 0, "height": 0, "sha256": None, **_details(record), "reason": ""}
    try:
        row["sha256"] = _hash(record, begun)
        row |= _contents(record, dataset)
    except Exception as raised:
        if isinstance(raised, UserError) and not isinstance(raised, VideoError):
            raise  # no fault of the file
        error = raised if isinstance(raised, VideoError) else unforeseen(record.file, raised)
        row |= {"status": error.status, "reason": error.reason}
        if error.counts is not None:
            row["frames"], row["claimed_frames"] = error.counts
    return row


def _contents(record: Record, dataset: str) -> dict[str, Any]:
    """What a file holds that can be used."""
    files = files_of(dataset)
    if files == "skeletons":
        return _joints(read_persons(dataset, record))
    if files == "features":
        found = open_features(record.file)
        found.check()
        return {"frames": found.frames, "claimed_frames": found.frames}
    return asdict(probe(record.file))


def _joints(pose: Pose) -> dict[str, Any]:
    """What a sequence of joints has."""
    seen = np.any(pose.joints, axis=-1)  # (T, M, V)
    persons = int(seen.any(axis=(0, 2)).sum())
    most = len(seen) * max(persons, 1) * seen.shape[2]
    return {
        "frames": len(seen),
        "persons": persons,
        "joints": seen.shape[2],
        "missing": round(1 - float(seen.sum()) / most, 4),
        "layout": pose.layout,
    }


def _body_line(joints: int, layout: str | None) -> str:
    """Which body joints are of, or which it may be."""
    if layout is not None:
        return f"{joints} joints, {layout}"
    may = [name for name in list_bodies() if len(body(name).joints) == joints]
    if not may:
        return f"{joints} joints, of no layout with a name"
    fix = f'skeleton.layout of the recipe, or layout = "{may[0]}" in poses.toml beside the classes, says it'
    return f"{joints} joints, maybe {' or '.join(may)}: {fix}"


def _details(record: Record) -> dict[str, Any]:
    file = declared_file(record.file)
    declared = {} if file is None else {"declared": file.stat().st_mtime_ns}
    try:
        size, changed = stamp(record.file)
    except (OSError, VideoError):
        return {"bytes": None, "changed": None, **declared}
    return {"bytes": size, "changed": changed, **declared}


def _is_current(record: Record, row: dict[str, Any]) -> bool:
    found = _details(record)
    return row["sha256"] is not None and all(found.get(name) == row.get(name) for name in _STAMPS)


def _hash(record: Record, begun: int) -> str | None:
    try:
        return _digest(record.file, stamp(record.file), begun)
    except (OSError, VideoError):  # `probe` says why
        return None


@lru_cache(maxsize=8)  # of many sequences of one file
def _digest(file: Path, changed: tuple[int, int], begun: int) -> str:
    """The hash of a file's content, as an audit that begun then has found it."""
    return content_hash(file)
