"""Ctrl-C ends a training."""

import signal
import threading
from typing import Any, Self

import keras


class Interrupt(keras.callbacks.Callback):
    """Raises `KeyboardInterrupt` at the next batch after Ctrl-C, in case the first one was lost.

    Keras 3.15 reads the loss after every batch in a block with a bare `except`, and small networks spend most
    of their time there. In the `with` block the signal is remembered, in the main thread and where nobody
    else handles it.

        with Interrupt() as interrupt:
            model.fit(dataset, callbacks=[interrupt])
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self._handles = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._handles = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._handles:
            signal.signal(signal.SIGINT, self._remember)
        return self

    def __exit__(self, *error: object) -> None:
        if self._handles:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _remember(self, number: int, frame: Any) -> None:
        self.asked = True
        raise KeyboardInterrupt

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.asked:
            raise KeyboardInterrupt

    on_test_batch_begin = on_epoch_end = on_train_batch_begin
