"""What changes in a sequence: the steps without their mean."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor
from keras_actrec.layers.attentive_rnn import check_steps


@keras.saving.register_keras_serializable("keras_actrec")
class StepCentering(keras.layers.Layer):
    """Takes from every step the mean over the steps: `(B, T, ..., D)` -> `(B, T, ..., D)`.

    `y_t = x_t - (1 / T) sum_s x_s`: what stays the same in a clip, such as its scene or who acts, is gone.

    Call arguments:
        inputs: `(B, T, ..., D)`; B and T may be unknown.
        mask: bool `(B, T)`; the mean is then that of the steps that it leaves, and the others become 0.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        inputs = check_steps(inputs, mask)
        if mask is None:
            return inputs - ops.mean(inputs, axis=1, keepdims=True)
        count = ops.cast(ops.expand_dims(mask, tuple(range(2, len(inputs.shape)))), inputs.dtype)
        inputs = ops.where(count > 0, inputs, 0)  # padding may hold anything
        mean = ops.sum(inputs, axis=1, keepdims=True) / ops.maximum(ops.sum(count, axis=1, keepdims=True), 1)
        return (inputs - mean) * count

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape
