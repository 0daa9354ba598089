"""Runs a study: every trial in a process of its own, a stopped study goes on where it was stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_actrec._locks import alone_in
from keras_actrec._numbers import MOST_WORKERS, whole
from keras_actrec.training.prepare import read_data
from keras_actrec.tuning.space import import_keras_tuner
from keras_actrec.tuning.study import Study
from keras_actrec.tuning.study_run import StudyRun


def run_study(
    study: Study,
    data: str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    workers: int = 1,
    tell: Callable[[str], Any] | None = None,
    progress: Callable[..., Any] | None = None,
) -> Path:
    """Run a study and write its results.

    A trial is a recipe with overrides. It is trained in a process of its own, which gives all memory back. A
    trial that crashes, raises, does not end with a finite objective or exceeds the budget is `FAILED`, with
    the reason in `trials.csv`, and the study goes on. A file of the data that cannot be used, and may not be
    skipped, ends the study. Interrupted or killed, also by `kill -9`, a study goes
    on with `resume=True`: what is finished is kept, and what was running goes on after its last
    finished epoch, or, after Ctrl-C or SIGTERM, batch.

    When all trials have ended the best configuration is trained again with `winner_seeds`.

    Args:
        study: a `Study`.
        data: a CSV file or a folder, see `read_set`.
        out: the study's directory: `study.toml`, `trials.csv`, `best.toml`, `README.md` with the table, the
            winner's runs in `winner/N/`, and in `trials/N/` the recipe, `log.txt`, `result.json` and the run
            directory of each trial, with its history. `cache/` is shared among them.
        resume: go on with the study that `out` holds.
        workers: trials at a time, on this machine. KerasTuner's chief and so many workers are processes of
            their own then, and one that dies is started again under its name.
        tell: called with each line of `Manifest.notes`: what a folder of one's own has that is not taken.
        progress: called as `progress("trials", done, total, text)` after each trial.

    Returns:
        `out`, as a `Path`.

    Raises:
        UserError: `out` is not empty without `resume`, or holds another study, or one of data that changed
            since its first trial, with it; another process runs
            one in it; the extra `tune` is missing; no trial came to a result, with the first one's reason.
    """
    import_keras_tuner()
    workers = whole("workers", workers, high=MOST_WORKERS)
    names = ["tuner0"] if workers == 1 else [f"worker-{number}" for number in range(workers)]
    run = StudyRun(study, Path(data).absolute(), Path(out).absolute(), progress=progress, workers=names)
    if workers == 1:
        from keras_actrec.tuning._search import search
    else:
        from keras_actrec.tuning.distributed import search_with_workers as search
    with alone_in(run.out, "running a study in it"):
        run.open(resume)
        if tell is not None:
            read_data(study.recipe_of().data, data)[0].announce(tell)
        return run.finish(lambda: search(run))
