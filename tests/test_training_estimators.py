"""From a folder of what a pose estimator wrote to answers, without a recipe."""

import json
import pickle

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_actrec import training
from keras_actrec.cli.main import app
from keras_actrec.data import index_skeletons, read_dataset
from test_data_estimators import (
    BODY_25,
    COCO,
    FRAMES,
    HALPE,
    a_set,
    alphapose,
    annotation,
    landmarks,
    mmpose,
    openpose,
)


def write_openpose(file):
    openpose(file, BODY_25)


def write_alphapose(file):
    file.with_suffix(".json").write_text(json.dumps(alphapose(HALPE)))


def write_two(file):
    file.with_suffix(".json").write_text(json.dumps(alphapose(COCO, int)))


def write_mmpose(file):
    file.with_suffix(".json").write_text(json.dumps(mmpose(COCO)))


def write_mediapipe(file):
    np.save(file.with_suffix(".npy"), landmarks())


def write_table(file):
    rows = (",".join(map(str, row)) for row in landmarks().reshape(FRAMES, -1).tolist())
    file.with_suffix(".csv").write_text("\n".join(rows))


def write_pyskl(file):
    file.with_suffix(".pkl").write_bytes(pickle.dumps(annotation(COCO, persons=2)))


WRITERS = {
    "openpose": (write_openpose, "openpose25", 1),
    "alphapose": (write_alphapose, "halpe26", 1),
    "two persons": (write_two, "coco17", 2),
    "mmpose": (write_mmpose, "coco17", 1),
    "mediapipe": (write_mediapipe, "mediapipe33", 1),
    "table": (write_table, "mediapipe33", 1),
    "pyskl": (write_pyskl, "coco17", 2),
}


def folder_of(root, write, clips=3):
    for name in ("clap", "wave"):
        (root / name).mkdir(parents=True)
        for clip in range(clips):
            write(root / name / f"clip {clip}")
    return root


@pytest.mark.parametrize("tool", WRITERS)
def test_a_folder_of_each_tool_is_looked_at_and_chosen_for(tool, tmp_path):
    write, layout, persons = WRITERS[tool]
    data = folder_of(tmp_path / "set", write)
    facts = training.look(data, audit=tmp_path / "audit.json")
    assert (facts.kind, facts.layout, facts.persons, facts.bad) == ("poses", layout, persons, 0)
    recipe = training.parse_recipe(training.choose(facts).values)
    assert recipe.skeleton.layout == layout and recipe.skeleton.bodies == persons
    assert recipe.preprocessor.transform.center != 0
    indexed, bad = recipe.preprocessor.index(read_dataset("poses", data).records)
    assert len(indexed) == 6 and not bad
    assert np.isfinite(recipe.preprocessor.transform(indexed[0][1])[0]).all()


def test_a_model_of_one_person_takes_a_file_of_two(tmp_path):
    data = folder_of(tmp_path / "set", write_mmpose)
    preprocessor = training.parse_recipe(training.choose(training.look(data)).values).preprocessor
    indexed, _ = preprocessor.index(read_dataset("poses", data).records)
    write_two(tmp_path / "new")
    steps, _ = preprocessor.of(indexed).read(tmp_path / "new.json")
    assert steps.shape == preprocessor.shape(indexed)


def run(*command):
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_files_of_openpose_go_through_every_command(tmp_path):
    data = folder_of(tmp_path / "set", write_openpose)
    out = run("audit", "--data", data, "--json", tmp_path / "audit.json")
    assert (
        "6 files have 25 joints, openpose25" in out and "persons a file: 1 to 1; joints missing: 0.0%" in out
    )
    run("init", "--data", data, "--out", tmp_path / "mine.toml")
    assert 'layout = "openpose25"  # ' in (tmp_path / "mine.toml").read_text()
    quick = ("--set", "train.epochs=1", "--set", "model.units=4", "--set", "train.batch_size=4")
    run("train", "--data", data, "--out", tmp_path / "run", *quick)
    model = tmp_path / "run/model.keras"
    run("evaluate", model, "--data", data, "--json", tmp_path / "test.json")
    assert json.loads((tmp_path / "test.json").read_text())["videos"] == 2
    run("predict", model, data, "--json", tmp_path / "answers.json")
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert len(answers) == 6 and {answer["status"] for answer in answers} == {"ok"}


def test_a_whole_set_of_pyskl_is_trained_on_without_a_recipe(tmp_path):
    names = [f"S{number:03}" for number in range(6)]
    file = tmp_path / "small.pkl"
    file.write_bytes(pickle.dumps(a_set({"xsub_train": names[:4], "xsub_val": names[4:]})))
    quick = ("--set", "train.epochs=1", "--set", "model.units=4")
    run("train", "--data", file, "--out", tmp_path / "run", *quick)
    run("evaluate", tmp_path / "run/model.keras", "--data", file, "--json", tmp_path / "test.json")
    assert json.loads((tmp_path / "test.json").read_text())["videos"] == 2
    assert "6 files have 17 joints, coco17" in run("audit", "--data", file)


def test_joints_of_nobody_s_body_are_trained_on_by_number_and_the_audit_says_what_to_write(tmp_path):
    data = folder_of(tmp_path / "set", lambda file: np.save(f"{file}.npy", np.random.rand(6, 18, 2) * 300))
    out = run("audit", "--data", data)
    assert "18 joints, maybe openpose18: skeleton.layout of the recipe, or layout = " in out
    choice = training.choose(training.look(data))
    assert choice.values["skeleton"]["center"] == 0 and "layout" not in choice.values["skeleton"]
    assert "layout = ... in poses.toml would say whose joints these are" in choice.reasons["skeleton.center"]
    (data / "poses.toml").write_text('layout = "openpose18"')
    assert training.choose(training.look(data)).values["skeleton"]["layout"] == "openpose18"
    records = read_dataset("poses", data).records
    with pytest.raises(ValueError, match="it has openpose18, and skeleton.layout is coco17"):
        index_skeletons(records, "poses", layout="coco17")
