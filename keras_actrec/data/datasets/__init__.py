"""Readers of datasets in their official layouts, one a file."""

import importlib
import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np

from keras_actrec._numbers import MAX_SKIPPED
from keras_actrec._suggest import did_you_mean
from keras_actrec._text import printable
from keras_actrec._types import PathLike
from keras_actrec.bodies import body, map_joints
from keras_actrec.cluster import Cluster
from keras_actrec.data._pose import Pose
from keras_actrec.data._readers import FRAME_SUFFIXES, is_pose_frame
from keras_actrec.data._samples import shards_of
from keras_actrec.data._shards import SHARD
from keras_actrec.data._tables import read_table
from keras_actrec.data._video_error import VideoError
from keras_actrec.data._walk import walk
from keras_actrec.data.decode import index_records
from keras_actrec.data.manifest import VIDEO_SUFFIXES, Manifest, Record, read_manifest, table_in
from keras_actrec.data.persons import Persons
from keras_actrec.data.poses import POSE_SUFFIXES, holds_pose
from keras_actrec.data.skeletons import SkeletonForm
from keras_actrec.errors import UserError

Files: TypeAlias = Literal["videos", "skeletons", "features"]


@dataclass(frozen=True)
class _Reader:
    """What is said of a set once.

    Attributes:
        holds: what its files are, first what a recipe is about. With skeletons the reader has a function
            `read_skeleton`.
        joints: what the names of files of joints are like, if it has them.
        layout: name of the `body` that they are of, where that is certain.
        whole: options with which the reader lists all files, in no part of the set.
    """

    holds: tuple[Files, ...] = ("videos",)
    joints: tuple[str, ...] = ()
    layout: str | None = None
    whole: Mapping[str, str] = field(default_factory=dict)


_ALL = {"split": "all"}
_SKELETONS: tuple[Files, ...] = ("skeletons",)

# A reader is a file with a function of its name (and `read_skeleton`, if it holds skeletons) and a line here.
_READERS = {
    "basic_motions": _Reader(_SKELETONS, ("*.npz",)),
    "csv": _Reader(),
    "diving48": _Reader(),
    "features": _Reader(("features",)),
    "folder": _Reader(),
    "hmdb51": _Reader(whole=_ALL),
    "jhmdb": _Reader(("videos", "skeletons"), ("*.mat",), whole=_ALL),
    "kinetics": _Reader(),
    "msr_action3d": _Reader(_SKELETONS, ("*skeleton3D.txt",), whole={"files": "all"}),
    "northwestern_ucla": _Reader(_SKELETONS, ("*.json",), "kinect20", _ALL),
    "ntu_rgbd": _Reader(_SKELETONS, ("*.skeleton",), "ntu25", _ALL),
    "olympic_sports": _Reader(),
    "poses": _Reader(_SKELETONS, tuple(f"*{suffix}" for suffix in POSE_SUFFIXES)),
    "something_something_v1": _Reader(),
    "something_something_v2": _Reader(),
    "sysu_3d_hoi": _Reader(_SKELETONS, ("*.mat",), "kinect20", _ALL),
    "ucf101": _Reader(whole=_ALL),
    "ucf_sports": _Reader(whole=_ALL),
    "utkinect": _Reader(_SKELETONS, ("joints_*.txt",), "kinect20", _ALL),
}


def list_datasets() -> tuple[str, ...]:
    """Names for `read_dataset`, sorted.

    Returns:
        A tuple of names.
    """
    return tuple(_READERS)


def read_dataset(name: str, root: PathLike, **options: Any) -> Manifest:
    """Reads a set in its official layout: its records, their labels, splits and groups.

    The docstring of the reader, `keras_actrec.data.datasets.<name>.<name>`, says which files it looks for,
    which splits it has and how many records they should have.

    Args:
        name: one of `list_datasets()`.
        root: folder of the set.
        **options: options of the reader, such as `split`.

    Returns:
        A `Manifest`: compare its `found` with its `official`.

    Raises:
        UserError: an unknown name or option, or what the reader raises.
    """
    reader: Callable[..., Manifest] = getattr(_module("name", name, _READERS), name)
    known = [option for option in inspect.signature(reader).parameters if option != "root"]
    for option, value in options.items():
        if option not in known:
            have = f"its options are {', '.join(known)}" if known else "it has none"
            raise UserError(f"{name} has no option `{option}`; {have}. Received: {option}={value!r}")
    return reader(root, **options)


def read_set(
    data: PathLike,
    *,
    dataset: str | None = None,
    split: str | int | None = None,
    manifest: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Manifest:
    """Reads a set as `[data]` of a recipe names it: by its reader, or as a CSV file or folder of one's own.

    Args:
        data: folder of the set, or path of a CSV file.
        dataset: one of `list_datasets()`, or `None` for `read_manifest`.
        split: the reader's option of that name, `None` for its default.
        manifest: name of the CSV file in a folder of one's own: without a `dataset`, or with one that is read
            from such a file, such as `features`. Where `data` is the file itself it is left aside.
        options: dict of the reader's other options, such as `{"version": "v1"}` of `diving48`.

    Returns:
        A `Manifest`.

    Raises:
        UserError: what the readers raise, `split` or `options` without a `dataset`, or an option given twice.
    """
    options, listed = dict(options or {}), _listed(data, manifest)
    named = ({} if split is None else {"split": split}) | (listed if dataset is not None else {})
    for name in named:
        if name in options:
            raise UserError(f"`options` must not repeat `{name}`. Received: options={options!r}")
    options |= named
    if dataset is not None:
        return read_dataset(dataset, data, **options)
    if options:
        name, value = next(reversed(options.items()))
        raise UserError(f"`{name}` goes with a `dataset`. Received: {name}={value!r}")
    return read_manifest(data, manifest=listed.get("manifest"))


def kind_of(data: PathLike, *, manifest: str | None = None) -> Literal["videos", "poses", "features"]:
    """Tells what the files of a set of one's own are.

    Args:
        data: a folder, or path of a CSV file.
        manifest: name of the CSV file in the folder.

    Returns:
        `"videos"`, also for folders of frames; `"poses"` or `"features"` for a set without videos: by the
        suffix, and where two kinds share it, by the names and the shape in the first such file.

    Raises:
        UserError: a CSV file that cannot be read, or no such file or folder.
    """
    data = Path(data)
    if data.suffix.lower() in (".pickle", ".pkl") and data.is_file():
        return "poses"
    if shards_of(data):
        return "videos"
    listed = table_in(data, manifest) if data.is_dir() else data
    if listed is None:
        root, names = Path(), {str(folder / name) for folder, inside in walk(data) for name in inside}
        names = {name for name in names if Path(name).suffix.lower() != ".csv" or Path(name).parent != data}
    elif listed.is_file():
        root, names = listed.parent, {*read_table(listed, ("path", "label")).columns["path"]}
    else:
        return "videos"  # who reads them says what is missing
    by_suffix: dict[str, Path] = {}
    for name in sorted(names):
        by_suffix.setdefault(os.path.splitext(name)[1].lower(), root / name)
    if by_suffix.keys() & {*VIDEO_SUFFIXES, *FRAME_SUFFIXES}:
        return "videos"
    for suffix in (".npz", ".npy"):
        if suffix in by_suffix:
            return "poses" if holds_pose(by_suffix[suffix]) else "features"
    if SHARD in by_suffix:  # JSON beside it is about these
        return "videos"
    folder = by_suffix.get("")
    of_frames = folder is not None and folder.is_dir() and any(map(is_pose_frame, os.listdir(folder)))
    return "poses" if of_frames or by_suffix.keys() & set(POSE_SUFFIXES) else "videos"


def read_whole(data: PathLike, *, dataset: str | None = None, manifest: str | None = None) -> Manifest:
    """Reads all of a set, whichever part of a split a file belongs to and whether a split can be made or not.

    The reader of an official layout lists every file that it knows of, in no part. A set of one's own is read
    as it is.

    Args:
        data: folder of the set, or path of a CSV file.
        dataset: one of `list_datasets()`, or `None` for a set of one's own, of whatever `kind_of` tells.
        manifest: name of the CSV file in a folder of one's own.

    Returns:
        A `Manifest`.

    Raises:
        UserError: what the readers raise.
    """
    if dataset is None and (kind := kind_of(data, manifest=manifest)) != "videos":
        dataset = kind
    if dataset in _READERS:
        return read_dataset(dataset, data, **_listed(data, manifest), **_READERS[dataset].whole)
    return read_set(data, dataset=dataset, manifest=manifest)


def _listed(data: PathLike, manifest: str | None) -> dict[str, str]:
    """The option `manifest`, where there is a folder for it to be in."""
    return {"manifest": manifest} if manifest is not None and Path(data).is_dir() else {}


def read_skeleton(dataset: str, record: Record) -> np.ndarray:
    """Reads the joints of a record of a skeleton set.

    Args:
        dataset: name of the set, such as `Manifest.dataset`.
        record: a `Record` of it.

    Returns:
        float32 array `(T, bodies, joints, 3)` in the set's own unit: meters for all but `jhmdb` (pixels)
        and `poses` (the estimator's). Bodies that are missing are zeros.

    Raises:
        UserError: a set without joints.
        VideoError: a file that cannot be used; see its `status`.
    """
    return _of_skeletons(dataset).read_skeleton(record)


def read_persons(dataset: str, record: Record) -> Pose:
    """Reads what a file of a skeleton set says of joints: `read_skeleton` with scores and the layout.

    Args:
        dataset: as of `read_skeleton`.
        record: as of `read_skeleton`.

    Returns:
        A `Pose`; of `poses` the joints may be in two dimensions.

    Raises:
        UserError: as `read_skeleton`.
        VideoError: as `read_skeleton`.
    """
    module = _of_skeletons(dataset)
    if hasattr(module, "read_poses"):
        return module.read_poses(record)
    return Pose(module.read_skeleton(record), layout=_READERS[dataset].layout)


def read_joints(
    dataset: str,
    record: Record,
    persons: Persons,
    layout: str | None = None,
    shown_as: str | None = None,
) -> np.ndarray:
    """Reads the joints that a model sees: of the persons that are taken, all of one layout.

    Args:
        dataset: as of `read_skeleton`.
        record: as of `read_skeleton`.
        persons: which are taken.
        layout: name of the `body` that they must be of, or `None`.
        shown_as: name of the `body` that they are mapped to, see `map_joints`, or `None`.

    Returns:
        float32 array `(T, bodies, joints, 3)`, or `4` with `persons.scores`.

    Raises:
        UserError: as `read_skeleton`.
        VideoError: as `read_skeleton`, or joints of another layout.
    """
    pose = read_persons(dataset, record)
    if layout is not None:
        count = len(body(layout).joints)
        its = pose.layout or f"{pose.joints.shape[2]} joints"
        if pose.layout not in (None, layout) or pose.joints.shape[2] != count:
            reason = f"it has {its}, and skeleton.layout is {layout} with {count} joints"
            raise VideoError(record.file, "unreadable", f"{reason}; write it as the others or remove it")
    joints = persons(pose)
    return joints if layout is None or shown_as is None else map_joints(joints, layout, shown_as)


def _of_skeletons(dataset: str) -> ModuleType:
    names = [name for name, reader in _READERS.items() if "skeletons" in reader.holds]
    return _module("dataset", dataset, names)


def index_skeletons(
    records: Iterable[Record],
    dataset: str,
    *,
    form: SkeletonForm | None = None,
    layout: str | None = None,
    shown_as: str | None = None,
    persons: Persons | None = None,
    on_error: str = "raise",
    max_skipped: float = MAX_SKIPPED,
    workers: int = 1,
    cluster: Cluster | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[tuple[Record, np.ndarray]], list[VideoError]]:
    """Reads the joints of a set, which stay in memory: all of Northwestern-UCLA are 12 MB.

    Args:
        records: `Record`s.
        dataset: name of the set, see `read_skeleton`.
        form: what the sequences must have; by default the joints and the dimensions of the first good file,
            and as many bodies as any file has.
        layout: name of the `body` that all must be of, or `None`.
        shown_as: name of the `body` that they are mapped to, or `None`.
        persons: which of them are taken; by default all, as they are.
        on_error: as in `index_videos`.
        max_skipped: as in `index_videos`.
        workers: number of threads; more than one helps where disks are slow.
        cluster: as in `index_videos`.
        progress: called as `progress(done, total)` after every record.

    Returns:
        Two lists: pairs of a `Record` and its joints, `(T, bodies, joints, 3)`, in the order of `records`,
        those of absent bodies zeros, and the `VideoError`s of the files that cannot be used. Together they
        are as many as `records`.

    Raises:
        VideoError: with `on_error="raise"`, the first bad file.
        UserError: a set without joints, an argument out of range, or more than `max_skipped` left out.
    """
    first: list[tuple[SkeletonForm, str]] = []  # of the first good file, with its name

    def finish(record: Record, joints: np.ndarray) -> np.ndarray:
        if form is not None:
            return form.fitted(record.file, joints)
        if not first and joints.any():
            first.append((SkeletonForm.of([joints]), f"{printable(record.file)} has"))
        if first:
            known, whose = first[0]
            replace(known, bodies=max(known.bodies, joints.shape[1])).fitted(record.file, joints, whose)
        return joints

    good, bad = index_records(
        records,
        lambda record: read_joints(dataset, record, persons or Persons(), layout, shown_as),
        key=lambda record: record.path,
        finish=finish,
        on_error=on_error,
        max_skipped=max_skipped,
        workers=workers,
        cluster=cluster,
        progress=progress,
    )
    if form is None and good:
        widest = SkeletonForm.of([joints for _, joints in good])
        good = [(record, widest.fitted(record.file, joints)) for record, joints in good]
    return good, bad


def files_of(dataset: str | None) -> Files:
    """What the files of a set are: `"videos"`, `"skeletons"` or `"features"`.

    Args:
        dataset: one of `list_datasets()`; any other, or `None`, is a set of videos. So is `jhmdb`, which has
            joints beside its videos.
    """
    return _READERS[dataset].holds[0] if dataset in _READERS else "videos"


def holds_skeletons(dataset: str | None) -> bool:
    """Whether the files of a set are joints and no videos, see `files_of`."""
    return files_of(dataset) == "skeletons"


def patterns_of_joints(dataset: str) -> tuple[str, ...]:
    """What the names of a set's files of joints are like."""
    return _READERS[dataset].joints


def _module(argument: str, name: str, names: Collection[str]) -> ModuleType:
    if name not in names:
        hint = did_you_mean(name, names, otherwise="")
        end = f"; {hint}" if hint else "."
        raise UserError(f"`{argument}` must be one of {', '.join(names)}{end} Received: {argument}={name!r}")
    return importlib.import_module(f"{__name__}.{name}")
