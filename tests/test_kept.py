"""What released versions wrote opens, and answers as it did: models, recipes, a run that was stopped."""

import json
import shutil
import tomllib
from zipfile import ZipFile

import keras
import pytest

import keep
import keras_actrec
from checks import close
from keras_actrec import insight, training

VERSIONS = sorted(path.name for path in keep.KEPT.iterdir())
BACKEND = keras.backend.backend()
ANSWERS = {
    (version, name): answer
    for version in VERSIONS
    for name, answer in json.loads((keep.KEPT / version / "answers.json").read_text(encoding="utf-8")).items()
}
every_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of the models by version."""
    folders = {version: tmp_path_factory.mktemp(version) for version in VERSIONS}
    for version, folder in folders.items():
        with ZipFile(keep.KEPT / version / "models.zip") as archive:
            archive.extractall(folder)
    return folders


@pytest.mark.parametrize(("version", "name"), ANSWERS)
def test_a_model_of_a_release_answers_as_it_did(version, name, models):
    recognizer = keras_actrec.load(models[version] / f"{name}.keras")
    assert recognizer.class_names == keep.NAMES and recognizer.spec.name == name
    close([keep.answers_of(recognizer, keep.steps_of(name))], [ANSWERS[version, name]])


@pytest.fixture
def stopped(version, tmp_path):
    """A copy of the run that this backend was stopped in, and its data."""
    keep.write_data(tmp_path / "data")
    shutil.copytree(keep.KEPT / version / f"run_{BACKEND}", tmp_path / "run")
    return tmp_path


@every_version
def test_a_run_of_a_release_that_was_stopped_goes_on_to_the_same_end(stopped):
    ended = json.loads((stopped / "run/ended.json").read_text(encoding="utf-8"))
    recipe = training.read_recipe(stopped / "run/recipe.toml")
    run = training.train(recipe, stopped / "data", stopped / "run")
    assert not run.was_finished
    close([run.record["last_epoch"]["loss"]], [ended["loss"]])
    close([keep.answers_of(run.recognizer, keep.rising())], [ended["answers"]])


@every_version
def test_a_run_of_a_release_is_reported(stopped):
    run = insight.read_run(stopped / "run", "kept")
    assert run.note == "this run has not ended: the same command goes on with it"
    assert run.history["epoch"] == [0]


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "file", sorted(keep.KEPT.glob("*/recipes/*.toml")), ids=lambda file: f"{file.parts[-3]}/{file.stem}"
)
def test_a_recipe_of_a_release_says_what_it_said(file):
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    read = training.read_recipe(file).model_dump(exclude_none=True)
    assert {table: {key: read[table][key] for key in keys} for table, keys in values.items()} == values
