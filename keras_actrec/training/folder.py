"""What a run directory holds, and whether a run may go on in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_actrec._files import read_json
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError

# Keys that change no number, or only what happens to files that cannot be read: a run may go on with others.
_FREE = {"data": ("on_error", "max_skipped"), "train": ("workers", "processes")}
_ELSE = "choose another --out, or remove it"


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
        if not any((path / name).exists() for name in ("checkpoint.npz", "model.keras")):
            return cls(path, None)
        return cls(path, read_json(path / "run.json", f"{path} holds what is left of a run; {_ELSE}"))

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
                if key in _FREE.get(table, ()) or ours.get(key) == theirs.get(key):
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

    def check_backend(self, name: str) -> None:
        """Refuse another backend than that of the run, which has not ended.

        Raises:
            UserError: for another one.
        """
        if self.held and self.held["backend"] != name:
            raise UserError(
                f"{self.path} holds a run on {self.held['backend']}: set KERAS_BACKEND to it, or {_ELSE}"
            )
