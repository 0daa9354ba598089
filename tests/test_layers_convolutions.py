"""Layers over maps against those of Keras of the same name, and against NumPy where Keras is wrong."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import PRECISIONS, check_layer, close, compiled, gradients, numpy, randomize
from keras_actrec import backbones, layers

RNG = np.random.default_rng(0)
ARGUMENTS = {
    "Conv2D": (6, 3, 2, "same"),
    "MaxPooling2D": (2,),
    "AveragePooling2D": (2,),
    "BatchNormalization": (),
}
MAPS = RNG.normal(size=(2, 9, 8, 4)).astype("float32")


def pair_of(name, *args, shape=MAPS.shape, **kwargs):
    """The layer of Keras and ours, with the same random weights."""
    pair = [getattr(module, name)(*args, **kwargs) for module in (keras.layers, layers)]
    for layer in pair:
        layer.build(shape)
        randomize(layer)
        for weight in layer.non_trainable_weights:
            weight.assign(np.linspace(0.5, 2, weight.shape[0]))
    return pair


def outputs_and_gradients(layer, x, **call):
    """The output, and gradients by input and weights of its product with random numbers."""
    outputs = layer(x, **call)
    probe = np.random.default_rng(1).normal(size=outputs.shape).astype("float32")
    found = gradients(lambda x: ops.sum(ops.multiply(layer(x, **call), probe)), [x], layer.trainable_weights)
    return [outputs, *found]


def same(name, *args, maps=MAPS, **kwargs):
    stock, ours = (outputs_and_gradients(layer, maps) for layer in pair_of(name, *args, **kwargs))
    close(ours, stock, 2e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        (6, 3),
        (6, 3, 1, "same"),
        (6, 3, 2, "same"),  # of the two sides one is odd
        (6, (2, 5), (2, 1), "same"),
        (6, 4, 3, "valid"),
        (6, 1),
        (6, 1, 2, "same"),
        (6, 1, (1, 3), "valid", None, 1, 1, "relu", False),
        (6, 3, 1, "same", None, 2),
        (6, 3, 1, "valid", None, (2, 1), 1, "relu", False),
        (1, 3, 1, "same"),
    ],
)
def test_convolutions_are_those_of_keras(arguments):
    same("Conv2D", *arguments)


@pytest.mark.parametrize(
    "arguments", [(8, (1, 3), 2, "same", None, 1, 4, "tanh"), (6, 3, 1, "same", None, 2, 2)]
)
def test_convolutions_in_groups_are_those_of_keras(arguments):
    if keras.backend.backend() != "tensorflow":  # which has no gradient of them on a CPU
        return same("Conv2D", *arguments)
    stock, ours = (layer(MAPS) for layer in pair_of("Conv2D", *arguments))
    close(ours, stock)


@pytest.mark.parametrize("size, stride", [(3, 1), (3, 2), (5, 2), (2, 1), (4, 3)])
def test_depthwise_convolutions_are_those_of_keras(size, stride):
    stock = keras.layers.DepthwiseConv2D(size, stride, "same", use_bias=False)
    ours = backbones.DepthwiseConv2D(size, stride)
    for layer in (stock, ours):
        layer.build(MAPS.shape)
        randomize(layer)
    close(*(outputs_and_gradients(layer, MAPS) for layer in (ours, stock)), 2e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone gathers it in another way")
def test_depthwise_convolutions_of_a_batch_that_devices_share_are_those_of_keras(monkeypatch):
    monkeypatch.setattr("jax.device_count", lambda: 2)
    test_depthwise_convolutions_are_those_of_keras(3, 2)


def test_a_point_convolution_with_strides_is_that_of_the_maps_between_them():
    # Keras on PyTorch 2.13 gives it a wrong gradient by the kernel.
    layer = pair_of("Conv2D", 6, 1, (2, 3), "same")[1]
    kernel, bias = layer.get_weights()
    taken = MAPS[:, ::2, ::3]
    outputs, by_input, by_kernel, by_bias = outputs_and_gradients(layer, MAPS)
    close(outputs, taken @ kernel[0, 0] + bias)
    probe = np.random.default_rng(1).normal(size=outputs.shape).astype("float32")
    expected = np.zeros_like(MAPS)
    expected[:, ::2, ::3] = probe @ kernel[0, 0].T
    close(by_input, expected)
    close(by_kernel[0, 0], np.einsum("bhwi,bhwo->io", taken, probe))
    close(by_bias, probe.sum((0, 1, 2)))


@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D"])
@pytest.mark.parametrize(
    "arguments",
    [(2,), (3, 2), (3, 2, "same"), ((2, 3), 1, "same"), (3, (1, 2), "same"), (2, 3, "valid"), (3, 1)],
)
def test_poolings_are_those_of_keras(name, arguments):
    same(name, *arguments)


@pytest.mark.parametrize("arguments", [(3, 2, "same"), (3, 1, "same"), (2, 3), (3, 2)])
def test_the_first_of_equal_values_has_the_gradient_of_a_pooling(arguments):
    maps = np.round(np.maximum(MAPS, 0))  # most are equal to a neighbor
    layer = layers.MaxPooling2D(*arguments)
    outputs, found = outputs_and_gradients(layer, maps)
    probe = np.random.default_rng(1).normal(size=outputs.shape).astype("float32")
    size, stride, padding = (*arguments, "valid")[:3]
    before = [
        max((-(-side // stride) - 1) * stride + size - side, 0) // 2 if padding == "same" else 0
        for side in maps.shape[1:3]
    ]
    expected = np.zeros_like(maps)
    for image, row, column, channel in np.ndindex(*outputs.shape):
        top, left = (max(i * stride - pad, 0) for i, pad in zip((row, column), before, strict=True))
        bottom, right = (i * stride - pad + size for i, pad in zip((row, column), before, strict=True))
        window = maps[image, top:bottom, left:right, channel]
        y, x = np.unravel_index(window.argmax(), window.shape)
        expected[image, top + y, left + x, channel] += probe[image, row, column, channel]
    close(found, expected)


@pytest.mark.parametrize("size", [15, 17])  # JAX has its own way up to 255 cells
@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_a_mean_in_half_precision_is_not_added_up_in_it(dtype, bits, size):
    layer = layers.AveragePooling2D(size, size, dtype=dtype)  # 225 ones and more: steps of 1 or 2 by then
    maps = np.random.default_rng(0).integers(64, 128, (2, size, size, 3)) / 64  # exact in both
    found = ops.convert_to_numpy(ops.cast(layer(maps.astype("float32")), "float32"))
    np.testing.assert_allclose(found[:, 0, 0], maps.mean((1, 2)), rtol=2.0**-bits)


@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D"])
def test_poolings_see_nothing_beyond_the_border(name):
    layer = getattr(layers, name)(3, 2, "same")
    close(layer(np.full((1, 5, 5, 1), -2, "float32")), np.full((1, 3, 3, 1), -2))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "shape, options",
    [
        ((2, 5, 3, 4), {}),
        ((2, 3, 2, 2, 4), {"scale": False}),
        ((3, 5, 4), {"center": False, "momentum": 0.7}),
        ((6, 4), {}),
    ],
)
def test_batch_normalization_and_its_averages_are_those_of_keras(training, shape, options):
    maps = RNG.normal(1, 2, size=shape).astype("float32")
    found = []
    for layer in pair_of("BatchNormalization", shape=shape, **options):
        found.append([layer(maps, training=training), *layer.non_trainable_weights])
        found[-1] = numpy(found[-1]) + outputs_and_gradients(layer, maps, training=training)
    close(found[1], found[0], 2e-5)


@pytest.mark.parametrize("change", ["trainable", "axis", "mask", "renorm"])
def test_batch_normalization_that_torch_does_not_have_is_that_of_keras(change):
    axis = 1 if change == "axis" else -1
    found = []
    for module in (keras.layers, layers):
        layer = module.BatchNormalization(axis, renorm=change == "renorm")
        layer.build(MAPS.shape)
        layer.trainable = change != "trainable"
        mask = {"mask": ops.convert_to_tensor(MAPS[..., 0] > 0)} if change == "mask" else {}
        found.append(numpy([layer(MAPS, training=True, **mask), *layer.weights]))
    close(*found)


def test_statistics_of_one_number_a_channel_are_it_and_zero():
    layer = layers.BatchNormalization(momentum=0.5)
    close(layer(np.full((1, 1, 1, 3), 4, "float32"), training=True), np.zeros((1, 1, 1, 3)))
    close([layer.moving_mean, layer.moving_variance], [np.full(3, 2), np.full(3, 0.5)])


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("policy", PRECISIONS)
def test_half_precision_is_as_far_from_keras_as_its_rounding(name, policy):
    dtype, tolerance = PRECISIONS[policy]
    arguments = ARGUMENTS[name]
    stock, ours = (compiled(layer)(MAPS) for layer in pair_of(name, *arguments, dtype=policy))
    assert keras.backend.standardize_dtype(ours.dtype) == dtype
    close(ours, stock, tolerance)


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow has no channels first on a CPU"
)
@pytest.mark.parametrize("name", list(ARGUMENTS)[:3])
def test_maps_that_are_channels_first_go_to_keras(name):
    stock, ours = pair_of(name, *ARGUMENTS[name], data_format="channels_first")
    close(ours(MAPS), stock(MAPS))


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.graphs
def test_they_do_what_every_layer_must(name, tmp_path):
    def make(**kwargs):
        layer = getattr(layers, name)(*ARGUMENTS[name], **kwargs)
        if name == "BatchNormalization":
            layer.momentum = 1.0  # a step must move the trainable weights and no others
        return layer

    weights = {
        "Conv2D": {"kernel": (3, 3, 4, 6), "bias": (6,)},
        "BatchNormalization": {each: (4,) for each in ("gamma", "beta", "moving_mean", "moving_variance")},
    }
    check_layer(make, (MAPS,), tmp_path, weights=weights.get(name, {}))


def network(module):
    """A small network of all four."""
    inputs = keras.Input((None, None, 4))
    x = module.Conv2D(6, 3, 2, "same", name="conv")(inputs)
    x = module.BatchNormalization(name="norm")(x)
    x = module.MaxPooling2D(2, name="largest")(x)
    x = module.AveragePooling2D(2, 1, name="mean")(x)
    return keras.Model(inputs, module.Conv2D(3, 1)(x))


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_files_of_keras_and_ours_open_as_each_other(file, tmp_path):
    for written, read in ((keras.layers, layers), (layers, keras.layers)):
        model = network(written)
        for weight in model.weights:
            weight.assign(np.random.default_rng(2).uniform(0.5, 1, weight.shape))
        answer = model.predict_on_batch(MAPS)
        other = network(read)
        model.save(tmp_path / file) if file.endswith(".keras") else model.save_weights(tmp_path / file)
        other.load_weights(tmp_path / file)
        close(other.predict_on_batch(MAPS), answer)
        if file.endswith(".keras"):  # its layers are those that it was written with
            opened = keras.saving.load_model(tmp_path / file)
            assert [type(layer) for layer in opened.layers] == [type(layer) for layer in model.layers]
            close(opened.predict_on_batch(MAPS), answer, 0)


def test_configurations_are_those_of_keras():
    for name in ARGUMENTS:
        stock, ours = pair_of(name, *ARGUMENTS[name])
        assert ours.get_config() == {**stock.get_config(), "name": ours.name}
