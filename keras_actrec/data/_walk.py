"""The files below a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from keras_actrec._types import PathLike


def walk(root: PathLike) -> Iterator[tuple[Path, list[str]]]:
    """Yields (folder, names of its files) below `root`, sorted, hidden ones and loops of links left out."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), sorted(name for name in names if not name.startswith("."))
