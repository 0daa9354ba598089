"""Ctrl-C and SIGTERM where there is no checkpoint: a line, nothing half, and the same command works."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import keras
import pytest

import trees

pytestmark = pytest.mark.no_backend  # the other process has the backend

# Loads Keras and the backend once and then forks: a job is a command that gets a signal some seconds after it
# has told some progress, or as it is about to give its n-th file its name, or is left alone.
JOBS = """
import contextlib, json, os, signal, sys, threading, warnings
warnings.simplefilter("ignore")  # of JAX about forks: nothing runs yet when we fork
import keras_actrec
keras_actrec._load_keras()
from keras_actrec import _files, evaluation, insight, training
from keras_actrec.cli import _progress, main

def be(job):
    for number in (1, 2):
        os.dup2(os.open(job["output"][number - 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    bars = _progress.progress_bars
    send = lambda: os.kill(os.getpid(), job["signal"])

    @contextlib.contextmanager
    def signalled():
        with bars() as progress:
            def told(stage, done, total, text=""):
                progress(stage, done, total, text)
                if [stage, done] == job["at"]:
                    threading.Timer(job["seconds"], send).start() if job["seconds"] else send()
            yield told

    def replace(*files, real=os.replace, count=iter(range(1, 10**6))):
        if ["writing", next(count)] == job["at"]:
            send()
        real(*files)

    if "at" in job:
        _progress.progress_bars, _files.os.replace = signalled, replace
    sys.argv = ["keras-actrec", *job["command"]]
    main.main()

for job in map(json.loads, sys.stdin):
    child = os.fork()
    if child == 0:
        be(job)
        os._exit(99)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
RECIPE = """
[model]
name = "softmax_regression"
backbone = "efficientnet_lite0:stem"
[clip]
frames = 2
size = 32
crop = "none"
[train]
epochs = 1
workers = 1
"""


@pytest.fixture(scope="module")
def do(tmp_path_factory):
    """Runs a command and gives its status and what it prints."""
    output = [str(tmp_path_factory.mktemp("output") / name) for name in ("stdout", "stderr")]
    env = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    with subprocess.Popen(
        [sys.executable, "-c", JOBS], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        timer = threading.Timer(400, process.kill)
        timer.start()

        def run(*command, **job):
            job |= {"command": [str(word) for word in command], "output": output}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            status = int(process.stdout.readline())
            return status, *(Path(file).read_text(encoding="utf-8") for file in output)

        yield run
        timer.cancel()
        process.stdin.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory, do):
    """A set of sixteen videos, and a recipe and its run, of which the test knows that it was stopped."""
    folder = tmp_path_factory.mktemp("place")
    trees.folder(folder / "set")
    for number, file in enumerate(sorted((folder / "set").rglob("*.mp4"))):  # no two have the same bytes
        file.write_bytes(file.read_bytes() + struct.pack(">I4sI", 12, b"free", number))
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


def parts(folder):
    """What only a process that is killed may leave."""
    return [path for path in folder.rglob("*") if path.name.startswith((".part", ".lock"))]


def check_stopped(result, number):
    status, _, stderr = result
    assert status == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], result
    assert "Traceback" not in stderr and "Exception ignored" not in stderr
    assert stderr.splitlines()[-1] == "Interrupted."  # behind the progress


def content(folder):
    """The bytes of all files, without those that hold when files were changed, or how long it took."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "sources" not in path.parts
    }


def stopped_at(do, moments, *command):
    """Runs a command that is stopped at each of the moments, by both signals in turn."""
    for turn, (stage, done) in enumerate(moments):
        number = (signal.SIGTERM, signal.SIGINT)[turn % 2]
        check_stopped(do(*command, at=[stage, done], signal=number, seconds=0), number)
        yield


def works(result):
    status, stdout, stderr = result
    assert status == 0, stderr
    return stdout


@pytest.fixture(scope="module")
def run(place, do):
    """The folder of a run that was stopped before its first batch, and then was not."""
    out, command = place / "run", ["train", place / "recipe.toml", "--data", place / "set"]
    for _ in stopped_at(do, [("videos", 3), ("features", 6)], *command, "--out", out):
        assert parts(out) == [] and not (out / "model.keras").exists() and not (out / "history.csv").exists()
    works(do(*command, "--out", out))
    assert parts(out) == []
    return out


def test_train_is_stopped_before_its_first_batch_and_then_works(run):
    assert len((run / "history.csv").read_text(encoding="utf-8").splitlines()) == 2


def test_train_is_stopped_while_it_looks_at_the_data(place, do, tmp_path):
    for _ in stopped_at(do, [("videos", 8)], "train", "--data", place / "set", "--out", tmp_path / "run"):
        assert content(tmp_path).keys() == {Path("run/.journal-audit.json")}  # so that it goes on


def test_evaluate_is_stopped_and_writes_nothing_until_it_works(run, place, do, tmp_path):
    options = {"--json": "a.json", "--predictions": "p.csv", "--scores": "s.npz", "--page": "page.html"}
    command = ["evaluate", run / "model.keras", "--data", place / "set", "--cache", tmp_path / "cache"]
    command += [word for name, file in options.items() for word in (name, tmp_path / file)]
    moments = [("frames", 2), ("scoring", 1), ("floors", 1)]
    for _ in stopped_at(do, moments, *command):
        assert [path.name for path in tmp_path.iterdir()] == ["cache"] and parts(tmp_path) == []
    assert "top-1" in works(do(*command))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*options.values(), "cache"])


def test_extract_is_stopped_and_ends_with_the_same_bytes(place, do, tmp_path):
    command = ["extract", "--data", place / "set", "--size", 32, "--frames", "--out"]
    at, number = ["frames", random.randint(1, 3)], random.choice([signal.SIGINT, signal.SIGTERM])
    check_stopped(do(*command, tmp_path / "stopped", at=at, signal=number, seconds=0.001), number)
    for moment in (("frames", 10), ("writing", 20)):
        for _ in stopped_at(do, [moment], *command, tmp_path / moment[0]):
            assert parts(tmp_path) == [] and not list(tmp_path.rglob("index.csv"))
    assert "16 videos, 160 frames" in works(do(*command, tmp_path / "stopped"))
    works(do(*command, tmp_path / "whole"))
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


@pytest.mark.parametrize("name", ["audit", "init", "synth"])
def test_what_writes_one_file_is_stopped_without_it_and_then_works(name, place, do, tmp_path):
    command, file, stage = {
        "audit": (["audit", "--data", place / "set", "--json", tmp_path / "a.json"], "a.json", "videos"),
        "init": (["init", "--data", place / "set", "--out", tmp_path / "a.toml"], "a.toml", "videos"),
        "synth": (
            ["synth", tmp_path, "--clips-per-class", 1, "--size", 32],
            "manifest.csv",
            "writing videos",
        ),
    }[name]
    for _ in stopped_at(do, [(stage, 4), ("writing", 5 if name == "synth" else 1)], *command):
        assert parts(tmp_path) == [] and not (tmp_path / file).exists()
    assert "wrote" in works(do(*command)) and (tmp_path / file).exists()
