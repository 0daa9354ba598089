"""The models, found through the registry, and what only some of them have."""

import importlib.util
import inspect

import keras
import numpy as np
import pytest
from keras import ops

from checks import (
    batch_of,
    check_mixed_precision,
    check_model,
    check_parameters,
    close,
    gradients,
    numpy,
    randomize,
    spread,
)
from keras_actrec import zoo
from keras_actrec.backbones import resnet50
from keras_actrec.errors import UserError
from keras_actrec.zoo._registry import register
from keras_actrec.zoo._reinforce import PolicyGradient

RNG = np.random.default_rng(0)
SHAPE = (None, 2, 2, 3)  # four locations, three channels
CLIP = (None, 32, 32, 3)
# Arguments that make each model small: those of them that it has.
SMALL = {"input_shape": SHAPE, "units": 2, "num_layers": 2, "filters": 2}
SMALL_CLIPS = {"input_shape": CLIP, "width": 0.125, "backbone": "bn_inception:inception_3b_output"}
FEATURES = RNG.normal(size=(4, 5, *SHAPE[1:])).astype("float32")
CLASSES = np.array([0, 1, 2, 0])

# Parameters by hand, for 3 classes, 3 channels, 4 locations, 2 units a layer.
HEAD = (2 * 2 + 1) * 1024 + (1024 + 1) * 3  # of hman with two layers


def hm(detectors, channels=3):
    """Two HM-RNN layers: `(4 u + detectors) (below + u + u above + 1)` each."""
    return (4 * 2 + detectors) * (channels + 2 + 2 + 1) + (4 * 2 + detectors) * (2 + 2 + 1)


QUERY, TEMPERATURE = 2 * 4, 2 + 1
CONTENT = 3 * 3 + 3 + 2 * 3 + 3
THREE_LAYERS = (
    10 * (3 + 2 + 2 + 1) + 10 * (2 + 2 + 2 + 1) + 10 * (2 + 2 + 1) + (6 + 1) * 1024 + (1024 + 1) * 3
)
LSTM = 4 * 2 * (3 + 2 + 1) + 2 * (3 + 1) * 2  # the first layer and where it starts
LSTM_HEAD = (2 + 1) * 2 + (2 + 1) * 3


def unit(channels, filters, size, bias=1):
    """A convolution and its batch normalization."""
    return size**2 * channels * filters + bias * filters + 2 * filters


# BN-Inception at an eighth of its width, of which no layer has fewer than 8 channels, up to block 3b.
INCEPTION = (
    unit(3, 8, 7) + unit(8, 8, 1) + unit(8, 24, 3)
    # 1x1; 3x3 reduce, 3x3; double 3x3 reduce, both 3x3; pool projection
    + unit(24, 8, 1) + unit(24, 8, 1) + unit(8, 8, 3)
    + unit(24, 8, 1) + unit(8, 16, 3) + unit(16, 16, 3) + unit(24, 8, 1)
    + unit(40, 8, 1) + unit(40, 8, 1) + unit(8, 16, 3)
    + unit(40, 8, 1) + unit(8, 16, 3) + unit(16, 16, 3) + unit(40, 8, 1)
)  # fmt: skip
# EfficientNet-Lite0 at an eighth up to its second stage: 8 channels, 48 where they are expanded; with motion.
LITE0 = (
    unit(3, 8, 3, 0) + 9 * 3 * 8
    + unit(1, 8, 3, 0) + unit(8, 8, 1, 0)
    + 2 * (unit(8, 48, 1, 0) + unit(1, 48, 3, 0) + unit(48, 8, 1, 0))
)  # fmt: skip
# ResNet-50 without biases up to its second block.
RESNET = (
    unit(3, 8, 7, 0)
    + unit(8, 32, 1, 0) + unit(8, 8, 1, 0) + unit(8, 8, 3, 0) + unit(8, 32, 1, 0)
    + unit(32, 8, 1, 0) + unit(8, 8, 3, 0) + unit(8, 32, 1, 0)
)  # fmt: skip
GATES = 2 * (29 * 8 + 2)
ATTENTIONS = 2 * (2 * (8 + 1) + 8 * 8 + 8 + 1)
MAPS = 2 * (8 * 8 + 8)  # behind the attentions
RELATIONS = sum((size * 2 + 1) * 2 + (2 + 1) * 3 for size in (2, 3, 4))
CONV_LSTM = 2 * (9 * 3 * 2 + 2) + (9 * 3 * 8 + 9 * 2 * 8 + 8)  # with where it starts
CONV_ATTENTION = 3 * 2 + 2 * 2 + 2 + 2
CONV_HEAD = (4 * 2 + 1) * 1024 + (1024 + 1) * 3


def resnet_stage(b, c, more):
    """A stage of ResNet-50 with biases: its first block, on b channels, and the others."""
    first = unit(b, 4 * c, 1) + unit(b, c, 1) + unit(c, c, 3) + unit(c, 4 * c, 1)
    return first + more * (unit(4 * c, c, 1) + unit(c, c, 3) + unit(c, 4 * c, 1))


STRN = (
    unit(3, 8, 7)
    + resnet_stage(8, 8, 2)
    + resnet_stage(32, 16, 3)
    + resnet_stage(64, 32, 5)
    + resnet_stage(128, 64, 2)
)


def graph_block(channels, filters, joints=17):
    """A block of ST-GCN: edges, both convolutions, both normalizations, and where it widens a shortcut."""
    shortcut = 0 if channels == filters else (channels + 1) * filters
    return 3 * joints**2 + 3 * channels * filters + 9 * filters**2 + 4 * filters + shortcut


ST_GCN = 2 * 34 + graph_block(2, 2) + graph_block(2, 2) + graph_block(2, 4) + graph_block(4, 4) + (4 + 1) * 3
# With three joints of one channel: an embedding of each, attention over time, and layers that are added.
BEST = {"joints": 3, "embedding": 2, "pooling": "attention", "residual": True, "layer_normalization": True}
BEST |= {"zoneout": 0.1}  # which has no weight
SIX = 3 * 4 + 3 * 2 * (6 + 2 + 1) + 6 * (6 + 2 + 1) + 3 * 2 * 5 + 2 * 5 + 2 * 4 + 9 + 64 * (2 + 2)

MOBILE = {"backbone": "efficientnet_lite0:block2_output", "motion": True}
VARIANTS = [
    ("cham", {}, CONV_LSTM + CONV_ATTENTION + 2 * 9 * 2 * 8 + 8 + CONV_HEAD),
    ("conv_attention", {}, CONV_LSTM + CONV_ATTENTION + CONV_HEAD),
    ("eleatt_rnn", {}, 3 * 2 * 6 + 3 * 6 + 3 * 2 * 5 + 2 * 5 + 9),
    ("eleatt_rnn", {"cell": "lstm", "attention_layers": [2]}, 4 * 2 * 6 + 4 * 2 * 5 + 2 * 5 + 9),
    ("eleatt_rnn", BEST, SIX),
    ("frame_gru", {}, 3 * 2 * (3 + 2 + 2) + (2 + 1) * 3),
    ("gsm", {}, INCEPTION + GATES + (48 + 1) * 3),
    ("sa_gsm", {}, INCEPTION + GATES + ATTENTIONS + (48 + 1) * 3),
    ("st_gcn", {}, ST_GCN),
    ("stacked_rnn", {}, 3 * 2 * 6 + 3 * 2 * 5 + 9),
    ("strn", {"connection": "linear"}, STRN + 256 * 256 + (256 + 1) * 3),
    ("trn", {}, INCEPTION + (48 + 1) * 2 + RELATIONS),
    ("tsm", {}, RESNET + (32 + 1) * 3),
    ("tsn", {}, INCEPTION + (48 + 1) * 3),
    ("gsm", MOBILE, LITE0 + GATES // 2 + (8 + 1) * 3),
    ("sa_gsm", MOBILE, LITE0 + GATES // 2 + ATTENTIONS // 2 + (8 + 1) * 3),
    (
        "sa_gsm",
        {"second_map": True, "attention": "time"},
        INCEPTION + GATES + ATTENTIONS + MAPS + (48 + 1) * 3,
    ),
    ("tsm", MOBILE, LITE0 + (8 + 1) * 3),
    ("hman", {"num_layers": 3}, QUERY + TEMPERATURE + THREE_LAYERS),
    ("hman", {"attention": "gumbel_constant", "boundary": "scalar"}, QUERY + hm(1) + HEAD),
    ("hman", {"attention": "soft", "content": True}, CONTENT + hm(2) + HEAD),
    ("hman", {"attention": "soft", "start": "features"}, QUERY + hm(2) + HEAD + 2 * (3 + 1) * 2),
    ("hman", {"attention": "reinforce", "motion": True}, QUERY + hm(2, channels=2 * 3 + 2) + HEAD),
    ("lstm_attention", {"num_layers": 3}, QUERY + LSTM + 2 * 4 * 2 * (2 + 2 + 1) + LSTM_HEAD),
    ("lstm_attention", {"pooled": True}, LSTM + 4 * 2 * (2 + 2 + 1) + LSTM_HEAD),
    ("frame_pool", {}, (3 + 1) * 3),
    ("softmax_regression", {}, (3 + 1) * 3),
]


def sized(name, **arguments):
    values = SMALL_CLIPS if zoo.spec(name).input == "clip" else SMALL
    values = {key: value for key, value in values.items() if key in zoo.spec(name).arguments}
    if name == "tsm":
        values["backbone"] = "resnet50_v1_5:conv2_block2_out"
    if name == "strn":
        values["backbone"] = "resnet50"
    if name == "trn":
        values |= {"input_shape": (4, *CLIP[1:]), "units": 2}
    if name == "st_gcn":  # 17 joints in two channels
        values |= {"input_shape": (None, 34), "layout": "coco17", "bodies": 1}
    return values | arguments


def small(name, num_classes=3, **arguments):
    return zoo.build(name, num_classes, **sized(name, **arguments))


@pytest.mark.graphs
@pytest.mark.parametrize("name", zoo.list_models())
def test_a_model_does_what_every_model_must(name, tmp_path):
    check_model(name, sized(name), tmp_path)


@pytest.mark.graphs
def test_a_model_with_motion_on_a_mobile_network_does_what_every_model_must(tmp_path):
    check_model("gsm", sized("gsm", **MOBILE), tmp_path)


@pytest.mark.parametrize("name, arguments, parameters", VARIANTS)
def test_the_parameters_are_as_many_as_by_hand_and_all_learn(name, arguments, parameters):
    check_parameters(name, sized(name, **arguments), parameters)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", zoo.list_models())
def test_a_model_learns_in_mixed_precision(name, policy, monkeypatch):
    # Of strn's four stages, which have the same layers, the first; of the others' networks the first block.
    monkeypatch.setattr(resnet50, "_STAGES", resnet50._STAGES[:1])
    clips = zoo.spec(name).input == "clip" and name != "strn"
    first = "efficientnet_lite0:block1_output" if name == "tsn" else "resnet50_v1_5:conv2_block1_out"
    check_mixed_precision(name, sized(name, **{"backbone": first} if clips else {}), policy)


def test_the_parameters_of_every_model_are_counted():
    assert {name for name, _, _ in VARIANTS} == set(zoo.list_models())


def test_models_are_listed_in_order_and_found_by_name():
    assert zoo.list_models() == sorted(zoo.list_models())
    for name in zoo.list_models():
        assert zoo.spec(name).builder is getattr(zoo, name)
        assert inspect.getdoc(zoo.spec(name).builder)


@pytest.mark.parametrize("wrong, right", [("hmann", "hman"), ("lstm_atention", "lstm_attention")])
def test_an_unknown_model_is_answered_with_the_nearest(wrong, right):
    with pytest.raises(UserError) as caught:
        zoo.build(wrong, 3)
    assert str(caught.value) == f"Unknown model {wrong!r}; did you mean {right!r}?"


def test_a_model_like_no_other_is_answered_with_the_list():
    with pytest.raises(UserError, match="^Unknown model 'xyz'; there are: cham, conv_attention, "):
        zoo.spec("xyz")


def test_an_unknown_argument_is_named_without_building():
    message = "^hman has no argument 'unit'; did you mean 'units'\\?$"
    with pytest.raises(UserError, match=message):
        zoo.check_arguments("hman", {"unit": 3})
    assert next(iter(zoo.spec("hman").arguments)) == "input_shape"  # without num_classes


def test_a_second_model_of_one_name_is_refused():
    def hman(num_classes):
        raise AssertionError

    with pytest.raises(ValueError, match="^A model is called 'hman' already: keras_actrec.zoo.hman$"):
        register("hman", input="features", consensus="last", paper="")(hman)
    assert zoo.spec("hman").builder is zoo.hman


def test_the_defaults_of_hman_are_those_of_the_paper():
    defaults = {name: p.default for name, p in inspect.signature(zoo.hman).parameters.items()}
    paper = {"units": 2048, "num_layers": 3, "boundary": "units", "dropout": 0.5, "temperature": 0.3}
    assert {name: defaults[name] for name in paper} == paper
    assert defaults["attention"] == "gumbel_adaptive"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"attention": "hard"},
            "`attention` must be one of gumbel_adaptive, gumbel_constant, soft, re",
        ),
        ({"attention": "reinforce", "classifier_activation": None}, '`attention="reinforce"` rewards'),
        ({"units": 0}, "`units` must be a whole number from 1 to 65536"),
        ({"num_layers": 0}, "`num_layers` must be a whole number from 1 to 65536."),
        ({"boundary": "vector"}, '`boundary` must be "scalar" or "units".'),
        ({"temperature": -1.0}, "`temperature` must be positive."),
        ({"input_shape": (None, 12)}, "Attention needs feature maps (T, K, K, D) of known size."),
        ({"input_shape": (None, None, None, 3)}, "Attention needs feature maps (T, K, K, D) of known size."),
        ({"weights": "no_such.weights.h5"}, "`weights`: file no_such.weights.h5 does not exist"),
    ],
)
def test_a_bad_argument_of_hman_is_named_in_one_line(arguments, message):
    with pytest.raises(UserError) as caught:
        small("hman", **arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_temperature_of_hman_is_that_of_boundaries_and_of_constant_attention():
    model = small("hman", attention="gumbel_constant", temperature=0.7)
    assert [float(w) for w in model.weights if w.name == "temperature"] == [pytest.approx(0.7)] * 2
    model = small("hman", attention="gumbel_constant", temperature=0.7, attention_temperature=0.2)
    assert [float(w) for w in model.weights if w.name == "temperature"] == pytest.approx([0.2, 0.7])


@pytest.mark.parametrize("name", ["hman", "lstm_attention", "softmax_regression"])
def test_logits_are_what_the_softmax_takes(name):
    logits = small(name, classifier_activation=None, return_sequences=True)
    probabilities = small(name, return_sequences=True)
    probabilities.set_weights(randomize(logits).get_weights())
    close(ops.softmax(logits(FEATURES)), probabilities(FEATURES), 1e-5)


def test_softmax_regression_is_the_mean_of_what_it_says_of_every_frame():
    model = randomize(small("softmax_regression"))
    kernel, bias = model.get_weights()
    logits = FEATURES.mean((2, 3)) @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    close(model(FEATURES), expected.mean(1), 1e-5)


def test_frame_pool_is_a_linear_classifier_of_the_normalized_mean():
    model = randomize(small("frame_pool"))
    norm = model.get_layer("z_normalization")
    norm.moving_mean.assign([1.0, 2.0, 3.0])
    norm.moving_variance.assign([4.0, 5.0, 6.0])
    kernel, bias = model.get_layer("classifier").get_weights()
    z = (FEATURES.mean((1, 2, 3)) - [1.0, 2.0, 3.0]) / np.sqrt(np.array([4.0, 5.0, 6.0]) + 1e-3)
    logits = z @ kernel + bias
    close(model(FEATURES), np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), 1e-5)
    assert "z_normalization" not in {layer.name for layer in small("frame_pool", normalize=False).layers}


def test_frame_pool_as_printed_normalizes_frames_by_the_statistics_of_those_that_count():
    model = small("frame_pool", normalize_frames=True, masked=True)
    mask = np.array([[True] * 5, [True] * 3 + [False] * 2] * 2)
    vectors = FEATURES.mean((2, 3))  # (B, T, D)
    mean, variance = vectors[mask].mean(0), vectors[mask].var(0)
    model({"features": FEATURES, "mask": mask}, training=True)
    norm = model.get_layer("z_normalization")
    close(norm.moving_mean, 0.1 * mean, 1e-5)
    close(norm.moving_variance, 0.9 + 0.1 * variance, 1e-5)
    norm.moving_mean.assign(mean)
    norm.moving_variance.assign(variance)
    z = (vectors - mean) / np.sqrt(variance + 1e-3) * mask[..., None]
    kernel, bias = model.get_layer("classifier").get_weights()
    logits = z.sum(1) / mask.sum(1, keepdims=True) @ kernel + bias
    answer = model({"features": FEATURES, "mask": mask})
    close(answer, np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), 1e-5)
    with pytest.raises(UserError, match="it needs normalize=True"):
        small("frame_pool", normalize=False, normalize_frames=True)


def test_lstm_attention_starts_from_the_mean_of_all_features():
    # One step from zero kernels but the initial ones: h_1 = o tanh(f c_0 + i g) = .5 tanh(.5 c_0).
    model = small("lstm_attention")
    for weight in model.get_layer("temporal").trainable_weights:
        weight.assign(np.zeros(weight.shape))
    model.get_layer("temporal").cell.cell.bias.assign(np.zeros(8))
    clips = FEATURES[:, :1]
    kernel, bias = model.get_layer("initial_c").get_weights()
    c_0 = np.tanh(clips.mean((1, 2, 3)) @ kernel + bias)
    names = sorted(["attention", "output"])
    trace = dict(zip(names, model.get_layer("temporal").output, strict=True))
    output = keras.Model(model.input, trace["output"])(clips)
    close(output[:, 0], 0.5 * np.tanh(0.5 * c_0), 1e-5)


def test_the_average_pooled_lstm_is_attention_that_is_everywhere_the_same():
    # A query kernel of zeros makes all places as probable.
    looking, pooled = small("lstm_attention"), small("lstm_attention", pooled=True)
    looking.get_layer("temporal").cell.attention.kernel.assign(np.zeros((2, 4)))
    weights = [w for w in looking.weights if w is not looking.get_layer("temporal").cell.attention.kernel]
    for ours, theirs in zip(pooled.weights, weights, strict=True):
        ours.assign(theirs)
    close(pooled(FEATURES), looking(FEATURES), 1e-5)
    with pytest.raises(UserError, match="whose place `pooled=True` takes: leave one out"):
        small("lstm_attention", pooled=True, content=True)


@pytest.mark.parametrize("name", ["softmax_regression", "eleatt_rnn", "frame_gru"])
def test_padding_stays_out_of_the_statistics_of_the_motion(name):
    arguments = sized(name, motion=True)
    inputs = batch_of(name, arguments)
    model = small(name, motion=True, masked=True)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(inputs, CLASSES)
    mean, variance = model.get_layer("motion_scale").get_weights()
    x = inputs["features"]
    change = np.diff(x, axis=1, prepend=x[:, :1])
    seen = np.concatenate([change, np.abs(change)], -1)[inputs["mask"]].reshape(-1, 6)
    close(mean, 0.1 * seen.mean(0), 1e-5)
    close(variance, 0.9 + 0.1 * seen.var(0), 1e-5)


# --- weights from files


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_come_from_a_file(suffix, tmp_path):
    model, path = randomize(small("hman")), tmp_path / f"model{suffix}"
    model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
    loaded = small("hman", weights=path)
    close(loaded.get_weights(), model.get_weights(), 0)


def test_a_file_of_weights_must_be_of_a_known_kind(tmp_path):
    path = tmp_path / "model.ckpt"
    path.touch()
    with pytest.raises(UserError, match="^`weights` must be a .weights.h5, .keras, .pth, .pt or .pth.tar"):
        small("hman", weights=path)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"units": 3}, "model.keras does not fit hman: temporal/.* is .* there, .* here$"),
        ({"motion": True}, "model.keras does not fit hman: temporal/.* is .* there, .* here$"),
    ],
)
def test_weights_of_another_model_are_refused(arguments, message, tmp_path):
    path = tmp_path / "model.keras"
    small("hman").save(path)
    with pytest.raises(UserError, match=message):
        small("hman", weights=path, **arguments)


# --- backbones


def frames_network():
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(3, 3, name="conv")(inputs)
    return randomize(keras.Model(inputs, keras.layers.BatchNormalization()(x)), seed=7)


CLIPS = RNG.uniform(0, 1, (4, 5, 4, 4, 3)).astype("float32")


@pytest.mark.parametrize("name", ["hman", "lstm_attention", "frame_pool", "softmax_regression"])
def test_a_backbone_in_front_gives_what_its_features_give(name):
    network = frames_network()
    on_features = small(name)
    on_clips = randomize(small(name, input_shape=(None, 4, 4, 3), backbone=network))
    assert on_clips.input.name == "clip"
    on_features.set_weights(on_clips.get_weights()[len(network.weights) :])
    features = np.stack([numpy(network(CLIPS[:, t])) for t in range(5)], axis=1)
    close(on_clips(CLIPS), on_features(features), 1e-5)


def test_a_backbone_is_frozen_with_its_statistics_and_thaws_when_told():
    network = frames_network()
    model = small("softmax_regression", input_shape=(None, 4, 4, 3), backbone=network)
    assert len(model.trainable_weights) == 2
    before = network.get_weights()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(CLIPS, CLASSES)
    close(network.get_weights(), before, 0)
    model.get_layer("backbone").trainable = True
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(CLIPS, CLASSES)
    names = {w.name for w, old in zip(network.weights, before, strict=True) if np.any(numpy(w) != old)}
    assert names >= {"kernel", "gamma", "beta", "moving_mean", "moving_variance"}


def test_clips_have_three_colors():
    with pytest.raises(UserError, match="^`input_shape` of clips is \\(T, H, W, 3\\)"):
        small("frame_pool", input_shape=(None, 4, 4, 1), backbone=frames_network())


# --- REINFORCE


def log(p):
    return np.log(np.asarray(p))


def test_the_baseline_and_the_loss_of_two_batches_by_hand():
    layer = PolicyGradient(reinforce_weight=2.0)
    first = np.array([[[0.5, 0.5], [0.25, 0.75]], [[0.9, 0.1], [0.8, 0.2]]], "float32")  # (B, T, C)
    looked = np.array([[[-1.0], [-2.0]], [[-0.5], [-0.25]]], "float32")
    close(layer(first, looked), first, 0)
    loss = layer.loss(ops.convert_to_tensor([0, 1]))
    rewards = np.array([(log(0.5) + log(0.25)) / 2, (log(0.1) + log(0.2)) / 2])
    assert float(loss) == pytest.approx(-2 * np.mean((rewards - 0) * [-3.0, -0.75]), rel=1e-5)
    baseline = 0.1 * rewards.mean()
    assert float(layer.baseline) == pytest.approx(baseline, rel=1e-5)

    second = first[::-1]
    layer(second, looked)
    loss = layer.loss(ops.convert_to_tensor([0, 0]))
    rewards = np.array([(log(0.9) + log(0.8)) / 2, (log(0.5) + log(0.25)) / 2])
    assert float(loss) == pytest.approx(-2 * np.mean((rewards - baseline) * [-3.0, -0.75]), rel=1e-5)
    assert float(layer.baseline) == pytest.approx(0.9 * baseline + 0.1 * rewards.mean(), rel=1e-5)


def test_masked_steps_earn_no_reward():
    layer = PolicyGradient()
    probabilities = np.array([[[0.5, 0.5], [0.0, 1.0]]], "float32")
    looked = np.array([[[-1.0], [0.0]]], "float32")
    layer(probabilities, looked, np.array([[True, False]]))
    assert float(layer.loss(ops.convert_to_tensor([0]))) == pytest.approx(-log(0.5) * -1.0, rel=1e-5)


def test_classes_may_be_given_for_every_step():
    layer = PolicyGradient()
    probabilities = np.array([[[0.5, 0.5], [0.25, 0.75]]], "float32")
    looked = np.array([[[-1.0], [-1.0]]], "float32")
    layer(probabilities, looked)
    expected = -(log(0.5) + log(0.75)) / 2 * -2.0
    assert float(layer.loss(ops.convert_to_tensor([[0, 1]]))) == pytest.approx(expected, rel=1e-5)


def test_descent_raises_the_log_probability_of_what_earned_more_than_the_baseline():
    layer = PolicyGradient()
    probabilities = np.array([[[0.9, 0.1]], [[0.1, 0.9]]], "float32")  # right, then wrong for class 0
    looked = -np.ones((2, 1, 1), "float32")
    layer(probabilities, looked)
    baseline = float(np.mean(log([0.9, 0.1])))

    def loss(probabilities, looked):
        layer.baseline.assign(baseline)
        layer(probabilities, looked)
        return layer.loss(ops.convert_to_tensor([0, 0]))

    by_probabilities, by_looked = gradients(loss, [probabilities, looked])
    close(by_looked[:, 0, 0], -(log([0.9, 0.1]) - baseline) / 2, 1e-5)
    assert by_looked[0] < 0 < by_looked[1]
    assert not np.any(by_probabilities)  # the reward is a number


def compiled_reinforce():
    model = small("hman", attention="reinforce", dropout=0.0)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return randomize(model, scale=0.1)


def test_the_reward_trains_the_attention():
    model = compiled_reinforce()
    kernel = model.get_layer("temporal").cell.attention.kernel
    before = numpy(kernel)
    assert np.all(np.isfinite(model.train_on_batch(FEATURES, CLASSES)))
    assert np.any(numpy(kernel) != before)
    assert -20 < float(model.get_layer("policy").baseline) < 0


def test_a_reinforce_model_adds_nothing_at_test():
    model = compiled_reinforce()
    probabilities = model.predict_on_batch(FEATURES)
    expected = -np.log(probabilities[np.arange(4), CLASSES]).mean()
    assert model.test_on_batch(FEATURES, CLASSES)[0] == pytest.approx(expected, rel=1e-4)
    assert model.evaluate(FEATURES, CLASSES, return_dict=True, verbose=0).keys() == {"loss"}
    assert float(model.get_layer("policy").baseline) == 0


def test_the_loss_of_a_reinforce_model_is_the_cross_entropy_and_the_policys_part_a_column_of_its_own():
    model = compiled_reinforce()
    classifier = model.get_layer("classifier")
    classifier.kernel.assign(np.zeros(classifier.kernel.shape))
    classifier.bias.assign(log([0.5, 0.25, 0.25]))  # what it answers, whatever it looks at
    model.optimizer.learning_rate = 0.0
    found = model.fit(
        FEATURES, np.array([0, 0, 0, 1]), epochs=2, batch_size=3, shuffle=False, verbose=0
    ).history
    entropy = -(3 * log(0.5) + log(0.25)) / 4
    np.testing.assert_allclose(found["loss"], [entropy, entropy], rtol=1e-5)
    # log p(l) <= 0 and, in the first batch, a reward of log .5 and no baseline: a policy's part below 0
    assert found.keys() == {"loss", "policy_loss"} and found["policy_loss"][0] < -0.1
    baseline = 0.0
    for reward in 2 * [log(0.5), log(0.25)]:
        baseline = 0.9 * baseline + 0.1 * reward
    assert float(model.get_layer("policy").baseline) == pytest.approx(baseline, rel=1e-5)


@pytest.mark.graphs
def test_a_reinforce_model_learns_per_step_after_saving_and_loading(tmp_path):
    model = small("hman", attention="reinforce", return_sequences=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    loaded.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    loaded.fit(FEATURES, np.repeat(CLASSES[:, None], 5, axis=1), epochs=2, verbose=0)
    assert float(loaded.get_layer("policy").baseline) < 0


# --- another backend

NEXT = {"jax": "torch", "torch": "tensorflow", "tensorflow": "jax"}


def test_saved_models_give_the_same_numbers_on_another_backend(run_python, tmp_path):
    other = NEXT[keras.backend.backend()]
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"{other} is not installed")
    models = {name: spread(small(name)) for name in zoo.list_models()}
    inputs = {name: batch_of(name, sized(name), masked=False) for name in models}
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    code = (
        "import sys, keras, keras_actrec, numpy as np\n"
        f"assert keras.backend.backend() == {other!r}\n"
        "inputs = np.load('inputs.npz')\n"
        "models = {name: keras.saving.load_model(f'{name}.keras') for name in sys.argv[1:]}\n"
        "np.savez('found.npz', **{name: m.predict_on_batch(inputs[name]) for name, m in models.items()})\n"
    )
    done = run_python("-W", "ignore", "-c", code, *models, KERAS_BACKEND=other)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "found.npz") as found:
        for name, model in models.items():
            close(found[name], model.predict_on_batch(inputs[name]), 1e-5)
