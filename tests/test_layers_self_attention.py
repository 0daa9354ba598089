"""SelfAttention2D against NumPy written from the formula."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, gradients, numpy, randomize, slopes
from keras_actrec.errors import UserError
from keras_actrec.layers import SelfAttention2D

RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(2, 2, 3, 2, 4)).astype("float32")
PROBE = RNG.normal(size=CLIPS.shape).astype("float32")
NAMES = ("query_kernel", "query_bias", "key_kernel", "key_bias", "value_kernel", "value_bias", "gamma")


def made(**arguments):
    layer = SelfAttention2D(**arguments)
    layer.build(CLIPS.shape)
    return randomize(layer, seed=1)


def weights_of(layer):
    return {weight.name: ops.convert_to_numpy(weight).astype("float64") for weight in layer.weights}


def reference(x, weights):
    """Location by location, of clips."""
    x = np.asarray(x, "float64")
    query, key, value = (
        x @ weights[f"{name}_kernel"] + weights[f"{name}_bias"] for name in ("query", "key", "value")
    )
    y = np.zeros_like(x)
    for b, t, h, w in np.ndindex(x.shape[:4]):
        energy = np.exp(key[b, t] @ query[b, t, h, w])
        attended = (energy[..., None] * value[b, t]).sum((0, 1)) / energy.sum()
        y[b, t, h, w] = x[b, t, h, w] + weights["gamma"] * attended
    return y


@pytest.mark.graphs
@pytest.mark.parametrize("time", [False, True])
def test_self_attention_does_what_every_layer_must(time, tmp_path):
    check_layer(
        lambda **kwargs: SelfAttention2D(2, **kwargs),
        (CLIPS if time else CLIPS[:, 0],),
        tmp_path,
        weights={
            **{f"{name}_kernel": (4, 2) for name in ("query", "key")},
            **{f"{name}_bias": (2,) for name in ("query", "key")},
            "value_kernel": (4, 4),
            "value_bias": (4,),
            "gamma": (),
        },
        bad=(
            lambda: SelfAttention2D(0),
            "`key_channels` must be a whole number from 1 to 65536. Received: key_channels=0",
        ),
        time=time,
    )


def test_self_attention_is_the_formula_for_frames_of_any_size():
    layer = made(key_channels=3)
    inputs = keras.Input((None, None, None, 4))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, None, 4)
    for clips in (CLIPS, RNG.normal(size=(1, 1, 1, 4, 4)).astype("float32")):
        close(model.predict_on_batch(clips), reference(clips, weights_of(layer)))


def wave(at, channel, width):
    angle = at / 10000 ** ((channel - channel % 2) / width)
    return np.cos(angle) if channel % 2 else np.sin(angle)


def seen_from(over, shape, place):
    """The places `(t, h, w)` that one attends to."""
    t, h, w = place
    every = np.ndindex(shape)
    return {
        "frame": lambda: [each for each in every if each[0] == t],
        "time": lambda: [each for each in every if each[1:] == (h, w)],
        "clip": lambda: list(every),
    }[over]()


def place_by_hand(over, place, channels):
    """The encoding of a place: the axes that are attended over share the channels, the first ones more."""
    axes = {"frame": (1, 2), "time": (0,), "clip": (0, 1, 2)}[over]
    widths = [channels // len(axes) + (number < channels % len(axes)) for number in range(len(axes))]
    return np.concatenate(
        [
            [wave(place[axis], i, width) for i in range(width)]
            for axis, width in zip(axes, widths, strict=True)
        ]
    )


def reference_over(x, weights, over, positions, mask):
    """Location by location of one clip, with what eq. 3 of the paper has: a map of what was attended to."""
    x, y = np.asarray(x, "float64"), np.zeros(x.shape)
    places = list(np.ndindex(x.shape[:3]))
    placed = {at: x[at] + (place_by_hand(over, at, x.shape[3]) if positions else 0) for at in places}
    maps = {
        name: (lambda value, name=name: value @ weights[f"{name}_kernel"] + weights[f"{name}_bias"])
        for name in ("query", "key", "value", "output")
    }
    for at in places:
        others = [each for each in seen_from(over, x.shape[:3], at) if over == "frame" or mask[each[0]]]
        energies = np.array([maps["query"](placed[at]) @ maps["key"](placed[each]) for each in others])
        shares = np.exp(energies) / np.exp(energies).sum()
        attended = sum(share * maps["value"](x[each]) for share, each in zip(shares, others, strict=True))
        y[at] = x[at] + weights["gamma"] * maps["output"](attended)
    return y


@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("over", ["frame", "time", "clip"])
def test_attention_over_other_axes_with_places_and_a_second_map_is_the_formula(over, positions):
    clips = RNG.normal(size=(2, 3, 2, 3, 7)).astype("float32")
    mask = np.array([[True, True, True], [True, True, False]])
    layer = SelfAttention2D(2, over=over, second_map=True, positions=positions)
    layer.build(clips.shape)
    randomize(layer, seed=1)
    found = layer(clips, mask=mask)
    for clip, steps, each in zip(clips, mask, numpy(found), strict=True):
        close(each, reference_over(clip, weights_of(layer), over, positions, steps), 1e-5)
    inputs = keras.Input((None, None, None, 7)), keras.Input((None,), dtype="bool")
    model = keras.Model(inputs, layer(inputs[0], mask=inputs[1]))
    close(model.predict_on_batch([clips, mask]), found, 1e-5)


def test_a_second_map_has_weights_of_its_own_and_attention_over_time_needs_time():
    layer = SelfAttention2D(over="time", second_map=True)
    layer.build((None, None, None, None, 16))
    shapes = {weight.name: tuple(weight.shape) for weight in layer.weights}
    assert shapes["output_kernel"] == (16, 16) and shapes["output_bias"] == (16,)
    assert set(shapes) == {*NAMES, "output_kernel", "output_bias"}
    with pytest.raises(
        UserError, match=r"`inputs` must be \(B, T, H, W, C\). Received: shape=\(2, 3, 3, 4\)"
    ):
        SelfAttention2D(over="time").build((2, 3, 3, 4))
    with pytest.raises(UserError, match="`over` must be one of frame, time, clip. Received: over='space'"):
        SelfAttention2D(over="space")


@pytest.mark.graphs
def test_attention_over_a_clip_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda **kwargs: SelfAttention2D(2, over="clip", second_map=True, positions=True, **kwargs),
        (CLIPS,),
        tmp_path,
        weights={
            **{f"{name}_kernel": (4, 2) for name in ("query", "key")},
            **{f"{name}_bias": (2,) for name in ("query", "key")},
            **{f"{name}_kernel": (4, 4) for name in ("value", "output")},
            **{f"{name}_bias": (4,) for name in ("value", "output")},
            "gamma": (),
        },
        time=True,
    )


def test_frames_of_a_clip_do_not_see_each_other():
    layer = made()
    close(layer(CLIPS)[:, 1], layer(CLIPS[:, 1]), 1e-6)


def test_the_gradients_are_those_of_finite_differences():
    layer = made(key_channels=2)
    start = weights_of(layer)

    def expected(name):
        if name == "clips":
            return slopes(lambda value: (reference(value, start) * PROBE).sum(), CLIPS)
        return slopes(lambda value: (reference(CLIPS, {**start, name: value}) * PROBE).sum(), start[name])

    found = gradients(lambda x: ops.sum(ops.multiply(layer(x), PROBE)), [CLIPS], layer.trainable_weights)
    names = ["clips", *[weight.name for weight in layer.trainable_weights]]
    assert set(names) == {"clips", *NAMES}
    for name, gradient in zip(names, found, strict=True):
        close(gradient, expected(name), 1e-4)


def test_a_new_layer_is_the_identity_and_learns_gamma_first_and_then_the_rest():
    layer = SelfAttention2D()
    inputs = keras.Input(CLIPS.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    close(layer(CLIPS), CLIPS, 0)
    moved = []
    for _ in range(2):
        before = weights_of(layer)
        model.train_on_batch(CLIPS, PROBE)
        after = weights_of(layer)
        moved.append({name for name in NAMES if np.any(after[name] != before[name])})
    assert moved[0] == {"gamma"}
    assert moved[1] >= set(NAMES) - {"key_bias"}  # which a softmax does not see


def test_energies_that_half_precision_cannot_hold_choose_the_largest():
    layer = SelfAttention2D(1, dtype="mixed_float16")
    layer.build((None, 1, 2, 1))
    for weight in layer.weights:
        weight.assign(np.full(weight.shape, 0.0 if weight.name.endswith("bias") else 1.0))
    frame = np.array([300.0, 400.0]).reshape(1, 1, 2, 1)
    close(numpy(layer(frame)), frame + 400.0, 0)  # energies from 90 000 to 160 000


def test_ten_attentions_add_the_published_number_of_parameters_to_gated_bn_inception():
    # keys are an eighth of the channels, values as wide as the input, all maps have biases
    total = 0
    for channels in (64, 64, 128, 224, 192, 160, 96, 128, 352, 352):
        layer = SelfAttention2D()
        layer.build((None, None, None, channels))
        total += sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
    assert total == 11_015_140 - 10_499_650


def test_few_channels_still_have_one_key_channel():
    assert made().key_kernel.shape == (4, 1)


def test_inputs_of_another_rank_are_refused():
    with pytest.raises(UserError, match="^`inputs` must be .* Received: shape=\\(2, 9, 4\\)"):
        SelfAttention2D().build((2, 9, 4))
