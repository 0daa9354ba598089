"""Layers over the steps of a sequence: what is last, what changes, normal ones, slow ones."""

import keras
import numpy as np
import pytest

from checks import check_layer, close, numpy, randomize
from keras_actrec.errors import UserError
from keras_actrec.layers import (
    AtEveryLocation,
    InitialStates,
    LastStep,
    MotionGrid,
    PixelGrid,
    SlowRNN,
    StepAttention,
    StepCentering,
    StepNormalization,
)

STEPS = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
MASK = np.array([[True, True, False, False], [True, True, True, True]])


@pytest.mark.graphs
def test_last_step_does_what_every_layer_must(tmp_path):
    check_layer(lambda dtype=None: LastStep(dtype=dtype), (STEPS,), tmp_path, weights={}, time=True)


def test_the_last_step_is_the_last_one_that_the_mask_leaves():
    close(LastStep()(STEPS), STEPS[:, -1], 0)
    close(LastStep()(STEPS, mask=MASK), np.stack([STEPS[0, 1], STEPS[1, 3]]), 0)
    gap = np.array([[True, False, True, False], [False, True, False, False]])
    close(LastStep()(STEPS, mask=gap), np.stack([STEPS[0, 2], STEPS[1, 1]]), 0)


@pytest.mark.graphs
def test_step_centering_does_what_every_layer_must(tmp_path):
    check_layer(lambda dtype=None: StepCentering(dtype=dtype), (STEPS,), tmp_path, weights={}, time=True)


def test_the_mean_over_the_steps_that_count_is_taken_from_them():
    close(StepCentering()(STEPS), STEPS - STEPS.mean(1, keepdims=True))
    maps = np.random.default_rng(1).normal(size=(2, 4, 2, 2, 3)).astype("float32")
    maps[0, 2:] = np.nan  # padding may hold anything
    found = numpy(StepCentering()(maps, mask=MASK))
    close(found[0, :2], maps[0, :2] - maps[0, :2].mean(0))
    close(found[0, 2:], np.zeros((2, 2, 2, 3)))
    close(found[1], maps[1] - maps[1].mean(0))
    nothing = np.zeros((2, 4), bool)
    close(StepCentering()(STEPS, mask=nothing), np.zeros_like(STEPS))


KEYS = np.random.default_rng(2).normal(size=(2, 4, 5)).astype("float32")


@pytest.mark.graphs
def test_step_attention_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda dtype=None: StepAttention(6, dtype=dtype),
        (STEPS, KEYS),
        tmp_path,
        weights={"kernel": (5, 6), "bias": (6,), "scores": (6, 1)},
        bad=(lambda: StepAttention(0), "`units` must be a whole number from 1"),
    )


def test_steps_count_by_what_they_are_and_padding_does_not():
    layer = StepAttention(6)
    close(layer(STEPS, KEYS), STEPS.mean(1))  # a new one is the mean
    close(layer(STEPS, KEYS, mask=MASK), np.stack([STEPS[0, :2].mean(0), STEPS[1].mean(0)]))
    randomize(layer)
    kernel, bias, scores = (numpy(weight) for weight in (layer.kernel, layer.bias, layer.scores))
    logits = np.tanh(KEYS @ kernel + bias) @ scores  # (B, T, 1)
    weights = np.exp(logits) * MASK[..., None]
    close(layer(STEPS, KEYS, mask=MASK), (weights * STEPS).sum(1) / weights.sum(1))


MAPS = np.random.default_rng(1).normal(size=(2, 4, 2, 3, 5)).astype("float32")


@pytest.mark.graphs
def test_a_motion_grid_does_what_every_layer_must(tmp_path):
    check_layer(lambda dtype=None: MotionGrid(dtype=dtype), (MAPS,), tmp_path, weights={}, time=True)


def test_a_motion_grid_by_hand():
    change = np.abs(np.diff(MAPS, axis=1, prepend=MAPS[:, :1])).reshape(2, 4, 30)
    close(MotionGrid()(MAPS), np.sqrt(change / change.mean((1, 2), keepdims=True)), 2e-3)
    padded = MAPS.copy()
    padded[0, 2:] = np.nan
    found = numpy(MotionGrid()(padded, mask=MASK))
    close(found[0, :2], np.sqrt(change[0, :2] / change[0, :2].mean()), 2e-3)
    close(found[0, 2:], np.zeros((2, 30)))
    still = numpy(MotionGrid()(np.ones((1, 3, 2, 2, 1), "float32")))
    assert np.isfinite(still).all() and still.max() < 0.01


@pytest.mark.graphs
def test_a_pixel_grid_does_what_every_layer_must(tmp_path):
    frames = np.random.default_rng(2).uniform(0, 255, (2, 8, 12, 3)).astype("float32")
    check_layer(lambda dtype=None: PixelGrid((2, 3), dtype=dtype), (frames,), tmp_path, weights={})


def test_a_pixel_grid_has_four_squares_of_each_cell():
    frames = np.random.default_rng(2).integers(0, 256, (2, 8, 12, 3)).astype("uint8")
    found = numpy(PixelGrid((2, 3))(frames))
    gray = frames.mean(-1) / 255
    for row in range(2):
        for column in range(3):
            cell = gray[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            squares = [cell[:, y : y + 2, x : x + 2].mean((1, 2)) for y in (0, 2) for x in (0, 2)]
            close(found[:, row, column], np.stack(squares, axis=-1))
    with pytest.raises(UserError, match="2 x 3 cells of pixels need frames whose height is a multiple of 4"):
        PixelGrid((2, 3))(frames[:, :7])


@pytest.mark.graphs
def test_step_normalization_does_what_every_layer_must(tmp_path):
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    check_layer(
        lambda dtype=None: StepNormalization(dtype=dtype),
        (STEPS,),
        tmp_path,
        weights=dict.fromkeys(names, (3,)),
        time=True,
    )


def test_padding_has_no_part_in_the_statistics_of_a_step_normalization():
    maps = np.random.default_rng(1).normal(size=(2, 4, 2, 2, 3)).astype("float32")
    layer = StepNormalization(center=False, scale=False, momentum=0.0, epsilon=0.0)
    seen = maps[MASK]  # (6, 2, 2, 3)
    mean, variance = seen.mean((0, 1, 2)), seen.var((0, 1, 2))
    close(numpy(layer(maps, training=True, mask=MASK))[MASK], (seen - mean) / np.sqrt(variance), 1e-4)
    close(layer.moving_mean, mean, 1e-5)
    close(layer.moving_variance, variance, 1e-5)


@pytest.mark.graphs
def test_slow_rnn_does_what_every_layer_must(tmp_path):
    def make(dtype=None):
        cell = keras.layers.SimpleRNNCell(2, name="cell")
        return SlowRNN(cell, 2, return_sequences=True, dtype=dtype)

    check_layer(
        make,
        (STEPS,),
        tmp_path,
        weights={"cell/kernel": (3, 2), "cell/recurrent_kernel": (2, 2), "cell/bias": (2,)},
        time=True,
        bad=(
            lambda: SlowRNN(keras.layers.SimpleRNNCell(2), 0),
            "`step_every` must be a whole number from 1 to 65536. Received: step_every=0",
        ),
    )


def test_a_slow_rnn_steps_at_every_other_step_and_keeps_its_output_in_between():
    layer = SlowRNN(keras.layers.SimpleRNNCell(2), 2, return_sequences=True)
    layer.build(STEPS.shape)
    randomize(layer)
    kernel, recurrent, bias = (numpy(weight) for weight in layer.weights)
    first = np.tanh(STEPS[:, 0] @ kernel + bias)
    second = np.tanh(STEPS[:, 2] @ kernel + first @ recurrent + bias)
    close(layer(STEPS), np.stack([first, first, second, second], axis=1))
    # The second step of the first sequence is padding.
    expected = np.stack([first[0], first[0], first[0], first[0]])
    close(layer(STEPS, mask=MASK)[0], expected)


@pytest.mark.graphs
def test_a_vector_of_a_step_is_put_behind_each_of_its_locations(tmp_path):
    locations = np.random.default_rng(2).normal(size=(2, 4, 5, 3)).astype("float32")
    layer = lambda dtype=None: AtEveryLocation(dtype=dtype)  # noqa: E731
    check_layer(layer, (locations, STEPS[..., :2]), tmp_path, weights={}, time=True)
    expected = np.concatenate([locations, np.repeat(STEPS[:, :, None, :2], 5, axis=2)], axis=-1)
    close(AtEveryLocation()(locations, STEPS[..., :2]), expected, 0)


@pytest.mark.graphs
def test_states_begin_with_those_of_the_first_layer(tmp_path):
    h, c = STEPS[:, 0], STEPS[:, 1]
    check_layer(lambda dtype=None: InitialStates(5, 2, dtype=dtype), (h, c), tmp_path, weights={})
    nothing = np.zeros((2, 2), "float32")
    expected = np.concatenate([h, nothing], axis=1), np.concatenate([c, nothing], axis=1), nothing
    close(InitialStates(5, 2)(h, c), expected, 0)
