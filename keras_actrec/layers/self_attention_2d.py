"""Attention of every location of a frame, or of a clip, to all others."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import _initializers

# Axes, from the end, along which a location attends.
_AXES = {"frame": (-3, -2), "time": (-4,), "clip": (-4, -3, -2)}


@keras.saving.register_keras_serializable("keras_actrec")
class SelfAttention2D(keras.layers.Layer):
    """Self-attention over the `N = H W` locations of a frame, added to the input: `y = x + gamma A v`.

    `q = x Wq + bq`, `k = x Wk + bk`, `v = x Wv + bv`, `A = softmax(q k^T)` over the keys, in float32. `gamma`
    starts at zero, so a new layer is the identity, and the kernels move once gamma has. A is `N x N` numbers
    a frame: 2.5 MB for 28 x 28 locations, and several times that in training.

    Args:
        key_channels: K, the width of queries and keys; None for `max(C // 8, 1)`.
        over: what a location attends to: `"frame"`, those of its frame, `N = H W`; `"time"`, itself in all
            frames, `N = T`; or `"clip"`, all of all frames, `N = T H W`.
        second_map: whether what was attended to goes through another map, `y = x + gamma (A v Wo + bo)`.
        positions: whether queries and keys are made of `x + p`, where `p` is the place: of the row and the
            column in `"frame"`, of the frame in `"time"`, of all three in `"clip"`. Each has its share of the
            channels, where channel i of d is `sin(at / 10000^(i / d))` for even i, and the cosine of channel
            i - 1's angle for odd ones.

    Call arguments:
        inputs: `(B, H, W, C)`, for `"frame"` alone, or `(B, T, H, W, C)`; all but C may be unknown.
        mask: bool `(B, T)`, False at frames of padding, to which `"time"` and `"clip"` do not attend.

    Returns:
        The same shape.

    Raises:
        UserError: for key_channels below 1, another `over`, or inputs of another rank.

    Weights: `query_kernel (C, K)`, `key_kernel (C, K)`, `value_kernel (C, C)`, `query_bias (K)`,
    `key_bias (K)`, `value_bias (C)`, with a second map `output_kernel (C, C)`, `output_bias (C)`, and
    `gamma ()`. A softmax does not see `key_bias`, which adds the same to a
    query's energy with every key: its gradient is zero up to rounding. It is here as the original has it.

    Reference: SA-GSM (Cappuccio and Paliotta), eq. 2-4, after Zhang et al., arXiv 1805.08318. As in their
    code, by default values are as wide as the input and there is no map after the attention, which eq. 3 has:
    `second_map`. Where we differ: gamma is trained; their optimizer never got it, so their attention stayed
    off. Attention over time and positions are not in it: its future work asks for them.
    """

    def __init__(
        self,
        key_channels: int | None = None,
        over: str = "frame",
        second_map: bool = False,
        positions: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if over not in _AXES:
            raise UserError(f"`over` must be one of {', '.join(_AXES)}. Received: over={over!r}")
        if key_channels is not None:
            key_channels = whole("key_channels", key_channels)
        self.key_channels = key_channels
        self.over = over
        self.second_map = second_map
        self.positions = positions
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        if len(inputs_shape) not in ((4, 5) if self.over == "frame" else (5,)):
            frames = "(B, H, W, C) or " if self.over == "frame" else ""
            raise UserError(
                f"`inputs` must be {frames}(B, T, H, W, C). Received: shape={tuple(inputs_shape)}"
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
        if self.second_map:
            self.output_kernel, self.output_bias = pair("output", channels)
        self.gamma = self.add_weight(name="gamma", shape=(), initializer="zeros")

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self._in_rows(inputs)  # (..., N, C)
        value = ops.matmul(x, self.value_kernel) + self.value_bias
        scores = self.scores(inputs, mask)
        attended = ops.matmul(ops.cast(scores, value.dtype), value)  # (..., N, C)
        if self.second_map:
            attended = ops.matmul(attended, self.output_kernel) + self.output_bias
        return inputs + self.gamma * self._in_place(attended, inputs)

    def scores(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """A of a built layer, of each location (a row) to all others, adding up to 1.

        Args:
            inputs: as of a call.
            mask: as of a call.

        Returns:
            Scores in float32, `(B, T, H W, H W)` over a frame, or without T as the inputs are;
            `(B, H, W, T, T)` over time; `(B, T H W, T H W)` over a clip.
        """
        placed = self._in_rows(inputs + self._places(inputs) if self.positions else inputs)
        # Energies in float32: in float16 those of large features would overflow.
        query = ops.cast(ops.matmul(placed, self.query_kernel) + self.query_bias, "float32")
        key = ops.cast(ops.matmul(placed, self.key_kernel) + self.key_bias, "float32")
        energies = ops.matmul(query, ops.swapaxes(key, -1, -2))  # (..., N, N)
        if mask is not None and self.over != "frame":
            shown = ops.reshape(mask, (-1, ops.shape(mask)[1], 1, 1, 1))
            shown = self._in_rows(ops.logical_and(shown, ops.ones_like(inputs[..., :1], dtype="bool")))
            energies = ops.where(ops.swapaxes(shown, -1, -2), energies, -1e9)
        return ops.softmax(energies, axis=-1)

    def _in_rows(self, x: Tensor) -> Tensor:
        """What is attended to as one axis: `(..., N, C)`."""
        if self.over == "time":
            return ops.transpose(x, (0, 2, 3, 1, 4))  # (B, H, W, T, C)
        shape = ops.shape(x)
        outer = shape[: 1 if self.over == "clip" else -3]
        return ops.reshape(x, (*outer, -1, shape[-1]))

    def _in_place(self, rows: Tensor, inputs: Tensor) -> Tensor:
        """What `_in_rows` gave in the shape of the inputs."""
        if self.over == "time":
            return ops.transpose(rows, (0, 3, 1, 2, 4))
        return ops.reshape(rows, ops.shape(inputs))

    def _places(self, inputs: Tensor) -> Tensor:
        """Of every location, as broadcast to the inputs: `(H, W, C)`, `(T, 1, 1, C)` or `(T, H, W, C)`."""
        axes = _AXES[self.over]
        shares = np.array_split(np.arange(inputs.shape[-1]), len(axes))
        sizes = [
            ops.shape(inputs)[axis] if axis in axes else 1
            for axis in range(-4, -1)
            if -axis < len(inputs.shape)
        ]
        parts = []
        for axis, share in zip(axes, shares, strict=True):
            part = _waves(ops.shape(inputs)[axis], len(share))
            part = ops.reshape(part, (-1, *[1] * (-axis - 2), len(share)))
            parts.append(ops.broadcast_to(part, (*sizes, len(share))))
        return ops.cast(ops.concatenate(parts, axis=-1), inputs.dtype)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "key_channels": self.key_channels,
            "over": self.over,
            "second_map": self.second_map,
            "positions": self.positions,
        }


def _waves(count: Any, width: int) -> Tensor:
    """The places 0, 1, ... as sines and cosines of falling frequencies, `(count, width)`."""
    channel = np.arange(width)
    rates = ops.convert_to_tensor((10000.0 ** -(channel // 2 * 2 / max(width, 1))).astype("float32"))
    angles = ops.expand_dims(ops.cast(ops.arange(count), "float32"), -1) * rates
    return ops.where(channel % 2 == 0, ops.sin(angles), ops.cos(angles))
