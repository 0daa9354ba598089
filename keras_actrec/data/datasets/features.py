"""Features that anybody's network has computed, listed in a CSV file or sorted into class folders."""

from pathlib import Path

from keras_actrec.data.datasets._common import own
from keras_actrec.data.features import FEATURE_SUFFIXES
from keras_actrec.data.manifest import Manifest


def features(root: str | Path, *, manifest: str | None = None) -> Manifest:
    """Features of one's own, one `.npy` or `.npz` file a clip, or a part of one, in steps.

    The files are listed or sorted into folders as videos are, see `read_manifest`; what is in them, see
    `FeatureFile`.

    Args:
        root: a CSV file or a folder.
        manifest: name of the CSV file inside the folder `root`.

    Returns:
        A `Manifest`.

    Raises:
        UserError: as `read_manifest`, or a listed file with another suffix.
    """
    return own("features", root, manifest, FEATURE_SUFFIXES, "features")
