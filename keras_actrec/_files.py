"""Files that are complete or not there."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Yield a path beside `path` to write to; it becomes `path` when the block ends without an error.

    The name begins with a dot, so that folder readers pass it by, and keeps the suffix, by which OpenCV and
    Keras tell formats. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".part-{path.name}")
    yield beside
    os.replace(beside, path)
