"""Joints from any pose estimator, listed in a CSV file or sorted into class folders."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec._pickles import short
from keras_actrec.data._pose import Pose
from keras_actrec.data._readers import is_pose_frame
from keras_actrec.data._video_error import VideoError, readable
from keras_actrec.data.datasets._common import choose, finish, holds_several, own
from keras_actrec.data.estimators import pyskl
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.data.poses import POSE_SUFFIXES, read_pose
from keras_actrec.errors import UserError

_PICKLES = (".pickle", ".pkl")


def poses(root: str | Path, *, manifest: str | None = None, split: str | None = None) -> Manifest:
    """Sequences of joints from any pose estimator, see `read_pose`.

    The files, and folders of a file a frame, are listed or sorted into folders as videos are, see
    `read_manifest`; to write such files, see `write_pose`. A pickle of PYSKL among them may hold several
    sequences, whose paths are the file's with `#frame_dir` after it.

    Such a pickle can be the whole set too, with its own labels, which have no names, and its own splits: the
    first one, or that of `split`. Where it has no part `test`, `val` is for the test.

    Args:
        root: a CSV file, a folder, or a pickle of PYSKL.
        manifest: name of the CSV file inside the folder `root`.
        split: of a pickle, such as `"xsub"`.

    Returns:
        A `Manifest`.

    Raises:
        UserError: as `read_manifest`, a listed file with another suffix, or a pickle that is none of PYSKL.
    """
    if Path(root).suffix.lower() in _PICKLES and not Path(root).is_dir():
        return _whole_set(Path(root), split)
    if split is not None:
        raise UserError(f"`split` is for a pickle of PYSKL, and {root} is none: leave it out")
    found = own("poses", root, manifest, POSE_SUFFIXES, "joints", is_pose_frame)
    return replace(found, records=tuple(each for record in found.records for each in _parts(record)))


def read_poses(record: Record) -> Pose:
    """The joints of all persons, with what else the file says of them."""
    name = record.path.partition(f"{record.file.name}#")[2] or None
    if record.start is not None or record.stop is not None:
        return _cut(record, read_pose(record.file))
    if record.file.suffix.lower() in _PICKLES and name is None and len(_names(record.file)) > 1:
        raise holds_several(record.file, f"{len(_names(record.file))} sequences", record.file)
    return read_pose(record.file, name=name)


def _cut(record: Record, pose: Pose) -> Pose:
    """The frames of a record, by the numbers that the file gives them."""
    numbers = pose.frames or range(len(pose.joints))
    first, step, end = numbers.start, numbers.step, numbers.start + numbers.step * len(numbers)
    start, stop = record.start or 0, end if record.stop is None else record.stop
    part = slice(max(0, -(-(start - first) // step)), max(0, -(-(stop - first) // step)))
    if not range(len(numbers))[part] or 10 * (min(stop, end) - start) < 9 * (stop - start):
        named = f", numbered {first} to {numbers[-1]}" if first or step > 1 else ""
        what = (
            f"{len(numbers)} frames{named}, the sequence is from frame {start} to {record.stop or 'the end'}"
        )
        raise VideoError(record.file, "truncated", f"it has {what}; mend the list or the file")
    scores = None if pose.scores is None else pose.scores[part]
    return replace(pose, joints=pose.joints[part], scores=scores, frames=numbers[part])


def read_skeleton(record: Record) -> np.ndarray:
    """Joints `(T, bodies, joints, 3)` as the file has them; of joints in two dimensions the third is 0."""
    joints = read_poses(record).joints
    return np.pad(joints, [(0, 0)] * 3 + [(0, 3 - joints.shape[3])])


def _parts(record: Record) -> Iterator[Record]:
    """The sequences of a file: the record itself, unless there are several."""
    names: list[str] = []
    if record.file.suffix.lower() in _PICKLES:
        try:
            names = _names(record.file)
        except VideoError:  # who reads it says what is wrong with it
            names = []
    if len(names) < 2:
        yield record
    elif record.start is not None or record.stop is not None:
        fix = "leave them out, or write a file for each sequence"
        raise UserError(f"{record.file}: `start` and `stop` cut one sequence, it holds {len(names)}; {fix}")
    else:
        yield from (replace(record, path=f"{record.path}#{name}") for name in names)


def _names(file: Path) -> list[str]:
    return [str(each["frame_dir"]) for each in _annotations(file)]


def _annotations(file: Path) -> list[Mapping[str, Any]]:
    file = readable(file)
    try:
        return pyskl.annotations(file)
    except Exception as error:  # a damaged pickle ends in anything
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise VideoError(file, "unreadable", f"no pickle of PYSKL or MMAction2: {reason}") from error


def _whole_set(file: Path, split: str | None) -> Manifest:
    listed = _annotations(file)
    if any(each["label"] is None for each in listed):
        raise UserError(f"{file}: a sequence has no `label`; sort files into a folder for each class")
    try:
        found = pyskl.splits(file)
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error
    parts: dict[str, str] = {}
    remarks: list[str] = []
    if found:
        chosen = found[next(iter(found)) if split is None else choose("split", split, found)]
        val = "validation" if chosen.get("test") else "test"
        named = {"train": "train", "test": "test", "val": val}
        for part, names in chosen.items():
            if twice := next((name for name in names if parts.get(name, named[part]) != named[part]), None):
                told = f"{short(twice)} is in the parts {parts[twice]} and {named[part]} of its split"
                raise UserError(f"{file}: {told}; take it out of one")
            parts |= dict.fromkeys(names, named[part])
        remarks = _compared(file, parts, {each["frame_dir"] for each in listed})
    elif split is not None:
        raise UserError(f"{file}: it has no splits: leave `split` out")
    labels = sorted({each["label"] for each in listed})
    records = [
        Record(
            file,
            f"{file.name}#{each['frame_dir']}",
            labels.index(each["label"]),
            parts.get(each["frame_dir"], ""),
        )
        for each in listed
        if not parts or each["frame_dir"] in parts
    ]
    return replace(finish("poses", file.parent, map(str, labels), records, {}), remarks=tuple(remarks))


def _compared(file: Path, parts: Mapping[str, str], there: Set[str]) -> list[str]:
    """What is in a split and not among the sequences, and the other way round.

    Raises:
        UserError: for a part without any sequence.
    """
    lost, spare = [name for name in parts if name not in there], len(there - parts.keys())
    for part in dict.fromkeys(parts.values()):
        if not any(parts[name] == part for name in parts.keys() & there):
            told = f"no sequence of the part {part} of its split is in it, such as {short(lost[0])}"
            raise UserError(f"{file}: {told}; get it again, or choose another split")
    lines = [f"names of the split without a sequence: {len(lost)}, such as {short(lost[0])}"] if lost else []
    if spare:
        lines.append(f"in no part of the split and passed over: {spare} of {len(there)} sequences")
    return lines
