"""Files that are complete or not there."""

import json
import os
import uuid
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Yield a path beside `path` to write to; it becomes `path` when the block ends without an error.

    The name is a new one every time, so that two processes can write the same file: the last one's stays. It
    begins with `.part-`, so that folder readers pass by what a killed process leaves, and keeps the suffix,
    by which OpenCV and Keras tell formats. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".part-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path, values):
    """Write plain values as JSON, complete or not at all."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
