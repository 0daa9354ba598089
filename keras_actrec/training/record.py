"""What a run says of itself: `run.json`, with all that its numbers depend on."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_actrec
from keras_actrec import _backend
from keras_actrec.training.fit import Fitted
from keras_actrec.training.prepare import Prepared


def record_of(
    prepared: Prepared, *, name: str, overrides: Sequence[str], start: dict[str, Any] | None
) -> dict[str, Any]:
    """The record of a run that begins, or goes on, as plain values: recipe, data, versions, machine, commit.

    Args:
        prepared: what is trained.
        name: of the recipe.
        overrides: what was changed in it.
        start: the record of the trained model that it started from.
    """
    manifest = prepared.manifest
    return {
        "recipe_name": name,
        "overrides": list(overrides),
        "recipe": prepared.recipe.model_dump(exclude_none=True),
        "start": start,
        "data": {
            "sha256": manifest.sha256,
            "found": len(manifest.records),
            "official": sum(manifest.official.values()) or None,
            "parts": {part: len(records) for part, records in prepared.parts.items()},
            "skipped": [str(error) for error in prepared.skipped],
            "clip": dict(zip(("frames", "fps"), prepared.clip, strict=True)),
        },
        "versions": _versions(),
        "backend": _backend.name,
        "machine": _machine(),
        "commit": _commit(),
    }


def ending_of(fitted: Fitted, *, seconds: float) -> dict[str, Any]:
    """What the record of a run that has ended says too: what came of it.

    Args:
        fitted: what training has told.
        seconds: how long the run took, without pauses between calls.
    """
    return {
        "seconds": round(seconds, 1),
        "last_epoch": fitted.last_epoch,
        "kept_epoch": fitted.kept_epoch,
        "val_accuracy": fitted.val_accuracy,
    }


def _versions() -> dict[str, str]:
    # Of the modules, not of the distributions: TensorFlow and OpenCV are installed under several names.
    names = ("keras_actrec", "keras", "numpy", "cv2", _backend.name)
    return {name: sys.modules[name].__version__ for name in names}


def _machine() -> str:
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {', '.join(_backend.devices())}"
    )


def _commit() -> str | None:
    """The checkout's commit, with `+` where files differ from it; None for an installed package."""
    folder = Path(keras_actrec.__file__).parent

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)

    try:
        tracked = git("ls-files", "--error-unmatch", "__init__.py")
    except FileNotFoundError:  # no git on this machine
        return None
    head = git("rev-parse", "--short", "HEAD")
    if tracked.returncode or head.returncode:  # installed, maybe in somebody's own checkout; or no commit
        return None
    return head.stdout.strip() + ("+" if git("status", "--porcelain", "--", "*.py").stdout.strip() else "")
