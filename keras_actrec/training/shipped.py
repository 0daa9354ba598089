"""Recipes and studies that come with the library, by name."""

import difflib
from pathlib import Path

import keras_actrec
from keras_actrec.errors import UserError


def shipped(inside, beside, pattern):
    """Files that come along: in a wheel in the package's folder `inside`, in a checkout `beside` it."""
    package = Path(keras_actrec.__file__).parent
    folders = [folder for folder in (package / inside, package.parent / beside) if folder.is_dir()]
    return sorted(folders[0].glob(pattern)) if folders else []


def find(what, name, short, known):
    """The file `name`, or that of `known`, name to file, under `short`.

    Raises:
        UserError: where there is none, with the nearest name there is.
    """
    if Path(name).is_file():
        return Path(name)
    if short in known:
        return known[short]
    near = difflib.get_close_matches(short, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
    raise UserError(f"there is no {what} {str(name)!r}: {hint}")
