"""What a release has written, this version opens: model files with the same answers, and recipes."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

import keras_actrec
from keep_release import CLASSES, answers_of
from keras_actrec import training

FOLDERS = sorted(path for path in (Path(__file__).with_name("releases")).iterdir() if path.is_dir())
MODELS = [file for folder in FOLDERS for file in sorted(folder.glob("*.keras"))]
RECIPES = [file for folder in FOLDERS for file in sorted(folder.glob("*.toml"))]


def name_of(file):
    return f"{file.parent.name}-{file.stem}"


@pytest.mark.parametrize("file", MODELS, ids=name_of)
def test_a_model_of_a_release_opens_and_answers_as_it_did(file):
    expected = json.loads((file.parent / "answers.json").read_text(encoding="utf-8"))[file.stem]
    recognizer = keras_actrec.load(file)
    assert recognizer.class_names == CLASSES and recognizer.spec.name == file.stem
    np.testing.assert_allclose(answers_of(recognizer), expected, atol=2e-5)


@pytest.mark.no_backend
@pytest.mark.parametrize("file", RECIPES, ids=name_of)
def test_a_recipe_of_a_release_is_read_and_says_what_it_said(file):
    said = tomllib.loads(file.read_text(encoding="utf-8"))
    read = training.read_recipe(file).model_dump()
    assert read["model"].items() >= {"name": said["model"]["name"]}.items()
    for table, values in said.items():
        known = read[table] if table != "model" else read[table] | read[table].get("arguments", {})
        for key, value in values.items():
            assert known[key] == value, (table, key)


@pytest.mark.no_backend
def test_each_release_is_kept_whole():
    assert FOLDERS
    for folder in FOLDERS:
        answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        assert set(answers) == {file.stem for file in folder.glob("*.keras")}
        assert len(answers) >= 3 and list(folder.glob("*.toml"))
