"""A folder that one process at a time works in."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from keras_actrec import _locks
from keras_actrec._locks import alone_in
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

HOLDER = """
import sys, time
import keras_actrec_program  # so that Keras is not loaded
from keras_actrec._locks import alone_in
with alone_in(sys.argv[1], "training into it"):
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_which_one_is_there_and_after_kill_9_the_folder_is_free(tmp_path):
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(UserError) as refused, alone_in(folder, "training into it"):
            pass
        line = f"another process is training into it (pid {holder.pid}); wait, or choose another --out"
        assert str(refused.value) == f"{folder}: {line}"
        holder.send_signal(signal.SIGKILL)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    with alone_in(folder, "training into it"):
        pass
    assert not list(folder.iterdir())


def test_a_folder_that_was_made_and_stays_empty_is_gone_afterwards(tmp_path):
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path / "new" / "run", "training into it"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with alone_in(tmp_path / "new" / "run", "training into it"):
        (tmp_path / "new" / "run" / "file").touch()
    assert [path.name for path in (tmp_path / "new" / "run").iterdir()] == ["file"]


def test_an_empty_folder_of_somebody_else_stays(tmp_path):
    with alone_in(tmp_path, "training into it"):
        pass
    assert tmp_path.is_dir()


def test_who_waits_comes_in_when_the_other_one_is_out(tmp_path, monkeypatch):
    first = alone_in(tmp_path, "writing")
    first.__enter__()
    monkeypatch.setattr(_locks.time, "sleep", lambda seconds: first.__exit__(None, None, None))
    with alone_in(tmp_path, "writing", wait=True):
        assert (tmp_path / ".lock").exists()


@pytest.mark.parametrize("broken", ["_lock", "os.open"])
def test_where_there_are_no_locks_the_work_goes_on(broken, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK if broken == "_lock" else errno.EROFS, "no")

    target = _locks if broken == "_lock" else os
    monkeypatch.setattr(target, broken.removeprefix("os."), refuse)
    with alone_in(tmp_path, "training into it"), alone_in(tmp_path, "training into it"):
        pass


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with (
            pytest.raises(UserError, match="cannot be a folder, there is a file"),
            alone_in(place, "training"),
        ):
            pass
