"""Labels as a learner answers, weights, mixtures of samples, and noise."""

from types import SimpleNamespace

import numpy as np
import pytest

import trees
from checks import close
from keras_actrec import training
from keras_actrec.training import tables
from keras_actrec.training.fit import _measures
from keras_actrec.training.prepare import Prepared, _balanced, spec_of
from keras_actrec.training.targets import Targets, _boxes

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


def cut(x, epoch=0, seed=0, **options):
    """The batches of an epoch, with labels as numbers 0 to B - 1 of the samples."""
    data = Set(x)
    data.epoch = epoch
    size = len(next(iter(x.values())) if isinstance(x, dict) else x)
    batch = Targets(data, per_step=False, num_classes=2, seed=seed, **options)[0]
    return size, batch


@pytest.mark.no_backend
def test_a_box_of_a_clip_is_cut_from_another_one_and_the_label_has_the_share_of_its_area():
    """Sample n has the value 10 n + 10 t everywhere: what is not its own tells whose it is."""
    shape = (3, 2, 20, 30, 3)
    clips = np.broadcast_to(10 * np.arange(3).reshape(3, 1, 1, 1, 1), shape) + np.zeros(shape, "uint8")
    clips = (clips + 100 * np.arange(2).reshape(1, 2, 1, 1, 1)).astype("uint8")
    areas = []
    for epoch in range(200):
        _, (x, y) = cut(clips, epoch, cutmix=1.0)
        assert x.dtype == np.uint8 and x.shape == shape
        for n in range(3):
            foreign = x[n] != clips[n]
            box = foreign[0, :, :, 0]
            assert (foreign == box[None, :, :, None]).all()  # the same in all frames and colors
            rows, columns = box.any(1), box.any(0)
            assert (box == np.outer(rows, columns)).all() and np.abs(np.diff(rows.astype(int))).sum() <= 2
            if box.any():
                (value,) = set(x[n, 0][box].ravel().tolist())
                other = value // 10
                assert other != n and (x[n, 1][box] == value + 100).all()
                share = 1 - box.mean()
                label = share * np.eye(2)[LABELS[n]] + (1 - share) * np.eye(2)[LABELS[other]]
                np.testing.assert_allclose(y[n], label, atol=1e-6)
                areas.append(box.mean())
            else:
                np.testing.assert_allclose(y[n], np.eye(2)[LABELS[n]], atol=1e-6)
    assert len(areas) > 300 and min(areas) < 0.03 and max(areas) > 0.8


@pytest.mark.no_backend
def test_a_box_about_a_point_has_the_sides_of_the_paper_as_far_as_it_is_in_the_frame():
    share = np.array([0.0, 0.75, 1.0])
    for seed in range(50):
        boxes = _boxes(share, 40, 60, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        rows, columns = rng.integers(40, size=3), rng.integers(60, size=3)
        expected = np.zeros((3, 40, 60), bool)
        for n, (high, wide) in enumerate([(40, 60), (20, 30), (0, 0)]):  # sqrt(1 - share) of the sides
            top, left = rows[n] - high // 2, columns[n] - wide // 2
            expected[n, max(top, 0) : max(top + high, 0), max(left, 0) : max(left + wide, 0)] = True
        np.testing.assert_array_equal(boxes, expected)


@pytest.mark.no_backend
def test_a_stretch_of_time_is_cut_with_its_mask_and_the_label_has_the_share_of_the_steps_that_count():
    steps = np.arange(3 * 20).reshape(3, 20, 1).astype("float32") + 1
    mask = np.arange(20) < np.array([[20], [9], [15]])
    found = 0
    for epoch in range(200):
        _, (x, y) = cut({"features": steps, "mask": mask}, epoch, cutmix=1.0, in_time=True)
        owner, step = np.divmod(x["features"][..., 0].astype(int) - 1, 20)
        np.testing.assert_array_equal(step, np.tile(np.arange(20), (3, 1)))  # a step stays where it was
        np.testing.assert_array_equal(x["mask"], mask[owner, step])
        for n in range(3):
            foreign = owner[n] != n
            assert np.abs(np.diff(foreign.astype(int))).sum() <= 2  # one stretch
            if foreign.any() and x["mask"][n].any():
                share = (x["mask"][n] & ~foreign).sum() / x["mask"][n].sum()
                other = owner[n][foreign][0]
                label = share * np.eye(2)[LABELS[n]] + (1 - share) * np.eye(2)[LABELS[other]]
                np.testing.assert_allclose(y[n], label, atol=1e-6)
                found += 1
    assert found > 200


@pytest.mark.no_backend
def test_of_mixing_and_cutting_one_is_drawn_for_a_batch_each_as_often():
    cuts = 0
    for epoch in range(300):
        _, (x, _) = cut(STEPS, epoch, mixup=1.0, cutmix=1.0, in_time=True)
        assert x.dtype == np.float32
        whole = (
            (x[:, :, None] == STEPS.transpose(1, 0, 2)[None]).all(-1).any(-1)
        )  # steps that are one sample's
        cuts += whole.all()
    assert 120 < cuts < 180


@pytest.mark.no_backend
def test_what_is_cut_and_the_noise_depend_on_seed_epoch_and_batch_alone():
    for options in ({"cutmix": 1.0, "in_time": True}, {"noise": 0.5}):

        def drawn(seed=0, epoch=0, index=0, options=options):
            data = Set(np.random.default_rng(0).normal(size=(3, 40, 4)).astype("float32"))
            data.epoch = epoch
            return Targets(data, per_step=False, num_classes=2, seed=seed, **options)[index][0]

        first = drawn()
        assert np.array_equal(first, drawn())
        for other in (drawn(seed=1), drawn(epoch=1), drawn(index=1)):
            assert not np.array_equal(first, other)


@pytest.mark.no_backend
def test_noise_is_normal_with_a_share_of_each_samples_deviation_and_leaves_zeros():
    x = np.random.default_rng(0).normal(5, [[[1.0]], [[10.0]], [[0.0]]], (3, 50, 40)).astype("float16")
    x[:, :10] = 0
    mask = np.ones((3, 50), bool)
    batch, _ = Targets(Set({"features": x, "mask": mask}), per_step=False, noise=0.2)[0]
    added = batch["features"] - x.astype("float32")
    assert batch["features"].dtype == np.float32 and batch["mask"].dtype == bool
    assert not added[:, :10].any()
    for n in range(3):
        spread = x[n].astype("float64").std()
        e = added[n, 10:] / (0.2 * spread)
        assert abs(e.mean()) < 0.08 and abs(e.std() - 1) < 0.05 and 2.5 < np.abs(e).max() < 5.5


FROZEN = {"name": "hman", "backbone": "efficientnet_lite0:block2_output"}


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "values, in_time",
    [
        ({"model": FROZEN}, True),
        ({"model": FROZEN, "train": {"train_backbone": True}}, False),
        ({"model": {"name": "gsm"}}, False),
        ({"model": {"name": "hman"}, "data": {"dataset": "features"}, "features": {}}, True),
        ({"model": {"name": "eleatt_rnn"}, "data": {"dataset": "poses"}, "skeleton": {}}, True),
    ],
)
def test_boxes_are_cut_from_clips_and_stretches_of_time_from_all_else_in_training_alone(values, in_time):
    keys = {"cutmix": 0.5, "noise": 0.25, "seed": 3}
    recipe = training.parse_recipe(values | {"train": values.get("train", {}) | keys})
    names = SimpleNamespace(class_names=("a", "b"))
    sets = {"train": MASKED, "validation": MASKED}
    prepared = Prepared(recipe, names, {}, (), None, spec_of(recipe), recipe.preprocessor, None, sets)
    train, validation = prepared.targets["train"], prepared.targets["validation"]
    assert (train.in_time, train.cutmix, train.noise, train.seed) == (in_time, 0.5, 0.25, 3)
    assert (validation.cutmix, validation.noise) == (0, 0) and validation.num_classes == 2


@pytest.mark.parametrize("key, value", [("cutmix", 1.0), ("noise", 0.5)])
def test_a_key_of_the_recipe_changes_what_a_run_learns(key, value, tmp_path):
    changes = ["train.epochs=1", "train.workers=0", "model.units=2", "skeleton.frames=5"]
    data = trees.basic_motions(tmp_path)
    runs = [
        training.train(training.read_recipe("eleatt_rnn/basic_motions", changes + more), data, tmp_path / out)
        for out, more in (("plain", []), ("other", [f"train.{key}={value}"]))
    ]
    one, other = (run.recognizer.model.get_weights() for run in runs)
    assert any(np.any(a != b) for a, b in zip(one, other, strict=True))


def test_a_run_with_soft_labels_goes_on_with_its_bits(tmp_path):
    changes = [
        "train.mixup=0.5",
        "train.cutmix=1.0",
        "train.noise=0.1",
        "train.label_smoothing=0.2",
        "train.epochs=2",
        "train.workers=0",
    ]
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
    loss, (accuracy,) = _measures(table, num_classes=2)
    answers = np.array([[0.7, 0.3], [0.4, 0.6]], "float32")
    labels = np.array([[0.8, 0.2], [1.0, 0.0]], "float32")
    smooth = 0.9 * labels + 0.05
    expected = -(smooth * np.log(answers)).sum(1).mean()
    close(loss(labels, answers), expected)
    accuracy.update_state(labels, answers)
    assert float(accuracy.result()) == 0.5
