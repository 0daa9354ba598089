"""Gradients by taps: against those by hand in NumPy, and against the loop without them."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from checks import close, compiled, gradients, numpy, randomize
from keras_actrec import _backend
from keras_actrec.errors import UserError
from keras_actrec.layers import (
    HMRNN,
    AttentionCell,
    AttentiveRNN,
    ConvAttentionCell,
    EleAttGRU,
    EleAttLSTM,
    GumbelHardAttention,
    HMRNNCell,
    ReinforceAttention,
    SlowRNN,
    SoftAttention,
)

TIME, BATCH, WIDTH = 5, 3, 4
RNG = np.random.default_rng(0)
SEQUENCE = RNG.normal(size=(TIME, BATCH, WIDTH))
KERNEL, RECURRENT = RNG.normal(size=(2, WIDTH, WIDTH))
BIAS = RNG.normal(size=WIDTH)
START = RNG.normal(size=(BATCH, WIDTH))


def last_state(sequence, kernel, recurrent, bias, start, **options):
    """h_t = tanh([x_t; h_{t-1}] [K; R] + b) + .1 h_{t-1} R: the second kernel is used twice in a step."""
    both = _backend.Linear(kernel, recurrent, bias=bias)
    again = _backend.Linear(recurrent)

    def step(states, x):
        h = ops.tanh(both(x, states[0])) + 0.1 * again(states[0])
        return h, [h]

    outputs, states = _backend.loop(step, [start], sequence, with_taps=True, **options)
    return outputs, states[0]


def by_hand():
    """The sum of squares of all states of `last_state`, and its gradients by all that goes in."""
    h, kept = START, []
    for x in SEQUENCE:
        active = np.tanh(x @ KERNEL + h @ RECURRENT + BIAS)
        kept.append((x, h, active))
        h = active + 0.1 * h @ RECURRENT
    of_kernel, of_recurrent, of_bias = np.zeros_like(KERNEL), np.zeros_like(RECURRENT), np.zeros_like(BIAS)
    of_sequence, back, loss = np.zeros_like(SEQUENCE), np.zeros_like(START), 0
    for t in reversed(range(TIME)):
        x, before, active = kept[t]
        state = active + 0.1 * before @ RECURRENT
        loss += np.sum(state**2)
        back = back + 2 * state
        delta = back * (1 - active**2)
        of_kernel += x.T @ delta
        of_recurrent += before.T @ delta + 0.1 * before.T @ back
        of_bias += delta.sum(0)
        of_sequence[t] = delta @ KERNEL.T
        back = delta @ RECURRENT.T + 0.1 * back @ RECURRENT.T
    return loss, [of_sequence, of_kernel, of_recurrent, of_bias, back]


@pytest.mark.graphs
@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"remat": 1}, {"remat": 2}, {"remat": 7}], ids=str)
def test_gradients_are_those_by_hand(options):
    loss, expected = by_hand()
    values = [np.asarray(x, "float32") for x in (SEQUENCE, KERNEL, RECURRENT, BIAS, START)]

    def squares(*values):
        return ops.sum(ops.square(last_state(*values, **options)[0]))

    close(squares(*map(ops.convert_to_tensor, values)), loss, 1e-5)
    close(gradients(squares, values), expected, 2e-5)


@pytest.mark.parametrize("taps", [False, True])
@pytest.mark.parametrize("columns", [15, 16, 17, 49])
def test_kernels_of_any_number_of_columns_multiply_and_learn(columns, taps):
    # Columns are filled up to whole vectors where there are more than 16.
    kernel, bias = RNG.normal(size=(WIDTH, columns)), RNG.normal(size=columns)
    values = [np.asarray(x, "float32") for x in (SEQUENCE, kernel, bias)]

    def squares(sequence, kernel, bias):
        linear = _backend.Linear(kernel, bias=bias)

        def step(states, x):
            return linear(x), states

        outputs, _ = _backend.loop(step, [ops.zeros((BATCH, 1))], sequence, with_taps=taps)
        return ops.sum(ops.square(outputs))

    outputs = SEQUENCE @ kernel + bias
    by_kernel = 2 * np.einsum("tbd,tbn->dn", SEQUENCE, outputs)
    close(squares(*map(ops.convert_to_tensor, values)), np.sum(outputs**2), 1e-5)
    close(gradients(squares, values), [2 * outputs @ kernel.T, by_kernel, 2 * outputs.sum((0, 1))], 2e-5)


def test_products_without_a_loop_take_any_number_of_axes():
    linear = _backend.Linear(*(np.asarray(x, "float32") for x in (KERNEL, RECURRENT)), bias=np.float32(BIAS))
    x, y = RNG.normal(size=(2, 2, 3, 5, WIDTH)).astype("float32")
    close(linear(ops.convert_to_tensor(x), ops.convert_to_tensor(y)), x @ KERNEL + y @ RECURRENT + BIAS, 1e-5)


FLAT = RNG.normal(size=(BATCH, TIME, WIDTH)).astype("float32")
MAPS = RNG.normal(size=(BATCH, TIME, 6, WIDTH)).astype("float32")
GRIDS = MAPS.reshape(BATCH, TIME, 2, 3, WIDTH)
MASK = np.arange(TIME) < np.array([[5], [3], [4]])
CELLS = keras.layers
LAYERS = {
    "SimpleRNN": (lambda **more: AttentiveRNN(CELLS.SimpleRNNCell(5, use_bias=False), **more), FLAT),
    "LSTM": (lambda **more: AttentiveRNN(CELLS.LSTMCell(5), **more), FLAT),
    "GRU": (lambda **more: AttentiveRNN(CELLS.GRUCell(5), **more), FLAT),
    "GRU, resets first": (lambda **more: SlowRNN(CELLS.GRUCell(5, reset_after=False), 2, **more), FLAT),
    "EleAttGRU": (lambda **more: EleAttGRU(5, **more), FLAT),
    "EleAttLSTM": (lambda **more: EleAttLSTM(5, attention_activation="softmax", **more), FLAT),
    "HMRNN": (lambda **more: HMRNN([5, 4, 3], boundary_noise=False, **more), FLAT),
    "HMRNN, units": (lambda **more: HMRNN(5, boundary="units", top_boundary=False, **more), FLAT),
    "soft": (lambda **more: _attention(SoftAttention(), HMRNNCell(5), **more), MAPS),
    "content": (lambda **more: _attention(SoftAttention(content=True), CELLS.LSTMCell(5), **more), MAPS),
    "Gumbel": (lambda **more: _attention(GumbelHardAttention(), CELLS.GRUCell(5), **more), MAPS),
    "REINFORCE": (lambda **more: _attention(ReinforceAttention(), CELLS.GRUCell(5), **more), MAPS),
    "convolutions": (
        lambda **more: AttentiveRNN(ConvAttentionCell(3, (2, 3)), **more),
        MAPS.reshape(BATCH, TIME, 2, 3, WIDTH),
    ),
}


def _attention(attention, cell, **more):
    return AttentiveRNN(AttentionCell(attention, cell), **more)


def of_training(name, x, **more):
    """Gradients of a layer in training by its input and weights, with the same noise at each call."""
    layer = LAYERS[name][0](return_sequences=True, return_trace=True, **more)
    layer.build(x.shape)
    randomize(layer, scale=1.0)

    def loss(x):
        seed = layer.seed_generator.state
        seed.assign(ops.convert_to_tensor(np.array([3, 0], "uint32")))
        trace = layer(x, mask=ops.convert_to_tensor(MASK), training=True)
        shown = [value for key, value in sorted(trace.items()) if key != "boundaries"]
        return sum(ops.sum(ops.square(value) * ops.sin(1.0 + value)) for value in shown)

    return gradients(loss, [x], layer.trainable_weights)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_the_same_without_taps(name):
    x = LAYERS[name][1]
    found = of_training(name, x, second_order=False, go_backwards=name in ("LSTM", "HMRNN", "soft"))
    expected = of_training(name, x, second_order=True, go_backwards=name in ("LSTM", "HMRNN", "soft"))
    for one, other in zip(found, expected, strict=True):
        close(one, other, 1e-5 * max(1, np.abs(other).max()))
    assert sum(np.abs(other).max() > 0 for other in expected) > 2


@pytest.mark.graphs
@pytest.mark.parametrize("name", ["GRU", "HMRNN", "content", "Gumbel", "convolutions"])
def test_gradients_are_the_same_in_blocks(name):
    # Five steps of which some are masked, in blocks of two.
    x = LAYERS[name][1]
    found = of_training(name, x, remat=2, go_backwards=name == "HMRNN")
    expected = of_training(name, x, go_backwards=name == "HMRNN")
    for one, other in zip(found, expected, strict=True):
        close(one, other, 1e-5 * max(1, np.abs(other).max()))


def test_a_block_runs_again_instead_of_keeping_its_steps():
    calls = []

    def squares(remat, sequence):
        linear = _backend.Linear(np.float32(RECURRENT))

        def step(states, x):
            calls.append(1)
            h = ops.tanh(x + linear(states[0]))
            return h, [h]

        zeros = ops.zeros((BATCH, WIDTH))
        outputs, _ = _backend.loop(step, [zeros], sequence, with_taps=True, remat=remat)
        return ops.sum(ops.square(outputs))

    long = RNG.normal(size=(60, BATCH, WIDTH)).astype("float32")
    if keras.backend.backend() == "jax":
        import jax

        def kept(remat):
            pull_back = jax.vjp(functools.partial(squares, remat), long)[1]
            return sum(leaf.size for leaf in jax.tree.leaves(pull_back))

        assert kept(None) > 4 * long.size and kept(10) < 2.2 * long.size  # sequence and outputs are kept
        return
    gradients(functools.partial(squares, None), [long])
    once = len(calls)
    gradients(functools.partial(squares, 10), [long])
    again = len(calls) - once
    assert once == len(long) and 2 * once <= again <= 2 * once + 1  # TensorFlow traces a step first


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
def test_long_sequences_run_in_blocks_on_tensorflow(monkeypatch):
    from keras_actrec._backend import tensorflow_loop

    sizes, in_blocks = [], tensorflow_loop.in_blocks
    monkeypatch.setattr(
        tensorflow_loop,
        "in_blocks",
        lambda step, run, size, *more: sizes.append(size) or in_blocks(step, run, size, *more),
    )
    monkeypatch.setattr(tensorflow_loop, "_LONG", TIME - 1)
    monkeypatch.setattr(tensorflow_loop, "_BLOCK", 2)
    found = of_training("HMRNN", FLAT)
    monkeypatch.setattr(tensorflow_loop, "_LONG", TIME)
    expected = of_training("HMRNN", FLAT)
    assert sizes == [2]
    for one, other in zip(found, expected, strict=True):
        close(one, other, 1e-5 * max(1, np.abs(other).max()))


@pytest.mark.parametrize("name", ["EleAttGRU", "content", "convolutions"])
def test_blocks_compute_in_half_precision_when_they_run_again(name):
    x = LAYERS[name][1]
    found, expected = (of_training(name, x, remat=remat, dtype="mixed_bfloat16") for remat in (2, None))
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one.astype("float32") - other.astype("float32")).max() < 0.02 * max(
            1, np.abs(other).max()
        )


class Scaling(keras.layers.Layer):
    """A cell that reads a weight in its `call`, and may draw."""

    def __init__(self, noisy=False, **kwargs):
        super().__init__(**kwargs)
        self.state_size = self.output_size = WIDTH
        self.generator = keras.random.SeedGenerator(0) if noisy else None

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(WIDTH,), initializer="ones")

    def call(self, inputs, states):
        h = ops.tanh(inputs * self.scale + states[0])
        return h, [h]


class Stepping(Scaling):
    """The same with a `step` that shows nothing."""

    def step(self, inputs, states, noise=None, training=False):
        return *self.call(inputs, states), {}


def test_cells_of_others_run_again_in_half_precision_and_without_chance(monkeypatch):
    layer = AttentiveRNN(Scaling(), remat=2, dtype="mixed_bfloat16")
    layer.build(FLAT.shape)
    by_x, by_scale = gradients(
        lambda x: ops.sum(ops.cast(layer(x, training=True), "float32")), [FLAT], layer.weights
    )
    assert np.abs(by_x).max() > 0 and np.abs(by_scale).max() > 0
    with pytest.raises(UserError, match="^`remat` needs a cell that draws nothing in a step"):
        AttentiveRNN(Scaling(noisy=True), remat=2)
    asked, loop = [], _backend.loop
    monkeypatch.setattr(_backend, "loop", lambda *a, **b: asked.append(b["remat"]) or loop(*a, **b))
    for noisy in (True, False):
        AttentiveRNN(Scaling(noisy))(FLAT, training=True)
    assert asked == [0, None]  # 0 is never, None as the backend likes
    del asked[:]
    for dtype in ("float32", "mixed_bfloat16"):  # whose weights nothing would cast in a second run
        AttentiveRNN(Stepping(), remat=2, dtype=dtype)(FLAT, training=True)
    assert asked == [2, 0]


def test_blocks_run_again_from_the_states_that_they_began_with():
    def gradient(stateful):
        layer = EleAttGRU(4, stateful=stateful, remat=2)
        layer.build(FLAT.shape)
        randomize(layer)
        (found,) = gradients(lambda x: ops.sum(layer(x, training=True)), [FLAT])
        return found

    close(gradient(True), gradient(False), 1e-6)


@pytest.mark.graphs
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
def test_blocks_are_refused_where_xla_compiles():
    model = keras.Sequential([keras.Input(FLAT.shape[1:]), EleAttGRU(3, remat=2)])
    model.compile("sgd", "mse", jit_compile=True)
    with pytest.raises(
        UserError, match="^`remat` does not go with XLA on TensorFlow: compile the model with"
    ):
        model.train_on_batch(FLAT, np.zeros((BATCH, 3)))


@pytest.mark.graphs
def test_a_network_learns_the_same_in_blocks():
    # As `fit` does, where the number of steps is not known before.
    def weights_after(remat):
        inputs = keras.Input((None, WIDTH))
        steps = EleAttGRU(5, return_sequences=True, remat=remat)(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2)(steps))
        randomize(model)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        for x in (FLAT, FLAT[:, :4]):
            model.train_on_batch(x, np.ones((*x.shape[:2], 2)))
        return [numpy(weight) for weight in model.weights]

    for one, other in zip(weights_after(2), weights_after(None), strict=True):
        close(one, other, 1e-5)


def test_gradients_can_be_differentiated_again_where_it_is_asked_for():
    # A penalty on the gradient by the input: its own gradient by a weight, against differences.
    layer = AttentiveRNN(keras.layers.SimpleRNNCell(WIDTH), second_order=True)
    layer.build(FLAT.shape)
    randomize(layer, scale=0.5)
    weight = layer.cell.recurrent_kernel
    start = numpy(weight)
    found = _penalty_gradient(layer, weight)
    step = 1e-2
    moved = np.zeros_like(start)
    moved[1, 2] = step
    values = []
    for value in (start + moved, start - moved):
        weight.assign(value)
        (gradient,) = gradients(lambda x: ops.sum(layer(x, training=True)), [FLAT])
        values.append(np.sum(gradient.astype("float64") ** 2))
    close(found[1, 2], (values[0] - values[1]) / (2 * step), 2e-2)
    assert abs(found[1, 2]) > 0.05


def _penalty_gradient(layer, weight):
    if keras.backend.backend() == "jax":
        import jax

        def penalty(value):
            with keras.StatelessScope(state_mapping=[(weight, value)]):
                gradient = jax.grad(lambda x: ops.sum(layer(x, training=True)))(FLAT)
            return ops.sum(ops.square(gradient))

        return np.asarray(compiled(jax.grad(penalty))(weight.value))
    if keras.backend.backend() == "torch":
        import torch

        x = torch.tensor(FLAT, requires_grad=True)
        (gradient,) = torch.autograd.grad(layer(x, training=True).sum(), x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), weight.value)[0].numpy()
    import tensorflow as tf

    x = tf.constant(FLAT)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x, training=True))
        penalty = tf.reduce_sum(tape.gradient(total, x) ** 2)
    return outer.gradient(penalty, weight.value).numpy()


def test_a_test_has_no_taps_and_training_has(monkeypatch):
    asked = []
    loop = _backend.loop
    monkeypatch.setattr(_backend, "loop", lambda *a, **b: asked.append(b["with_taps"]) or loop(*a, **b))
    layer = EleAttGRU(3)
    layer(FLAT)
    del asked[:]
    layer(FLAT, training=True), layer(FLAT)
    assert asked == [True, False]


def test_the_switch_is_kept_in_files():
    layer = HMRNN(3, second_order=True)
    assert HMRNN.from_config(layer.get_config()).second_order
    assert not EleAttGRU.from_config(EleAttGRU(3).get_config()).second_order
    assert HMRNN.from_config(HMRNN(3, remat=16).get_config()).remat == 16


@pytest.mark.parametrize("other", ["second_order", "unroll"])
def test_blocks_do_not_go_with_what_keeps_every_step(other):
    with pytest.raises(UserError, match=f"`remat` does not go with `{other}`"):
        EleAttGRU(3, remat=2, **{other: True})
    with pytest.raises(UserError, match="`remat` must be"):
        EleAttGRU(3, remat=0)
