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
        ({"units": 0}, "`units` must be a whole number from 1 to 65536. Received: units=0"),
        ({"units": 2.5}, "`units` must be a whole number from 1 to 65536. Received: units=2.5"),
        ({"num_layers": 0}, "`num_layers` must be a whole number from 1 to 65536. Received: num_layers=0"),
        (
            {"num_layers": 2.5},
            "`num_layers` must be a whole number from 1 to 65536. Received: num_layers=2.5",
        ),
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


def test_a_bidirectional_layer_sees_the_steps_behind_it_and_no_padding():
    forward = small("stacked_rnn", num_layers=1)
    model = randomize(small("stacked_rnn", num_layers=1, bidirectional=True, masked=True))
    both = read(model, "both_1")
    seen = numpy(both({"features": CLIPS, "mask": np.ones((2, 4), bool)}))
    for layer, clips, order in (("temporal", CLIPS, 1), ("temporal_backward", CLIPS[:, ::-1], -1)):
        forward.get_layer("temporal").set_weights(model.get_layer(layer).get_weights())
        expected = numpy(read(forward, "temporal")(clips))[:, ::order]
        close(seen[..., :2] if order == 1 else seen[..., 2:], expected)
    padded = CLIPS.copy()
    padded[0, 2:] = 100.0
    found = [numpy(model({"features": clips, "mask": MASK})) for clips in (CLIPS, padded)]
    close(*found, 1e-6)


def test_a_gated_bidirectional_layer_has_gates_in_both_directions():
    model = small(num_layers=1, bidirectional=True)
    single = small(num_layers=1)
    for name in ("temporal", "temporal_backward"):
        assert model.get_layer(name).count_params() == single.get_layer("temporal").count_params()
        assert set(model.get_layer(name).cell.trace_sizes) == {"gates"}


def test_what_stays_the_same_in_a_clip_does_not_reach_a_centered_model():
    model = randomize(small(centered=True))
    moved = CLIPS + RNG.normal(size=(2, 1, 3)).astype("float32") * 10
    close(model(CLIPS), model(moved), 1e-4)
    assert np.abs(numpy(small()(CLIPS)) - numpy(small()(moved))).max() > 1e-3


def test_an_embedding_narrows_what_the_first_layer_sees():
    model = small(embedding=2, input_dropout=0.5, num_layers=1)
    assert model.get_layer("features_embedding").count_params() == 3 * 2 + 2
    assert (
        model.get_layer("temporal").count_params()
        == small(num_layers=1, input_shape=(None, 2)).get_layer("temporal").count_params()
    )
    steps = keras.Model(model.input, model.get_layer("features_dropout").output)
    kept = numpy(steps(np.ones((8, 4, 3), "float32"), training=True))
    assert set(np.unique(kept)) == {0.0, 2.0}
    close(kept, np.repeat(kept[:, :1], 4, axis=1), 0)  # a channel goes at all steps


def test_an_embedding_of_joints_mixes_no_joint_with_another():
    model = randomize(small(embedding=4, joints=3, num_layers=1))
    embedded = keras.Model(model.input, model.get_layer("features_of_steps").output)
    found = numpy(embedded(CLIPS))
    weights = {weight.name: numpy(weight) for weight in model.get_layer("features_embedding").weights}
    expected = np.maximum(CLIPS[..., None] * weights["kernel"][:, 0] + weights["bias"], 0)  # a channel each
    close(found, expected.reshape(2, 4, 12))
    gates, _ = read(model, "temporal")(CLIPS)
    assert gates.shape == (2, 4, 12)


def test_layers_behind_the_first_add_to_what_they_see_and_each_step_is_brought_to_one_scale():
    model = randomize(small("stacked_rnn", num_layers=2, units=5, residual=True, layer_normalization=True))
    first, second = (numpy(read(model, name)(CLIPS)) for name in ("temporal", "temporal_2"))

    def normal(x, name):
        gamma, beta = (numpy(weight) for weight in model.get_layer(name).weights)
        variance = x.var(-1, keepdims=True)
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(variance + 1e-3) * gamma + beta

    below = normal(first, "normalization_1")
    close(numpy(read(model, "normalization_2")(CLIPS)), normal(second + below, "normalization_2"), 1e-4)


def test_an_answer_by_attention_is_a_mean_of_the_steps_logits_with_learned_weights():
    model = randomize(small(pooling="attention", masked=True), scale=1.0)
    inputs = {"features": CLIPS, "mask": MASK}
    steps = numpy(read(model, "classifier")(inputs))
    layer = model.get_layer("average")
    kernel, bias, scores = (numpy(weight) for weight in (layer.kernel, layer.bias, layer.scores))
    seen = numpy(keras.Model(model.input, model.get_layer("classifier").input)(inputs))
    weights = np.exp(np.tanh(seen @ kernel + bias) @ scores) * MASK[..., None]
    close(model(inputs), softmax((weights * steps).sum(1) / weights.sum(1)))
    assert not zoo.spec(model).causal  # later steps change the weights of earlier ones


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"joints": 3}, "`joints` goes with `embedding`, the width of each. Received: joints=3"),
        ({"embedding": 2, "joints": 2}, "`joints` must divide the 3 channels of a step. Received: joints=2"),
        ({"pooling": "max"}, "`pooling` must be one of mean, attention. Received: pooling='max'"),
        ({"embedding": 0}, "`embedding` must be a whole number from 1 to 65536. Received: embedding=0"),
        (
            {"input_dropout": 1.0},
            "`input_dropout` must be at least 0 and below 1. Received: input_dropout=1.0",
        ),
    ],
)
def test_options_of_the_input_out_of_range_are_refused(arguments, message):
    for name in ("eleatt_rnn", "stacked_rnn"):
        with pytest.raises(UserError, match=message):
            small(name, **arguments)


def test_with_pixels_the_first_layer_sees_where_small_gray_frames_change():
    clips = RNG.integers(0, 256, (2, 3, 8, 8, 3)).astype("float32")
    frame = keras.Input((8, 8, 3))
    network = keras.Model(frame, keras.layers.Conv2D(5, 4, 4)(frame), name="tiny")  # 2 x 2 cells
    model = randomize(
        small(pixels=True, embedding=6, backbone=network, input_shape=(None, 8, 8, 3), num_layers=1)
    )
    maps = zoo.backbone(model)(clips)
    assert maps.shape == (2, 3, 2, 2, 5 + 4)
    squares = clips.mean(-1).reshape(2, 3, 4, 2, 4, 2).mean((3, 5)) / 255  # (B, T, 4, 4)
    close(np.sort(numpy(maps)[..., 5:].reshape(2, 3, -1)), np.sort(squares.reshape(2, 3, -1)))
    assert model.get_layer("pixels_embedding").count_params() == 16 * 6 + 6
    behind = small(pixels=True, embedding=6, input_shape=(None, 2, 2, 9), num_layers=1)
    for layer in behind.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights()) if layer.weights else None
    close(behind(maps), model(clips))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"input_shape": (None, 9)}, r"A grid of motion needs feature maps"),
        ({"input_shape": (None, 2, 2, 4)}, "Maps with pixels have more than 4 channels. Received: 4"),
        (
            {"backbone": "efficientnet_lite0", "input_shape": (None, 50, 50, 3)},
            "need frames whose height is a multiple of",
        ),
    ],
)
def test_pixels_need_maps_that_have_them(arguments, message):
    with pytest.raises(UserError, match=message):
        zoo.stacked_rnn(3, pixels=True, **arguments)
