"""Several devices, and several processes, train as one device does."""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import on_devices
import trees
from keras_actrec import _backend, _signals, training
from keras_actrec.errors import UserError

BACKEND = keras.backend.backend()
FORCED = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
VARIABLES = {
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    "KERAS_DISTRIBUTION_PROCESS_ID": "0",
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "localhost:1",
}
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="the engine is JAX's: KERAS_BACKEND=jax")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    (folder / "skeletons").mkdir()
    trees.northwestern_ucla(folder / "skeletons", subjects=4, episodes=1)
    trees.features(folder / "features", step=(2, 2, 8))
    return folder


def free_port():
    with socket.socket() as asked:
        asked.bind(("localhost", 0))
        return asked.getsockname()[1]


@pytest.fixture(scope="module")
def said(folder):
    """What two processes with four devices each say, see `on_devices`."""
    port = free_port()
    environment = {**os.environ, "KERAS_BACKEND": BACKEND, "XLA_FLAGS": FORCED}

    def run(process):
        command = [sys.executable, on_devices.__file__, folder, str(process), str(port)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(run, (0, 1)))
    for each in ended:
        assert each.returncode == 0, each.stdout + each.stderr
    return [json.loads(each.stdout.splitlines()[-1]) for each in ended]


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def check_equal(found, expected, tolerance):
    assert len(found) == len(expected) > 1
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, abs=tolerance)


# Half precision rounds a sum of parts otherwise.
@on_jax
@pytest.mark.parametrize(
    ("run", "tolerance"),
    [
        ("plain-4", 1e-5),
        ("mixed-2x2", 1e-2),
        ("reinforce-4", 1e-5),
    ],
)
def test_devices_and_processes_train_to_the_same_values_as_one(folder, said, run, tolerance):
    one = history(folder / f"{run.partition('-')[0]}-1")
    check_equal(history(folder / run), one, tolerance)
    assert one[-1]["loss"] != pytest.approx(one[0]["loss"], abs=1e-2)


@on_jax
def test_statistics_of_a_batch_are_those_of_all_devices(said):
    one, four = said[0]["normalized"]
    moved = np.concatenate([np.ravel(each) for each in one])
    assert len(moved) > 40
    np.testing.assert_allclose(np.concatenate([np.ravel(each) for each in four]), moved, rtol=1e-4, atol=1e-6)


@on_jax
def test_a_signal_to_one_process_ends_both_and_one_device_goes_on(folder, said, tmp_path):
    answers = [each["stopped"] for each in said]
    assert answers[0] == answers[1]
    status, line = answers[0]
    assert status == 143 and "stopped in epoch 7, batch 2 of 3" in line
    check_equal(history(folder / "stopped"), history(folder / "plain-1")[:6], 1e-5)
    shutil.copytree(folder / "stopped", tmp_path / "run")
    run = training.train(on_devices.recipe("plain"), folder / "skeletons", tmp_path / "run")
    assert not run.was_finished
    check_equal(history(run.folder), history(folder / "plain-1"), 1e-5)


@on_jax
@pytest.mark.usefixtures("said")
def test_two_processes_go_on_inside_an_epoch(folder):
    """The second one waits for the checkpoint that the first one writes behind that epoch."""
    check_equal(history(folder / "again"), history(folder / "plain-1"), 1e-5)


@on_jax
def test_a_signal_ends_the_search_for_other_processes(monkeypatch):
    import jax

    def deaf(*arguments, **options):
        """As C++ code: no signal ends it."""
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(0.01)

    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.distributed, "initialize", deaf)
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt), _signals.raising():
        training.join_processes()
    monkeypatch.setattr("keras_actrec._backend.jax_devices._SEARCH", 0.1)
    with pytest.raises(
        UserError, match=r"^the 2 processes did not find each other at localhost:1 \(in 0.1 s\): s"
    ):
        training.join_processes()


@on_jax
def test_the_process_with_the_fewest_devices_counts(monkeypatch):
    import jax

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "local_devices", lambda process: [None] * (4 - process))
    with pytest.raises(UserError, match="^train.devices=4, but one of the processes sees 3: lower it, or"):
        _backend.spread(4)


@on_jax
def test_what_devices_and_processes_cannot_do_is_said(said):
    too_many, uneven = said[0]["refused"]
    assert too_many.startswith("train.devices=8, but this machine has 4: lower it, or")
    assert "--xla_force_host_platform_device_count=8" in too_many
    assert uneven == (
        "train.batch_size=10 cannot be shared alike by 4 devices: set it to a multiple, such as 12, or take "
        "other devices"
    )
    assert [each["differ"] for each in said] == [
        "the processes of this run differ in the recipe: start all with the same command, and with folders "
        "that all can see"
    ] * 2


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has an engine")
def test_a_backend_without_an_engine_names_the_one_that_has(folder, tmp_path, monkeypatch):
    message = (
        "train.devices=4: several devices train as one on JAX alone: set KERAS_BACKEND=jax .*, or train.dev"
    )
    with pytest.raises(UserError, match=message):
        training.train(on_devices.recipe("plain", devices=4), folder / "skeletons", tmp_path / "run")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    message = (
        "several processes train as one on JAX alone: set KERAS_BACKEND=jax .*, or unset KERAS_DISTRIBUTION"
    )
    with pytest.raises(UserError, match=message):
        training.join_processes()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PROCESS_ID", "2", "must be a whole number from 0 to 1. Received: .*PROCESS_ID=2"),
        ("NUM_PROCESSES", "two", "must be a whole number from 1 to 1024. Received: .*NUM_PROCESSES='two'"),
        ("JOB_ADDRESSES", "localhost", "must be host:port, or one for each process. Received: localhost"),
        ("JOB_ADDRESSES", "a:1,b:2,c:3", "has 3 addresses: give one, or 2"),
        ("JOB_ADDRESSES", "", "JOB_ADDRESSES is not set: set KERAS_DISTRIBUTION_NUM_PROCESSES, .*, or none"),
        ("NUM_PROCESSES", "", "NUM_PROCESSES is not set: set .*, or none"),
    ],
)
def test_variables_that_say_nothing_are_named(name, value, message, monkeypatch):
    for each, good in VARIABLES.items():
        monkeypatch.setenv(each, value if each.endswith(name) else good)
    with pytest.raises(UserError, match=message):
        training.join_processes()


def test_one_process_is_alone(monkeypatch):
    for each, good in VARIABLES.items():
        monkeypatch.setenv(each, "1" if each.endswith("NUM_PROCESSES") else good)
    assert training.join_processes() == 0
