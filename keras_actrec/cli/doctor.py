"""`keras-actrec doctor`: what is installed, what works, and what to do about the rest."""

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

import keras_actrec
from keras_actrec._files import replacing
from keras_actrec.errors import UserError

BACKENDS = ("jax", "torch", "tensorflow")
CODECS = {"mp4v": ".mp4", "avc1": ".mp4", "XVID": ".avi", "VP80": ".webm"}
OPENCV_FIX = "apt-get install libgl1 libglib2.0-0, or pip install opencv-python-headless"


def doctor(
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the findings here as well.")] = None,
):
    """Show what is installed, what works, and how to install the rest."""
    findings = examine()
    Console().print(_table(findings))
    if json_path is not None:
        with replacing(json_path) as beside:
            beside.write_text(json.dumps(findings, indent=2) + "\n", encoding="utf-8")
    for problem in findings["problems"]:
        print(f"error: {problem}", file=sys.stderr)
    if findings["problems"]:
        raise typer.Exit(1)


def examine():
    """Looks at this installation.

    Returns:
        A dict: `python`, `keras_actrec`, `keras` (versions); `backend` (the active one or None), `backends`
        (name to version or None); `devices`, `gpu`; `opencv` (version or None), `codecs` (name to `written`
        and `read`); `extras` (name to `missing` packages and the `install` command); `problems`, one line
        each, empty if all is usable.
    """
    findings = {
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
        findings["problems"].append(f"OpenCV cannot be imported ({error}): {OPENCV_FIX}")
    else:
        findings["opencv"] = cv2.__version__
        findings["codecs"] = {codec: _try_codec(codec, suffix) for codec, suffix in CODECS.items()}
        if not any(codec["read"] for codec in findings["codecs"].values()):
            findings["problems"].append("OpenCV reads no video: pip install --force-reinstall opencv-python")
    return findings


def _version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extras():
    """Maps each extra of this package to what is missing of it and to the command that installs it."""
    distribution = importlib.metadata.distribution("keras_actrec")
    extras = {
        name: {"missing": [], "install": f"pip install 'keras_actrec[{name}]'"}
        for name in distribution.metadata.get_all("Provides-Extra")
    }
    for requirement in distribution.requires:  # such as: keras-tuner[bayesian]>=1.4; extra == "tune"
        match = re.match(r"""([\w.-]+).*;.*extra == ["']([\w-]+)["']""", requirement)
        if match and _version(match[1]) is None:
            extras[match[2]]["missing"].append(match[1])
    return extras


def _try_codec(codec, suffix):
    """Writes five small frames with a codec and reads them back."""
    import cv2
    import numpy as np

    with tempfile.TemporaryDirectory() as folder, _silent():
        path = os.path.join(folder, "clip" + suffix)
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*codec), 10, (64, 48))
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
def _silent():
    """Holds back stderr: the codecs below OpenCV write there past every log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _table(findings):
    """Lays the findings out for a person."""
    table = Table("what", "found", Column("to install", no_wrap=True), box=box.SIMPLE)

    def row(what, found, install=""):
        table.add_row(*(Text(cell) for cell in (what, found, install)))  # Text: "[jax]" is no markup

    for name in ("python", "keras_actrec", "keras"):
        row(name, findings[name])
    for name, version in findings["backends"].items():
        active = " (active)" if name == findings["backend"] else ""
        row(f"backend {name}", f"{version or 'no'}{active}")
    devices = ", ".join(findings["devices"]) or "none"
    row("devices", devices if findings["gpu"] else f"{devices} (no GPU)")
    row("opencv", findings["opencv"] or "no")
    for name, codec in findings["codecs"].items():
        answer = (
            "written and read"
            if codec["read"]
            else "written, not read"
            if codec["written"]
            else "not written"
        )
        row(f"video {name} ({CODECS[name]})", answer)
    for name, extra in findings["extras"].items():
        row(
            f"extra {name}", "no" if extra["missing"] else "yes", extra["install"] if extra["missing"] else ""
        )
    return table
