"""Channels moved by one frame where a learned gate says so."""

from typing import Any

import keras
from keras import ops

from keras_actrec import _backend
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers.convolutions import BatchNormalization
from keras_actrec.layers.temporal_shift import from_next, from_previous, without_padding


@keras.saving.register_keras_serializable("keras_actrec")
class GateShift(keras.layers.Layer):
    """Gate-shift module: every location decides how much of its features moves to a neighboring frame.

    `g = tanh(conv(relu(bn(x))))`: a 3 x 3 x 3 convolution in two groups, from either half of the channels to
    one gate a frame and location. In each half `y = g x` moves and `x - y` stays. The first half moves from
    frame t + 1 to t, the second from t - 1 to t; before the first frame and after the last is zero.
    Then each half is shuffled: its channel `2 k + j` is the one that was `j C / 4 + k`.

    The gate's weights start at zero, so a new layer is that permutation of the channels. It adds `29 C + 2`
    trainable weights.

    Args:
        shuffle: whether to shuffle the channels of each half, as the released weights need.

    Call arguments:
        inputs: `(B, T, H, W, C)`; all but C may be unknown.
        mask: bool `(B, T)`, False where a frame is padding: as if the clip ended at it, also for the batch
            statistics. What comes out at padding means nothing.
        training: whether to normalize with the batch's statistics.

    Returns:
        The same shape.

    Raises:
        UserError: where C is not a multiple of 4, or of 2 without shuffle.

    Weights: `gate_kernel (3, 3, 3, C / 2, 2)`, `gate_bias (2)`, and `gamma`, `beta`, `moving_mean`,
    `moving_variance` of `batch_normalization`.

    Reference: Sudhakaran et al., arXiv 1912.00381 (GSM). The shuffle is in their code, not in the paper.
    Where we differ: the moving variance is an average of variances over n, PyTorch's of those over n - 1.
    """

    def __init__(self, shuffle: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shuffle = shuffle
        self.batch_normalization = BatchNormalization(
            momentum=0.9, epsilon=1e-5, name="batch_normalization", dtype=self.dtype_policy
        )
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        multiple = 4 if self.shuffle else 2
        if len(inputs_shape) != 5 or inputs_shape[-1] % multiple:
            raise UserError(
                f"`inputs` must be (B, T, H, W, C) with C a multiple of {multiple} "
                f"(shuffle={self.shuffle}). Received: shape={tuple(inputs_shape)}"
            )
        self.batch_normalization.build(inputs_shape)
        self.gate_kernel = self.add_weight(
            name="gate_kernel", shape=(3, 3, 3, inputs_shape[-1] // 2, 2), initializer="zeros"
        )
        self.gate_bias = self.add_weight(name="gate_bias", shape=(2,), initializer="zeros")

    def call(self, inputs: Tensor, mask: Tensor | None = None, training: bool = False) -> Tensor:
        x = without_padding(inputs, mask)
        gates = ops.split(self._gates(x, mask, training), 2, axis=-1)
        outputs = []
        for half, gate, shift in zip(ops.split(x, 2, -1), gates, (from_next, from_previous), strict=True):
            moving = gate * half
            outputs.append(self._shuffled(shift(moving) + half - moving))
        return ops.concatenate(outputs, axis=-1)

    def gates(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The gates of a built layer at test, `(B, T, H, W, 2)`: what share of either half moves, -1 to 1.

        Args:
            inputs: float32 `(B, T, H, W, C)`, as of a call.
            mask: as of a call.
        """
        return self._gates(without_padding(inputs, mask), mask, training=False)

    def _gates(self, x: Tensor, mask: Tensor | None, training: bool) -> Tensor:
        """One gate for either half of the channels."""
        valid = None if mask is None else mask[:, :, None, None]
        active = ops.relu(self.batch_normalization(x, training=training, mask=valid))
        active = without_padding(ops.cast(active, x.dtype), mask)  # which `gates` has in float32
        shape = ops.shape(active)
        # A plane convolution with a map for each of three frames and two halves, summed over time afterwards,
        # is much faster than one in three dimensions. The kernel is zero from a half to the other's maps.
        kernel = ops.transpose(self.gate_kernel, (1, 2, 4, 3, 0))[..., None]  # (3, 3, half, C / 2, frame, 1)
        kernel = kernel * ops.eye(2, dtype=kernel.dtype)[:, None, None]  # (3, 3, half, C / 2, frame, half)
        kernel = ops.reshape(kernel, (3, 3, shape[-1], 6))
        maps = _backend.conv2d(ops.reshape(active, (-1, *shape[2:])), kernel, padding="same")
        maps = ops.reshape(maps, (*shape[:-1], 6))
        gates = from_previous(maps[..., :2]) + maps[..., 2:4] + from_next(maps[..., 4:])
        return ops.tanh(gates + self.gate_bias)

    def _shuffled(self, half: Tensor) -> Tensor:
        if not self.shuffle:
            return half
        return ops.reshape(ops.stack(ops.split(half, 2, axis=-1), axis=-1), ops.shape(half))

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shuffle": self.shuffle}
