"""Weights that Keras wrote into models of the zoo, layer by layer by name; no code of the file runs."""

import io
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

import h5py
import keras
import numpy as np

from keras_actrec._types import PathLike
from keras_actrec.checkpoints.report import Loading, LoadReport
from keras_actrec.errors import UserError

_WEIGHTS = "model.weights.h5"  # of a .keras file
# The layer of the model, and the layer in it, maybe itself, that has the weights.
_Owner: TypeAlias = tuple[str, str]


def load_keras(model: keras.Model, path: PathLike, *, partial: bool = False, head: bool = True) -> LoadReport:
    """Load a `.keras` or `.weights.h5` file into the layers of the same name.

    Layers inside of others, such as those of a backbone or the cell of a recurrent layer, are found by their
    names too. The classifier is left as it was if the file's has another number of classes.

    Args:
        model: of the builder that the file's model is of.
        path: the file.
        partial: whether weights of another shape are left; else they are an error.
        head: whether the classifier is loaded.

    Returns:
        A `LoadReport`.

    Raises:
        UserError: for a file that cannot be read, is of a model of another name, of which nothing fits, or
            has a weight of another shape; then nothing is changed.
    """
    path = os.fspath(path)
    name, theirs = _read(path)
    if name != model.name:
        raise UserError(
            f"{path} is of {name}, whose weights mean something else than those of {model.name}: "
            f"build {name}, or choose a file of {model.name}"
        )
    loading, ours = Loading(path, model, partial=partial, head=head), _owners(model)
    places = _places(theirs, ours)
    for owner, values in theirs.items():
        variables, name = ours.get(places[owner], []), "/".join(dict.fromkeys(owner))
        if len(variables) == len(values):
            for value, (weight, variable) in zip(values, variables, strict=True):
                loading.offer(weight, value, weight, variable)
            continue
        words = f"{len(values)} weights there, {len(variables)} here"
        for index in range(len(values)):
            if variables:
                loading.misfit(f"{name}/{index}", name, words)
            else:
                loading.leave(f"{name}/{index}")
    return loading.finish([weight for variables in ours.values() for weight, _ in variables])


def _places(theirs: Iterable[_Owner], ours: Iterable[_Owner]) -> dict[_Owner, _Owner]:
    """Which of our layers each of theirs is: that of its name.

    Keras numbers layers without a name as a process makes them (`conv2d_7`). Where both have as many of a
    kind they are paired in this order.
    """
    places: dict[_Owner, _Owner] = {}
    kinds = _by_kind(ours)
    for kind, owners in _by_kind(theirs).items():
        same = kinds.get(kind, [])
        places.update(zip(owners, same if len(same) == len(owners) else owners, strict=True))
    return places


def _by_kind(owners: Iterable[_Owner]) -> dict[_Owner, list[_Owner]]:
    found: dict[_Owner, list[tuple[int, _Owner]]] = defaultdict(list)
    for layer, name in owners:
        kind, _, number = name.rpartition("_")
        if not number.isdecimal():
            kind, number = name, "0"
        found[layer, kind].append((int(number), (layer, name)))
    return {kind: [owner for _, owner in sorted(numbered)] for kind, numbered in found.items()}


def _owners(model: keras.Model) -> dict[_Owner, list[tuple[str, keras.Variable]]]:
    """Pairs of path and variable of each layer's own weights, in the order in which Keras saves them."""
    found: dict[_Owner, list[tuple[str, keras.Variable]]] = defaultdict(list)
    for layer in model.layers:
        for weight in layer.weights:
            *_, owner, _ = weight.path.split("/")
            inside = weight.path.startswith(f"{layer.name}/")
            path = weight.path if inside else f"{layer.name}/{weight.path}"
            found[layer.name, owner].append((path, weight))
    return found


def _read(path: str) -> tuple[str, dict[_Owner, list[np.ndarray]]]:
    """The name of a file's model, and the weights of its layers."""
    try:
        if path.endswith(".keras"):
            with zipfile.ZipFile(path) as archive:
                content: io.BytesIO | str = io.BytesIO(archive.read(_WEIGHTS))
        else:
            content = path
        with h5py.File(content) as file:
            return file["vars"].attrs["name"], _weights(file)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} holds no weights of Keras, or not all of them ({reason})") from error


def _weights(file: h5py.File) -> dict[_Owner, list[np.ndarray]]:
    found: dict[_Owner, list[np.ndarray]] = defaultdict(list)

    def visit(path: str, group: h5py.Group | h5py.Dataset) -> None:
        if path.startswith("layers/") and path.endswith("/vars") and len(group):
            layer = file["/".join([*path.split("/")[:2], "vars"])].attrs["name"]
            found[layer, group.attrs["name"]] += [group[str(index)][()] for index in range(len(group))]

    file.visititems(visit)
    return found
