"""GateShift against NumPy written from the formula."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, gradients, numpy, randomize, slopes
from keras_actrec.errors import UserError
from keras_actrec.layers import GateShift

RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(2, 3, 4, 3, 8)).astype("float32")
PROBE = RNG.normal(size=CLIPS.shape).astype("float32")
FULL = 50.0  # tanh of it is 1


def made(channels=8, seed=1, **arguments):
    """A layer with random weights and moving statistics."""
    layer = GateShift(**arguments)
    layer.build((None, None, None, None, channels))
    randomize(layer, seed)
    rng = np.random.default_rng(seed)
    layer.batch_normalization.moving_mean.assign(rng.normal(size=channels))
    layer.batch_normalization.moving_variance.assign(rng.uniform(0.5, 2, channels))
    return layer


def weights_of(layer):
    return {weight.name: ops.convert_to_numpy(weight).astype("float64") for weight in layer.weights}


def reference(x, weights, training=False, shuffle=True):
    x = np.asarray(x, "float64")
    time, height, width, channels = x.shape[1:]
    half = channels // 2
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    if training:
        mean, variance = x.mean((0, 1, 2, 3)), x.var((0, 1, 2, 3))
    active = (x - mean) / np.sqrt(variance + 1e-5) * weights["gamma"] + weights["beta"]
    padded = np.pad(np.maximum(active, 0), [(0, 0), (1, 1), (1, 1), (1, 1), (0, 0)])
    logits = np.tile(weights["gate_bias"], (*x.shape[:4], 1))
    for t, h, w, group in np.ndindex(3, 3, 3, 2):
        window = padded[:, t : t + time, h : h + height, w : w + width, group * half : (group + 1) * half]
        logits[..., group] += window @ weights["gate_kernel"][t, h, w, :, group]
    gates = np.tanh(logits)
    y = np.zeros_like(x)
    for channel in range(channels):
        moving = gates[..., channel // half] * x[..., channel]
        y[..., channel] = x[..., channel] - moving
        if channel < half:
            y[:, :-1, ..., channel] += moving[:, 1:]
        else:
            y[:, 1:, ..., channel] += moving[:, :-1]
    if not shuffle:
        return y
    shuffled = np.zeros_like(y)
    for group, k, j in np.ndindex(2, channels // 4, 2):
        shuffled[..., group * half + 2 * k + j] = y[..., group * half + j * channels // 4 + k]
    return shuffled


@pytest.mark.graphs
def test_gate_shift_does_what_every_layer_must(tmp_path):
    def make(**kwargs):
        layer = GateShift(**kwargs)
        layer.batch_normalization.momentum = 1.0  # a step must move the trainable weights and no others
        return layer

    check_layer(
        make,
        (CLIPS,),
        tmp_path,
        weights={
            "gate_kernel": (3, 3, 3, 4, 2),
            "gate_bias": (2,),
            **{f"batch_normalization/{name}": (8,) for name in ("gamma", "beta")},
            **{f"batch_normalization/moving_{name}": (8,) for name in ("mean", "variance")},
        },
        bad=(lambda: GateShift().build((None, 3, 4, 4, 6)), "`inputs` must be (B, T, H, W, C) with C a mul"),
        time=True,
    )


@pytest.mark.parametrize("shuffle", [True, False])
def test_gate_shift_is_the_formula_for_clips_of_any_size(shuffle):
    layer = made(shuffle=shuffle)
    inputs = keras.Input((None, None, None, 8))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, None, 8)
    for clips in (CLIPS, RNG.normal(size=(1, 1, 1, 2, 8)).astype("float32")):
        close(model.predict_on_batch(clips), reference(clips, weights_of(layer), shuffle=shuffle))


def test_training_normalizes_with_the_batch_and_moves_the_statistics_by_a_tenth():
    layer = made()
    before = weights_of(layer)
    close(layer(CLIPS, training=True), reference(CLIPS, before, training=True))
    after, axes = weights_of(layer), (0, 1, 2, 3)
    close(after["moving_mean"], 0.9 * before["moving_mean"] + 0.1 * CLIPS.mean(axes), 1e-6)
    close(after["moving_variance"], 0.9 * before["moving_variance"] + 0.1 * CLIPS.var(axes), 1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_the_gradients_are_those_of_finite_differences(training):
    layer = made()
    start = weights_of(layer)

    def loss(clips):
        return ops.sum(ops.multiply(layer(clips, training=training), PROBE))

    def expected(name):
        def of(value):
            changed = start if name == "clips" else {**start, name: value}
            clips = value if name == "clips" else CLIPS
            return (reference(clips, changed, training) * PROBE).sum()

        return slopes(of, CLIPS if name == "clips" else start[name])

    found = gradients(loss, [CLIPS], layer.trainable_weights)
    names = ["clips", *[weight.name for weight in layer.trainable_weights]]
    assert set(names) == {"clips", "gate_kernel", "gate_bias", "gamma", "beta"}
    for name, gradient in zip(names, found, strict=True):
        close(gradient, expected(name), 1e-4)


@pytest.mark.parametrize("order", [[0, 2, 1, 3, 4, 6, 5, 7], [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]])
def test_a_new_layer_only_shuffles_the_channels_of_each_half(order):
    clips = RNG.normal(size=(1, 2, 2, 1, len(order))).astype("float32")
    close(GateShift()(clips), clips[..., order], 0)
    close(GateShift(shuffle=False)(clips), clips, 0)


def test_a_new_layer_learns_its_gate():
    layer = GateShift()
    inputs = keras.Input(CLIPS.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    model.train_on_batch(CLIPS, PROBE)
    assert np.all(numpy(layer.gate_kernel) != 0) and np.all(numpy(layer.gate_bias) != 0)


def test_an_open_gate_moves_everything_by_one_frame_and_zero_comes_in_at_both_ends():
    layer = GateShift(shuffle=False)
    layer.build(CLIPS.shape)
    layer.gate_bias.assign([FULL, FULL])
    nothing = np.zeros_like(CLIPS[:, :1])
    expected = np.concatenate([CLIPS[:, 1:], nothing], 1)
    expected[..., 4:] = np.concatenate([nothing, CLIPS[:, :-1]], 1)[..., 4:]
    close(layer(CLIPS), expected, 1e-6)


def test_what_lies_behind_the_end_of_a_clip_does_not_matter():
    layer = made()
    inputs = keras.Input((None, None, None, 8)), keras.Input((None,), dtype="bool")
    model = keras.Model(inputs, layer(inputs[0], mask=inputs[1]))
    clips, mask = np.concatenate([CLIPS, CLIPS], 1), np.ones((2, 6), bool)
    mask[0, 3:] = mask[1, 5:] = False
    clips[~mask] = np.nan
    found = model.predict_on_batch([clips, mask])
    for b, length in enumerate((3, 5)):
        close(found[b, :length], reference(clips[b : b + 1, :length], weights_of(layer))[0])


def test_padding_does_not_count_in_the_statistics_of_a_batch():
    layer, short = made(), made()
    clips, mask = np.concatenate([CLIPS, 9 + CLIPS], 1), np.arange(6) < 3
    padded = layer(clips, mask=np.stack([mask, mask]), training=True)
    close(padded[:, :3], short(CLIPS, training=True))
    close(layer.get_weights(), short.get_weights(), 1e-6)


def test_ten_gates_add_the_published_number_of_parameters_to_bn_inception():
    total = 0
    for channels in (64, 64, 128, 224, 192, 160, 96, 128, 352, 352):
        layer = GateShift()
        layer.build((None, None, None, None, channels))
        total += sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
    assert total == 51_060 == 29 * 1760 + 2 * 10


@pytest.mark.parametrize("shape, shuffle", [((2, 3, 4, 4, 5), False), ((6, 4, 4, 8), True)])
def test_channels_that_cannot_be_halved_and_frames_without_time_are_refused(shape, shuffle):
    with pytest.raises(UserError, match="^`inputs` must be .* Received: shape="):
        GateShift(shuffle=shuffle).build(shape)


def test_without_shuffle_an_even_number_of_channels_will_do():
    layer = GateShift(shuffle=False)
    layer.build((None, None, None, None, 6))
    assert layer.gate_kernel.shape == (3, 3, 3, 3, 2)
