"""EleAtt-RNN and its baseline: the paper's counts, the gates, the mean of the logits."""

import keras
import numpy as np
import pytest

from checks import close, numpy, randomize
from keras_actrec import zoo
from keras_actrec.errors import UserError

RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(2, 4, 3)).astype("float32")
MASK = np.array([[True, True, False, False], [True] * 4])


def small(name="eleatt_rnn", **arguments):
    return zoo.build(name, 3, **{"input_shape": (None, 3), "units": 2, "num_layers": 2, **arguments})


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def read(model, name):
    """Model of the outputs of a layer; of a gated one its gates and its output."""
    return keras.Model(model.input, model.get_layer(name).output)


@pytest.mark.parametrize(
    "name, num_layers, units, expected",
    [
        ("stacked_rnn", 2, 100, 141_660),
        ("stacked_rnn", 2, 128, 213_564),
        ("stacked_rnn", 3, 100, 201_960),
        ("stacked_rnn", 3, 128, 312_252),
        ("eleatt_rnn", 2, 100, 199_410),
        ("eleatt_rnn", 3, 100, 279_810),
    ],
)
def test_the_parameters_are_those_of_table_7(name, num_layers, units, expected):
    assert zoo.build(name, 60, num_layers=num_layers, units=units).count_params() == expected


def test_the_defaults_are_those_of_the_paper():
    model = zoo.eleatt_rnn(60)
    assert model.input.name == "features" and model.input_shape == (None, None, 150)
    cells = [model.get_layer(name).cell for name in ("temporal", "temporal_2", "temporal_3")]
    assert {(cell.activation, cell.cell.units, cell.cell.reset_after) for cell in cells} == {
        ("sigmoid", 100, False)
    }
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.5] * 3


@pytest.mark.parametrize("cell, width", [("rnn", 1), ("gru", 3), ("lstm", 4)])
@pytest.mark.parametrize("attention_layers", [None, [], [1], [2, 3], (3,)])
def test_each_gate_adds_its_parameters_to_its_layer(cell, width, attention_layers):
    model = small(cell=cell, num_layers=3, attention_layers=attention_layers)
    chosen = (1, 2, 3) if attention_layers is None else attention_layers
    for number, channels in ((1, 3), (2, 2), (3, 2)):
        layer = model.get_layer("temporal" if number == 1 else f"temporal_{number}")
        gate = channels * (channels + 2 + 1) if number in chosen else 0
        assert layer.count_params() == width * 2 * (channels + 2 + 1) + gate
    baseline = small("stacked_rnn", cell=cell, num_layers=3).count_params()
    assert (model.count_params() == baseline) == (not chosen)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_the_gates_are_made_of_the_layer_below_and_of_the_state_before(activation):
    model = randomize(small(attention_activation=activation, cell="lstm"))
    _, below = (numpy(x) for x in read(model, "temporal")(CLIPS))
    gates, output = (numpy(x) for x in read(model, "temporal_2")(CLIPS))
    weights = {weight.name: numpy(weight) for weight in model.get_layer("temporal_2").weights}
    before = np.concatenate([np.zeros((2, 1, 2)), output[:, :-1]], axis=1)
    logits = below @ weights["attention_kernel"] + before @ weights["attention_recurrent_kernel"]
    logits = logits + weights["attention_bias"]
    close(gates, 1 / (1 + np.exp(-logits)) if activation == "sigmoid" else softmax(logits))


@pytest.mark.parametrize("name", ["eleatt_rnn", "stacked_rnn"])
def test_the_answer_is_the_softmax_of_the_mean_logit_of_the_steps_that_are_there(name):
    model = randomize(small(name, masked=True), scale=2.0)
    inputs = {"features": CLIPS, "mask": MASK}
    steps = numpy(read(model, "classifier")(inputs))  # (B, T, C)
    logits = np.stack([steps[0, :2].mean(0), steps[1].mean(0)])
    close(model(inputs), softmax(logits))
    bare = small(name, masked=True, classifier_activation=None)
    bare.set_weights(model.get_weights())
    close(bare(inputs), logits)


def test_the_baseline_is_the_model_without_gates():
    model, baseline = randomize(small(attention_layers=[])), small("stacked_rnn")
    baseline.set_weights(model.get_weights())
    close(baseline(CLIPS), model(CLIPS), 0)


def test_feature_maps_are_averaged_over_their_locations():
    maps = RNG.normal(size=(2, 4, 5, 6, 3)).astype("float32")
    model, on_maps = randomize(small()), small(input_shape=(None, None, None, 3))
    on_maps.set_weights(model.get_weights())
    close(on_maps(maps), model(maps.mean((2, 3))))


def test_a_backbone_in_front_gives_what_its_features_give():
    frames = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(3, 3)])
    clips = RNG.uniform(size=(2, 4, 4, 4, 3)).astype("float32")
    on_clips = randomize(small(input_shape=(None, 4, 4, 3), backbone=frames))
    on_features = small()
    on_features.set_weights(on_clips.get_weights()[len(frames.weights) :])
    features = np.stack([numpy(frames(clips[:, t])).mean((1, 2)) for t in range(4)], axis=1)
    close(on_clips(clips), on_features(features))


@pytest.mark.parametrize("name", ["eleatt_rnn", "stacked_rnn"])
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"cell": "gru2"}, "`cell` must be one of rnn, gru, lstm. Received: cell='gru2'"),
        ({"units": 0}, "`units` must be a positive integer. Received: units=0"),
        ({"units": 2.5}, "`units` must be a positive integer. Received: units=2.5"),
        ({"num_layers": 0}, "`num_layers` must be a positive integer. Received: num_layers=0"),
        ({"num_layers": 2.5}, "`num_layers` must be a positive integer. Received: num_layers=2.5"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1. Received: dropout=1.0"),
        ({"input_shape": (None, 2, 3)}, "Features are maps (T, K, K, D) or vectors (T, D). Received"),
    ],
)
def test_a_bad_argument_is_named_in_one_line(name, arguments, message):
    with pytest.raises(UserError) as caught:
        small(name, **arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


LAYERS = "`attention_layers` must be a list of numbers from 1 to 2. Received: attention_layers="


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"attention_layers": [0, 1]}, LAYERS + "[0, 1]"),
        ({"attention_layers": [3]}, LAYERS + "[3]"),
        ({"attention_layers": 2}, LAYERS + "2"),
        ({"attention_activation": "tanh"}, "The gate's activation must be one of sigmoid, softmax. Received"),
    ],
)
def test_a_bad_gate_is_named(arguments, message):
    with pytest.raises(UserError) as caught:
        small(**arguments)
    assert str(caught.value).startswith(message)
