import csv
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_actrec import _backend
from keras_actrec.data import (
    ClipTransform,
    FeatureDataset,
    Sampling,
    VideoError,
    extract_features,
    index_videos,
    read_frames,
    read_manifest,
    write_synthetic,
)
from keras_actrec.errors import UserError

TRANSFORM = ClipTransform(32, crop="none")


def backbone(seed=0, name="tiny", width=4, scale=1 / 255):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(scale)(inputs)
    start = keras.initializers.RandomNormal(seed=seed)
    outputs = keras.layers.Conv2D(width, 8, strides=8, kernel_initializer=start)(x)
    return keras.Model(inputs, outputs, name=name)


@pytest.fixture
def indexed(tmp_path):
    """Three videos of 9 frames and one of 14."""
    write_synthetic(tmp_path / "set", clips_per_class=1, size=40, frames=9)
    write_synthetic(tmp_path / "long", clips_per_class=1, size=40, frames=14)
    os.replace(tmp_path / "long/move_up/move_up_000.mp4", tmp_path / "set/move_up/move_up_000.mp4")
    records = read_manifest(tmp_path / "set").records
    return index_videos(records[:4])[0]


class Calls:
    """Counts what goes through networks."""

    def __init__(self, monkeypatch):
        self.shapes = []
        predictor = _backend.predictor

        def counting(model):
            run = predictor(model)

            def counted(frames):
                self.shapes.append(frames.shape)
                return run(frames)

            return counted

        monkeypatch.setattr(_backend, "predictor", counting)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_the_features_are_what_the_network_gives_for_each_frame(indexed, tmp_path, stride, batch_size):
    model = backbone()
    pairs = extract_features(
        indexed, model, transform=TRANSFORM, out=tmp_path / "out", stride=stride, batch_size=batch_size
    )
    for (of, video), (record, info) in zip(pairs, indexed, strict=True):
        frames = TRANSFORM(read_frames(record.file)[::stride])
        expected = keras.ops.convert_to_numpy(model(frames.astype("float32")))
        stored = np.load(video.file, allow_pickle=False)
        assert stored.dtype == np.float16 and of == record
        assert video.frames == len(stored) == -(-info.frames // stride)
        np.testing.assert_array_equal(video.read(range(video.frames)), stored)
        np.testing.assert_allclose(stored, expected, rtol=1e-3, atol=1e-4)  # float16 has 11 bits


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [
        (16, [12, 12, 12, 16]),  # 9, 9, 9 and 14 frames
        (8, [8, 2, 8, 2, 8, 2, 8, 6]),
        (6, [6, 4, 6, 4, 6, 4, 6, 6, 2]),
        (100, [25, 25, 25, 25]),
        (1, [1] * 41),
    ],
)
def test_batches_do_not_cross_videos_and_have_four_sizes_at_most(
    indexed, tmp_path, monkeypatch, batch_size, sizes
):
    calls, model = Calls(monkeypatch), backbone()
    extract_features(indexed, model, transform=TRANSFORM, out=tmp_path / "out", batch_size=batch_size)
    assert sorted(calls.shapes) == sorted((size, 32, 32, 3) for size in sizes)


@pytest.mark.parametrize("batch_size", range(1, 70))
def test_no_batch_size_has_more_than_four_shapes(monkeypatch, batch_size):
    shapes = []

    def predict(network, batches):
        shapes.extend(len(batch) for batch in batches)
        return [batch[:, 0, 0, :1] for batch in batches]

    monkeypatch.setattr(_backend, "predict", predict)
    for frames in range(1, 2 * batch_size + 2):
        given = np.arange(frames, dtype="float32").reshape(-1, 1, 1, 1) * np.ones((1, 2, 2, 3), "float32")
        features = extract_features.__globals__["_run"](None, given, batch_size)
        np.testing.assert_array_equal(features, np.arange(frames)[:, None])
    assert max(shapes) == batch_size and len(set(shapes)) <= 4


def test_the_bytes_of_a_video_do_not_depend_on_the_others(indexed, tmp_path):
    model, alone = backbone(), []
    together = extract_features(indexed, model, transform=TRANSFORM, out=tmp_path / "all", batch_size=8)
    for number, pair in enumerate(reversed(indexed)):
        out = tmp_path / str(number)
        alone += extract_features([pair], model, transform=TRANSFORM, out=out, batch_size=8)
    for (_, video), (_, other) in zip(together, reversed(alone), strict=True):
        assert video.file.read_bytes() == other.file.read_bytes()
        assert video.file.with_suffix(".json").read_bytes() == other.file.with_suffix(".json").read_bytes()


def test_a_network_that_gives_vectors_is_stored_as_vectors(indexed, tmp_path):
    model = backbone()
    pooled = keras.Model(model.input, keras.layers.GlobalAveragePooling2D()(model.output), name="pooled")
    _, video = extract_features(indexed, pooled, transform=TRANSFORM, out=tmp_path / "out")[0]
    assert np.load(video.file).shape == video.shape == (9, 4)


def test_the_files_lie_below_the_key_by_the_content_of_the_video(indexed, tmp_path):
    pairs = extract_features(indexed, backbone(), transform=TRANSFORM, out=tmp_path / "out")
    for (record, _), (_, video) in zip(indexed, pairs, strict=True):
        key, two, name = video.file.relative_to(tmp_path / "out").parts
        assert key.startswith("tiny-") and len(key) == len("tiny-") + 16
        assert name == f"{hashlib.sha256(record.file.read_bytes()).hexdigest()}.npy" and two == name[:2]
    with open(tmp_path / "out" / key / "index.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [tmp_path / "out" / key / row["file"] for row in rows] == [video.file for _, video in pairs]
    assert [row["path"] for row in rows] == [record.path for record, _ in indexed]
    assert [int(row["steps"]) for row in rows] == [video.frames for _, video in pairs]


def test_sequences_of_a_file_have_their_own_entries(indexed, tmp_path):
    record = indexed[0][0]
    parts = [(None, 4), (4, None), (2, 6)]
    pairs = index_videos([replace(record, start=start, stop=stop) for start, stop in parts])[0]
    entries = extract_features(pairs, backbone(), transform=TRANSFORM, out=tmp_path / "out")
    (whole,) = extract_features(indexed[:1], backbone(), transform=TRANSFORM, out=tmp_path / "out")
    features = np.load(whole[1].file)
    for (_, video), (start, stop) in zip(entries, parts, strict=True):
        np.testing.assert_allclose(np.load(video.file), features[start:stop], rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(video.seconds, whole[1].seconds[start:stop])
    assert [video.file.name.split(".", 1)[1] for _, video in entries] == ["0-4.npy", "4-.npy", "2-6.npy"]


def test_what_is_there_is_used_again(indexed, tmp_path, monkeypatch):
    first = extract_features(indexed, backbone(), transform=TRANSFORM, out=tmp_path / "out")
    again = backbone()  # the same weights in another object, as in another process
    calls, seen = Calls(monkeypatch), []
    second = extract_features(
        indexed, again, transform=TRANSFORM, out=tmp_path / "out", progress=lambda *p: seen.append(p)
    )
    assert first == second and calls.shapes == [] and seen == [(4, 4)]


def test_a_changed_video_is_extracted_again(indexed, tmp_path):
    out, model = tmp_path / "out", backbone()
    before = extract_features(indexed, model, transform=TRANSFORM, out=out)
    os.replace(indexed[2][0].file, indexed[1][0].file)  # 14 frames where there were 9, or the other way round
    after = extract_features(indexed[:2], model, transform=TRANSFORM, out=out)
    assert after[0] == before[0] and after[1][1] == before[2][1] != before[1][1]


@pytest.mark.parametrize(
    "change",
    [
        {"model": lambda: backbone(seed=1)},
        {"model": lambda: backbone(name="other")},
        {"transform": ClipTransform(32)},
        {"transform": ClipTransform(32, crop="none", shrink=36)},
        {"stride": 2},
    ],
)
def test_another_network_size_or_stride_has_its_own_files(indexed, tmp_path, change):
    usual = {"model": backbone, "transform": TRANSFORM, "stride": 1}
    folders = set()
    for arguments in (usual, {**usual, **change}):
        model, others = arguments["model"](), {k: v for k, v in arguments.items() if k != "model"}
        _, video = extract_features(indexed[:1], model, out=tmp_path / "out", **others)[0]
        folders.add(video.file.relative_to(tmp_path / "out").parts[0])
    assert len(folders) == 2


def test_what_changes_no_feature_reads_the_same_entries(indexed, tmp_path, monkeypatch):
    usual, model = ClipTransform(32), backbone()
    first = extract_features(indexed, model, transform=usual, out=tmp_path / "out")
    calls = Calls(monkeypatch)
    for change in (
        {"flip": True, "swap": ((0, 1),), "brightness": 0.2, "contrast": 0.2, "saturation": 0.2},
        {"crop": "random"},
        {"crop": "multiscale", "num_crops": 3},
        {"short_side": 36},  # the default, 32 * 256 // 224
    ):
        arguments = {"transform": replace(usual, **change), "batch_size": 5, "workers": 1}
        assert extract_features(indexed, model, out=tmp_path / "out", **arguments) == first
    assert calls.shapes == []


def test_an_interrupted_call_leaves_whole_files_and_the_next_one_goes_on(indexed, tmp_path, monkeypatch):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    out, model = tmp_path / "out", backbone()
    with pytest.raises(KeyboardInterrupt):
        extract_features(indexed, model, transform=TRANSFORM, out=out, batch_size=4, progress=stop)
    assert len(list(out.rglob("*.npy"))) == 2 and not list(out.rglob(".part-*"))
    seen = []
    extract_features(indexed, model, transform=TRANSFORM, out=out, progress=lambda *p: seen.append(p))
    assert seen == [(2, 4), (3, 4), (4, 4)]


def test_the_features_come_back_through_the_dataset(indexed, tmp_path):
    pairs = extract_features(indexed, backbone(), transform=TRANSFORM, out=tmp_path / "out", stride=2)
    x, y = FeatureDataset(pairs, Sampling(3), batch_size=4)[0]
    assert x.shape == (4, 3, 4, 4, 4)
    np.testing.assert_array_equal(
        x[0], np.load(pairs[0][1].file)[[0, 2, 4]]
    )  # middles of 5 steps in 3 segments
    assert y.tolist() == [record.label for record, _ in indexed]


def test_features_beyond_float16_are_refused(indexed, tmp_path):
    loud = backbone(scale=1e6)
    with pytest.raises(UserError, match="tiny gives features beyond float16"):
        extract_features(indexed, loud, transform=TRANSFORM, out=tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.npy"))


def test_a_bad_video_is_named(indexed, tmp_path):
    Path(indexed[2][0].file).write_bytes(b"")
    with pytest.raises(VideoError, match="zero bytes"):
        extract_features(indexed, backbone(), transform=TRANSFORM, out=tmp_path / "out")


@pytest.mark.parametrize("name", ["stride", "batch_size", "workers"])
def test_a_bad_argument_is_named(tmp_path, name):
    with pytest.raises(UserError, match=f"`{name}` must be a whole number from 1 to .*. Received: {name}=0"):
        extract_features([], backbone(), transform=TRANSFORM, out=tmp_path, **{name: 0})


DRILL = """
import sys
from pathlib import Path
import keras
import numpy as np
from keras_actrec.data import ClipTransform, Record, extract_features, index_videos

def network():
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 8, strides=8)(inputs), name="tiny")
    model.set_weights([np.random.default_rng(0).normal(size=w.shape) / 255 for w in model.weights])
    return model

def extract(folder, out, progress, batch_size=4):
    files = sorted(Path(folder).rglob("*.mp4"))
    indexed = index_videos([Record(file, file.name, 0) for file in files])[0]
    how = {"transform": ClipTransform(32, crop="none"), "batch_size": batch_size, "progress": progress}
    return extract_features(indexed, network(), out=out, **how)
"""
CHILD = """
import time

class Slow(keras.Model):
    def predict_on_batch(self, x):
        time.sleep(0.03)
        return super().predict_on_batch(x)

keras.Model = Slow
extract(sys.argv[1], sys.argv[2], lambda done, total: print(done, flush=True))
"""


@pytest.mark.once
def test_a_killed_call_goes_on_and_ends_with_the_same_bytes(tmp_path, kill_at):
    write_synthetic(tmp_path / "set", clips_per_class=1, size=32, frames=14)
    kill_at("3", DRILL + CHILD, tmp_path / "set", tmp_path / "out")
    (folder,) = (tmp_path / "out").glob("tiny-*")
    whole = {path: path.stat().st_mtime_ns for path in folder.glob("*/*.json")}
    whole |= {path.with_suffix(".npy"): path.with_suffix(".npy").stat().st_mtime_ns for path in whole}
    assert len(whole) in (6, 8)  # the fourth may have been ended

    drill, seen = {}, []
    exec(DRILL, drill)
    pairs = drill["extract"](tmp_path / "set", tmp_path / "out", lambda *p: seen.append(p[0]))
    assert seen == list(range(len(whole) // 2, 11)) and len(pairs) == 10
    assert {path: path.stat().st_mtime_ns for path in whole} == whole
    drill["extract"](tmp_path / "set", tmp_path / "once", None)
    again, once = (
        {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in (tmp_path / "out", tmp_path / "once")
    )
    assert {name: data for name, data in again.items() if ".part-" not in name} == once
