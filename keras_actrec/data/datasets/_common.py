"""What the readers share: find files, check options, check the finished list."""

import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec._text import command
from keras_actrec.data._video_error import VideoError, readable
from keras_actrec.data._walk import walk
from keras_actrec.data.manifest import VIDEO_SUFFIXES, Manifest, Record, _check_groups, read_manifest
from keras_actrec.errors import UserError

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")


def look_for(root: str | Path, dataset: str, *patterns: str) -> Path:
    """The first path below `root` that matches one of the glob patterns, or an error that names them."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the folder that holds {dataset}")
    for pattern in patterns:
        found = sorted(path for path in root.glob(pattern) if not path.name.startswith("."))
        if found:
            return found[0]
    raise UserError(f"{root}: not the layout of {dataset}; looked for {' or '.join(patterns)} in it")


def choose(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """The one of `allowed` that `value` is or spells, or an error that lists them."""
    for item in allowed:
        if str(item) == str(value):
            return item
    raise UserError(f"`{name}` must be one of {', '.join(map(str, allowed))}. Received: {name}={value!r}")


def index(
    root: str | Path, *, suffixes: Collection[str] = VIDEO_SUFFIXES, parents: int = 0
) -> dict[str, Path]:
    """Files below `root` by name: the last `parents` folders and the name without suffix."""
    found: dict[str, Path] = {}
    for folder, names in walk(root):
        above = folder.parts[len(folder.parts) - parents :]
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() not in suffixes:
                continue
            key = "/".join((*above, stem))
            if key in found:
                raise UserError(f"{folder / name}: also found as {found[key]}; keep one copy below {root}")
            found[key] = folder / name
    return found


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8."""
    if Path(path).exists() and not Path(path).is_file():  # of a pipe reading might never end
        raise UserError(f"{path}: it is no regular file; put the list of the set there")
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text in UTF-8 ({_short(error)})") from error


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file that are not blank, without the space around them."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_json(path: str | Path, kind: type) -> Any:
    """What a JSON file holds, a `list` or a `dict` as `kind` says."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: not a JSON file ({_short(error)})") from error
    if not isinstance(content, kind):
        raise UserError(f"{path}: must hold a JSON {'list' if kind is list else 'object'}")
    return content


_NUMBERS = ("double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
_MATRIX, _COMPRESSED = 14, 15  # types of elements of a MATLAB file
_KINDS = frozenset({*range(1, 8), 9, 12, 13, _MATRIX, 16, 17, 18})  # all that are in a matrix
_MOST_UNPACKED = 1 << 26  # bytes, or ten times as many as the file has


def read_mat(path: str | Path, name: str) -> np.ndarray:
    """The array of numbers `name` of a MATLAB file."""
    try:
        from scipy.io import loadmat, whosmat
    except ImportError as error:
        raise UserError("MATLAB files are read with SciPy: pip install 'keras_actrec[skeletons]'") from error
    path = readable(path)
    try:
        content = _unpacked(path.read_bytes())
        kinds = [kind for found, _, kind in whosmat(io.BytesIO(content)) if found == name]
        # What holds no numbers is not loaded: it could claim any number of cells.
        loaded = loadmat(io.BytesIO(content), variable_names=[name]) if set(kinds) <= {*_NUMBERS} else {}
    except Exception as error:  # a damaged file ends in whatever SciPy met first
        raise VideoError(
            path, "unreadable", f"not a MATLAB file up to version 7 ({_short(error)})"
        ) from error
    if name not in loaded:
        reason = f"the MATLAB file has no variable `{name}` of numbers; get it again"
        raise VideoError(path, "unreadable", reason)
    return loaded[name]


def _unpacked(content: bytes) -> bytes:
    """A MATLAB file with nothing compressed in it, whose parts are of known kinds and as long as they say.

    SciPy would take what a part claims before it reads it, and an unknown kind ends the process.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:  # of version 4, which compresses nothing
        return content
    parts, left = [content[:128]], max(_MOST_UNPACKED, 10 * len(content))
    for kind, part in _elements(content, 128, order):
        if kind == _COMPRESSED:
            unpacking = zlib.decompressobj()
            part = unpacking.decompress(part[8:], left)
            left -= len(part)
            if left < 1:
                raise ValueError("it unpacks to much more than it has")
        for inner, matrix in _elements(part, 0, order):
            if inner == _MATRIX:
                kinds = {kind for kind, _ in _elements(matrix, 8, order)}
                if not kinds <= _KINDS:  # SciPy would look for it behind its table
                    raise ValueError(f"an element is of kind {max(kinds - _KINDS)}")
        parts.append(part)
    return b"".join(parts)


def _elements(content: bytes, place: int, order: str) -> Iterator[tuple[int, bytes]]:
    """The kind and the bytes of each element, whose first eight say both."""
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        if kind >> 16:  # a small one, in the eight bytes
            kind, size = kind & 0xFFFF, 0
        elif kind != _COMPRESSED:
            size += -size % 8
        if place + 8 + size > len(content):
            raise ValueError("it ends inside of an element")
        yield kind, content[place : place + 8 + size]
        place += 8 + size


def read_numbers(path: str | Path) -> list[list[str]]:
    """The lines of a text file of numbers, split at the space between them."""
    path = readable(path)
    try:
        return [line.split() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(path, "unreadable", f"not a text file of joints ({_short(error)})") from error


def checked_joints(path: str | Path, joints: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Joints as float32, if they have the shape `(T, *shape)`, T at least 1, and are finite."""
    try:
        joints = np.asarray(joints, "float32")
    except (TypeError, ValueError) as error:
        raise VideoError(path, "unreadable", f"the joints are not numbers ({_short(error)})") from error
    if joints.ndim != len(shape) + 1 or joints.shape[1:] != shape:
        expected = ", ".join(map(str, ("T", *shape)))
        raise VideoError(path, "unreadable", f"the joints must be ({expected}), and are {joints.shape}")
    if not len(joints):
        raise VideoError(path, "empty", "there are no frames in it; get it again or remove it")
    if not np.isfinite(joints).all():
        bad = np.count_nonzero(~np.isfinite(joints))
        raise VideoError(
            path, "unreadable", f"{bad} coordinates are not finite; set them to zero or remove it"
        )
    return joints


def holds_several(path: str | Path, what: str, root: str | Path) -> VideoError:
    """The error for a file that is to be answered as one sequence and holds several, in words `what`."""
    then = command("evaluate", "MODEL", "--data", root, "--part", "all")
    reason = f"it holds {what}, and an answer is for one; score each with `{then}`"
    return VideoError(path, "unreadable", reason)


def option(name: str, value: str) -> str:
    """How an option of a reader is passed, in Python and in a recipe, for a message."""
    return f"pass {name}={value!r} (in a recipe data.options={{{name}={value!r}}})"


def relative(file: str | Path, root: str | Path) -> str:
    """The path of `file` as the manifest has it."""
    return Path(file).relative_to(root).as_posix()


def own(
    dataset: str,
    root: str | Path,
    manifest: str | None,
    suffixes: tuple[str, ...],
    holding: str,
    frames: Callable[[str], bool] | None = None,
) -> Manifest:
    """Files of one's own that are listed or sorted into folders as videos are, see `read_manifest`."""
    found = read_manifest(root, manifest=manifest, suffixes=suffixes, frames=frames)
    for record in found.records:
        is_folder = frames is not None and record.file.is_dir()
        if record.file.suffix.lower() not in suffixes and not is_folder:
            *most, last = suffixes
            raise UserError(f"{record.file}: {holding} are read from {', '.join(most)} and {last} files")
    return replace(found, dataset=dataset)


def finish(
    dataset: str,
    root: str | Path,
    class_names: Iterable[str],
    records: Iterable[Record],
    official: Mapping[str, int],
) -> Manifest:
    """The manifest, if it has records, no record twice and no group in two splits."""
    root, records = Path(root), tuple(records)
    if not records:
        raise UserError(f"{root}: none of the files that {dataset} lists were found below it")
    splits: dict[str, str] = {}
    for record in records:
        if record.path in splits:
            first, second = (split or "the list" for split in (splits[record.path], record.split))
            where = f"twice in {first}" if first == second else f"in {first} and in {second}"
            raise UserError(f"{root}: {record.path!r} is {where}; the lists of {dataset} are damaged")
        splits[record.path] = record.split
    _check_groups(root, records)
    return Manifest(records, tuple(class_names), root, dict(official), dataset)


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
