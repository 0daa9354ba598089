"""The last step of a sequence."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor
from keras_actrec.layers.attentive_rnn import check_steps


@keras.saving.register_keras_serializable("keras_actrec")
class LastStep(keras.layers.Layer):
    """The last step of a sequence: `(B, T, D)` -> `(B, D)`.

    Call arguments:
        inputs: `(B, T, D)`; B and T may be unknown.
        mask: bool `(B, T)`; then the last step is the last one that it leaves. It hands no mask on.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        inputs = check_steps(inputs, mask)
        if mask is None:
            return inputs[:, -1]
        behind = ops.argmax(ops.flip(ops.cast(mask, "int32"), axis=1), axis=1)  # padding behind the last step
        steps = ops.shape(inputs)[1]
        last = steps - 1 - ops.cast(behind, "int32")
        # A gather would fix the batch of a file that PyTorch writes.
        chosen = ops.equal(ops.arange(steps, dtype="int32"), last[:, None])[..., None]  # (B, T, 1)
        return ops.sum(ops.where(chosen, inputs, ops.zeros_like(inputs)), axis=1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return (inputs_shape[0], inputs_shape[2])
