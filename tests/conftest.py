import contextlib
import gc
import inspect
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
from keras import ops

from keras_actrec import _backend

HIDE = """
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *args, **more: None if name in {names} else find_spec(name, *args, **more)
"""

# What Keras imports where it is installed and no test needs of it: TensorFlow whenever it saves a model, and
# while it is imported itself other backends and packages for plots: half of the time before a first line.
LEAN = """
import os, sys
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
backend = os.environ.get("KERAS_BACKEND")
never = {"tensorflow"} if backend in ("jax", "torch") else set()
at_first = {"jax", "matplotlib", "sklearn"} - {backend} if backend else set()

def _find(name, *args, **more):
    keras = getattr(sys.modules.get("keras"), "__spec__", None)
    if name in never or name in at_first and getattr(keras, "_initializing", False):
        return None
    return find_spec(name, *args, **more)

PathFinder.find_spec = _find
"""


def _refuse(name):
    def refused(*args, **kwargs):
        pytest.fail(f"{name}: a test marked `no_backend` runs on one backend only and must not use it")

    return refused


# What computes and what is made of it, under the names that the package and the tests use. To ask which
# processes train together is neither.
REFUSED = {
    module: {name: _refuse(name) for name, value in vars(module).items() if inspect.isfunction(value)}
    for module in (ops, ops.image, ops.linalg, ops.nn, ops.numpy, keras.random, _backend)
}
for name in ("join_processes", "process"):
    del REFUSED[_backend][name]

SETTINGS = ("JAX_", "KERAS_", "MKL_", "OMP_", "OPENBLAS_", "TF_NUM_", "XLA_")


def pytest_addoption(parser):
    parser.addoption(
        "--write-answers",
        action="store_true",
        help="write tests/own_answers.json anew, which all backends share",
    )


@pytest.fixture(autouse=True, scope="session")
def _programs_of_the_user_are_left_alone():
    """Commands keep what JAX compiles in the user's cache; in this process `_compile_once` has another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_ENABLE_COMPILATION_CACHE", "0")
        yield


@pytest.fixture(autouse=True, scope="session")
def _lean_processes():
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        (Path(folder) / "sitecustomize.py").write_text(LEAN, encoding="utf-8")
        patch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True, scope="session")
def _compile_once():
    """On JAX, what was compiled is read from a folder when it comes again: a third of some files' time."""
    if keras.backend.backend() != "jax" or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        yield
        return
    import jax

    with tempfile.TemporaryDirectory() as folder:  # of this process: one that is killed leaves half a file
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        yield


def pytest_collection_finish():
    """What is imported by now stays: to look through it for garbage took a sixteenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Holds tests that `make test` runs on one backend only (marked `no_backend`) to what they promise."""
    if item.get_closest_marker("no_backend") is None:
        return (yield)
    with contextlib.ExitStack() as stack:
        for module, functions in REFUSED.items():
            stack.enter_context(mock.patch.dict(vars(module), functions))
        for made in (keras.Operation, keras.Variable):
            stack.enter_context(mock.patch.object(made, "__init__", _refuse(made.__name__)))
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """TensorFlow runs step by step: to make a graph takes ten times as long as the few steps of a test.

    Tests marked `graphs` make them: each layer, each model, and what a user runs from beginning to end.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(item.get_closest_marker("graphs") is None)


def pytest_report_header():
    return f"keras {keras.__version__} on {keras.backend.backend()}"


@pytest.fixture(autouse=True)
def _settings_of_processes():
    """What a test sets for a backend and leaves behind, the processes of later tests would run with."""
    before = _settings()
    yield
    after = _settings()
    for name in before.keys() | after.keys():
        os.environ.pop(name, None)
    os.environ.update(before)
    assert after == before, "a test leaves settings of a backend behind"


def _settings():
    return {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}


@pytest.fixture(autouse=True)
def _seed():
    # Keras draws the seeds of its layers from `random`. `keras.utils.set_random_seed` would load TensorFlow
    # beside the active backend.
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True, scope="module")
def _forget_what_is_compiled():
    """On JAX, what one file has compiled stays in memory, 5 GB by the last one, and no other file uses it."""
    yield
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


@pytest.fixture
def garbage_of_this_test():
    """Has `gc.collect` look at what the test makes, and not at all that earlier ones left: up to 40 s."""
    gc.freeze()


@pytest.fixture
def kill_at():
    """Runs a program in a process of its own and kills it when it prints a line."""

    def run(line, program, *arguments):
        env = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
        command = [sys.executable, "-c", program, *map(str, arguments)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as child:
            timer = threading.Timer(100, child.kill)
            timer.start()
            for printed in child.stdout:
                if printed.strip() == line:
                    break
            else:
                pytest.fail(f"it never printed {line!r}")
            child.kill()
            timer.cancel()
        assert child.returncode == -signal.SIGKILL

    return run


@pytest.fixture
def run_python(tmp_path):
    """Runs Python in a fresh process, in an empty folder and on the backend of this run."""

    def run(*arguments, timeout=120, **environment):
        """A variable set to None is removed, PYTHONPATH is extended.

        Returns the finished process with its `stdout` and `stderr`.
        """
        folders = [environment.get("PYTHONPATH"), os.environ.get("PYTHONPATH")]
        environment["PYTHONPATH"] = os.pathsep.join(str(folder) for folder in folders if folder)
        env = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), **environment}
        env = {name: str(value) for name, value in env.items() if value is not None}
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def hide(tmp_path):
    """Makes a folder that, on PYTHONPATH, makes packages look as if they were not installed."""

    def make(*names):
        folder = tmp_path / "hidden"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(HIDE.format(names=set(names)), encoding="utf-8")
        return folder

    return make
