"""Folders that one process at a time may work in, and files that one at a time may write."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_actrec.errors import UserError

LOCK = ".lock"  # how the names of our files begin that are no part of what a folder holds

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, 2**30, os.SEEK_SET)  # what is locked cannot be read there: a byte behind the content
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_free(handle: int) -> bool:
    """Take the lock of an open file, if no other process has it.

    The kernel gives it back when the file is closed or the process is gone, also by `kill -9`. Some network
    file systems have no locks: there every file is free, and nothing is better than it was without.
    """
    try:
        _lock(handle)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def make_folder(path: Path) -> None:
    """Make a folder, and those above, where it is missing.

    Raises:
        UserError: there is a file in its place, or in that of one above.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{path} cannot be a folder, there is a file: choose another place") from error


@contextmanager
def alone_in(
    folder: str | os.PathLike[str], doing: str, *, name: str = LOCK, wait: bool = False
) -> Iterator[None]:
    """Be the only process in a folder for the time of the block. It is made, and if it stays empty removed.

    Args:
        folder: the folder.
        doing: what another process is doing there, in words for the error.
        name: of the file whose lock it is. It is gone afterwards; one that a killed process left is free.
        wait: whether to wait for another process, for work that is short.

    Raises:
        UserError: another process is in it; or it is a file.
    """
    path = Path(folder)
    made = [each for each in (path, *path.parents) if not each.exists()]
    make_folder(path)
    handle = _take(path / name, f"{path}: another process is {doing}", wait)
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):  # Windows keeps the names of open files
                os.unlink(path / name)
            os.close(handle)
        with suppress(OSError):  # not empty
            for each in made:
                each.rmdir()


def _take(file: Path, busy: str, wait: bool) -> int | None:
    """The open file whose lock we have; None where none can be made: who writes there says what is wrong."""
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None
        free = is_free(handle)
        if free and _is_at(handle, file):
            with suppress(OSError):  # a full disk
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()} {socket.gethostname()}".encode())
            return handle
        # Taken, or removed by the one who had it before.
        if not free and not wait:
            who = _who(handle)
            os.close(handle)
            raise UserError(f"{busy}{who}; wait, or choose another --out")
        os.close(handle)
        if not free:
            time.sleep(0.02)


def _is_at(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(file))
    except FileNotFoundError:
        return False


def _who(handle: int) -> str:
    """Who has the lock, where that is written already."""
    pid, _, host = os.read(handle, 300).decode(errors="replace").partition(" ")
    elsewhere = f" on {host}" if host != socket.gethostname() else ""
    return f" (pid {pid}{elsewhere})" if pid else ""
