import os
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_actrec.data import (
    ClipTransform,
    FeatureDataset,
    Record,
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
    """Counts what goes through a model."""

    def __init__(self, monkeypatch, model):
        self.shapes = []
        run = model.predict_on_batch

        def counted(frames):
            self.shapes.append(frames.shape)
            return run(frames)

        monkeypatch.setattr(model, "predict_on_batch", counted)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_the_features_are_what_the_network_gives_for_each_frame(indexed, tmp_path, stride, batch_size):
    model = backbone()
    items = extract_features(
        indexed, model, transform=TRANSFORM, out=tmp_path / "out", stride=stride, batch_size=batch_size
    )
    for item, (record, info) in zip(items, indexed, strict=True):
        frames = TRANSFORM(read_frames(record.file)[::stride])
        expected = keras.ops.convert_to_numpy(model(frames.astype("float32")))
        stored = np.load(item.file)
        assert stored.dtype == np.float16 and item.record == record
        assert item.frames == len(stored) == -(-info.frames // stride)
        np.testing.assert_allclose(stored, expected, rtol=1e-3, atol=1e-4)  # float16 has 11 bits


def test_every_batch_has_the_same_size_and_only_the_last_is_filled_up(indexed, tmp_path, monkeypatch):
    model = backbone()
    calls = Calls(monkeypatch, model)
    extract_features(indexed, model, transform=TRANSFORM, out=tmp_path / "out", batch_size=16)
    assert sum(info.frames for _, info in indexed) == 41
    assert calls.shapes == [(16, 32, 32, 3)] * 3


def test_a_network_that_gives_vectors_is_stored_as_vectors(indexed, tmp_path):
    model = backbone()
    pooled = keras.Model(model.input, keras.layers.GlobalAveragePooling2D()(model.output), name="pooled")
    item = extract_features(indexed, pooled, transform=TRANSFORM, out=tmp_path / "out")[0]
    assert np.load(item.file).shape == (9, 4)


def test_the_files_lie_below_the_key_by_the_path_of_the_video(indexed, tmp_path):
    items = extract_features(indexed, backbone(), transform=TRANSFORM, out=tmp_path / "out")
    key = items[0].file.relative_to(tmp_path / "out").parts[0]
    assert key.startswith("tiny-")
    assert items[0].file == tmp_path / "out" / key / "move_right/move_right_000.mp4.npy"
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_video_outside_the_folder_has_its_features_inside(indexed, tmp_path):
    records = [
        Record(indexed[0][0].file, str(indexed[0][0].file), 0),
        Record(indexed[1][0].file, "../x/clip.mp4", 1),
        Record(indexed[2][0].file, "../y/clip.mp4", 1),
    ]
    pairs = [(record, info) for record, (_, info) in zip(records, indexed, strict=False)]
    items = extract_features(pairs, backbone(), transform=TRANSFORM, out=tmp_path / "out")
    assert len({item.file for item in items}) == 3
    assert all((tmp_path / "out").resolve() in item.file.resolve().parents for item in items)


def test_what_is_there_is_used_again(indexed, tmp_path, monkeypatch):
    first = extract_features(indexed, backbone(), transform=TRANSFORM, out=tmp_path / "out")
    again = backbone()  # the same weights in another object, as in another process
    calls, seen = Calls(monkeypatch, again), []
    second = extract_features(
        indexed, again, transform=TRANSFORM, out=tmp_path / "out", progress=lambda *p: seen.append(p)
    )
    assert first == second and calls.shapes == [] and seen == [(4, 4)]


def test_a_changed_video_is_extracted_again(indexed, tmp_path, monkeypatch):
    out, model = tmp_path / "out", backbone()
    before = extract_features(indexed, model, transform=TRANSFORM, out=out)
    os.replace(indexed[2][0].file, indexed[1][0].file)  # 14 frames where there were 9
    after = extract_features(indexed[:2], model, transform=TRANSFORM, out=out)
    assert after[0] == before[0] and (before[1].frames, after[1].frames) == (9, 14)
    stamp = indexed[0][0].file.stat()
    os.utime(indexed[0][0].file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1_000_000_000))
    calls = Calls(monkeypatch, model)
    extract_features(indexed[:2], model, transform=TRANSFORM, out=out)
    assert len(calls.shapes) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"model": lambda: backbone(seed=1)},
        {"model": lambda: backbone(name="other")},
        {"transform": ClipTransform(32)},
        {"stride": 2},
    ],
)
def test_another_network_size_or_stride_has_its_own_files(indexed, tmp_path, change):
    usual = {"model": backbone, "transform": TRANSFORM, "stride": 1}
    folders = set()
    for arguments in (usual, {**usual, **change}):
        model, others = arguments["model"](), {k: v for k, v in arguments.items() if k != "model"}
        item = extract_features(indexed[:1], model, out=tmp_path / "out", **others)[0]
        folders.add(item.file.relative_to(tmp_path / "out").parts[0])
    assert len(folders) == 2


def test_an_interrupted_call_leaves_whole_files_and_the_next_one_goes_on(indexed, tmp_path, monkeypatch):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    out, model = tmp_path / "out", backbone()
    with pytest.raises(KeyboardInterrupt):
        extract_features(indexed, model, transform=TRANSFORM, out=out, batch_size=4, progress=stop)
    assert len(list(out.rglob("*.npy"))) == 2 and not list(out.rglob("*.part"))
    seen = []
    extract_features(indexed, model, transform=TRANSFORM, out=out, progress=lambda *p: seen.append(p))
    assert seen == [(2, 4), (3, 4), (4, 4)]


def test_a_file_without_its_stamp_is_not_trusted(indexed, tmp_path, monkeypatch):
    model = backbone()
    item = extract_features(indexed[:1], model, transform=TRANSFORM, out=tmp_path / "out")[0]
    item.file.with_suffix(".json").unlink()
    calls = Calls(monkeypatch, model)
    extract_features(indexed[:1], model, transform=TRANSFORM, out=tmp_path / "out")
    assert len(calls.shapes) == 1


def test_the_features_come_back_through_the_dataset(indexed, tmp_path):
    items = extract_features(indexed, backbone(), transform=TRANSFORM, out=tmp_path / "out", stride=2)
    x, y = FeatureDataset(items, Sampling(3), batch_size=4)[0]
    assert x.shape == (4, 3, 4, 4, 4)
    np.testing.assert_array_equal(x[0], np.load(items[0].file)[[0, 2, 4]])  # middles of 5 steps in 3 segments
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


@pytest.mark.parametrize("name", ["stride", "batch_size"])
def test_a_bad_argument_is_named(tmp_path, name):
    with pytest.raises(UserError, match=f"`{name}` must be at least 1. Received: {name}=0"):
        extract_features([], backbone(), transform=TRANSFORM, out=tmp_path, **{name: 0})
