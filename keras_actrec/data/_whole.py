"""Whether a file of a container that claims a length, and no number of frames, has all its bytes.

The length is that of the longest track, often of the sound or the subtitles, and says nothing of the picture.
"""

import struct
from typing import IO

from keras_actrec._types import PathLike
from keras_actrec.data._shards import opened

_EBML = b"\x1a\x45\xdf\xa3"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
_ASF_PROPERTIES = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65"
_MOST_ASF_HEADER = 100_000
_SEGMENT = 0x18538067
_MOST_PARTS = 1_000_000  # a file of nothing but small ones must not hold us up
_TS_PACKET = 188


class _CutOffError(Exception):
    """A part that reaches beyond the end of the file, or is none."""


def is_whole(path: PathLike) -> bool:
    """Whether all bytes are there that the parts of a file claim, by their sizes.

    Returns:
        False for a file that is cut or overwritten between its parts, and for one that counts its frames
        (AVI, mp4 and mov without fragments), where the count decides. True where parts have no sizes: there
        the length is not claimed, but found at the end of what is there. So a cut MPEG-TS or MPEG-PS file
        (.ts, .mpg, .vob) is a shorter one. A size that is no multiple of a packet's tells that MPEG-TS was
        cut, but recordings that were stopped end so as well, and nothing says how much is missing.
    """
    with opened(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(12)
        file.seek(0)
        try:
            if head[:4] == b"RIFF":
                return False
            if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return b"moof" in _boxes(file, size)
            if head[:4] == _EBML:
                return _matroska(file, size)
            if head[:8] == _ASF:
                return _asf(file, size)
            if head[:3] == b"FLV":
                return _flv(file, size)
        except (_CutOffError, struct.error, OSError, OverflowError):  # the last two of sizes beyond any file
            return False
        return head[:1] != b"G" or size % _TS_PACKET == 0


def _boxes(file: IO[bytes], end: int) -> set[bytes]:
    """The kinds of an mp4's outermost boxes."""
    kinds, position = set[bytes](), 0
    for _ in range(_MOST_PARTS):
        if position == end:
            return kinds
        file.seek(position)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        if size == 0 and kind.isalnum():  # up to the end
            size = end - position
        if size < 8 or position + size > end:
            break
        kinds.add(kind)
        position += size
    raise _CutOffError


def _matroska(file: IO[bytes], end: int) -> bool:
    """Whether the segment, and all parts in it one after the other, end where they say."""
    _, size = _element(file)
    file.seek(size, 1)
    kind, size = _element(file)
    position, stop = file.tell(), file.tell() + size
    if kind != _SEGMENT or stop > end:
        return False
    for _ in range(_MOST_PARTS):
        if position >= stop:
            return position == stop
        file.seek(position)
        _, size = _element(file)
        position = file.tell() + size
    return False


def _element(file: IO[bytes]) -> tuple[int, int]:
    """Name and size of an element of EBML, whose first bits tell how many bytes they have."""
    values = []
    for keep_marker in (True, False):
        first = file.read(1)
        if not first or not first[0] or (keep_marker and first[0] < 16):
            raise _CutOffError
        length = 9 - first[0].bit_length()
        value = int.from_bytes(first + file.read(length - 1), "big")
        values.append(value if keep_marker else value - (1 << 7 * length))
    kind, size = values
    if size == (1 << 7 * length) - 1:  # not known: written while it was recorded
        raise _CutOffError
    return kind, size


def _asf(file: IO[bytes], end: int) -> bool:
    position = 0
    for _ in range(_MOST_PARTS):
        if position >= end:
            return position == end
        file.seek(position)
        (size,) = struct.unpack("<16xQ", file.read(24))
        if size < 24:
            return False
        position += size
    return False


def asf_seconds(path: PathLike) -> float:
    """How long the header of a file such as .wmv says it is; 0 where it says nothing, or it is no such file.

    FFmpeg takes the length from the last packet instead, and has none where that was cut off.
    """
    with opened(path) as file:
        head = file.read(_MOST_ASF_HEADER)
    place = head.find(_ASF_PROPERTIES) if head.startswith(_ASF) else -1
    try:
        play, preroll, flags = struct.unpack_from("<64xQ8xQI", head, place)
    except struct.error:
        return 0.0
    broadcast = flags & 1  # then the length is not known
    return 0.0 if place < 0 or broadcast else max(0.0, play / 1e7 - preroll / 1e3)


def _flv(file: IO[bytes], end: int) -> bool:
    file.seek(5)
    (position,) = struct.unpack(">I", file.read(4))
    position += 4
    for _ in range(_MOST_PARTS):
        if position >= end:
            return position == end
        file.seek(position)
        _, high, low = struct.unpack(">BBH", file.read(4))
        position += 11 + (high << 16 | low) + 4
    return False
