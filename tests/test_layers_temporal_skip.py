"""TemporalSkip: what an earlier frame adds."""

import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, gradients, randomize, slopes
from keras_actrec.errors import UserError
from keras_actrec.layers import TemporalSkip

RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(2, 4, 3, 5, 3)).astype("float32")


def reference(x, kernel, connection, delay, strides):
    """Frame by frame, pixel by pixel."""
    batch, time, height, width, _ = x.shape
    rows, columns = range(0, height, strides), range(0, width, strides)
    y = np.zeros((batch, time, len(rows), len(columns), kernel.shape[1]))
    for t in range(delay, time):
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                y[:, t, i, j] = x[:, t - delay, row, column] @ kernel
    return np.maximum(y, 0) if connection == "nonlinear" else y


@pytest.mark.graphs
def test_it_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda **kwargs: TemporalSkip("linear", filters=2, strides=2, **kwargs),
        (CLIPS,),
        tmp_path,
        weights={"kernel": (3, 2)},
        bad=(lambda: TemporalSkip("bilinear"), "`connection` must be one of identity, linear, nonlinear."),
        time=True,
    )


@pytest.mark.parametrize(
    "connection, delay, filters, strides",
    [("identity", 1, None, 1), ("identity", 2, 3, 1), ("linear", 1, 5, 2), ("nonlinear", 3, None, 1)],
)
def test_the_output_is_the_formula_s(connection, delay, filters, strides):
    layer = TemporalSkip(connection, delay, filters, strides)
    layer.build(CLIPS.shape)
    randomize(layer)
    kernel = layer.get_weights()[0] if layer.weights else np.eye(3)
    close(layer(CLIPS), reference(CLIPS, kernel, connection, delay, strides), 1e-5)


@pytest.mark.parametrize("time", [1, 2])
def test_clips_no_longer_than_the_delay_give_zeros_of_their_length(time):
    for connection in ("identity", "nonlinear"):
        found = TemporalSkip(connection, delay=2)(CLIPS[:, :time])
        close(found, np.zeros((2, time, 3, 5, 3)), 0)


def test_the_gradients_are_those_of_the_formula():
    x, toward = CLIPS[:1, :3, :, :3], RNG.normal(size=(1, 3, 2, 2, 2))
    layer = TemporalSkip("nonlinear", 1, 2, 2)
    layer.build(x.shape)
    randomize(layer)
    kernel = layer.get_weights()[0]
    weighed = ops.convert_to_tensor(toward, "float32")
    by_x, by_kernel = gradients(lambda x: ops.sum(layer(x) * weighed), [x], layer.weights)

    def loss(x, kernel):
        return (reference(x, kernel, "nonlinear", 1, 2) * toward).sum()

    close(by_x, slopes(lambda x: loss(x, kernel), x), 1e-4)
    close(by_kernel, slopes(lambda kernel: loss(x, kernel), kernel), 1e-4)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"delay": 0}, "`delay` must be a whole number from 1 to 65536. Received: delay=0"),
        ({"connection": "linear", "filters": 0}, "`filters` must be a whole number from 1 to 65536."),
        ({"connection": "linear", "strides": 1.5}, "`strides` must be a whole number from 1 to 65536."),
        ({"strides": 2}, '`strides` needs `connection="linear"`. Received: strides=2'),
        ({"filters": 4}, "An identity keeps the 3 channels of its input. Received: filters=4"),
    ],
)
def test_a_bad_argument_is_named_in_one_line(arguments, message):
    with pytest.raises(UserError) as caught:
        TemporalSkip(**arguments)(CLIPS)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
