"""Batches of clips of one length each: which clip goes where, and in which order."""

import functools

import keras
import numpy as np
import pytest

import trees
from keras_actrec.data import (
    ClipDataset,
    ClipTransform,
    FeatureDataset,
    FollowEpoch,
    Record,
    Sampling,
    SkeletonDataset,
    SkeletonTransform,
    VideoInfo,
    clip_rng,
    read_skeleton,
    write_pose,
)
from keras_actrec.errors import UserError

COUNT = 21
BUCKETS = (6, 9, 12)
HOLDS = {6: {5, 6}, 9: {7, 8, 9}, 12: {10, 11}}  # number of steps of the items of each bucket


def steps_of(place):
    """Number of steps of an item: 5 to 11, three items each."""
    return 5 + place % 7


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Feature files; a value is 100 times the number of the file plus that of the step."""
    folder = tmp_path_factory.mktemp("features")
    arrays = [
        np.repeat((100 * place + np.arange(steps_of(place)))[:, None], 2, axis=1) for place in range(COUNT)
    ]
    return trees.cached_features(folder, arrays, [place % 4 for place in range(COUNT)])


def dataset_of(features, **options):
    arguments = {"batch_size": 4, "training": True, "buckets": BUCKETS, **options}
    return FeatureDataset(features, Sampling(99, "contiguous"), **arguments)


def epochs(dataset, count=3):
    batches = []
    for _ in range(count):
        batches += [dataset[index] for index in range(len(dataset))]
        dataset.on_epoch_end()
    return batches


def places_of(x):
    return (x[:, 0, 0] // 100).astype(int).tolist()


def assert_same(first, second):
    for (x, y), (other_x, other_y) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)


@pytest.mark.parametrize("training", [False, True])
def test_a_batch_holds_clips_that_just_fit_its_length(features, training):
    dataset = dataset_of(features, training=training)
    for x, _ in epochs(dataset):
        assert {steps_of(place) for place in places_of(x)} <= HOLDS[x.shape[1]]


def test_what_fits_nowhere_goes_into_the_largest_bucket(features):
    x, _ = dataset_of(features, training=False, buckets=(3, 4))[0]
    assert x.shape == (4, 4, 2)


@pytest.mark.parametrize("training", [False, True])
def test_an_epoch_has_every_item_once(features, training):
    dataset = dataset_of(features, training=training)
    assert len(dataset) == 2 + 3 + 2  # 6, 9 and 6 items, 4 a batch
    for _ in range(3):
        places = [place for index in range(len(dataset)) for place in places_of(dataset[index][0])]
        assert sorted(places) == list(range(COUNT))
        dataset.on_epoch_end()


def test_an_epoch_has_at_most_two_shapes_a_bucket(features):
    assert {x.shape for x, _ in epochs(dataset_of(features))} == {
        (4, 6, 2),
        (2, 6, 2),
        (4, 9, 2),
        (1, 9, 2),
        (4, 12, 2),
        (2, 12, 2),
    }


def test_the_first_two_batches_of_an_epoch_have_different_lengths(features):
    for training in (False, True):
        dataset = dataset_of(features, training=training)
        for _ in range(30):
            assert dataset[0][0].shape[1] != dataset[1][0].shape[1]
            dataset.on_epoch_end()


def test_buckets_and_items_are_shuffled_anew_in_each_epoch(features):
    dataset = dataset_of(features)
    lengths, places = set(), set()
    for _ in range(5):
        batches = [dataset[index][0] for index in range(len(dataset))]
        lengths.add(tuple(x.shape[1] for x in batches))
        places.add(tuple(place for x in batches for place in places_of(x)))
        dataset.on_epoch_end()
    assert len(lengths) >= 4 and len(places) == 5
    assert any(list(order) != sorted(order) for order in lengths)


def test_without_training_the_buckets_come_in_turn_but_for_the_second_batch(features):
    dataset = dataset_of(features, training=False)
    assert [x.shape[1] for x, _ in epochs(dataset, 1)] == [6, 9, 6, 9, 9, 12, 12]
    assert_same(epochs(dataset, 1), epochs(dataset_of(features, training=False), 1))


def test_item_indices_tell_which_items_a_batch_holds(features):
    dataset = dataset_of(features)
    dataset.epoch = 3
    for index in range(len(dataset)):
        x, y = dataset[index]
        assert dataset.item_indices(index) == places_of(x)
        assert y.tolist() == [place % 4 for place in dataset.item_indices(index)]


def test_what_is_drawn_depends_on_seed_epoch_and_place(features):
    dataset = dataset_of(features, seed=7, buckets=(3, 5))  # shorter than all, so that there is a choice
    dataset.epoch = 5
    for index in range(len(dataset)):
        x, _ = dataset[index]
        sampling = Sampling(5, "contiguous")
        for clip, place in zip(x, places_of(x), strict=True):
            expected, _ = sampling.indices(steps_of(place), clip_rng(7, 5, place))
            np.testing.assert_array_equal(clip[:, 0] - 100 * place, expected)


@pytest.mark.parametrize("workers", [1, 4])
def test_threads_change_no_batch(features, workers):
    assert_same(epochs(dataset_of(features)), epochs(dataset_of(features, workers=workers)))


def test_a_single_bucket_changes_nothing(features):
    plain = FeatureDataset(features, Sampling(8, "contiguous"), batch_size=4, training=True)
    assert_same(epochs(dataset_of(features, buckets=[8])), epochs(plain))


def test_the_length_of_a_clip_counts_every_and_stride(tmp_path):
    # 20 frames: 0, 6, 12 and 18 are what is left of every third one in steps of two
    items = [
        (Record(tmp_path / "a.avi", "a.avi", 0), VideoInfo(frames, frames, 10.0, 8, 8)) for frames in (18, 20)
    ]
    sampling = Sampling(1, "contiguous", stride=2, frame_step=3)
    dataset = ClipDataset(items, sampling, ClipTransform(8), batch_size=2, buckets=(3, 4))
    assert [dataset.item_indices(index) for index in range(2)] == [[0], [1]]
    for frames, steps in ((18, 3), (20, 4)):
        bucket = Sampling(steps, "contiguous", stride=2, frame_step=3)
        indices, mask = bucket.indices(frames)
        assert mask.all() and np.array_equal(indices, np.arange(steps) * 6)


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skeletons")
    items = []
    for place, steps in enumerate((4, 12, 7, 5, 20)):
        file = folder / f"{place}.npz"
        write_pose(file, np.full((steps, 1, 2, 3), place + 1.0, "float32"))
        items.append((Record(file, file.name, place), functools.partial(read_skeleton, "poses")))
    return items


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"workers": 2, "processes": True}])
def test_the_length_of_a_skeleton_sequence_is_read(skeletons, options):
    transform = SkeletonTransform(center=None)
    dataset = SkeletonDataset(skeletons, transform, batch_size=2, buckets=(5, 10), masked=True, **options)
    batches = epochs(dataset, 1)
    assert [dataset.item_indices(index) for index in range(3)] == [[0, 3], [1, 2], [4]]
    assert [x["features"].shape for x, _ in batches] == [(2, 5, 6), (2, 10, 6), (1, 10, 6)]
    assert [x["mask"].sum(axis=1).tolist() for x, _ in batches] == [[4, 5], [10, 7], [10]]


def test_a_skeleton_file_that_fails_is_named_when_its_length_is_read(skeletons, tmp_path):
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"x" * 100)
    items = [*skeletons, (Record(bad, "bad.npz", 0), skeletons[0][1])]
    with pytest.raises(UserError, match="bad.npz"):
        SkeletonDataset(items, SkeletonTransform(), buckets=(5, 10))


def test_a_network_of_any_length_is_trained_on_all_buckets(features):
    inputs, mask = keras.Input((None, 2), name="features"), keras.Input((None,), dtype="bool", name="mask")
    pooled = keras.layers.GlobalAveragePooling1D()(inputs / 1000, mask=mask)
    model = keras.Model({"features": inputs, "mask": mask}, keras.layers.Dense(4)(pooled))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    dataset = dataset_of(features, masked=True, workers=2)
    history = model.fit(dataset, epochs=3, shuffle=False, verbose=0, callbacks=[FollowEpoch(dataset)]).history
    assert np.isfinite(history["loss"]).all()
    held = dataset_of(features, masked=True, training=False)
    assert model.predict(held, verbose=0).shape == (COUNT, 4)


@pytest.mark.parametrize("buckets", [(), (0, 4), (4, 4), (8, 4)])
def test_bad_buckets_are_refused(features, buckets):
    with pytest.raises(UserError, match=r"`buckets` must be numbers of steps from 1 on, ascending. Received"):
        dataset_of(features, buckets=buckets)
