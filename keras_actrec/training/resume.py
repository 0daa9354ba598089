"""What a run has to remember, so that one that was stopped goes on as if it had not been."""

import json
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from keras_actrec import _backend
from keras_actrec._archive import read_arrays
from keras_actrec._files import replacing, write_csv
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError
from keras_actrec.training.devices import agreed
from keras_actrec.training.interrupt import Interrupt

CHECKPOINTS = ("checkpoint.npz", "checkpoint.before.npz")  # of a run directory: the last one, the one before


class Resumable(Protocol):
    """A callback that remembers something from epoch to epoch."""

    def get_state(self) -> dict[str, Any]:
        """What it remembers, as plain values."""

    def set_state(self, state: Mapping[str, Any], /) -> None:
        """Go on from what `get_state` gave."""


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the epoch whose validation was best.

    It takes them while validation ends, and so those that validation saw, if it comes before
    `keras.callbacks.SwapEMAWeights`.

    Args:
        monitor: `"val_accuracy"` or `"val_loss"`.

    Attributes:
        best: the best value, None before the first validation.
        epoch: its epoch, from 0; -1 before the first validation.
        weights: its weights.
    """

    def __init__(self, monitor: str) -> None:
        super().__init__()
        self.name = monitor.removeprefix("val_")  # as the logs of a validation have it
        self.sign = 1 if self.name == "accuracy" else -1
        self.best: float | None = None
        self.epoch = -1
        self.weights: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the number of the epoch."""
        self.now = epoch

    def on_test_end(self, logs: dict[str, Any]) -> None:
        """Takes the weights where they are better."""
        value = float(logs[self.name])
        if self.best is None or self.sign * value > self.sign * self.best:
            self.best, self.epoch = value, self.now
            # A copy: on PyTorch the array is the weight's own memory.
            self.weights = [np.array(keras.ops.convert_to_numpy(w.value)) for w in self.model.weights]

    def put_back(self) -> None:
        """Give the model the best weights."""
        for weight, value in zip(self.model.weights, self.weights, strict=True):
            weight.assign(value)


class Checkpoint(keras.callbacks.Callback):
    """Keeps the state of a run after every epoch, and inside one where `Position` asks for it.

    The state is all that what follows depends on: weights, the optimizer's variables (schedules follow its
    step count), the states of all random generators, what callbacks with `get_state()` and
    `set_state(state)` remember, and the best weights so far where these are kept; inside an epoch also the
    number of its batches that are done, and the running sums of loss and metrics. Clips, order and
    augmentation depend on (seed, epoch, index) alone. On the same backend and CPU a run that was stopped,
    also by `kill -9`, and called again ends with the same bits as one that was not; what is lost is what
    came after the last checkpoint. (`keras.callbacks.BackupAndRestore` does not keep generators.)

    Args:
        folder: the run directory: `checkpoint.npz`, `checkpoint.before.npz`, the one before, which is taken
            up where the first is damaged, and `history.csv` with a row an epoch.
        seed: of the run; what a backend draws by itself (PyTorch's dropout) follows it and the epoch.
        remember: the callbacks of the run that remember something.
        best: the callback that keeps the best weights, if they are kept.
        metrics: those that the model is compiled with.
        writes: whether this process writes; of several that train together, one does.
        began: when this process began with the run, by `time.perf_counter`; by default now.

    Attributes:
        seconds: how long earlier processes took for what is done.
        rows: the history, a dict an epoch.
        stopped: whether a callback has ended the run.
        batch: how many batches of the epoch behind the last row were done when the run was stopped.
        trained: what came of training in that epoch where only its validation is left; else None.
    """

    def __init__(
        self,
        folder: PathLike,
        seed: int,
        remember: Iterable[Resumable] = (),
        best: KeepBest | None = None,
        metrics: Iterable[keras.metrics.Metric] = (),
        *,
        writes: bool = True,
        began: float | None = None,
    ) -> None:
        super().__init__()
        self.began = time.perf_counter() if began is None else began
        self.seconds = 0.0
        self.file, self.before = (Path(folder) / name for name in CHECKPOINTS)
        self.table = Path(folder) / "history.csv"
        self.seed = seed
        self.remember = list(remember)
        self.best = best
        self.metrics = list(metrics)
        self.writes = writes
        self.rows: list[dict[str, Any]] = []
        self.stopped = False
        self.batch = 0
        self.trained: dict[str, float] | None = None

    def restore(self, model: keras.Model) -> int:
        """Take up the state of an earlier run, where the folder holds one; a warning says if it is damaged.

        Args:
            model: the compiled model.

        Returns:
            The number of epochs that are done.

        Raises:
            UserError: for files that cannot be read or are of another model.
        """
        model.optimizer.build(model.trainable_variables)
        found = self._read()
        if found is None:
            return 0
        state, arrays = found
        variables = _variables(model)
        if [list(value.shape) for value in arrays["value"]] != [list(each.shape) for each in variables]:
            raise UserError(f"{self.file}: the model is another; choose another --out, or remove it")
        _assign(variables, arrays["value"])
        self._set_states(state["remembered"])
        if self.best is not None:
            self.best.best, self.best.epoch = state["best"]
            self.best.weights = arrays["kept"]
        self.rows, self.stopped = state["history"], state["stopped"]
        self.batch, self.trained = state["batch"], state["trained"]
        self.seconds = self.seconds or state.get("seconds", 0.0)  # not of what this process has written
        self._inside = {"remembered": state["remembered"], **arrays}
        return len(self.rows)

    def _set_states(self, remembered: Iterable[Mapping[str, Any]]) -> None:
        for callback, each in zip(self.remember, remembered, strict=True):
            callback.set_state(each)

    def _read(self) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]] | None:
        """The state and the arrays of the newest file that is whole; None without a file."""
        files = [file for file in (self.file, self.before) if file.exists()]
        for file in files:
            try:
                found = _contents(file)
            except (
                Exception
            ) as error:  # a damaged archive ends in whatever zip, zlib, JSON or NumPy met first
                if file == files[-1]:
                    several = "them" if len(files) > 1 else "it"
                    names = " and ".join(map(str, files))
                    reason = f"{names}: not a checkpoint; remove {several} to start the run again"
                    raise UserError(reason) from error
                warnings.warn(
                    f"{file} is damaged ({type(error).__name__}): the run goes on from the one before, "
                    f"{self.before}",
                    stacklevel=2,
                )
            else:
                return found
        return None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Seeds what has no state that could be kept; in an epoch that goes on, puts its state back."""
        _backend.seed(int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]))
        if self.batch:
            self._set_states(self._inside["remembered"])

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Puts back what Keras has set to 0, and PyTorch has drawn from, since the epoch began."""
        if self.batch and batch == 0:
            _assign(self._sums(self.model), self._inside["metric"])
            _backend.set_generators(self._inside["drawn"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes the row and the state; a run that is stopped here has both or neither."""
        self.rows.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})
        self.write(self.take())
        if self.writes:
            write_csv(self.table, self.rows)

    def take(self, batch: int = 0, trained: Mapping[str, float] | None = None) -> dict[str, np.ndarray]:
        """The state as it is now, in copies.

        Args:
            batch: number of batches of the epoch that are done.
            trained: what came of training in it, if only its validation is left.
        """
        several = {
            "value": [variable.value for variable in _variables(self.model)],
            "kept": [] if self.best is None else self.best.weights,
            "metric": [variable.value for variable in self._sums(self.model)] if batch else [],
            "drawn": _backend.generators() if batch else [],
        }
        state = {
            **{kind: len(values) for kind, values in several.items()},
            "best": self.best and (self.best.best, self.best.epoch),
            "history": self.rows,
            "stopped": self.model.stop_training,
            "remembered": [callback.get_state() for callback in self.remember],
            "batch": batch,
            "trained": trained,
            "seconds": self.seconds + time.perf_counter() - self.began,
        }
        # Copies: on PyTorch the array is the weight's own memory.
        arrays = {
            f"{kind}{index}": np.array(keras.ops.convert_to_numpy(value))
            for kind, values in several.items()
            for index, value in enumerate(values)
        }
        return {"state": np.array(json.dumps(state)), **arrays}

    def write(self, taken: Mapping[str, Any]) -> None:
        """Write what `take` gave; the file that was there is the one before then."""
        if not self.writes:
            return
        with (
            replacing(self.file, durable=True, keep=self.before) as part,
            open(part, "wb") as file,
        ):
            np.savez(file, **taken)

    def _sums(self, model: keras.Model) -> list[keras.Variable]:
        """Running sums of loss and metrics, of which Keras knows the latter after the first batch only."""
        return [sum_ for metric in (model.metrics[0], *self.metrics) for sum_ in metric.variables]


class Position(Interrupt):
    """Keeps where a run is inside an epoch: when a signal ends it, and every so many minutes.

    It comes before all other callbacks: `keras.callbacks.SwapEMAWeights` has other weights in the model while
    it is validated.

    Args:
        checkpoint: that writes.
        batches: number of batches of an epoch.
        minutes: between two checkpoints inside an epoch; None writes none before a signal.
    """

    def __init__(self, checkpoint: Checkpoint, batches: int, minutes: float | None = None) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.batches = batches
        self.seconds = None if minutes is None else 60 * minutes

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the time, and where the epoch begins."""
        self.name, self.written = f"epoch {epoch + 1}", time.monotonic()
        self.first = self.checkpoint.batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes a checkpoint where one is due, and stops."""
        self.agree()
        done = self.first + batch + 1
        if done < self.batches and self._is_due():  # behind the last one comes validation, or the epoch's end
            self._write(self.checkpoint.take(done))
            self._stop(f"batch {done} of {self.batches}")

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Takes what training has come to, which is written where a checkpoint is due before the next."""
        self.taken = None
        if self.first < self.batches:  # else the run was stopped in this validation before
            trained = {name: float(value) for name, value in self.model.get_metrics_result().items()}
            self.taken = self.checkpoint.take(self.batches, trained)
        self.on_test_batch_end(0)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the checkpoint where one is due, and stops."""
        self.agree()
        if self._is_due():
            if self.taken is not None:
                self._write(self.taken)
                self.taken = None
            self._stop("its validation")

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Frees the memory."""
        self.taken = None

    def agree(self) -> None:
        """Take a signal that any of the processes of the run has got, so that all end at the same batch."""
        self.asked = agreed(self.asked)

    def _is_due(self) -> bool:
        late = self.seconds is not None and time.monotonic() - self.written >= self.seconds
        return late or self.asked is not None

    def _write(self, taken: Mapping[str, np.ndarray]) -> None:
        self.checkpoint.write(taken)
        self.written = time.monotonic()

    def _stop(self, where: str) -> None:
        folder = self.checkpoint.file.parent
        self.check(f"{folder}: stopped in {self.name}, {where}; the same command goes on from there")


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """The state and the arrays of a file."""
    archive = read_arrays(path)
    state = json.loads(str(archive["state"]))
    arrays = {
        kind: [archive[f"{kind}{index}"] for index in range(state[kind])]
        for kind in ("value", "kept", "metric", "drawn")
    }
    if not state.keys() >= {"best", "history", "stopped", "remembered", "batch", "trained"}:
        raise ValueError("it lacks a part")
    return state, arrays


def _assign(variables: Iterable[keras.Variable], values: Iterable[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Weights, random generators and the optimizer's variables, in an order that the model settles."""
    metrics = {id(variable) for variable in model.metrics_variables}
    optimizer = model.optimizer.variables
    known = metrics | {id(variable) for variable in optimizer}
    return [*(v for v in model.variables if id(v) not in known), *optimizer]
