"""Datasets whose workers are processes: same batches, clear errors, and nothing is left of them."""

import functools
import gc
import importlib
import os
import signal
import time

import cv2
import numpy as np
import pytest

import trees
from keras_actrec.data import (
    ClipDataset,
    ClipTransform,
    FeatureDataset,
    Record,
    Sampling,
    SkeletonDataset,
    SkeletonTransform,
    VideoError,
    index_videos,
    read_skeleton,
    write_pose,
)
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

COUNT = 5
PROCESSES = {"workers": 2, "processes": True}
STILL = SkeletonTransform(1, center=None)

# Readers of joints; a process imports them by name. What they tell is the value of all joints.
READERS = """
import os, signal, sys
import numpy as np

def joints(value):
    return np.full((1, 1, 1, 3), value, "float32")

def pid(record):
    print("not an answer", flush=True)
    return joints(os.getpid())

def keras_is_loaded(record):
    return joints(any(name in sys.modules for name in ("keras", "jax", "torch", "tensorflow")))

def keras_is_loaded_with(others, record):
    return keras_is_loaded(record)

def dies(record):
    if record.label:
        os.kill(os.getpid(), signal.SIGKILL)
    return joints(1)

def ends(record):
    os._exit(3)

def divides(record):
    return joints(1 / 0)
"""


@pytest.fixture
def readers(tmp_path, monkeypatch):
    (tmp_path / "some_readers.py").write_text(READERS)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("some_readers")


def told_by(reader, count=4, **options):
    """A dataset that gives what a reader tells, one record a batch, with labels 0, 1, ..."""
    items = [(Record(f"/made/up/{n}", str(n), n), reader) for n in range(count)]
    return SkeletonDataset(items, STILL, batch_size=1, **PROCESSES, **options)


def epochs(dataset, count=3):
    batches = []
    for _ in range(count):
        batches += [dataset[index] for index in range(len(dataset))]
        dataset.on_epoch_end()
    return batches


def assert_same(make):
    first, second = epochs(make()), epochs(make(**PROCESSES))
    assert len(first) == len(second)
    for (x, y), (other_x, other_y) in zip(first, second, strict=True):
        np.testing.assert_array_equal(y, other_y)
        for name in x:
            np.testing.assert_array_equal(x[name], other_x[name], strict=True)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(COUNT):
        writer = cv2.VideoWriter(str(folder / f"{number}.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
        for step in range(12):
            frame = np.full((24, 32, 3), 20 * step, "uint8")
            frame[:, : 2 + number] += 10
            writer.write(frame)
        writer.release()
    records = [Record(folder / f"{number}.avi", f"{number}.avi", number) for number in range(COUNT)]
    return index_videos(records)[0]


def test_clips_are_the_same(videos):
    transform = ClipTransform(16, short_side=20, crop="random", flip=True)
    options = {"batch_size": 2, "seed": 3, "training": True, "masked": True}
    assert_same(lambda **more: ClipDataset(videos, Sampling(4), transform, **options, **more))


def test_features_are_the_same(tmp_path):
    items = trees.cached_features(tmp_path, [np.arange(20.0).reshape(10, 2)] * COUNT, range(COUNT))
    options = {"batch_size": 2, "training": True, "masked": True}
    assert_same(lambda **more: FeatureDataset(items, Sampling(4), **options, **more))


def test_skeletons_are_the_same(tmp_path):
    items = []
    for number in range(COUNT):
        file = tmp_path / f"{number}.npz"
        write_pose(file, np.random.default_rng(number).normal(size=(9, 1, 3, 3)).astype("float32"))
        items.append((Record(file, file.name, number), functools.partial(read_skeleton, "poses")))
    transform = SkeletonTransform(6, rotation=35)
    options = {"batch_size": 2, "training": True, "masked": True}
    assert_same(lambda **more: SkeletonDataset(items, transform, **options, **more))


def test_a_process_loads_neither_keras_nor_a_backend(readers):
    assert told_by(readers.keras_is_loaded)[0][0].max() == 0


def test_the_items_of_all_datasets_come_to_a_process_without_keras(readers, videos, tmp_path):
    cached = trees.cached_features(tmp_path, [np.zeros((3, 2))], [0])
    others = [videos[0], cached[0], ClipTransform(16), Sampling(4)]
    reader = functools.partial(readers.keras_is_loaded_with, others)
    assert told_by(reader)[0][0].max() == 0


def test_what_a_reader_prints_is_not_taken_for_an_answer(readers, capfd):
    dataset = told_by(readers.pid)
    pids = {int(x.max()) for x, _ in epochs(dataset)}
    assert 1 <= len(pids) <= 2 and os.getpid() not in pids
    assert "not an answer" in capfd.readouterr().err


def is_there(pid):
    """Whether a process runs, or has ended and nobody has asked for its status (a zombie)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ended(pids, seconds=10):
    """Whether all are gone in time; those of a program that was killed end by themselves."""
    until = time.monotonic() + seconds
    while any(map(is_there, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(is_there, pids))


@pytest.mark.usefixtures("garbage_of_this_test")
def test_processes_end_with_their_dataset(readers):
    dataset = told_by(readers.pid)
    pids = {int(x.max()) for x, _ in epochs(dataset)}
    assert all(map(is_there, pids))
    del dataset
    gc.collect()
    assert ended(pids)


@pytest.mark.usefixtures("garbage_of_this_test")
def test_processes_end_while_they_prepare_batches(readers):
    dataset = told_by(readers.pid, count=20)
    pid = int(dataset[0][0].max())
    del dataset  # two batches are under way
    gc.collect()
    assert ended([pid])


def test_a_video_that_fails_keeps_its_status(videos, tmp_path):
    bad = tmp_path / "bad.avi"
    bad.write_bytes(b"x" * 1000)
    items = [(Record(bad, "bad.avi", 0), videos[0][1])]
    dataset = ClipDataset(items, Sampling(4), ClipTransform(16), **PROCESSES)
    with pytest.raises(VideoError, match="bad.avi: OpenCV cannot open it") as caught:
        dataset[0]
    assert caught.value.status == "unreadable" and dataset.failure is caught.value


def test_an_error_of_a_reader_names_the_file_and_brings_its_traceback(readers):
    with pytest.raises(UserError, match="/made/up/0: ZeroDivisionError: division by zero") as caught:
        told_by(readers.divides)[0]
    assert "some_readers.py" in "".join(caught.value.__notes__)


def test_a_process_that_is_killed_is_named_with_its_file_and_replaced(readers):
    dataset = told_by(readers.dies, count=2)
    with pytest.raises(
        UserError, match=r"^/made/up/1: the process that loaded it was lost \(killed by SIGKILL\)"
    ):
        dataset[1]
    assert dataset[0][0].max() == 1


def test_a_process_that_ends_is_named_with_its_file(readers):
    with pytest.raises(
        UserError, match=r"^/made/up/0: the process that loaded it was lost \(ended with status 3\)"
    ):
        told_by(readers.ends)[0]


def test_an_item_that_cannot_be_sent_is_named():
    with pytest.raises(UserError, match=r"^/made/up/0: cannot be sent to a process \(.*\); use functions of"):
        told_by(lambda record: np.ones((1, 1, 1, 3)))[0]


def test_processes_need_workers(videos):
    with pytest.raises(UserError, match="`processes` needs `workers` of at least 1"):
        ClipDataset(videos, Sampling(4), ClipTransform(16), processes=True)


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import some_readers
from keras_actrec.data import Record, SkeletonDataset, SkeletonTransform

def own(record):
    return some_readers.pid(record)

reader = own if {own} else some_readers.pid
items = [(Record(f"/made/up/{{n}}", str(n), n), reader) for n in range(30)]
dataset = SkeletonDataset(items, SkeletonTransform(1, center=None), batch_size=2, workers=2, processes=True)
pids = {{int(pid) for index in range(8) for pid in dataset[index][0].ravel()}}
print(*pids, flush=True)
{end}
"""


def script(tmp_path, readers, end="", own=False):
    """A program without `if __name__ == "__main__"` that leaves batches under way."""
    file = tmp_path / "script.py"
    file.write_text(SCRIPT.format(folder=str(tmp_path), end=end, own=own))
    return file


@pytest.mark.parametrize("end, status", [("", 0), ("raise ValueError('the end')", 1), ("sys.exit(5)", 5)])
def test_a_program_ends_by_itself_and_leaves_no_process(run_python, tmp_path, readers, end, status):
    done = run_python("-W", "error", script(tmp_path, readers, end))  # 120 s at most
    assert done.returncode == status, done.stderr
    assert ("the end" in done.stderr) == (status == 1) and "Warning" not in done.stderr
    assert ended(map(int, done.stdout.split()))


def test_the_processes_of_a_program_that_is_killed_end(run_python, tmp_path, readers):
    done = run_python(script(tmp_path, readers, "import os; os.kill(os.getpid(), 9)"))
    assert done.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in done.stdout.split()]
    assert pids and ended(pids)


def test_a_reader_of_the_main_script_is_refused(run_python, tmp_path, readers):
    done = run_python(script(tmp_path, readers, own=True))
    assert done.returncode == 1
    assert "UserError: /made/up/0: not known in a process" in done.stderr
    assert "use functions of a module that can be imported" in done.stderr
