"""tsn, tsm, trn, gsm and sa_gsm: the published sizes, what sees the order of frames, and bad arguments."""

import hashlib

import keras
import numpy as np
import pytest

from checks import batch_of, close, numpy, spread
from keras_actrec import zoo
from keras_actrec.backbones._weights import IMAGENET
from keras_actrec.errors import UserError

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
            {"backbone": "resnet50_v1_5"},
            "`backbone` must be one of bn_inception, inception_v3. Received: backbone='resnet50_v1_5'",
        ),
        (
            "tsn",
            {"backbone": "bn_inceptions"},
            "`backbone` must be one of bn_inception, inception_v3, resnet50",
        ),
        (
            "tsn",
            {"backbone": "bn_inception:3a"},
            "bn_inception has no feature map '3a': name a layer whose output",
        ),
        ("tsn", {"backbone": "bn_inception:features"}, "bn_inception has no feature map 'features': "),
        ("tsn", {"input_shape": (224, 224, 3)}, "`input_shape` of clips is (T, H, W, 3). Received: "),
        ("tsm", {"fold": 1}, "`fold` must be at least 2. Received: fold=1"),
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
    source = small("tsn")
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
