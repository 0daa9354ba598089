"""From NTU RGB+D to smaller sets: joints of one body shown as those of another, by name."""

import keras
import numpy as np
import pytest

import trees
from keras_actrec import training
from keras_actrec.data import map_joints, read_dataset, read_skeleton
from keras_actrec.errors import UserError

SMALL = ["model.units=3", "model.num_layers=2", "skeleton.frames=3", "train.epochs=1", "train.workers=0"]
NOTHING = 1e-12  # a rate at which nothing is learned


def recipe(name, *changes):
    return training.read_recipe(f"eleatt_rnn/{name}", [*SMALL, *changes])


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    """The first step, on a tree of NTU RGB+D: its data and its run."""
    data = trees.ntu_rgbd(tmp_path_factory.mktemp("ntu"))
    values = recipe("ntu_rgbd_start", "data.validation_fraction=0.0")
    return data, training.train(values, data, tmp_path_factory.mktemp("run"))


def test_the_first_step_sees_one_person_with_the_joints_of_kinect_v1(ntu):
    data, run = ntu
    look = run.recognizer.preprocessor
    assert look.body.name == "kinect20" and (look.form.bodies, look.form.joints) == (1, 20)
    record = read_dataset("ntu_rgbd", data).records[0]
    raw = read_skeleton("ntu_rgbd", record)[:, :1]
    mapped = map_joints(raw, "ntu25", "kinect20")
    expected = mapped - mapped[0, 0, 1]  # of the spine in the first frame
    expected = expected[[0, 0, 1]] * 0.5 + expected[[0, 1, 1]] * 0.5  # two frames as three
    np.testing.assert_allclose(look.read(record.file)[0].reshape(3, 1, 20, 3), expected, atol=1e-5)
    np.testing.assert_allclose(look.following()(raw).shape, (2, 1, 20, 3))


@pytest.mark.parametrize("name", ["northwestern_ucla", "sysu_3d_hoi"])
def test_the_second_step_starts_with_all_layers_but_the_classifier(ntu, name, tmp_path):
    options = {"northwestern_ucla": {"episodes": 1, "views": (1, 2, 3), "subjects": 2}}.get(name, {})
    (tmp_path / "data").mkdir()
    data = getattr(trees, name)(tmp_path / "data", **options)
    told, values = [], recipe(f"{name}_after_ntu", f"train.learning_rate={NOTHING}")
    run = training.train(values, data, tmp_path / "run", start=ntu[1].folder, tell=told.append)
    before, after = ntu[1].recognizer.model, run.recognizer.model
    for layer in ("temporal", "temporal_2"):
        for one, other in zip(before.get_layer(layer).weights, after.get_layer(layer).weights, strict=True):
            values = (keras.ops.convert_to_numpy(weight) for weight in (one, other))
            np.testing.assert_allclose(*values, atol=1e-6)
    assert before.output_shape[-1] == 60 != after.output_shape[-1]
    assert run.record["start"]["loaded"] == 12 and len(run.record["start"]["not_taken"]) == 1
    assert "classifier" in run.record["start"]["not_taken"][0]


def test_a_model_of_another_body_is_refused_with_both_ways_out(ntu, tmp_path):
    data = trees.northwestern_ucla(tmp_path, subjects=2, episodes=1, views=(1, 2, 3))
    for change in ("skeleton.shown_as=coco17", "skeleton.shown_as=ntu25"):
        values, own = recipe("northwestern_ucla_after_ntu", change, "skeleton.center=0"), change[18:]
        with pytest.raises(UserError, match=f"as kinect20, and this recipe as {own}: set skeleton.shown_as="):
            training.train(values, data, tmp_path / "run", start=ntu[1].folder)


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["skeleton.shown_as=coco18"], "`shown_as` must be the name of a body; did you mean 'coco17'"),
        (
            ["skeleton.layout=", "skeleton.center=1"],
            "`shown_as` names joints, so `layout` must name",
        ),
        (["skeleton.center=neck"], "kinect20 has no joint 'neck'"),
    ],
)
def test_a_body_that_cannot_be_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        recipe("ntu_rgbd_start", *changes)
