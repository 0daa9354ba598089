"""Labels that somebody corrected, in a CSV file that `train --data` takes."""

import re
import shutil
from pathlib import Path

from keras_actrec._files import file_sha256, read_csv, replacing, write_csv
from keras_actrec._locks import LOCK, alone_in
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError

_COLUMNS = ("path", "label")
_LETTERS = 60  # of the name that a copy keeps


class Corrections:
    """A CSV file with the columns `path,label`, whose clips lie in its folder. A clip is one row.

    Args:
        path: the file; it is made with the first row.

    Raises:
        UserError: for a name that does not end in .csv, or a file that has other columns.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        if self.path.suffix != ".csv":
            raise UserError(f"{path}: corrections go into a CSV file; name one that ends in .csv")
        self._labels()

    def add(self, clip: Path, name: str, label: str, *, keep: bool) -> str:
        """Add a row, or change that of the same clip, whatever it was called then.

        Args:
            clip: the file.
            name: what it is called where it came from.
            label: what it shows.
            keep: whether to put a copy of a new one beside the CSV file; else it must lie there already,
                under this name.

        Returns:
            The row's path, relative to the CSV file.

        Raises:
            UserError: where the clip does not lie there and no copy is wanted, or for another CSV file.
        """
        folder, content = self.path.parent, file_sha256(clip)

        def lies_at(path: str) -> bool:
            file = folder / path
            same_size = file.is_file() and file.stat().st_size == clip.stat().st_size
            return same_size and file_sha256(file) == content

        with alone_in(folder, "adding a label", name=f"{LOCK}-{self.path.name}", wait=True):
            labels = self._labels()
            path = next(filter(lies_at, labels), None)
            if path is None and keep:
                path = _name_of_copy(name, content)
                with replacing(folder / path) as part:
                    shutil.copyfile(clip, part)
            elif path is None:
                if name != name.strip() or not lies_at(name):
                    raise UserError(
                        f"{name} does not lie beside {self.path.name}, where training would look for it: "
                        "have a copy kept, or put it there"
                    )
                path = name
            rows = [dict(zip(_COLUMNS, row, strict=True)) for row in (labels | {path: label}).items()]
            write_csv(self.path, rows, _COLUMNS)
        return path

    def _labels(self) -> dict[str, str]:
        rows = read_csv(self.path, _COLUMNS) if self.path.exists() else []
        return {row["path"]: row["label"] for row in rows}


def _name_of_copy(name: str, content: str) -> str:
    """A name that is harmless in every folder and shell; the same clip has the same one."""
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    return f"{re.sub(r'[^0-9A-Za-z]+', '_', stem)[:_LETTERS].strip('_') or 'clip'}-{content[:12]}{suffix}"
