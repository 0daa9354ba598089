"""Rows of results, made of what a run and its test have written."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from keras_actrec._files import write_csv
from keras_actrec.errors import UserError

RESULT_COLUMNS = (
    "experiment",
    "recipe",
    "set",
    "fold",
    "seed",
    "top1",
    "mean_class",
    "videos",
    "skipped",
    "found",
    "official",
    "protocol",
    "commit",
    "backend",
    "machine",
    "manifest",
    "seconds",
)
_OWN_COLUMN = ("train.seed", "data.test_fold")  # overrides that `set` does not repeat


def result_row(run: str | Path) -> dict[str, str]:
    """The row of a run directory: from `run.json`, and from `test.json`, which `evaluate --json` wrote there.

    Args:
        run: the run directory.

    Returns:
        dict of text by column. `experiment` is what the recipe is called in its model's folder, `set` what
        was changed in it, without seed and fold, `found` and `official` count the whole set.

    Raises:
        UserError: for a file that is missing or was not written by `train` and `evaluate`, and for a test on
            other data than the run's or not on its test part.
    """
    run = Path(run)
    record = _read(run / "run.json", "is it a run directory whose training has ended?")
    scores = _read(
        run / "test.json",
        f"write it with `keras-actrec evaluate {run / 'model.keras'} --data DATA --json {run / 'test.json'}`",
    )
    try:
        if (scores["manifest"], scores["part"]) != (record["data"]["sha256"], "test"):
            raise UserError(
                f"{run / 'test.json'}: a row is about the test part of the data that the run was trained on, "
                f"and this is about {scores['part']!r} or about other data: evaluate it on that"
            )
        recipe, data = record["recipe"], record["data"]
        fold, official = recipe["data"].get("test_fold"), data["official"]
        changes = [each for each in record["overrides"] if each.partition("=")[0].strip() not in _OWN_COLUMN]
        row = {
            "experiment": PurePosixPath(record["recipe_name"]).stem,
            "recipe": record["recipe_name"],
            "set": " ".join(changes),
            "fold": "" if fold is None else fold,
            "seed": recipe["train"]["seed"],
            "top1": f"{scores['top1']:.4f}",
            "mean_class": f"{scores['mean_class']:.4f}",
            "videos": scores["videos"],
            "skipped": len(scores["skipped"]),
            "found": data["found"],
            "official": "" if official is None else official,
            "protocol": scores["protocol"],
            "commit": record["commit"] or "",
            "backend": f"{record['backend']} {record['versions'][record['backend']]}",
            "machine": record["machine"],
            "manifest": data["sha256"][:12],
            "seconds": record["seconds"],
        }
    except KeyError as error:
        raise UserError(
            f"{run}: run.json or test.json was written by an older keras_actrec and lacks {error}: "
            "train and evaluate it again"
        ) from error
    return {name: str(value) for name, value in row.items()}


def read_results(path: str | Path) -> list[dict[str, str]]:
    """The rows of a results file: a list of dicts of text, empty where the file does not exist."""
    path = Path(path)
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        unknown = [str(name) for name in row if name not in RESULT_COLUMNS]
        if unknown:
            raise UserError(f"{path} is not a file of results: it has the column {unknown[0]!r}")
    return rows


def write_results(path: str | Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write rows of `result_row` into a results file.

    Those of other experiments stay; those of the same experiments are replaced, all of them, so that no
    number stays whose run does not exist any more.
    """
    rows = list(rows)
    ours = {row["experiment"] for row in rows}
    others = [row for row in read_results(path) if row["experiment"] not in ours]
    write_csv(path, [*others, *rows], RESULT_COLUMNS)


def _read(path: Path, hint: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: {hint}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {hint}") from error
