"""Recipes and studies that come with the library, by name."""

from collections.abc import Mapping
from pathlib import Path

import keras_actrec
from keras_actrec._suggest import did_you_mean
from keras_actrec.errors import UserError


def shipped(inside: str, checkout: str, pattern: str) -> list[Path]:
    """List files that come along: in the package's folder `inside`, or in a checkout's folder `checkout`."""
    package = Path(keras_actrec.__file__).parent
    folders = [folder for folder in (package / inside, package.parent / checkout) if folder.is_dir()]
    return sorted(folders[0].glob(pattern)) if folders else []


def find(what: str, name: str | Path, short: str, known: Mapping[str, Path]) -> Path:
    """Find the file `name`, or that of `known`, name to file, under `short`.

    Raises:
        UserError: where neither exists, with the three nearest names.
    """
    if Path(name).is_file():
        return Path(name)
    if short in known:
        return known[short]
    hint = did_you_mean(short, sorted(known), count=3, otherwise="keras-actrec models lists all")
    raise UserError(f"there is no {what} {str(name)!r}: {hint}")
