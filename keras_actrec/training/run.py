"""Train a recipe and write the run directory: prepare, fit, record."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_actrec import _backend
from keras_actrec._locks import alone_in
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.data import Manifest, Record, read_audit
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer, load
from keras_actrec.training.choice import recipe_for
from keras_actrec.training.devices import check_alike, join_processes, spread_of, wait_for_processes
from keras_actrec.training.fit import fit
from keras_actrec.training.folder import RunFolder
from keras_actrec.training.logs import loggers_of
from keras_actrec.training.prepare import (
    Prepared,
    check,
    prepare,
    read_data,
    spec_of,
    trains_on_features,
)
from keras_actrec.training.recipe import read_recipe, recipe_name
from keras_actrec.training.record import ending_of, record_of
from keras_actrec.training.start import Start
from keras_actrec.training.tables import Recipe


@dataclass(frozen=True)
class Run:
    """What `train` leaves.

    Attributes:
        folder: the run directory.
        recognizer: the model that is kept.
        record: what the run says of itself, as written to `run.json`.
        was_finished: whether an earlier call had finished it, and this one did nothing.
        process: the number of this process among those that trained together; 0 has written the folder.
    """

    folder: Path
    recognizer: Recognizer
    record: dict[str, Any]
    was_finished: bool = False
    process: int = 0


def train(
    recipe: Recipe,
    data: PathLike,
    out: PathLike,
    *,
    name: str | None = None,
    overrides: Sequence[str] = (),
    start: PathLike | None = None,
    cache: PathLike | None = None,
    audit: PathLike | None = None,
    verify: bool = False,
    log: Sequence[str] = (),
    checkpoint_minutes: float | None = None,
    tell: Callable[[str], Any] | None = None,
    progress: StageProgress | None = None,
) -> Run:
    """Train a model as a recipe says.

    The loss is the cross-entropy at every step, averaged over the steps that count; the model that is kept
    answers with the mean of the steps' probabilities. A frozen backbone is run once: its features are
    extracted to disk, and what is behind it is trained on them. Networks over whole clips, such as `gsm`,
    are trained on the clips.

    The same call on the directory of a run that was stopped goes on with it, and on that of a finished run
    does nothing. How many workers there are, and what happens to bad files, may have changed. Ctrl-C and
    SIGTERM end training behind the batch that it is at, with a checkpoint; a second one ends it at once.

    With `train.devices`, several devices share each batch, and with the variables that
    `keras.distribution.initialize` takes, several processes, each of which makes this call, with folders that
    all can see. Process 0 writes and tells. A run may go on with another number of either.

    Args:
        recipe: what is trained, on what, and how.
        data: a CSV file or a folder, see `read_set`.
        out: the run directory: from the beginning of training on `recipe.toml` and `run.json`, then
            `history.csv` and, when the run has ended, `model.keras`.
        name: what `read_recipe` read the recipe from, for the record; by default `recipe.toml` in `out`.
        overrides: what `read_recipe` changed in it, for the record.
        start: a trained model whose weights the run starts from: a `.keras` file of the same builder, its run
            directory, one of another builder, whose backbone alone is taken, or a file that
            `checkpoints.load_weights` takes. What fits by the names of layers and by shape is taken; other
            classes get a new classifier. A run that goes on must be given the same.
        cache: folder for what is computed once: the features of a frozen backbone, by default in `out/cache`,
            and, for networks over clips, decoded frames, which are kept only where `cache` is given. Runs
            that share it share the work; it changes no number.
        audit: JSON file of `audit_videos`: videos that it knows are not read through again.
        verify: whether files are hashed again that the cache knows by their size and time of change.
        log: where the history goes in addition to `history.csv`: `"tensorboard"` (events in
            `out/tensorboard`), `"wandb"` (a run of the project `keras_actrec`), or both. A run that goes on
            may have others.
        checkpoint_minutes: after how many minutes a checkpoint is written inside an epoch too, for epochs
            that are long; it changes no number.
        tell: called with a line for files of `data` that were passed over, and for each kind of weights that
            was not taken from `start`.
        progress: called as `progress(stage, done, total, text)` while it works: stages `videos`, `features`
            or `frames`, and `epochs`.

    Returns:
        The folder, the recognizer, and the record.

    Raises:
        UserError: for data that cannot be trained on, a directory that holds a run of another recipe, data or
            start, or in which another process trains, a start of which nothing fits, or a loss that is not a
            number.
        DiskFullError: a file cannot be written; what was written before stays.
        KeyboardInterrupt, Terminated: Ctrl-C or SIGTERM has come. `Terminated` is a `SystemExit` with 143.
    """
    if checkpoint_minutes is not None and not checkpoint_minutes > 0:
        raise UserError(
            f"`checkpoint_minutes` must be above 0. Received: checkpoint_minutes={checkpoint_minutes}"
        )
    process = join_processes()
    if process:  # the first one tells
        tell = progress = None
    progress = progress or silent
    out, began = Path(out), time.perf_counter()
    with nullcontext() if process else alone_in(out, "training into it"):
        for left in () if process else out.glob(".part-*"):  # by one that was killed while it wrote
            left.unlink()
        spread, loggers = spread_of(recipe.train), loggers_of(log)
        name = recipe_name(name) if name else str(out / "recipe.toml")
        settled = _settle(recipe, data, out, start, tell)
        folder = settled.folder
        if settled.is_finished:
            recognizer = load(folder.model)
            return Run(out, recognizer, folder.held or recognizer.about, was_finished=True, process=process)
        prepared, files = _prepare(recipe, settled, cache, audit, verify, progress)
        started_from = _start_of(settled, prepared, tell)
        record = record_of(prepared, name=name, overrides=overrides, start=started_from)
        here = {"root": str(Path(data).resolve())}  # the model's file, which others get, does not say where
        if process == 0:
            folder.begin(recipe, record | here, files)
        fitted = fit(
            prepared,
            out,
            loggers=loggers,
            checkpoint_minutes=checkpoint_minutes,
            spread=spread,
            began=began,
            progress=progress,
        )
        prepared.put_back()
        record |= ending_of(fitted, seconds=fitted.earlier + time.perf_counter() - began)
        names = settled.manifest.class_names
        recognizer = Recognizer(prepared.model, names, prepared.preprocessor, record, prepared.spec)
        if process == 0:
            folder.end(recognizer, record | here)
        wait_for_processes()
        return Run(out, recognizer, record | here, process=process)


@dataclass(frozen=True)
class _Settled:
    """What is settled before a file of the data is read: of the directory, the start and the data."""

    folder: RunFolder
    is_finished: bool
    origin: Start | None
    manifest: Manifest
    parts: dict[str, tuple[Record, ...]]


def _settle(
    recipe: Recipe, data: PathLike, out: Path, start: PathLike | None, tell: Callable[[str], Any] | None
) -> _Settled:
    """Find what a run is made from, and refuse what the run that the directory holds was not made from."""
    folder = RunFolder.open(out)
    folder.check_recipe(recipe.model_dump(exclude_none=True))
    origin = None if start is None else Start.find(start, spec_of(recipe), recipe.preprocessor)
    folder.check_start(origin.sha256 if origin else None)
    _seed(recipe.train.seed)
    manifest, parts = _read_data(recipe, data)
    folder.check_data(manifest.sha256)
    manifest.announce(tell)
    is_finished = folder.model.exists()
    check_alike(
        recipe=recipe.model_dump(),
        data=manifest.sha256,
        out=[folder.held, is_finished],
        **{"file of --from": origin and origin.sha256},
    )
    return _Settled(folder, is_finished, origin, manifest, parts)


def _prepare(
    recipe: Recipe,
    settled: _Settled,
    cache: PathLike | None,
    audit: PathLike | None,
    verify: bool,
    progress: StageProgress,
) -> tuple[Prepared, dict[str, Any]]:
    """Read the files, and build the model; what is ready for `fit`, and which files these were."""
    folder = settled.folder
    folder.check_backend(_backend.name)
    check(recipe, len(settled.manifest.class_names))
    known = None if audit is None else read_audit(audit)
    files = folder.check_files(recipe, settled.parts, known)
    # A run that goes on has its weights from the checkpoint, which does not hold a frozen backbone.
    loads = folder.held is None or trains_on_features(recipe, spec_of(recipe))
    prepared = prepare(
        recipe,
        settled.manifest,
        settled.parts,
        out=folder.path,
        start=settled.origin if loads else None,
        cache=cache,
        audit=known,
        verify=verify,
        progress=progress,
    )
    check_alike(**{"files that cannot be read": sorted(error.path.name for error in prepared.skipped)})
    return prepared, files


def _read_data(recipe: Recipe, data: PathLike) -> tuple[Manifest, dict[str, tuple[Record, ...]]]:
    """Read and split the data; where that fails on a set of one's own, the error names the recipe for it."""
    try:
        return read_data(recipe.data, data)
    except UserError as error:
        own = recipe_for(recipe.model.name, data)
        if own is None or recipe.data == read_recipe(own).data:
            raise
        raise UserError(f"{error}; for data of your own, take the recipe {own}") from error


def _start_of(
    settled: _Settled, prepared: Prepared, tell: Callable[[str], Any] | None
) -> dict[str, Any] | None:
    """The record of what a run starts from, of which `tell` is told when it begins."""
    if settled.folder.held is not None:
        return settled.folder.held.get("start")
    if settled.origin is None or prepared.start is None:
        return None
    found = settled.origin.record(prepared.start)
    if tell is not None:
        for line in found["not_taken"]:
            tell(line)
    return found


def _seed(seed: int) -> None:
    # What keras.utils.set_random_seed does, without importing TensorFlow where it is installed: Keras draws
    # the seeds of its initializers and generators from `random`.
    random.seed(seed)
    np.random.seed(seed)
    _backend.seed(seed)
