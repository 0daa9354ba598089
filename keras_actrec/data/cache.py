"""Decoded frames and features on disk: computed once, found by content, verified whenever they are read."""

import hashlib
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pydantic

from keras_actrec._files import replacing, write_csv, write_json
from keras_actrec._locks import alone_in, make_folder
from keras_actrec._numbers import MOST_WORKERS, whole
from keras_actrec._types import PathLike, Progress
from keras_actrec.cluster import Cluster, Threads, token
from keras_actrec.data._readers import content_hash, stamp
from keras_actrec.data._steps import CutOffError, checked_indices, read_steps
from keras_actrec.data._video_error import VideoError
from keras_actrec.data.decode import VideoInfo, iter_timed, sized
from keras_actrec.data.manifest import Record
from keras_actrec.data.transforms import ClipTransform
from keras_actrec.errors import UserError

if TYPE_CHECKING:
    from keras_actrec.data.audit import Audit

_PAGE = 4096  # bytes
_FORMAT = 1  # of an entry: another number, other folders
_BYTES = {"uint8": 1, "float16": 2}  # of a value; other types are not read


class _Entry(pydantic.BaseModel, extra="forbid"):
    """What stands beside an array."""

    source: str
    prepared: str
    shape: Annotated[list[Annotated[int, pydantic.Field(ge=1)]], pydantic.Field(min_length=1, max_length=32)]
    dtype: Literal["uint8", "float16"]
    offset: Annotated[int, pydantic.Field(ge=0)]
    checksums: list[Annotated[int, pydantic.Field(ge=0, lt=2**32)]]
    seconds: list[pydantic.FiniteFloat] | None


class _Source(pydantic.BaseModel, extra="forbid"):
    """What is noted of a video."""

    size: int
    mtime_ns: int
    sha256: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]


_ENTRY, _SOURCE = tuple(_Entry.model_fields), tuple(_Source.model_fields)


@dataclass(frozen=True)
class CachedVideo:
    """What a cache holds of one video: an array with one step for every frame that was kept.

    Attributes:
        file: the `.npy` file.
        shape: shape of its array, `(steps, ...)`.
        dtype: `"uint8"` or `"float16"`.
        prepared: what was done to decoded frames, `ClipTransform.preparation`; empty for features.
        source: the video's path, as the manifest had it.
        seconds: float64 `(steps,)`, time of each step from the first frame of the video file on, to the
            microsecond; `None` where that is not known.
    """

    file: Path
    shape: tuple[int, ...]
    dtype: str
    prepared: str
    source: str
    seconds: np.ndarray | None = field(repr=False, compare=False)
    _checksums: np.ndarray = field(repr=False, compare=False)
    _offset: int = field(repr=False, compare=False)

    @property
    def frames(self) -> int:
        """Number of steps."""
        return self.shape[0]

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Reads steps and compares each with its checksum.

        Args:
            indices: which steps, 0-based, in any order and with repeats. What lies together is read at once.

        Returns:
            Array `(N, ...)` of type `dtype`.

        Raises:
            UserError: `indices` is empty or out of range, or the file is missing, cut or damaged.
        """
        indices = checked_indices(indices, self.frames)
        try:
            # `np.load` parses a header, which has failed with four threads in it (SystemError, Python 3.11).
            with open(self.file, "rb", buffering=0) as file:
                steps = read_steps(file, self._offset, self.shape, self.dtype, indices)
        except CutOffError as error:
            raise self._refused(f"{error}; remove it") from error
        except OSError as error:
            raise self._refused(f"it cannot be read ({error.strerror}); mend that") from error
        damaged = np.flatnonzero(_checksums(steps) != self._checksums[indices])
        if len(damaged):
            raise self._refused(f"damaged (step {indices[damaged[0]]}); remove it")
        return steps

    def _refused(self, reason: str) -> UserError:
        return UserError(f"{self.file} (of {self.source}): {reason} and run again")


def _checksums(steps: np.ndarray) -> list[int]:
    """CRC-32 of each step: of the sums of its pages, 512 words of 64 bits, and the bytes after the last.

    A CRC-32 of all bytes would take three times as long as reading them.
    """
    data = steps.reshape(len(steps), -1).view("uint8")
    paged = data.shape[1] // _PAGE * _PAGE
    sums = data[:, :paged].view("<u8").reshape(len(steps), -1, _PAGE // 8).sum(axis=2, dtype="<u8")
    return [zlib.crc32(rest, zlib.crc32(pages)) for pages, rest in zip(sums, data[:, paged:], strict=True)]


def cache_frames(
    indexed: Iterable[tuple[Record, VideoInfo]],
    transform: ClipTransform,
    out: PathLike,
    *,
    frame_step: int = 1,
    audit: "Audit | None" = None,
    verify: bool = False,
    workers: int = 2,
    cluster: Cluster | None = None,
    index: str | None = "index.csv",
    progress: Progress | None = None,
) -> list[tuple[Record, CachedVideo]]:
    """Decodes videos and stores their frames as far as they can be prepared before anything is drawn.

    Training that reads them instead of the videos gets the same numbers, bit for bit. An entry is found by
    the content of its video and by everything its bytes depend on, see `extract_features`.

    Args:
        indexed: from `index_videos`.
        transform: its `prepare` is applied. `shrink` keeps the entries of `multiscale` and
            `resized`, which are cut from the frames as they are, small.
        out: folder to write into; made if missing.
        frame_step: every `frame_step`-th frame is stored, from the first on, see `Sampling`.
        audit: its hashes are taken for files that have not changed since.
        verify: whether all files are hashed, also those whose size and time of change are as they were.
        workers: number of threads. Each holds the prepared frames of one video.
        cluster: decodes in place of the threads.
        index: name of the list, a CSV file next to the entries; `None` writes none.
        progress: called as `progress(done, total)` at the start, with what exists already, and after
            videos.

    Returns:
        In the order of `indexed`, items for `ClipDataset`.

    Raises:
        UserError: an argument out of range.
        VideoError: a video that does not decode (any more).
    """
    frame_step = whole("frame_step", frame_step)

    def make(record: Record, info: VideoInfo) -> tuple[np.ndarray, list[float | None]]:
        frames, seconds = [], []
        for second, frame in decoded(record, info, frame_step):
            frames.append(transform.prepare(frame[None])[0])
            seconds.append(second)
        return np.stack(frames), seconds

    return fill(
        indexed,
        make,
        out=out,
        name="frames",
        about=(transform.preparation, frame_step),
        prepared=transform.preparation,
        audit=audit,
        verify=verify,
        workers=workers,
        cluster=cluster,
        index=index,
        progress=progress,
    )


def shard(records: Iterable[Record], part: str) -> list[Record]:
    """One of several parts of a set, for as many machines.

    Parts are even in the number of files; records that are sequences of one file stay together. Do this
    before `index_videos`, so that a machine reads only its own videos.

    Args:
        records: the whole set.
        part: `"2/8"` is the second of eight parts.

    Returns:
        The part's records in the order of `records`.

    Raises:
        UserError: `part` is not of this form.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(part))
    number, count = (int(each) for each in match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise UserError(f'`shard` must be such as "2/8", the second of eight parts. Received: shard={part!r}')
    records = list(records)
    positions = {
        file: position for position, file in enumerate(dict.fromkeys(record.file for record in records))
    }
    return [record for record in records if positions[record.file] % count == number - 1]


def fill(
    indexed: Iterable[tuple[Record, VideoInfo]],
    make: Callable[[Record, VideoInfo], tuple[np.ndarray, list[float | None]]],
    *,
    out: PathLike,
    name: str,
    about: object,
    prepared: str = "",
    audit: "Audit | None",
    verify: bool = False,
    workers: int,
    cluster: Cluster | None = None,
    index: str | None,
    progress: Progress | None,
    computes: bool = False,
) -> list[tuple[Record, CachedVideo]]:
    """Makes the entries that are missing and lists all of them.

    Args:
        indexed: from `index_videos`.
        make: called as `make(record, info)`; gives the array of one video and the seconds of its steps.
        out: the cache's folder.
        name: how the name of the entries' folder begins.
        about: everything that an entry depends on in addition to the video; its `repr` says all.
        prepared: see `CachedVideo`.
        audit: see `cache_frames`.
        verify: see `cache_frames`.
        workers: number of threads that hash, and that call `make` if that may be.
        cluster: hashes and makes in their place.
        index: see `cache_frames`.
        progress: see `cache_frames`.
        computes: whether `make` runs a model, and so in no thread.

    Returns:
        The records and their entries, in the order of `indexed`.
    """
    workers = whole("workers", workers, high=MOST_WORKERS)
    indexed = list(indexed)
    make_folder(Path(out))  # before an error of it is taken for one of a video
    folder = Path(out) / f"{name}-{hashlib.sha256(repr((_FORMAT, about)).encode()).hexdigest()[:16]}"

    def file_of(pair: tuple[Record, VideoInfo]) -> Path:
        key = _key(pair[0], Path(out), audit, verify)
        return folder / key[:2] / f"{key}.npy"

    def one(item: tuple[Path, tuple[Record, VideoInfo]]) -> CachedVideo:
        file, (record, info) = item
        array, seconds = make(record, info)
        if file_of((record, info)) != file:  # what was read is not what was hashed
            raise VideoError(record.file, "unreadable", "it changed while it was read; index it again")
        # Two files: of two processes that make one entry, and differ by rounding, the first one's are kept.
        with alone_in(Path(out), "writing into it", wait=True):
            if _read(file) is None:
                _write(file, array, seconds, prepared, record.path)
        entry = _read(file)
        if entry is None:
            raise UserError(f"{file}: it was removed or changed as soon as it was written; run again")
        return entry

    pool = cluster or Threads(workers)
    with nullcontext() if cluster is None else token(Path(out)) as shown:
        shared = () if shown is None else (shown,)
        files = list(pool.in_order(file_of, indexed, files=lambda pair: (pair[0].file, *shared)))
        found = {file: _read(file) for file in dict.fromkeys(files)}
        entries = {file: entry for file, entry in found.items() if entry is not None}
        todo: dict[Path, tuple[Record, VideoInfo]] = {}
        for file, pair in zip(files, indexed, strict=True):
            if file not in entries:
                todo.setdefault(file, pair)  # of copies of a video the first one
        count = Counter(files)
        done = sum(count[file] for file in entries)
        if progress is not None:
            progress(done, len(indexed))
        made = pool.in_order(
            one, todo.items(), computes=computes, files=lambda item: (item[1][0].file, *shared)
        )
        with closing(made):
            for entry in made:
                entries[entry.file] = entry
                done += count[entry.file]
                if progress is not None:
                    progress(done, len(indexed))
    pairs = [(record, entries[file]) for (record, _), file in zip(indexed, files, strict=True)]
    if index is not None:
        _write_index(folder / index, pairs)
    return pairs


def decoded(record: Record, info: VideoInfo, frame_step: int) -> Iterator[tuple[float | None, np.ndarray]]:
    """Pairs of seconds and frame, for every `frame_step`-th frame of a record, all of the video's size."""
    for seconds, frame in iter_timed(record.file, frame_step, start=record.start, stop=record.stop):
        yield seconds, sized(frame, (info.height, info.width))


def _key(record: Record, out: Path, audit: "Audit | None", verify: bool) -> str:
    """What tells the entry of a record from others: the hash of its video, and its part if not all of it."""
    key = _hash(record, out, audit, verify)
    if record.start is None and record.stop is None:
        return key
    return f"{key}.{record.start or 0}-{'' if record.stop is None else record.stop}"


def _hash(record: Record, out: Path, audit: "Audit | None", verify: bool) -> str:
    """The video's content hash, which is remembered while size and time of change stay what they were."""
    known = audit and not verify and audit.hash_of(record)
    if known:
        return known
    key = hashlib.sha256(str(Path(record.file).absolute()).encode("utf-8", "surrogateescape")).hexdigest()
    note = out / "sources" / key[:2] / f"{key}.json"
    try:
        size, changed = stamp(record.file)
        noted = _json(note, _Source)
        if noted and not verify and (noted["size"], noted["mtime_ns"]) == (size, changed):
            return noted["sha256"]
        values = size, changed, content_hash(record.file)
    except OSError as error:
        reason = f"it cannot be read ({error.strerror}); mend that or remove it"
        raise VideoError(record.file, "unreadable", reason) from error
    write_json(note, dict(zip(_SOURCE, values, strict=True)), indent=None)
    return values[-1]


def _write(file: Path, array: np.ndarray, seconds: list[float | None], prepared: str, source: str) -> None:
    with replacing(file) as temporary:
        np.save(temporary, array, allow_pickle=False)
        offset = temporary.stat().st_size - array.nbytes
    known = [round(second, 6) for second in seconds if second is not None]
    times = known if len(known) == len(seconds) else None
    values = source, prepared, array.shape, str(array.dtype), offset, _checksums(array), times
    write_json(file.with_suffix(".json"), dict(zip(_ENTRY, values, strict=True)), indent=None)


def _write_index(file: Path, pairs: Iterable[tuple[Record, CachedVideo]]) -> None:
    """Write the list of entries, whose files are named from its folder on."""
    columns = ("path", "label", "file", "steps")
    rows = (
        (record.path, record.label, video.file.relative_to(file.parent).as_posix(), video.frames)
        for record, video in pairs
    )
    write_csv(file, (dict(zip(columns, row, strict=True)) for row in rows), columns)


def _read(file: Path) -> CachedVideo | None:
    """The entry, or `None` where it is not complete: then it is made anew."""
    about = _json(file.with_suffix(".json"), _Entry)
    if about is None or not file.is_file():
        return None
    shape, seconds = tuple(about["shape"]), about["seconds"]
    size = about["offset"] + math.prod(shape) * _BYTES[about["dtype"]]
    if file.stat().st_size != size or len(about["checksums"]) != shape[0]:
        return None
    if seconds is not None and len(seconds) != shape[0]:
        return None
    return CachedVideo(
        file=file,
        shape=shape,
        dtype=about["dtype"],
        prepared=about["prepared"],
        source=about["source"],
        seconds=None if seconds is None else np.array(seconds),
        _checksums=np.array(about["checksums"], "uint32"),
        _offset=about["offset"],
    )


def _json(path: Path, form: type[pydantic.BaseModel]) -> dict[str, Any] | None:
    """The values of a JSON file, or `None` where it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        form.model_validate(values, strict=True)
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return values
