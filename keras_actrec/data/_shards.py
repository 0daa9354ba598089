"""Tar files as folders: what they hold is read as `shards/000012.tar/its/name`, and never unpacked.

A member is a stretch of its file.
"""

import functools
import io
import os
import re
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from keras_actrec._types import PathLike
from keras_actrec.data._video_error import VideoError, readable

SHARD = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4")
_MOST_HEADERS = 1 << 13  # bytes of a member before its content; Python takes long for those of PAX
_MOST_BEHIND = 1 << 20  # bytes behind the end; writers fill up to a whole record
_BLOCK = 512
_INSIDE = re.compile(r"\.tar(?=[/\\])", re.IGNORECASE)
_AGAIN = "pack it again, or get it again"


class Member(NamedTuple):
    """A regular file in a shard: its bytes from `start` on, `size` of them."""

    shard: Path
    start: int
    size: int


class _Headers:
    """A tar file of which headers are read, and none that claims to be long."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.left = _MOST_HEADERS

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, size: int) -> bytes:
        self.left -= size
        if size < 0 or self.left < 0:
            raise ValueError(f"a header has more than {_MOST_HEADERS} bytes")
        return self.file.read(size)


def shard_of(path: PathLike) -> Path | None:
    """The tar file that a path leads into; None for every other path, whether it exists or not."""
    name = os.fspath(path)
    ends = [found.end() for found in _INSIDE.finditer(name)]
    return next((Path(name[:end]) for end in ends if os.path.isfile(name[:end])), None)


def is_there(path: PathLike) -> bool:
    """Whether there is such a file, or one in a tar file.

    Raises:
        VideoError: the tar file cannot be read, see `members`.
    """
    shard = shard_of(path)
    return os.path.isfile(path) if shard is None else inside(shard, path) in members(shard)


def member_of(path: PathLike) -> Member | None:
    """Where a path's bytes lie that leads into a tar file; None for every other path.

    Raises:
        VideoError: the tar file cannot be read, see `members`, or has no such member.
    """
    shard = shard_of(path)
    if shard is None:
        return None
    found = members(shard).get(inside(shard, path))
    if found is None:
        raise VideoError(path, "unreadable", "no such file in the tar file; check the path")
    return Member(shard, *found)


def inside(shard: Path, path: PathLike) -> str:
    """The name of a member of a tar file by its path."""
    return Path(path).relative_to(shard).as_posix()


def members(shard: PathLike) -> dict[str, tuple[int, int]]:
    """The regular files in a tar file, in its order: name to first byte and size.

    A file is read once in a process, as long as its size and its time of change stay the same; that takes 2 s
    of a core for 100,000 members.

    Raises:
        VideoError: for a file that is compressed, cut off or damaged, and for members that are links or no
            files, lead out of it, have one name or claim bytes that are not there.
    """
    about = readable(shard).stat()
    try:
        return _members(Path(os.path.abspath(shard)), about.st_size, about.st_mtime_ns)
    except VideoError as error:  # as the file was named
        raise VideoError(shard, error.status, error.reason) from error


@functools.lru_cache(maxsize=4096)
def _members(shard: Path, size: int, changed: int) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    try:
        with open(shard, "rb") as file:
            for member in _headers(file):
                name = _checked(member, size)
                if name in found:
                    raise ValueError(f"it has {name[:100]!r} twice")
                if name:
                    found[sys.intern(name)] = (member.offset_data, member.size)
    except OSError as error:
        reason = f"it cannot be read ({error.strerror}); mend that or remove it"
        raise VideoError(shard, "unreadable", reason) from error
    except Exception as error:  # a damaged file ends in whatever Python met first
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise VideoError(shard, "unreadable", f"not a tar file to read from ({reason}); {_AGAIN}") from error
    return found


def _headers(file: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """The members of a tar file up to its end, which must be one."""
    headers = _Headers(file)
    try:
        archive = tarfile.TarFile(fileobj=headers, mode="r")
    except tarfile.ReadError as error:
        raise ValueError("it is compressed, or no tar file at all") from error
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # Python would keep them all
        headers.left = _MOST_HEADERS
        yield member
    file.seek(archive.offset)  # Python takes a damaged header for the end
    if file.read(_BLOCK) != bytes(_BLOCK):
        raise ValueError(f"it is damaged or cut off at byte {archive.offset}")
    if file.seek(0, os.SEEK_END) - archive.offset > _MOST_BEHIND:
        raise ValueError(f"more follows its end, at byte {archive.offset}; it may be several in one")


def _checked(member: tarfile.TarInfo, size: int) -> str:
    """The name of a regular file, empty for a folder."""
    name = member.name
    if not 0 <= member.size <= size - member.offset_data:
        raise ValueError(f"it ends within {name[:100]!r}")
    if member.isdir():
        return ""
    if not member.isreg() or member.issparse():
        kind = "a link" if member.islnk() or member.issym() else "no regular file"
        raise ValueError(f"{name[:100]!r} in it is {kind}")
    parts = name.split("/")
    if ".." in parts or not parts[0]:
        raise ValueError(f"{name[:100]!r} leads out of it")
    return "/".join(part for part in parts if part not in ("", "."))


@contextmanager
def opened(path: PathLike) -> Iterator[io.BufferedReader]:
    """A file, or a member of a tar file, to read from and to seek in.

    Raises:
        OSError: for a file that cannot be read.
        VideoError: as `member_of`.
    """
    member = member_of(path)
    if member is None:
        with open(path, "rb") as file:
            yield file
        return
    about = tarfile.TarInfo()
    about.offset_data, about.size = member.start, member.size
    with tarfile.open(member.shard, "r:") as archive:
        content = archive.extractfile(about)
        assert isinstance(content, io.BufferedReader)
        yield content
