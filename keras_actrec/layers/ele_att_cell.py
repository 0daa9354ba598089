"""A recurrent cell that weighs every element of its input."""

from typing import Any

import keras
from keras import ops

from keras_actrec import _backend
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import _initializers
from keras_actrec.layers._cells import CellAround, refuse_dropout
from keras_actrec.layers._stepper import Step, Stepped, make_step

ACTIVATIONS = ("sigmoid", "softmax")


@keras.saving.register_keras_serializable("keras_actrec")
class EleAttCell(CellAround):
    """The element-wise attention gate in front of any Keras cell (EleAttG, eq. 4).

        a_t = activation(x_t attention_kernel
                         + h_{t-1} attention_recurrent_kernel + attention_bias)
        output, states = cell(a_t * x_t, states)

    with `h_{t-1}` the cell's first state: of an LSTM h, not c. It adds two matrix products a step and
    `D (D + units + 1)` parameters.

    Args:
        cell: a Keras cell, or one of this library's that takes `(B, D)`, whose output is its first state.
        activation: `"sigmoid"`, each element for itself, or `"softmax"` over the D elements, in float32.

    Call arguments:
        inputs: `(B, D)`.
        states: the cell's.
        training: handed to the cell.

    Returns:
        The cell's output `(B, units)` and new states. `step` also returns the trace `gates (B, D)`, which
        `AttentiveRNN(..., return_trace=True)` shows.

    Raises:
        UserError: for another activation, inputs that are not `(B, D)`, or a cell with dropout.

    Weights: `attention_kernel (D, D)`, `attention_recurrent_kernel (units, D)`, `attention_bias (D)` and the
    cell's.

    Reference: Zhang et al., ECCV 2018, arXiv 1807.04445. Where we differ: the paper does not say how the
    gate's weights start; here Glorot uniform, orthogonal and zero, as Keras starts a recurrent layer.
    """

    def __init__(self, cell: keras.layers.Layer, activation: str = "sigmoid", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        refuse_dropout(cell)
        if activation not in ACTIVATIONS:
            raise UserError(
                f"The gate's activation must be one of {', '.join(ACTIVATIONS)}. Received: {activation!r}"
            )
        self.cell = cell
        self.activation = activation

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 2:
            raise UserError(
                f"The element-wise gate takes (B, D) a step. Received: shape {tuple(input_shape)}"
            )
        channels, units = input_shape[-1], keras.tree.flatten(self.cell.state_size)[0]
        self.attention_kernel = self.add_weight(
            name="attention_kernel", shape=(channels, channels), initializer=_initializers.glorot_uniform()
        )
        self.attention_recurrent_kernel = self.add_weight(
            name="attention_recurrent_kernel", shape=(units, channels), initializer=_initializers.Orthogonal()
        )
        self.attention_bias = self.add_weight(name="attention_bias", shape=(channels,), initializer="zeros")
        if not self.cell.built:  # as it is when a saved model is loaded
            self.cell.build(input_shape)

    @property
    def trace_sizes(self) -> dict[str, int]:
        """What a trace of this cell has, and how wide."""
        return {"gates": self.attention_kernel.shape[0], **getattr(self.cell, "trace_sizes", {})}

    @property
    def noise_size(self) -> int:
        """The cell's."""
        return getattr(self.cell, "noise_size", 0)

    def draw_noise(self, shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
        """The cell's."""
        return self.cell.draw_noise(shape, seed)

    def make_step(self, training: bool = False) -> Step:
        """The function of one step, made once before the loop."""
        inner = make_step(self.cell, training)
        of_input = _backend.Linear(self.attention_kernel, bias=self.attention_bias)
        of_state = _backend.Linear(self.attention_recurrent_kernel)

        def run(
            prepared: tuple[Tensor, Tensor], states: list[Tensor], noise: Tensor | None = None
        ) -> Stepped:
            inputs, gates = prepared
            gates = gates + of_state(states[0])
            if self.activation == "sigmoid":
                gates = ops.sigmoid(gates)
            else:
                gates = ops.cast(ops.softmax(ops.cast(gates, "float32")), self.compute_dtype)
            output, states, trace = inner(gates * inputs, states, noise)
            return output, states, {"gates": gates, **trace}

        return Step(run, lambda inputs: (inputs, of_input(inputs)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}
