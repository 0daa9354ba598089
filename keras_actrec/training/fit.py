"""Train a recipe and write the run directory."""

import json
import math
import os
import platform
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import keras_actrec
from keras_actrec import _backend, zoo
from keras_actrec._files import replacing
from keras_actrec.data import FollowEpoch, raising_failures, read_audit, read_set, split_manifest
from keras_actrec.errors import UserError
from keras_actrec.layers import FrameWise
from keras_actrec.recognizer import Recognizer
from keras_actrec.training.learner import (
    PerStep,
    build_model,
    caching,
    check_input,
    has_steps,
    learner_of,
    on_features,
)
from keras_actrec.training.logs import loggers_of
from keras_actrec.training.optimizers import accumulated, optimizer_of
from keras_actrec.training.recipe import recipe_name
from keras_actrec.training.resume import Checkpoint, KeepBest
from keras_actrec.training.schedules import callbacks_of, learning_rate_of


@dataclass(frozen=True)
class Run:
    """What `train` leaves: the folder, the recognizer, and the run's record as written to `run.json`."""

    folder: Path
    recognizer: Recognizer
    record: dict


def train(recipe, data, out, *, name=None, overrides=(), cache=None, audit=None, log=(), progress=None):
    """Train a model as a recipe says.

    The loss is the cross-entropy at every step, averaged over the steps that count; the model that is kept
    answers with the mean of the steps' probabilities. A frozen backbone is run once: its features are
    extracted to disk, and what stands behind it is trained on them. Networks over whole clips, such as `gsm`,
    are trained on the clips.

    Args:
        recipe: a `Recipe`.
        data: a CSV file or a folder, see `read_set`.
        out: the run directory: `recipe.toml`, `run.json`, `history.csv` and, when the run has ended,
            `model.keras`.
        name: what `read_recipe` read the recipe from, for the record; by default `recipe.toml` in `out`.
        overrides: what `read_recipe` changed in it, for the record.
        cache: folder for what is computed once: the features of a frozen backbone, by default in `out/cache`,
            and, for networks over clips, decoded frames, which are kept only where `cache` is given. Runs
            that share it share the work; it changes no number.
        audit: JSON file of `audit_videos`: videos that it knows are not read through again.
        log: where the history goes beside `history.csv`: `"tensorboard"` (events in `out/tensorboard`),
            `"wandb"` (a run of the project `keras_actrec`), or both. A run that goes on may have others.
        progress: called as `progress(stage, done, total, text)` while it works: stages `videos`, `features`
            and `epochs`.

    Returns:
        A `Run`.

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
    logs = loggers_of(log)
    recipe_is = recipe_name(name) if name else str(out / "recipe.toml")
    _seed(recipe.train.seed)
    manifest, parts = read_data(recipe.data, data)
    names = manifest.class_names
    check_input(recipe, len(names))
    audited = audit and read_audit(audit)
    out.mkdir(parents=True, exist_ok=True)
    _write(written, recipe.to_toml())

    indexed, skipped = {}, []
    for part in ("train", "validation"):
        indexed[part], broken = recipe.preprocessor.index(
            parts[part],
            on_error=recipe.data.on_error,
            max_skipped=recipe.data.max_skipped,
            audit=audited,
            progress=lambda done, total, part=part: progress("videos", done, total, part),
        )
        skipped += broken
    _check_classes(indexed["train"], names)

    model = build_model(recipe, len(names), indexed["train"])

    def cached(part, items):
        if on_features(recipe):
            store, folder = caching(recipe, len(names), model=model), cache or out / "cache"
        elif cache is not None and recipe.skeleton is None:
            store, folder = caching(recipe, len(names), model=model), cache
        else:
            return items
        return store(
            items,
            out=folder,
            index=None,
            audit=audited,
            progress=lambda done, total: progress("features", done, total, part),
        )

    learner, datasets = learner_of(recipe, model, indexed, cached)
    last, kept = _fit(recipe, learner, datasets, manifest.sha256, out, logs, progress)
    if learner is not model:
        zoo.copy_weights(learner, model)

    record = {
        "recipe_name": recipe_is,
        "overrides": list(overrides),
        "recipe": recipe.model_dump(exclude_none=True),
        "data": {
            "sha256": manifest.sha256,
            "found": len(manifest.records),
            "official": sum(manifest.official.values()) or None,
            "parts": {part: len(records) for part, records in parts.items()},
            "skipped": [str(error) for error in skipped],
        },
        "versions": _versions(),
        "backend": _backend.name,
        "machine": _machine(),
        "commit": _commit(),
        "seconds": round(time.perf_counter() - started, 1),
        "last_epoch": last,
        "kept_epoch": kept,
    }
    recognizer = Recognizer(model, names, recipe.preprocessor, record)
    _write(out / "run.json", json.dumps(record, indent=2) + "\n")
    recognizer.save(out / "model.keras")
    return Run(out, recognizer, record)


def read_data(table, data):
    """Read and split the data as `[data]` of a recipe says: the manifest and its parts."""
    manifest = read_set(
        data, dataset=table.dataset, split=table.split, manifest=table.manifest, options=table.options
    )
    parts = split_manifest(
        manifest,
        test_fold=table.test_fold,
        test_fraction=table.test_fraction,
        validation_fraction=table.validation_fraction,
        seed=table.split_seed,
    )
    return manifest, parts


def _fit(recipe, learner, datasets, sha256, out, logs, progress):
    """Fit; the last epoch's values, and the number of the epoch whose weights are kept."""
    table = recipe.train
    batches = len(datasets["train"])
    _check_run(table, batches, "validation" in datasets)
    if table.partial_bn:
        _freeze_norms(learner)
    rate = learning_rate_of(table, batches)
    learner.compile(
        optimizer=optimizer_of(table, rate, batches, learner.trainable_weights),
        loss=keras.losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight"),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    fed = datasets
    if has_steps(recipe):
        fed = {part: PerStep(dataset) for part, dataset in datasets.items()}
    callbacks = callbacks_of(table)
    remember = [callback for callback in callbacks if hasattr(callback, "get_state")]
    best = KeepBest(table.monitor) if table.keep == "best" else None
    checkpoint = Checkpoint(out, table.seed, {"data": sha256}, remember, best)
    done = checkpoint.restore(learner)
    with raising_failures(*datasets.values()):
        learner.fit(
            fed["train"],
            validation_data=fed.get("validation"),
            # What early stopping ended stays ended. `fit` is called all the same: it swaps averages in.
            initial_epoch=table.epochs if checkpoint.stopped else done,
            epochs=table.epochs,
            shuffle=False,
            verbose=0,
            callbacks=[
                FollowEpoch(datasets["train"]),
                *([best] if best else []),
                *callbacks,
                _FiniteLoss(),
                checkpoint,
                # Behind the checkpoint: what is reported as done is kept.
                *(logger(checkpoint, recipe) for logger in logs),
                _Progress(done, table.epochs, progress),
            ],
        )
    if best:
        best.put_back()
    *_, last = checkpoint.rows
    values = {name: value for name, value in last.items() if name != "epoch"}
    return values, best.epoch if best else last["epoch"]


def _check_run(table, batches, validated):
    """Refuse what could never happen in a run of so many batches an epoch."""
    steps = accumulated(table.accumulate, batches)
    if steps > batches * table.epochs:
        raise UserError(
            f"train.accumulate={table.accumulate} is an update every {steps} batches, but the run has "
            f"{batches * table.epochs}: lower it"
        )
    if table.monitor and table.monitor.startswith("val_") and not validated:
        other = (
            "train.keep='last'"
            if table.keep == "best"
            else f"train.monitor={table.monitor.removeprefix('val_')!r}"
        )
        raise UserError(
            f"train.monitor={table.monitor!r} needs a validation part: set data.validation_fraction, or "
            f"{other}"
        )


def _freeze_norms(model):
    """Freeze the trained batch normalizations but the first, statistics too (partial BN of TSN)."""
    norms = [layer for layer in _plain_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    norms = [layer for layer in norms if layer.trainable_weights]
    if len(norms) < 2:
        raise UserError(
            f"train.partial_bn=true: {model.name} trains {len(norms)} batch normalizations, so there is none "
            "to freeze; leave it out, or set train.train_backbone=true"
        )
    for layer in norms[1:]:
        layer.trainable = False


def _plain_layers(model):
    """The layers of a model and of its backbone, in the graph's order; not those inside other layers."""
    for layer in model.layers:
        network = layer.network if isinstance(layer, FrameWise) else layer
        if isinstance(network, keras.Model):
            yield from _plain_layers(network)
        else:
            yield network


class _FiniteLoss(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"the loss is not a number after epoch {epoch + 1}: "
                "lower train.learning_rate, or set train.clipnorm=1"
            )


class _Progress(keras.callbacks.Callback):
    def __init__(self, done, epochs, progress):
        super().__init__()
        self.done = done
        self.epochs = epochs
        self.progress = progress

    def on_train_begin(self, logs=None):
        if self.done:
            self.progress("epochs", self.done, self.epochs, "going on")

    def on_epoch_end(self, epoch, logs=None):
        names = {
            "loss": "loss",
            "accuracy": "accuracy",
            "val_loss": "val loss",
            "val_accuracy": "val accuracy",
        }
        text = "  ".join(f"{label} {logs[name]:.3f}" for name, label in names.items() if name in logs)
        self.progress("epochs", epoch + 1, self.epochs, text)


def _check_classes(items, names):
    if not items:
        raise UserError("there is no video to train on: all of them were skipped")
    present = {record.label for record, _ in items}
    missing = [name for label, name in enumerate(names) if label not in present]
    if missing:
        raise UserError(f"no video of class {missing[0]!r} is left to train on")


def _seed(seed):
    # What keras.utils.set_random_seed does, without importing TensorFlow where it is installed: Keras draws
    # the seeds of its initializers and generators from `random`.
    random.seed(seed)
    np.random.seed(seed)
    _backend.seed(seed)


def _versions():
    # Of the modules, not of the distributions: TensorFlow and OpenCV are installed under several names.
    names = ("keras_actrec", "keras", "numpy", "cv2", _backend.name)
    return {name: sys.modules[name].__version__ for name in names}


def _machine():
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {', '.join(_backend.devices())}"
    )


def _commit():
    """The checkout's commit, with `+` where files differ from it; None for an installed package."""
    folder = Path(keras_actrec.__file__).parent

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)

    try:
        tracked = git("ls-files", "--error-unmatch", "__init__.py")
    except FileNotFoundError:  # no git on this machine
        return None
    head = git("rev-parse", "--short", "HEAD")
    if tracked.returncode or head.returncode:  # installed, maybe in somebody's own checkout; or no commit
        return None
    return head.stdout.strip() + ("+" if git("status", "--porcelain", "--", "*.py").stdout.strip() else "")


def _one_line(error):
    return " ".join(str(error).split())


def _write(path, text):
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
