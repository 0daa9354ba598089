"""Weights that Keras wrote into models of the zoo, layer by layer by name; no code of the file runs."""

import io
import json
import math
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import keras
import numpy as np

from keras_actrec._archive import open_archive, parts_of, read_part
from keras_actrec._types import PathLike
from keras_actrec.checkpoints.report import Loading, LoadReport
from keras_actrec.errors import UserError

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"  # of a .keras file
_MOST_TEXT = 1 << 24  # bytes of its configuration, and of any other part but the weights
_MOST_TIMES = 10  # as many bytes as there are in the file may be claimed; Keras compresses nothing
_MOST_LAYERS = 2500
_MOST_OUTPUT = 1 << 30  # numbers that a layer makes of a clip, as far as its shape says so
_HEAP = b"GCOL\x01\0\0\0"  # how a heap of HDF5 begins; behind it, its size
_PARTS = ("keras", "keras.initializers", "keras.regularizers", "keras.constraints", "builtins")
# What a model may make beside the weights of its file, such as the states of random generators.
_MORE_NUMBERS, _MORE_VARIABLES = 1 << 20, 1000
# Initializers at random: what they give, the file's weights replace.
_RANDOM = (
    keras.initializers.Orthogonal,
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.VarianceScaling,
)
_BUILDING = threading.Lock()
# The layer of the model, and the layer in it, maybe itself, that has the weights.
_Owner: TypeAlias = tuple[str, str]


def load_keras(
    model: keras.Model, path: PathLike, *, partial: bool = False, head: bool = True, layer: str | None = None
) -> LoadReport:
    """Load a `.keras` or `.weights.h5` file into the layers of the same name.

    Layers inside of others, such as those of a backbone or the cell of a recurrent layer, are found by their
    names too. The classifier is left as it was if the file's has another number of classes.

    Args:
        model: of the builder that the file's model is of, if `layer` is None.
        path: the file.
        partial: whether weights of another shape are left; else they are an error.
        head: whether the classifier is loaded.
        layer: name of the only layer that is loaded, with all in it; None is all. Of a file without it all
            layers are taken for layers in it: a network over clips holds those of its backbone itself.

    Returns:
        A `LoadReport`.

    Raises:
        UserError: for a file that cannot be read, is of a model of another name, of which nothing fits, or
            has a weight of another shape; then nothing is changed.
    """
    path = os.fspath(path)
    name, theirs = _read(path)
    if layer is None and name != model.name:
        raise UserError(
            f"{path} is of {name}, whose weights mean something else than those of {model.name}: "
            f"build {name}, or choose a file of {model.name}"
        )
    loading, ours = Loading(path, model, partial=partial, head=head), _owners(model)
    if layer is not None and all(outer != layer for outer, _ in theirs):
        theirs = {(layer, inner): values for (_, inner), values in theirs.items()}
    places = _places(theirs, ours)
    if layer is not None:
        places = {
            owner: place if owner[0] == place[0] == layer else ("", "") for owner, place in places.items()
        }
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
        with h5py.File(io.BytesIO(read_weights(path))) as file:
            _measure(file)
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


def read_parts(path: PathLike, *names: str) -> list[bytes]:
    """Parts of a `.keras` file, one that would need much more memory than it has bytes refused.

    Raises:
        ValueError: for such a file.
        KeyError: where there is no such part.
        Exception: for one that is damaged, whatever zip and zlib meet first.
    """
    with open(path, "rb") as file, open_archive(file) as archive:
        parts = parts_of(archive, os.path.getsize(path))
        for name, part in parts.items():
            if name != _WEIGHTS and part.file_size > _MOST_TEXT:
                raise ValueError(f"{name[:100]} claims {part.file_size} bytes")
        return [read_part(archive, parts[name]) for name in names]


def load_model(path: PathLike) -> keras.Model:
    """The model of a `.keras` file, built as its configuration says, if its weights are there for it.

    The file's weights, by what they claim, are counted first; a configuration that makes more is stopped
    before memory is taken for them. Layers that would run code (`Lambda`) are refused by Keras.

    Raises:
        ValueError: for a file that would need much more memory or time than it has bytes.
        Exception: for one that is damaged, whatever zip, zlib, JSON, HDF5 or Keras meet first.
    """
    text, content = read_parts(path, _CONFIG, _WEIGHTS)
    config = json.loads(text)
    if not isinstance(config, dict):
        raise ValueError(f"{_CONFIG} holds no object")
    if sum(1 for _ in _layers(config)) > _MOST_LAYERS:
        raise ValueError(f"its model has more than {_MOST_LAYERS} layers")
    _check_texts(content)
    with h5py.File(io.BytesIO(content)) as file:
        variables, numbers = _measure(file)
    with _building(2 * variables + _MORE_VARIABLES, numbers + _MORE_NUMBERS):
        model = keras.saving.load_model(path, compile=False)
    _check_outputs(model)
    return model


def _check_outputs(model: Any) -> None:
    """Refuses layers that need no weights, such as a padding, to make more of a clip than memory holds."""
    for operation in getattr(model, "operations", ()):
        for output in keras.tree.flatten(operation.output):
            numbers = math.prod(size or 1 for size in output.shape)
            if numbers > _MOST_OUTPUT:
                raise ValueError(f"its {operation.name[:100]} makes {numbers} numbers of a clip")
        _check_outputs(getattr(operation, "network", operation))


@contextmanager
def _building(variables: int, numbers: int) -> Iterator[None]:
    """Stops a thread that makes more variables, or larger ones; in it they start with NumPy's numbers.

    How large the weights of a layer become follows from numbers all over a configuration, so that nothing but
    their making can tell. Keras has no place to ask: the class is changed while this lasts.
    """
    made, thread, left = keras.Variable.__init__, threading.get_ident(), [variables, numbers]

    def make(self: keras.Variable, initializer: Any, shape: Any = None, *more: Any, **named: Any) -> None:
        if threading.get_ident() == thread:
            left[0] -= 1
            left[1] -= math.prod(shape or ())
            if min(left) < 0:
                raise ValueError("its layers need more weights than it has")
            initializer = _plain(initializer)
        made(self, initializer, shape, *more, **named)

    with _BUILDING:
        keras.Variable.__init__ = make
        try:
            yield
        finally:
            keras.Variable.__init__ = made


def _plain(initializer: Any) -> Any:
    """An initializer by NumPy, of which nothing is compiled: JAX compiles each shape of each initializer.

    Zeros and ones stay, zeros also stand for what would be random; all else, such as the states of random
    generators, is what it was.
    """
    if type(initializer) is keras.initializers.Ones:
        value = 1
    elif type(initializer) is keras.initializers.Zeros or isinstance(initializer, _RANDOM):
        value = 0
    else:
        return initializer
    return lambda shape, dtype=None: keras.ops.convert_to_tensor(np.full(shape, value, "float32"), dtype)


def read_weights(path: str) -> bytes:
    """The file of weights at a path, or in the `.keras` file there, refused where HDF5 would never end.

    Raises:
        ValueError: for such a file.
        Exception: for a `.keras` file that is damaged, whatever zip and zlib meet first.
    """
    content = read_parts(path, _WEIGHTS)[0] if path.endswith(".keras") else Path(path).read_bytes()
    _check_texts(content)
    return content


def _check_texts(content: bytes) -> None:
    """Refuses texts that end beyond their heap: HDF5 looks for the next one there, and in circles."""
    heap = content.find(_HEAP)
    while heap >= 0:
        place, end = heap + 16, heap + int.from_bytes(content[heap + 8 : heap + 16], "little")
        while place + 16 <= end:
            number = int.from_bytes(content[place : place + 2], "little")
            length = int.from_bytes(content[place + 8 : place + 16], "little")
            step = 16 + -(-length // 8) * 8 if number else length  # number 0: what is free
            if not 16 <= step <= min(end, len(content)) - place:
                raise ValueError("its texts are damaged")
            place += step
        heap = content.find(_HEAP, heap + 1)


def _measure(file: h5py.File) -> tuple[int, int]:
    """How many variables a file of weights has, and how many numbers in them by its own account.

    Refuses one that claims more bytes than it can have, or has some of them elsewhere.
    """
    sizes: list[int] = []
    claimed = 0

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> str | None:
        nonlocal claimed
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual or item.dtype.hasobject:
                return name
            sizes.append(item.size or 0)
            claimed += max(item.nbytes, math.prod(item.chunks or (0,)) * item.dtype.itemsize)
        return None

    # What is returned ends a visit; an error in it would be lost in HDF5.
    odd = file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name)
    odd = odd or file.visititems(visit)
    if odd:
        raise ValueError(f"{odd[:100]!r} is in another file, or holds no numbers")
    if claimed > _MOST_TIMES * file.id.get_filesize() + (1 << 20):
        raise ValueError(f"its weights claim {claimed} bytes")
    return len(sizes), sum(sizes)


def _layers(config: object) -> Iterator[dict[str, Any]]:
    """The layers and other objects in nested lists and dicts, however deep, without what belongs to each."""
    waiting = [config]
    while waiting:
        values = waiting.pop()
        if isinstance(values, dict):
            if values.get("class_name", "__keras_tensor__") != "__keras_tensor__" and (
                values.get("module") not in _PARTS
            ):
                yield values
            waiting += values.values()
        elif isinstance(values, list):
            waiting += values
