"""What a set of one's own is like, for the choice of a recipe."""

import os
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from keras_actrec import _backend
from keras_actrec._text import command
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.data import (
    Audit,
    Manifest,
    Record,
    audit_videos,
    kind_of,
    read_set,
    read_skeleton,
    split_manifest,
)
from keras_actrec.errors import UserError

Kind: TypeAlias = Literal["videos", "poses", "features"]

VALIDATION = 0.15  # of the clips for training that are set aside


@dataclass(frozen=True)
class Facts:
    """What the choice goes by.

    Attributes:
        kind: of the files.
        counts: number of clips for training of each class, smallest first; bad ones are left out.
        frames: number of frames of each good file, sorted; of a set of features its steps.
        fps: frames a second in the middle of the files, 0 where that is not known.
        bad: number of files that cannot be read.
        found: number of files.
        splits: names of the parts that the data says, empty where it says none.
        folds: names of the data's folds.
        grouped: whether records have groups.
        gpu: whether an accelerator was found.
        cores: number of CPU cores.
        validated: whether a validation part can be drawn without taking a whole class along.
        depth: whether joints have a third coordinate.
        layout: name of the body that all joints are of, empty where that is not certain.
        persons: in a file; fewer than one of twenty files have more.
        missing: share of joints that were not seen.
    """

    kind: Kind
    counts: tuple[int, ...]
    frames: tuple[int, ...]
    fps: float = 0.0
    bad: int = 0
    found: int = 0
    splits: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    grouped: bool = False
    gpu: bool = False
    cores: int = 2
    validated: bool = True
    depth: bool = False
    layout: str = ""
    persons: int = 1
    missing: float = 0.0

    @property
    def clips(self) -> int:
        """Number of clips for training."""
        return sum(self.counts)


def look(
    data: PathLike,
    *,
    audit: PathLike | None = None,
    tell: Callable[[str], Any] | None = None,
    progress: StageProgress | None = None,
) -> Facts:
    """Read a set of one's own through, and say what `choose` goes by.

    Args:
        data: a CSV file or a folder, see `read_manifest`.
        audit: JSON file that keeps what was read, see `audit_videos`.
        tell: called with each line of `Manifest.notes`: what a folder of one's own has that is not taken.
        progress: called as `progress("videos", done, total)`.

    Returns:
        The facts.

    Raises:
        UserError: for data that cannot be read or split, or a class without a file that can be read.
    """
    report = progress or silent
    kind = kind_of(data)
    found = read_own(data, kind)
    found.announce(tell)
    audited = audit_videos(found, out=audit, progress=lambda done, total: report("videos", done, total))
    good = {path for path, entry in audited.files.items() if entry["status"] == "ok"}
    folds = tuple(sorted({record.fold for record in found.records if record.fold}))
    splits = tuple(sorted({record.split for record in found.records if record.split}))
    fold = folds[0] if folds and not splits else None
    parts = split_manifest(found, test_fold=fold)
    counts = Counter(record.label for record in parts["train"] if record.path in good)
    missing = [name for label, name in enumerate(found.class_names) if not counts[label]]
    if missing:
        raise UserError(
            f"{data}: no file of class {missing[0]!r} that is for training can be read: "
            f"{command('audit', '--data', data)} names the files"
        )
    return Facts(
        kind=kind,
        counts=tuple(sorted(counts.values())),
        frames=tuple(sorted(_frames(record, audited) for record in found.records if record.path in good)),
        fps=statistics.median_low(audited.files[path]["fps"] for path in good),
        bad=len(audited.files) - len(good),
        found=len(audited.files),
        splits=splits,
        folds=folds,
        grouped=any(record.group for record in found.records),
        gpu=not _backend.on_cpu(),
        cores=os.cpu_count() or 1,
        validated=_can_validate(found, fold),
        depth=kind == "poses" and _has_depth(found, good),
        **_bodies([audited.details[path] for path in sorted(good)]),
    )


def _frames(record: Record, audited: Audit) -> int:
    """Of a video, or features, the audit counts all frames, of joints those of the sequence."""
    frames = audited.files[record.path]["frames"]
    if "joints" in audited.details[record.path]:
        return frames
    return len(range(frames)[slice(record.start, record.stop)])


def read_own(data: PathLike, kind: Kind) -> Manifest:
    """The manifest of a set of one's own whose files are of a kind."""
    return read_set(data, dataset=None if kind == "videos" else kind)


def _can_validate(found: Manifest, fold: str | None) -> bool:
    try:
        split_manifest(found, test_fold=fold, validation_fraction=VALIDATION)
    except UserError:
        return False
    return True


def _bodies(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What an audit says of joints."""
    rows = [row for row in rows if "joints" in row]
    if not rows:
        return {}
    layouts = {row["layout"] for row in rows}
    return {
        "layout": (layouts.pop() or "") if len(layouts) == 1 else "",
        "persons": max(1, sorted(row["persons"] for row in rows)[len(rows) * 19 // 20]),
        "missing": statistics.fmean(row["missing"] for row in rows),
    }


def _has_depth(found: Manifest, good: Collection[str]) -> bool:
    record = next(record for record in found.records if record.path in good)
    return bool(read_skeleton(found.dataset, record)[..., 2].any())
