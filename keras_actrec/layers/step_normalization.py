"""Batch normalization of sequences with padding."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class StepNormalization(keras.layers.BatchNormalization):
    """Batch normalization of `(B, T, ..., D)` whose statistics are those of the steps that a mask leaves.

    `keras.layers.BatchNormalization` takes a mask of the shape of its input without the channels; this one
    takes that of the steps. It hands no mask on.

    Args:
        **kwargs: as of `keras.layers.BatchNormalization`.

    Call arguments:
        inputs: `(B, T, ..., D)`.
        training: whether to take the statistics of the batch, and to move the averages.
        mask: bool `(B, T)`, False where a step is padding.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            mask = ops.expand_dims(mask, tuple(range(2, len(inputs.shape) - 1)))  # (B, T, 1, 1)
        return super().call(inputs, training=training, mask=mask)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None
