"""Which epoch's weights a run keeps, also where it was stopped, and what is logged of it."""

import json
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_actrec import training
from keras_actrec.data import write_synthetic
from keras_actrec.errors import UserError
from keras_actrec.training.resume import KeepBest

EPOCHS = 5
# A rate far too high: the validation goes up and down.
TRAIN = {"epochs": EPOCHS, "batch_size": 4, "learning_rate": 3.0, "schedule": "constant", "keep": "best"}
RECIPE = {
    "model": {"name": "frame_pool", "backbone": "efficientnet_lite0:block1_output"},
    "data": {"manifest": "manifest.csv", "validation_fraction": 0.5},
    "clip": {"frames": 2, "size": 32, "crop": "none"},
}


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_synthetic(folder / "set", clips_per_class=4, size=32, frames=8, test_fraction=0.25)
    return folder


def train(data, out, stop=None, log=(), seen=None, **table):
    def progress(stage, done, total, text=""):
        if stage == "epochs":
            if seen is not None:
                seen.append((done, total, text))
            if done == stop and not text == "going on":
                raise Stop

    recipe = training.parse_recipe({**RECIPE, "train": {**TRAIN, **table}})
    return training.train(recipe, data / "set", out, cache=data / "cache", log=log, progress=progress)


def history(run):
    rows = (run.folder / "history.csv").read_text(encoding="utf-8").splitlines()
    names = rows[0].split(",")
    return [dict(zip(names, map(float, row.split(",")), strict=True)) for row in rows[1:]]


def weights(run):
    return [keras.ops.convert_to_numpy(w.value).copy() for w in run.recognizer.model.weights]


@pytest.fixture(scope="module")
def best(data, tmp_path_factory):
    """A run that keeps the best of five epochs, by the loss of the validation."""
    return train(data, tmp_path_factory.mktemp("best"), monitor="val_loss")


def test_the_kept_epoch_is_the_best_by_the_history(best):
    losses = [row["val_loss"] for row in history(best)]
    kept = best.record["kept_epoch"]
    assert losses[kept] == min(losses) and kept < EPOCHS - 1  # not the last, or this would tell nothing
    assert best.record["val_accuracy"] == pytest.approx(history(best)[kept]["val_accuracy"])


def test_the_model_has_the_weights_of_the_best_epoch(best, data, tmp_path):
    # A run of that many epochs that keeps the last one: the same rate, seed and batches.
    epochs = best.record["kept_epoch"] + 1
    short = train(data, tmp_path, epochs=epochs, keep="last")
    assert short.record["kept_epoch"] == epochs - 1
    for found, expected in zip(weights(best), weights(short), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_last_epoch_is_kept_unless_the_best_is_asked_for(data, best, tmp_path):
    last = train(data, tmp_path, keep="last")
    assert last.record["kept_epoch"] == EPOCHS - 1
    assert any(np.any(a != b) for a, b in zip(weights(last), weights(best), strict=True))


@pytest.mark.parametrize("stop", [1, 2, 4, EPOCHS])
def test_a_stopped_run_keeps_the_same_weights(data, best, stop, tmp_path):
    with pytest.raises(Stop):
        train(data, tmp_path, stop, monitor="val_loss")
    run = train(data, tmp_path, monitor="val_loss")
    assert run.record["kept_epoch"] == best.record["kept_epoch"]
    for found, expected in zip(weights(run), weights(best), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_with_averaged_weights_the_averages_of_the_best_epoch_are_kept(data, tmp_path):
    best = train(data, tmp_path / "best", ema=0.5, monitor="val_loss")
    epochs = best.record["kept_epoch"] + 1
    assert history(best)[epochs - 1]["val_loss"] == min(row["val_loss"] for row in history(best))
    short = train(data, tmp_path / "short", ema=0.5, epochs=epochs, keep="last")
    for found, expected in zip(weights(best), weights(short), strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(Stop):
        train(data, tmp_path / "stopped", 2, ema=0.5, monitor="val_loss")
    for found, expected in zip(
        weights(train(data, tmp_path / "stopped", ema=0.5, monitor="val_loss")), weights(best), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "monitor, values, kept", [("val_accuracy", [0.5, 0.75, 0.75, 0.6], 1), ("val_loss", [2, 1, 3, 1], 1)]
)
def test_of_equal_epochs_the_first_is_kept(monitor, values, kept):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    keep = KeepBest(monitor)
    keep.set_model(model)
    for epoch, value in enumerate(values):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        keep.on_epoch_begin(epoch)
        keep.on_test_end({"accuracy": value, "loss": value})
    assert (keep.epoch, keep.best) == (kept, values[kept])
    keep.put_back()
    assert keras.ops.convert_to_numpy(model.weights[0].value).item() == kept


def test_the_best_is_by_the_validation_accuracy_unless_said():
    assert training.parse_recipe({**RECIPE, "train": TRAIN}).train.monitor == "val_accuracy"


@pytest.mark.parametrize(
    "table, words",
    [
        ({"keep": "best", "monitor": "accuracy"}, "keep='best' goes by the validation part"),
        ({"keep": "last", "monitor": "val_loss"}, "goes with schedule='plateau', early_stop or keep='best'"),
    ],
)
def test_a_monitor_that_does_not_fit_is_refused(table, words):
    with pytest.raises(UserError, match=f"train.monitor: {words}"):
        training.parse_recipe({**RECIPE, "train": table})


def test_the_best_needs_a_validation_part(data, tmp_path):
    recipe = {**RECIPE, "data": {"manifest": "manifest.csv"}, "train": TRAIN}
    with pytest.raises(UserError, match="needs a validation part: .* or train.keep='last'"):
        training.train(training.parse_recipe(recipe), data / "set", tmp_path, cache=data / "cache")


def test_a_run_that_goes_on_shows_the_epoch_it_is_at(data, tmp_path):
    with pytest.raises(Stop):
        train(data, tmp_path, 2, keep="last")
    seen = []
    train(data, tmp_path, keep="last", seen=seen)
    assert seen[0] == (2, EPOCHS, "going on")
    ended = [step[:2] for step in seen[1:] if step[0] == int(step[0])]
    assert ended == [(3, EPOCHS), (4, EPOCHS), (5, EPOCHS)]


@pytest.mark.once
def test_tensorboard_shows_every_epoch_once_also_of_a_run_that_was_stopped(data, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with pytest.raises(Stop):
        train(data, tmp_path, 2, log=["tensorboard"], keep="last")
    run = train(data, tmp_path, log=["tensorboard"], keep="last")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    rows = history(run)
    assert set(events.Tags()["tensors"]) == set(rows[0]) - {"epoch"}
    found = [(event.step, event.tensor_proto.float_val[0]) for event in events.Tensors("val_loss")]
    assert [step for step, _ in found] == list(range(EPOCHS))
    np.testing.assert_allclose([value for _, value in found], [row["val_loss"] for row in rows], rtol=1e-6)


def fake_wandb(monkeypatch, step=0):
    """Stands in for the package, which no test may need; keeps what it is called with."""
    calls = SimpleNamespace(init=None, logged=[], finished=0)

    def finish():
        calls.finished += 1

    def init(**arguments):
        calls.init = arguments
        return SimpleNamespace(
            step=step, log=lambda values, step: calls.logged.append((step, values)), finish=finish
        )

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    return calls


@pytest.mark.once
@pytest.mark.parametrize("known", [0, 3])
def test_wandb_is_given_the_epochs_that_it_does_not_know(data, monkeypatch, known, tmp_path):
    calls = fake_wandb(monkeypatch, known)
    run = train(data, tmp_path / "mine", log=["wandb"], keep="last")
    assert [step for step, _ in calls.logged] == list(range(known, EPOCHS)) and calls.finished == 1
    row = history(run)[-1]
    row.pop("epoch")
    assert calls.logged[-1][1] == pytest.approx(row)
    arguments = {name: calls.init[name] for name in ("project", "name", "dir", "resume")}
    assert arguments == {
        "project": "keras_actrec",
        "name": "mine",
        "dir": str(tmp_path / "mine"),
        "resume": "auto",
    }
    assert json.loads(json.dumps(calls.init["config"])) == run.record["recipe"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_logger_that_is_not_installed_is_named_before_anything_is_done(data, name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"log='{name}' needs {name}: pip install 'keras_actrec\[{name}\]'"):
        train(data, tmp_path / "run", log=[name])
    assert not (tmp_path / "run").exists()


def test_an_unknown_logger_is_refused(data, tmp_path):
    with pytest.raises(UserError, match="`log` must be tensorboard or wandb. Received: log='mlflow'"):
        train(data, tmp_path / "run", log=["mlflow"])
