"""Chooses the Keras backend; imports neither Keras nor any backend."""

import importlib.util
import json
import os
import sys
from pathlib import Path

from keras_actrec.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")  # Keras's own default first


def installed_backends() -> list[str]:
    """Names the backends that are installed, in the order in which we would choose them."""
    return [name for name in BACKENDS if _is_installed(name)]


def ensure_backend() -> None:
    """Makes sure that Keras, imported next, finds a backend that is installed.

    Nothing happens where Keras is already imported. Else the choice is, in this order: the variable
    `KERAS_BACKEND`; `keras.json` in `KERAS_HOME` or `~/.keras`, if the backend it names is installed; the
    first installed one of TensorFlow, JAX and PyTorch, which is then written to `KERAS_BACKEND`.

    Raises:
        UserError: `KERAS_BACKEND` names a backend that is unknown or not installed, or none is installed.
    """
    if "keras" in sys.modules:
        return
    requested = os.environ.get("KERAS_BACKEND")
    if requested:
        if requested not in BACKENDS:
            raise UserError(f"KERAS_BACKEND={requested} is not supported: set it to jax, torch or tensorflow")
        if not _is_installed(requested):
            raise UserError(
                f"KERAS_BACKEND={requested} but {requested} is not installed: "
                f"pip install 'keras_actrec[{requested}]'"
            )
        return
    installed = installed_backends()
    if not installed:
        raise UserError("No backend is installed: pip install 'keras_actrec[jax]' (or [torch], [tensorflow])")
    if _configured_backend() not in installed:
        os.environ["KERAS_BACKEND"] = installed[0]


def _is_installed(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None  # a bare folder of that name has no origin


def _configured_backend() -> str | None:
    """Reads the backend named in keras.json; None without such a file, or where it says nothing."""
    home = os.environ.get("KERAS_HOME", "~/.keras")
    path = Path(home, "keras.json").expanduser()
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("backend")
    except ValueError:  # Keras ignores an unreadable keras.json, so do we
        return None
