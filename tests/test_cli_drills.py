"""Ctrl-C, SIGTERM and full disks where there is no checkpoint: a line, and nothing that is half."""

import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import keras
import pytest

import trees

pytestmark = pytest.mark.no_backend  # the other process has the backend

# Loads Keras and the backend once and then forks: a job is a command that gets a signal some seconds after it
# has told some progress, or as it is about to give its n-th file its name, or that has a limit on the size of
# files, or is left alone.
JOBS = """
import contextlib, json, os, resource, signal, sys, threading, warnings
warnings.simplefilter("ignore")  # of JAX about forks: nothing runs yet when we fork
import keras_actrec
keras_actrec._load_keras()
from keras_actrec import _files, evaluation, insight, training
from keras_actrec.cli import _progress, main

def be(job):
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
    exec(job.get("before", ""))
    if "limit" in job:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"],) * 2)
    sys.argv = ["keras-actrec", *job["command"]]
    main.main()

for job in map(json.loads, sys.stdin):
    pipes = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        for number, (_, end) in enumerate(pipes, 1):
            os.dup2(end, number)
        be(job)
        os._exit(99)
    for _, end in pipes:
        os.close(end)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])  # what it prints fits into a pipe
    print(json.dumps([status, *(open(end, closefd=True).read() for end, _ in pipes)]), flush=True)
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
def do():
    """Runs a command and gives its status and what it prints."""
    env = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    with subprocess.Popen(
        [sys.executable, "-c", JOBS], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        timer = threading.Timer(400, process.kill)
        timer.start()

        def run(*command, **job):
            process.stdin.write(json.dumps(job | {"command": [str(word) for word in command]}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

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


LIMIT = 100  # bytes


def check_full(result, file):
    status, _, stderr = result
    assert status == 1, result
    assert "Traceback" not in stderr and "Exception ignored" not in stderr
    line = f"error: {file} cannot be written, the disk is full: make room, and the same command "
    assert stderr.splitlines()[-1].startswith(line), stderr
    assert parts(file.parent) == [] and (file.name.startswith(".journal") or not file.exists())


@pytest.mark.parametrize("name", ["synth", "audit", "init", "demo"])
def test_what_finds_the_disk_full_names_the_file(name, place, do, tmp_path):
    first = "move_right/move_right_000.mp4"
    names = {"synth": first, "audit": ".journal-a.json", "init": "a.toml", "demo": f"demo/videos/{first}"}
    file = tmp_path / names[name]
    command = {
        "synth": [tmp_path, "--clips-per-class", 1, "--size", 32],
        "audit": ["--data", place / "set", "--json", tmp_path / "a.json"],
        "init": ["--data", place / "set", "--out", file],
        "demo": ["--out", tmp_path / "demo"],
    }[name]
    check_full(do(name, *command, limit=LIMIT), file)
    if name != "demo":
        works(do(name, *command))


def test_evaluate_names_the_file_that_has_no_room(run, place, do, tmp_path):
    model = run / "model.keras"
    command = ["evaluate", model, "--data", place / "set", "--no-floors", "--scores", tmp_path / "s.npz"]
    loaded = f"keras_actrec.load = lambda path, model=keras_actrec.load({str(model)!r}): model"
    check_full(do(*command, before=loaded, limit=LIMIT), tmp_path / "s.npz")
    works(do(*command))
    for option in ("json", "predictions", "page"):
        again = ["evaluate", tmp_path / "s.npz", f"--{option}", tmp_path / option]
        check_full(do(*again, limit=LIMIT), tmp_path / option)
        works(do(*again))


def test_explain_names_the_page_that_has_no_room(run, do, tmp_path):
    """Of an explanation that is made up: this model has none."""
    before = f"""
from pathlib import Path
import numpy as np
frames, mask, steps = np.zeros((2, 8, 8, 3), "uint8"), np.ones(2, bool), np.full((2, 2), 0.5)
found = insight.Explanation(Path("a.mp4"), frames, mask, None, None, None, steps, steps[0], ("a", "b"))
insight.explain = lambda *_, found=found, **__: found
keras_actrec.load = lambda path, model=keras_actrec.load({str(run / "model.keras")!r}): model
"""
    command = ["explain", "any.keras", "a.mp4", "--out", tmp_path / "page.html"]
    check_full(do(*command, before=before, limit=LIMIT), tmp_path / "page.html")
    assert "wrote" in works(do(*command, before=before))


def test_a_model_that_has_no_room_is_named(run, do, tmp_path):
    loaded = f"keras_actrec.load({str(run / 'model.keras')!r})"
    before = f"keras_actrec.from_torch = lambda *_, model={loaded}, **__: (model, '')"
    command = ["convert", "any.pth", "--to", tmp_path / "model.keras"]
    check_full(do(*command, before=before, limit=LIMIT), tmp_path / "model.keras")
    works(do(*command, before=before))


def test_extract_and_train_name_the_entry_that_has_no_room(place, do, tmp_path):
    for command in (["extract", "--frames", "--size", 32], ["train", place / "recipe.toml"]):
        status, _, stderr = do(*command, "--data", place / "set", "--out", tmp_path / "out", limit=LIMIT)
        assert status == 1 and "Traceback" not in stderr
        (file,) = re.findall(
            r"^error: (.*) cannot be written, the disk is full: make room,", stderr, re.MULTILINE
        )
        assert Path(file).is_relative_to(tmp_path / "out") and not Path(file).exists()
        assert parts(tmp_path) == []


def test_a_folder_for_temporary_files_that_has_no_room_is_named_and_no_model_called_damaged(run, do):
    status, _, stderr = do("predict", run / "model.keras", "any.mp4", limit=LIMIT)
    line = f"error: {tempfile.gettempdir()} cannot be written, the disk is full: make room, "
    assert status == 1 and stderr.startswith(line) and stderr.count("\n") == 1
