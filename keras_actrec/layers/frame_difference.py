"""Motion as the difference of features in time."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class FrameDifference(keras.layers.Layer):
    """What changed since the frame before: `y_t = x_t - x_{t-1}`, `y_1 = 0`.

    What does not move, such as the background, is gone; the sign tells what came from what went.

    Args:
        magnitude: whether to append `|y_t|`, how much changed, as further channels.

    Call arguments:
        inputs: `(B, T, ...)`, with any axes after T.

    Returns:
        The same shape; with `magnitude` twice the channels.
    """

    def __init__(self, magnitude: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.magnitude = magnitude
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        change = inputs - ops.concatenate([inputs[:, :1], inputs[:, :-1]], axis=1)
        return ops.concatenate([change, ops.abs(change)], axis=-1) if self.magnitude else change

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        channels = inputs_shape[-1] * (2 if self.magnitude else 1)
        return (*inputs_shape[:-1], channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "magnitude": self.magnitude}
