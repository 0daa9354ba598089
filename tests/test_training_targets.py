"""Labels as a learner answers, weights, and mixtures of two samples."""

import numpy as np
import pytest

import trees
from checks import close
from keras_actrec import training
from keras_actrec.training import tables
from keras_actrec.training.fit import _measures
from keras_actrec.training.prepare import _balanced
from keras_actrec.training.targets import Targets

LABELS = np.array([0, 1, 0])
MASK = np.array([[1, 1], [1, 0], [1, 1]], bool)
STEPS = np.random.default_rng(0).normal(size=(3, 2, 4)).astype("float32")


SEED = 13  # with which no sample of three meets itself


class Set:
    """One batch, with a mask or without."""

    epoch = 0

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.x, LABELS


MASKED = Set({"features": STEPS, "mask": MASK})


@pytest.mark.no_backend
def test_balanced_classes_weigh_alike_whatever_their_size():
    weights = _balanced([0, 0, 0, 1])
    np.testing.assert_allclose(weights, [4 / 6, 2])
    _, y, weigh = Targets(MASKED, per_step=True, class_weights=weights)[0]
    np.testing.assert_allclose(weigh, [[2 / 3, 2 / 3], [2, 0], [2 / 3, 2 / 3]], rtol=1e-6)
    assert y.tolist() == [[0, 0], [1, 1], [0, 0]]
    _, y, weigh = Targets(MASKED, per_step=False, class_weights=weights)[0]
    np.testing.assert_allclose(weigh, [2 / 3, 2, 2 / 3], rtol=1e-6)
    assert len(Targets(MASKED, per_step=False)[0]) == 2


@pytest.mark.no_backend
def test_a_mixture_is_of_two_samples_their_labels_and_their_weights_in_one_share():
    weights = np.array([1.0, 3.0], "float32")
    x, y, weigh = Targets(MASKED, per_step=False, class_weights=weights, num_classes=2, mixup=1.0, seed=SEED)[
        0
    ]
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(weigh, y @ weights, rtol=1e-6)
    found = 0
    for number in range(3):
        for other in range(3):
            if other == number:
                continue
            base = STEPS[number] - STEPS[other]
            share = ((x["features"][number] - STEPS[other]) * base).sum() / (base**2).sum()
            mixture = share * STEPS[number] + (1 - share) * STEPS[other]
            if share < 1 - 1e-5 and np.abs(x["features"][number] - mixture).max() < 1e-5:
                label = share * np.eye(2)[LABELS[number]] + (1 - share) * np.eye(2)[LABELS[other]]
                np.testing.assert_allclose(y[number], label, atol=1e-5)
                assert x["mask"][number].tolist() == (MASK[number] | MASK[other]).tolist()
                found += 1
    assert found == 3
    _, y, weigh = Targets(MASKED, per_step=True, num_classes=2, mixup=1.0, seed=SEED)[0]
    assert y.shape == (3, 2, 2) and weigh.tolist() == x["mask"].astype("float32").tolist()


@pytest.mark.no_backend
def test_mixtures_depend_on_seed_epoch_and_batch_alone():
    def drawn(seed=0, epoch=0, index=0):
        data = Set(STEPS)
        data.epoch = epoch
        return Targets(data, per_step=False, num_classes=2, mixup=0.4, seed=seed)[index][0]

    first = drawn()
    assert np.array_equal(first, drawn())
    for other in (drawn(seed=1), drawn(epoch=1), drawn(index=1)):
        assert not np.array_equal(first, other)


@pytest.mark.no_backend
def test_whole_numbers_are_mixed_as_fractions():
    frames = np.array([[[0]], [[200]], [[255]]], "uint8")
    x, _ = Targets(Set(frames), per_step=False, num_classes=2, mixup=1.0)[0]
    assert x.dtype == np.float32 and x.min() >= 0 and x.max() <= 255


def test_a_run_with_soft_labels_goes_on_with_its_bits(tmp_path):
    changes = ["train.mixup=0.5", "train.label_smoothing=0.2", "train.epochs=2", "train.workers=0"]
    changes += ["model.units=2", "skeleton.frames=5", "data.validation_fraction=0.2"]
    recipe = training.read_recipe("eleatt_rnn/basic_motions", changes)
    data = trees.basic_motions(tmp_path)
    whole = training.train(recipe, data, tmp_path / "whole")

    def stop(stage, done, total, text=""):
        if stage == "epochs" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, data, tmp_path / "parts", progress=stop)
    resumed = training.train(recipe, data, tmp_path / "parts")
    for one, other in zip(
        whole.recognizer.model.get_weights(), resumed.recognizer.model.get_weights(), strict=True
    ):
        assert np.array_equal(one, other)


def test_the_loss_and_the_accuracy_of_soft_labels_by_hand():
    table = tables.TrainTable(mixup=1.0, label_smoothing=0.1)
    loss, (accuracy,) = _measures(table)
    answers = np.array([[0.7, 0.3], [0.4, 0.6]], "float32")
    labels = np.array([[0.8, 0.2], [1.0, 0.0]], "float32")
    smooth = 0.9 * labels + 0.05
    expected = -(smooth * np.log(answers)).sum(1).mean()
    close(loss(labels, answers), expected)
    accuracy.update_state(labels, answers)
    assert float(accuracy.result()) == 0.5
