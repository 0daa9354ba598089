"""BasicMotions: a smart watch's accelerometer and gyroscope during four actions."""

from pathlib import Path

import numpy as np

from keras_actrec._archive import read_arrays
from keras_actrec.data._video_error import VideoError
from keras_actrec.data.datasets._common import checked_joints, finish, holds_several, look_for, readable
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_NAMES = ("X_train", "y_train", "X_test", "y_test", "class_names")


def basic_motions(root: str | Path) -> Manifest:
    """BasicMotions: 80 sequences of 100 steps at 10 Hz, 4 actions, 40 for training and 40 for testing.

    Looks for `basic_motions.npz` in `root`, with the arrays `X_train` and `X_test` `(N, 100, 6)`, `y_train`
    and `y_test` `(N,)`, 0-based, and `class_names`. The sequences are taken as laid end to end, the training
    part first: `Record.start` and `stop` are steps of that. Who wore the watch is not told, so there are no
    groups.

    Args:
        root: folder with the file.

    Returns:
        A `Manifest`.

    Raises:
        UserError: no such file, or one that holds something else.
    """
    file = look_for(root, "BasicMotions", "basic_motions.npz")
    try:
        arrays = _arrays(file)
    except VideoError as error:
        raise UserError(str(error)) from error
    records, start = [], 0
    for split in ("train", "test"):
        for number, label in enumerate(arrays[f"y_{split}"].tolist()):
            stop = start + arrays[f"X_{split}"].shape[1]
            path = f"{file.name}#{split}-{number}"
            records.append(Record(file, path, label, split, start=start, stop=stop))
            start = stop
    names = tuple(arrays["class_names"].tolist())
    return finish("basic_motions", root, names, records, {"train": 40, "test": 40})


def read_skeleton(record: Record) -> np.ndarray:
    """The sequence as two "joints" `(T, 1, 2, 3)`: the accelerometer's axes and the gyroscope's."""
    arrays = _arrays(record.file)
    count = sum(len(arrays[name]) for name in ("X_train", "X_test"))
    if record.start is None and record.stop is None and count > 1:
        raise holds_several(record.file, f"{count} sequences", record.file.parent)
    steps = np.concatenate([arrays[name].reshape(-1, 2, 3) for name in ("X_train", "X_test")])
    return checked_joints(record.file, steps[record.start : record.stop, None], (1, 2, 3))


def _arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        content = read_arrays(readable(file), _NAMES)
        arrays = {name: content[name] for name in _NAMES}
    except (OSError, ValueError, KeyError) as error:
        reason = f"not the arrays {', '.join(_NAMES)} ({type(error).__name__}); get it again"
        raise VideoError(file, "unreadable", reason) from error
    for split in ("train", "test"):
        steps, labels = arrays[f"X_{split}"], arrays[f"y_{split}"]
        fits = steps.ndim == 3 and steps.shape[2] == 6 and labels.shape == steps.shape[:1]
        if not fits or not set(labels.tolist()) <= set(range(len(arrays["class_names"]))):
            reason = f"X_{split} must be (N, T, 6) and y_{split} class ids (N,); get it again"
            raise VideoError(file, "unreadable", reason)
    return arrays
