"""Runs that are killed, stopped and short of room at any moment end with the same bits: real processes."""

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import zipfile

import h5py
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import trees
from keras_actrec import training
from keras_actrec.cli.main import app
from keras_actrec.errors import UserError

pytestmark = pytest.mark.graphs  # as the processes that are stopped make them

EPOCHS = 5
# Dropout, threads, sequences that are turned, mixed and noisy, averaged weights: all that is drawn or kept.
RECIPE = {
    "model": {"name": "stacked_rnn", "units": 2, "num_layers": 1, "dropout": 0.5},
    "data": {"dataset": "northwestern_ucla", "split": "view1_view2", "validation_fraction": 0.25},
    "skeleton": {"frames": 4, "rotation": 30.0},
    "train": {
        "epochs": EPOCHS,
        "batch_size": 2,
        "workers": 2,
        "ema": 0.9,
        "mixup": 0.3,
        "noise": 0.1,
        "learning_rate": 0.01,
    },
}
# Loads Keras and the backend once and then forks: a job is a run that gets a signal some progress and some
# seconds after it began, or has a limit on the size of files, or is left alone. The signal comes from the run
# itself: on a busy machine another process might get to it when the run has ended.
JOBS = """
import itertools, json, os, resource, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")  # of JAX about forks: nothing runs yet when we fork
from keras_actrec import _signals, training
from keras_actrec.errors import UserError

recipe, data = json.loads(sys.argv[1]), sys.argv[2]

def run(job, line):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "limit" in job:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"],) * 2)
    moments = itertools.count(1)

    def reached():
        if next(moments) == job.get("progress"):
            send = lambda: os.kill(os.getpid(), job["signal"])
            threading.Timer(job["seconds"], send).start() if job["seconds"] else send()

    try:
        with _signals.raising():
            reached()
            training.train(
                training.parse_recipe(recipe), data, job["out"], **job.get("options", {}),
                progress=lambda stage, *_: stage == "epochs" and (reached(), time.sleep(0.02)),
            )
    except UserError as error:
        os.write(line, str(error).encode())
        os._exit(1)
    except (_signals.Terminated, KeyboardInterrupt) as error:
        os.write(line, str(error).encode())
        os._exit(error.code if isinstance(error, SystemExit) else 130)
    os._exit(0)

for job in map(json.loads, sys.stdin):
    line = os.pipe()
    child = os.fork()
    if child == 0:
        run(job, line[1])
    os.close(line[1])
    said = os.read(line[0], 4096).decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps({"status": status, "line": said}), flush=True)
    os.close(line[0])
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.northwestern_ucla(tmp_path_factory.mktemp("data"), subjects=1, episodes=2)


@pytest.fixture(scope="module")
def do(data):
    """Does a job and gives its status and its line."""
    command = [sys.executable, "-c", JOBS, json.dumps(RECIPE), str(data)]
    env = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        timer = threading.Timer(400, process.kill)
        timer.start()

        def run(**job):
            process.stdin.write(json.dumps(job, default=str) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        timer.cancel()
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(do, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("whole")
    assert do(out=out) == {"status": 0, "line": ""}
    return out


def weights(file):
    """The weights of a `.keras` file."""
    with zipfile.ZipFile(file) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as content:
        found = {}
        content.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def check_equal(out, whole):
    assert (out / "history.csv").read_text() == (whole / "history.csv").read_text()
    assert len((out / "history.csv").read_text().splitlines()) == EPOCHS + 1
    found, expected = weights(out / "model.keras"), weights(whole / "model.keras")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert not [path.name for path in out.iterdir() if path.name.startswith((".lock", ".part"))]


def test_a_run_that_is_killed_and_terminated_at_ten_random_moments_ends_with_the_same_bits(
    do, whole, tmp_path
):
    draw = random.Random()
    moments = [
        # Three before training has begun, seven behind some batch of training or validation, of fifty.
        {"progress": 1 if number < 3 else draw.randint(3, 8), "seconds": draw.uniform(0, 0.04)}
        for number in range(10)
    ]
    draw.shuffle(moments)
    kinds = [signal.SIGKILL, signal.SIGTERM] * 5
    done = [do(out=tmp_path, signal=kind, **moment) for kind, moment in zip(kinds, moments, strict=True)]
    print(moments, done)  # shown where it fails
    ends = [result["status"] for result in done]
    assert ends[:6] == [-signal.SIGKILL, 143] * 3
    assert set(ends[6:]) <= {-signal.SIGKILL, 143, 0}  # by chance it may have been finished
    assert do(out=tmp_path)["status"] == 0
    check_equal(tmp_path, whole)


@pytest.mark.parametrize(
    ("moment", "words", "number", "status"),
    [
        ("epoch 2, batch 2/5", "stopped in epoch 2, batch 3 of 5", signal.SIGTERM, 143),
        ("epoch 2, batch 5/5", "stopped in epoch 2, its validation", signal.SIGINT, 130),
        ("epoch 3, validation 1/5", "stopped in epoch 3, its validation", signal.SIGTERM, 143),
    ],
)
def test_a_signal_ends_a_run_inside_an_epoch_and_the_command_goes_on_from_there(
    moment, words, number, status, data, whole, tmp_path
):
    file, seen = tmp_path / "recipe.toml", []
    file.write_text(training.parse_recipe(RECIPE).to_toml())

    def progress(stage, done, total, text=""):
        seen.append(text)
        if text.startswith(moment):
            os.kill(os.getpid(), number)

    out = tmp_path / "run"
    with pytest.raises((SystemExit, KeyboardInterrupt)) as stopped:
        training.train(training.read_recipe(file), data, out, progress=progress)
    assert str(stopped.value) == f"{out}: {words}; the same command goes on from there"
    assert (getattr(stopped.value, "code", 130)) == status
    rows = (out / "history.csv").read_text().splitlines()
    assert rows == (whole / "history.csv").read_text().splitlines()[: len(rows)]
    seen.clear()
    training.train(training.read_recipe(file), data, out, progress=lambda *about: seen.append(about[-1]))
    first = next(text for text in seen if text.startswith("epoch "))
    assert first.startswith("epoch 2, batch 4/5" if "batch 3" in words else f"{words[11:18]}, validation 1/5")
    check_equal(out, whole)


def test_a_full_disk_names_the_checkpoint_loses_nothing_and_the_command_goes_on(do, whole, tmp_path):
    size = (whole / "checkpoint.npz").stat().st_size
    assert do(out=tmp_path, signal=signal.SIGTERM, progress=13, seconds=0)["status"] == 143
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in tmp_path.glob("*.npz")}
    full = do(out=tmp_path, limit=size // 2)
    line = f"{tmp_path / 'checkpoint.npz'} cannot be written, the disk is full: make room, and the same"
    assert full == {"status": 1, "line": f"{line} command goes on"}
    assert before and before == {path: hashlib.sha256(path.read_bytes()).digest() for path in before}
    assert do(out=tmp_path)["status"] == 0
    check_equal(tmp_path, whole)


def test_checkpoints_inside_an_epoch_by_the_clock_change_no_number_and_are_gone_on_from(do, whole, tmp_path):
    """Every millisecond: behind each batch. It is killed as the third one of an epoch is told."""
    job = {"out": tmp_path, "options": {"checkpoint_minutes": 1e-5}}
    assert do(**job, signal=signal.SIGKILL, progress=4, seconds=0)["status"] == -signal.SIGKILL
    with np.load(tmp_path / "checkpoint.npz") as archive:
        state = json.loads(str(archive["state"]))
    assert (len(state["history"]), state["batch"]) == (0, 3)
    assert do(**job)["status"] == 0
    check_equal(tmp_path, whole)


@pytest.mark.no_backend
@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_minutes_that_are_none_are_refused(minutes, data, tmp_path):
    command = ["train", "stacked_rnn/own", "--data", data, "--out", tmp_path, "--checkpoint-minutes", minutes]
    done = CliRunner().invoke(app, [str(each) for each in command])
    assert done.exit_code == 1 and "`checkpoint_minutes` must be above 0" in done.stderr


@pytest.mark.no_backend  # the other process has the backend
def test_a_second_process_is_refused_and_sigterm_of_the_command_is_one_line_and_143(data, tmp_path):
    file, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe = {**RECIPE, "train": {**RECIPE["train"], "epochs": 100_000}}
    file.write_text(training.parse_recipe(recipe).to_toml())
    command = ["train", str(file), "--data", str(data), "--out", str(out)]
    with subprocess.Popen(
        [sys.executable, "-c", "from keras_actrec_program import main; main()", *command],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as first:
        try:
            for _ in range(1200):
                if (out / "history.csv").exists():
                    break
                assert first.poll() is None
                signal.sigtimedwait([], 0.1)
            second = CliRunner().invoke(app, command)
            line = f"{out}: another process is training into it (pid {first.pid}); wait, or choose another"
            assert (second.exit_code, second.stderr) == (1, f"error: {line} --out\n")
            first.terminate()
            _, stderr = first.communicate(timeout=60)
        finally:
            first.kill()
    assert first.returncode == 143
    assert "Traceback" not in stderr
    last = stderr.splitlines()[-1]  # behind the progress
    assert last.startswith(f"{out}: stopped in epoch ") and last.endswith(
        "the same command goes on from there"
    )
    assert not (out / ".lock").exists()


def test_data_that_vanishes_in_mid_run_is_named_and_put_back_the_run_goes_on(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(12):
        place = tmp_path / "data" / "ab"[number % 2] / f"{number}.npy"
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, rng.normal(size=(5, 3)).astype("float32"))
    recipe = training.parse_recipe(
        {
            "model": {"name": "stacked_rnn", "units": 2, "num_layers": 1},
            "data": {"dataset": "features"},
            "features": {"frames": 4},
            "train": {"epochs": 2, "batch_size": 4, "workers": 1},
        }
    )
    gone = tmp_path / "data" / "a" / "0.npy"

    def progress(stage, done, total, text=""):
        if stage == "epochs" and done == 1:
            gone.rename(tmp_path / "0.npy")

    with pytest.raises(UserError, match="0.npy: .*not found|0.npy: .*cannot be read"):
        training.train(recipe, tmp_path / "data", tmp_path / "run", progress=progress)
    (tmp_path / "0.npy").rename(gone)
    run = training.train(recipe, tmp_path / "data", tmp_path / "run")
    assert not run.was_finished and len((run.folder / "history.csv").read_text().splitlines()) == 3
