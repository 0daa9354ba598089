"""What is installed, what of it works, and how to install the rest; it runs without any backend."""

import contextlib
import importlib.metadata
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import keras_actrec
from keras_actrec._backend_choice import BACKENDS
from keras_actrec.errors import UserError

CODECS = {"mp4v": ".mp4", "avc1": ".mp4", "XVID": ".avi", "VP80": ".webm"}  # codec to suffix of a file
_OPENCV_FIX = "apt-get install libgl1 libglib2.0-0, or pip install opencv-python-headless"


def examine() -> dict[str, Any]:
    """Look at this installation.

    Keras is loaded on the way, and OpenCV writes and reads some frames; what does not work is a finding.

    Returns:
        A dict: `python`, `keras_actrec`, `keras` (versions); `backend` (the active one or None), `backends`
        (name to version or None); `devices`, `gpu`; `opencv` (version or None), `codecs` (name to `written`
        and `read`); `extras` (name to `missing` packages and the `install` command); `problems`, one line
        each, empty if all is usable.
    """
    findings: dict[str, Any] = {
        "python": platform.python_version(),
        "keras_actrec": keras_actrec.__version__,
        "keras": _version("keras"),
        "backend": None,
        "backends": {name: _version(name) for name in BACKENDS},
        "devices": [],
        "gpu": False,
        "opencv": None,
        "codecs": {},
        "extras": _extras(),
        "problems": [],
    }
    try:
        from keras_actrec import _backend
    except (UserError, ImportError) as error:
        findings["problems"].append(str(error))
    else:
        findings["backend"] = _backend.name
        findings["devices"] = _backend.devices()
        findings["gpu"] = any(not device.lower().startswith("cpu") for device in findings["devices"])
    try:
        import cv2
    except ImportError as error:
        findings["problems"].append(f"OpenCV cannot be imported ({error}): {_OPENCV_FIX}")
    else:
        findings["opencv"] = cv2.__version__
        findings["codecs"] = {codec: _try_codec(codec, suffix) for codec, suffix in CODECS.items()}
        if not any(codec["read"] for codec in findings["codecs"].values()):
            findings["problems"].append("OpenCV reads no video: pip install --force-reinstall opencv-python")
    return findings


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extras() -> dict[str, dict[str, Any]]:
    """Map each extra of this package to what is missing of it and to the command that installs it."""
    distribution = importlib.metadata.distribution("keras_actrec")
    extras: dict[str, dict[str, Any]] = {
        name: {"missing": [], "install": f"pip install 'keras_actrec[{name}]'"}
        for name in distribution.metadata.get_all("Provides-Extra", [])
    }
    for requirement in distribution.requires or ():  # such as: keras-tuner[bayesian]>=1.4; extra == "tune"
        match = re.match(r"""([\w.-]+).*;.*extra == ["']([\w-]+)["']""", requirement)
        if match and _version(match[1]) is None:
            extras[match[2]]["missing"].append(match[1])
    return extras


def _try_codec(codec: str, suffix: str) -> dict[str, bool]:
    """Write five small frames with a codec and read them back."""
    import cv2
    import numpy as np

    with tempfile.TemporaryDirectory() as folder, _silent():
        path = os.path.join(folder, "clip" + suffix)
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*codec), 10, (64, 48))
        written = writer.isOpened()
        for i in range(5):
            writer.write(np.full((48, 64, 3), 50 * i, "uint8"))
        writer.release()
        reader = cv2.VideoCapture(path)
        frames = 0
        while reader.grab():
            frames += 1
        reader.release()
    return {"written": written, "read": frames == 5}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hold back stderr: the codecs below OpenCV write there past every log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
