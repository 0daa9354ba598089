"""Rows of results, made of what a run and its test have written."""

import statistics
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from keras_actrec._files import read_csv, read_json, write_csv
from keras_actrec._numbers import MAX_SKIPPED
from keras_actrec._text import command
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError
from keras_actrec.evaluation.metrics import student_interval

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
    "floor",
    "floor_of",
)
_SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy")  # of a history


def find_runs(folders: Iterable[str | Path]) -> list[Path]:
    """The run directories among folders, and, sorted, those inside of a folder that is none itself.

    Raises:
        UserError: for a folder that is no run directory and holds none.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        inside = [folder] if (folder / "run.json").exists() else sorted(_below(folder))
        if not inside:
            raise UserError(f"{folder} is no run directory and holds none: training writes run.json into one")
        found += [run for run in inside if run not in found]
    return found


def _below(folder: Path) -> Iterator[Path]:
    return (file.parent for file in folder.rglob("run.json"))


def read_record(run: Path) -> dict[str, Any]:
    """What a run says of itself.

    Raises:
        UserError: for a directory without a record.
    """
    return read_json(run / "run.json", "is it a run directory?")


def is_evaluated(run: str | Path) -> bool:
    """Whether a run has ended and has the scores of `evaluate --json`, which `result_row` needs.

    Raises:
        UserError: for a `run.json` that is none.
    """
    run = Path(run)
    ended = (run / "test.json").exists() and read_record(run)
    return isinstance(ended, dict) and "seconds" in ended


def describe_run(run: str | Path) -> str:
    """Say in a line what a run has reached: its scores, or how far it is and what comes next.

    Args:
        run: the run directory, of a run that is evaluated, finished or not finished.

    Raises:
        UserError: as `result_row`.
    """
    run = Path(run)
    if is_evaluated(run):
        row = result_row(run)
        scores = f"top-1 {row['top1']}  mean class {row['mean_class']}"
        return f"{_words(row)}: {scores}  {row['videos']} videos, {row['skipped']} skipped"
    record = read_record(run)
    with of_this_version(run):
        words, epochs = _words(columns_of(record)), record["recipe"]["train"]["epochs"]
        wanted = evaluation_command(run, record, "DATA", "--json", run / "test.json")
        rows = _rows(run / "history.csv")
        values = {name: value for name, value in rows[-1].items() if name in _SHOWN} if rows else {}
        reached = "  ".join([f"{name} {float(value):.4f}" for name, value in values.items()])
    if not (run / "model.keras").exists():
        after = f"{run} is unfinished: the same command goes on"
    else:
        after = f"not evaluated: {wanted}"
    return f"{words}: " + "  ".join(filter(None, [f"epoch {len(rows)} of {epochs}", reached, after]))


def result_row(run: str | Path) -> dict[str, str]:
    """The row of a run directory: from `run.json`, and from `test.json`, which `evaluate --json` wrote there.

    Args:
        run: the run directory.

    Returns:
        dict of text by column. `experiment` is what the recipe is called in its model's folder, `set` what
        was changed in it, without seed and fold, which is the number of an official split too; `found` and
        `official` count the whole set; `floor` is the highest of the test's floors and `floor_of` its name,
        empty where it has none.

    Raises:
        UserError: for a file that is missing or was not written by `train` and `evaluate`, and for a test on
            other data than the run's or not on its test part.
    """
    run = Path(run)
    record = read_record(run)
    with of_this_version(run):
        wanted = evaluation_command(run, record, "DATA", "--json", run / "test.json")
    scores = read_json(run / "test.json", f"write it with `{wanted}`")
    with of_this_version(run):
        if (scores["manifest"], scores["part"]) != (record["data"]["sha256"], "test"):
            raise UserError(
                f"{run / 'test.json'}: a row is about the test part of the data that the run was trained on, "
                f"and this is about {scores['part']!r} or about other data: evaluate it on that"
            )
        data, official = record["data"], record["data"]["official"]
        floor = max((scores["floors"] or {}).items(), key=lambda pair: pair[1], default=None)
        row = {
            **columns_of(record),
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
            "floor": "" if floor is None else f"{floor[1]:.4f}",
            "floor_of": "" if floor is None else floor[0],
        }
    return {name: str(row[name]) for name in RESULT_COLUMNS}


def columns_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The columns that tell what was trained."""
    recipe, name = record["recipe"], record["recipe_name"]
    key, fold = _fold(recipe["data"])
    own = ("train.seed", "data.test_fold", key)
    changes = [each for each in record["overrides"] if each.partition("=")[0].strip() not in own]
    return {
        "experiment": PurePosixPath(name).stem,
        "recipe": name,
        "set": " ".join(changes),
        "fold": "" if fold is None else str(fold),
        "seed": str(recipe["train"]["seed"]),
    }


def _fold(data: Mapping[str, Any]) -> tuple[str, Any]:
    """Which key of `[data]` says the fold, or the number of an official split, and what it says."""
    options, split = data.get("options", {}), data.get("split")
    if data.get("test_fold") is None and options.keys() == {"fold"}:
        return "data.options", options["fold"]
    if data.get("test_fold") is None and isinstance(split, int):
        return "data.split", split
    return "data.test_fold", data.get("test_fold")


def describe_folds(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Say in a line what runs that differ in fold and seed alone have reached together.

    A fold counts once, with the mean of its seeds; then the mean over the folds and the half width of its
    95 % interval by Student's t. It is over these folds, which share clips.

    Args:
        rows: of `result_row`.

    Returns:
        A line for every recipe that was run on two folds or more.
    """
    groups: dict[tuple[str, str], dict[str, list[Mapping[str, str]]]] = {}
    for row in rows:
        if row["fold"]:
            groups.setdefault((row["recipe"], row["set"]), {}).setdefault(row["fold"], []).append(row)
    lines = []
    for (recipe, changes), folds in groups.items():
        if len(folds) < 2:
            continue
        top1, mean_class = (
            student_interval([statistics.mean(float(row[name]) for row in fold) for fold in folds.values()])
            for name in ("top1", "mean_class")
        )
        words = " ".join(filter(None, [recipe, changes]))
        lines.append(
            f"{words}, mean of {len(folds)} folds: top-1 {top1[0]:.4f} ± {top1[1]:.4f}  "
            f"mean class {mean_class[0]:.4f}"
        )
    return lines


def _words(row: Mapping[str, str]) -> str:
    fold = f"fold {row['fold']}" if row["fold"] else ""
    return " ".join(filter(None, [row["recipe"], row["set"], fold, f"seed {row['seed']}"]))


def evaluation_command(run: Path, record: Mapping[str, Any], data: PathLike = "DATA", *more: object) -> str:
    """The command that evaluates a run, and that stops at no file that training left out.

    Args:
        run: the run directory.
        record: what is in its `run.json`.
        data: the folder or file of the set.
        *more: words behind these.
    """
    table = record["recipe"]["data"]
    skip = ["--on-error", "skip"] if table.get("on_error") == "skip" else []
    most = ["--max-skipped", table["max_skipped"]] if skip and table["max_skipped"] != MAX_SKIPPED else []
    return command("evaluate", run / "model.keras", "--data", data, *skip, *most, *more)


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, none where it does not exist."""
    return read_csv(path) if path.exists() else []


@contextmanager
def of_this_version(run: Path) -> Iterator[None]:
    """Say of a run whose files are damaged, or of an older version, that they are."""
    try:
        yield
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{run}: what it holds is damaged ({reason}): train and evaluate it again") from error
    except KeyError as error:
        raise UserError(
            f"{run}: run.json or test.json was written by an older keras_actrec and lacks {error}: "
            "train and evaluate it again"
        ) from error


def read_results(path: str | Path) -> list[dict[str, str]]:
    """The rows of a results file: a list of dicts of text, empty where the file does not exist."""
    rows = _rows(Path(path))
    for row in rows:
        unknown = [str(name) for name in row if name not in RESULT_COLUMNS]
        if unknown:
            raise UserError(f"{path} is not a file of results: it has the column {unknown[0][:80]!r}")
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
