"""Ctrl-C and SIGTERM end a training between two batches."""

from contextlib import ExitStack
from typing import Any, Self

import keras

from keras_actrec import _signals


class Interrupt(keras.callbacks.Callback):
    """Ends a training at the next batch after Ctrl-C or SIGTERM, with `KeyboardInterrupt` or `Terminated`.

    Between batches all is in order, and nothing passes over the exception: Keras 3.15 reads the loss after
    every batch in a block with a bare `except`. In the `with` block signals are noted, in the main thread and
    where nobody else handles them; a second one ends the process at once.

        with Interrupt() as interrupt:
            model.fit(dataset, callbacks=[interrupt])
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: int | None = None

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.enter_context(_signals.handling(self._note))
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self._stack.close()
        if kind is None:
            self.check()

    def _note(self, number: int) -> None:
        self.asked = number

    def check(self, line: str = "") -> None:
        """Raise if a signal has come; `line` says what was reached."""
        if self.asked is not None:
            raise _signals.stop(self.asked, line)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.check()

    on_test_batch_end = on_train_batch_end
