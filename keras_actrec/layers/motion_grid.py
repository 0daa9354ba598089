"""Where a clip moves, as a small image at every step."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError


@keras.saving.register_keras_serializable("keras_actrec")
class MotionGrid(keras.layers.Layer):
    """How much each pixel changed since the frame before: `(B, T, H, W, D)` -> `(B, T, H W D)`.

    `e_t = |x_t - x_{t-1}|`, `e_1 = 0`, and `y_t = sqrt(e_t / m)`, where m is the mean of e over the clip, so
    that strong and weak movements look alike.

    Call arguments:
        inputs: `(B, T, H, W, D)` with H and W known, such as the gray values of `PixelGrid`.
        mask: bool `(B, T)`; steps that it leaves out are 0 and have no part in the mean, and neither has the
            change of a step behind one of them.

    Raises:
        UserError: where H or W is unknown.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        if len(inputs_shape) != 5 or None in inputs_shape[2:]:
            raise UserError(
                f"`inputs` must be (B, T, H, W, D) with H and W known. Received: shape={inputs_shape}"
            )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        change = ops.abs(inputs[:, 1:] - inputs[:, :-1])
        change = ops.reshape(change, (*ops.shape(change)[:2], self._size(inputs.shape)))
        change = ops.pad(change, ((0, 0), (1, 0), (0, 0)))  # (B, T, H W D)
        steps = ops.ones_like(change[..., :1])
        if mask is not None:
            both = ops.logical_and(mask, ops.concatenate([mask[:, :1], mask[:, :-1]], axis=1))
            steps = ops.cast(ops.expand_dims(both, -1), change.dtype)
            change = ops.where(steps > 0, change, 0)
        count = ops.maximum(ops.sum(steps, axis=(1, 2), keepdims=True), 1)
        mean = ops.sum(ops.mean(change, axis=-1, keepdims=True), axis=1, keepdims=True) / count
        return ops.sqrt(change / (mean + 1e-4) + 1e-6) * steps  # no endless slope at 0

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return (*inputs_shape[:2], self._size(inputs_shape))

    def _size(self, shape: Shape) -> int:
        return shape[2] * shape[3] * shape[4]
