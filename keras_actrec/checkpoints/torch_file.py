"""Torch weight files as NumPy arrays, without torch and without running what a file asks for.

A torch file is a pickle plus raw storages. A pickle is a program: it names Python objects and calls them. The
reader here knows the few names that tensors need, and each is an object of this module that builds a
tensor or a container and cannot be changed. A file that names anything else is refused, and what it names is
not even looked up.
"""

import io
import math
import os
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, Literal

import numpy as np

from keras_actrec._types import PathLike
from keras_actrec.errors import UserError

_ZIP_START = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
# A view may repeat elements of its storage (`Tensor.expand`). Beyond this many it is no weight but a small
# file made to fill the memory.
_MAX_REPEATED = 2**24

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


def read_torch(path: PathLike) -> dict[str, np.ndarray]:
    """Read the state dict of a torch file (`.pth`, `.pt`) as NumPy arrays.

    Both of torch's forms are read: the zip file it writes since 1.6 and the older stream of pickles. torch
    need not be installed, and a file cannot run anything: its pickle may build tensors, dicts, lists, tuples,
    numbers and strings; a file that names anything else is refused.

    Args:
        path: the file. It holds a dict from names to tensors, or a checkpoint: a dict with such a dict under
            `state_dict` (what else the checkpoint holds is left out).

    Returns:
        A dict from the names as the file has them to arrays, in the file's order. Every array owns its
        memory, is contiguous and has the tensor's shape and dtype: float16/32/64, int8/16/32/64, uint8 or
        bool; `bfloat16`, which NumPy lacks, becomes float32 (exactly).

    Raises:
        UserError: if the file is missing, not a torch file, truncated or damaged, names a Python object that
            tensors do not need, or holds no state dict.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"no such torch file: {path}")
    with open(path, "rb") as file:
        content = file.read()
    if not content:
        raise UserError(f"{path} is empty: download or copy it again")
    read = _read_zip if content.startswith(_ZIP_START) else _read_legacy
    try:
        root, storages = read(content)
        state = _state_dict(root)
        return {name: _array(tensor, storages) for name, tensor in state.items()}
    except _Refused as error:
        raise UserError(f"{path} refused: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way; the cause stays attached
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} is not a torch weight file, or is truncated or damaged: {reason}") from error


class _Refused(Exception):
    """The file is readable but asks for more than tensors, or holds something else."""


class _Damaged(Exception):
    """The file's parts contradict each other."""


class _Sealed:
    """Base of all objects that a pickle gets to hold: it may not set their state (opcode BUILD)."""

    __slots__ = ()
    name = "a tensor"

    def __setstate__(self, state: object) -> None:
        raise _Refused(f"its pickle changes {self.name}")


class _Global(_Sealed):
    """What a permitted name is resolved to: callable if `make` is given, else a mark."""

    __slots__ = ("name", "make")

    def __init__(self, name: str, make: Callable[..., Any] | None = None) -> None:
        self.name = name
        self.make = make

    def __call__(self, *args: Any) -> Any:
        if self.make is None:
            raise _Refused(f"its pickle calls {self.name}")
        return self.make(*args)


class _Storage(_Sealed):
    """A run of `count` elements of storage class `kind`; the bytes come from elsewhere in the file."""

    __slots__ = ("kind", "key", "count")

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.kind = kind
        self.key = key
        self.count = count

    @property
    def num_bytes(self) -> int:
        return self.count * np.dtype(_STORAGES[self.kind]).itemsize


class _Tensor(_Sealed):
    """A strided view of a storage; offset and strides count elements."""

    __slots__ = ("storage", "offset", "shape", "strides")

    def __init__(
        self, storage: Any, offset: Any, shape: Any, strides: Any, *unused: Any
    ) -> None:  # then: requires_grad, hooks, metadata
        counts = (offset, *shape, *strides)
        if not isinstance(storage, _Storage) or not all(map(_is_count, counts)) or len(shape) != len(strides):
            raise _Damaged("a tensor is described wrongly")
        self.storage = storage
        self.offset = offset
        self.shape = tuple(shape)
        self.strides = tuple(strides)


class _OrderedDict(dict[Any, Any]):
    """What `collections.OrderedDict` is resolved to: torch hangs `_metadata` on it, which is dropped."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


def _parameter(data: Any, *unused: Any) -> Any:  # then: requires_grad, hooks
    return data


def _size(values: Iterable[int] = ()) -> tuple[int, ...]:
    return tuple(values)


_GLOBALS = {
    name: _Global(name, make)
    for name, make in {
        "collections.OrderedDict": _OrderedDict,
        "torch.Size": _size,
        "torch._utils._rebuild_tensor": _Tensor,
        "torch._utils._rebuild_tensor_v2": _Tensor,
        "torch._utils._rebuild_parameter": _parameter,
        **{f"torch.{kind}": None for kind in (*_STORAGES, *_DTYPES)},
    }.items()
}


class _Unpickler(pickle.Unpickler):
    """Builds tensors, containers and plain values and nothing else.

    What it resolves are sealed objects, never a class, a function or a module: a pickle can call them with
    values of its own making and has no other way to reach Python.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")  # strings of files that Python 2 wrote
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> _Global:
        try:
            return _GLOBALS[f"{module}.{name}"]
        except KeyError:
            raise _Refused(
                f"it names {f'{module}.{name}'!r}, which tensors do not need and which could run code; "
                "save model.state_dict() alone"
            ) from None

    def persistent_load(self, pid: object) -> _Storage:
        # ("storage", class, key, location, count) and, in the legacy form, a view that torch writes as None.
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[5:] not in ((), (None,)):
            raise _Damaged("a storage is described wrongly")
        tag, mark, key, _, count = pid[:5]
        kind = mark.name.removeprefix("torch.") if isinstance(mark, _Global) else None
        if tag != "storage" or kind not in _STORAGES or not isinstance(key, str) or not _is_count(count):
            raise _Damaged("a storage is described wrongly")
        storage = self.storages.setdefault(key, _Storage(kind, key, count))
        if (storage.kind, storage.count) != (kind, count):
            raise _Damaged(f"storage {key!r} is described twice, differently")
        return storage


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _read_zip(content: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """The root object and the storages `{key: 1-D array}` of torch's zip form."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = {info.filename: info for info in archive.infolist()}
        roots = [name for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(roots) != 1:
            raise _Damaged("the zip file holds no data.pkl")
        folder = roots[0].removesuffix("data.pkl")

        def record(name: str) -> bytes:
            info = records.get(folder + name)
            if info is None:
                raise _Damaged(f"record {name!r} is missing")
            if info.compress_type != zipfile.ZIP_STORED:
                raise _Damaged(f"record {name!r} is compressed, which torch never does")
            return archive.read(info)

        order = record("byteorder") if folder + "byteorder" in records else b"little"
        if order not in (b"little", b"big"):
            raise _Damaged("the byte order is neither little nor big")
        unpickler = _Unpickler(io.BytesIO(record("data.pkl")))
        root = unpickler.load()
        storages = {
            key: _values(storage, record(f"data/{key}"), "<" if order == b"little" else ">")
            for key, storage in unpickler.storages.items()
        }
    return root, storages


def _read_legacy(content: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """The same of the legacy form: pickles of magic, protocol, system, root and keys, then the storages."""
    stream = io.BytesIO(content)
    if _Unpickler(stream).load() != _LEGACY_MAGIC or _Unpickler(stream).load() != _LEGACY_PROTOCOL:
        raise _Damaged("it does not start as one")
    system = _Unpickler(stream).load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _Damaged("it was written on a big-endian machine; save it again with a current torch")
    unpickler = _Unpickler(stream)
    root = unpickler.load()
    keys = _Unpickler(stream).load()
    if not isinstance(keys, list) or sorted(keys) != sorted(unpickler.storages):
        raise _Damaged("its storages are not those its tensors need")
    storages = {}
    for key in keys:
        storage = unpickler.storages[key]
        count = int.from_bytes(stream.read(8), "little")  # then the elements, always little-endian
        if count != storage.count:
            raise _Damaged(f"storage {key!r} has {count} elements, its tensors expect {storage.count}")
        storages[key] = _values(storage, stream.read(storage.num_bytes), "<")
    return root, storages


def _values(storage: _Storage, content: bytes, order: Literal["<", ">"]) -> np.ndarray:
    """The elements of one storage, 1-D, in native byte order."""
    if len(content) < storage.num_bytes:
        raise _Damaged(f"storage {storage.key!r} has {len(content)} of {storage.num_bytes} bytes")
    dtype = np.dtype(_STORAGES[storage.kind])
    values = np.frombuffer(content, dtype.newbyteorder(order), count=storage.count).astype(dtype, copy=False)
    if storage.kind == "BFloat16Storage":  # the upper half of a float32
        return (values.astype("u4") << 16).view("f4")
    if storage.kind == "BoolStorage":
        return values != 0
    return values


def _state_dict(root: object) -> dict[str, _Tensor]:
    """The dict of tensors in what the file holds."""
    if not isinstance(root, dict):
        raise _Refused("it holds no state dict; save model.state_dict()")
    state = root.get("state_dict", root)
    if not isinstance(state, dict):
        raise _Refused("its `state_dict` is no dict; save model.state_dict()")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise _Refused(f"its entry {name!r} is no tensor; save model.state_dict() alone")
    return state


def _array(tensor: _Tensor, storages: Mapping[str, np.ndarray]) -> np.ndarray:
    """A copy of a tensor's elements."""
    values = storages[tensor.storage.key]
    count = math.prod(tensor.shape)
    if count == 0:
        return np.zeros(tensor.shape, values.dtype)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if last >= values.size:
        raise _Damaged(f"a tensor of shape {tensor.shape} ends beyond storage {tensor.storage.key!r}")
    if count > max(values.size, _MAX_REPEATED):
        raise _Damaged(f"a tensor of shape {tensor.shape} repeats a storage of {values.size} elements")
    strides = [step * values.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.array(view, order="C")
