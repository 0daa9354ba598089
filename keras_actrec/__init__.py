"""Action recognition for Keras 3: attentive recurrent and gated-shift networks for video and skeletons.

Importing this package chooses a backend that is installed, loads Keras and registers our layers, so that
`keras.saving.load_model` opens our files. The other parts are loaded when they are first used.
"""

import importlib
import sys
from pathlib import Path

__version__ = "0.1.0"

_LAZY = ("backbones", "checkpoints", "data", "evaluation", "insight", "layers", "training", "tuning", "zoo")

# The names of the package itself, and the module that holds each.
_NAMES = {"Recognizer": "recognizer", "UserError": "errors", "from_torch": "recognizer", "load": "recognizer"}

__all__ = [*_LAZY, *_NAMES]


def _load_keras():
    """Chooses the backend, loads Keras and registers our layers and models for saving."""
    from keras_actrec import _backend, layers, zoo  # noqa: F401  (`_backend` first: it chooses the backend)


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})


# The program `keras-actrec` calls `_load_keras` inside its commands instead: `--help` stays quick, a missing
# backend is one line, and `doctor` runs without any.
if Path((sys.argv or [""])[0]).stem != "keras-actrec":
    _load_keras()
