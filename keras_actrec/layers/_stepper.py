"""How a cell does one step, settled before the loop."""

import functools
import inspect
from collections.abc import Callable
from typing import TypeAlias

import keras
from keras import ops

from keras_actrec._types import Tensor

# Output, states and traces of a step, and the function of a step: `step(inputs, states, noise=None)`.
Stepped: TypeAlias = tuple[Tensor, list[Tensor], dict[str, Tensor]]
Step: TypeAlias = Callable[..., Stepped]


def make_step(cell: keras.layers.Layer, training: bool = False) -> Step:
    """The step of one of our cells, or of any Keras cell: `step(inputs, states, noise=None)`.

    It returns output, states and traces. Made once for a loop: what is the same at every step is done here.
    Cells are built by then, so `call` is used and not `__call__`, which costs .15 ms a step on torch.
    """
    if hasattr(cell, "make_step"):
        return cell.make_step(training)
    if hasattr(cell, "step"):
        return functools.partial(cell.step, training=training)
    if type(cell) is keras.layers.GRUCell and not cell.reset_after:
        return _reset_before(cell)
    arguments = {"training": training} if "training" in inspect.signature(cell.call).parameters else {}

    def step(inputs: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
        output, states = cell.call(inputs, states, **arguments)
        return output, list(states) if isinstance(states, (list, tuple)) else [states], {}

    return step


def _reset_before(cell: keras.layers.GRUCell) -> Step:
    """The step of a Keras GRU cell that resets before the matrix product.

    Keras slices the recurrent kernel at every step: on TensorFlow, training takes twice the time at 256
    units and three times at 512.
    """
    units = cell.units
    kernel, recurrent_kernel = (
        ops.convert_to_tensor(cell.kernel),
        ops.convert_to_tensor(cell.recurrent_kernel),
    )
    bias = ops.convert_to_tensor(cell.bias) if cell.use_bias else 0
    gates_kernel, candidate_kernel = recurrent_kernel[:, : 2 * units], recurrent_kernel[:, 2 * units :]

    def step(inputs: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
        h = states[0]
        x = ops.matmul(inputs, kernel) + bias
        gates = x[:, : 2 * units] + ops.matmul(h, gates_kernel)
        update = cell.recurrent_activation(gates[:, :units])
        reset = cell.recurrent_activation(gates[:, units:])
        candidate = cell.activation(x[:, 2 * units :] + ops.matmul(reset * h, candidate_kernel))
        h = update * h + (1 - update) * candidate
        return h, [h], {}

    return step
