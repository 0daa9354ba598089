"""Learning rates over a run, and what counts epochs in it."""

import functools
import math

import keras


def warmup_cosine(epoch, *, learning_rate, epochs, warmup_epochs):
    """The learning rate of an epoch, from 0: up along a line, then down along half a cosine.

    `learning_rate (0.1 + 0.9 epoch / warmup_epochs)` before `warmup_epochs`; then
    `learning_rate (1 + cos(pi (epoch - warmup_epochs) / (epochs - warmup_epochs))) / 2`.

    Reference: the released code of GSM (Sudhakaran et al., arXiv 1912.00381).
    """
    if epoch < warmup_epochs:
        return learning_rate * (0.1 + 0.9 * epoch / warmup_epochs)
    done = (epoch - warmup_epochs) / (epochs - warmup_epochs)
    return learning_rate * (1 + math.cos(math.pi * done)) / 2


def multistep(epoch, *, learning_rate, milestones, factor):
    """The learning rate of an epoch, from 0: `learning_rate factor^n` after n of the `milestones`."""
    return learning_rate * factor ** sum(epoch >= milestone for milestone in milestones)


class _Counting:
    """A callback that goes on counting where another one stopped, instead of from the start of `fit`."""

    counts = ("best", "wait")
    _state = None

    def get_state(self):
        """What it has counted, as plain values."""
        return {name: getattr(self, name) for name in self.counts}

    def set_state(self, state):
        """Go on from what `get_state` gave; before `fit`."""
        self._state = dict(state)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        for name, value in (self._state or {}).items():
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

    def on_epoch_begin(self, epoch, logs=None):
        """Takes the values."""
        weights = [weight for weight in self.model.non_trainable_weights if not len(weight.shape)]
        names = [weight.name for weight in weights]
        self.values = {"learning_rate": _number(self.model.optimizer.learning_rate)}
        for weight in weights:
            self.values[weight.name if names.count(weight.name) == 1 else weight.path] = _number(weight)

    def on_epoch_end(self, epoch, logs=None):
        """Adds them to the logs, before callbacks that write them."""
        logs.update(self.values)


def _number(value):
    return float(keras.ops.convert_to_numpy(value))


def callbacks_of(table):
    """The callbacks that `[train]` asks for, in the order in which `fit` needs them."""
    found = []
    if table.schedule == "warmup_cosine":
        rate = functools.partial(
            warmup_cosine,
            learning_rate=table.learning_rate,
            epochs=table.epochs,
            warmup_epochs=table.warmup_epochs,
        )
        found.append(_by_epoch(rate))
    elif table.schedule == "multistep":
        rate = functools.partial(
            multistep, learning_rate=table.learning_rate, milestones=table.milestones, factor=table.factor
        )
        found.append(_by_epoch(rate))
    mode = "max" if table.monitor and table.monitor.endswith("accuracy") else "min"
    if table.schedule == "plateau":
        found.append(
            Plateau(
                table.monitor,
                mode=mode,
                factor=table.factor,
                patience=table.patience,
                cooldown=table.cooldown,
            )
        )
    if table.early_stop is not None:
        found.append(EarlyStop(table.monitor, mode=mode, patience=table.early_stop))
    if table.ema is not None:
        found.append(keras.callbacks.SwapEMAWeights())
    return [*found, LogScalars()]


def _by_epoch(rate):
    # A function of the epoch alone, so a resumed run has the rates of one that was not interrupted.
    return keras.callbacks.LearningRateScheduler(lambda epoch, _: rate(epoch))
