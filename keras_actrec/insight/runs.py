"""The report of runs: what each reached on the part of its data that it was not trained on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_actrec._numbers import MAX_SKIPPED
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.data import read_set
from keras_actrec.errors import UserError
from keras_actrec.evaluation import Evaluation, evaluate, find_runs, read_scores, write_scores
from keras_actrec.evaluation.results import of_this_version, read_record
from keras_actrec.insight._facts import below, made
from keras_actrec.insight.history import read_history
from keras_actrec.insight.report import Reported, check_place, need_viz, write_report
from keras_actrec.recognizer import Recognizer, load


def report_runs(
    runs: Iterable[PathLike],
    out: PathLike,
    *,
    data: PathLike | None = None,
    most_clips: int = 600,
    folder: bool = False,
    tell: Callable[[str], Any] | None = None,
    progress: StageProgress | None = None,
) -> Path:
    """Write a page on one run or several: see `write_report`.

    Each is scored on its test part, or without one on its validation part, unless `test.npz`, or
    `validation.npz`, in its directory has the scores: those of an earlier report, or of `evaluate --scores`.
    A run that has not ended is shown as far as it has come.

    Args:
        runs: run directories, or folders that hold some.
        out: the page.
        data: where the data of all of them is now; by default where each was trained on it.
        most_clips: see `write_report`.
        folder: see `write_report`.
        tell: called with a line for what cannot be shown.
        progress: called as `progress(stage, done, total, text)`: the stages of `evaluate`, and those of
            `write_report`.

    Returns:
        The page.

    Raises:
        UserError: for a folder that is no run and holds none, data that is not where it was, and as
            `evaluate` and `write_report`. Of several runs, one without its data is noted instead.
    """
    need_viz()  # before minutes of work, not after
    check_place(out)
    found = find_runs(map(Path, runs))
    tell, progress = tell or silent, progress or silent
    models = []
    for run, name in zip(found, _names(found), strict=True):

        def named(stage: str, done: float, total: int, text: str = "", name: str = name) -> None:
            progress(f"{name}: {stage}" if len(found) > 1 else stage, done, total, text)

        try:
            models.append(read_run(run, name, data=data, progress=named))
        except _NoDataError as error:
            if len(found) == 1:
                raise
            models.append(replace(error.left, note=str(error)))
        if models[-1].note:
            tell(f"{name}: {models[-1].note}")
    title = f"Run {models[0].name}" if len(models) == 1 else f"{len(models)} runs"
    return write_report(
        out, title=title, evaluations=models, most_clips=most_clips, folder=folder, progress=progress
    )


class _NoDataError(UserError):
    """The data of a run is not there; `left` is what can be shown without."""

    def __init__(self, message: str, left: Reported) -> None:
        super().__init__(message)
        self.left = left


def read_run(
    run: PathLike, name: str, *, data: PathLike | None = None, progress: StageProgress | None = None
) -> Reported:
    """What a page shows of a run: see `report_runs`.

    Args:
        run: the run directory.
        name: what it is called on the page.
        data: where its data is now.
        progress: as of `evaluate`.
    """
    run = Path(run)
    record = read_record(run)
    with of_this_version(run):
        known: dict[str, Any] = {"facts": made(record), "kept_epoch": record.get("kept_epoch")}
        parts = record["data"]["parts"]
        part = next((each for each in ("test", "validation") if parts.get(each)), None)
    if (run / "history.csv").exists():
        known["history"] = read_history(run / "history.csv")
    if not (run / "model.keras").exists():
        return Reported(name, **known, note="this run has not ended: the same command goes on with it")
    if part is None:
        return Reported(name, **known, note="all its data were trained on, so there are no scores")
    root = data or record.get("root")
    gone = f"{run} is of an older keras_actrec and does not say where its data is: add --data"
    if root is not None and not Path(root).exists():
        gone, root = f"{run}: its data is not at {root} any more: say with --data where it is", None
    scores = run / f"{part}.npz"
    if _has_scores(scores, run, record, part):
        evaluation = read_scores(scores)
        if root is None:
            return Reported(
                name, evaluation, **known, note="add --data, the folder of its data, to see the clips"
            )
        recognizer = load(run / "model.keras")
        try:
            return Reported(name, _with_files(evaluation, recognizer, root), recognizer, **known)
        except UserError as error:
            raise _NoDataError(str(error), Reported(name, evaluation, **known)) from error
    if root is None:
        raise _NoDataError(gone, Reported(name, **known))
    recognizer = load(run / "model.keras")
    table = record["recipe"]["data"]
    evaluation = evaluate(
        recognizer,
        root,
        part=part,
        on_error=table.get("on_error", "raise"),
        max_skipped=table.get("max_skipped", MAX_SKIPPED),
        floors=True,
        progress=progress,
    )
    evaluation = replace(evaluation, skipped=tuple(below(evaluation.skipped, root)))
    write_scores(evaluation, scores)
    return Reported(name, evaluation, recognizer, **known)


def _has_scores(scores: Path, run: Path, record: Mapping[str, Any], part: str) -> bool:
    """Whether there are scores of this model on this part of its data."""
    if not scores.exists() or scores.stat().st_mtime_ns < (run / "model.keras").stat().st_mtime_ns:
        return False
    found = read_scores(scores)
    return (found.manifest, found.part) == (record["data"]["sha256"], part)


def _with_files(evaluation: Evaluation, recognizer: Recognizer, root: PathLike) -> Evaluation:
    """Scores from a file, with the records of the data, which say where each file is."""
    table = recognizer.about["recipe"]["data"]
    keys = ("dataset", "split", "manifest", "options")
    manifest = read_set(root, **{key: table.get(key) for key in keys})
    there = {record.path: record for record in manifest.records}
    if manifest.sha256 != evaluation.manifest or not all(each.path in there for each in evaluation.records):
        raise UserError(f"{root} is not the data that the run was trained on: give that as --data")
    records = tuple(replace(there[each.path], label=each.label) for each in evaluation.records)
    return replace(evaluation, records=records)


def _names(runs: list[Path]) -> list[str]:
    """What runs are called: the end of their paths that tells them apart."""
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names
