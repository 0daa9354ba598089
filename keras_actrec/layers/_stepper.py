"""How a cell does one step, settled before the loop."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

from keras_actrec import _backend
from keras_actrec._types import Tensor

# Output, states and traces of a step.
Stepped: TypeAlias = tuple[Tensor, list[Tensor], dict[str, Tensor]]


def _as_they_are(inputs: Tensor) -> Any:
    return inputs


class Step(NamedTuple):
    """What a cell does at every step, and what can be done for all steps before the first.

    `run(prepared, states, noise=None)` gives output, states and traces. `prepare(inputs)` makes `prepared`, a
    tensor or a structure of tensors, of one step `(B, ...)` or of all of them `(T, B, ...)`: products of the
    inputs alone, which are faster for all steps at once.
    """

    run: Callable[..., Stepped]
    prepare: Callable[[Tensor], Any] = _as_they_are

    def __call__(self, inputs: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
        """One step from its inputs."""
        return self.run(self.prepare(inputs), states, noise)


def make_step(cell: keras.layers.Layer, training: bool = False) -> Step:
    """The step of one of our cells, or of any Keras cell.

    Made once for a loop: what is the same at every step is done here. Cells are built by then, so `call` is
    used and not `__call__`, which costs .15 ms a step on torch, but where that casts what the cell reads.
    """
    if hasattr(cell, "make_step"):
        return cell.make_step(training)
    if hasattr(cell, "step"):
        return Step(functools.partial(cell.step, training=training))
    if type(cell) in _KERAS_CELLS:
        return _KERAS_CELLS[type(cell)](cell)
    call = cell.call if cell.compute_dtype == cell.variable_dtype else cell
    arguments = {"training": training} if "training" in inspect.signature(cell.call).parameters else {}

    def run(inputs: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
        output, states = call(inputs, states, **arguments)
        return output, list(states) if isinstance(states, (list, tuple)) else [states], {}

    return Step(run)


# Keras' cells read their weights at every step, and slice kernels, whose gradients are then joined from
# parts: on TensorFlow, training a GRU of 512 units took three times as long.


def _simple_rnn(cell: keras.layers.SimpleRNNCell) -> Step:
    bias = cell.bias if cell.use_bias else None
    of_input, of_state = _backend.Linear(cell.kernel, bias=bias), _backend.Linear(cell.recurrent_kernel)

    def run(x: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
        h = cell.activation(x + of_state(states[0]))
        return h, [h], {}

    return Step(run, of_input)


def _lstm(cell: keras.layers.LSTMCell) -> Step:
    bias = cell.bias if cell.use_bias else None
    of_input, of_state = _backend.Linear(cell.kernel, bias=bias), _backend.Linear(cell.recurrent_kernel)
    sizes = [cell.units] * 4

    def run(x: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
        h, c = states
        i, f, g, o = _backend.split(x + of_state(h), sizes)
        c = cell.recurrent_activation(f) * c + cell.recurrent_activation(i) * cell.activation(g)
        h = cell.recurrent_activation(o) * cell.activation(c)
        return h, [h, c], {}

    return Step(run, of_input)


def _gru(cell: keras.layers.GRUCell) -> Step:
    units = cell.units
    bias = ops.convert_to_tensor(cell.bias) if cell.use_bias else None
    kernel = ops.convert_to_tensor(cell.recurrent_kernel)
    if cell.reset_after:  # the bias has a row for the inputs and one for the state
        of_input = _backend.Linear(cell.kernel, bias=None if bias is None else bias[0])
        of_state = _backend.Linear(kernel, bias=None if bias is None else bias[1])
    else:
        of_input = _backend.Linear(cell.kernel, bias=bias)
        of_state = _backend.Linear(kernel[:, : 2 * units])
        of_reset = _backend.Linear(kernel[:, 2 * units :])

    def run(x: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
        h = states[0]
        from_input, candidate = _backend.split(x, [2 * units, units])
        if cell.reset_after:
            from_state, recurrent = _backend.split(of_state(h), [2 * units, units])
        else:
            from_state = of_state(h)
        # Each gate by itself: an activation may go over all units, as softmax does.
        parts = _backend.split(from_input + from_state, [units, units])
        update, reset = (cell.recurrent_activation(part) for part in parts)
        recurrent = reset * recurrent if cell.reset_after else of_reset(reset * h)
        h = update * h + (1 - update) * cell.activation(candidate + recurrent)
        return h, [h], {}

    return Step(run, of_input)


_KERAS_CELLS: dict[type, Callable[[Any], Step]] = {
    keras.layers.SimpleRNNCell: _simple_rnn,
    keras.layers.LSTMCell: _lstm,
    keras.layers.GRUCell: _gru,
}
