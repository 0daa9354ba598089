"""Fit what `prepare` has prepared; a run that was stopped goes on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_actrec import _backend, zoo
from keras_actrec._types import StageProgress
from keras_actrec.data import FollowEpoch, raising_failures
from keras_actrec.errors import UserError
from keras_actrec.layers import FrameWise
from keras_actrec.training.devices import wait_for_processes
from keras_actrec.training.logs import Logger
from keras_actrec.training.optimizers import optimizer_of
from keras_actrec.training.prepare import Prepared
from keras_actrec.training.resume import Checkpoint, KeepBest, Position
from keras_actrec.training.schedules import callbacks_of
from keras_actrec.training.tables import TrainTable, counted
from keras_actrec.training.targets import Targets
from keras_actrec.zoo import ModelSpec


@dataclass(frozen=True)
class Fitted:
    """What `fit` tells.

    Attributes:
        last_epoch: the values of the last epoch.
        kept_epoch: number of the epoch whose weights are kept.
        val_accuracy: of that epoch, None without a validation part.
        earlier: seconds that earlier calls, which were stopped, took for what is done.
    """

    last_epoch: dict[str, float]
    kept_epoch: int
    val_accuracy: float | None
    earlier: float


def fit(
    prepared: Prepared,
    out: Path,
    *,
    loggers: Sequence[Logger] = (),
    checkpoint_minutes: float | None = None,
    spread: _backend.Spread | None = None,
    began: float | None = None,
    progress: StageProgress,
) -> Fitted:
    """Fit the learner of a `Prepared`, or go on where an earlier call in the same directory was stopped.

    Args:
        prepared: what `prepare` gives; its learner has the kept weights afterwards.
        out: the run directory, for the checkpoint and `history.csv`.
        loggers: what `loggers_of` gives.
        checkpoint_minutes: as of `train`.
        spread: the devices, where there are several, see `spread_of`. Of processes, the first one writes.
        began: as of `Checkpoint`.
        progress: as of `train`.

    Returns:
        The last epoch's values, and which epoch is kept.

    Raises:
        UserError: for a run that cannot end, a checkpoint of another run, or a loss that is not a number.
        KeyboardInterrupt, Terminated: Ctrl-C or SIGTERM has come; a checkpoint has been written.
    """
    table, learner, datasets = prepared.recipe.train, prepared.learner, prepared.datasets
    _check_run(table, prepared.batches, "validation" in datasets)
    frozen = _freeze_norms(learner) if table.partial_bn else []
    measured = _compile(prepared)
    targets = prepared.targets
    if spread is not None:
        for each in targets.values():
            each.share(spread)
    callbacks = callbacks_of(table)
    remember = [callback for callback in callbacks if hasattr(callback, "get_state")]
    best = KeepBest(table.monitor) if table.monitor and table.keep == "best" else None
    leads = _backend.process()[0] == 0
    checkpoint = Checkpoint(out, table.seed, remember, best, measured, writes=leads, began=began)
    done = checkpoint.restore(learner)
    position = Position(checkpoint, prepared.batches, checkpoint_minutes)
    callbacks = [
        position,
        FollowEpoch(datasets["train"]),
        *([best] if best else []),
        *callbacks,
        _FiniteLoss(),
        checkpoint,
        # Behind the checkpoint: what is reported as done is kept.
        *(logger(checkpoint, prepared.recipe) for logger in loggers if leads),
        _Progress(checkpoint, table.epochs, {part: len(each) for part, each in datasets.items()}, progress),
    ]
    on_devices = nullcontext() if spread is None else spread.training(learner)
    with raising_failures(*datasets.values()), position, on_devices, _backend.cores_for(learner):
        if checkpoint.batch:
            _finish_epoch(learner, targets, done, checkpoint, callbacks)
            wait_for_processes()  # for the checkpoint, which one of them writes
            done = checkpoint.restore(learner)  # as a new process would: `fit` swaps averages in at its end
        learner.fit(
            targets["train"],
            validation_data=targets.get("validation"),
            # What early stopping ended stays ended. `fit` is called all the same: it swaps averages in.
            initial_epoch=table.epochs if checkpoint.stopped else done,
            epochs=table.epochs,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
        position.agree()
        position.check(f"{out}: stopped behind the last epoch; the same command writes the model")
    if best:
        best.put_back()
    for layer in frozen:  # they are layers of the model that is kept
        layer.trainable = True
    return _fitted(checkpoint, best)


def _fitted(checkpoint: Checkpoint, best: KeepBest | None) -> Fitted:
    """What is told of the epochs that are done."""
    last = checkpoint.rows[-1]
    kept = next(row for row in checkpoint.rows if row["epoch"] == best.epoch) if best else last
    values = {name: value for name, value in last.items() if name != "epoch"}
    return Fitted(values, kept["epoch"], kept.get("val_accuracy"), checkpoint.seconds)


def _compile(prepared: Prepared) -> list[keras.metrics.Metric]:
    """Compile the learner; what is measured of it, its own metrics in addition."""
    table, learner = prepared.recipe.train, prepared.learner
    backbone = _backbone_weights(learner, prepared.spec) if table.paces_backbone else []
    loss, metrics = _measures(table, len(prepared.manifest.class_names))
    measured = [*metrics, *learner.metrics]  # those that the model itself has, as long as it is not compiled
    learner.compile(
        optimizer=optimizer_of(table, prepared.batches, learner.trainable_weights, backbone),
        loss=loss,
        weighted_metrics=metrics,
    )
    return measured


def _finish_epoch(
    learner: keras.Model,
    targets: Mapping[str, Targets],
    epoch: int,
    checkpoint: Checkpoint,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Do what is left of the epoch in which a run was stopped."""
    train, validation = targets["train"], targets.get("validation")
    left = len(train) - checkpoint.batch
    if left:
        # Set when the epoch begins: Keras on TensorFlow takes shapes from the first batches before.
        begin = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: setattr(train, "first", checkpoint.batch)
        )
        learner.fit(
            train,
            validation_data=validation,
            initial_epoch=epoch,
            epochs=epoch + 1,
            steps_per_epoch=left,
            shuffle=False,
            verbose=0,
            callbacks=[*callbacks, begin],
        )
        train.first = 0
        return
    each = keras.callbacks.CallbackList(callbacks, model=learner)
    each.on_train_begin()
    each.on_epoch_begin(epoch)
    found = learner.evaluate(validation, callbacks=each, verbose=0, return_dict=True)
    each.on_epoch_end(
        epoch, {**(checkpoint.trained or {}), **{f"val_{name}": value for name, value in found.items()}}
    )
    each.on_train_end()


def _measures(table: TrainTable, num_classes: int) -> tuple[keras.losses.Loss, list[keras.metrics.Metric]]:
    """The loss, and what else is told of an epoch: top-5 where there are more classes."""
    losses, metrics = keras.losses, keras.metrics
    if table.soft_labels:
        loss = losses.CategoricalCrossentropy(
            label_smoothing=table.label_smoothing, reduction="mean_with_sample_weight"
        )
        top1, top5 = metrics.CategoricalAccuracy, metrics.TopKCategoricalAccuracy
    else:
        loss = losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")
        top1, top5 = metrics.SparseCategoricalAccuracy, metrics.SparseTopKCategoricalAccuracy
    return loss, [top1(name="accuracy"), *([top5(5, name="top5")] if num_classes > 5 else [])]


def _check_run(table: TrainTable, batches: int, validated: bool) -> None:
    """Refuse what could never happen in a run of so many batches an epoch."""
    steps = counted(table.accumulate, batches)
    if steps > batches * table.epochs:
        raise UserError(
            f"train.accumulate={table.accumulate} is an update every {steps} batches, but the run has "
            f"{batches * table.epochs}: lower it"
        )
    if table.unfreeze_after and counted(table.unfreeze_after, table.epochs, 0) >= table.epochs:
        raise UserError(
            f"train.unfreeze_after={table.unfreeze_after} is as long as the run, {table.epochs} epochs, so "
            "the backbone would never be trained: lower it"
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


def _backbone_weights(model: keras.Model, spec: ModelSpec) -> list[keras.Variable]:
    """What is trained of a backbone; of a network over whole clips all but the classifier."""
    if spec.backbone:
        return zoo.backbone(model).trainable_weights
    own = {id(weight) for weight in model.get_layer("classifier").trainable_weights}
    return [weight for weight in model.trainable_weights if id(weight) not in own]


def _freeze_norms(model: keras.Model) -> list[keras.layers.Layer]:
    """Freeze the trained batch normalizations but the first, statistics too (partial BN of TSN)."""
    norms = [layer for layer in _plain_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    norms = [layer for layer in norms if layer.trainable_weights]
    if len(norms) < 2:
        raise UserError(
            f"train.partial_bn=true: {model.name} trains {len(norms)} batch normalizations, so none would "
            "be frozen; leave it out, or set train.train_backbone=true"
        )
    for layer in norms[1:]:
        layer.trainable = False
    return norms[1:]


def _plain_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model and of its backbone, in the graph's order; not those inside other layers."""
    for layer in model.layers:
        network = layer.network if isinstance(layer, FrameWise) else layer
        if isinstance(network, keras.Model):
            yield from _plain_layers(network)
        else:
            yield network


class _FiniteLoss(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"the loss is not a number after epoch {epoch + 1}: "
                "lower train.learning_rate, or set train.clipnorm=1"
            )


class _Progress(keras.callbacks.Callback):
    """Reports the epochs, and within one the batches, as fractions: of training and then of validation."""

    def __init__(
        self, checkpoint: Checkpoint, epochs: int, batches: dict[str, int], progress: StageProgress
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.epochs = epochs
        self.batches = batches
        self.progress = progress
        self.epoch = self.batch = 0
        self.validated = ""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.checkpoint.rows or self.checkpoint.batch:
            done: float = len(self.checkpoint.rows)
            if self.checkpoint.batch:
                done += self.checkpoint.batch / sum(self.batches.values())
            self.progress("epochs", done, self.epochs, "going on")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch, self.batch = epoch, self.checkpoint.batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self._report(f"batch {self.batch + 1}/{self.batches['train']}  {_values(logs)}{self.validated}")

    def on_test_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        values = _values({f"val_{name}": value for name, value in logs.items()})
        self._report(f"validation {batch + 1}/{self.batches['validation']}  {values}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if "val_accuracy" in logs:
            self.validated = f"  last val accuracy {logs['val_accuracy']:.3f}"
        self.progress("epochs", epoch + 1, self.epochs, _values(logs))

    def _report(self, text: str) -> None:
        self.batch += 1
        total = sum(self.batches.values())
        if self.batch < total:  # of the last one the epoch's end tells, when all is written
            self.progress(
                "epochs", self.epoch + self.batch / total, self.epochs, f"epoch {self.epoch + 1}, {text}"
            )


def _values(logs: dict[str, Any]) -> str:
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return "  ".join(f"{name.replace('_', ' ')} {logs[name]:.3f}" for name in names if name in logs)
