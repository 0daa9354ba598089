"""A run that was stopped, at any point, ends with the same bits as one that was not."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest

import trees
from keras_actrec import training
from keras_actrec.data import write_synthetic
from keras_actrec.errors import UserError

pytestmark = pytest.mark.graphs  # as the processes that are stopped make them

EPOCHS = 4
TRAIN = {
    "epochs": EPOCHS,
    "batch_size": 8,
    "learning_rate": 0.01,
    "final_learning_rate": 0.001,
    "drop_after": 7,
    "workers": 2,
}
# Dropout, Gumbel noise, shuffled clips, threads, sequences that are turned, and a rate that drops.
RECIPES = {
    "videos": {
        "model": {
            "name": "hman",
            "backbone": "efficientnet_lite0:block1_output",
            "content": True,
            "units": 4,
            "num_layers": 1,
            "dropout": 0.5,
        },
        "data": {"manifest": "manifest.csv", "validation_fraction": 0.25},
        "clip": {"frames": 3, "size": 32, "crop": "none"},
        "train": TRAIN,
    },
    "skeletons": {
        "model": {"name": "eleatt_rnn", "units": 4, "num_layers": 1, "dropout": 0.5},
        "data": {"dataset": "northwestern_ucla", "split": "view1_view2"},
        "skeleton": {"frames": 6, "rotation": 30.0},
        "train": TRAIN,
    },
}
PROGRAM = """
import json, sys
from keras_actrec import training
recipe, data, out = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
training.train(training.parse_recipe(recipe), data, out,
               progress=lambda *about: print(*about[:2], flush=True))
"""


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder for each recipe."""
    root = tmp_path_factory.mktemp("data")
    write_synthetic(root / "videos", clips_per_class=3, size=32, frames=8, test_fraction=0.34)
    (root / "skeletons").mkdir()
    trees.northwestern_ucla(root / "skeletons", subjects=1, episodes=2)
    return root


def train(kind, data, folder, progress=None):
    recipe = training.parse_recipe(RECIPES[kind])
    return training.train(recipe, data / kind, folder, cache=data / "cache", progress=progress)


def stopping(after):
    def progress(stage, done, total, text=""):
        if stage == "epochs" and done == after:
            raise Stop

    return progress


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Gives uninterrupted runs: that of videos takes long, and one test alone needs it."""
    runs = {}

    def of(kind):
        if kind not in runs:
            runs[kind] = train(kind, data, tmp_path_factory.mktemp(kind))
        return runs[kind]

    return of


def check_equal(run, whole):
    for found, expected in zip(run.recognizer.model.weights, whole.recognizer.model.weights, strict=True):
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(w.value) for w in (found, expected)))
    histories = [(r.folder / "history.csv").read_text() for r in (run, whole)]
    assert histories[0] == histories[1] and histories[0].count("\n") == EPOCHS + 1


# A network over videos takes many seconds to build and compile, each time it goes on.
@pytest.mark.parametrize(("kind", "stops"), [("videos", [2]), ("skeletons", [1, 3, EPOCHS])])
def test_an_interrupted_run_ends_with_the_same_bits(kind, stops, data, whole, tmp_path):
    for after in stops:
        with pytest.raises(Stop):
            train(kind, data, tmp_path, stopping(after))
    check_equal(train(kind, data, tmp_path), whole(kind))


def test_a_killed_run_ends_with_the_same_bits(data, whole, tmp_path, kill_at):
    kill_at("epochs 2", PROGRAM, json.dumps(RECIPES["skeletons"]), data / "skeletons", tmp_path)
    assert not (tmp_path / "model.keras").exists() and (tmp_path / "checkpoint.npz").exists()
    check_equal(train("skeletons", data, tmp_path), whole("skeletons"))


@pytest.fixture(scope="module")
def started(data, tmp_path_factory):
    """The folder of a run that was stopped behind its first epoch."""
    folder = tmp_path_factory.mktemp("started")
    with pytest.raises(Stop):
        train("skeletons", data, folder, stopping(1))
    return folder


def test_a_run_does_not_go_on_with_another_recipe(started, data):
    recipe = {**RECIPES["skeletons"], "train": {**TRAIN, "seed": 1}}
    with pytest.raises(
        UserError, match="holds a run with another recipe, train.seed=0 there, 1 here: choose another"
    ):
        training.train(training.parse_recipe(recipe), data / "skeletons", started)


def test_a_run_does_not_go_on_with_other_data(started, data, tmp_path):
    for name in ("run.json", "checkpoint.npz"):
        (tmp_path / name).write_bytes((started / name).read_bytes())
    (tmp_path / "data").mkdir()
    trees.northwestern_ucla(tmp_path / "data", subjects=2, episodes=1)
    with pytest.raises(UserError, match="holds a run whose data was another: choose another --out"):
        training.train(training.parse_recipe(RECIPES["skeletons"]), tmp_path / "data", tmp_path)


def unsupported(data):
    """With a way of compression of the first member that Python does not know: a `NotImplementedError`."""
    data = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = data.index(mark) + offset
        data[place : place + 2] = (99).to_bytes(2, "little")
    return bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", marks=pytest.mark.once),
        lambda data: data[: len(data) // 2],
        pytest.param(unsupported, marks=pytest.mark.once),
        pytest.param(lambda data: b"PK\x03\x04" + bytes(99), marks=pytest.mark.once),
    ],
    ids=["empty", "cut", "unsupported", "zeros"],
)
def test_a_damaged_checkpoint_costs_an_epoch_and_no_bit(data, whole, tmp_path, damage):
    with pytest.raises(Stop):
        train("skeletons", data, tmp_path, stopping(3))
    file = tmp_path / "checkpoint.npz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(
        UserWarning, match="checkpoint.npz is damaged .*: the run goes on from the one before, "
    ):
        run = train("skeletons", data, tmp_path)
    check_equal(run, whole("skeletons"))
    assert not (tmp_path / "checkpoint.before.npz").exists()  # which nobody needs any more


def test_a_run_that_was_stopped_between_two_names_goes_on(data, whole, tmp_path):
    with pytest.raises(Stop):
        train("skeletons", data, tmp_path, stopping(2))
    (tmp_path / "checkpoint.npz").rename(tmp_path / "checkpoint.before.npz")
    check_equal(train("skeletons", data, tmp_path), whole("skeletons"))


def test_two_damaged_checkpoints_are_named(started, data, tmp_path):
    for name in ("run.json", "files.json"):
        (tmp_path / name).write_bytes((started / name).read_bytes())
    for name in ("checkpoint.npz", "checkpoint.before.npz"):
        (tmp_path / name).write_bytes(b"cut")
    message = (
        "checkpoint.npz and .*checkpoint.before.npz: not a checkpoint; remove them to start the run again"
    )
    with pytest.warns(UserWarning), pytest.raises(UserError, match=message):
        train("skeletons", data, tmp_path)
    for name in ("checkpoint.npz", "checkpoint.before.npz"):  # as it says
        (tmp_path / name).unlink()
    assert not train("skeletons", data, tmp_path).was_finished


def test_a_checkpoint_and_its_name_are_on_the_disk_before_the_run_goes_on(data, tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def seen(handle):
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    monkeypatch.setattr("os.fsync", seen)
    with pytest.raises(Stop):
        train("skeletons", data, tmp_path, stopping(1))
    assert synced[0].name.startswith(".part-") and synced[0].name.endswith("checkpoint.npz")
    assert synced[1] == tmp_path.resolve()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", None])
def test_a_damaged_checkpoint_is_named(started, data, content, tmp_path):
    (tmp_path / "run.json").write_bytes((started / "run.json").read_bytes())
    whole = (started / "checkpoint.npz").read_bytes()
    (tmp_path / "checkpoint.npz").write_bytes(whole[:-1000] if content is None else content)
    with pytest.raises(UserError, match="checkpoint.npz: not a checkpoint; remove it to start the run again"):
        train("skeletons", data, tmp_path)
