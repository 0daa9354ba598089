"""Ctrl-C ends a training, also where something in between has lost it."""

import os
import signal
import time

import keras
import numpy as np
import pytest

from keras_actrec.training.interrupt import Interrupt

X, Y = np.zeros((8, 2), "float32"), np.zeros((8, 1), "float32")


@pytest.fixture(autouse=True)
def python_handles_the_signal():
    """A shell starts programs in the background with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def model():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    return network


class LosesTheSignal(keras.callbacks.Callback):
    """Ctrl-C during a batch, in a block that passes over every exception, as Keras has one."""

    def __init__(self, part):
        super().__init__()
        self.part = part
        self.batches = {"train": 0, "test": 0}

    def on_train_batch_end(self, batch, logs=None):
        self.seen("train")

    def on_test_batch_end(self, batch, logs=None):
        self.seen("test")

    def seen(self, part):
        self.batches[part] += 1
        if part == self.part and self.batches[part] == 2:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1)
            except BaseException:
                return
            pytest.fail("there was no signal")


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_interrupt_that_was_lost_ends_the_training_at_the_next_batch(part):
    loses = LosesTheSignal(part)
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
        model().fit(
            X, Y, batch_size=2, epochs=3, verbose=0, validation_data=(X, Y), callbacks=[loses, interrupt]
        )
    assert loses.batches == {"train": 2 if part == "train" else 4, "test": 0 if part == "train" else 2}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.no_backend
def test_a_handler_of_somebody_else_stays():
    def handler(number, frame):
        pass

    signal.signal(signal.SIGINT, handler)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) is handler
    assert signal.getsignal(signal.SIGINT) is handler
