"""Studies, workers and chiefs that are killed: real processes, real training, real gRPC."""

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import trees
from keras_actrec import tuning
from keras_actrec.cli.main import app

pytest.importorskip("keras_tuner", reason="the extra tune is not installed")

RECIPE = """
[model]
name = "stacked_rnn"
units = 2
num_layers = 1
dropout = 0.0
[data]
dataset = "northwestern_ucla"
split = "view1_view2"
validation_fraction = 0.25
[skeleton]
frames = 8
[train]
epochs = {epochs}
batch_size = 60
learning_rate = 0.01
workers = 0
"""
START = """
import sys
from keras_actrec import tuning
study, data, out, workers, resume = sys.argv[1:]
tuning.run_study(
    tuning.read_study(study), data, out, workers=int(workers), resume=resume == "resume", progress=print
)
"""
LIMIT = 240  # seconds that a drill may take, on a busy machine


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.northwestern_ucla(tmp_path_factory.mktemp("data"))


@pytest.fixture
def launch(tmp_path):
    """Starts Python processes, and ends what is left of them."""
    begun = []

    def start(*arguments):
        with open(tmp_path / "log.txt", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                # A proxy, as many clusters have one, is no way to the chief.
                env={
                    **os.environ,
                    "KERAS_BACKEND": keras.backend.backend(),
                    "http_proxy": "http://127.0.0.1:9",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait()


def write_study(folder, units, epochs):
    """The file of a study over `units`."""
    (folder / "recipe.toml").write_text(RECIPE.format(epochs=epochs))
    study = tuning.parse_study(
        {
            "study": {
                "name": "drill",
                "title": "A drill",
                "recipe": str(folder / "recipe.toml"),
                "max_trials": 9,
                "winner_seeds": [],
            },
            "space": {"model.units": {"values": units}},
            "table": {"row": "model.units", "column": "accuracy"},
        }
    )
    (folder / "study.toml").write_text(study.to_toml())
    return folder / "study.toml"


@pytest.fixture
def begin(launch, data, tmp_path):
    """Starts a study."""

    def start(units, epochs, workers=1, resume=""):
        study = write_study(tmp_path, units, epochs)
        return launch("-c", START, study, data, tmp_path / "out", workers, resume)

    return start


def until(condition, process, seconds=LIMIT):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the study has ended"
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def processes(*words):
    """Ids of the processes whose command line has all of the words."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if all(str(word) in line for word in words):
            found.append(int(file.parent.name))
    return found


def gone(*words):
    end = time.monotonic() + 20
    while processes(*words):
        assert time.monotonic() < end, f"still there: {words}"
        time.sleep(0.05)


def rows(out):
    with open(out / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def epochs_seen(out, name):
    """The epochs that a trial's processes reported, in order."""
    lines = (out / "trials" / name / "log.txt").read_text().splitlines()
    return [int(line.split()[1].split("/")[0]) for line in lines if line.startswith("epoch ")]


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="processes are found in /proc"
)


@pytest.mark.no_backend  # what differs between backends, a run that goes on, is in test_training_resume.py
@needs_proc
def test_a_killed_study_goes_on_in_the_epoch_it_was_in(begin, tmp_path):
    out, epochs = tmp_path / "out", 120
    history = out / "trials" / "1" / "run" / "history.csv"
    study = begin([2, 3], epochs)
    until(lambda: history.exists() and len(history.read_text().splitlines()) > 20, study)
    os.kill(study.pid, signal.SIGKILL)
    study.wait()
    gone(out, "job.json")  # the trial's process ends with the study
    before = {name: (out / "trials" / "0" / name).read_bytes() for name in ("log.txt", "result.json")}
    done = len(history.read_text().splitlines()) - 1
    assert 20 <= done < epochs
    study = begin([2, 3], epochs, resume="resume")
    assert study.wait(LIMIT) == 0, (tmp_path / "log.txt").read_text()
    assert before == {name: (out / "trials" / "0" / name).read_bytes() for name in before}
    seen = epochs_seen(out, "1")
    assert seen[-(epochs - done) :] == list(range(done + 1, epochs + 1))  # none of the finished ones again
    assert len(seen) <= epochs + 1
    assert [(row["status"], row["epochs"]) for row in rows(out)] == [("COMPLETED", str(epochs))] * 2
    assert (out / "README.md").read_text().count("| completed |") == 2


@pytest.mark.no_backend
@needs_proc
def test_a_killed_worker_and_a_killed_chief_are_started_again(begin, tmp_path):
    out, units = tmp_path / "out", [2, 3, 4]
    study = begin(units, 40, workers=2)
    running = lambda name: (out / "trials" / name / "run" / "checkpoint.npz").exists()  # noqa: E731
    until(lambda: running("0") or running("1"), study)
    (worker,) = processes(out, "worker-1.json")
    os.kill(worker, signal.SIGKILL)
    (chief,) = processes(out, "chief.json")
    os.kill(chief, signal.SIGKILL)
    assert study.wait(LIMIT) == 0, (tmp_path / "log.txt").read_text()
    assert [(row["status"], row["model.units"]) for row in rows(out)] == [
        ("COMPLETED", str(each)) for each in units
    ]
    for name in "012":
        assert set(epochs_seen(out, name)) == set(range(1, 41))
        assert len(epochs_seen(out, name)) <= 42
    values = [
        json.loads(file.read_text())["metrics"]["val_accuracy"] for file in out.glob("trials/*/result.json")
    ]
    assert f"val_accuracy {max(values):.4f}" in (out / "README.md").read_text()
    gone(out, "chief.json")
    gone(out, "worker-")


@pytest.mark.no_backend
def test_a_chief_and_workers_of_the_command_line_finish_a_study(launch, data, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    study, out = write_study(tmp_path, [2, 3], epochs=5), tmp_path / "out"
    tune = ("-c", "from keras_actrec_program import main; main()", "tune", study, "--data", data)
    roles = (*(("worker", "--id", f"worker-{n}") for n in (1, 2)), ("chief",))  # in any order
    started = [launch(*tune, "--out", out, "--address", address, "--role", *role) for role in roles]
    for process in started:
        assert process.wait(LIMIT) == 0, (tmp_path / "log.txt").read_text()
    assert [(row["status"], row["model.units"]) for row in rows(out)] == [
        ("COMPLETED", str(units)) for units in (2, 3)
    ]


@pytest.mark.no_backend
@needs_proc
def test_a_second_study_is_refused_and_sigterm_lets_the_trial_keep_its_place(launch, data, tmp_path):
    study, out = write_study(tmp_path, [2, 3], epochs=100_000), tmp_path / "out"
    command = ["tune", str(study), "--data", str(data), "--out", str(out)]
    first = launch("-c", "from keras_actrec_program import main; main()", *command)
    run = out / "trials" / "0" / "run"
    until((run / "history.csv").exists, first)
    second = CliRunner().invoke(app, [*command, "--resume"])
    line = f"{out}: another process is running a study in it (pid {first.pid}); wait, or choose another --out"
    assert (second.exit_code, second.stderr) == (1, f"error: {line}\n")
    first.terminate()
    assert first.wait(LIMIT) == 143
    last = (tmp_path / "log.txt").read_text().splitlines()[-1]
    assert last == f"{out}: stopped; the same command with --resume goes on"
    gone(out, "job.json")
    assert not (run.parent / "result.json").exists() and not (run / ".lock").exists()
    with np.load(run / "checkpoint.npz") as archive:
        assert json.loads(str(archive["state"]))["batch"]  # inside an epoch, or before its validation


@pytest.mark.no_backend
@needs_proc
def test_a_file_in_the_place_of_the_trials_ends_a_study_on_two_workers_with_a_line(launch, data, tmp_path):
    study, out = write_study(tmp_path, [2, 3], epochs=2), tmp_path / "out"
    command = ["tune", str(study), "--data", str(data), "--out", str(out), "--workers", "2"]
    process = launch("-c", "from keras_actrec_program import main; main()", *command)
    until((out / "study.toml").exists, process)
    (out / "trials").touch()
    assert process.wait(LIMIT) == 1
    text = (tmp_path / "log.txt").read_text()
    assert "Traceback" not in text
    last = text.splitlines()[-1]
    assert re.match(r"error: worker-[01]: ", last)
    assert f"{out}/trials/" in last and last.endswith(
        " cannot be a folder, there is a file: choose another place"
    )
    assert not any("Traceback" in log.read_text() for log in out.glob("processes/worker-*.txt"))
    gone(out, "chief.json")
    gone(out, "worker-")


@pytest.mark.no_backend
@needs_proc
def test_a_pipe_among_the_data_ends_a_study_on_two_workers_with_a_line(launch, data, tmp_path):
    mine = shutil.copytree(data, tmp_path / "data")
    (mine / "all_sqe" / "a01_s01_e00_v01.json").unlink()
    os.mkfifo(mine / "all_sqe" / "a01_s01_e00_v01.json")
    study, out = write_study(tmp_path, [2, 3], epochs=2), tmp_path / "out"
    command = ["tune", str(study), "--data", str(mine), "--out", str(out), "--workers", "2"]
    process = launch("-c", "from keras_actrec_program import main; main()", *command)
    assert process.wait(LIMIT) == 1
    text = (tmp_path / "log.txt").read_text()
    assert "Traceback" not in text
    last = text.splitlines()[-1]
    assert last.startswith("error: worker-") and "a01_s01_e00_v01.json: it is no regular file; " in last
    assert last.endswith(", or pass `--on-error skip`")
    gone(out, "chief.json")
    gone(out, "worker-")
