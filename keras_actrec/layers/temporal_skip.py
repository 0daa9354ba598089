"""A connection from a lower layer at an earlier frame to a higher layer."""

from typing import Any

import keras
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import _initializers

CONNECTIONS = ("identity", "linear", "nonlinear")


@keras.saving.register_keras_serializable("keras_actrec")
class TemporalSkip(keras.layers.Layer):
    """What an earlier frame adds to this one: `y_t = R(x_{t - delay})`, 0 for the first `delay` frames.

    | connection | R |
    |---|---|
    | `"identity"` | x |
    | `"linear"` | a 1 x 1 convolution without bias |
    | `"nonlinear"` | a 1 x 1 convolution without bias, then ReLU |

    Added to the sum of a residual block, whose input x is, it makes the block recurrent:
    `F(x_t) + shortcut(x_t) + R(x_{t - delay})`. Nothing feeds back into itself, so all frames are computed
    at once.

    Args:
        connection: see above.
        delay: how many frames back, at least 1.
        filters: channels of the output, C by default.
        strides: of the convolution.

    Call arguments:
        inputs: `(B, T, H, W, C)`; all but C may be unknown, and T may be less than `delay`.

    Returns:
        `(B, T, ceil(H / strides), ceil(W / strides), filters)`.

    Raises:
        UserError: for another connection, a delay or strides below 1, and an identity that would change
            the shape.

    Weights: `kernel (C, filters)`, none for the identity.

    Reference: Iqbal, master thesis, Bonn 2017.
    """

    def __init__(
        self,
        connection: str = "identity",
        delay: int = 1,
        filters: int | None = None,
        strides: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if connection not in CONNECTIONS:
            raise UserError(
                f"`connection` must be one of {', '.join(CONNECTIONS)}. Received: connection={connection!r}"
            )
        if connection == "identity" and strides != 1:
            raise UserError(f'`strides` needs `connection="linear"`. Received: strides={strides}')
        self.connection = connection
        self.delay = whole("delay", delay)
        self.filters = None if filters is None else whole("filters", filters)
        self.strides = whole("strides", strides)
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        channels = inputs_shape[-1]
        if self.connection != "identity":
            self.kernel = self.add_weight(
                name="kernel",
                shape=(channels, self.filters or channels),
                initializer=_initializers.glorot_uniform(),
            )
        elif self.filters not in (None, channels):
            raise UserError(
                f"An identity keeps the {channels} channels of its input. Received: filters={self.filters}"
            )

    def call(self, inputs: Tensor) -> Tensor:
        x = inputs[:, :, :: self.strides, :: self.strides]
        x = ops.pad(x, [(0, 0), (self.delay, 0), (0, 0), (0, 0), (0, 0)])[:, : -self.delay]
        if self.connection == "identity":
            return x
        x = ops.matmul(x, self.kernel)  # 0 where x is 0
        return ops.relu(x) if self.connection == "nonlinear" else x

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        sides = (None if side is None else -(-side // self.strides) for side in inputs_shape[2:4])
        return (*inputs_shape[:2], *sides, self.filters or inputs_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "connection": self.connection,
            "delay": self.delay,
            "filters": self.filters,
            "strides": self.strides,
        }
