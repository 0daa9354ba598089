"""Motion as the difference of features in time."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor
from keras_actrec.layers.temporal_shift import without_padding


@keras.saving.register_keras_serializable("keras_actrec")
class FrameDifference(keras.layers.Layer):
    """What changed since the frame before: `y_t = x_t - x_{t-1}`, `y_1 = 0`.

    What does not move, such as the background, is gone; the sign tells what came from what went.

    Args:
        magnitude: whether to append `|y_t|`, how much changed, as further channels.

    Call arguments:
        inputs: `(B, T, ...)`, with any axes after T.
        mask: bool `(B, T)`, False at padding: no difference is taken there, nor from there.

    Returns:
        The same shape; with `magnitude` twice the channels.
    """

    def __init__(self, magnitude: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.magnitude = magnitude
        self.supports_masking = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        change = inputs - _previous(inputs)
        if mask is not None:
            mask = ops.cast(mask, "bool")
            change = without_padding(change, ops.logical_and(mask, _previous(mask)))
        return ops.concatenate([change, ops.abs(change)], axis=-1) if self.magnitude else change

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        channels = inputs_shape[-1] * (2 if self.magnitude else 1)
        return (*inputs_shape[:-1], channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "magnitude": self.magnitude}


def _previous(x: Tensor) -> Tensor:
    """Frame t - 1 at t, and the first at itself."""
    return ops.concatenate([x[:, :1], x[:, :-1]], axis=1)
