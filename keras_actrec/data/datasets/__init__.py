"""Readers of datasets in their official layouts, one a file."""

import importlib
import inspect
from pathlib import Path

from keras_actrec._suggest import did_you_mean
from keras_actrec.data.decode import index_records
from keras_actrec.data.manifest import read_manifest
from keras_actrec.errors import UserError

# A reader is a file with a function of its name (and `read_skeleton`, if it has joints) and a line here.
_READERS = (
    "basic_motions",
    "csv",
    "diving48",
    "folder",
    "hmdb51",
    "jhmdb",
    "kinetics",
    "msr_action3d",
    "northwestern_ucla",
    "ntu_rgbd",
    "olympic_sports",
    "poses",
    "something_something_v1",
    "something_something_v2",
    "sysu_3d_hoi",
    "ucf101",
    "ucf_sports",
    "utkinect",
)


def list_datasets():
    """Names for `read_dataset`, sorted.

    Returns:
        A tuple of names.
    """
    return _READERS


def read_dataset(name, root, **options):
    """Reads a set in its official layout: which records there are, their labels, splits and groups.

    The docstring of the reader, `keras_actrec.data.datasets.<name>.<name>`, says which files it looks for,
    which splits there are and how many records they should have.

    Args:
        name: one of `list_datasets()`.
        root: folder of the set.
        **options: options of the reader, such as `split`.

    Returns:
        A `Manifest`: compare its `found` with its `official`.

    Raises:
        UserError: an unknown name or option, or what the reader raises.
    """
    reader = getattr(_module("name", name, _READERS), name)
    known = [option for option in inspect.signature(reader).parameters if option != "root"]
    for option, value in options.items():
        if option not in known:
            there = f"its options are {', '.join(known)}" if known else "it has none"
            raise UserError(f"{name} has no option `{option}`; {there}. Received: {option}={value!r}")
    return reader(root, **options)


def read_set(data, *, dataset=None, split=None, manifest=None, options=None):
    """Reads a set as `[data]` of a recipe names it: by its reader, or as a CSV file or folder of one's own.

    Args:
        data: folder of the set, or path of a CSV file.
        dataset: one of `list_datasets()`, or `None` for `read_manifest`.
        split: the reader's option of that name, `None` for its default.
        manifest: name of the CSV file in a folder of one's own.
        options: dict of the reader's other options, such as `{"version": "v1"}` of `diving48`.

    Returns:
        A `Manifest`.

    Raises:
        UserError: what the readers raise, `split` or `options` without a `dataset`, or a split given twice.
    """
    options = dict(options or {})
    if split is not None:
        if "split" in options:
            raise UserError(f"`options` must not repeat `split`. Received: options={options!r}")
        options["split"] = split
    if dataset is not None:
        return read_dataset(dataset, data, **options)
    if options:
        name, value = next(reversed(options.items()))
        raise UserError(f"`{name}` goes with a `dataset`. Received: {name}={value!r}")
    return read_manifest(data, manifest=manifest if Path(data).is_dir() else None)


def read_skeleton(dataset, record):
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
    names = [name for name in _READERS if hasattr(_module("dataset", name, _READERS), "read_skeleton")]
    return _module("dataset", dataset, names).read_skeleton(record)


def index_skeletons(records, dataset, *, on_error="raise", max_skipped=0.1, workers=1, progress=None):
    """Reads the joints of a set, which stay in memory: all of Northwestern-UCLA are 12 MB.

    Args:
        records: `Record`s.
        dataset: name of the set, see `read_skeleton`.
        on_error: as in `index_videos`.
        max_skipped: as in `index_videos`.
        workers: number of threads; more than one helps where disks are slow.
        progress: called as `progress(done, total)` after every record.

    Returns:
        Two lists: pairs of a `Record` and its joints, `(T, bodies, joints, 3)`, in the order of `records`,
        and the `VideoError`s of the files that cannot be used. Together they are as many as `records`.

    Raises:
        VideoError: with `on_error="raise"`, the first bad file.
        UserError: a set without joints, an argument out of range, or more than `max_skipped` left out.
    """
    return index_records(
        records,
        lambda record: read_skeleton(dataset, record),
        key=lambda record: record.path,
        finish=lambda record, joints: joints,
        on_error=on_error,
        max_skipped=max_skipped,
        workers=workers,
        progress=progress,
    )


def holds_skeletons(dataset):
    """Whether the files of a set are joints and no videos; `jhmdb` has both, as videos with joints beside."""
    return (
        dataset != "jhmdb"
        and dataset in _READERS
        and hasattr(_module("", dataset, _READERS), "read_skeleton")
    )


def _module(argument, name, names):
    if name not in names:
        hint = did_you_mean(name, names, otherwise="")
        end = f"; {hint}" if hint else "."
        raise UserError(f"`{argument}` must be one of {', '.join(names)}{end} Received: {argument}={name!r}")
    return importlib.import_module(f"{__name__}.{name}")
