"""Many files at a time: each as if it were alone, all of them answered, and their rows kept."""

import csv
import itertools
import json
import re
import shlex
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import hostile
import trees
from keras_actrec import Prediction, _backend, scoring
from keras_actrec.cli.main import app
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    FeaturePreprocessor,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
    VideoError,
    _ahead,
    read_dataset,
    read_frames,
    write_pose,
)
from keras_actrec.errors import UserError
from keras_actrec.evaluation import evaluate, fuse
from keras_actrec.prediction import columns, recording
from keras_actrec.recognizer import Recognizer

SIZE = 16
CLASSES = ("zero", "one", "two", "three", "four", "five", "six")


def network(name, shape, masked=False, classes=7):
    """A model whose answers differ from input to input, and with the mask."""
    x = inputs = keras.Input((None, *shape), name=name)
    for _ in range(len(shape) - 1):
        x = keras.ops.mean(keras.ops.cast(x, "float32"), axis=2)
    mask = keras.Input((None,), dtype="bool", name="mask")
    pool = keras.layers.GlobalAveragePooling1D()
    x = pool(x, mask=mask) if masked else pool(x)
    dense = keras.layers.Dense(classes, activation="softmax")
    model = keras.Model({name: inputs, "mask": mask} if masked else inputs, dense(x), name="small")
    rng = np.random.default_rng(0)
    dense.set_weights([rng.normal(0, 0.03, (shape[-1], classes)), rng.normal(0, 0.3, classes)])
    return model


def recognizer(sampling, masked=False, num_crops=1):
    return Recognizer(
        network("clip", (SIZE, SIZE, 3), masked),
        CLASSES,
        ClipPreprocessor(sampling, ClipTransform(SIZE, num_crops=num_crops)),
    )


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Ten videos of noise of several sizes and lengths."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for number in range(10):
        frames = rng.integers(0, 255, (3 + 3 * number, 24 + 8 * (number % 3), 40, 3), "uint8")
        frames = frames // 8 + np.uint8(20 * number)
        hostile.write(folder / f"{number}.mp4", list(frames))
    return folder


SAMPLINGS = [
    (Sampling(4), 1),
    (Sampling(4, num_clips=2), 3),
    (Sampling(5, "contiguous", 2), 1),
    (Sampling(4, "sequences", hop=2), 1),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("sampling", "num_crops"), SAMPLINGS, ids=str)
def test_each_file_is_answered_as_if_it_were_alone(videos, sampling, num_crops, masked):
    model = recognizer(sampling, masked, num_crops)
    files = sorted(videos.iterdir())
    expected = [model.predict_video(file) for file in files]
    assert len({answers[0] for answers in expected}) == len(files)  # the files matter
    for options in ({}, {"workers": 0, "batch_size": 3}, {"workers": 3, "batch_size": 1}):
        found = list(model.predict(files, top=None, **options))
        assert [each.path for each in found] == files
        for each, answers in zip(found, expected, strict=True):
            assert (each.status, each.error) == ("ok", None) and each.seconds > 0
            assert each.labels == tuple(label for label, _ in answers)
            np.testing.assert_allclose(each.scores, [score for _, score in answers], atol=1e-5)


def test_an_answer_is_the_mean_over_the_views(videos):
    model = recognizer(Sampling(4, "sequences", hop=3), masked=True)
    file = videos / "7.mp4"
    seen = model.preprocessor
    views = [
        view for part in seen.views([seen.item(file)], size=99, ahead=1, workers=0) for view in part.views
    ]
    clips, masks = map(np.stack, zip(*views, strict=True))
    assert len(clips) == 7  # 24 frames
    scores = model.model.predict_on_batch({"clip": clips, "mask": masks})
    found = dict(model.predict_video(file))
    np.testing.assert_allclose([found[name] for name in CLASSES], scores.mean(axis=0), atol=1e-6)


@pytest.fixture
def shapes(monkeypatch):
    """The shapes of the batches that models see."""
    seen = []
    run = _backend.predict

    def counted(model, batches):
        seen.extend(batch.shape for batch in batches)
        return run(model, batches)

    monkeypatch.setattr(_backend, "predict", counted)
    return seen


@pytest.mark.parametrize(("sampling", "views"), [(Sampling(4), 10), (Sampling(4, "sequences"), 38)], ids=str)
def test_batches_are_filled_across_files_and_have_one_shape(videos, shapes, sampling, views):
    assert len(list(recognizer(sampling).predict(videos, batch_size=4))) == 10
    assert shapes == [(4, 4, SIZE, SIZE, 3)] * -(-views // 4)


def test_one_clip_is_not_computed_several_times(videos, shapes):
    model = recognizer(Sampling(4))
    model.predict_video(videos / "1.mp4")
    list(model.predict([videos / "1.mp4", videos / "2.mp4"], batch_size=8))
    assert [shape[0] for shape in shapes] == [1, 2]


@pytest.mark.parametrize(("cpu", "batches"), [(True, [1, 1, 1]), (False, [3])])
def test_a_batch_on_a_cpu_is_one_clip(videos, shapes, monkeypatch, cpu, batches):
    monkeypatch.setattr(_backend, "on_cpu", lambda: cpu)
    list(recognizer(Sampling(4)).predict([videos / f"{number}.mp4" for number in range(3)]))
    assert [shape[0] for shape in shapes] == batches


@pytest.fixture
def mixed(videos, tmp_path):
    """Good files and every kind of bad ones, one after the other; and what is expected of each."""
    files, statuses = [], []
    for number, (name, (make, suffix, status, *_)) in enumerate(hostile.KINDS.items()):
        if name in ("no_permission", "folder", "empty_image_folder"):  # root may read; no sources
            continue
        path = tmp_path / (name + suffix)
        make(path)
        files += [path, videos / f"{number % 10}.mp4"]
        statuses += [status, "ok"]
    files.append(tmp_path / "not there.mp4")
    return files, [*statuses, "unreadable"]


def test_bad_files_are_rows_and_all_others_are_answered(mixed):
    files, statuses = mixed
    model = recognizer(Sampling(4))
    found = list(model.predict(files))
    assert [each.status for each in found] == statuses
    assert [each.path for each in found] == files
    alone = {
        file: model.predict_video(file, top=5) for file, status in zip(*mixed, strict=True) if status == "ok"
    }
    for each in found:
        if each.status == "ok":
            np.testing.assert_allclose(each.scores, [score for _, score in alone[each.path]], atol=1e-5)
            assert len(each.labels) == 5 and each.error is None
        else:
            assert (each.labels, each.scores) == ((), ())
            assert each.error.isprintable() and str(each.path) not in each.error
    assert found[-1].error == "file not found; check the path"


def test_a_file_that_breaks_off_gives_no_answer(videos, tmp_path):
    hostile.half_a_matroska(tmp_path / "half.mkv")
    model = recognizer(Sampling(2, "sequences"))
    (bad, good) = model.predict([tmp_path / "half.mkv", videos / "3.mp4"], batch_size=4)
    assert (bad.status, bad.scores) == ("truncated", ()) and good.status == "ok"


def test_an_answer_that_is_no_number_is_none(videos, tmp_path):
    one = recognizer(Sampling(4))
    dense = one.model.layers[-1]
    dense.set_weights([dense.get_weights()[0], np.array([np.nan, *[0.0] * 6])])
    found = list(one.predict([videos / "0.mp4", videos / "1.mp4"]))
    assert [(each.status, each.labels) for each in found] == [("unreadable", ())] * 2
    assert "answer to it is no number" in found[0].error
    (tmp_path / "list.csv").write_text(f"path,label\n{videos / '0.mp4'},zero\n{videos / '1.mp4'},one\n")
    with pytest.raises(VideoError, match="0.mp4: the model's answer to it is no number"):
        evaluate(one, tmp_path / "list.csv", part="all")


def test_the_same_file_twice_is_answered_twice(videos):
    file = videos / "4.mp4"
    first, other, second = recognizer(Sampling(4)).predict([file, videos / "5.mp4", file])
    assert first.path == second.path and first.labels == second.labels
    assert abs(np.subtract(first.scores, other.scores)).max() > 1e-3
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-6)


def test_a_folder_of_frames_is_one_video(tmp_path):
    hostile.images(tmp_path / "clip")
    hostile.images(tmp_path / "more", 3)
    model = recognizer(Sampling(4))
    (alone,) = model.predict(tmp_path / "clip")
    assert alone.status == "ok" and alone.path == tmp_path / "clip"
    assert [each.path.name for each in model.predict(tmp_path)] == ["clip", "more"]


def test_what_is_done_does_not_wait_for_a_slow_file(videos, monkeypatch):
    monkeypatch.setattr(_ahead, "_PATIENCE", 0.05)
    model = recognizer(Sampling(4))
    ready = threading.Event()
    source = _ahead.read_ahead

    class Slow:
        def __init__(self, source):
            self.source = source

        def views(self, item):
            if item[0].file.name == "2.mp4":
                ready.wait(20)
            yield from self.source.views(item)

    monkeypatch.setattr(
        "keras_actrec.data.preprocessors.clips.read_ahead",
        lambda given, *arguments, **options: source(Slow(given), *arguments, **options),
    )
    found = model.predict(videos)
    assert [each.path.name for each in itertools.islice(found, 2)] == ["0.mp4", "1.mp4"]
    assert not ready.is_set()
    ready.set()
    assert len(list(found)) == 8


def test_progress_is_told_from_the_start_and_after_every_file(videos):
    seen = []
    found = recognizer(Sampling(4)).predict(videos, progress=lambda *step: seen.append(step))
    assert seen == []
    for number, each in enumerate(found, start=1):
        assert seen[number] == ("predicting", number, 10, str(each.path))
    assert seen[0] == ("predicting", 0, 10, "") and len(seen) == 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "`top` must be a whole number from 1 to 65536. Received: top=0"),
        ({"batch_size": 0}, "`batch_size` must be a whole number from 1 to 65536. Received: batch_size=0"),
        ({"workers": -1}, "`workers` must be a whole number from 0 to 1024. Received: workers=-1"),
    ],
)
def test_numbers_out_of_range_are_refused_at_once(videos, options, message):
    with pytest.raises(UserError, match=message):
        recognizer(Sampling(4)).predict(videos, **options)


def test_a_source_without_files_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="no videos found"):
        recognizer(Sampling(4)).predict(tmp_path)
    assert list(recognizer(Sampling(4)).predict([])) == []


def test_more_classes_than_there_are_are_all_of_them(videos):
    (found,) = recognizer(Sampling(4)).predict(videos / "0.mp4", top=99)
    assert sorted(found.labels) == sorted(CLASSES) and sum(found.scores) == pytest.approx(1, abs=1e-5)


# ---- skeletons


def skeletons(dataset, joints, classes=CLASSES):
    return Recognizer(
        network("features", (3 * joints,), masked=True, classes=len(classes)),
        classes,
        SkeletonPreprocessor(dataset, SkeletonTransform(8, center=None)),
        {"recipe": {"data": {"dataset": dataset}}},
    )


def test_sequences_of_joints_are_answered_and_those_of_other_joints_are_named(tmp_path):
    model = skeletons("poses", 5)
    for number in range(5):
        joints = np.random.default_rng(number).normal(0, 20, (4 + number, 1, 4 + (number != 2), 3))
        write_pose(tmp_path / f"{number}.npz", joints.astype("float32"))
    (tmp_path / "cut.json").write_text('{"joints": [[')
    found = list(model.predict(tmp_path))
    assert [each.path.name for each in found] == [*(f"{number}.npz" for number in range(5)), "cut.json"]
    assert [each.status for each in found] == ["ok", "ok", "unreadable", "ok", "ok", "unreadable"]
    assert found[2].error.startswith("it gives (8, 12) and the model takes (None, 15); ")
    for each in found[3:5]:
        np.testing.assert_allclose(each.scores, [s for _, s in model.predict_video(each.path, 5)], atol=1e-5)
    with pytest.raises(VideoError, match="2.npz: it gives"):
        model.predict_video(tmp_path / "2.npz")


def test_a_sequence_that_is_seen_ten_times_has_the_mean_of_these_answers(tmp_path):
    transform = SkeletonTransform(8, "resample", center=None, view=90, crop=0.3, num_views=10)
    preprocessor = SkeletonPreprocessor("poses", transform)
    model = Recognizer(network("features", (15,)), CLASSES, preprocessor)
    joints = np.random.default_rng(0).normal(0, 20, (30, 1, 5, 3)).astype("float32")
    write_pose(tmp_path / "a.npz", joints)
    answers = model.model.predict(np.stack([view for view, _ in transform.views(joints)]), verbose=0)
    found = dict(model.predict_video(tmp_path / "a.npz"))
    np.testing.assert_allclose([found[name] for name in CLASSES], answers.mean(axis=0), atol=1e-5)
    assert np.abs(answers.mean(axis=0) - answers[0]).max() > 0.01


def test_a_recording_with_several_labeled_actions_is_not_answered_as_one(tmp_path):
    root = trees.utkinect(tmp_path / "set")
    model = skeletons("utkinect", 20, read_dataset("utkinect", root).class_names)
    recordings = sorted(root.rglob("joints_*.txt"))
    found = list(model.predict(root))
    assert [each.path for each in found] == recordings
    assert {each.status for each in found} == {"unreadable"}
    assert found[0].error.startswith("it holds 10 actions by actionLabel")
    model.save(tmp_path / "model.keras")
    (words,) = re.findall("score each with `keras-actrec (.*)`", found[0].error)
    command = [str(tmp_path / "model.keras") if word == "MODEL" else word for word in shlex.split(words)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "40 videos, 0 skipped" in done.stdout, done.output
    alone = tmp_path / "mine" / recordings[0].name
    alone.parent.mkdir()
    alone.write_bytes(recordings[0].read_bytes())
    (answer,) = model.predict(alone)  # no labels say that it is more than one
    assert answer.status == "ok"
    with pytest.raises(VideoError, match="it holds 10 actions"):
        model.predict_video(recordings[0])
    assert evaluate(model, root, part="all").videos == 40  # what the error says to do


def test_a_file_of_several_sequences_is_not_answered_as_one(tmp_path):
    root = trees.basic_motions(tmp_path)
    model = skeletons("basic_motions", 2, read_dataset("basic_motions", root).class_names)
    (found,) = model.predict(root)
    assert found.status == "unreadable" and found.error.startswith("it holds 12 sequences, and an answer is")
    assert evaluate(model, root, part="all").videos == 12


# ---- what becomes of the answers


@pytest.mark.no_backend
@pytest.mark.parametrize("how", ["probabilities", "logits", "votes"])
def test_answers_that_come_one_by_one_are_fused_as_all_at_once(how):
    scores = np.random.default_rng(0).dirichlet(np.ones(4), (7, 3))  # (V, N, C)
    fusion = scoring.Fusion(how)
    for start in (0, 1, 3, 6):
        fusion.add(scores[start : {0: 1, 1: 3, 3: 6, 6: 7}[start]])
    np.testing.assert_allclose(fusion.answer(), fuse(scores, how), atol=1e-12)
    if how == "probabilities":
        np.testing.assert_allclose(fusion.answer(), scores.mean(axis=0), atol=1e-12)
    with pytest.raises(UserError, match="`how` must be one of"):
        scoring.Fusion("mean")


GOOD = Prediction(Path("a b/ü,.mp4"), "ok", ("run", "sit, stand"), (0.75, 0.25), 0.1234)
BAD = Prediction(
    Path("bad\n\udcff.mp4"), "truncated", (), (), 0.5, "only 3 of 60 claimed frames decode; re-encode"
)


@pytest.mark.no_backend
def test_a_line_for_people_is_one_line():
    assert str(GOOD) == "a b/ü,.mp4  0.750 run  0.250 sit, stand"
    assert str(BAD) == "bad\\n\\udcff.mp4  truncated: only 3 of 60 claimed frames decode; re-encode"


@pytest.mark.no_backend
def test_a_table_begins_with_what_is_looked_for_first():
    assert columns(1) == ["path", "status", "label", "score", "seconds", "error"]
    assert columns(3) == [*columns(1), "label_2", "score_2", "label_3", "score_3"]


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.no_backend
def test_rows_are_on_disk_as_soon_as_they_are_kept(tmp_path):
    table, lines, whole = (tmp_path / "new" / name for name in ("t.csv", "l.JSONL", "w.json"))
    with recording(3, csv=table, json=lines) as keep, recording(3, json=whole) as keep_whole:
        assert rows(table) == []
        for done, each in enumerate([GOOD, BAD], start=1):
            keep(each)
            keep_whole(each)
            assert len(rows(table)) == len(lines.read_text().splitlines()) == done
        assert not whole.exists()
    assert json.loads(whole.read_text()) == [json.loads(line) for line in lines.read_text().splitlines()]
    first, second = json.loads(whole.read_text())
    assert list(first) == ["path", "status", "labels", "scores", "seconds", "error"]
    assert first == {
        "path": "a b/ü,.mp4",
        "status": "ok",
        "labels": ["run", "sit, stand"],
        "scores": [0.75, 0.25],
        "seconds": 0.123,
        "error": None,
    }
    assert (second["path"], second["status"], second["labels"]) == ("bad\n\udcff.mp4", "truncated", [])
    good, bad = rows(table)
    assert list(good) == columns(3)
    assert list(good.values()) == [
        "a b/ü,.mp4",
        "ok",
        "run",
        "0.750000",
        "0.123",
        "",
        "sit, stand",
        "0.250000",
        "",
        "",
    ]
    assert (
        bad["error"] == BAD.error and bad["path"] == "bad\n\\udcff.mp4" and bad["label"] == bad["score"] == ""
    )


@pytest.mark.no_backend
def test_an_interruption_keeps_what_is_done(tmp_path):
    (tmp_path / "w.json").write_text("old")
    with (
        pytest.raises(KeyboardInterrupt),
        recording(2, json=tmp_path / "w.json", csv=tmp_path / "t.csv") as keep,
    ):
        keep(GOOD)
        assert (tmp_path / "w.json").read_text() == "old"
        raise KeyboardInterrupt
    assert len(json.loads((tmp_path / "w.json").read_text())) == len(rows(tmp_path / "t.csv")) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "w.json"]


@pytest.mark.no_backend
def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a folder: name a file"), recording(2, json=tmp_path):
        pytest.fail("it began")
    for options in (
        {"json": tmp_path / "file" / "x.json"},
        {"csv": tmp_path / "file" / "x.csv"},
        {"csv": tmp_path},
    ):
        with pytest.raises((UserError, OSError)), recording(2, **options):
            pytest.fail("it began")


@pytest.mark.no_backend
def test_a_list_of_files_is_not_overwritten_by_their_answers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("list.csv").write_text("path\nx.mp4\n")
    for option in ("csv", "json"):
        with pytest.raises(UserError, match="list.csv is what is read: write to another file"):
            with recording(2, **{option: tmp_path / "list.csv"}, sources=["x.mp4", "./list.csv"]):
                pytest.fail("it began")
    assert Path("list.csv").read_text() == "path\nx.mp4\n"


PROGRAM = """
import sys
from keras_actrec import load
from keras_actrec.prediction import recording

recognizer = load(sys.argv[1])
with recording(2, csv=sys.argv[3], json=sys.argv[4]) as keep:
    for each in recognizer.predict(sys.argv[2], batch_size=2):
        keep(each)
        print(each.path.name, flush=True)
"""


@pytest.mark.once
def test_a_killed_run_leaves_the_finished_rows(videos, kill_at, tmp_path):
    recognizer(Sampling(4)).save(tmp_path / "model.keras")
    files = tmp_path / "table.csv", tmp_path / "rows.jsonl"
    kill_at("5.mp4", PROGRAM, tmp_path / "model.keras", videos, *files)
    done = [Path(row["path"]).name for row in rows(files[0])]
    assert done[:6] == [f"{number}.mp4" for number in range(6)] and {
        row["status"] for row in rows(files[0])
    } == {"ok"}
    assert [Path(json.loads(line)["path"]).name for line in files[1].read_text().splitlines()][:6] == done[:6]


@pytest.mark.parametrize(("sampling", "num_crops"), SAMPLINGS, ids=str)
def test_a_row_of_a_csv_file_may_be_a_part_of_a_file(videos, tmp_path, sampling, num_crops):
    model, file = recognizer(sampling, num_crops=num_crops), videos / "9.mp4"  # 30 frames
    frames = read_frames(file)
    parts = {"#5-12": frames[5:12], "#20-": frames[20:], "#0-9": frames[:9], "": frames}
    rows = ["5,12", "20,", ",9", ","]
    (tmp_path / "list.csv").write_text("\n".join(["path,start,stop", *[f"{file},{row}" for row in rows]]))
    found = list(model.predict(tmp_path / "list.csv", top=None))
    assert [str(each.path) for each in found] == [f"{file}{part}" for part in parts]
    for each, part in zip(found, parts.values(), strict=True):
        indices, _ = model.preprocessor.sampling.clips(len(part))
        views = np.concatenate([model.preprocessor.transform.crops(part[clip]) for clip in indices])
        scores = dict(zip(CLASSES, model.model.predict_on_batch(views).mean(axis=0), strict=True))
        np.testing.assert_allclose(each.scores, [scores[label] for label in each.labels], atol=1e-5)


def test_a_part_that_is_not_there_is_a_row(videos, tmp_path):
    rows = [f"{videos / '9.mp4'},{row}" for row in ("0,9", "40,50", "20,60")]
    (tmp_path / "list.csv").write_text("\n".join(["path,start,stop", *rows]))
    good, outside, cut = recognizer(Sampling(4)).predict(tmp_path / "list.csv")
    assert (good.status, outside.status, cut.status) == ("ok", "truncated", "truncated")
    assert "30 frames decode, the sequence is from frame 40 to 50; mend the list or the file" in outside.error


def test_parts_of_features_are_answered_as_files_of_their_own(tmp_path):
    steps = np.random.default_rng(0).normal(0, 1, (9, 5)).astype("float32")
    np.save(tmp_path / "a.npy", steps)
    np.save(tmp_path / "b.npy", steps[2:6])
    (tmp_path / "list.csv").write_text(
        "path,start,stop,label\na.npy,2,6,left\nb.npy,,,left\na.npy,9,12,left\n"
    )
    features = FeaturePreprocessor(Sampling(4, "contiguous"), (5,))
    model = Recognizer(network("features", (5,)), CLASSES, features)
    part, whole, outside = model.predict(tmp_path / "list.csv")
    assert (part.labels, part.scores) == (whole.labels, whole.scores)
    assert outside.status == "truncated"
    assert outside.error == "it has 9 steps, the sequence is from step 9 to 12; mend the list or the file"
