"""The error about one file, and the first reasons for it."""

from pathlib import Path

from keras_actrec._text import printable
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError


class VideoError(UserError):
    """A video that cannot be used.

    Attributes:
        path: the file.
        status: `unreadable` (cannot be opened), `empty` (opens, but no frame decodes) or `truncated` (fewer
            than 9 in 10 of the frames that its header claims decode).
        reason: what is wrong and what to do, without the path.
        counts: of a truncated file, the frames that decode and those that its header claims; else `None`.
    """

    def __init__(
        self, path: PathLike, status: str, reason: str, counts: tuple[int, int] | None = None
    ) -> None:
        super().__init__(path, status, reason, counts)  # all of them, so that the error survives pickling
        self.path, self.status, self.reason, self.counts = Path(path), status, reason, counts

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.reason}")


def unforeseen(path: PathLike, error: Exception) -> VideoError:
    """The error for a file that ends in what nobody has thought of: it is that file's, and stops no run."""
    reason = printable(" ".join(f"{type(error).__name__}: {error}".split())[:200])
    return VideoError(path, "unreadable", f"it cannot be read ({reason}); get it again or remove it")


def readable(path: PathLike) -> Path:
    """The path, if there is a file with something in it."""
    path = Path(path)
    if not path.exists():
        raise VideoError(path, "unreadable", "file not found; check the path")
    if not path.is_file():  # of a pipe reading might never end
        raise VideoError(path, "unreadable", "it is no regular file; remove it")
    if not path.stat().st_size:
        raise VideoError(path, "unreadable", "the file has zero bytes; get it again or remove it")
    return path
