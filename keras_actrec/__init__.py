"""Action recognition for Keras 3: attentive recurrent and gated-shift networks for video and skeletons.

Importing this package chooses a backend that is installed, loads Keras and registers our layers, so that
`keras.saving.load_model` opens our files. The other parts are loaded when they are first used.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Cluster",
    "Prediction",
    "Recognizer",
    "Stream",
    "UserError",
    "backbones",
    "checkpoints",
    "data",
    "deploy",
    "evaluation",
    "from_torch",
    "insight",
    "layers",
    "list_trained",
    "load",
    "reproduction",
    "training",
    "tuning",
    "zoo",
]

# The names that are no packages, and the module that holds each.
_HOMES = {
    "Cluster": "cluster",
    "Prediction": "prediction",
    "Recognizer": "recognizer",
    "Stream": "deploy",
    "UserError": "errors",
    "from_torch": "recognizer",
    "list_trained": "trained",
    "load": "recognizer",
}

if TYPE_CHECKING:  # for editors and type checkers, which do not see what `__getattr__` gives
    from keras_actrec import (
        backbones,
        checkpoints,
        data,
        deploy,
        evaluation,
        insight,
        layers,
        reproduction,
        training,
        tuning,
        zoo,
    )
    from keras_actrec.cluster import Cluster
    from keras_actrec.deploy import Stream
    from keras_actrec.errors import UserError
    from keras_actrec.prediction import Prediction
    from keras_actrec.recognizer import Recognizer, from_torch, load
    from keras_actrec.trained import list_trained
else:

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        if name in __all__:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _load_keras() -> None:
    """Chooses the backend, loads Keras and registers our layers and models for saving."""
    from keras_actrec import _backend, layers, zoo  # noqa: F401  (`_backend` first: it chooses the backend)


def _is_the_program() -> bool:
    """Whether this process is our own program, which loads Keras when it needs it.

    It has begun with the module `keras_actrec_program`, or as `python -m keras_actrec`: while Python looks
    for the module after `-m`, `sys.argv` is `-m` and what follows that module. Names of scripts do not count.
    """
    module = sys.orig_argv[-len(sys.argv)] if sys.argv[:1] == ["-m"] else ""
    return "keras_actrec_program" in sys.modules or module.removeprefix("-m") == __name__


# The program answers `--help` and wrong usage at once, names a missing backend in one line, and its command
# `doctor` runs without any backend.
if not _is_the_program():
    _load_keras()
