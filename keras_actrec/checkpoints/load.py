"""Weights from a file of any kind that we know, into a model of the zoo."""

import os

import keras

from keras_actrec._types import PathLike
from keras_actrec.checkpoints.keras_file import load_keras
from keras_actrec.checkpoints.official import load_torch
from keras_actrec.checkpoints.report import LoadReport
from keras_actrec.errors import UserError

_KERAS = (".weights.h5", ".keras")
_TORCH = (".pth", ".pt", ".tar")


def load_weights(
    model: keras.Model, path: PathLike, *, partial: bool = False, head: bool = True
) -> LoadReport:
    """Load a `.weights.h5` or `.keras` file (`load_keras`) or an official torch checkpoint (`load_torch`).

    What fits by the names of layers and weights is loaded. Layers that only one of the two has, and the
    classifier of another number of classes, are left as they were.

    Args:
        model: of the zoo.
        path: the file.
        partial: whether weights of another shape are left too; else they are an error.
        head: whether the classifier is loaded.

    Returns:
        What was loaded, and what was left.

    Raises:
        UserError: for a file that does not exist, is of no known kind, or does not fit the model.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"`weights`: file {path} does not exist")
    check_kind(path)
    load = load_keras if path.endswith(_KERAS) else load_torch
    return load(model, path, partial=partial, head=head)


def check_kind(path: PathLike) -> None:
    """Refuse a file whose name is of no kind that `load_weights` takes.

    Raises:
        UserError: for such a name.
    """
    if not os.fspath(path).endswith((*_KERAS, *_TORCH)):
        raise UserError(
            f"`weights` must be a .weights.h5, .keras, .pth, .pt or .pth.tar file. Received: weights={path}"
        )
