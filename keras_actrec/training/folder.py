"""What a run directory holds, and whether a run may go on in it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_actrec._files import read_json, write_json, write_text
from keras_actrec._types import PathLike
from keras_actrec.data import Audit, Record, VideoError
from keras_actrec.data._readers import stamp
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer
from keras_actrec.training.resume import CHECKPOINTS
from keras_actrec.training.tables import Recipe

# Keys that change no number, or only what happens to files that cannot be read: a run may go on with others.
_FREE = {"data": ("on_error", "max_skipped"), "train": ("workers", "processes", "devices")}
_ELSE = "choose another --out, or remove it"


def changes_no_number(table: str, key: str) -> bool:
    """Whether a run may go on with another value of a key of its recipe."""
    return key in _FREE.get(table, ())


@dataclass(frozen=True)
class RunFolder:
    """A run directory. What one holds that has not ended an epoch does not count: it may begin anew.

    Attributes:
        path: of the directory.
        held: the record of the run that it holds, None where it holds none.
    """

    path: Path
    held: dict[str, Any] | None

    @classmethod
    def open(cls, path: PathLike) -> "RunFolder":
        """Look at a directory, which need not exist.

        Raises:
            UserError: for a run without a record.
        """
        path = Path(path)
        empty = cls(path, None)
        if not any(file.exists() for file in (*(path / name for name in CHECKPOINTS), empty.model)):
            return empty
        return cls(path, read_json(empty.record, f"{path} holds what is left of a run; {_ELSE}"))

    def begin(self, recipe: Recipe, record: Mapping[str, Any], files: Mapping[str, Any]) -> None:
        """Write what a run says of itself, from its beginning on.

        Args:
            recipe: of the run.
            record: of the run.
            files: what `check_files` gives.
        """
        write_text(self.path / "recipe.toml", recipe.to_toml())
        write_json(self.record, record)
        write_json(self.files, files, indent=None)

    def end(self, recognizer: Recognizer, record: Mapping[str, Any]) -> None:
        """Write the model and the record of a run that has ended, and remove what it needed to go on."""
        write_json(self.record, record)
        recognizer.save(self.model)
        for needed_to_go_on in (self.files, self.path / CHECKPOINTS[1]):
            needed_to_go_on.unlink(missing_ok=True)

    @property
    def record(self) -> Path:
        """The file of the record."""
        return self.path / "run.json"

    @property
    def model(self) -> Path:
        """The file of the model, which is there when the run has ended."""
        return self.path / "model.keras"

    def check_recipe(self, recipe: Mapping[str, Any]) -> None:
        """Refuse another recipe, as nested dicts, than the run's.

        Raises:
            UserError: with the first key that differs.
        """
        there = self.held["recipe"] if self.held else recipe
        for table in {**recipe, **there}:
            ours, theirs = recipe.get(table, {}), there.get(table, {})
            for key in {**ours, **theirs}:
                if changes_no_number(table, key) or ours.get(key) == theirs.get(key):
                    continue
                was = f"={json.dumps(theirs[key])}" if key in theirs else " not set"
                now = json.dumps(ours[key]) if key in ours else "not set"
                words = f"{table}.{key}{was} there, {now} here"
                raise UserError(f"{self.path} holds a run with another recipe, {words}: {_ELSE}")

    def check_start(self, sha256: str | None) -> None:
        """Refuse another start, by the hash of its file, than the run's; None is none.

        Raises:
            UserError: for another file, or for one instead of none, or none instead of one.
        """
        if self.held is None:
            return
        there = self.held.get("start")
        if (there and there["sha256"]) != sha256:
            words = f"started from {there['file']}" if there else "did not start from another model"
            raise UserError(f"{self.path} holds a run that {words}, so --from must be as then: {_ELSE}")

    def check_data(self, sha256: str) -> None:
        """Refuse other data, by the hash of the manifest, than the run's.

        Raises:
            UserError: for other data.
        """
        if self.held and self.held["data"]["sha256"] != sha256:
            raise UserError(f"{self.path} holds a run whose data was another: {_ELSE}")

    @property
    def files(self) -> Path:
        """The file that says of each file of the data which one it was, until the run has ended."""
        return self.path / "files.json"

    def check_files(
        self, recipe: Recipe, parts: Mapping[str, Iterable[Record]], audit: Audit | None
    ) -> dict[str, list[int | str | None]]:
        """Refuse a file that is not the one that the run has seen: by its hash where two are known.

        One that cannot be read any more is not refused here: the recipe says what happens to it.

        Args:
            recipe: of the run.
            parts: of its data; that for testing is not looked at.
            audit: which knows hashes.

        Returns:
            The size, the time of change and the hash of each file, None where they are not known, by path.

        Raises:
            UserError: for such a file.
        """
        seen = {record.path: record for part in ("train", "validation") for record in parts[part]}
        now = {path: _mark(record, audit) for path, record in seen.items()}
        if self.held is None or not self.files.exists():  # of an older version
            return now
        then = read_json(self.files, f"{self.path} holds what is left of a run; {_ELSE}")
        changed = [seen[path] for path in now if not _is_same(now[path], then.get(path))]
        good, _ = (
            recipe.preprocessor.index(changed, on_error="skip", max_skipped=1.0) if changed else ((), ())
        )
        if good:
            raise UserError(
                f"{good[0][0].file} is another file than when {self.path} was begun, whose numbers would be "
                f"of two data sets: put it back as it was, with its time of change, or {_ELSE}"
            )
        return then

    def check_backend(self, name: str) -> None:
        """Refuse another backend than that of the run, which has not ended.

        Raises:
            UserError: for another one.
        """
        if self.held and self.held["backend"] != name:
            raise UserError(
                f"{self.path} holds a run on {self.held['backend']}: set KERAS_BACKEND to it, or {_ELSE}"
            )


def _mark(record: Record, audit: Audit | None) -> list[int | str | None]:
    """Size, time of change and, where an audit knows it, hash of a file."""
    try:
        size, changed = stamp(record.file)
    except (OSError, VideoError):  # who reads it says what is wrong with it
        return [None, None, None]
    return [size, changed, None if audit is None else audit.hash_of(record)]


def _is_same(now: Sequence[int | str | None], then: Sequence[int | str | None] | None) -> bool:
    if then is None:
        return False
    if now[2] and then[2]:
        return now[2] == then[2]
    return list(now[:2]) == list(then[:2])
