"""What a recognizer says of a file, and tables of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_actrec._files import growing_csv, growing_json
from keras_actrec._text import printable
from keras_actrec._types import PathLike
from keras_actrec.data import VideoError
from keras_actrec.errors import UserError


@dataclass(frozen=True)
class Prediction:
    """The answer to one file, or why there is none.

    Attributes:
        path: the file, or the folder of frames; of a part of it with `#start-stop` after it, in frames.
        status: `ok`, or the `VideoError.status` of a file that cannot be used.
        labels: the most probable classes, best first; none of a bad file.
        scores: their probabilities.
        seconds: that reading the file and answering took. Files are read side by side and answered together,
            so all take less time than the sum.
        error: what is wrong with a bad file and what to do, in one line, without the path; else `None`.
    """

    path: Path
    status: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    seconds: float
    error: str | None = None

    @classmethod
    def of_error(cls, path: Path, error: UserError, seconds: float, file: Path) -> "Prediction":
        """The row of a bad file, of which `path` may be a part."""
        if isinstance(error, VideoError):
            return cls(path, error.status, (), (), seconds, printable(error.reason))
        return cls(path, "unreadable", (), (), seconds, printable(str(error).removeprefix(f"{file}: ")))

    def __str__(self) -> str:
        """One line for people."""
        if self.error is not None:
            return f"{printable(self.path)}  {self.status}: {self.error}"
        found = zip(self.scores, self.labels, strict=True)
        return "  ".join(map(printable, [self.path, *(f"{score:.3f} {label}" for score, label in found)]))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "path": str(self.path),
            "status": self.status,
            "labels": list(self.labels),
            "scores": list(self.scores),
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }

    def to_row(self, top: int) -> dict[str, str]:
        """A row of a table with the `columns(top)`."""
        row = {"path": str(self.path), "status": self.status, "error": self.error or ""}
        row["seconds"] = f"{self.seconds:.3f}"
        for place, (label, score) in enumerate(zip(self.labels[:top], self.scores[:top], strict=True)):
            row |= dict(zip(_pair(place), (label, f"{score:.6f}"), strict=True))
        return row


def columns(top: int) -> list[str]:
    """The header of a table: what most look for first, then the second best answer and so on."""
    pairs = [_pair(place) for place in range(top)]
    return ["path", "status", *pairs[0], "seconds", "error", *(name for pair in pairs[1:] for name in pair)]


def _pair(place: int) -> tuple[str, str]:
    return (f"label_{place + 1}", f"score_{place + 1}") if place else ("label", "score")


@contextmanager
def recording(
    top: int,
    *,
    json: PathLike | None = None,
    csv: PathLike | None = None,
    sources: Sequence[PathLike] = (),
) -> Iterator[Callable[[Prediction], None]]:
    """Yield a function that keeps a prediction in files.

    Rows of `csv`, and of a file `.jsonl`, are on disk when the function returns; any other `json` is written
    when the block ends, also when it was interrupted. Missing folders are made.

    Args:
        top: number of answers in a row of `csv`.
        json: file of what `Prediction.to_json` gives.
        csv: file with the `columns`.
        sources: what must not be overwritten.

    Raises:
        UserError: for a file that is one of the sources.
        OSError: for one that cannot be written.
    """
    read = {Path(source).resolve() for source in sources}
    for path in (json, csv):
        if path is not None and Path(path).resolve() in read:
            raise UserError(f"{path} is what is read: write to another file")
    with ExitStack() as stack:
        rows = None if csv is None else stack.enter_context(growing_csv(csv, columns(top)))
        values = None if json is None else stack.enter_context(growing_json(json))

        def keep(prediction: Prediction) -> None:
            if rows is not None:
                rows(prediction.to_row(top))
            if values is not None:
                values(prediction.to_json())

        yield keep
