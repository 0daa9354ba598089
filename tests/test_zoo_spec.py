"""What a model says of itself, and the views on its layers that go by it."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from checks import close
from keras_actrec import zoo
from keras_actrec.errors import UserError

RNG = np.random.default_rng(0)
CLIPS = RNG.uniform(0, 1, (2, 5, 8, 8, 3)).astype("float32")
MASK = np.array([[True] * 3 + [False] * 2, [True] * 5])
# Models behind a backbone, small; `hman` with each form of its model class.
BEHIND = {
    "cham": {"filters": 2},
    "conv_attention": {"filters": 2},
    "eleatt_rnn": {"units": 2},
    "frame_gru": {"units": 2},
    "frame_pool": {},
    "hman": {"units": 2, "num_layers": 2},
    "hman reinforce": {"units": 2, "num_layers": 1, "attention": "reinforce"},
    "lstm_attention": {"units": 2},
    "softmax_regression": {},
    "stacked_rnn": {"units": 2},
}


def behind(name, masked=True):
    """A model behind a small backbone, and its features of `CLIPS`."""
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 4, 4, activation="relu")])
    arguments = {"backbone": network, "input_shape": (None, 8, 8, 3), "masked": masked}
    model = zoo.build(name.split()[0], 3, **arguments, **BEHIND[name])
    frames = np.asarray(network.predict_on_batch(CLIPS.reshape(10, 8, 8, 3)))
    return model, frames.reshape(2, 5, 2, 2, 4)


@pytest.mark.parametrize("name", zoo.list_models())
def test_a_specification_says_what_the_builder_takes(name):
    spec, arguments = zoo.spec(name), inspect.signature(getattr(zoo, name)).parameters
    assert spec.name == name and spec.builder is getattr(zoo, name)
    assert spec.masked == ("masked" in arguments)
    assert spec.per_step == ("return_sequences" in arguments)
    takes_features = "backbone" in arguments and arguments["backbone"].default is None
    assert (spec.input != "clip" and name != "st_gcn") == takes_features  # which takes joints alone
    assert list(spec.arguments) == [key for key in arguments if key != "num_classes"]
    assert spec.paper.split()[-1] in inspect.getdoc(spec.builder)
    assert not spec.backbone


def test_models_behind_a_backbone_are_all_tried_here():
    names = {name for name in zoo.list_models() if zoo.spec(name).input != "clip"} - {"st_gcn"}
    assert {name.split()[0] for name in BEHIND} == names


def test_a_model_that_was_built_knows_what_it_is():
    plain = zoo.frame_pool(3, input_shape=(None, 4))
    assert (zoo.spec(plain).masked, zoo.spec(plain).backbone) == (False, False)
    assert zoo.spec(plain).input_name == "features"
    model, _ = behind("frame_pool")
    assert (zoo.spec(model).masked, zoo.spec(model).backbone) == (True, True)
    assert zoo.spec(model).input_name == "clip"
    assert zoo.spec(model).name == "frame_pool"


@pytest.mark.parametrize("names", [["clip"], ["features"], ["features", "mask"]])
def test_of_another_model_the_inputs_are_known(names):
    inputs = [keras.Input((4,), name=name) for name in names]
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs[0]), name="mine")
    spec = zoo.spec(model)
    assert (spec.name, spec.input, spec.masked, spec.per_step) == ("mine", names[0], "mask" in names, False)
    for unknown in ("builder", "arguments"):
        with pytest.raises(UserError, match="^Unknown model 'mine'; there are: cham, "):
            getattr(spec, unknown)


@pytest.mark.parametrize("name", zoo.list_models())
def test_a_specification_travels_as_plain_values(name):
    spec = zoo.spec(name).built({"masked": True})
    assert zoo.ModelSpec.from_json(spec.to_json()) == spec
    assert "builder" not in spec.to_json()
    older = {**spec.to_json(), "trace": []}
    assert zoo.ModelSpec.from_json(older).trace == zoo.spec(name).trace
    assert zoo.ModelSpec.from_json({**older, "name": "mine"}).trace == ()


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize("masked", [True, False])
def test_what_is_trained_is_a_view_on_the_layers_that_are_kept(name, masked, tmp_path):
    model, features = behind(name, masked)
    spec = zoo.spec(model)
    view = zoo.training_view(model, spec, on_features=True)
    assert type(view) is type(model)
    assert {id(weight) for weight in view.trainable_weights} == {id(w) for w in model.trainable_weights}

    clips, inputs = (
        (CLIPS, features)
        if not masked
        else ({"clip": CLIPS, "mask": MASK}, {"features": features, "mask": MASK})
    )
    answers = np.asarray(view.predict_on_batch(inputs))
    if spec.per_step:
        assert answers.shape == (2, 5, 3)
        steps = (MASK if masked else np.ones((2, 5)))[..., None]
        answers = (answers * steps).sum(1) / steps.sum(1)
    close(answers, model.predict_on_batch(clips), 1e-6)

    before = model.get_weights()
    view.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    labels = np.repeat([[0], [2]], 5, axis=1) if spec.per_step else np.array([0, 2])
    view.train_on_batch(inputs, labels)
    moved = [np.any(new != old) for new, old in zip(model.get_weights(), before, strict=True)]
    assert any(moved) and not moved[0]  # the first weight is the backbone's, which is frozen

    model.save(tmp_path / "model.keras")  # as if there were no view
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    close(loaded.predict_on_batch(clips), model.predict_on_batch(clips), 1e-6)


def test_a_view_on_clips_answers_at_every_step_and_trains_the_backbone():
    model, _ = behind("softmax_regression", masked=False)
    zoo.backbone(model).trainable = True
    view = zoo.training_view(model, zoo.spec(model))
    assert view.output_shape == (None, None, 3)
    close(np.asarray(view.predict_on_batch(CLIPS)).mean(1), model.predict_on_batch(CLIPS), 1e-6)
    assert len(view.trainable_weights) == len(model.trainable_weights) == 4


def test_a_resized_model_has_the_same_weights_and_takes_other_clips():
    model = zoo.tsn(3, input_shape=(2, 32, 32, 3), width=0.125, backbone="bn_inception:inception_3b_output")
    larger = zoo.resized(model, (4, 48, 48, 3))
    assert larger.input_shape == (None, 4, 48, 48, 3)
    assert {id(weight) for weight in larger.weights} == {id(weight) for weight in model.weights}
    assert zoo.resized(model, (2, 32, 32, 3)) is model
    clips = RNG.uniform(0, 255, (1, 2, 32, 32, 3)).astype("float32")
    twice = ops.concatenate([clips, clips], axis=1)
    close(zoo.resized(model, (4, 32, 32, 3))(twice), model(clips), 1e-5)


def test_a_model_of_ones_own_is_resized_whatever_its_input_is_called():
    video = keras.Input((None, None, None, 3), name="video")
    model = keras.Model(video, keras.layers.GlobalAveragePooling3D()(video))
    assert zoo.resized(model, (4, 8, 8, 3)) is model
    fixed = keras.Input((2, 8, 8, 3), name="video")
    model = keras.Model(fixed, keras.layers.GlobalAveragePooling3D()(fixed))
    assert zoo.resized(model, (4, 8, 8, 3)).input_shape == (None, 4, 8, 8, 3)


def test_a_trace_is_what_the_specification_says():
    model, features = behind("hman", masked=False)
    seen = zoo.ExplainingView(model, zoo.spec(model))(CLIPS)
    assert set(seen) == {*zoo.spec("hman").trace, "steps", "scores", "maps", "slopes"}
    assert seen["attention"].shape == (2, 5, 4) and seen["boundaries"].shape == (2, 5, 2)
    close(seen["maps"], features, 1e-6)


@pytest.mark.parametrize("layer", [None, "features", "pooled", "inception_3a_output"])
def test_the_features_of_a_layer_are_a_row_a_clip(layer):
    backbone = "bn_inception:inception_3a_output"
    model = zoo.gsm(3, input_shape=(2, 32, 32, 3), backbone=backbone, width=0.125, masked=True)
    rng = np.random.default_rng(0)
    clips = {"clip": rng.uniform(0, 255, (3, 2, 32, 32, 3)), "mask": np.ones((3, 2), bool)}
    found = zoo.features_view(model, layer).predict_on_batch(clips)
    # All four are the mean over steps and places of the same maps; those of frames are a batch of 6 there.
    frames = keras.Model(model.input, model.get_layer("inception_3a_output").output)
    maps = frames.predict_on_batch(clips).reshape(3, 2, *frames.output.shape[1:])
    np.testing.assert_allclose(found, maps.mean(axis=(1, 2, 3)), rtol=1e-4, atol=1e-5)


def test_a_layer_without_features_is_named():
    model = zoo.frame_pool(3, input_shape=(2, 3, 3, 4))
    with pytest.raises(UserError, match=r"has no layer 'clasifier': did you mean 'classifier'"):
        zoo.features_view(model, "clasifier")
    own = keras.Model(model.input, model.get_layer("classifier").input, name="own")
    with pytest.raises(UserError, match="`own` has no layer `classifier`, before which features are: name"):
        zoo.features_view(own)


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_gates_stand_beside_what_they_saw(cell):
    model = zoo.eleatt_rnn(3, input_shape=(4, 6), cell=cell, units=5, num_layers=2)
    sequence = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    x, gates = np.moveaxis(zoo.gates_view(model).predict_on_batch(sequence), 2, 0)
    np.testing.assert_allclose(x, sequence, rtol=1e-6)
    layer = model.get_layer("temporal")
    weights = {weight.name: ops.convert_to_numpy(weight) for weight in layer.cell.weights}
    first = sequence[:, 0] @ weights["attention_kernel"] + weights["attention_bias"]  # the state is 0
    np.testing.assert_allclose(gates[:, 0], 1 / (1 + np.exp(-first)), rtol=1e-5)


def test_a_model_without_a_gate_has_no_view_of_it():
    for model in (
        zoo.stacked_rnn(3, input_shape=(4, 6), units=5),
        zoo.frame_pool(3, input_shape=(2, 3, 3, 4)),
    ):
        with pytest.raises(UserError, match="has no gate in its first recurrent layer: train eleatt_rnn"):
            zoo.gates_view(model)
