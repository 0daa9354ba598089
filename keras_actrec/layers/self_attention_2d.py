"""Attention of every location of a frame to all others."""

from typing import Any

import keras
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import _initializers


@keras.saving.register_keras_serializable("keras_actrec")
class SelfAttention2D(keras.layers.Layer):
    """Self-attention over the `N = H W` locations of a frame, added to the input: `y = x + gamma A v`.

    `q = x Wq + bq`, `k = x Wk + bk`, `v = x Wv + bv`, `A = softmax(q k^T)` over the keys, in float32. `gamma`
    starts at zero, so a new layer is the identity, and the kernels move once gamma has. A is `N x N` numbers
    a frame: 2.5 MB for 28 x 28 locations, and several times that in training.

    Args:
        key_channels: K, the width of queries and keys; None for `max(C // 8, 1)`.

    Call arguments:
        inputs: `(B, H, W, C)` or `(B, T, H, W, C)`; all but C may be unknown. Frames do not see each other.

    Returns:
        The same shape.

    Raises:
        UserError: for key_channels below 1 or inputs of another rank.

    Weights: `query_kernel (C, K)`, `key_kernel (C, K)`, `value_kernel (C, C)`, `query_bias (K)`,
    `key_bias (K)`, `value_bias (C)`, `gamma ()`. A softmax does not see `key_bias`, which adds the same to a
    query's energy with every key: its gradient is zero up to rounding. It is here as the original has it.

    Reference: SA-GSM (Cappuccio and Paliotta), eq. 2-4, after Zhang et al., arXiv 1805.08318. As in their
    code, values are as wide as the input and there is no map after the attention. Where we differ: gamma is
    trained; their optimizer never got it, so their attention stayed off.
    """

    def __init__(self, key_channels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if key_channels is not None:
            key_channels = whole("key_channels", key_channels)
        self.key_channels = key_channels
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        if len(inputs_shape) not in (4, 5):
            raise UserError(
                f"`inputs` must be (B, H, W, C) or (B, T, H, W, C). Received: shape={tuple(inputs_shape)}"
            )
        channels = inputs_shape[-1]
        keys = self.key_channels or max(channels // 8, 1)

        def pair(name: str, width: int) -> tuple[keras.Variable, keras.Variable]:
            kernel = self.add_weight(
                name=f"{name}_kernel", shape=(channels, width), initializer=_initializers.glorot_uniform()
            )
            return kernel, self.add_weight(name=f"{name}_bias", shape=(width,), initializer="zeros")

        self.query_kernel, self.query_bias = pair("query", keys)
        self.key_kernel, self.key_bias = pair("key", keys)
        self.value_kernel, self.value_bias = pair("value", channels)
        self.gamma = self.add_weight(name="gamma", shape=(), initializer="zeros")

    def call(self, inputs: Tensor) -> Tensor:
        *outer, height, width, channels = ops.shape(inputs)
        x = ops.reshape(inputs, (*outer, height * width, channels))  # (..., N, C)
        # Energies in float32: in float16 those of large features would overflow.
        query = ops.cast(ops.matmul(x, self.query_kernel) + self.query_bias, "float32")
        key = ops.cast(ops.matmul(x, self.key_kernel) + self.key_bias, "float32")
        value = ops.matmul(x, self.value_kernel) + self.value_bias
        scores = ops.softmax(ops.matmul(query, ops.swapaxes(key, -1, -2)), axis=-1)  # (..., N, N)
        attended = ops.matmul(ops.cast(scores, value.dtype), value)  # (..., N, C)
        return inputs + self.gamma * ops.reshape(attended, ops.shape(inputs))

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "key_channels": self.key_channels}
