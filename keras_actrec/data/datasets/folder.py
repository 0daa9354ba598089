"""A folder of videos: one folder a class."""

from dataclasses import replace
from pathlib import Path

from keras_actrec.data.manifest import Manifest, read_manifest


def folder(root: str | Path, *, manifest: str | None = None) -> Manifest:
    """Videos of one's own in class folders, or as a CSV file in the folder lists them, see `read_manifest`.

    Args:
        root: the folder.
        manifest: name of the CSV file inside it.

    Returns:
        A `Manifest`.

    Raises:
        UserError: as `read_manifest`.
    """
    return replace(read_manifest(root, manifest=manifest), dataset="folder")
