import traceback
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest

from keras_actrec.data import (
    ClipDataset,
    ClipTransform,
    FeatureDataset,
    FollowEpoch,
    Record,
    Sampling,
    SkeletonDataset,
    SkeletonTransform,
    VideoError,
    VideoInfo,
    clip_rng,
    index_videos,
    raising_failures,
)
from keras_actrec.data.cache import fill
from keras_actrec.errors import UserError

COUNT = 11
LENGTH = 20
DRAWN = ClipTransform(16, short_side=20, crop="random", flip=True)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Videos of 20 frames whose gray is ten times the number of the frame."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(COUNT):
        writer = cv2.VideoWriter(str(folder / f"{number}.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
        for step in range(LENGTH):
            frame = np.full((24, 32, 3), 10 * step, "uint8")
            frame[:, : 2 + number] += 5  # tells the videos, and left from right, apart
            writer.write(frame)
        writer.release()
    records = [Record(folder / f"{number}.avi", f"{number}.avi", number) for number in range(COUNT)]
    return index_videos(records)[0]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Feature files of 5 to 15 steps; a value is 100 times the number of the file plus that of the step."""
    folder = tmp_path_factory.mktemp("features")
    indexed = []
    for number in range(COUNT):
        (folder / f"{number}.avi").write_text(str(number))
        record = Record(folder / f"{number}.avi", f"{number}.avi", number % 4)
        indexed.append((record, VideoInfo(5 + number, 5 + number, 10, 32, 24)))

    def make(record, info):
        values = 100 * int(record.file.stem) + np.arange(info.frames)
        steps = np.broadcast_to(values[:, None, None, None], (info.frames, 2, 2, 3))
        return np.ascontiguousarray(steps, "float16"), [0.0] * info.frames

    options = {"audit": None, "workers": 1, "index": None, "progress": None}
    return fill(indexed, make, out=folder / "out", name="features", about=(), **options)


def epochs(dataset, count=3):
    """All batches of some epochs, read as a loop without Keras reads them."""
    batches = []
    for _ in range(count):
        batches += [dataset[index] for index in range(len(dataset))]
        dataset.on_epoch_end()
    return batches


def assert_same(first, second):
    assert len(first) == len(second)
    for (x, y), (other_x, other_y) in zip(first, second, strict=True):
        np.testing.assert_array_equal(y, other_y)
        np.testing.assert_array_equal(x, other_x)


def test_a_batch_has_the_frames_of_the_sampling_and_the_labels_in_order(videos):
    dataset = ClipDataset(videos, Sampling(5), ClipTransform(24, short_side=24), batch_size=4)
    batches = epochs(dataset, 1)
    assert [x.shape for x, _ in batches] == [(4, 5, 24, 24, 3)] * 2 + [(3, 5, 24, 24, 3)]
    assert all(x.dtype == np.uint8 and y.dtype == np.int32 for x, y in batches)
    assert np.concatenate([y for _, y in batches]).tolist() == list(range(COUNT))
    for x, _ in batches:  # the middles of five segments of four frames
        gray = x[:, :, :, -8:].mean(axis=(2, 3, 4))
        np.testing.assert_allclose(gray, np.tile([20, 60, 100, 140, 180], (len(x), 1)), atol=3)


def test_a_masked_batch_is_named_as_the_models_name_their_inputs(videos, features):
    sampling = Sampling(12, "contiguous")
    x, _ = ClipDataset(videos, sampling, ClipTransform(16), batch_size=2, masked=True)[0]
    assert list(x) == ["clip", "mask"] and x["mask"].all()
    x, y = FeatureDataset(features, sampling, batch_size=2, masked=True)[0]
    assert list(x) == ["features", "mask"]
    assert x["mask"].dtype == bool and x["mask"].sum(axis=1).tolist() == [5, 6]
    assert x["features"][1, :, 0, 0, 0].tolist() == [100, 101, 102, 103, 104, 105] + [105] * 6
    assert x["features"].dtype == np.float16 and x["features"].shape == (2, 12, 2, 2, 3)
    assert y.tolist() == [0, 1]


WORKERS = [{"workers": 0}, {"workers": 1}, {"workers": 4}, {"workers": 2, "processes": True}]


@pytest.mark.parametrize("workers", WORKERS[1:])
def test_workers_change_no_batch(videos, features, workers):
    options = {"batch_size": 2, "seed": 3, "training": True}

    def clips(**workers):
        return epochs(ClipDataset(videos, Sampling(4), DRAWN, **options, **workers))

    assert_same(clips(), clips(**workers))

    def steps(**workers):
        return epochs(FeatureDataset(features, Sampling(4), **options, **workers))

    assert_same(steps(), steps(**workers))


@pytest.mark.parametrize("workers", WORKERS)
def test_the_same_bytes_reach_a_network_whatever_the_workers(videos, workers):
    options = {"batch_size": 2, "seed": 3, "training": True}
    inputs = keras.Input((4, 16, 16, 3), dtype="uint8")
    network = keras.Model(inputs, keras.ops.cast(inputs, "int32"))  # gives what it gets
    dataset = ClipDataset(videos, Sampling(4), DRAWN, **options, **workers)
    plain = ClipDataset(videos, Sampling(4), DRAWN, **options)
    for epoch in range(3):
        expected = np.concatenate([x for x, _ in epochs(plain, 1)])
        begin = keras.callbacks.LambdaCallback(
            on_predict_begin=lambda logs, epoch=epoch: setattr(dataset, "epoch", epoch)
        )
        found = network.predict(dataset, verbose=0, callbacks=[begin])
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("workers", [0, 4])
def test_a_batch_made_ahead_is_not_used_in_the_next_epoch(features, workers):
    arguments = {"batch_size": 2, "seed": 1, "training": True}
    dataset = FeatureDataset(features, Sampling(4), workers=workers, **arguments)
    dataset[0]  # and threads make batches 1 and 2
    dataset.on_epoch_end()
    fresh = FeatureDataset(features, Sampling(4), **arguments)
    fresh.epoch = 1
    assert_same([dataset[index] for index in (1, 2, 0, 5)], [fresh[index] for index in (1, 2, 0, 5)])


def test_each_item_comes_once_an_epoch_in_another_order(features):
    dataset = FeatureDataset(features, Sampling(1), batch_size=4, training=True)
    batches = epochs(dataset, 2)
    files = [x[:, 0, 0, 0, 0] // 100 for x, _ in batches]
    first, second = np.concatenate(files[:3]), np.concatenate(files[3:])
    assert sorted(first) == sorted(second) == list(range(COUNT))
    assert first.tolist() != second.tolist() and first.tolist() != list(range(COUNT))


def test_what_is_drawn_depends_on_seed_epoch_and_place_of_the_item(features):
    sampling = Sampling(4)
    dataset = FeatureDataset(features, sampling, batch_size=3, seed=7, training=True)
    dataset.epoch = 5
    for index in range(len(dataset)):
        for steps in dataset[index][0][..., 0, 0, 0]:
            place = int(steps[0]) // 100
            expected, _ = sampling.indices(5 + place, clip_rng(7, 5, place))
            np.testing.assert_array_equal(steps - 100 * place, expected)


def test_without_training_every_epoch_is_the_same(videos):
    dataset = ClipDataset(videos, Sampling(4), DRAWN, batch_size=4, workers=2)
    batches = epochs(dataset, 2)
    assert_same(batches[:3], batches[3:])


def test_a_mirrored_clip_has_the_swapped_label(videos):
    # the left columns are lighter; video 0 and 1, 2 and 3, ... swap
    swap = tuple((label, label + 1) for label in range(0, 10, 2))
    transform = ClipTransform(24, crop="none", flip=True, swap=swap)
    dataset = ClipDataset(videos, Sampling(2), transform, batch_size=1, training=True)
    plain = ClipDataset(videos, Sampling(2), ClipTransform(24, crop="none"), batch_size=1, training=True)
    seen = []
    for (x, (label,)), (_, (true,)) in zip(epochs(dataset, 2), epochs(plain, 2), strict=True):
        mirrored = x[..., -1, :].mean() > x[..., 12, :].mean() + 1
        assert label == (true if true == 10 or not mirrored else true ^ 1)
        seen.append(mirrored)
    assert 4 < sum(seen) < 18


def linear(features):
    inputs = keras.Input((4, 2, 2, 3), name="features")
    outputs = keras.layers.Dense(4, kernel_initializer="zeros")(keras.layers.Flatten()(inputs / 1000))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def weights(model):
    return [keras.ops.convert_to_numpy(weight.value) for weight in model.weights]


@pytest.mark.parametrize("workers", WORKERS)
def test_fit_trains_on_the_batches_of_epochs_0_1_and_2_in_order(features, workers):
    arguments = {"batch_size": 2, "seed": 2, "training": True}
    fitted = linear(features)
    dataset = FeatureDataset(features, Sampling(4), **arguments, **workers)
    fitted.fit(dataset, epochs=3, shuffle=False, verbose=0, callbacks=[FollowEpoch(dataset)])

    by_hand = linear(features)
    for x, y in epochs(FeatureDataset(features, Sampling(4), **arguments)):
        by_hand.train_on_batch(x, y)
    assert np.abs(weights(fitted)[0]).max() > 1e-3
    for weight, expected in zip(weights(fitted), weights(by_hand), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-7)  # another order differs by over 1e-3


def test_a_resumed_fit_goes_on_with_the_epoch_it_stands_at(features):
    arguments = {"batch_size": 4, "training": True}
    whole, halves = linear(features), linear(features)
    for model, spans in ((whole, [(0, 3)]), (halves, [(0, 1), (1, 3)])):
        for first, last in spans:
            dataset = FeatureDataset(features, Sampling(4), **arguments)
            callbacks = [FollowEpoch(dataset)]
            model.fit(
                dataset, initial_epoch=first, epochs=last, shuffle=False, verbose=0, callbacks=callbacks
            )
    np.testing.assert_allclose(weights(halves)[0], weights(whole)[0], rtol=0, atol=1e-7)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_fails_is_named(videos, tmp_path, workers):
    bad = tmp_path / "bad.avi"
    bad.write_bytes(b"x" * 1000)
    items = [*videos[:2], (Record(bad, "bad.avi", 0), videos[0][1])]
    dataset = ClipDataset(items, Sampling(4), ClipTransform(16), batch_size=1, workers=workers)
    dataset[0], dataset[1]
    with pytest.raises(VideoError, match="bad.avi: OpenCV cannot open it"):
        dataset[2]


@pytest.fixture
def failing(videos, tmp_path):
    """A dataset whose last batch is a file that does not decode, and a network for it."""
    bad = tmp_path / "bad.avi"
    bad.write_bytes(b"x" * 1000)
    items = [*videos[:5], (Record(bad, "bad.avi", 0), videos[0][1])]
    dataset = ClipDataset(items, Sampling(4), ClipTransform(16), batch_size=1, workers=2)
    inputs = keras.Input((4, 16, 16, 3))
    model = keras.Model(inputs, keras.layers.Dense(8)(keras.layers.GlobalAveragePooling3D()(inputs)))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return dataset, model


def chain_of(error):
    return "".join(traceback.format_exception(error))


def test_a_file_that_fails_in_fit_is_named_logged_and_kept(failing, caplog):
    dataset, model = failing
    assert dataset.failure is None
    with pytest.raises(Exception) as caught:  # noqa: B017  (each backend raises its own)
        model.fit(dataset, shuffle=False, verbose=0)
    assert "bad.avi: OpenCV cannot open it" in chain_of(caught.value)
    assert isinstance(dataset.failure, VideoError) and dataset.failure.path.name == "bad.avi"
    (line,) = [line for line in caplog.records if line.name == "keras_actrec"]
    assert line.levelname == "ERROR" and line.getMessage() == str(dataset.failure)


def test_fit_raises_the_failure_itself_where_that_is_asked_for(failing):
    dataset, model = failing
    with pytest.raises(VideoError, match="bad.avi: OpenCV cannot open it") as caught:
        with raising_failures(dataset):
            model.fit(dataset, shuffle=False, verbose=0)
    assert caught.value is dataset.failure and "UnknownError" not in chain_of(caught.value)


def test_raising_failures_lets_other_errors_and_older_failures_be(failing):
    dataset, _ = failing
    with pytest.raises(VideoError):
        dataset[5]
    error = RuntimeError("another")
    with pytest.raises(RuntimeError) as caught, raising_failures(dataset):
        raise error
    assert caught.value is error and dataset.failure is None
    with raising_failures(dataset):
        dataset[0]


def reading(error):
    """A dataset of one skeleton whose reader raises."""

    def read(record):
        raise error

    return SkeletonDataset([(Record("/made/up", "up", 0), read)], SkeletonTransform())


@pytest.mark.parametrize(
    "error, message",
    [
        (PermissionError(13, "denied"), r"^/made/up: PermissionError: \[Errno 13\] denied$"),
        (KeyError("two\nlines"), r"^/made/up: KeyError: .*two.*lines.*$"),
        (cv2.error("no"), "^/made/up: error: no$"),
        (UserError("`joints` are wrong"), "^/made/up: `joints` are wrong$"),
    ],
)
def test_any_error_over_an_item_becomes_one_line_that_names_its_file(error, message):
    dataset = reading(error)
    with pytest.raises(UserError, match=message) as caught:
        dataset[0]
    assert "\n" not in str(caught.value)
    assert dataset.failure is caught.value and caught.value.__cause__ is error


def test_an_error_that_names_the_file_already_stays_as_it_is():
    error = UserError("/made/up: wrong")
    with pytest.raises(UserError) as caught:
        reading(error)[0]
    assert caught.value is error


def test_items_of_other_shapes_are_named(tmp_path):
    def read(record):
        return np.ones((4, 1 + record.label, 3, 3))

    items = [(Record(f"/made/{label}", str(label), label), read) for label in (0, 0, 1)]
    with pytest.raises(UserError, match=r"^/made/1: its shape is \(5, 18\), that of /made/0 is \(5, 9\)"):
        SkeletonDataset(items, SkeletonTransform(5))[0]


def test_a_missing_feature_file_is_named(features, tmp_path):
    record, video = features[0]
    dataset = FeatureDataset([(record, replace(video, file=tmp_path / "gone.npy"))], Sampling(4))
    with pytest.raises(UserError, match="gone.npy .of 0.avi.: it cannot be read .*; mend that and run again"):
        dataset[0]


def test_a_batch_that_is_not_there_is_an_index_error(features):
    dataset = FeatureDataset(features, Sampling(4), batch_size=4)
    assert len(dataset) == 3 and len(list(dataset)) == 3
    with pytest.raises(IndexError, match="`index` must be below 3, the number of batches. Received: index=3"):
        dataset[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"items": []}, "`items` must hold at least one video"),
        ({"batch_size": 0}, "`batch_size` must be a whole number from 1 to 65536. Received: batch_size=0"),
        ({"seed": -1}, "`seed` must be a whole number from 0 to 4294967295. Received: seed=-1"),
        ({"workers": -1}, "`workers` must be a whole number from 0 to 1024. Received: workers=-1"),
    ],
)
def test_a_bad_argument_is_named(features, arguments, message):
    with pytest.raises(UserError, match=message):
        FeatureDataset(**{"items": features, "sampling": Sampling(4), **arguments})
