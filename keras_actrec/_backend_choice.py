"""Chooses the Keras backend; imports neither Keras nor any backend."""

import gc
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_actrec.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")  # Keras's own default first
# What Keras and backends import where it is installed, and our commands do not need of them.
_NOT_NEEDED = {"matplotlib", "pandas", "scipy", "sklearn"}
_NEEDED_BY = {"jax": {"scipy"}, "torch": set[str](), "tensorflow": set[str]()}


def installed_backends() -> list[str]:
    """Name the backends that are installed, in the order in which we would choose them."""
    return [name for name in BACKENDS if _is_installed(name)]


def choose_backend() -> str:
    """Name the backend that Keras runs on, or will run on when it is imported after `ensure_backend`.

    The choice is, in this order: that of Keras where it is imported; the variable `KERAS_BACKEND`;
    `keras.json` in `KERAS_HOME` or `~/.keras`, if the backend it names is installed; the first installed one
    of TensorFlow, JAX and PyTorch.

    Raises:
        UserError: `KERAS_BACKEND` names a backend that is unknown or not installed, or none is installed.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].backend.backend()
    requested = os.environ.get("KERAS_BACKEND")
    if requested:
        if requested not in BACKENDS:
            raise UserError(f"KERAS_BACKEND={requested} is not supported: set it to jax, torch or tensorflow")
        if not _is_installed(requested):
            raise UserError(
                f"KERAS_BACKEND={requested} but {requested} is not installed: "
                f"pip install 'keras_actrec[{requested}]'"
            )
        return requested
    installed = installed_backends()
    if not installed:
        raise UserError("No backend is installed: pip install 'keras_actrec[jax]' (or [torch], [tensorflow])")
    configured = _configured()
    return configured if configured in installed else installed[0]


def ensure_backend() -> None:
    """Make sure that Keras, imported next, finds a backend that is installed.

    Nothing happens where Keras is already imported. Else the choice of `choose_backend` is written to the
    variable `KERAS_BACKEND` where Keras would not make it by itself.

    Raises:
        UserError: as `choose_backend`.
    """
    if "keras" in sys.modules:
        return
    backend = choose_backend()
    if not os.environ.get("KERAS_BACKEND") and backend != _configured():
        os.environ["KERAS_BACKEND"] = backend


@contextmanager
def lean_keras() -> Iterator[None]:
    """While this lasts, Keras is imported without what a command does not need of it: two thirds of the time.

    Keras imports packages for its plots, wrappers and checkpoints of other kinds where they are installed,
    and does without where they are not, as it is told here. They can be imported as ever afterwards; what
    Keras has for them (`keras.wrappers`, `keras.visualization`) asks to install them.

    Raises:
        UserError: as `choose_backend`.
    """
    if "keras" in sys.modules:
        yield
        return
    ensure_backend()
    backend = choose_backend()
    hidden = (_NOT_NEEDED | set(BACKENDS)) - {backend, *_NEEDED_BY[backend], *sys.modules}
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: an import of it fails
    gc.disable()  # all that is made now stays: to look through it for garbage took a tenth of the time
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        for name in hidden:
            del sys.modules[name]


def _is_installed(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None  # a bare folder of that name has no origin


def _configured() -> str | None:
    """Read the backend named in keras.json; None where there is no such file or it says nothing."""
    home = os.environ.get("KERAS_HOME", "~/.keras")
    path = Path(home, "keras.json").expanduser()
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("backend")
    except ValueError:  # Keras ignores an unreadable keras.json, so do we
        return None
