"""ConvLSTMCell and ConvAttentionCell: their formulas, alone and in a recurrent layer."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, compiled, gradients, randomize
from keras_actrec.errors import UserError
from keras_actrec.layers import AttentiveRNN, ConvAttentionCell, ConvLSTMCell

BATCH, TIME, HEIGHT, WIDTH, CHANNELS, FILTERS = 2, 3, 2, 3, 3, 2
STATE = HEIGHT * WIDTH * FILTERS
RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(BATCH, TIME, HEIGHT, WIDTH, CHANNELS)).astype("float32")
STATES = [RNG.normal(size=(BATCH, STATE)).astype("float32") for _ in "hc"]
LSTM = {"kernel": (3, 3, CHANNELS, 8), "recurrent_kernel": (3, 3, FILTERS, 8), "bias": (8,)}
ATTENTION = {
    "attention_kernel": (CHANNELS, FILTERS),
    "attention_recurrent_kernel": (FILTERS, FILTERS),
    "attention_bias": (FILTERS,),
    "score_kernel": (FILTERS, 1),
}
CELLS = {ConvLSTMCell: LSTM, ConvAttentionCell: LSTM | ATTENTION}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def conv(x, kernel):
    """3 x 3, zeros around, pixel by pixel."""
    y = np.zeros((*x.shape[:3], kernel.shape[-1]))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            for i in range(3):
                for j in range(3):
                    r, c = row + i - 1, column + j - 1
                    if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
                        y[:, row, column] += x[:, r, c] @ kernel[i, j]
    return y


def reference(x, h, c, weights):
    """One step: h, c, and alpha where the weights have an attention."""
    h, c = (state.reshape(-1, HEIGHT, WIDTH, FILTERS) for state in (h, c))
    alpha = None
    if "score_kernel" in weights:
        logits = np.zeros((len(x), HEIGHT, WIDTH))
        for row in range(HEIGHT):
            for column in range(WIDTH):
                hidden = x[:, row, column] @ weights["attention_kernel"] + weights["attention_bias"]
                hidden = hidden + h[:, row, column] @ weights["attention_recurrent_kernel"]
                logits[:, row, column] = (np.tanh(hidden) @ weights["score_kernel"])[:, 0]
        alpha = np.exp(logits) / np.exp(logits).sum(axis=(1, 2), keepdims=True)
        x = x * alpha[..., None]
        alpha = alpha.reshape(len(x), -1)
    total = conv(x, weights["kernel"]) + conv(h, weights["recurrent_kernel"]) + weights["bias"]
    i, f, g, o = (total[..., part * FILTERS : (part + 1) * FILTERS] for part in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h.reshape(len(x), -1), c.reshape(len(x), -1), alpha


def built(cell_class):
    cell = cell_class(FILTERS, (HEIGHT, WIDTH))
    cell.build((None, HEIGHT, WIDTH, CHANNELS))
    cell.built = True
    randomize(cell, seed=1)
    names = [weight.name for weight in cell.weights]
    return cell, dict(zip(names, cell.get_weights(), strict=True))


@pytest.mark.graphs
@pytest.mark.parametrize("cell_class", CELLS)
def test_a_cell_does_what_every_layer_must(cell_class, tmp_path):
    check_layer(
        lambda **kwargs: cell_class(FILTERS, (HEIGHT, WIDTH), **kwargs),
        (CLIPS[:, 0], STATES),
        tmp_path,
        weights=CELLS[cell_class],
        bad=(
            lambda: cell_class(0, (HEIGHT, WIDTH)),
            "`filters` must be a whole number from 1 to 65536. Received: filters=0",
        ),
    )


@pytest.mark.parametrize("cell_class", CELLS)
def test_a_step_is_the_formula_s(cell_class):
    cell, weights = built(cell_class)
    output, (h, c), trace = cell.step(CLIPS[:, 0], STATES)
    expected_h, expected_c, alpha = reference(CLIPS[:, 0], *STATES, weights)
    close([output, h, c], [expected_h, expected_h, expected_c], 1e-5)
    assert set(trace) == ({"attention"} if alpha is not None else set())
    if alpha is not None:
        close(trace["attention"], alpha, 1e-5)


@pytest.mark.parametrize("cell_class", CELLS)
def test_a_map_may_come_as_a_vector(cell_class):
    cell, _ = built(cell_class)
    flat = cell_class.from_config(cell.get_config())
    flat.build((None, HEIGHT * WIDTH * CHANNELS))
    flat.set_weights(cell.get_weights())
    close(flat(CLIPS[:, 0].reshape(BATCH, -1), STATES), cell(CLIPS[:, 0], STATES), 0)


def test_the_gradients_are_those_of_the_formula():
    cell, weights = built(ConvAttentionCell)
    x, toward = CLIPS[:1, 0], RNG.normal(size=(2, 1, STATE))
    h, c = (state[:1] for state in STATES)

    def loss(x, h, c):
        _, states, _ = cell.step(x, [h, c])
        return ops.sum(ops.stack(states) * ops.convert_to_tensor(toward, "float32"))

    found = gradients(loss, [x, h, c], cell.weights)
    values = [np.array(v, "float64") for v in (x, h, c, *weights.values())]

    def total():
        x, h, c, *rest = values
        new = reference(x, h, c, dict(zip(weights, rest, strict=True)))
        return (new[0] * toward[0]).sum() + (new[1] * toward[1]).sum()

    for value, gradient in zip(values, found, strict=True):
        for index in list(np.ndindex(value.shape))[:: max(1, value.size // 20)]:
            kept, ends = value[index], []
            for step in (1e-5, -1e-5):
                value[index] = kept + step
                ends.append(total())
            value[index] = kept
            np.testing.assert_allclose(gradient[index], (ends[0] - ends[1]) / 2e-5, rtol=1e-4, atol=1e-4)


def test_a_recurrent_layer_carries_the_states_and_shows_the_attention():
    cell, weights = built(ConvAttentionCell)
    trace = AttentiveRNN(cell, return_sequences=True, return_trace=True)(CLIPS, initial_state=STATES)
    h, c = STATES
    for t in range(TIME):
        h, c, alpha = reference(CLIPS[:, t], h, c, weights)
        close(trace["output"][:, t], h, 1e-5)
        close(trace["attention"][:, t], alpha, 1e-5)


def test_a_recurrent_layer_of_keras_gives_the_same():
    cell, _ = built(ConvAttentionCell)
    ours, stock = AttentiveRNN(cell, return_state=True), keras.layers.RNN(cell, return_state=True)
    mask = np.array([[True, True, False], [True] * 3])
    found, expected = (compiled(lambda x, layer=layer: layer(x, mask=mask))(CLIPS) for layer in (ours, stock))
    close(list(found), list(expected), 1e-6)
    close(list(found[:2]), [found[0], found[0]], 0)


@pytest.mark.parametrize("cell_class", CELLS)
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": (0, 3)}, "`size` must be a whole number from 1 to 65536. Received: size=0"),
        ({"size": (2, 3, 1)}, "`size` must be (height, width). Received: size=(2, 3, 1)"),
        ({"size": (3, 3)}, "`inputs` must be (B, 3, 3, D). Received: shape=(2, 2, 3, 3)"),
        ({"kernel_size": 0}, "`kernel_size` must be a whole number from 1 to 65536. Received: kernel_size=0"),
    ],
)
def test_a_bad_argument_is_named_in_one_line(cell_class, arguments, message):
    with pytest.raises(UserError) as caught:
        cell = cell_class(**{"filters": FILTERS, "size": (HEIGHT, WIDTH), **arguments})
        cell(CLIPS[:, 0], STATES)
    assert str(caught.value) == message
