"""Train a recipe and write the run directory: prepare, fit, record."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec import _backend
from keras_actrec._files import write_json, write_text
from keras_actrec._types import PathLike, StageProgress
from keras_actrec.data import Manifest, Record, read_audit
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer
from keras_actrec.training.choice import recipe_for
from keras_actrec.training.fit import fit
from keras_actrec.training.logs import loggers_of
from keras_actrec.training.prepare import check, prepare, read_data
from keras_actrec.training.recipe import read_recipe, recipe_name
from keras_actrec.training.record import record_of
from keras_actrec.training.tables import Recipe


@dataclass(frozen=True)
class Run:
    """What `train` leaves: the folder, the recognizer, and the run's record as written to `run.json`."""

    folder: Path
    recognizer: Recognizer
    record: dict[str, Any]


def train(
    recipe: Recipe,
    data: PathLike,
    out: PathLike,
    *,
    name: str | None = None,
    overrides: Sequence[str] = (),
    cache: PathLike | None = None,
    audit: PathLike | None = None,
    log: Sequence[str] = (),
    progress: StageProgress | None = None,
) -> Run:
    """Train a model as a recipe says.

    The loss is the cross-entropy at every step, averaged over the steps that count; the model that is kept
    answers with the mean of the steps' probabilities. A frozen backbone is run once: its features are
    extracted to disk, and what is behind it is trained on them. Networks over whole clips, such as `gsm`,
    are trained on the clips.

    Args:
        recipe: what is trained, on what, and how.
        data: a CSV file or a folder, see `read_set`.
        out: the run directory: `recipe.toml`, `run.json`, `history.csv` and, when the run has ended,
            `model.keras`.
        name: what `read_recipe` read the recipe from, for the record; by default `recipe.toml` in `out`.
        overrides: what `read_recipe` changed in it, for the record.
        cache: folder for what is computed once: the features of a frozen backbone, by default in `out/cache`,
            and, for networks over clips, decoded frames, which are kept only where `cache` is given. Runs
            that share it share the work; it changes no number.
        audit: JSON file of `audit_videos`: videos that it knows are not read through again.
        log: where the history goes in addition to `history.csv`: `"tensorboard"` (events in
            `out/tensorboard`), `"wandb"` (a run of the project `keras_actrec`), or both. A run that goes on
            may have others.
        progress: called as `progress(stage, done, total, text)` while it works: stages `videos`, `features`
            or `frames`, and `epochs`.

    Returns:
        The folder, the recognizer, and the record.

    Raises:
        UserError: for data that cannot be trained on, a directory that holds a finished run or a started one
            of another recipe, or a loss that is not a number.
    """
    progress = progress or (lambda stage, done, total, text="": None)
    out, started = Path(out), time.perf_counter()
    if (out / "model.keras").exists():
        raise UserError(f"{out} holds a finished run: choose another --out, or remove it")
    written = out / "recipe.toml"
    if written.exists() and written.read_text(encoding="utf-8") != recipe.to_toml():
        raise UserError(f"{out} holds a run with another recipe: choose another --out, or remove it")
    loggers = loggers_of(log)
    name = recipe_name(name) if name else str(written)
    _seed(recipe.train.seed)
    manifest, parts = _read_data(recipe, data)
    check(recipe, len(manifest.class_names))
    audited = None if audit is None else read_audit(audit)
    write_text(written, recipe.to_toml())

    prepared = prepare(recipe, manifest, parts, out=out, cache=cache, audit=audited, progress=progress)
    fitted = fit(prepared, out, loggers=loggers, progress=progress)
    prepared.put_back()
    record = record_of(
        prepared, fitted, name=name, overrides=overrides, seconds=time.perf_counter() - started
    )
    names = manifest.class_names
    recognizer = Recognizer(prepared.model, names, prepared.preprocessor, record, prepared.spec)
    write_json(out / "run.json", record)
    recognizer.save(out / "model.keras")
    return Run(out, recognizer, record)


def _read_data(recipe: Recipe, data: PathLike) -> tuple[Manifest, dict[str, tuple[Record, ...]]]:
    """Read and split the data; where that fails on a set of one's own, the error names the recipe for it."""
    try:
        return read_data(recipe.data, data)
    except UserError as error:
        own = recipe_for(recipe.model.name, data)
        if own is None or recipe.data == read_recipe(own).data:
            raise
        raise UserError(f"{error}; for data of your own, take the recipe {own}") from error


def _seed(seed: int) -> None:
    # What keras.utils.set_random_seed does, without importing TensorFlow where it is installed: Keras draws
    # the seeds of its initializers and generators from `random`.
    random.seed(seed)
    np.random.seed(seed)
    _backend.seed(seed)
