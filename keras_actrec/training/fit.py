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
from keras_actrec import _backend, backbones, zoo
from keras_actrec._files import replacing
from keras_actrec.artefact import Recogniser
from keras_actrec.data import (
    FeatureDataset,
    FollowEpoch,
    extract_features,
    read_audit,
    read_set,
    split_manifest,
)
from keras_actrec.errors import UserError
from keras_actrec.training.resume import Checkpoint


@dataclass(frozen=True)
class Run:
    """What `train` leaves: the folder, the recogniser, and the run's record as written to `run.json`."""

    folder: Path
    recogniser: Recogniser
    record: dict


def train(recipe, data, out, *, features=None, audit=None, report=None):
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
        features: folder for extracted features, default `out/features`; runs that share it share the work.
        audit: JSON file of `audit_videos`: videos that it knows are not read through again.
        report: called as `report(stage, done, total, text)` while it works: stages `videos`, `features`
            and `epochs`.

    Returns:
        A `Run`.

    Raises:
        UserError: for data that cannot be trained on, a directory that holds a finished run, or a loss that
            is not a number.
    """
    report = report or (lambda stage, done, total, text="": None)
    out, started = Path(out), time.perf_counter()
    if (out / "model.keras").exists():
        raise UserError(f"{out} holds a finished run: choose another --out, or remove it")
    _seed(recipe.train.seed)
    manifest, parts = read_data(recipe.data, data)
    names = manifest.class_names
    _check_input(recipe, names)
    audited = audit and read_audit(audit)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "recipe.toml", recipe.to_toml())

    indexed, skipped = {}, []
    for part in ("train", "validation"):
        indexed[part], broken = recipe.input.index(
            parts[part],
            on_error=recipe.data.on_error,
            max_skipped=recipe.data.max_skipped,
            audit=audited,
            progress=lambda done, total, part=part: report("videos", done, total, part),
        )
        skipped += broken
    _check_classes(indexed["train"], names)

    shape = _shape(recipe, indexed["train"])
    model = _build(recipe, len(names), shape)
    learner, datasets = _learner(recipe, model, shape, indexed, features or out / "features", report)
    last = _fit(recipe, learner, datasets, manifest.sha256, out, report)
    if learner is not model:
        zoo.copy_weights(learner, model)

    record = {
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
    }
    recogniser = Recogniser(model, names, recipe.input, record)
    _write(out / "run.json", json.dumps(record, indent=2) + "\n")
    recogniser.save(out / "model.keras")
    return Run(out, recogniser, record)


def read_data(table, data):
    """Read and split the data as `[data]` of a recipe says: the manifest and its parts."""
    manifest = read_set(data, dataset=table.dataset, split=table.split, manifest=table.manifest)
    parts = split_manifest(
        manifest,
        test_fold=table.test_fold,
        test_share=table.test_share,
        validation_share=table.validation_share,
        seed=table.split_seed,
    )
    return manifest, parts


def _check_input(recipe, names):
    """Refuse what does not go together in `[model]` and `[clip]`."""
    if recipe.skeleton is not None:
        return
    if not _sees_clips(recipe) and recipe.model.arguments.get("backbone") is None:
        raise UserError(
            f"videos need a backbone: set model.backbone, one of {', '.join(backbones.list_backbones())}"
        )
    if not _trains_on_clips(recipe) and recipe.clip.transform.draws:
        raise UserError(
            "a frozen backbone sees every frame once, so nothing can be flipped, cropped or recoloured at "
            "random: set clip.flip=false, clip.crop='center' and no colours, or train.train_backbone=true"
        )
    foreign = [label for pair in recipe.clip.swap for label in pair if label >= len(names)]
    if foreign:
        raise UserError(f"clip.swap names class {foreign[0]}, but there are {len(names)}, from 0 on")


def _sees_clips(recipe):
    """Whether the model is one network over clips, without a backbone that could be frozen and run once."""
    return zoo.arguments_of(recipe.model.name).get("backbone", "") is not None


def _trains_on_clips(recipe):
    return recipe.train.train_backbone or _sees_clips(recipe)


def _shape(recipe, indexed):
    """Shape of what the model sees of a file, without the batch."""
    if recipe.skeleton is not None:
        joints = indexed[0][1]
        return None, recipe.input.transform(joints)[0].shape[1]
    return (recipe.clip.frames if _sees_clips(recipe) else None, recipe.clip.size, recipe.clip.size, 3)


def _build(recipe, num_classes, shape, **changes):
    """The model of the recipe; `changes` replace arguments, None leaves one out."""
    name = recipe.model.name
    arguments = {**recipe.model.arguments, "input_shape": shape}
    if recipe.input.masks:
        if "masked" not in zoo.arguments_of(name):
            whole = "clip.short='stretch'" if recipe.skeleton is None else "skeleton.length='resample'"
            raise UserError(f"{name} has no mask for padding: set {whole}")
        arguments["masked"] = True
    arguments.update(changes)
    arguments = {key: value for key, value in arguments.items() if value is not None}
    try:
        model = zoo.build(name, num_classes, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} cannot be built as [model] says: {_one_line(error)}") from error
    if recipe.train.train_backbone and not _sees_clips(recipe):
        model.get_layer("backbone").trainable = True
    return model


def _learner(recipe, model, shape, indexed, features, report):
    """The model that is trained, which answers at every step where it can, and its data."""
    num_classes = model.output_shape[-1]
    steps = {"return_sequences": True} if _has_steps(recipe) else {}
    options = {
        "batch_size": recipe.train.batch_size,
        "seed": recipe.train.seed,
        "masked": recipe.input.masks,
        "workers": recipe.train.workers,
    }
    if recipe.skeleton is None and not _trains_on_clips(recipe):
        return _on_features(recipe, model, indexed, steps, features, report, options)
    learner = model
    if steps:
        learner = _build(recipe, num_classes, shape, weights=None, **steps)
        learner.set_weights(model.get_weights())
    datasets = {
        part: recipe.input.batches(items, training=part == "train", **options)
        for part, items in indexed.items()
        if items
    }
    return learner, datasets


def _on_features(recipe, model, indexed, steps, features, report, options):
    """What stands behind the frozen backbone of `model`, and the features that it is trained on."""
    backbone = model.get_layer("backbone")
    sampling = recipe.clip.sampling
    datasets = {}
    for part, items in indexed.items():
        if items:
            extracted = extract_features(
                items,
                backbone.network,
                transform=recipe.clip.transform,
                out=features,
                stride=sampling.every,
                progress=lambda done, total, part=part: report("features", done, total, part),
            )
            datasets[part] = FeatureDataset(
                extracted, sampling.of_kept(), training=part == "train", **options
            )
    shape = backbone.output.shape[1:]
    learner = _build(recipe, model.output_shape[-1], shape, backbone=None, weights=None, **steps)
    zoo.copy_weights(model, learner)
    return learner, datasets


def _fit(recipe, learner, datasets, sha256, out, report):
    """Fit; the last epoch's values."""
    table = recipe.train
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        # Keras counts steps from 0 and keeps the first rate up to and including the boundary.
        [table.drop_after - 1],
        [table.learning_rate, table.final_learning_rate],
    )
    learner.compile(
        optimizer=keras.optimizers.Adam(schedule, clipnorm=table.clipnorm),
        loss=keras.losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight"),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    if _has_steps(recipe):
        datasets = {part: _PerStep(dataset, recipe.frames) for part, dataset in datasets.items()}
    checkpoint = Checkpoint(out, table.seed, {"recipe": recipe.to_toml(), "data": sha256})
    learner.fit(
        datasets["train"],
        validation_data=datasets.get("validation"),
        initial_epoch=checkpoint.restore(learner),
        epochs=table.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[
            FollowEpoch(datasets["train"]),
            _FiniteLoss(),
            checkpoint,
            _Progress(table.epochs, report),  # behind the checkpoint: what is reported as done is kept
        ],
    )
    return {name: value for name, value in checkpoint.rows[-1].items() if name != "epoch"}


def _has_steps(recipe):
    return "return_sequences" in zoo.arguments_of(recipe.model.name)


class _PerStep(keras.utils.PyDataset):
    """Repeats a clip's label at every step; steps that the mask leaves out weigh nothing."""

    def __init__(self, dataset, steps):
        super().__init__(workers=0)
        self.dataset = dataset
        self.steps = steps

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        x, y = self.dataset[index]
        y = np.repeat(y[:, None], self.steps, axis=1)
        return (x, y, x["mask"].astype("float32")) if isinstance(x, dict) else (x, y)

    @property
    def epoch(self):
        return self.dataset.epoch

    @epoch.setter
    def epoch(self, epoch):
        self.dataset.epoch = epoch


class _FiniteLoss(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"the loss is not a number after epoch {epoch + 1}: "
                "lower train.learning_rate, or set train.clipnorm=1"
            )


class _Progress(keras.callbacks.Callback):
    def __init__(self, epochs, report):
        super().__init__()
        self.epochs = epochs
        self.report = report

    def on_epoch_end(self, epoch, logs=None):
        names = {
            "loss": "loss",
            "accuracy": "accuracy",
            "val_loss": "val loss",
            "val_accuracy": "val accuracy",
        }
        text = "  ".join(f"{label} {logs[name]:.3f}" for name, label in names.items() if name in logs)
        self.report("epochs", epoch + 1, self.epochs, text)


def _check_classes(items, names):
    if not items:
        raise UserError("there is no video to train on: all of them were skipped")
    present = {record.label for record, _ in items}
    missing = [name for label, name in enumerate(names) if label not in present]
    if missing:
        raise UserError(f"no video of class {missing[0]!r} is left to train on")


def _seed(seed):
    # What keras.utils.set_random_seed does, without importing TensorFlow where it is installed: Keras draws
    # the seeds of its initialisers and generators from `random`.
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
