"""ResNet-50: the networks of Keras and of torchvision, and their weights."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from torch.nn import functional

from checks import close, numpy, randomize
from keras_actrec import backbones
from keras_actrec.backbones import resnet50
from keras_actrec.errors import UserError

# NumPy 2 says so of Keras's variables when a model is saved on JAX.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

STAGES = {2: (64, 3), 3: (128, 4), 4: (256, 6), 5: (512, 3)}
SMALL = 0.125  # 8, 8, 16, 32 and 64 channels


def frames(*shape):
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def network(**arguments):
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, resnet50.graph(inputs, **arguments))


def settle(model):
    """Draws statistics and offsets for the batch norms, and gains that keep the features around 1."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [
                    rng.uniform(0.3, 0.6, shape),
                    rng.normal(0, 0.3, shape),
                    rng.normal(0, 0.3, shape),
                    rng.uniform(0.8, 1.2, shape),
                ]
            )
    return model


@pytest.fixture(scope="module")
def original():
    return settle(keras.applications.ResNet50(weights=None, classes=5))


@pytest.fixture(scope="module")
def files(original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    original.save_weights(folder / "top.weights.h5")
    headless = keras.Model(original.input, original.get_layer("conv5_block3_out").output)
    headless.save(folder / "legacy.h5")
    return folder


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def parameters_by_hand(bias, width=1.0):
    """Kernels, batch norms and, with `bias`, biases."""

    def conv(size, below, above):
        return size * size * below * above + (2 + bias) * above

    below = int(64 * width)
    total = conv(7, 3, below)
    for channels, blocks in STAGES.values():
        channels = int(channels * width)
        total += conv(1, below, 4 * channels)
        for _ in range(blocks):
            total += conv(1, below, channels) + conv(3, channels, channels) + conv(1, channels, 4 * channels)
            below = 4 * channels
    return total


def torch_features(model, images):
    """ResNet-50 v1.5 in torch, from the weights of ours by name."""
    weights = {
        layer.name: [torch.tensor(w) for w in layer.get_weights()] for layer in model.layers if layer.weights
    }

    def conv(x, name, stride=1, relu=True):
        kernel = weights[f"{name}_conv"][0].permute(3, 2, 0, 1)
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        gamma, beta, mean, variance = weights[f"{name}_bn"]
        x = functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-5)
        return functional.relu(x) if relu else x

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((torch.tensor(images) / 255 - mean) / std).permute(0, 3, 1, 2)
    x = functional.max_pool2d(conv(x, "conv1", 2), 3, 2, 1)
    for stage, (_, blocks) in STAGES.items():
        for block in range(1, blocks + 1):
            name, stride = f"conv{stage}_block{block}", 2 if block == 1 and stage > 2 else 1
            shortcut = conv(x, f"{name}_0", stride, relu=False) if block == 1 else x
            x = conv(conv(x, f"{name}_1"), f"{name}_2", stride)
            x = functional.relu(conv(x, f"{name}_3", relu=False) + shortcut)
    return x.permute(0, 2, 3, 1).numpy()


def test_version_1_is_the_network_of_keras(original, files):
    ours = network()
    resnet50.load_applications(ours, files / "top.weights.h5")
    images = frames(2, 47, 33, 3)
    body = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(47, 33, 3))
    assert [layer.name for layer in ours.layers[2:]] == [layer.name for layer in body.layers[1:]]
    body.set_weights(original.get_weights()[:-2])
    expected = body.predict_on_batch(keras.applications.resnet50.preprocess_input(images.copy()))
    assert np.abs(expected).max() > 0.1
    close(ours.predict_on_batch(images), expected, 1e-5)
    assert trainable(ours) == 23_534_592 == parameters_by_hand(bias=True)


@pytest.mark.parametrize("size", [(64, 64), (47, 33)])
def test_version_1_5_is_the_network_of_torchvision(size):
    ours = settle(network(version="v1_5", width=SMALL))
    images = frames(2, *size, 3)
    expected = torch_features(ours, images)
    assert np.abs(expected).max() > 0.1
    close(ours.predict_on_batch(images), expected, 1e-4)
    assert trainable(ours) == parameters_by_hand(bias=False, width=SMALL)


def test_version_1_5_has_the_published_number_of_parameters():
    ours = backbones.build("resnet50_v1_5", weights=None, layer="conv5_block3_out")
    assert trainable(ours) == 25_557_032 - (2048 * 1000 + 1000) == parameters_by_hand(bias=False)
    assert ours.output_shape == (None, None, None, 2048)


def test_another_version_is_refused_in_one_line():
    message = '^`version` must be "v1" or "v1_5". Received: version=\'v2\'$'
    with pytest.raises(UserError, match=message):
        network(width=SMALL, version="v2")


def test_a_legacy_file_loads_by_name_and_leaves_the_rest(original, files):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(resnet50.graph(inputs))
    model = randomize(keras.Model(inputs, keras.layers.Dense(2, name="classifier")(x)))
    before = model.get_layer("classifier").get_weights()
    resnet50.load_applications(model, files / "legacy.h5")
    close(model.get_layer("classifier").get_weights(), before, 0)
    for name in ("conv1_conv", "conv1_bn", "conv4_block6_2_conv", "conv5_block3_3_bn"):
        close(model.get_layer(name).get_weights(), original.get_layer(name).get_weights(), 0)


def test_the_imagenet_weights_come_through_keras(monkeypatch):
    def fake(*, include_top, weights, input_tensor, input_shape):
        assert weights == "imagenet" and not include_top
        return SimpleNamespace(output=keras.layers.Conv2D(64, 7, name="conv1_conv")(input_tensor))

    model = network()
    monkeypatch.setattr(keras.applications, "ResNet50", fake)
    before = model.get_layer("conv2_block1_1_conv").get_weights()
    kernel = model.get_layer("conv1_conv").get_weights()[0]
    resnet50.load_applications(model, "imagenet")
    assert np.all(model.get_layer("conv1_conv").get_weights()[0] != kernel)
    close(model.get_layer("conv2_block1_1_conv").get_weights(), before, 0)

    def fail(**arguments):
        raise Exception("URL fetch failure on https://x:\n[Errno -2]")

    monkeypatch.setattr(keras.applications, "ResNet50", fail)
    with pytest.raises(UserError, match="ImageNet weights could not be downloaded") as caught:
        resnet50.load_applications(model, "imagenet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, message",
    [
        ("absent.h5", "no such weight file: "),
        ("garbage.weights.h5", "is no weight file of Keras: "),
        ("other.weights.h5", "does not fit small: it is not of keras.applications.ResNet50"),
        ("top.weights.h5", "does not fit small: conv1_bn has shapes [(64,), "),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(name, message, files):
    (files / "garbage.weights.h5").write_text("garbage")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save_weights(files / "other.weights.h5")
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, resnet50.graph(inputs, width=SMALL), name="small")
    before = model.get_weights()
    with pytest.raises(UserError) as caught:
        resnet50.load_applications(model, files / name)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    close(model.get_weights(), before, 0)


def torch_state(model):
    """The weights of ours under torchvision's names."""
    state = {}
    for layer in model.layers:
        weights = [torch.tensor(w) for w in layer.get_weights()]
        if not weights:
            continue
        *block, kind = layer.name.split("_")
        name = "conv1" if kind == "conv" else "bn1"
        if len(block) == 3:
            stage, number, part = int(block[0][4:]), int(block[1][5:]), int(block[2])
            name = f"{kind}{part}" if part else f"downsample.{int(kind == 'bn')}"
            name = f"layer{stage - 1}.{number - 1}.{name}"
        if kind == "conv":
            state[f"{name}.weight"] = weights[0].permute(3, 2, 0, 1)
        else:
            parts = ("weight", "bias", "running_mean", "running_var")
            state |= {f"{name}.{part}": weight for part, weight in zip(parts, weights, strict=True)}
    return state


@pytest.mark.once
def test_weights_of_version_1_5_come_from_a_file_and_not_from_a_download(tmp_path):
    source = settle(backbones.build("resnet50_v1_5", weights=None))
    source.save_weights(tmp_path / "a.weights.h5")
    state = torch_state(source)
    torch.save(state, tmp_path / "a.pth")
    for file in ("a.weights.h5", "a.pth"):
        read = backbones.build("resnet50_v1_5", weights=tmp_path / file)
        close(numpy(read.weights), numpy(source.weights), 0)
    del state["layer4.2.bn3.bias"]
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(UserError, match="conv5_block3_3_bn"):
        backbones.build("resnet50_v1_5", weights=tmp_path / "b.pth")
