"""The batches as a Grain dataset."""

import pickle
import sys

import keras
import numpy as np
import pytest

import trees
from keras_actrec.data import FeatureDataset, FollowEpoch, Sampling
from keras_actrec.errors import UserError

COUNT = 7


@pytest.fixture(scope="module")
def grain():
    return pytest.importorskip("grain", reason="needs Grain: pip install 'keras_actrec[grain]'")


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    arrays = [np.random.default_rng(number).normal(size=(9, 2)) for number in range(COUNT)]
    return trees.cached_features(folder, arrays, [number % 3 for number in range(COUNT)])


def dataset_of(features):
    return FeatureDataset(features, Sampling(4), batch_size=2, seed=5, training=True)


def assert_same(found, dataset, count=3):
    expected = []
    for _ in range(count):
        expected += [dataset[index] for index in range(len(dataset))]
        dataset.on_epoch_end()
    for (x, y), (other_x, other_y) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_grain_gives_the_batches_of_all_epochs_in_order(grain, features, threads):
    dataset = dataset_of(features)
    batches = dataset.to_grain(3).to_iter_dataset(grain.ReadOptions(num_threads=threads))
    assert_same(list(batches), dataset)


def test_a_grain_dataset_is_the_same_in_another_process(grain, features):
    dataset = dataset_of(features)
    assert_same(list(pickle.loads(pickle.dumps(dataset.to_grain(3)))), dataset)


def test_a_slice_begins_at_a_later_epoch(grain, features):
    dataset = dataset_of(features)
    later = dataset.to_grain(3)[len(dataset) :]
    dataset.epoch = 1
    assert_same(list(later), dataset, count=2)


def test_fit_trains_on_grain_as_on_the_dataset(grain, features):
    def fitted(x, **options):
        inputs = keras.Input((4, 2))
        outputs = keras.layers.Dense(3, kernel_initializer="zeros")(keras.layers.Flatten()(inputs))
        model = keras.Model(inputs, outputs)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x, epochs=3, shuffle=False, verbose=0, **options)
        return keras.ops.convert_to_numpy(model.weights[0].value)

    dataset = dataset_of(features)
    by_grain = fitted(dataset.to_grain(3), steps_per_epoch=len(dataset))
    kernel = fitted(dataset, callbacks=[FollowEpoch(dataset)])
    assert np.abs(kernel).max() > 1e-2
    np.testing.assert_allclose(by_grain, kernel, rtol=0, atol=1e-7)  # another order differs by over 1e-4


def test_without_grain_the_extra_is_named(features, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(UserError, match=r"`to_grain` needs Grain: pip install 'keras_actrec\[grain\]'"):
        dataset_of(features).to_grain(1)


def test_a_bad_number_of_epochs_is_named(features):
    with pytest.raises(
        UserError, match="`epochs` must be a whole number from 1 to 1000000. Received: epochs=0"
    ):
        dataset_of(features).to_grain(0)
