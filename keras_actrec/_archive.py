"""Zip archives and NumPy arrays from outside: what they claim is checked before memory is taken for it."""

import copy
import math
import sys
import threading
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_actrec._types import PathLike

_FREE = 1 << 26  # bytes that the parts of any archive may have
_FREE_ARRAYS = 1 << 28  # the same for arrays: zeros, such as steps that are padded, take next to nothing
_TIMES = 10  # as many bytes as the archive itself has, in a larger one
_DEFLATED = 1032  # as many bytes as a part has, deflated: more cannot be in it
_MOST_DIRECTORY = 1 << 22  # bytes of the list of parts, a hundred for one or less
_PIECE = 1 << 20  # bytes that are unpacked at a time
# NumPy parses headers with Python's `ast`, which has failed with four threads in it (SystemError, 3.11).
_HEADER = threading.Lock()


class _Guarded:
    """A file of which no long piece is read before `open_archive` is done."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.most = _MOST_DIRECTORY

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            raise ValueError(f"its list of parts has {size} bytes")
        return self.file.read(size)


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """The archive that an open file is, if it has no more parts than anybody writes.

    Python makes an object of a kilobyte of each, however small it is.

    Raises:
        ValueError: for one with more.
        zipfile.BadZipFile: for what is none, or damaged.
    """
    guarded = _Guarded(file)
    archive = zipfile.ZipFile(guarded)
    guarded.most = sys.maxsize
    return archive


def parts_of(archive: zipfile.ZipFile, size: int, *, free: int = _FREE) -> dict[str, zipfile.ZipInfo]:
    """The parts of an archive by name, if what they claim to have is believed.

    Args:
        archive: stored or deflated, as NumPy, Keras and torch write them.
        size: bytes of the archive.
        free: bytes that they may have together, or ten times those of the archive where that is more.

    Raises:
        ValueError: for an archive with larger parts, one that claims more than it could hold, two of one
            name, or several in the same bytes.
    """
    parts: dict[str, zipfile.ZipInfo] = {}
    packed = claimed = 0
    for part in archive.infolist():
        if part.filename in parts:
            raise ValueError(f"it has {part.filename[:100]!r} twice")
        parts[part.filename] = part
        if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{part.filename[:100]!r} is compressed in an unusual way")
        packed += part.compress_size
        claimed += part.file_size
        most = _DEFLATED if part.compress_type == zipfile.ZIP_DEFLATED else 1
        if part.file_size > most * part.compress_size or claimed > max(free, _TIMES * size):
            raise ValueError(f"{part.filename[:100]} claims {part.file_size} bytes, the file has {size}")
    if packed > size:
        raise ValueError("its parts claim the same bytes")
    return parts


def read_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    """The bytes of one of the parts that `parts_of` gave.

    Raises:
        ValueError: for one that has another number of bytes than it claims.
        Exception: for one that is damaged, whatever zip and zlib meet first.
    """
    with _opened(archive, part) as file:
        content = file.read(part.file_size + 1)
    if len(content) != part.file_size:
        raise _other_size(part)
    return content


def _opened(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> IO[bytes]:
    """A part that can be read up to one byte behind what it claims: `ZipFile` would cut off what is more."""
    more = copy.copy(part)
    more.file_size += 1
    return archive.open(more)


def _other_size(part: zipfile.ZipInfo) -> ValueError:
    return ValueError(f"{part.filename[:100]!r} has another size than it claims")


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, "np.dtype[Any]"]:
    """Shape, order (whether the first axis varies fastest) and type of an array, which then follows.

    Raises:
        ValueError: for what is no array of NumPy.
    """
    with _HEADER:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"version {version} of the format is not read; save numbers with np.save")
    if any(length < 0 for length in shape):
        raise ValueError(f"its array has the shape {shape}")
    return shape, fortran, dtype


def read_arrays(path: PathLike, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of a `.npz` file by name. Pickled objects are never loaded.

    Args:
        path: the file.
        names: which arrays, of those that it has; None for all.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: for a file that is damaged, is none of arrays or claims too much, see `parts_of`.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():  # of a pipe reading might never end
            raise ValueError("it is no regular file")
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            with open_archive(file) as archive:
                parts = parts_of(archive, size, free=_FREE_ARRAYS)
                return {
                    name: _array(archive, part)
                    for name, part in ((key.removesuffix(".npy"), part) for key, part in parts.items())
                    if names is None or name in names
                }
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # a damaged archive ends in whatever zip, zlib or NumPy met first
        raise ValueError(" ".join(f"{type(error).__name__}: {error}".split())[:200]) from error


def _array(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> np.ndarray:
    with _opened(archive, part) as file:
        shape, fortran, dtype = read_header(file)
        offset = file.tell()
        if dtype.hasobject or dtype.fields:
            raise ValueError("pickled objects and records are never loaded")
        claimed = math.prod(shape) * dtype.itemsize
        if claimed > part.file_size - offset:
            raise ValueError(f"an array claims {claimed} bytes, {part.file_size - offset} are there")
        content = np.empty(claimed, "uint8")
        for start in range(0, claimed, _PIECE):
            piece = file.read(min(_PIECE, claimed - start))
            content[start : start + len(piece)] = np.frombuffer(piece, "uint8")
        while file.read(_PIECE):
            pass
        if file.tell() != part.file_size:
            raise _other_size(part)
    if dtype.kind == "U":  # what Python has no letter for is no text, and NumPy's error not ours
        letters = content.view(f"{dtype.byteorder}u4")
        if letters.size and letters.max() > sys.maxunicode:
            raise ValueError("a text has letters that there are not")
    flat = content.view(dtype) if claimed else np.empty(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")
