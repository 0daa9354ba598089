"""What a run has to remember, so that one that was stopped goes on as if it had not been."""

import json
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
    """Keeps the state of a run after every epoch, and its history as a table.

    The state is all that the next epoch depends on: weights, the optimizer's variables (schedules follow its
    step count), the states of all random generators, what callbacks with `get_state()` and
    `set_state(state)` remember, and the best weights so far where these are kept. Clips, order and
    augmentation depend on (seed, epoch, index) alone. On the same backend and CPU a run that was stopped,
    also by `kill -9`, and called again ends with the same bits as one that was not; what is lost is the epoch
    it was in. (`keras.callbacks.BackupAndRestore` does not keep generators.)

    Args:
        folder: the run directory: `checkpoint.npz`, `checkpoint.before.npz` of the epoch before, which is
            taken up where the first is damaged, and `history.csv` with a row an epoch.
        seed: of the run; what a backend draws by itself (PyTorch's dropout) follows it and the epoch.
        remember: the callbacks of the run that remember something.
        best: the callback that keeps the best weights, if they are kept.

    Attributes:
        rows: the history, a dict an epoch.
        stopped: whether a callback has ended the run.
    """

    def __init__(
        self,
        folder: PathLike,
        seed: int,
        remember: Iterable[Resumable] = (),
        best: KeepBest | None = None,
    ) -> None:
        super().__init__()
        self.file, self.before = (Path(folder) / name for name in CHECKPOINTS)
        self.table = Path(folder) / "history.csv"
        self.seed = seed
        self.remember = list(remember)
        self.best = best
        self.rows: list[dict[str, Any]] = []
        self.stopped = False

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
        state, values, kept = found
        variables = _variables(model)
        if [list(value.shape) for value in values] != [list(variable.shape) for variable in variables]:
            raise UserError(f"{self.file}: the model is another; choose another --out, or remove it")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        for callback, remembered in zip(self.remember, state["remembered"], strict=True):
            callback.set_state(remembered)
        if self.best is not None:
            self.best.best, self.best.epoch = state["best"]
            self.best.weights = kept
        self.rows, self.stopped = state["history"], state["stopped"]
        return len(self.rows)

    def _read(self) -> tuple[dict[str, Any], list[np.ndarray], list[np.ndarray]] | None:
        """State, values and kept weights of the newest file that is whole; None without a file."""
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
                    f"{file} is damaged ({type(error).__name__}): the run goes on an epoch earlier, from "
                    f"{self.before}",
                    stacklevel=2,
                )
            else:
                return found
        return None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Seeds what has no state that could be kept."""
        _backend.seed(int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes the row and the state; a run that is stopped here has both or neither."""
        self.rows.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})
        values = [keras.ops.convert_to_numpy(variable.value) for variable in _variables(self.model)]
        kept = [] if self.best is None else self.best.weights
        arrays = {
            f"{kind}{index}": value
            for kind, several in (("value", values), ("kept", kept))
            for index, value in enumerate(several)
        }
        state = {
            "value": len(values),
            "kept": len(kept),
            "best": self.best and (self.best.best, self.best.epoch),
            "history": self.rows,
            "stopped": self.model.stop_training,
            "remembered": [callback.get_state() for callback in self.remember],
        }
        with (
            replacing(self.file, durable=True, keep=self.before) as part,
            open(part, "wb") as file,
        ):
            np.savez(file, state=json.dumps(state), **arrays)
        write_csv(self.table, self.rows)


def _contents(path: Path) -> tuple[dict[str, Any], list[np.ndarray], list[np.ndarray]]:
    """The state, the values and the kept weights of a file."""
    archive = read_arrays(path)
    state = json.loads(str(archive["state"]))
    values, kept = ([archive[f"{kind}{index}"] for index in range(state[kind])] for kind in ("value", "kept"))
    if not state.keys() >= {"best", "history", "stopped", "remembered"}:
        raise ValueError("it lacks a part")
    return state, values, kept


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Weights, random generators and the optimizer's variables, in an order that the model settles."""
    metrics = {id(variable) for variable in model.metrics_variables}
    optimizer = model.optimizer.variables
    known = metrics | {id(variable) for variable in optimizer}
    return [*(v for v in model.variables if id(v) not in known), *optimizer]
