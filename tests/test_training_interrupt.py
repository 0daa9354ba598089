"""Ctrl-C and SIGTERM end a training between two batches, and a second one ends the process."""

import os
import signal
import subprocess
import sys
import time
from unittest import mock

import keras
import numpy as np
import pytest

from keras_actrec import _signals
from keras_actrec.training.interrupt import Interrupt

X, Y = np.zeros((8, 2), "float32"), np.zeros((8, 1), "float32")


@pytest.fixture(autouse=True)
def python_handles_the_signals():
    """A shell starts programs in the background with SIGINT ignored."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield handlers
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    for number, handler in before.items():
        signal.signal(number, handler)


def model():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    return network


class SendsASignal(keras.callbacks.Callback):
    """In the second batch of a part, in a block that passes over every exception, as Keras has one."""

    def __init__(self, number, part):
        super().__init__()
        self.number, self.part = number, part
        self.batches = {"train": 0, "test": 0}

    def on_train_batch_end(self, batch, logs=None):
        self.seen("train")

    def on_test_batch_end(self, batch, logs=None):
        self.seen("test")

    def seen(self, part):
        self.batches[part] += 1
        if part == self.part and self.batches[part] == 2:
            try:
                os.kill(os.getpid(), self.number)
            except BaseException:
                pytest.fail("it came in the middle of a batch")


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, _signals.Terminated)]
)
def test_a_signal_ends_the_training_at_the_end_of_the_batch(number, error, part):
    sends = SendsASignal(number, part)
    with pytest.raises(error), Interrupt() as interrupt:
        model().fit(
            X, Y, batch_size=2, epochs=3, verbose=0, validation_data=(X, Y), callbacks=[sends, interrupt]
        )
    assert sends.batches == {"train": 2 if part == "train" else 4, "test": 0 if part == "train" else 2}


@pytest.mark.no_backend
def test_a_signal_behind_the_last_batch_is_not_lost():
    with pytest.raises(_signals.Terminated) as stopped, Interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.code == 143


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, _signals.Terminated)]
)
def test_a_signal_whose_exception_python_ignores_is_raised_again(number, error):
    class Thing:
        def __del__(self):
            os.kill(os.getpid(), number)
            time.sleep(5)  # the signal ends it

    start = time.monotonic()
    with pytest.raises(error), _signals.raising():
        thing = Thing()
        del thing
        time.sleep(10)
    assert time.monotonic() - start < 5


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, _signals.Terminated)]
)
def test_what_c_code_makes_of_the_exception_is_the_exception_again(number, error):
    with pytest.raises(error) as stopped, _signals.raising():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except BaseException:
            raise RuntimeError("a callback failed") from None  # as bindings do it
    assert str(stopped.value.__cause__) == "a callback failed"


@pytest.mark.no_backend
def test_errors_of_what_is_written_behind_a_signal_stay_what_they_are():
    with pytest.raises(OSError, match="disk full"), _signals.raising():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            raise OSError("disk full")
    with pytest.raises(ValueError, match="no signal"), _signals.raising():
        raise ValueError("no signal has come")


@pytest.mark.no_backend
def test_other_exceptions_that_python_ignores_are_still_reported(capsys):
    class Thing:
        def __del__(self):
            raise ValueError("this one")

    with mock.patch.object(sys, "unraisablehook", sys.__unraisablehook__), _signals.raising():
        thing = Thing()
        del thing
    assert "ValueError: this one" in capsys.readouterr().err


@pytest.mark.no_backend
def test_a_handler_of_somebody_else_stays(python_handles_the_signals):
    def handler(number, frame):
        pass

    for number in python_handles_the_signals:
        signal.signal(number, handler)
    with Interrupt():
        assert all(signal.getsignal(number) is handler for number in python_handles_the_signals)
    assert all(signal.getsignal(number) is handler for number in python_handles_the_signals)
    for number, before in python_handles_the_signals.items():
        signal.signal(number, before)


TWICE = """
import os, signal, sys
import keras_actrec_program  # so that Keras is not loaded
from keras_actrec._signals import handling, raising
number = int(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
with raising(), handling(lambda number: print("noted", flush=True)):
    os.kill(os.getpid(), number)
    print("going on", flush=True)
    os.kill(os.getpid(), number)
    print("still there", flush=True)
"""


@pytest.mark.no_backend
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_at_once(number):
    command = [sys.executable, "-c", TWICE, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-number, "noted\ngoing on\n", "")
