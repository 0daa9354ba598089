"""Zoneout: units that stay as they were in training, and their mean at test."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, numpy, randomize
from keras_actrec import zoo
from keras_actrec.errors import UserError
from keras_actrec.layers import AttentiveRNN, EleAttCell, HMRNNCell, ZoneoutCell

RNG = np.random.default_rng(0)
X, H = RNG.normal(size=(2, 3)).astype("float32"), RNG.normal(size=(2, 4)).astype("float32")
STEPS = RNG.normal(size=(2, 5, 3)).astype("float32")


def gru(**options):
    return keras.layers.GRUCell(4, reset_after=False, **options)


@pytest.mark.graphs
def test_a_zoneout_cell_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda dtype=None: ZoneoutCell(gru(dtype=dtype, name="cell"), 0.3, dtype=dtype),
        (X, [H]),
        tmp_path,
        weights={
            "cell/kernel": (3, 12),
            "cell/recurrent_kernel": (4, 12),
            "cell/bias": (12,),
        },
        bad=(lambda: ZoneoutCell(gru(), 1.0), "`rate` must be at least 0 and below 1. Received: rate=1.0"),
    )


@pytest.mark.parametrize("kind", [gru, lambda: keras.layers.LSTMCell(4)])
def test_a_test_takes_the_mean_of_the_old_and_the_new_state(kind):
    inner = kind()
    cell = ZoneoutCell(inner, 0.25)
    cell.build((None, 3))
    randomize(cell)
    count = len(keras.tree.flatten(cell.state_size))
    x, *states = (ops.convert_to_tensor(each) for each in (X, H, H / 2)[: 1 + count])
    new, others = inner.call(x, states)
    output, found = cell.call(x, states)
    close(output, 0.25 * H + 0.75 * numpy(new))
    close(found[0], output, 0)
    if len(found) > 1:
        close(found[1], others[1], 1e-6)  # c moves on


def test_in_training_each_unit_stays_or_moves_at_each_step_as_often_as_the_rate_says():
    layer = AttentiveRNN(ZoneoutCell(gru(), 0.4), return_sequences=True, seed=0)
    x = np.tile(STEPS[:1], (200, 1, 1))
    layer(x)
    randomize(layer)
    output = numpy(layer(x, training=True))
    before = np.concatenate([np.zeros_like(output[:, :1]), output[:, :-1]], axis=1)
    stays = output == before
    assert abs(stays.mean() - 0.4) < 0.03 and np.all(stays.mean(axis=0) < 0.6)
    inner = layer.cell.cell  # what moves is what the cell gives
    step, state = (ops.convert_to_tensor(each[:, 2]) for each in (x, before))
    new, _ = inner.call(step, [state])
    close(np.where(stays[:, 2], before[:, 2], numpy(new)), output[:, 2], 1e-5)


def test_behind_a_gate_the_noise_reaches_it():
    layer = AttentiveRNN(EleAttCell(ZoneoutCell(gru(), 0.5)), return_trace=True, return_sequences=True)
    first, second = (numpy(layer(STEPS, training=True)["output"]) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    close(layer(STEPS)["output"], layer(STEPS)["output"], 0)


def test_models_have_it_in_training_alone():
    options = {"input_shape": (None, 3), "units": 2, "num_layers": 2, "dropout": 0.0}
    for build in (zoo.eleatt_rnn, zoo.stacked_rnn):
        model = randomize(build(3, zoneout=0.5, **options))
        assert model.count_params() == build(3, **options).count_params()
        close(model(STEPS), model(STEPS), 0)
        first, second = (numpy(model(STEPS, training=True)) for _ in range(2))
        assert np.abs(first - second).max() > 1e-4
    with pytest.raises(UserError, match="`zoneout` must be at least 0 and below 1. Received: zoneout=1.0"):
        zoo.stacked_rnn(3, zoneout=1.0)


def test_a_cell_that_draws_noise_is_refused():
    with pytest.raises(UserError, match="^HMRNNCell draws noise, which zoneout has no place for"):
        ZoneoutCell(HMRNNCell(4))
    with pytest.raises(UserError, match="^`rate` must be at least 0 and below 1. Received: rate=-0.1$"):
        ZoneoutCell(gru(), -0.1)
