"""Element-wise attention gates around Keras cells, against NumPy written from the equations."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, gradients, numpy, randomize
from keras_actrec.errors import UserError
from keras_actrec.layers import (
    AttentionCell,
    AttentiveRNN,
    EleAttCell,
    EleAttGRU,
    EleAttGRUCell,
    EleAttLSTM,
    EleAttLSTMCell,
    EleAttSimpleRNN,
    EleAttSimpleRNNCell,
    HMRNNCell,
    SoftAttention,
)

BATCH, TIME, CHANNELS, UNITS = 2, 3, 4, 2
RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(BATCH, TIME, CHANNELS)).astype("float32")
MASK = np.array([[True, True, False], [True] * 3])  # the first clip has two steps
LAYERS = {"rnn": EleAttSimpleRNN, "gru": EleAttGRU, "lstm": EleAttLSTM}
CELLS = {"rnn": EleAttSimpleRNNCell, "gru": EleAttGRUCell, "lstm": EleAttLSTMCell}
FORMS = [(kind, gate) for kind in LAYERS for gate in ("sigmoid", "softmax")]
GATE = {
    "attention_kernel": (CHANNELS, CHANNELS),
    "attention_recurrent_kernel": (UNITS, CHANNELS),
    "attention_bias": (CHANNELS,),
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def simple_rnn(w, x, states):
    h = np.tanh(x @ w["kernel"] + states[0] @ w["recurrent_kernel"] + w["bias"])
    return [h]


def gru(w, x, states):
    (h,) = states
    kernels, recurrent, biases = (np.split(w[k], 3, -1) for k in ("kernel", "recurrent_kernel", "bias"))
    z, r = (sigmoid(x @ kernels[i] + h @ recurrent[i] + biases[i]) for i in (0, 1))
    candidate = np.tanh(x @ kernels[2] + (r * h) @ recurrent[2] + biases[2])  # reset before the product
    return [z * h + (1 - z) * candidate]


def lstm(w, x, states):
    h, c = states
    i, f, g, o = np.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


STEPS = {"rnn": (simple_rnn, 1), "gru": (gru, 1), "lstm": (lstm, 2)}


def reference(kind, gate, w, clips):
    """Outputs, gates and last states of the gated layer."""
    step, count = STEPS[kind]
    states, outputs, gates = [np.zeros((len(clips), UNITS))] * count, [], []
    for x in np.swapaxes(clips, 0, 1):
        logits = x @ w["attention_kernel"] + states[0] @ w["attention_recurrent_kernel"] + w["attention_bias"]
        gates.append(sigmoid(logits) if gate == "sigmoid" else softmax(logits))
        states = step(w, gates[-1] * x, states)
        outputs.append(states[0])
    return np.stack(outputs, 1), np.stack(gates, 1), states


def made(kind, gate="sigmoid", **kwargs):
    """A layer with weights from NumPy."""
    layer = LAYERS[kind](UNITS, gate, return_sequences=True, **kwargs)
    layer.build(CLIPS.shape)
    return randomize(layer, seed=1, scale=1.0)


def weights_of(layer):
    return {weight.name: ops.convert_to_numpy(weight).astype("float64") for weight in layer.weights}


@pytest.mark.graphs
def test_the_gate_around_a_cell_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda dtype=None: EleAttCell(
            keras.layers.GRUCell(UNITS, reset_after=False, name="gru", dtype=dtype), "softmax", dtype=dtype
        ),
        (CLIPS[:, 0], [RNG.normal(size=(BATCH, UNITS))]),
        tmp_path,
        weights=GATE | {"gru/kernel": (CHANNELS, 6), "gru/recurrent_kernel": (UNITS, 6), "gru/bias": (6,)},
        bad=(
            lambda: EleAttCell(keras.layers.GRUCell(2), activation="tanh"),
            "The gate's activation must be one of sigmoid, softmax. Received: 'tanh'",
        ),
    )


@pytest.mark.graphs
def test_a_named_cell_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda **kwargs: EleAttLSTMCell(UNITS, use_bias=False, **kwargs),
        (CLIPS[:, 0], list(RNG.normal(size=(2, BATCH, UNITS)))),
        tmp_path,
        weights=GATE | {"cell/kernel": (CHANNELS, 8), "cell/recurrent_kernel": (UNITS, 8)},
        bad=(
            lambda: EleAttLSTMCell(2.5),
            "`units` must be a whole number from 1 to 65536. Received: units=2.5",
        ),
    )


@pytest.mark.graphs
def test_a_named_layer_does_what_every_layer_must(tmp_path):
    shapes = GATE | {
        "cell/kernel": (CHANNELS, 6),
        "cell/recurrent_kernel": (UNITS, 6),
        "cell/bias": (6,),
    }
    check_layer(
        lambda **kwargs: EleAttGRU(UNITS, return_sequences=True, return_trace=True, **kwargs),
        (CLIPS,),
        tmp_path,
        weights={f"cell/{name}": shape for name, shape in shapes.items()},
        bad=(
            lambda: EleAttGRU(UNITS, reset_after=True),
            "`reset_after` must be False. Received: reset_after=True",
        ),
        time=True,
        pick=lambda trace: trace["output"],
    )


@pytest.mark.parametrize("kind, gate", FORMS)
def test_every_step_is_that_of_the_equations(kind, gate):
    layer = made(kind, gate, return_state=True, return_trace=True)
    trace, *states = layer(CLIPS)
    outputs, gates, last = reference(kind, gate, weights_of(layer), CLIPS)
    close(trace, {"output": outputs, "gates": gates})
    close(states, last)


@pytest.mark.parametrize("kind, gate", FORMS)
def test_the_gradients_are_those_of_the_equations(kind, gate):
    layer = made(kind, gate)
    probe = RNG.normal(size=(BATCH, TIME, UNITS))

    def loss(clips):
        return ops.sum(layer(clips) * ops.cast(probe, "float32"))

    found = gradients(loss, [CLIPS], layer.trainable_weights)
    clips, weights = CLIPS.astype("float64"), weights_of(layer)
    arrays = [clips, *(weights[weight.name] for weight in layer.trainable_weights)]
    for array, gradient in zip(arrays, found, strict=True):
        numeric = np.zeros_like(array)
        for position in np.ndindex(array.shape):
            kept, values = array[position], []
            for shift in (1e-6, -1e-6):
                array[position] = kept + shift
                values.append(np.sum(reference(kind, gate, weights, clips)[0] * probe))
            array[position] = kept
            numeric[position] = (values[0] - values[1]) / 2e-6
        close(gradient, numeric, 1e-4)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_stock_layer_runs_the_cell_too(kind):
    cell = CELLS[kind](UNITS, "softmax")
    ours = AttentiveRNN(cell, return_sequences=True, return_state=True)
    stock = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    ours.build(CLIPS.shape)
    randomize(ours)
    close(stock(CLIPS, mask=MASK), ours(CLIPS, mask=MASK), 1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_padding_with_its_mask_is_the_shorter_clip(kind):
    layer = made(kind, return_state=True, return_trace=True)
    clips = np.where(MASK[:, :, None], CLIPS, 100)
    trace, *states = layer(clips, mask=MASK)
    short, *short_states = layer(CLIPS[:1, :2])
    for key in ("output", "gates"):
        close(trace[key][:1, :2], short[key])
    close([state[:1] for state in states], short_states)
    close(trace["output"][:1, 2], short["output"][:, 1])  # held
    assert not np.any(numpy(trace["gates"])[0, 2])


def test_the_arguments_of_the_keras_namesake_reach_the_inner_cell_and_the_others_the_layer():
    layer = EleAttGRU(
        np.int64(3),
        attention_activation="softmax",
        activation="relu",
        kernel_initializer="zeros",
        recurrent_regularizer="l2",
        use_bias=False,
        go_backwards=True,
        return_trace=True,
        trainable=False,
        name="gated",
    )
    for each in (layer, EleAttGRU.from_config(layer.get_config())):
        inner = each.cell.cell
        assert (inner.units, inner.use_bias, inner.reset_after) == (3, False, False)
        assert inner.activation is keras.activations.relu
        assert type(inner.kernel_initializer) is keras.initializers.Zeros
        assert type(inner.recurrent_regularizer) is keras.regularizers.L2
        assert each.cell.activation == "softmax"
        assert (each.name, each.trainable) == ("gated", False)
        assert each.go_backwards and each.return_trace


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: EleAttGRUCell(0), "`units` must be a whole number from 1 to 65536. Received: units=0"),
        (lambda: EleAttGRUCell(2, "relu"), "The gate's activation must be one of sigmoid, softmax."),
        (lambda: EleAttLSTM(2, dropout=0.5), "`cell` must not have `dropout`"),
        (lambda: EleAttCell(keras.layers.GRUCell(2, recurrent_dropout=0.5)), "`cell` must not have `recur"),
        (lambda: EleAttGRU(2)(np.zeros((1, 3, 4, 5))), "The element-wise gate takes (B, D) a step. Received"),
    ],
)
def test_a_bad_argument_is_named(make, message):
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_argument_that_neither_the_cell_nor_the_layer_has_is_refused():
    with pytest.raises(ValueError, match="unit_forget_bias"):
        EleAttGRU(2, unit_forget_bias=True)


def test_noise_and_boundaries_of_the_inner_cell_are_kept():
    layer = AttentiveRNN(EleAttCell(HMRNNCell(UNITS, num_layers=2)), return_trace=True, seed=1)
    clips = RNG.normal(size=(16, 8, CHANNELS)).astype("float32")
    plain, noisy = (layer(clips, training=training) for training in (False, True))
    assert {key: tuple(value.shape) for key, value in plain.items()} == {
        "output": (16, 2 * UNITS),
        "gates": (16, 8, CHANNELS),
        "boundaries": (16, 8, 2),
        "updates": (16, 8, 2),
    }
    assert np.any(numpy(plain["boundaries"]) != numpy(noisy["boundaries"]))


def test_attention_over_locations_may_stand_in_front_of_the_gate():
    cell = AttentionCell(SoftAttention(), EleAttGRUCell(UNITS))
    layer = AttentiveRNN(cell, return_trace=True, dtype="mixed_bfloat16")
    trace = layer(np.ones((BATCH, TIME, 5, CHANNELS), "float32"))
    assert {key: tuple(value.shape) for key, value in trace.items()} == {
        "output": (BATCH, UNITS),
        "attention": (BATCH, TIME, 5),
        "gates": (BATCH, TIME, CHANNELS),
    }
    assert cell.cell.cell.compute_dtype == "bfloat16"  # however deep the cell lies


# --- any Keras cell


@pytest.mark.parametrize("arguments", [{}, {"use_bias": False, "recurrent_activation": "softmax"}])
def test_a_keras_gru_that_resets_first_gives_what_it_gives_in_keras(arguments):
    cell = keras.layers.GRUCell(UNITS, reset_after=False, **arguments)
    ours = AttentiveRNN(cell, return_sequences=True)
    ours.build(CLIPS.shape)
    randomize(ours, scale=1.0)
    close(ours(CLIPS), keras.layers.RNN(cell, return_sequences=True)(CLIPS), 1e-6)


class Sum(keras.layers.Layer):
    """A cell with no more than Keras asks for: the sum of its inputs."""

    state_size = CHANNELS

    def call(self, inputs, states):
        return inputs + states[0], [inputs + states[0]]


class TrainingSum(Sum):
    """Counts double in training."""

    def call(self, inputs, states, training=False):
        return super().call(2 * inputs if training else inputs, states)


@pytest.mark.parametrize("cell, factor", [(Sum, 1), (TrainingSum, 2)])
def test_a_cell_hears_of_training_where_it_takes_it(cell, factor):
    total = CLIPS.sum(1)
    layer = AttentiveRNN(cell())
    close(layer(CLIPS), total)
    close(layer(CLIPS, training=True), factor * total)
    gated = AttentiveRNN(EleAttCell(cell()))
    gated.build(CLIPS.shape)
    for weight in gated.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    for loop in (gated, keras.layers.RNN(gated.cell)):  # open half way
        close(loop(CLIPS), total / 2)
        close(loop(CLIPS, training=True), factor * total / 2)
    attended = AttentiveRNN(AttentionCell(SoftAttention(), cell()))
    zeros = [np.zeros((BATCH, CHANNELS), "float32")]
    twice = np.stack([CLIPS, CLIPS], axis=2)  # wherever it looks it sees the same
    close(attended(twice, initial_state=zeros, training=True), factor * total)
