"""Weights that Keras wrote into models of the zoo, layer by layer by name; no code of the file runs."""

import io
import json
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import h5py
import keras
import numpy as np

from keras_actrec._types import PathLike
from keras_actrec.checkpoints.report import Loading, LoadReport
from keras_actrec.errors import UserError

_WEIGHTS = "model.weights.h5"  # of a .keras file
_MOST_TEXT = 1 << 24  # bytes of its configuration, and of any other entry but the weights
_MOST_TIMES = 10  # as many bytes as there are in the file may be claimed; Keras compresses nothing
_SIZES = ("units", "filters")  # of a configuration: a layer has a weight for each, or more
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
                _check_entries(archive)
                content: io.BytesIO | str = io.BytesIO(archive.read(_WEIGHTS))
        else:
            content = path
        with h5py.File(content) as file:
            _count(file)
            return file["vars"].attrs["name"], _weights(file)
    except Exception as error:  # a damaged file ends in whatever zip, zlib or HDF5 met first
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


def check_keras_file(path: PathLike) -> None:
    """Refuse a `.keras` file that would need much more memory than it has bytes, before it is read.

    Raises:
        ValueError: for such a file.
        Exception: for one that is damaged, whatever zip, zlib, JSON or HDF5 meet first.
    """
    with zipfile.ZipFile(path) as archive:
        _check_entries(archive)
        config = json.loads(archive.read("config.json"))
        with h5py.File(io.BytesIO(archive.read(_WEIGHTS))) as file:
            weights = _count(file)
    if not isinstance(config, dict):
        raise ValueError("config.json holds no object")
    asked = sum(_sizes(config))
    if asked > weights:
        raise ValueError(f"its layers have {asked} units, and the file {weights} weights")


def _check_entries(archive: zipfile.ZipFile) -> None:
    for entry in archive.infolist():
        most = _MOST_TIMES * entry.compress_size + (1 << 20) if entry.filename == _WEIGHTS else _MOST_TEXT
        if entry.file_size > most:
            raise ValueError(f"{entry.filename[:100]} claims {entry.file_size} bytes")


def _count(file: h5py.File) -> int:
    """How many numbers a file of weights has; refuses one that claims more bytes than it can have."""
    numbers, claimed = [0], [0]

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            if item.external:
                raise ValueError(f"{name[:100]} is in another file")
            numbers.append(item.size or 0)
            claimed.append(item.nbytes)

    file.visititems(visit)
    if sum(claimed) > _MOST_TIMES * file.id.get_filesize() + (1 << 20):
        raise ValueError(f"its weights claim {sum(claimed)} bytes")
    return sum(numbers)


def _sizes(config: object) -> Iterator[int]:
    """The numbers of units and filters in nested lists and dicts, however deep."""
    waiting = [config]
    while waiting:
        values = waiting.pop()
        if isinstance(values, dict):
            for name in _SIZES:
                several = values.get(name)
                several = several if isinstance(several, list) else [several]
                yield from (size for size in several if isinstance(size, int))
            waiting += values.values()
        elif isinstance(values, list):
            waiting += values
