"""Learning rates over a run, and what counts epochs in it."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from keras_actrec._types import Tensor
from keras_actrec.training.tables import TrainTable, counted


def warmup_cosine(epoch: int, *, learning_rate: float, epochs: int, warmup_epochs: int) -> float:
    """The learning rate of an epoch, from 0: up along a line, then down along half a cosine.

    `learning_rate (0.1 + 0.9 epoch / warmup_epochs)` before `warmup_epochs`; then
    `learning_rate (1 + cos(pi (epoch - warmup_epochs) / (epochs - warmup_epochs))) / 2`.

    Args:
        epoch: from 0.
        learning_rate: the highest.
        epochs: of the run.
        warmup_epochs: before the highest rate.

    Reference: the released code of GSM (Sudhakaran et al., arXiv 1912.00381).
    """
    if epoch < warmup_epochs:
        return learning_rate * (0.1 + 0.9 * epoch / warmup_epochs)
    done = (epoch - warmup_epochs) / (epochs - warmup_epochs)
    return learning_rate * (1 + math.cos(math.pi * done)) / 2


def multistep(epoch: int, *, learning_rate: float, milestones: Iterable[int], factor: float) -> float:
    """The learning rate of an epoch, from 0: `learning_rate factor^n` after n of the `milestones`."""
    return learning_rate * factor ** sum(epoch >= milestone for milestone in milestones)


class _Counting(keras.callbacks.Callback):
    """A callback that goes on counting where another one stopped, instead of from the start of `fit`."""

    counts: tuple[str, ...] = ("best", "wait")
    _state: Mapping[str, Any] = {}

    def get_state(self) -> dict[str, Any]:
        """What it has counted, as plain values."""
        return {name: getattr(self, name) for name in self.counts}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` gave; before `fit`."""
        self._state = dict(state)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        for name, value in self._state.items():
            setattr(self, name, value)


class Plateau(_Counting, keras.callbacks.ReduceLROnPlateau):
    """`keras.callbacks.ReduceLROnPlateau` that can be resumed; its rate is a weight of the optimizer."""

    counts = ("best", "wait", "cooldown_counter")


class EarlyStop(_Counting, keras.callbacks.EarlyStopping):
    """`keras.callbacks.EarlyStopping` that can be resumed."""


class LogScalars(keras.callbacks.Callback):
    """Logs what an epoch began with: the learning rate, and the model's untrained numbers.

    Those are the weights without an axis that are not trained, such as `temperature`; the column is the
    weight's name, or its path where several have the name.
    """

    values: dict[str, float] = {}

    def get_state(self) -> dict[str, float]:
        """The values, for an epoch that goes on."""
        return self.values

    def set_state(self, state: Mapping[str, float]) -> None:
        """Log what `get_state` gave."""
        self.values = dict(state)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the values."""
        weights = [weight for weight in self.model.non_trainable_weights if not len(weight.shape)]
        names = [weight.name for weight in weights]
        self.values = {"learning_rate": _number(self.model.optimizer.learning_rate)}
        for weight in weights:
            self.values[weight.name if names.count(weight.name) == 1 else weight.path] = _number(weight)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Adds them to the logs, before callbacks that write them."""
        logs.update(self.values)


def _number(value: Tensor) -> float:
    return float(keras.ops.convert_to_numpy(value))


def callbacks_of(table: TrainTable) -> list[keras.callbacks.Callback]:
    """The callbacks that `[train]` asks for, in the order in which `fit` needs them."""
    found = []
    if table.schedule == "warmup_cosine":
        values = table.model_dump(include={"learning_rate", "epochs", "warmup_epochs"})
        values["warmup_epochs"] = counted(values["warmup_epochs"], table.epochs, 0)
        found.append(_by_epoch(functools.partial(warmup_cosine, **values)))
    elif table.schedule == "multistep":
        values = table.model_dump(include={"learning_rate", "milestones", "factor"})
        values["milestones"] = [counted(each, table.epochs) for each in values["milestones"]]
        found.append(_by_epoch(functools.partial(multistep, **values)))
    mode = "max" if table.monitor and table.monitor.endswith("accuracy") else "min"
    if table.schedule == "plateau":
        values = table.model_dump(include={"monitor", "factor", "patience", "cooldown"})
        found.append(Plateau(**values, mode=mode))
    if table.early_stop is not None:
        found.append(EarlyStop(table.monitor, mode=mode, patience=table.early_stop))
    if table.ema is not None:
        found.append(keras.callbacks.SwapEMAWeights())
    return [*found, LogScalars()]


def _by_epoch(rate: Callable[[int], float]) -> keras.callbacks.LearningRateScheduler:
    # A function of the epoch alone, so a resumed run has the rates of one that was not interrupted.
    return keras.callbacks.LearningRateScheduler(lambda epoch, _: rate(epoch))
