"""Weight files, of Keras, of torch and from their authors, with errors that name the file."""

import contextlib
import os
import warnings
import zipfile
from collections.abc import Iterator

import keras

from keras_actrec._files import file_sha256
from keras_actrec._types import PathLike
from keras_actrec.checkpoints import load_torch
from keras_actrec.checkpoints.keras_file import read_weights
from keras_actrec.errors import UserError

# Torch files with ImageNet weights. A file's name ends in the first digits of its SHA-256.
IMAGENET = {
    "bn_inception": "https://yjxiong.blob.core.windows.net/models/bn_inception-9f5701afb96c8044.pth",
    "googlenet": "https://download.pytorch.org/models/googlenet-1378be20.pth",
    "inception_v3": "https://yjxiong.blob.core.windows.net/models/inceptionv3-cuhk-0e09b300b493bc74c.pth",
    "resnet50_v1_5": "https://download.pytorch.org/models/resnet50-19c8e357.pth",
}


def load_weights(model: keras.Model, weights: PathLike | None, name: str) -> keras.Model:
    """Load `weights` into the network `name` of `IMAGENET`: `"imagenet"`, a path, or None."""
    if weights is None:
        return model
    path = imagenet_file(name) if weights == "imagenet" else os.fspath(weights)
    if path.endswith((".h5", ".keras")):
        load_keras(model, path)
    else:
        load_torch(model, path, complete=True)
    return model


def imagenet_file(name: str) -> str:
    """The torch file of a network's ImageNet weights, downloaded once and kept by Keras."""
    file = IMAGENET[name].rsplit("/", 1)[-1]
    with downloading(name):
        path = keras.utils.get_file(file, IMAGENET[name], cache_subdir="models")
    found = file_sha256(path)
    expected = os.path.splitext(file)[0].rpartition("-")[2]
    if not found.startswith(expected):
        os.remove(path)
        raise UserError(
            f"{IMAGENET[name]} gave another file: its SHA-256 starts with {found[: len(expected)]}, not "
            f"{expected} (pass weights=None or a path)"
        )
    return path


@contextlib.contextmanager
def downloading(name: str) -> Iterator[None]:
    """Turns Keras's error for a failed download of ImageNet weights into one line."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception:  # Keras raises the bare class for a failed download only
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"{name}'s ImageNet weights could not be downloaded (pass weights=None or a path): {reason}"
        ) from error


def load_keras(model: keras.Model, path: PathLike) -> None:
    """Load a file that Keras wrote (`.weights.h5`, `.keras`, `.h5`) into `model`; it must fit."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"no such weight file: {path} (weights is 'imagenet', None or a path)")
    try:
        read_weights(path)  # HDF5 reads some damaged files without end
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", UserWarning
            )  # "layers will retain their freshly-initialized weights"
            model.load_weights(path)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, UserWarning) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path} does not fit {model.name}: {reason}") from error
