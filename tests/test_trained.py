"""The trained models that come along: each opens by its name, answers what is known, and has a card."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import keras_actrec
from keras_actrec import UserError, hub, zoo
from keras_actrec.cli.main import app
from keras_actrec.data import write_synthetic
from keras_actrec.training.start import Start
from test_benchmarks import program

ROOT = Path(__file__).parents[1]
NAMES = ("hman/synthetic", "stacked_rnn/fight")
MOST = 6e6  # bytes of all: they are part of the wheel
CARD = {
    "shows",
    "data",
    "terms",
    "limits",
    "top1",
    "floor",
    "recipe",
    "changes",
    "commit",
    "backend",
    "machine",
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A clip of each of the ten classes, of another seed than the clips of training."""
    folder = tmp_path_factory.mktemp("clips")
    write_synthetic(folder, clips_per_class=1, test_fraction=0, seed=1)
    return folder


@pytest.mark.no_backend
def test_each_has_a_card_and_all_are_small():
    found = keras_actrec.list_trained()
    assert tuple(model.name for model in found) == NAMES
    assert sum(model.size for model in found) < MOST
    for model in found:
        assert set(model.card) >= CARD, model.name
        assert model.card["top1"] > model.card["floor"], model.name
        assert "+" not in model.card["commit"]  # of a commit, and not of what somebody had open
        assert model.card["recipe"] in keras_actrec.training.list_recipes()
        about = keras_actrec.recognizer.read_about(model.file)["about"]
        assert about["recipe"]["train"]["seed"] == 0 and about["data"]["sha256"].startswith(
            model.card["manifest"]
        )


@pytest.mark.no_backend
def test_the_page_is_that_of_the_files(monkeypatch):
    page = (ROOT / "docs" / "trained.md").read_text(encoding="utf-8")
    made = program("trained", monkeypatch).table(keras_actrec.list_trained())
    assert f"<!-- trained:begin -->\n{made}\n<!-- trained:end -->" in page


def test_hman_names_clips_that_differ_in_the_order_of_their_frames_alone(clips):
    recognizer = keras_actrec.load("hman/synthetic")
    answers = list(recognizer.predict(clips, top=1))
    assert len(answers) == 10
    right = [answer.labels[0] == answer.path.parent.name for answer in answers]
    assert sum(right) >= 9  # a model that sees no order has at most 5


def test_people_do_not_fight_where_nothing_moves(tmp_path):
    recognizer = keras_actrec.load("stacked_rnn/fight")
    assert recognizer.class_names == ("fight", "noFight")
    still = np.full((24, 112, 112, 3), 90, "uint8")
    batch = recognizer.batch(still)
    scores = np.asarray(recognizer.model.predict(batch, verbose=0))[0]
    assert scores[1] > 0.5 and scores.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.no_backend
def test_the_command_lists_them_with_their_cards():
    done = CliRunner().invoke(app, ["models", "--trained"], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    for model in keras_actrec.list_trained():
        for text in (model.name, model.sha256, f"top-1 {model.card['top1']:.3f}", model.card["commit"]):
            assert text in done.output
    assert "MIT License" in done.output


@pytest.mark.no_backend
def test_a_name_is_a_file_unless_there_is_one_of_that_name(tmp_path, monkeypatch):
    own = hub.local("hman/synthetic")
    assert own.name == "synthetic.keras" and own.is_file()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hman").mkdir()
    shutil.copy(own, tmp_path / "hman" / "synthetic")
    assert hub.local("hman/synthetic") == Path("hman/synthetic")
    assert hub.local("hman/nothing") == Path("hman/nothing")
    start = Start.find("stacked_rnn/fight", zoo.spec("stacked_rnn"))
    assert start.class_names == ("fight", "noFight") and start.layer is None


@pytest.mark.no_backend
def test_a_name_that_is_nearly_one_is_answered_with_it():
    with pytest.raises(
        UserError, match="model file hman/synthetics does not exist: did you mean 'hman/synthetic'"
    ):
        keras_actrec.load("hman/synthetics")
