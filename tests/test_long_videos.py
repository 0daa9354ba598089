"""Segments of long recordings: what windows see, what is computed once, the tables, and training on such."""

import csv
import json
import tracemalloc
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import hostile
from checks import close
from keras_actrec import _backend, training, zoo
from keras_actrec.cli.main import app
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    FeaturePreprocessor,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
    read_frames,
    read_manifest,
    write_pose,
)
from keras_actrec.deploy import find_segments, long_videos
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

SIZE = 16
CLASSES = ("dark", "gray", "light")
SMALL = {"backbone": "bn_inception:inception_3a_output", "width": 0.125}
LABELS = "path,start,end,label\na.mp4,0,2,dark\na.mp4,2,3,light\na.mp4,3,4,dark\n"


def brightness(sampling, about=None):
    """Names the brightness of a frame, with .99: 0 is dark, 255 is light."""
    layers = [keras.Input((SIZE, SIZE, 3)), keras.layers.Rescaling(1 / 255)]
    network = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D()])
    model = zoo.softmax_regression(3, input_shape=(None, SIZE, SIZE, 3), backbone=network, masked=True)
    weights = [np.array([[-5, 0, 5]] * 3, "float32"), np.array([5, 2.5, -5], "float32")]
    model.get_layer("classifier").set_weights(weights)
    return Recognizer(
        model, CLASSES, ClipPreprocessor(sampling, ClipTransform(SIZE, crop="none")), about or {}
    )


@pytest.fixture(scope="module")
def recognizer():
    return brightness(Sampling(4, "contiguous"))


@pytest.fixture(scope="module")
def model(recognizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    recognizer.save(path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two seconds dark, one light, one dark, at 10 frames a second."""
    file = tmp_path_factory.mktemp("made") / "a.mp4"
    hostile.write(file, [np.full((24, 32, 3), value, "uint8") for value in [0] * 20 + [255] * 10 + [0] * 10])
    return file


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").symlink_to(made)
    return tmp_path


def predict(model, *arguments):
    return CliRunner().invoke(app, ["predict", str(model), *map(str, arguments)])


def error_of(result):
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    return result.stderr.splitlines()[-1].removeprefix("error: ")


# ---- what a window sees


@pytest.fixture
def answers(monkeypatch):
    """The starts of the windows, and the answers to them, of each recording."""
    seen = []
    mean = long_videos.mean_scores

    def noted(starts, scores, length, count):
        seen.append((list(starts), scores, length, count))
        return mean(starts, scores, length, count)

    monkeypatch.setattr(long_videos, "mean_scores", noted)
    return seen


def network_of(name, **arguments):
    backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 4, 4, activation="relu")])
    return zoo.build(name, 3, input_shape=(None, 8, 8, 3), backbone=backbone, **arguments)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A video of 15 frames."""
    file = tmp_path_factory.mktemp("noise") / "n.mp4"
    frames = np.random.default_rng(0).integers(0, 255, (15, 5, 6, 3), "uint8")
    hostile.write(file, [cv2.resize(frame, (48, 40), interpolation=cv2.INTER_NEAREST) for frame in frames])
    return file


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", [5, 20])
def test_each_window_is_answered_as_a_file_of_its_own(noise, answers, length, masked):
    sampling = Sampling(length, "contiguous", short="mask" if masked else "stretch")
    model = network_of("eleatt_rnn", units=3, bidirectional=True, masked=masked)
    recognizer = Recognizer(model, CLASSES, ClipPreprocessor(sampling, ClipTransform(8)))
    list(find_segments(recognizer, noise))
    ((starts, scores, _, count),) = answers
    assert count == 15 and starts == (list(range(11)) if length == 5 else [0])
    clips = ClipTransform(8)(read_frames(noise))
    for start, found in zip(starts[::4], scores[::4], strict=True):
        clip, mask = recognizer.preprocessor.window(clips[start : start + length])
        close(found, model.predict_on_batch(recognizer.batch(clip, mask))[0], 1e-5)


def test_the_last_window_ends_with_the_recording_and_windows_overlap_by_three_quarters(noise, answers):
    model = network_of("frame_pool")
    recognizer = Recognizer(model, CLASSES, ClipPreprocessor(Sampling(8, "contiguous"), ClipTransform(8)))
    list(find_segments(recognizer, noise))
    assert answers[0][0] == [0, 2, 4, 6, 7]


def test_a_backbone_sees_each_frame_once(noise, monkeypatch):
    recognizer = Recognizer(
        network_of("frame_pool"), CLASSES, ClipPreprocessor(Sampling(8, "contiguous"), ClipTransform(8))
    )
    shapes, run = [], _backend.predict

    def counted(model, batches):
        shapes.extend(np.shape(batch) for batch in batches)
        return run(model, batches)

    monkeypatch.setattr(_backend, "predict", counted)
    list(find_segments(recognizer, [noise, noise]))
    frames = [shape for shape in shapes if shape[2:] == (8, 8, 3)]
    assert frames == [(1, 32, 8, 8, 3)] * 2  # 15 frames, filled up


def test_a_network_over_clips_sees_the_frames_of_each_window(noise, answers):
    model = zoo.trn(3, input_shape=(4, 32, 32, 3), classifier_activation=None, **SMALL)  # else 0 or 1
    recognizer = Recognizer(model, CLASSES, ClipPreprocessor(Sampling(4), ClipTransform(32)))
    list(find_segments(recognizer, noise, window=0.8))  # 10 frames a second: every second one
    ((starts, scores, length, count),) = answers
    assert (starts, length, count) == ([0, 1, 2, 3, 4], 4, 8)
    clip = ClipTransform(32)(read_frames(noise, [4, 6, 8, 10]))
    close(scores[2], model.predict_on_batch(clip[None])[0], 1e-3)


def test_a_network_in_which_frames_mix_sees_each_window(noise, answers):
    model = zoo.gsm(3, input_shape=(4, 32, 32, 3), **SMALL)
    recognizer = Recognizer(model, CLASSES, ClipPreprocessor(Sampling(4, "contiguous"), ClipTransform(32)))
    told = []
    list(find_segments(recognizer, noise, tell=told.append))
    assert told == ["gsm: windows of 4 steps, 1 apart; each frame is read once"]
    starts, scores, *_ = answers[0]
    clip = ClipTransform(32)(read_frames(noise, range(7, 11)))
    close(scores[7], model.predict_on_batch(clip[None])[0], 1e-5)


def test_short_training_clips_make_short_windows(noise, answers):
    model = zoo.trn(3, input_shape=(4, 32, 32, 3), classifier_activation=None, **SMALL)  # else 0 or 1
    about = {"data": {"clip": {"frames": 5, "fps": 10.0}}}
    preprocessor = ClipPreprocessor(Sampling(4, frame_step=2), ClipTransform(32))
    told = []
    list(find_segments(Recognizer(model, CLASSES, preprocessor, about), noise, tell=told.append))
    assert told[0].startswith("trn: windows of 3 steps over 0.6 s, 1 apart;")
    ((starts, scores, length, count),) = answers
    assert (starts, length, count) == (list(range(6)), 3, 8)
    clip = ClipTransform(32)(read_frames(noise, [6, 8, 8, 10]))  # stretched, as in training
    close(scores[3], model.predict_on_batch(clip[None])[0], 1e-3)


@pytest.mark.parametrize("length", ["pad", "resample"])
def test_joints_are_moved_in_each_window(answers, tmp_path, length):
    joints = np.random.default_rng(0).normal(0, 1, (9, 1, 4, 3)).astype("float32")
    write_pose(tmp_path / "a.npz", joints)
    transform = SkeletonTransform(5, length=length, center=1, velocity=True)
    model = zoo.stacked_rnn(3, input_shape=(None, 24), units=2, bidirectional=True, masked=length == "pad")
    recognizer = Recognizer(model, CLASSES, SkeletonPreprocessor("poses", transform))
    (found,) = find_segments(recognizer, tmp_path / "a.npz", fps=4, least=0)
    ((starts, scores, _, _),) = answers
    assert starts == [0, 1, 2, 3, 4] and found.seconds == 9 / 4
    expected = model.predict_on_batch(recognizer.batch(*transform(joints[3:8])))[0]
    close(scores[3], expected, 1e-5)


def test_features_are_read_in_parts_and_memory_does_not_grow(answers, tmp_path):
    model = zoo.softmax_regression(3, input_shape=(None, 256), masked=True)
    preprocessor = FeaturePreprocessor(Sampling(16, "contiguous"), (256,))
    recognizer = Recognizer(model, CLASSES, preprocessor)
    steps = np.random.default_rng(0).normal(0, 1, (3000, 256)).astype("float32")
    peaks = []
    for count in (300, 300, 3000):  # the first one makes what is made once
        np.save(tmp_path / f"{count}.npy", steps[:count])
        tracemalloc.start()
        list(find_segments(recognizer, tmp_path / f"{count}.npy", workers=0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 2700 * 256 * 4 / 2  # half of what the steps take; the answers are kept
    starts, scores, _, count = answers[-1]
    assert (len(starts), starts[-1], count) == (747, 2984, 3000)
    close(scores[700], model.predict_on_batch(recognizer.batch(steps[2800:2816]))[0], 1e-5)


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("sampling", "options", "about", "paced"),
    [
        (Sampling(4), {}, {"clip": {"frames": 40, "fps": 20.0}}, (5, 4)),  # 2 s, 20 frames, 4 steps
        (Sampling(4), {}, {"clip": {"frames": 40, "fps": 0.0}}, (10, 4)),
        (Sampling(4), {}, {}, (1, 4)),
        (Sampling(4), {}, {"clip": {"frames": 6, "fps": 20.0}}, (1, 3)),  # a clip has 3 frames
        (Sampling(4, frame_step=2), {}, {"clip": {"frames": 12, "fps": 20.0}}, (2, 3)),  # 6, every second one
        (Sampling(4), {}, {"clip": {"frames": 12, "fps": 20.0}}, (2, 4)),
        (Sampling(4, frame_step=2), {}, {"clip": {"frames": 40, "fps": 20.0}}, (5, 4)),
        (Sampling(4, "contiguous", stride=3), {}, {"clip": {"frames": 40, "fps": 20.0}}, (3, 4)),
        (Sampling(4, "contiguous", stride=3), {"window": 1.6}, {}, (4, 4)),
        (Sampling(4), {"window": 0.01}, {}, (1, 4)),
    ],
)
def test_a_window_is_as_long_as_a_training_clip(sampling, options, about, paced):
    finder = long_videos._Finder.__new__(long_videos._Finder)
    preprocessor = ClipPreprocessor(sampling, ClipTransform(8))
    finder.recognizer = Recognizer(None, CLASSES, preprocessor, {"data": about}, spec=zoo.spec("tsn"))
    finder.windows = type("Windows", (), {"length": 4})
    finder.window, finder.fps = options.get("window"), None
    assert finder.paced(10.0) == paced


# ---- what is found


def test_segments_of_a_video_are_near_the_truth(recognizer, made):
    (found,) = find_segments(recognizer, made)
    assert [each.label for each in found.segments] == ["dark", "light", "dark"]
    close([(each.start, each.end) for each in found.segments], [(0, 2), (2, 3), (3, 4)], 0.1 + 1e-6)
    assert min(each.score for each in found.segments) > 0.8
    assert (found.status, found.seconds, found.frames.tolist()) == ("ok", 4.0, list(range(40)))
    assert {*found.labels[:18]} == {0} and {*found.labels[21:29]} == {2}
    assert str(found).splitlines()[0] == f"{made}  3 segments in 4.0 s"


def test_the_last_step_lasts_to_the_end(recognizer, made):
    for window in (1.2, 2.8, 400):  # every 3rd frame, of which the last one is alone, every 7th, the first
        (found,) = find_segments(recognizer, made, window=window)
        close(found.seconds, 4.0, 1e-6)
    (found,) = find_segments(recognizer, made, window=1.2, fps=50)  # which is for what has no times
    assert found.frames.tolist() == list(range(0, 40, 3))
    (found,) = find_segments(recognizer, made, ignore=["dark"])
    assert str(found).startswith(f"{made}  1 segment in 4.0 s")


def test_classes_and_segments_of_no_interest_are_left_out(recognizer, made):
    (found,) = find_segments(recognizer, made, ignore=["dark"])
    assert [each.label for each in found.segments] == ["light"]
    (found,) = find_segments(recognizer, made, shortest=1.5)
    assert [each.label for each in found.segments] == ["dark"]
    assert found.labels[-1] == -1
    (found,) = find_segments(recognizer, made, least=0.99)
    assert found.segments == () and {*found.labels} == {-1}


def test_a_table_of_segments_can_be_trained_on(model, here):
    Path("new").mkdir()
    (here / "b.mp4").symlink_to(here / "a.mp4")
    result = predict(model, "a.mp4", here / "b.mp4", "--segments", "new/found.csv")
    assert result.exit_code == 0, result.output
    with open("new/found.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "start", "end", "label", "score"] and len(rows) == 6
    assert [row[0] for row in rows] == ["../a.mp4"] * 3 + [str(here / "b.mp4")] * 3
    records = read_manifest("new/found.csv").records
    assert [record.file.resolve().name for record in records] == ["a.mp4"] * 6
    assert (records[1].start, records[1].stop) == (20, 30)
    assert result.stderr.splitlines()[0] == (
        "softmax_regression: windows of 4 steps, 1 apart; each frame is decoded and computed once"
    )


def test_a_table_is_json_or_subtitles_by_its_suffix(model, here):
    predict(model, "a.mp4", "--segments", "s.json", "--ignore", "dark")
    (found,) = json.loads(Path("s.json").read_text())
    assert list(found) == ["path", "start", "end", "label", "score"]
    assert (found["path"], found["label"], found["start"]) == ("a.mp4", "light", 1.9)
    predict(model, "a.mp4", "--segments", "s.vtt", "--ignore", "dark")
    assert Path("s.vtt").read_text().startswith("WEBVTT\n\n00:00:01.900 --> 00:00:03.100\nlight 0.")


def test_segments_are_scored_against_labels(model, here):
    Path("labels.csv").write_text(LABELS)
    result = predict(model, "a.mp4", "--segments", "s.csv", "--labels", "labels.csv")
    assert result.exit_code == 0, result.output
    *_, last = result.stdout.splitlines()
    assert last.startswith("frame accuracy 0.9") and last.endswith(
        "  edit 1.0000  F1@10 1.0000  F1@25 1.0000  F1@50 1.0000"
    )
    # Of the background that is not labeled, what is found is wrong.
    Path("labels.csv").write_text("path,start,end,label\na.mp4,2,3,light\na.mp4,0,1,idle\n")
    result = predict(model, "a.mp4", "--segments", "s.csv", "--labels", "labels.csv", "--ignore", "idle")
    assert result.stdout.splitlines()[-1].startswith("frame accuracy 0.2") and "F1@50 0.5000" in result.stdout
    result = predict(model, "a.mp4", "--segments", "s.csv", "--labels", "labels.csv")
    assert "the label 'idle' of a.mp4#0-10 is not one of the model's classes" in error_of(result)


def test_a_part_of_a_recording_has_the_times_of_the_recording(model, here):
    Path("list.csv").write_text("path,start,end\na.mp4,1.5,3.5\n")
    Path("labels.csv").write_text(LABELS)
    result = predict(model, "list.csv", "--segments", "s.json", "--labels", "labels.csv")
    assert result.exit_code == 0, result.output
    found = json.loads(Path("s.json").read_text())
    assert [each["label"] for each in found] == ["dark", "light", "dark"]
    close([(each["start"], each["end"]) for each in found], [(1.5, 2), (2, 3), (3, 3.5)], 0.1 + 1e-6)
    assert "a.mp4#15-35  3 segments in 3.5 s" in result.stdout and "edit 1.0000" in result.stdout


def test_seconds_of_what_has_no_times_go_by_fps(model, here):
    hostile.images(here / "frames", 12, size=(24, 32))
    Path("labels.csv").write_text("path,start,end,label\nframes,0,2,dark\n")
    result = predict(model, "labels.csv", "--segments", "s.csv", "--labels", "labels.csv", "--fps", "5")
    assert result.exit_code == 0 and "frames#0-10" in result.stdout, result.output
    result = predict(model, "frames", "--segments", "s.csv", "--labels", "labels.csv")
    assert error_of(result).startswith("labels.csv, line 2: frames tells no frames a second")


def test_bad_files_are_told_and_the_others_are_divided(model, here):
    Path("bad.mp4").write_bytes(b"nothing")
    hostile.half_an_avi(Path("half.avi"))
    result = predict(model, "bad.mp4", "a.mp4", "half.avi", "--segments", "s.csv")
    assert error_of(result).startswith("2 of 3 files have no answer, the first is bad.mp4: ")
    assert "half.avi  truncated: " in result.stdout
    assert len(Path("s.csv").read_text().splitlines()) == 4


def test_an_interruption_keeps_the_files_that_are_done(model, here, monkeypatch):
    whole = long_videos._File.found

    def found(file):
        if file.record.path == "b.mp4":
            raise KeyboardInterrupt
        return whole(file)

    monkeypatch.setattr(long_videos._File, "found", found)
    Path("b.mp4").symlink_to(here / "a.mp4")
    result = predict(model, "a.mp4", "b.mp4", "--segments", "s.csv")
    assert result.exit_code != 0
    assert len(Path("s.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["a.mp4", "--segments", "s.txt"],
            "s.txt: segments are written as .json, .vtt, .csv; name such a file",
        ),
        (["a.mp4", "--segments", "a.mp4"], "a.mp4 is what is read: write to another file"),
        (["a.mp4", "--segments", "s.csv", "--top", "3"], "--top and --batch-size are not about --segments"),
        (["list.csv", "--segments", "seen.csv"], "seen.csv is what is read: write to another file"),
        (["a.mp4", "--segments", "s.csv", "--csv", "c.csv"], "--segments writes its own table: leave --json"),
        (["a.mp4", "--labels", "l.csv"], "--window, --least, --shortest, --ignore, --fps and --labels are"),
        (
            ["a.mp4", "--least", "0.3"],
            "--window, --least, --shortest, --ignore, --fps and --labels are about",
        ),
        (
            ["a.mp4", "--segments", "s.csv", "--labels", "b.csv"],
            "a.mp4: no row of the labels is about it; add",
        ),
        (["a.mp4", "a.mp4", "--segments", "s.vtt"], "s.vtt: subtitles are of one video, and these are 2"),
        (
            ["a.mp4", "--segments", "s.csv", "--window", "0"],
            "`window` must be a number above 0. Received: wind",
        ),
        (
            ["a.mp4", "--segments", "s.csv", "--least", "2"],
            "`least` must be from 0 to 1. Received: least=2.0",
        ),
        (
            ["a.mp4", "--segments", "s.csv", "--ignore", "fly"],
            "`ignore` names fly, and the model has dark, gra",
        ),
        (
            ["a.mp4", "--segments", "s.csv", "--labels", "none.csv"],
            "none.csv: not found; looked for a table, tar files or a folder of videos",
        ),
        (["none.mp4", "--segments", "s.csv"], "none.mp4: file not found; check the path"),
    ],
)
def test_what_is_wrong_is_one_line(model, here, arguments, message):
    Path("b.csv").write_text("path,label\nb.csv,dark\n")
    Path("list.csv").write_text("path\nseen.csv\n")
    assert error_of(predict(model, *arguments)).startswith(message)
    assert cv2.VideoCapture("a.mp4").isOpened()
    if arguments[0] != "none.mp4":
        assert not list(here.glob("s.*"))


def test_frames_of_another_shape_are_refused(tmp_path):
    model = zoo.softmax_regression(3, input_shape=(None, 6))
    recognizer = Recognizer(model, CLASSES, FeaturePreprocessor(Sampling(2), None))
    np.save(tmp_path / "a.npy", np.zeros((9, 5), "float32"))
    (found,) = find_segments(recognizer, tmp_path / "a.npy")
    assert found.error == "it gives (2, 5) and the model takes (None, 6); use files as in its training"
    model.get_layer("classifier").set_weights([np.full((6, 3), np.nan), np.zeros(3)])
    np.save(tmp_path / "a.npy", np.zeros((9, 6), "float32"))
    (found,) = find_segments(recognizer, tmp_path / "a.npy")
    assert "the model's answer to it is no number" in found.error
    with pytest.raises(UserError, match="`overlap` must be from 0 to 1"):
        find_segments(recognizer, tmp_path / "a.npy", overlap=-1)


# ---- training on parts of recordings


def test_segments_of_recordings_are_clips_to_train_on(here, made):
    for name in ("b", "c", "d"):
        Path(f"{name}.mp4").symlink_to(made)
    rows = [
        f"{name}.mp4,{start},{end},{label}"
        for name in "abcd"
        for start, end, label in ((0, 1, "dark"), (1.1, 1.9, "dark"), (2, 2.5, "light"), (2.5, 3, "light"))
    ]
    Path("list.csv").write_text("\n".join(["path,start,end,label", *rows]))
    recipe = {
        "model": {"name": "tsn", **SMALL},
        "data": {"test_fraction": 0.25, "split_seed": 1},
        "clip": {"frames": 2, "size": 32, "crop": "none"},
        "train": {"epochs": 1, "batch_size": 12, "workers": 0},
    }
    run = training.train(training.parse_recipe(recipe), "list.csv", "run")
    data = run.recognizer.about["data"]
    assert data["parts"]["test"] == 4 and data["parts"]["train"] == 12  # a recording stays in one part
    assert data["clip"] == {"frames": 5, "fps": 10.0}  # 10, 8, 5 and 5 frames
    (found,) = find_segments(run.recognizer, "a.mp4", least=0)
    assert found.status == "ok" and found.frames.tolist() == list(range(0, 40, 2))
    told = []
    list(find_segments(run.recognizer, "a.mp4", tell=told.append))
    assert told == ["tsn: windows of 2 steps over 0.4 s, 1 apart; each frame is decoded and computed once"]
