import os
import random
import signal
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

import keras_actrec  # noqa: F401  (chooses the backend and registers the layers)

HIDE = """
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *args: None if name in {names} else find_spec(name, *args)
"""


def pytest_report_header():
    return f"keras {keras.__version__} on {keras.backend.backend()}"


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

    def run(*arguments, **environment):
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
            timeout=120,
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
