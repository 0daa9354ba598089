"""The recurrent loop against the same loop in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import close, gradients
from keras_actrec import _backend

TIME, BATCH = 4, 3
RNG = np.random.default_rng(0)
SEQUENCES = {
    "x": RNG.normal(size=(TIME, BATCH, 2)).astype("float32"),
    "deep": [RNG.normal(size=(TIME, BATCH, 1)).astype("float32")],
}
STATES = [np.ones((BATCH, 2), "float32"), np.zeros((BATCH, 1), "float32")]


def step(states, inputs):
    total, last = states
    total = 0.5 * total + inputs["x"]
    outputs = {"sum": total, "more": [total[:, :1] * inputs["deep"][0], last]}
    return outputs, [total, inputs["deep"][0]]


def by_hand(sequences):
    total, last = STATES
    outputs = {"sum": [], "more": [[], []]}
    for x, deep in zip(sequences["x"], sequences["deep"][0], strict=True):
        total = 0.5 * total + x
        outputs["sum"].append(total)
        outputs["more"][0].append(total[:, :1] * deep)
        outputs["more"][1].append(last)
        last = deep
    outputs = {"sum": np.stack(outputs["sum"]), "more": [np.stack(part) for part in outputs["more"]]}
    return outputs, [total, last]


def tensors(structure):
    return keras.tree.map_structure(ops.convert_to_tensor, structure)


@pytest.mark.parametrize("unroll", [False, True])
def test_outputs_and_states_are_those_of_a_python_loop(unroll):
    outputs, states = _backend.loop(step, tensors(STATES), tensors(SEQUENCES), unroll=unroll)
    expected, expected_states = by_hand(SEQUENCES)
    assert set(outputs) == {"sum", "more"}
    close(outputs["sum"], expected["sum"], 1e-6)
    close(outputs["more"], expected["more"], 1e-6)
    close(states, expected_states, 1e-6)


@pytest.mark.parametrize("unroll", [False, True])
def test_one_step_is_a_sequence_too(unroll):
    short = keras.tree.map_structure(lambda x: x[:1], SEQUENCES)
    outputs, states = _backend.loop(step, tensors(STATES), tensors(short), unroll=unroll)
    expected, expected_states = by_hand(short)
    close([outputs["sum"], states], [expected["sum"], expected_states], 1e-6)


@pytest.mark.parametrize("unroll", [False, True])
def test_a_step_without_outputs_gives_its_last_states(unroll):
    outputs, states = _backend.loop(
        lambda states, inputs: ({}, [states[0] + inputs["x"]]),
        tensors(STATES[:1]),
        tensors({"x": SEQUENCES["x"]}),
        unroll=unroll,
    )
    assert outputs == {}
    close(states[0], 1 + SEQUENCES["x"].sum(0), 1e-6)


@pytest.mark.parametrize("unroll", [False, True])
def test_gradients_reach_every_step(unroll):
    # The state at the end is sum_t .5^(T-1-t) x_t + .5^T; the gradient of a sum of its entries is .5^(T-1-t).
    def loss(x):
        def decay(states, x):
            state = 0.5 * states[0] + x
            return state, [state]

        _, states = _backend.loop(decay, tensors(STATES[:1]), x, unroll=unroll)
        return ops.sum(states[0])

    (found,) = gradients(loss, [SEQUENCES["x"]])
    expected = 0.5 ** np.arange(TIME - 1, -1, -1).reshape(TIME, 1, 1) * np.ones_like(found)
    close(found, expected, 1e-6)


def test_the_length_is_known_behind_the_loop_where_it_is_before():
    class Cumulative(keras.layers.Layer):
        def call(self, x):
            x = ops.transpose(x, (1, 0, 2))
            outputs, _ = _backend.loop(lambda s, x: (s[0] + x, [s[0] + x]), [ops.zeros_like(x[0])], x)
            self.length = outputs.shape[0]
            return ops.transpose(outputs, (1, 0, 2))

    layer = Cumulative()
    inputs = keras.Input((TIME, 2))
    model = keras.Model(inputs, layer(inputs))
    x = SEQUENCES["x"].transpose(1, 0, 2)
    close(model.predict(x, verbose=0), np.cumsum(x, axis=1), 1e-6)
    assert layer.length == TIME


def test_the_devices_have_names():
    assert any("cpu" in name.lower() for name in _backend.devices())
