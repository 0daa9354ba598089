"""`predict` on what a stranger gives it: lines, files, exit status."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import hostile
import keras_actrec
from keras_actrec.cli.main import app
from keras_actrec.data import ClipPreprocessor, ClipTransform, Sampling
from keras_actrec.recognizer import Recognizer

PROGRAM = Path(sys.executable).with_name("keras-actrec")
SIZE = 32
CLASSES = ("dark", "gray", "light")


def write(path, value, frames=6):
    """A gray video of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return hostile.write(path, [np.full((SIZE, SIZE, 3), value, "uint8")] * frames)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Names the brightness of a clip."""
    clip = keras.Input((None, SIZE, SIZE, 3), name="clip")
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.Rescaling(1 / 255)(clip))
    dense = keras.layers.Dense(3, activation="softmax")
    network = keras.Model(clip, dense(x), name="brightness")
    dense.set_weights([np.array([[-5, 0, 5]] * 3, "float32"), np.array([5, 3.75, -5], "float32")])
    path = tmp_path_factory.mktemp("model") / "model.keras"
    Recognizer(network, CLASSES, ClipPreprocessor(Sampling(4), ClipTransform(SIZE, crop="none"))).save(path)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder of its own with good and damaged files: `clips` has names of all kinds."""
    monkeypatch.chdir(tmp_path)
    write(Path("clips/a dark one.mp4"), 10)
    write(Path("clips/helles Vidéo 動画.mp4"), 250)
    Path("clips/empty.mp4").touch()
    hostile.half_an_avi(Path("clips/half.avi"))
    write(Path("clips/more/light.mp4"), 240).rename("clips/more/LIGHT.MP4")
    Path("clips/notes.txt").write_text("not a video")
    return tmp_path


# In the order in which a folder is searched, and what they are: the damaged ones have no label.
EXPECTED = [
    ("clips/a dark one.mp4", "ok", "dark"),
    ("clips/empty.mp4", "unreadable", ""),
    ("clips/half.avi", "truncated", ""),
    ("clips/helles Vidéo 動画.mp4", "ok", "light"),
    ("clips/more/LIGHT.MP4", "ok", "light"),
]


def predict(model, *arguments, stdin=None):
    return CliRunner().invoke(app, ["predict", str(model), *map(str, arguments)], input=stdin)


def error_of(result):
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    *_, last = result.stderr.splitlines()
    assert last.startswith("error: ")
    return last.removeprefix("error: ")


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def told(rows):
    return [(row["path"], row["status"], row["label"]) for row in rows]


def test_a_folder_with_good_and_damaged_files_has_a_row_for_each(model):
    result = predict(model, "clips", "--json", "new/folder/a.json", "--csv", "other/a.csv")
    message = error_of(result)
    reason = "clips/empty.mp4: the file has zero bytes; get it again or remove it"
    assert message == f"2 of 5 files have no answer, the first is {reason}"
    table = rows("other/a.csv")
    assert told(table) == EXPECTED
    header = "path,status,label,score,seconds,error,label_2,score_2,label_3,score_3"
    assert Path("other/a.csv").read_text(encoding="utf-8").splitlines()[0] == header
    values = json.loads(Path("new/folder/a.json").read_text())
    assert [(each["path"], each["status"]) for each in values] == [row[:2] for row in EXPECTED]
    for row, each in zip(table, values, strict=True):
        assert list(each) == ["path", "status", "labels", "scores", "seconds", "error"]
        if row["status"] == "ok":
            assert each["labels"] == [row["label"], row["label_2"], row["label_3"]]
            np.testing.assert_allclose(
                each["scores"], [float(row[f"score{n}"]) for n in ("", "_2", "_3")], atol=1e-6
            )
            assert each["error"] is None and row["error"] == ""
        else:
            assert (each["labels"], each["scores"]) == ([], []) and each["error"] == row["error"] != ""
    lines = result.stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("clips/a dark one.mp4  0.") and " dark  0." in lines[0]
    assert lines[1] == "clips/empty.mp4  unreadable: the file has zero bytes; get it again or remove it"


def test_a_jsonl_file_has_a_line_a_file(model):
    predict(model, "clips", "--json", "a.jsonl")
    lines = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [(each["path"], each["status"]) for each in lines] == [row[:2] for row in EXPECTED]


def test_good_files_alone_end_well(model):
    result = predict(model, "clips/a dark one.mp4", "clips/more", "--top", 1, "--csv", "a.csv")
    assert result.exit_code == 0, result.output
    assert told(rows("a.csv")) == [EXPECTED[0], EXPECTED[4]]
    assert list(rows("a.csv")[0]) == ["path", "status", "label", "score", "seconds", "error"]
    assert result.stdout.splitlines()[1].split()[2:] == ["light"]
    assert result.stderr.startswith("predicting 0/2") and "error" not in result.stderr


def test_answers_are_those_of_one_video_at_a_time(model):
    predict(model, "clips", "--json", "a.json", "--batch-size", 2, "--workers", 1)
    recognizer = keras_actrec.load(model)
    for each in json.loads(Path("a.json").read_text()):
        if each["status"] == "ok":
            expected = recognizer.predict_video(each["path"])
            assert each["labels"] == [label for label, _ in expected]
            np.testing.assert_allclose(each["scores"], [score for _, score in expected], atol=1e-5)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing", "nothing: no videos found (looked for *.avi "),
        ("texts", "texts: no videos found (looked for *.avi "),
        ("clips/*.webm", "clips/*.webm: no file or folder fits this pattern; "),
        (
            "list.csv",
            "list.csv: the column `path` is missing; the first line must name path (optionally "
            "start,stop,end). Received: 'file'",
        ),
    ],
)
def test_a_source_that_holds_nothing_is_one_line_and_nothing_is_overwritten(model, source, message):
    Path("nothing").mkdir()
    Path("texts").mkdir()
    Path("texts/a.txt").touch()
    Path("list.csv").write_text("file\na.mp4\n")
    Path("old.csv").write_text("old")
    result = predict(model, "clips", source, "--csv", "old.csv", "--json", "new.json")
    assert error_of(result).startswith(message) and result.stdout == ""
    assert Path("old.csv").read_text() == "old" and not Path("new.json").exists()


def test_a_missing_file_among_good_ones_is_a_row(model):
    files = ["clips/a dark one.mp4", "no/such.mp4", "clips/more/LIGHT.MP4"]
    result = predict(model, *files, "--csv", "a.csv")
    assert (
        error_of(result)
        == "1 of 3 files have no answer, the first is no/such.mp4: file not found; check the path"
    )
    assert told(rows("a.csv")) == [EXPECTED[0], ("no/such.mp4", "unreadable", ""), EXPECTED[4]]


def test_a_single_bad_file_is_its_own_error(model):
    assert error_of(predict(model, "no.mp4")) == "no.mp4: file not found; check the path"


def test_standard_input_names_files_and_blank_lines_are_nothing(model):
    paths = "\nclips/helles Vidéo 動画.mp4\n\n  \nclips/a dark one.mp4\r\n\n"
    result = predict(model, "-", "--csv", "a.csv", stdin=paths.encode())
    assert result.exit_code == 0, result.output
    assert told(rows("a.csv")) == [EXPECTED[3], EXPECTED[0]]
    assert error_of(predict(model, "-", stdin=b"\n")).startswith("-: standard input names no files")


def test_a_csv_file_lists_files_and_is_never_the_one_that_is_written(model):
    Path("clips/list.csv").write_text("path,label\nmore/LIGHT.MP4,x\na dark one.mp4,y\n", encoding="utf-8")
    result = predict(model, "clips/list.csv", "--csv", "a.csv")
    assert result.exit_code == 0, result.output
    assert told(rows("a.csv")) == [EXPECTED[4], EXPECTED[0]]
    result = predict(model, "clips/list.csv", "--csv", "clips/list.csv")
    assert error_of(result) == "clips/list.csv is what is read: write to another file"
    assert rows("clips/list.csv")[0]["label"] == "x"


def test_a_pattern_in_quotes_is_expanded(model):
    result = predict(model, "clips/**/*.MP4", "clips/a*", "--csv", "a.csv")
    assert result.exit_code == 0, result.output
    assert told(rows("a.csv")) == [EXPECTED[4], EXPECTED[0]]


def test_a_folder_of_images_is_one_row(model):
    Path("frames").mkdir()
    for number in range(1, 8):
        cv2.imwrite(f"frames/{number}.png", np.full((40, 60, 3), 245, "uint8"))
    result = predict(model, "frames", "--csv", "a.csv")
    assert result.exit_code == 0, result.output
    assert told(rows("a.csv")) == [("frames", "ok", "light")]


def test_the_same_file_twice_has_two_rows(model):
    predict(model, "clips/more/LIGHT.MP4", "clips/more/LIGHT.MP4", "--csv", "a.csv")
    assert told(rows("a.csv")) == [EXPECTED[4], EXPECTED[4]]


def test_a_file_that_is_named_is_tried_whatever_its_suffix(model):
    Path("clips/a dark one.mp4").rename("recording.bin")
    result = predict(model, "recording.bin", "clips/notes.txt", "--csv", "a.csv")
    assert error_of(result).startswith(
        "1 of 2 files have no answer, the first is clips/notes.txt: OpenCV cannot"
    )
    assert told(rows("a.csv")) == [("recording.bin", "ok", "dark"), ("clips/notes.txt", "unreadable", "")]


def test_more_classes_than_the_model_has_are_all_and_none_is_wrong_usage(model):
    result = predict(model, "clips/more", "--top", 99, "--csv", "a.csv", "--json", "a.json")
    assert result.exit_code == 0 and len(rows("a.csv")[0]) == 4 + 2 * 3
    assert len(json.loads(Path("a.json").read_text())[0]["labels"]) == 3
    result = predict(model, "clips/more", "--top", 0)
    assert result.exit_code == 2 and "--top" in result.stderr


def test_more_than_a_thousand_sources_take_time_by_their_number(model):
    Path("list.csv").write_text("path\n" + "".join(f"no/{number}.mp4\n" for number in range(3000)))
    start = time.perf_counter()
    result = predict(model, "list.csv", "--csv", "a.csv", "--json", "a.json")
    assert error_of(result).startswith("3000 of 3000 files have no answer, the first is no/0.mp4")
    assert len(rows("a.csv")) == len(json.loads(Path("a.json").read_text())) == 3000
    assert time.perf_counter() - start < 20  # measured: 1 s


def test_rows_go_where_standard_output_goes_while_a_bar_is_on_the_terminal(model, monkeypatch):
    # as in `predict ... > rows.txt`: a bar takes what is printed for the terminal
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    from keras_actrec.cli.predict import predict as command

    command(model, ["clips/more"], top=2)
    assert out.getvalue().startswith("clips/more/LIGHT.MP4  ")


@pytest.mark.once
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_keeps_the_rows_and_exits_with_its_status(model, number, status):
    many = ["clips/a dark one.mp4"] * 20_000
    Path("list.csv").write_text("\n".join(["path", *many]))
    command = [PROGRAM, "predict", model, "list.csv", "--csv", "a.csv", "--json", "a.json"]
    env = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        for _ in range(40):
            child.stdout.readline()
        child.send_signal(number)
        _, stderr = child.communicate(timeout=60)
    assert child.returncode == status, stderr
    assert stderr.splitlines()[-1] == "Interrupted."
    table, values = rows("a.csv"), json.loads(Path("a.json").read_text())
    assert 40 <= len(table) == len(values) < 20_000
    assert {row["label"] for row in table} == {"dark"}
    assert [path.name for path in Path().glob(".part-*")] == []
