"""Batch normalization in the weights of the convolution before it: the same answers without it."""

import keras
import numpy as np
import pytest

from checks import close
from keras_actrec import backbones
from keras_actrec._backend import predictor
from keras_actrec.layers import BatchNormalization, Conv2D, FrameWise

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (2, 32, 32, 3), dtype="uint8")
WIDTHS = {"efficientnet_lite0": 0.25, "bn_inception:inception_3b_output": 0.125, "resnet50_v1_5": 0.07}


def moved(network):
    """The network with averages and factors that normalize something."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                low, high = (-0.2, 0.2) if weight.name in ("beta", "moving_mean") else (0.6, 1.6)
                weight.assign(RNG.uniform(low, high, weight.shape))
    return network


def normalized(x, name, filters=3, **arguments):
    x = Conv2D(filters, 3, padding="same", name=f"{name}_conv", **arguments)(x)
    return BatchNormalization(name=f"{name}_bn")(x)


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


@pytest.mark.parametrize("name", [*WIDTHS, "mobilenet_v3_small:expanded_conv_2_add"])
def test_a_folded_network_answers_as_it_did_and_has_no_normalization_left(name):
    options = {"width": WIDTHS[name]} if name in WIDTHS else {}
    network = moved(backbones.build(name, weights=None, input_shape=(32, 32, 3), **options))
    before = [np.array(weight.numpy()) for weight in network.weights]
    expected = predictor(network)(FRAMES)
    folded = backbones.folded(network)
    found = predictor(folded)(FRAMES)
    assert np.ptp(expected) > 1e-2
    close(found, expected, 1e-5 * max(1, np.abs(expected).max()))
    assert ("BatchNormalization" in kinds(folded)) == (name.startswith("mobilenet"))  # of uneven padding
    assert kinds(folded).count("_Folded") > len(folded.layers) / 4
    for weight, value in zip(network.weights, before, strict=True):
        close(weight, value, 0)
    close(predictor(network)(FRAMES), expected, 0)


def test_no_layer_is_asked_for_its_config(monkeypatch):
    """Keras imports TensorFlow for one, where it is installed: seconds, and half a gigabyte."""
    inputs = keras.Input((4, 4, 2))
    network = keras.Model(inputs, normalized(inputs, "a"))
    monkeypatch.setattr(keras.layers.Layer, "get_config", None)
    assert "_Folded" in kinds(backbones.folded(network))


def test_weights_are_those_of_the_formula():
    inputs = keras.Input((4, 4, 2))
    network = moved(keras.Model(inputs, normalized(inputs, "a")))
    conv, norm = network.get_layer("a_conv"), network.get_layer("a_bn")
    conv.bias.assign([0.5, -1, 2])
    gamma, beta, mean, variance = (weight.numpy() for weight in norm.weights)
    g = gamma / np.sqrt(variance + 1e-3)
    kernel, bias = backbones.folded(network).weights
    close(kernel, conv.kernel.numpy() * g, 1e-6)
    close(bias, beta + ([0.5, -1, 2] - mean) * g, 1e-6)
    assert not kernel.trainable and not bias.trainable


def test_what_others_see_too_stays():
    inputs = keras.Input((4, 4, 3))
    first = Conv2D(3, 1, name="seen_conv")(inputs)
    x = keras.layers.Add()([first, BatchNormalization()(first)])  # a convolution that two see
    y = normalized(x, "sum")
    x = keras.layers.Add()([y, keras.layers.ReLU(6.0)(y)])  # a normalization that two see
    shared, norm = Conv2D(3, 1, name="shared_conv"), BatchNormalization()
    x = norm(shared(shared(x)))  # a convolution that is called twice
    x = normalized(x, "active", activation="relu")
    x = keras.layers.ReLU()(normalized(x, "last"))
    network = moved(keras.Model(inputs, [x, y]))
    folded = backbones.folded(network)
    assert kinds(folded).count("_Folded") == 2 and kinds(folded).count("BatchNormalization") == 3
    given = RNG.normal(size=(2, 4, 4, 3)).astype("float32")
    for found, expected in zip(folded.predict_on_batch(given), network.predict_on_batch(given), strict=True):
        assert found.std() > 0.01
        close(found, expected, 1e-5)


def test_a_network_within_a_clip_is_folded_and_one_without_normalization_is_returned():
    frames = keras.Input((4, 4, 3))
    network = moved(keras.Model(frames, keras.layers.ReLU()(normalized(frames, "a"))))
    clip = keras.Input((None, 4, 4, 3), name="clip")
    model = keras.Model({"clip": clip}, FrameWise(network, name="backbone")(clip))
    folded = backbones.folded(model)
    assert kinds(folded.get_layer("backbone").network) == ["InputLayer", "_Folded"]
    given = {"clip": RNG.normal(size=(2, 3, 4, 4, 3)).astype("float32")}
    close(predictor(folded)(given), predictor(model)(given), 1e-5)
    assert model.get_layer("backbone").trainable and network.trainable
    plain = keras.Model(frames, Conv2D(3, 1)(frames))
    assert backbones.folded(plain) is plain
    alone = keras.layers.Dense(2)
    assert backbones.folded(alone) is alone


def test_layers_of_16_bits_stay():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((4, 4, 3))
        network = keras.Model(inputs, normalized(inputs, "a"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert backbones.folded(network) is network
