"""Weight files of Keras, with errors that name the file."""

import os
import warnings
import zipfile

from keras_actrec.errors import UserError


def load_keras(model, path):
    """Load a file that Keras wrote (`.weights.h5`, `.keras`, `.h5`) into `model`; it must fit."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"no such weight file: {path} (weights is 'imagenet', None or a path)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", UserWarning
            )  # "layers will retain their freshly-initialized weights"
            model.load_weights(path)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, UserWarning) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path} does not fit {model.name}: {reason}") from error
