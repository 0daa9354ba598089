"""Where a run's history goes in addition to `history.csv`: TensorBoard and Weights & Biases."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import keras

from keras_actrec._files import naming_full_disk
from keras_actrec.errors import UserError
from keras_actrec.training.resume import Checkpoint
from keras_actrec.training.tables import Recipe

# Makes the callback that logs a run.
Logger: TypeAlias = Callable[[Checkpoint, Recipe], keras.callbacks.Callback]


class _Log(keras.callbacks.Callback, ABC):
    """Writes the rows of a `Checkpoint`, which it comes after; those of a run that goes on first."""

    def __init__(self, checkpoint: Checkpoint, recipe: Recipe) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.recipe = recipe
        self.folder = checkpoint.table.parent

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.open()
        for row in self.checkpoint.rows:
            self.write(**row)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.write(**self.checkpoint.rows[-1])

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.close()

    @abstractmethod
    def open(self) -> None:
        """Begin."""

    @abstractmethod
    def write(self, epoch: int, **values: float) -> None:
        """Write the row of an epoch."""

    @abstractmethod
    def close(self) -> None:
        """End."""


class TensorBoardLog(_Log):
    """Events in `tensorboard/` of the run directory, by tensorboard's own writer.

    TensorFlow is not needed; where it is installed, the writer loads it.
    """

    def open(self) -> None:
        from tensorboard.summary import Writer

        # Written anew: what a killed run has logged may be more than its checkpoint knows.
        shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
        self.writer = Writer(str(self.folder / "tensorboard"))

    def write(self, epoch: int, **values: float) -> None:
        with naming_full_disk(self.folder / "tensorboard"):
            for name, value in values.items():
                self.writer.add_scalar(name, value, step=epoch)
            self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class WandbLog(_Log):
    """A run of the project `keras_actrec` of Weights & Biases, in the mode that its own settings say.

    What it keeps on disk is in `wandb/` of the run directory; by that it finds a run that was stopped again.
    """

    def open(self) -> None:
        import wandb

        self.run = wandb.init(
            project="keras_actrec",
            name=self.folder.name,
            dir=str(self.folder),
            config=self.recipe.model_dump(exclude_none=True),
            resume="auto",
        )
        self.first = self.run.step  # of a run that goes on, it has the steps before

    def write(self, epoch: int, **values: float) -> None:
        if epoch >= self.first:
            self.run.log(values, step=epoch)

    def close(self) -> None:
        self.run.finish()


_LOGS: dict[str, type[_Log]] = {"tensorboard": TensorBoardLog, "wandb": WandbLog}


def loggers_of(names: Iterable[str]) -> list[Logger]:
    """The loggers of these names, each once.

    Raises:
        UserError: for another name, or a package that is not installed.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in _LOGS:
            raise UserError(f"`log` must be {' or '.join(_LOGS)}. Received: log={name!r}")
        try:
            __import__(name)
        except ImportError as error:
            raise UserError(f"log={name!r} needs {name}: pip install 'keras_actrec[{name}]'") from error
    return [_LOGS[name] for name in names]
