"""Where a run's history goes beside `history.csv`: TensorBoard and Weights & Biases."""

import shutil

import keras

from keras_actrec.errors import UserError


class _Log(keras.callbacks.Callback):
    """Writes the rows of a `Checkpoint`, those of a run that goes on first. It stands behind that."""

    def __init__(self, checkpoint, recipe):
        super().__init__()
        self.checkpoint = checkpoint
        self.recipe = recipe
        self.folder = checkpoint.table.parent

    def on_train_begin(self, logs=None):
        self.open()
        for row in self.checkpoint.rows:
            self.write(**row)

    def on_epoch_end(self, epoch, logs=None):
        self.write(**self.checkpoint.rows[-1])

    def on_train_end(self, logs=None):
        self.close()


class TensorBoardLog(_Log):
    """Events in `tensorboard/` of the run directory, by tensorboard's own writer.

    TensorFlow is not needed; where it is installed, the writer loads it.
    """

    def open(self):
        from tensorboard.summary import Writer

        # Written anew: what a killed run has logged may be more than its checkpoint knows.
        shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
        self.writer = Writer(str(self.folder / "tensorboard"))

    def write(self, epoch, **values):
        for name, value in values.items():
            self.writer.add_scalar(name, value, step=epoch)
        self.writer.flush()

    def close(self):
        self.writer.close()


class WandbLog(_Log):
    """A run of the project `keras_actrec` of Weights & Biases, in the mode that its own settings say.

    What it keeps on disk is in `wandb/` of the run directory; by that it finds a run that was stopped again.
    """

    def open(self):
        import wandb

        self.run = wandb.init(
            project="keras_actrec",
            name=self.folder.name,
            dir=str(self.folder),
            config=self.recipe.model_dump(exclude_none=True),
            resume="auto",
        )
        self.first = self.run.step  # of a run that goes on, it has the steps before

    def write(self, epoch, **values):
        if epoch >= self.first:
            self.run.log(values, step=epoch)

    def close(self):
        self.run.finish()


_LOGS = {"tensorboard": TensorBoardLog, "wandb": WandbLog}


def loggers_of(names):
    """The loggers of these names, to be called with a `Checkpoint` and a `Recipe`.

    Raises:
        UserError: for another name, or a package that is not installed.
    """
    for name in names:
        if name not in _LOGS:
            raise UserError(f"`log` must be {' or '.join(_LOGS)}. Received: log={name!r}")
        try:
            __import__(name)
        except ImportError as error:
            raise UserError(f"log={name!r} needs {name}: pip install 'keras_actrec[{name}]'") from error
    return [_LOGS[name] for name in dict.fromkeys(names)]
