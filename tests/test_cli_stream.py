"""`stream` as a user runs it: lines, segments, the video, and what is wrong in one line."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import hostile
from keras_actrec import zoo
from keras_actrec.cli.main import app
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
)
from keras_actrec.deploy import watch
from keras_actrec.deploy.overlay import Overlay
from keras_actrec.recognizer import Recognizer
from test_insight_explain import LOOKING, bright, looking_at_the_brightest, write_video

SIZE = 32
CLASSES = ("dark", "gray", "light")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Names the brightness of a frame: 0 is dark, 255 is light, with .99."""
    network = [
        keras.Input((SIZE, SIZE, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.GlobalAveragePooling2D(),
    ]
    network = zoo.softmax_regression(
        3, input_shape=(None, SIZE, SIZE, 3), backbone=keras.Sequential(network), masked=True
    )
    weights = [np.array([[-5, 0, 5]] * 3, "float32"), np.array([5, 2.5, -5], "float32")]
    network.get_layer("classifier").set_weights(weights)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    sampling = Sampling(4, "contiguous")
    Recognizer(network, CLASSES, ClipPreprocessor(sampling, ClipTransform(SIZE, crop="none"))).save(path)
    return path


@pytest.fixture(scope="module")
def joints(tmp_path_factory):
    """Names what joints do."""
    network = zoo.stacked_rnn(3, input_shape=(None, 12), units=2, bidirectional=True)
    path = tmp_path_factory.mktemp("joints") / "model.keras"
    transform = SkeletonTransform(5, length="resample", center=None)
    Recognizer(network, CLASSES, SkeletonPreprocessor("ntu_rgbd", transform)).save(path)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    # two seconds dark, one light, one dark, at 10 frames a second
    values = [0] * 20 + [255] * 10 + [0] * 10
    hostile.write(Path("a.mp4"), [np.full((48, 64, 3), value, "uint8") for value in values])


def stream(model, *arguments, stdin=None):
    return CliRunner().invoke(app, ["stream", str(model), *map(str, arguments)], input=stdin)


def error_of(result):
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    *_, last = result.stderr.splitlines()
    assert last.startswith("error: ")
    return last.removeprefix("error: ")


def left():
    """What is in the folder beside the source, whole or not."""
    return sorted(path.name for path in Path().iterdir() if path.name != "a.mp4")


def test_a_file_has_segments_and_running_answers(model):
    result = stream(model, "a.mp4", "--segments", "new/s.json", "--smoothing", 0)
    assert result.exit_code == 0, result.output
    found = json.loads(Path("new/s.json").read_text())
    assert [(each["label"], each["start"], each["end"]) for each in found] == [
        ("dark", 0, 2),
        ("light", 2, 3),
        ("dark", 3, 4),
    ]
    assert min(each["score"] for each in found) > 0.9
    lines = result.stdout.splitlines()
    assert lines[0] == "softmax_regression is causal: its states are carried from step to step"
    assert lines[1].split() == ["0.00", "s", f"{found[0]['score']:.3f}", "dark"]
    assert f"0.00 - 2.00 s  {found[0]['score']:.3f} dark" in lines
    assert lines[-1] == "3.9 s, 40 frames seen, 0 dropped, 3 segments"


def test_segments_are_smooth_and_those_of_no_interest_are_left_out(model):
    stream(model, "a.mp4", "--segments", "s.csv", "--ignore", "dark", "--smoothing", 0.4)
    with open("s.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    # After n frames it has risen to 1 - exp(-n / 4) and then falls by exp(-n / 4): it passes 1/2 with n = 3.
    assert (row["label"], row["start"], row["end"]) == ("light", "2.2", "3.2")
    stream(model, "a.mp4", "--segments", "s.vtt", "--seconds", 1)
    assert Path("s.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.100\ndark 0.9")


def test_the_video_has_the_answer_drawn_in(model):
    result = stream(model, "a.mp4", "--video", "new/v.mp4", "--smoothing", 0)
    assert result.exit_code == 0, result.output
    capture = cv2.VideoCapture("new/v.mp4")
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    frames = [frame for found, frame in iter(capture.read, (False, None)) if found]
    assert len(frames) == 40 and frames[0].shape == (240, 320, 3)  # enlarged
    assert frames[10][:24, 30:].max() > 150  # the label, on black
    assert frames[25][30:210].min() > 230  # nothing is drawn in the middle
    assert frames[39][-1].max() > 150 and frames[39][-1].std(axis=0).max() > 20  # colors of classes


@pytest.mark.parametrize(
    "transform",
    [
        ClipTransform(32, crop="none"),
        ClipTransform(32, short_side=36),
        ClipTransform(32, short_side=36, num_crops=10),  # of which a stream has the one in the middle
    ],
)
def test_the_video_shows_where_the_model_looked(transform):
    top, left, side = 40, 60, 8
    write_video("b.avi", [bright(90, 150, top, left + 2 * number, side) for number in range(4)])
    sampling = Sampling(2, "contiguous")
    looking = Recognizer(
        looking_at_the_brightest(), CLASSES, ClipPreprocessor(sampling, transform), spec=LOOKING
    )
    watch(looking, "b.avi", video="v.mp4")
    found, frame = cv2.VideoCapture("v.mp4").read()
    assert found and frame.shape == (270, 450, 3)  # three times as large
    pink = np.argwhere(np.abs(frame[27:-30].astype(int) - (214, 43, 255)).max(axis=-1) < 60) + (27, 0)
    assert len(pink) > 60
    cell = (90 / 8, (150 if transform.crop == "none" else 80) / 8)
    center = np.array([top + side / 2, left + side / 2])
    assert (np.abs(pink.mean(axis=0) / 3 - center) < np.array(cell)).all()
    assert (np.ptp(pink, axis=0) / 3 < np.array(cell) + 3).all()


def test_the_time_line_has_a_bar_for_each_answer():
    overlay, black = Overlay(["dark", "été"]), np.zeros((240, 400, 3), "uint8")
    assert (overlay.draw(black, 0, None, None) == 0).all()
    overlay.draw(black, 0, "dark", np.array([1.0, 0.0]))
    overlay.draw(black, 5, "été", np.array([0.5, 0.5]))
    frame = overlay.draw(black, 10, None, np.array([0.6, 0.4]))
    assert (black == 0).all()
    bars = frame[-20:]  # a 12th of the height
    assert bars[0, 100].tolist() == bars[19, 100].tolist() == [230, 159, 0]
    assert bars[19, 300].tolist() == [86, 180, 233] and bars[0, 300].tolist() == [0, 0, 0]
    for second in range(11, 500):
        overlay.draw(black[:240, :240], second, None, np.array([0.6, 0.4]))
    assert len(overlay._past) <= 11


def test_a_name_is_written_where_opencv_has_its_letters_and_else_the_number():
    def title(name):
        return Overlay([name]).draw(np.zeros((240, 400, 3), "uint8"), 0, name, np.array([1.0]))[:24].tolist()

    assert title("हाथ") == title("class 0") != title("hand")
    assert (title("Häkchen") == title("class 0")) == cv2.__version__.startswith("4")


def test_joints_are_lines_on_standard_input(joints):
    lines = [json.dumps(np.full((4, 3), number).tolist()) for number in range(6)]
    result = stream(joints, "-", "--fps", 2, "--enter", 0.1, "--leave", 0.01, stdin="\n".join(lines))
    assert result.exit_code == 0, result.output
    told = result.stdout.splitlines()
    assert told[0] == "stacked_rnn needs a whole clip: it looks through a sliding window of 5 steps"
    assert told[-1].startswith("2.5 s, 6 frames seen, 0 dropped, ")
    message = error_of(stream(joints, "-", stdin=f"{lines[0]}\nnothing\n"))
    assert message == "line 2 is no frame: write a JSON list of numbers, with 3 levels"
    assert error_of(stream(joints, "-", "--video", "v.mp4", stdin="")).endswith(
        "leave --video and --show out"
    )
    assert error_of(stream(joints, "a.mp4")).startswith("this model sees skeletons: give - as the source")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mp4"], "none.mp4: file not found; check the path"),
        (["http://host/a.mp4"], "http://host/a.mp4: streams of the network are rtsp://; give one, or a file"),
        (["-"], "this model sees videos, not lines of joints: give a file, a camera or an address"),
        (["97"], "97 does not open: check the camera's number or address"),
        (["a.mp4", "--show"], "there is no display: leave --show out, and write --video instead"),
        (["a.mp4", "--ignore", "fly"], "`ignore` names fly, and the model has dark, gray, light"),
        (["a.mp4", "--enter", "0.2"], "`leave` must be above 0 and at most `enter`, and that at most 1. "),
        (["a.mp4", "--segments", "s.txt"], "s.txt: segments are written as .json, .vtt, .csv; "),
        (["a.mp4", "--video", "v.avi"], "v.avi: a video is written as .mp4; name such a file"),
        (["a.mp4", "--video", "."], ".: a video is written as .mp4; name such a file"),
        (["a.mp4", "--segments", "a.mp4/s.json"], ""),
        (["a.mp4", "--video", "a.mp4/v.mp4"], ""),
        (["half.avi", "--segments", "s.json", "--video", "v.mp4"], "half.avi: only "),
        (["empty.mp4", "--segments", "s.json", "--video", "v.mp4"], "empty.mp4: the file has zero bytes"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(model, arguments, message):
    if arguments[0] == "half.avi":
        hostile.half_an_avi(Path("half.avi"))
    if arguments[0] == "empty.mp4":
        Path("empty.mp4").touch()
    before = left()
    assert error_of(stream(model, *arguments)).startswith(message)
    assert left() == before


def test_a_source_is_not_written_over(model):
    for option in (["--video", "a.mp4"], ["--video", "./a.mp4"]):
        assert error_of(stream(model, "a.mp4", *option)) == "a.mp4 is what is read: write to another file"
    assert cv2.VideoCapture("a.mp4").get(cv2.CAP_PROP_FRAME_COUNT) == 40


@pytest.mark.once
def test_an_interruption_keeps_what_was_found(model):
    """The signal comes at the 26th frame, half a second into what is light."""
    code = (
        "import os, signal, keras_actrec\n"
        "from keras_actrec.data.live import FileSource\n"
        "whole = FileSource.__iter__\n"
        "def cut(self):\n"
        "    for number, each in enumerate(whole(self)):\n"
        "        if number == 25:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        yield each\n"
        "FileSource.__iter__ = cut\n"
        "from keras_actrec.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "stream",
            model,
            "a.mp4",
            "--segments",
            "s.json",
            "--video",
            "v.mp4",
            "--smoothing",
            "0",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
    )
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert done.stderr.splitlines()[-1] == "Interrupted."
    found = json.loads(Path("s.json").read_text())
    assert [each["label"] for each in found] == ["dark", "light"] and Path("v.mp4").stat().st_size
