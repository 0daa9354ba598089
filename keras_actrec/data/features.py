"""Features that anybody's network has computed: one `.npy` or `.npz` file a clip."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_actrec._archive import open_archive, parts_of, read_header
from keras_actrec._numbers import MAX_SKIPPED
from keras_actrec._text import printable
from keras_actrec._types import PathLike, Progress
from keras_actrec.cluster import Cluster
from keras_actrec.data._readers import stamp
from keras_actrec.data._steps import CutOffError, checked_indices, read_steps
from keras_actrec.data._video_error import VideoError, readable
from keras_actrec.data.decode import Known, index_records
from keras_actrec.data.manifest import Record

FEATURE_SUFFIXES = (".npy", ".npz")

_BLOCK = 2**24  # bytes that are read at a time where a file is read through
_MOST_UNPACKED = 2**30  # bytes of an archive of nothing but zeros, which is read in such pieces
_FORMS = "vectors (T, D) or maps (T, H, W, D), channels last"


@dataclass(frozen=True)
class FeatureFile:
    """The features of one clip in a file, a step a frame or a snippet. They are read when they are asked for.

    A file is taken that holds one array of numbers, floating point or whole ones of any size: vectors
    `(T, D)`, or maps `(T, H, W, D)`, channels last, whose height and width may differ. In a `.npz` file this
    is its only array, or the one named `features`. Pickled objects are never loaded.

    Attributes:
        file: the `.npy` or `.npz` file.
        shape: shape of its array, or of the part of it that `between` gave, `(steps, ...)`.
        dtype: as it is stored.
    """

    file: Path
    shape: tuple[int, ...]
    dtype: str
    _member: str = field(repr=False)  # of the archive; empty for a file without one
    _offset: int = field(repr=False)  # of the array in the file or the member, in bytes
    _fortran: bool = field(repr=False)  # whether the first axis varies fastest
    _stamp: tuple[int, int] = field(repr=False)  # of the file when its header was read
    _first: int = field(default=0, repr=False)  # step of the array
    _steps: int = field(default=0, repr=False)  # of the array, 0 where this is all of it

    @property
    def frames(self) -> int:
        """Number of steps."""
        return self.shape[0]

    @property
    def step(self) -> tuple[int, ...]:
        """Shape of a step, `(D,)` or `(H, W, D)`."""
        return self.shape[1:]

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Reads steps.

        Args:
            indices: which steps, 0-based, in any order and with repeats.

        Returns:
            float32 array `(N, D)` or `(N, H, W, D)`.

        Raises:
            UserError: `indices` is empty or out of range.
            VideoError: the file is missing, cut, damaged or changed, or a number is not finite in float32.
        """
        indices = checked_indices(indices, self.frames)
        with self._open() as file:
            return self._read(file, indices)

    def with_step(self, step: tuple[int, ...], whose: str) -> "FeatureFile":
        """The file itself, if its steps have this shape.

        Args:
            step: the shape.
            whose: who has it, in words for the error.

        Raises:
            VideoError: for steps of another shape.
        """
        if self.step != step:
            reason = f"its steps have the shape {self.step}, and {whose} {step}"
            raise VideoError(self.file, "unreadable", f"{reason}; compute it as the others or remove it")
        return self

    def between(self, start: int | None, stop: int | None) -> "FeatureFile":
        """The steps from `start` to the one before `stop`, numbered from 0 on; None is the end.

        Raises:
            VideoError: where a tenth of them or more, or all, are not there.
        """
        first = start or 0
        there = min(self.frames, self.frames if stop is None else stop) - first
        if there < 1 or (stop is not None and 10 * there < 9 * (stop - first)):
            asked = f"step {first} to {'the end' if stop is None else stop}"
            reason = f"it has {self.frames} steps, the sequence is from {asked}; mend the list or the file"
            raise VideoError(self.file, "truncated", reason)
        whole = self._steps or self.frames
        return replace(self, shape=(there, *self.step), _first=self._first + first, _steps=whole)

    def check(self) -> None:
        """Reads all steps, in parts, and keeps none.

        Raises:
            VideoError: as `read`.
        """
        size = math.prod(self.step) * np.dtype(self.dtype).itemsize
        most = self.frames if self._fortran else max(1, _BLOCK // size)
        with self._open() as file:
            for start in range(0, self.frames, most):
                self._read(file, np.arange(start, min(start + most, self.frames)))

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        with _named(self.file):
            if stamp(self.file) != self._stamp:
                raise VideoError(self.file, "unreadable", "it changed while it was in use; run again")
            with _opened(self.file, self._member) as file:
                yield file

    def _read(self, file: IO[bytes], indices: np.ndarray) -> np.ndarray:
        indices, shape = indices + self._first, (self._steps or self.frames, *self.step)
        if self._fortran:  # steps do not lie together
            file.seek(self._offset)
            size = math.prod(shape) * np.dtype(self.dtype).itemsize
            steps = np.frombuffer(file.read(size), self.dtype).reshape(shape, order="F")[indices]
        else:
            steps = read_steps(file, self._offset, shape, self.dtype, indices)
        with np.errstate(over="ignore"):  # what does not fit is refused below
            steps = np.ascontiguousarray(steps, "float32")
        finite = np.isfinite(steps).reshape(len(steps), -1).all(axis=1)
        if not finite.all():
            reason = f"step {indices[np.argmin(finite)]} holds what is not a finite number in float32"
            raise VideoError(self.file, "unreadable", f"{reason}; compute it again or remove it")
        return steps


def open_features(path: PathLike) -> FeatureFile:
    """Reads what a file of features says of itself, and none of its steps.

    Args:
        path: the `.npy` or `.npz` file.

    Returns:
        A `FeatureFile`.

    Raises:
        VideoError: for a file that cannot be used; see its `status`: `truncated` where steps are missing.
    """
    path = readable(path)
    with _named(path):
        known = stamp(path)
        member, size = _member_of(path)
        with _opened(path, member) as file:
            shape, fortran, dtype = read_header(file)
            offset = file.tell()
        _check_array(path, shape, dtype)
        there = (size - offset) // (math.prod(shape[1:]) * dtype.itemsize)
        if there < shape[0]:
            reason = f"only {there} of {shape[0]} claimed steps are there; copy or compute it again"
            raise VideoError(path, "truncated", reason, (there, shape[0]))
        return FeatureFile(path, shape, dtype.str, member, offset, fortran, known)


def index_features(
    records: Iterable[Record],
    *,
    step: tuple[int, ...] | None = None,
    on_error: str = "raise",
    max_skipped: float = MAX_SKIPPED,
    workers: int = 2,
    audit: Known | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> tuple[list[tuple[Record, FeatureFile]], list[VideoError]]:
    """Reads through files of features, in threads, and keeps no step.

    All must have steps of one shape: `step`, or that of the first file, in the order of `records`, that can
    be used. Records that are parts of one file (`start`, `stop`) have its steps; it is read once.

    Args:
        records: of a manifest.
        step: shape of a step, `(D,)` or `(H, W, D)`, that a model takes.
        on_error: as in `index_videos`.
        max_skipped: as in `index_videos`.
        workers: as in `index_videos`.
        audit: of files that it knows and that have not changed since only the header is read.
        cluster: as in `index_videos`.
        progress: as in `index_videos`.

    Returns:
        The good files in the order of `records`, and the errors of the bad ones. Together they are as many as
        `records`.

    Raises:
        VideoError: with `on_error="raise"`, the first bad file.
        UserError: an argument out of range, or more than `max_skipped` left out.
    """
    first: list[FeatureFile] = []

    def examine(record: Record) -> FeatureFile:
        known = audit is not None and audit.look_up(record) is not None
        found = open_features(record.file)
        if not known:
            found.check()
        return found

    def finish(record: Record, found: FeatureFile) -> FeatureFile:
        found = found.between(record.start, record.stop)
        if step is not None:
            return found.with_step(step, "the model takes")
        if not first:
            first.append(found)
        return found.with_step(first[0].step, f"{printable(first[0].file)} has")

    return index_records(
        records,
        examine,
        key=lambda record: record.file,
        finish=finish,
        on_error=on_error,
        max_skipped=max_skipped,
        workers=workers,
        cluster=cluster,
        progress=progress,
    )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turns what a damaged file ends in, whatever zip, zlib or NumPy met first, into a `VideoError`."""
    try:
        yield
    except VideoError:
        raise
    except CutOffError as error:
        raise VideoError(path, "truncated", f"{error}; copy or compute it again") from error
    except OSError as error:
        reason = f"it cannot be read ({error.strerror or error}); mend that or remove it"
        raise VideoError(path, "unreadable", reason) from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise VideoError(path, "unreadable", f"not a .npy or .npz file of NumPy ({reason})") from error


@contextmanager
def _opened(path: Path, member: str) -> Iterator[IO[bytes]]:
    """The file, or a member of the archive that it is, as a stream."""
    with open(path, "rb") as file:
        if not member:
            yield file
            return
        with open_archive(file) as archive, archive.open(member) as inside:
            yield inside


def _member_of(path: Path) -> tuple[str, int]:
    """The member of an archive that holds the features, empty for what is none, and its size in bytes."""
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            return "", path.stat().st_size
        with open_archive(file) as archive:
            parts = parts_of(archive, path.stat().st_size, free=_MOST_UNPACKED)
            members = {name.removesuffix(".npy"): info for name, info in parts.items()}
    if "features" not in members and len(members) != 1:
        names = ", ".join(list(members)[:5]) or "none"
        reason = f"its arrays are {printable(names)}; save one alone, or name it `features`"
        raise VideoError(path, "unreadable", reason)
    info = members.get("features", next(iter(members.values())))
    return info.filename, info.file_size


def _check_array(path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
    if dtype.hasobject:
        raise VideoError(path, "unreadable", f"pickled objects are never loaded; {_save('numbers')}")
    if dtype.kind not in "iuf":
        raise VideoError(path, "unreadable", f"its array is of type {dtype}; {_save('numbers')}")
    if len(shape) not in (2, 4) or min(shape[1:]) < 1:
        raise VideoError(path, "unreadable", f"its array has the shape {shape}; {_save(_FORMS)}")
    if shape[0] < 1:
        raise VideoError(path, "empty", "there are no steps in it; compute it again or remove it")


def _save(what: str) -> str:
    return f"save {what} with np.save"
