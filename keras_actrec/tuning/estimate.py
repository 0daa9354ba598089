"""How large a study is and about how long it takes: builds its models, trains its base for two epochs."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_actrec._types import StageProgress
from keras_actrec.errors import UserError
from keras_actrec.training import train
from keras_actrec.training.prepare import build_model, first_shown, read_data
from keras_actrec.tuning.space import overrides_of
from keras_actrec.tuning.study import Study
from keras_actrec.tuning.trial import count_trainable

_MOST_BUILT = 64  # models that are built


def estimate_study(
    study: Study,
    data: str | Path,
    *,
    tell: Callable[[str], Any] | None = None,
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Look at a study before it runs: build its models, and train the base for two epochs.

    Args:
        study: a `Study`.
        data: a CSV file or a folder, as `train` takes it.
        tell: called with each line of `Manifest.notes`: what a folder of one's own has that is not taken.
        progress: as of `train`.

    Returns:
        dict of `combinations` (None: no end of them), `trials`, `epochs` of a trial, `seconds`, an estimate
        for all trials and the winner's runs, one after the other, on this machine; `smallest` and `largest`
        number of trainable parameters; and `refused`, combinations that cannot be built, with the reason.

    Raises:
        UserError: for data that cannot be trained on, or a base that has no such objective.
    """
    combinations = study.space.size()
    trials = min(study.max_trials, combinations or study.max_trials)
    epochs = study.recipe_of().train.epochs
    counts, refused = _parameters(study, data)
    read_data(study.recipe_of().data, data)[0].announce(tell)
    once, start, epoch = _measure(study, data, progress)
    runs = trials + len(study.winner_seeds)
    return {
        "combinations": combinations,
        "trials": trials,
        "epochs": epochs,
        "seconds": once + runs * (start + epochs * epoch),
        "smallest": min(counts, default=None),
        "largest": max(counts, default=None),
        "refused": refused,
    }


def _parameters(study: Study, data: str | Path) -> tuple[list[int], list[str]]:
    """Trainable parameters of the models of the space, and what cannot be built."""
    size = study.space.size()
    few = size is not None and size <= _MOST_BUILT
    models: dict[str, tuple[Any, list[str]]] = {}
    for values in study.space.combinations() if few else study.space.samples():
        overrides = overrides_of(values)
        recipe = study.recipe_of(overrides)
        about = recipe.model, recipe.preprocessor, recipe.train.train_backbone
        models.setdefault(repr(about), (recipe, overrides))
    counts, refused = [], []
    for recipe, overrides in models.values():
        manifest, parts = read_data(recipe.data, data)
        try:
            model, _ = build_model(recipe, len(manifest.class_names), first_shown(recipe, parts["train"]))
        except UserError as error:
            refused.append(f"{' '.join(overrides)}: {error}")
            continue
        counts.append(count_trainable(model))
        keras.utils.clear_session(free_memory=False)
    return counts, refused


def _measure(study: Study, data: str | Path, progress: StageProgress | None) -> tuple[float, float, float]:
    """Seconds of what is computed once, of a run's start, and of an epoch, with the base."""
    overrides = overrides_of(next(study.space.samples()))
    recipe = study.recipe_of([*overrides, "train.epochs=2"])
    times: dict[Any, float] = {"begin": time.perf_counter()}

    def watch(stage: str, done: float, total: int, text: str = "") -> None:
        if done >= 1:  # the first epoch, in which things are compiled, is part of the start
            times.setdefault((stage, "first"), time.perf_counter())
            times[stage, "last"] = time.perf_counter()
        if progress is not None:
            progress(stage, done, total, text)

    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, data, Path(folder) / "run", cache=Path(folder) / "cache", progress=watch)
    needed = "val_accuracy" if study.objective.startswith("val_") else study.objective
    if needed not in run.record["last_epoch"]:
        raise UserError(
            f"{study.name}: study.objective={study.objective!r} needs a validation part: "
            "put data.validation_fraction=0.25 into `set`"
        )
    epoch = times["epochs", "last"] - times["epochs", "first"]
    once = sum(
        times[stage, "last"] - times[stage, "first"]
        for stage in ("features", "frames")
        if (stage, "first") in times
    )
    return once, times["epochs", "first"] - times["begin"] - epoch - once, epoch
