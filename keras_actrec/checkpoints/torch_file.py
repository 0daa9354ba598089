"""Torch weight files as NumPy arrays, without torch and without running what a file asks for.

A torch file is a pickle plus raw storages. The pickle is followed step by step, see `_pickles`: the only
steps that there are make tensors, containers and plain values.
"""

import io
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np

from keras_actrec._archive import open_archive, parts_of, read_part
from keras_actrec._pickles import DamagedError, Named, RefusedError, Steps, named, ordered, short
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError

_ZIP_START = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MOST_PICKLE = 1 << 26  # bytes of a pickle
_MOST_AXES = 64  # as NumPy
# Bytes of all arrays together: names may share a storage, and views repeat its elements (`Tensor.expand`).
_MOST_TIMES = 8  # as many as the file has
_FREE = 1 << 27

# Storage class -> NumPy code of the bytes in the file.
_STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "u1",
}
_DTYPES = (
    *("float32", "float64", "float16", "bfloat16"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)
# Where checkpoints have their state dict; where several of these are there, the first one is taken.
_KEYS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module"),
    *("model_ema", "state_dict_ema", "ema_state_dict", "ema"),
)
_DEEP = 2  # dicts around it at most
_MOST_WRAPPERS = 8  # in names; more dots are there to take time


def read_torch(path: PathLike) -> dict[str, np.ndarray]:
    """Read the state dict of a torch file (`.pth`, `.pt`) as NumPy arrays.

    Both of torch's forms are read: the zip file it writes since 1.6 and the older stream of pickles. torch
    need not be installed, and a file cannot run anything: its pickle may build tensors, dicts, lists, tuples,
    numbers and strings; a file that names anything else is refused. Nor can a small file take much memory or
    time: pickles have at most 64 MiB and a million steps, and all arrays together 128 MiB, or eight times as
    many bytes as the file where that is more.

    Args:
        path: the file. It holds a dict from names to tensors, or a checkpoint: a dict with such a dict under
            `state_dict`, `model_state_dict`, `model_state`, `model`, `net`, `ema` or the like, or under any
            one key (what else the checkpoint holds is left out).

    Returns:
        A dict from the names as the file has them to arrays, in the file's order. Every array owns its
        memory, is contiguous and has the tensor's shape and dtype: float16/32/64, int8/16/32/64, uint8 or
        bool; `bfloat16`, which NumPy lacks, becomes float32 (exactly).

    Raises:
        UserError: if the file is missing, not a torch file, truncated or damaged, names a Python object that
            tensors do not need, asks for more than it may, or holds no state dict.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"no such torch file: {path}")
    size = os.path.getsize(path)
    if not size:
        raise UserError(f"{path} is empty: download or copy it again")
    try:
        with open(path, "rb") as file:
            read = _read_zip if file.read(len(_ZIP_START)) == _ZIP_START else _read_legacy
            file.seek(0)
            root, storages = read(file, size)
            state = _state_dict(root)
            _check_sizes(state, size)
            return _arrays(state, storages)
    except RefusedError as error:
        raise UserError(f"{path} refused: {error}") from None
    except Exception as error:  # a damaged file can fail in any way; the cause stays attached
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} is not a torch weight file, or is truncated or damaged: {reason}") from error


def without_wrappers(state: Mapping[str, np.ndarray], fits: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """A state dict without what programs put in front of all names, such as `module.` or `model._orig_mod.`.

    Args:
        state: from `read_torch`.
        fits: whether a name is one that a network takes.

    Returns:
        It with the shortest beginning that all names share, up to a dot, left out with which most names fit;
        mostly that is none.
    """
    shared = os.path.commonprefix(list(state))
    ends = [0, *(place for place, letter in enumerate(shared, 1) if letter == ".")]
    best = max(ends[:_MOST_WRAPPERS], key=lambda end: sum(fits(name[end:]) for name in state))
    return {name[best:]: value for name, value in state.items()}


class _Storage:
    """A run of `count` elements of storage class `kind`; the bytes come from elsewhere in the file."""

    __slots__ = ("kind", "key", "count")

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.kind = kind
        self.key = key
        self.count = count

    @property
    def num_bytes(self) -> int:
        return self.count * np.dtype(_STORAGES[self.kind]).itemsize


class _Tensor:
    """A strided view of a storage; offset and strides count elements."""

    __slots__ = ("storage", "offset", "shape", "strides")

    def __init__(
        self, storage: Any, offset: Any, shape: Any, strides: Any, *unused: Any
    ) -> None:  # then: requires_grad, hooks, metadata
        if (
            not isinstance(storage, _Storage)
            or not len(shape) == len(strides) <= _MOST_AXES
            or not all(map(_is_count, (offset, *shape, *strides)))
        ):
            raise DamagedError("a tensor is described wrongly")
        self.storage = storage
        self.offset = offset
        self.shape = tuple(shape)
        self.strides = tuple(strides)

    @property
    def num_bytes(self) -> int:
        item = (
            4 if self.storage.kind == "BFloat16Storage" else np.dtype(_STORAGES[self.storage.kind]).itemsize
        )
        return math.prod(self.shape) * item


class _OrderedDict(dict[Any, Any]):
    """What `collections.OrderedDict` stands for: torch hangs `_metadata` on it, which is dropped."""

    __slots__ = ()


# What the reader reads: the root object, and a function that reads the bytes of a storage.
_Read: TypeAlias = tuple[Any, Callable[[_Storage], np.ndarray]]


def _size(values: Any = ()) -> tuple[int, ...]:
    if not isinstance(values, tuple):  # a copy for each call could fill the memory
        raise DamagedError("a size is described wrongly")
    return values


def _parameter(data: Any, *unused: Any) -> Any:  # then: requires_grad, hooks
    return data


class _Steps(Steps):
    """Follows pickles that make tensors.

    Attributes:
        storages: what was described so far, by key.
    """

    needs = "tensors"
    advice = "save model.state_dict() alone"
    names = named(
        {
            "collections.OrderedDict": lambda pairs=(): ordered(_OrderedDict(), pairs),
            "torch.Size": _size,
            "torch._utils._rebuild_tensor": _Tensor,
            "torch._utils._rebuild_tensor_v2": _Tensor,
            "torch._utils._rebuild_parameter": _parameter,
            **{f"torch.{kind}": None for kind in (*_STORAGES, *_DTYPES)},
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[str, _Storage] = {}

    def build(self, made: Any, state: Any) -> None:
        """Drop what torch hangs on a dict."""
        if not isinstance(made, _OrderedDict):
            super().build(made, state)

    def persistent(self, about: Any) -> Any:
        """The storage that is described."""
        # ("storage", class, key, location, count) and, in the legacy form, a view that torch writes as None.
        if not isinstance(about, tuple) or len(about) not in (5, 6) or about[5:] not in ((), (None,)):
            raise DamagedError("a storage is described wrongly")
        tag, mark, key, _, count = about[:5]
        kind = mark.name.removeprefix("torch.") if isinstance(mark, Named) else None
        if tag != "storage" or kind not in _STORAGES or not isinstance(key, str) or not _is_count(count):
            raise DamagedError("a storage is described wrongly")
        storage = self.storages.setdefault(key, _Storage(kind, key, count))
        if (storage.kind, storage.count) != (kind, count):
            raise DamagedError(f"storage {short(key)} is described twice, differently")
        return storage


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _read_zip(file: BinaryIO, size: int) -> _Read:
    """Reads torch's zip form."""
    archive = open_archive(file)
    records = parts_of(archive, size)
    roots = [name for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1:
        raise DamagedError("the zip file holds no data.pkl")
    folder = roots[0].removesuffix("data.pkl")

    def record(name: str) -> bytes:
        info = records.get(folder + name)
        if info is None:
            raise DamagedError(f"record {short(name)} is missing")
        if info.compress_type != zipfile.ZIP_STORED:
            raise DamagedError(f"record {short(name)} is compressed, which torch never does")
        if name == "data.pkl" and info.file_size > _MOST_PICKLE:
            raise RefusedError(
                f"its pickle has more than {_MOST_PICKLE} bytes; save model.state_dict() alone"
            )
        return read_part(archive, info)

    order = record("byteorder") if folder + "byteorder" in records else b"little"
    if order not in (b"little", b"big"):
        raise DamagedError("the byte order is neither little nor big")
    root = _Steps().load(io.BytesIO(record("data.pkl")))
    return root, lambda storage: _values(
        storage, record(f"data/{storage.key}"), "<" if order == b"little" else ">"
    )


def _read_legacy(file: BinaryIO, size: int) -> _Read:
    """Reads the legacy form: pickles of magic, protocol, system, root and keys, then the storages."""
    stream, steps = io.BytesIO(file.read(_MOST_PICKLE)), _Steps()
    if steps.load(stream) != _LEGACY_MAGIC or steps.load(stream) != _LEGACY_PROTOCOL:
        raise DamagedError("it does not start as one")
    system = steps.load(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise DamagedError("it was written on a big-endian machine; save it again with a current torch")
    root = steps.load(stream)
    keys = steps.load(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise DamagedError("its storages are described wrongly")
    if sorted(keys) != sorted(steps.storages):
        raise DamagedError("its storages are not those its tensors need")
    places, position = {}, stream.tell()
    for key in keys:
        storage = steps.storages[key]
        file.seek(position)
        count = int.from_bytes(file.read(8), "little")  # then the elements, always little-endian
        if count != storage.count:
            raise DamagedError(
                f"storage {short(key)} has {count} elements, its tensors expect {storage.count}"
            )
        places[key] = position + 8
        position += 8 + storage.num_bytes
        if position > size:
            there = max(0, size - places[key])
            raise DamagedError(f"storage {short(key)} has {there} of {storage.num_bytes} bytes")

    def values(storage: _Storage) -> np.ndarray:
        file.seek(places[storage.key])
        return _values(storage, file.read(storage.num_bytes), "<")

    return root, values


def _values(storage: _Storage, content: bytes, order: Literal["<", ">"]) -> np.ndarray:
    """The elements of one storage, 1-D, in native byte order."""
    if len(content) < storage.num_bytes:
        raise DamagedError(f"storage {short(storage.key)} has {len(content)} of {storage.num_bytes} bytes")
    dtype = np.dtype(_STORAGES[storage.kind])
    values = np.frombuffer(content, dtype.newbyteorder(order), count=storage.count).astype(dtype, copy=False)
    if storage.kind == "BFloat16Storage":  # the upper half of a float32
        return (values.astype("u4") << 16).view("f4")
    if storage.kind == "BoolStorage":
        return values != 0
    return values


def _state_dict(root: object) -> dict[str, _Tensor]:
    """The dict of tensors in what the file holds."""
    found = _find_state(root, _DEEP, set())
    if found is not None:
        return found
    state = root.get("state_dict", root) if isinstance(root, dict) else root
    if not isinstance(state, dict):
        what = "its `state_dict` is no dict" if isinstance(root, dict) else "it holds no state dict"
        raise RefusedError(f"{what}; save model.state_dict()")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise RefusedError(f"its entry {short(name)} is no tensor; save model.state_dict() alone")
    return state


def _find_state(value: object, deep: int, seen: set[int]) -> dict[str, _Tensor] | None:
    """A dict of tensors, in so many others at most."""
    if not isinstance(value, dict) or id(value) in seen:
        return None
    seen.add(id(value))
    if value and all(isinstance(key, str) and isinstance(each, _Tensor) for key, each in value.items()):
        return value
    found = {}
    for key, each in value.items() if deep else ():
        state = _find_state(each, deep - 1, seen)
        if state is not None:
            found[key] = state
    for key in (*_KEYS, *(found if len(found) == 1 else ())):
        if key in found:
            return found[key]
    if found:
        names = ", ".join(short(key) for key in list(found)[:4])
        raise RefusedError(f"it holds several state dicts, {names}; save model.state_dict() of one")
    return None


def _check_sizes(state: Mapping[str, _Tensor], size: int) -> None:
    """Refuses arrays that together are much larger than the file."""
    most = max(_FREE, _MOST_TIMES * size)
    if sum(tensor.num_bytes for tensor in state.values()) > most:
        raise DamagedError(f"its tensors repeat their storages to more than {most} bytes")


def _arrays(
    state: Mapping[str, _Tensor], storages: Callable[[_Storage], np.ndarray]
) -> dict[str, np.ndarray]:
    """A copy of each tensor's elements; a storage is read once, and kept while there are tensors of it."""
    left: dict[str, int] = {}
    for tensor in state.values():
        left[tensor.storage.key] = left.get(tensor.storage.key, 0) + 1
    held: dict[str, np.ndarray] = {}
    arrays = {}
    for name, tensor in state.items():
        key = tensor.storage.key
        if key not in held:
            held[key] = storages(tensor.storage)
        arrays[name] = _array(tensor, held[key])
        left[key] -= 1
        if not left[key]:
            del held[key]
    return arrays


def _array(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
    if math.prod(tensor.shape) == 0:
        return np.zeros(tensor.shape, values.dtype)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if last >= values.size:
        raise DamagedError(
            f"a tensor of shape {tensor.shape} ends beyond storage {short(tensor.storage.key)}"
        )
    strides = [step * values.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.array(view, order="C")
