"""What an mp4 header says: of an edit list, which hides frames that its counts include, and of a cover."""

import itertools
import struct
from collections.abc import Callable, Iterator
from typing import IO, TypeVar

from keras_actrec._types import PathLike
from keras_actrec.data._shards import opened

_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_MOST_BOXES = 1000  # before `moov`; a file of nothing but small ones must not hold us up
_MOST_BYTES = 1 << 27  # of `moov`; that of a day's video has less
_HEADER = struct.Struct(">I4s")
_T = TypeVar("_T")


def shown_share(path: PathLike) -> float | None:
    """Share of the video track's length that its edit list shows.

    Returns:
        1.0 without an edit list or where the header cannot be followed, `None` where the file is no mp4 (or
        mov), whose frame count is one by one.
    """
    return _asked(path, _share, 1.0)


def cover_comes_first(path: PathLike) -> bool:
    """Whether an mp4 names a cover before its first track, so that FFmpeg counts it as the first video."""
    return bool(_asked(path, _cover_comes_first, False))


def _asked(path: PathLike, ask: Callable[[bytes], _T], unknown: _T) -> _T | None:
    """What is found in `moov`, `unknown` where that cannot be followed, `None` where the file is no mp4."""
    with opened(path) as file:
        if file.read(8)[4:] not in _FIRST_BOXES:
            return None
        try:
            return ask(_moov(file))
        except (
            struct.error,
            KeyError,
            ValueError,
            ArithmeticError,
            OSError,
        ):  # OSError of sizes beyond any file
            return unknown


def _moov(file: IO[bytes]) -> bytes:
    position, end = 0, file.seek(0, 2)
    for _ in range(_MOST_BOXES):
        file.seek(position)
        size, kind = _HEADER.unpack(file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        if kind == b"moov":
            rest = end - file.tell()  # which a size of 64 bits may be far beyond
            return file.read(min(rest, position + size - file.tell() if size else rest, _MOST_BYTES))
        if size < 8:  # 0: the last box, up to the end of the file
            break
        position += size
    raise KeyError("moov")


def _share(moov: bytes) -> float:
    _, movie_scale = _length(_children(moov)[b"mvhd"][0])
    for box in _children(moov)[b"trak"]:
        track = _children(box)
        media = _children(track[b"mdia"][0])
        if media[b"hdlr"][0][8:12] != b"vide":
            continue
        if b"edts" not in track:
            return 1.0
        duration, scale = _length(media[b"mdhd"][0])
        shown = sum(_edits(_children(track[b"edts"][0])[b"elst"][0]))
        return min(1.0, (shown / movie_scale) / (duration / scale))
    raise KeyError("vide")


def _cover_comes_first(moov: bytes) -> bool:
    boxes = _children(moov)
    before = itertools.takewhile(lambda kind: kind != b"trak", boxes)
    return any(b"covr" in box for kind in before if kind in (b"udta", b"meta") for box in boxes[kind])


def _children(box: bytes) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    position = 0
    while position + 8 <= len(box):
        size, kind = _HEADER.unpack_from(box, position)
        if size < 8:
            break
        found.setdefault(kind, []).append(box[position + 8 : position + size])
        position += size
    return found


def _length(header: bytes) -> tuple[int, int]:
    """Duration and units a second of `mvhd` or `mdhd`."""
    scale, duration = struct.unpack_from(">20xIQ" if header[0:1] == b"\x01" else ">12xII", header)
    return duration, scale


def _edits(table: bytes) -> Iterator[int]:
    """Durations of the stretches that are shown; those with time -1 are empty."""
    row = struct.Struct(">QqI" if table[0:1] == b"\x01" else ">IiI")
    (count,) = struct.unpack_from(">4xI", table)
    for position in range(8, min(8 + count * row.size, len(table) - row.size + 1), row.size):
        duration, time, _ = row.unpack_from(table, position)
        if time != -1:
            yield duration
