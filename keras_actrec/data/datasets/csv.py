"""A CSV file that lists videos."""

from dataclasses import replace
from pathlib import Path

from keras_actrec.data.manifest import Manifest, read_manifest
from keras_actrec.errors import UserError


def csv(root: str | Path) -> Manifest:
    """Videos of one's own as a CSV file lists them, see `read_manifest`.

    Args:
        root: the CSV file.

    Returns:
        A `Manifest`.

    Raises:
        UserError: as `read_manifest`, or `root` is a folder.
    """
    if Path(root).is_dir():
        raise UserError(f"{root}: this is a folder; give the CSV file, or read it as `folder`")
    return replace(read_manifest(root), dataset="csv")
