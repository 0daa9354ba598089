"""Processes end with the one that started them."""

import subprocess
import sys
import time

import pytest

from keras_actrec._children import ending

pytestmark = pytest.mark.no_backend

CHILD = """
import os, sys, time
import keras_actrec_program  # so that Keras is not loaded
from keras_actrec._children import end_with_parent
end_with_parent(lambda: os.read(0, 1))
print("begun", flush=True)
time.sleep(60)
"""


def test_a_process_ends_when_its_parents_end_of_the_pipe_is_closed():
    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "begun\n"
        time.sleep(0.2)
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(20) == 1


def test_how_a_process_ended_is_said_with_its_signal_or_status():
    assert ending(-9) == "killed by SIGKILL" and ending(-15) == "killed by SIGTERM"
    assert ending(3) == "ended with status 3"
