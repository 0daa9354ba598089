"""The commands in the order in which a person would use them: exit status, words and files."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import keras_actrec
from keras_actrec import backbones, insight, training, tuning, zoo
from keras_actrec.cli.main import app
from keras_actrec.data import SYNTHETIC_PAIRS, ClipPreprocessor, ClipTransform, Sampling, read_frames
from keras_actrec.recognizer import Recognizer

PROGRAM = Path(sys.executable).with_name("keras-actrec")  # installed with the package
BACKBONE = "efficientnet_lite0:block1_output"
KINDS = sorted(name for pair in SYNTHETIC_PAIRS for name in pair)
RECIPE = f"""
[model]
name = "softmax_regression"
backbone = "{BACKBONE}"

[clip]
frames = 4
size = 32
crop = "none"

[train]
epochs = 60
"""


def succeeds(*arguments):
    """What a command writes to stdout."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "error" not in result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with `set`, written by `synth`, and `recipe.toml`."""
    folder = tmp_path_factory.mktemp("work")
    options = ["--clips-per-class", 3, "--size", 32, "--frames", 8, "--test-fraction", 0.34]
    stdout = succeeds("synth", folder / "set", *options)
    assert stdout == f"wrote {folder / 'set' / 'manifest.csv'}\n"
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(work):
    """What `train` printed; the model is in `run/model.keras`."""
    options = ["--set", "train.epochs=2", "--set", "train.learning_rate=0.1", "--cache", work / "cache"]
    return succeeds("train", work / "recipe.toml", "--data", work / "set", "--out", work / "run", *options)


@pytest.fixture(scope="module")
def model(work, trained):
    return work / "run" / "model.keras"


@pytest.fixture(scope="module")
def clip(work):
    return work / "set" / "grow" / "grow_000.mp4"


def test_doctor_says_what_is_installed():
    stdout = succeeds("doctor")
    assert keras_actrec.__version__ in stdout and "(active)" in stdout and "extra viz" in stdout


def test_models_lists_models_recipes_and_backbones():
    stdout = succeeds("models")
    for name in [*zoo.list_models(), *backbones.list_backbones()]:
        assert name in stdout
    for name in [*training.list_recipes(), *tuning.list_studies()]:
        assert name in stdout


def test_synth_writes_the_clips_and_their_manifest(work):
    with open(work / "set" / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted({row["label"] for row in rows}) == KINDS
    assert len(rows) == 30 and sum(row["split"] == "test" for row in rows) == 10
    assert read_frames(work / "set" / rows[0]["path"]).shape == (8, 32, 32, 3)


def test_synth_runs_where_only_the_backend_of_this_run_is_installed(run_python, hide, tmp_path):
    backend = {"jax", "torch", "tensorflow"} - {keras_actrec._backend.name}
    options = ["--clips-per-class", 1, "--size", 32, "--frames", 8]
    environment = {"KERAS_BACKEND": None, "KERAS_HOME": tmp_path, "PYTHONPATH": hide(*backend)}
    done = run_python(PROGRAM, "synth", "made", *options, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "wrote made/manifest.csv\n"
    assert len(list((tmp_path / "made").rglob("*.mp4"))) == 10


def test_extract_writes_the_features_of_every_video(work):
    out = work / "extracted"
    options = ["--backbone", BACKBONE, "--size", 32, "--crop", "none", "--frame-step", 2]
    stdout = succeeds("extract", "--data", work / "set", "--out", out, *options)
    assert stdout == f"30 videos, 120 frames of (16, 16, 16) below {out}; 0 skipped\n"
    files = sorted(out.rglob("*.npy"))
    assert len(files) == 30
    assert np.load(files[0]).shape == (4, 16, 16, 16)


def test_train_writes_the_run_directory_and_says_how_it_ended(work, trained):
    assert sorted(path.name for path in (work / "run").iterdir()) == [
        "checkpoint.npz",
        "history.csv",
        "history.png",
        "model.keras",
        "recipe.toml",
        "run.json",
    ]
    last, wrote, following = trained.splitlines()
    record = json.loads((work / "run" / "run.json").read_text(encoding="utf-8"))
    assert last.startswith("last epoch: ") and f"loss {record['last_epoch']['loss']:.4f}" in last
    assert wrote.startswith(f"wrote {work / 'run' / 'model.keras'} after ")
    command = f"keras-actrec evaluate {work / 'run' / 'model.keras'} --data {work / 'set'}"
    assert following == f"next, on the test part: {command}"


@pytest.mark.parametrize(
    "model, what", [("softmax_regression", "right steps"), ("frame_pool", "top-1")]
)  # a floor is of whole clips
def test_train_shows_the_floor_of_the_validation_part(model, what, work, tmp_path):
    options = ["--set", f"model.name={model}"]
    options += ["--set", "train.epochs=1", "--set", "data.validation_fraction=0.5", "--cache", work / "cache"]
    stdout = succeeds(
        "train", work / "recipe.toml", "--data", work / "set", "--out", tmp_path / "run", *options
    )
    reached = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["val_accuracy"]
    assert f"validation, epoch 1, which is kept: {what} {reached:.4f}\nfloor " in stdout
    assert "the model is below it" not in stdout or what == "top-1"


def test_what_is_set_on_the_command_line_wins_over_the_recipe(work, trained):
    recipe = training.read_recipe(work / "run" / "recipe.toml")
    assert (recipe.train.epochs, recipe.train.learning_rate) == (2, 0.1)
    assert len((work / "run" / "history.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_features_go_where_the_command_line_says(work, trained):
    assert len(list((work / "cache").rglob("*.npy"))) == 20
    assert not (work / "run" / "cache").exists()


def test_train_reports_its_progress_line_by_line_where_there_is_no_terminal(work, tmp_path):
    arguments = ["train", work / "recipe.toml", "--data", work / "set", "--out", tmp_path / "run"]
    arguments += ["--cache", work / "cache", "--set", "train.epochs=2"]
    lines = CliRunner().invoke(app, [str(argument) for argument in arguments]).stderr.splitlines()
    assert lines[-2].startswith("training 1/2  loss ") and lines[-1].startswith("training 2/2  loss ")
    for stage in ("reading videos", "extracting features"):
        assert any(re.fullmatch(rf"{stage} 20/20  train  \d:\d\d", line) for line in lines)


def test_evaluate_prints_and_writes_the_scores(work, model, tmp_path):
    files = tmp_path / "scores.json", tmp_path / "predictions.csv"
    options = ["--json", files[0], "--predictions", files[1]]
    stdout = succeeds("evaluate", model, "--data", work / "set", *options)
    scores = json.loads(files[0].read_text(encoding="utf-8"))
    with open(files[1], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == scores["videos"] == 10 and scores["skipped"] == []
    right = [row["label"] == row["predicted"] for row in rows]
    assert scores["top1"] == sum(right) / 10 == pytest.approx(scores["mean_class"])  # a video a class
    assert np.trace(scores["confusion"]) == sum(right)
    assert f"top-1 {scores['top1']:.4f}" in stdout and f"mean class {scores['mean_class']:.4f}" in stdout
    assert "softmax_regression, part test: 10 videos, 0 skipped" in stdout
    assert scores["protocol"] in stdout
    for kind in KINDS:
        assert kind in stdout  # the rows of the confusion matrix


def test_evaluate_scores_another_part(work, model):
    assert "part train: 20 videos" in succeeds("evaluate", model, "--data", work / "set", "--part", "train")


def test_predict_prints_and_writes_the_five_best_of_every_clip(work, model, clip, tmp_path):
    other = work / "set" / "shrink" / "shrink_000.mp4"
    stdout = succeeds("predict", model, clip, other, "--json", tmp_path / "answers.json")
    answers = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    assert [answer["path"] for answer in answers] == [str(clip), str(other)]
    expected = keras_actrec.load(model).predict_video(clip, top=5)
    assert answers[0]["labels"] == [label for label, _ in expected]
    np.testing.assert_allclose(answers[0]["scores"], [score for _, score in expected], atol=1e-6)
    assert all(answer["seconds"] >= 0 and len(answer["labels"]) == 5 for answer in answers)
    lines = stdout.splitlines()
    assert len(lines) == 2 and lines[1].startswith(f"{other}  ")
    assert lines[0] == "  ".join([str(clip), *(f"{score:.3f} {label}" for label, score in expected)])


def test_the_program_predicts_in_a_process_of_its_own(model, clip, run_python, tmp_path):
    done = run_python(PROGRAM, "predict", model, clip, "--json", "answers.json")
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    expected = keras_actrec.load(model).predict_video(clip, top=5)
    assert answer["labels"] == [label for label, _ in expected]
    np.testing.assert_allclose(answer["scores"], [score for _, score in expected], atol=1e-5)


@pytest.fixture(scope="module")
def attentive(tmp_path_factory):
    """An attention LSTM as it was drawn: explaining needs no training."""
    network = zoo.build(
        "lstm_attention", len(KINDS), backbone=BACKBONE, input_shape=(None, 32, 32, 3), units=4
    )
    path = tmp_path_factory.mktemp("attentive") / "model.keras"
    Recognizer(network, tuple(KINDS), ClipPreprocessor(Sampling(4), ClipTransform(32, crop="none"))).save(
        path
    )
    return path


def test_explain_writes_a_page_with_every_clip(attentive, work, clip, tmp_path):
    other, page = work / "set" / "shrink" / "shrink_000.mp4", tmp_path / "made" / "page.html"
    assert succeeds("explain", attentive, clip, other, "--out", page) == f"wrote {page}\n"
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!") and "grow/grow_000.mp4" in html and "shrink/shrink_000.mp4" in html
    assert "What lstm_attention saw" in html
    assert list(page.parent.iterdir()) == [page]
    assert "true label <bdi>grow</bdi>" in html and "true label <bdi>shrink</bdi>" in html  # their folders


def test_explain_notes_a_bad_file_and_shows_the_others(attentive, work, clip, tmp_path):
    bad, page = tmp_path / "bad.mp4", tmp_path / "page.html"
    bad.write_bytes(b"none")
    done = CliRunner().invoke(app, ["explain", *map(str, (attentive, bad, clip, "--out", page))])
    assert done.exit_code == 1 and f"wrote {page}" in done.output
    assert f"error: 1 of 2 files are not explained, the first is {bad}: " in done.output
    html = page.read_text(encoding="utf-8")
    assert html.count("<article") == 1 and f'<p class="muted">{bad}: ' in html
    done = CliRunner().invoke(app, ["explain", *map(str, (attentive, bad, bad, "--out", tmp_path / "no"))])
    assert done.exit_code == 1 and "none of 2 files can be used" in done.output
    assert not (tmp_path / "no").exists()


def test_an_interrupted_explain_has_what_is_done(attentive, clip, tmp_path, monkeypatch):
    def explain(recognizer, path, *arguments, real=insight.explain, **named):
        if path.name == "end.mp4":
            raise KeyboardInterrupt
        return real(recognizer, path, *arguments, **named)

    monkeypatch.setattr(insight, "explain", explain)
    for files, articles in ((("end.mp4",), 0), ((clip, "end.mp4"), 1)):
        page = tmp_path / f"{articles}.html"
        done = CliRunner().invoke(app, ["explain", str(attentive), *map(str, files), "--out", str(page)])
        assert done.exit_code == 130 and page.exists() == bool(articles)
    assert page.read_text(encoding="utf-8").count("<article") == 1
    assert "Interrupted: files are missing." in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("command, option", [("explain", "--out"), ("evaluate", "--page")])
def test_a_folder_as_a_page_is_refused_before_a_model_is_read(tmp_path, command, option):
    arguments = [command, "no.keras", *(["a.mp4"] if command == "explain" else []), option, str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1 and f"error: {tmp_path} is a folder: name a file, such as" in done.output


def test_explain_refuses_more_files_than_a_page_can_carry(attentive, tmp_path):
    files = [str(tmp_path / f"{number}.mp4") for number in range(51)]
    done = CliRunner().invoke(app, ["explain", str(attentive), *files, "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 1 and "error: 51 files are too much for one page: explain at" in done.output


def test_explain_draws_for_print_and_takes_the_true_class(attentive, clip, tmp_path):
    page = tmp_path / "page.html"
    stdout = succeeds(
        "explain", attentive, clip, "--out", page, "--format", "svg", "--label", "shrink", "--crop", 0
    )
    picture = tmp_path / "page_1_grow_000.svg"
    assert stdout == f"wrote {page}\nwrote {picture}\n"
    assert "true label <bdi>shrink</bdi>" in page.read_text(encoding="utf-8")
    assert picture.read_text(encoding="utf-8").startswith("<?xml")


def test_help_names_every_command():
    stdout = succeeds("--help")
    for name in ("doctor", "demo", "models", "synth", "extract", "train", "evaluate", "predict", "explain"):
        assert name in stdout


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("arguments", "option", "taken"),
    [
        (
            ["predict", "model.keras", "clip.mp4", "--segments", "--labels", "truth.csv"],
            "--segments",
            "--labels",
        ),
        (["train", "recipe.toml", "--data", "--out", "run"], "--data", "--out"),
        (["report", "run", "--out", "--out"], "--out", "--out"),
        (["train", "recipe.toml", "--data", "--help"], "--data", "--help"),
    ],
)
def test_an_option_is_not_taken_for_the_value_of_the_one_before(arguments, option, taken):
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", done.output).split())
    assert done.exit_code == 2
    assert f"'{option}': it needs a value, and {taken} is an option; if it is the value, write" in words
    assert f"write {option}={taken}" in words


@pytest.mark.once
@pytest.mark.parametrize("arguments", [["--segments=--labels"], ["--", "--labels", "--segments"]])
def test_a_value_that_looks_like_an_option_can_be_given(arguments):
    done = CliRunner().invoke(app, ["predict", "nowhere.keras", "clip.mp4", *arguments])
    assert done.exit_code == 1 and "nowhere.keras does not exist" in done.output
