"""Joints from any pose estimator, listed in a CSV file or sorted into class folders."""

from pathlib import Path

import numpy as np

from keras_actrec.data.datasets._common import own
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.data.poses import POSE_SUFFIXES, read_pose


def poses(root: str | Path, *, manifest: str | None = None) -> Manifest:
    """Sequences of joints from any pose estimator, one `.npz` or `.json` file each.

    The files are listed or sorted into folders as videos are, see `read_manifest`; what is in them, see
    `Pose`; to write them, see `write_pose`.

    Args:
        root: a CSV file or a folder.
        manifest: name of the CSV file inside the folder `root`.

    Returns:
        A `Manifest`.

    Raises:
        UserError: as `read_manifest`, or a listed file with another suffix.
    """
    return own("poses", root, manifest, POSE_SUFFIXES, "joints")


def read_skeleton(record: Record) -> np.ndarray:
    """Joints `(T, bodies, joints, 3)` as the file has them; of joints in two dimensions the third is 0."""
    joints = read_pose(record.file).joints
    return np.pad(joints, [(0, 0)] * 3 + [(0, 3 - joints.shape[3])])
