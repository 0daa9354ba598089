"""A convolutional LSTM cell with flat states."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_actrec import _backend
from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import _initializers
from keras_actrec.layers._cells import SteppingCell
from keras_actrec.layers._stepper import Step, Stepped


@keras.saving.register_keras_serializable("keras_actrec")
class ConvLSTMCell(SteppingCell):
    """An LSTM over feature maps: its products are convolutions, without peepholes.

    With `*` a convolution with `same` padding:

        i, f, g, o = four parts of x * kernel + h_{t-1} * recurrent_kernel + bias
        c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
        h_t = sigmoid(o) tanh(c_t)

    The states are maps laid out as vectors, so that `AttentiveRNN` masks and shows them as those of any
    cell.

    Args:
        filters: F, channels of the states.
        size: `(H, W)` of the maps.
        kernel_size: side of both kernels.

    Call arguments:
        inputs: one step, `(B, H, W, D)`, or as a vector `(B, H * W * D)`, as this cell gives it.
        states: `h (B, H * W * F)` and `c` of the same shape.

    Returns:
        h, and the states.

    Raises:
        UserError: for numbers below 1, and for maps of another size.

    Weights: `kernel (k, k, D, 4 F)`, `recurrent_kernel (k, k, F, 4 F)`, `bias (4 F)`, columns in the order
    i, f, g, o.

    Reference: Shi et al., arXiv 1506.04214, without the terms of c in the gates, as Li et al. released it.
    """

    def __init__(self, filters: int, size: Sequence[int], kernel_size: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = whole("filters", filters)
        self.size = tuple(whole("size", side) for side in size)
        self.kernel_size = whole("kernel_size", kernel_size)
        if len(self.size) != 2:
            raise UserError(f"`size` must be (height, width). Received: size={size}")

    def build(self, input_shape: Shape) -> None:
        height, width = self.size
        flat = len(input_shape) == 2 and input_shape[1] % (height * width) == 0
        if not flat and (len(input_shape) != 4 or tuple(input_shape[1:3]) != self.size):
            raise UserError(f"`inputs` must be (B, {height}, {width}, D). Received: shape={input_shape}")
        self.channels = input_shape[1] // (height * width) if flat else input_shape[3]

        def kernel(name: str, channels: int) -> keras.Variable:
            shape = (self.kernel_size, self.kernel_size, channels, 4 * self.filters)
            return self.add_weight(name=name, shape=shape, initializer=_initializers.glorot_uniform())

        self.kernel = kernel("kernel", self.channels)
        self.recurrent_kernel = kernel("recurrent_kernel", self.filters)
        self.bias = self.add_weight(name="bias", shape=(4 * self.filters,), initializer="zeros")

    @property
    def state_size(self) -> list[int]:
        """Widths of h and c."""
        return [self.output_size, self.output_size]

    @property
    def output_size(self) -> int:
        """Width of the output."""
        return self.size[0] * self.size[1] * self.filters

    def get_initial_state(self, batch_size: int | None = None) -> list[Tensor]:
        """Zeros."""
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    def make_step(self, training: bool = False) -> Step:
        """The function of one step, with an empty trace."""
        kernel, recurrent, bias = map(_backend.fixed, (self.kernel, self.recurrent_kernel, self.bias))

        def run(inputs: Tensor, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
            h, c = (self._map(state, self.filters) for state in states)
            total = _conv(self._map(inputs, self.channels), kernel) + _conv(h, recurrent) + bias
            i, f, g, o = ops.split(total, 4, axis=-1)
            c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
            h = ops.sigmoid(o) * ops.tanh(c)
            h, c = (ops.reshape(state, (-1, self.output_size)) for state in (h, c))
            return h, [h, c], {}

        return Step(run)

    def _map(self, x: Tensor, channels: int) -> Tensor:
        return ops.reshape(x, (-1, *self.size, channels))

    def compute_output_spec(
        self, inputs: keras.KerasTensor, states: list[keras.KerasTensor], training: bool = False
    ) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
        # Told, because on torch a symbolic call of a bias forgets the policy.
        shape = (inputs.shape[0], self.output_size)
        output, h, c = (keras.KerasTensor(shape, dtype=self.compute_dtype) for _ in range(3))
        return output, [h, c]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "size": list(self.size),
            "kernel_size": self.kernel_size,
        }


def _conv(x: Tensor, kernel: Tensor) -> Tensor:
    return _backend.conv2d(x, kernel, padding="same")
