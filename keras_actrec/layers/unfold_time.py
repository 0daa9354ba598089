"""From frames back to clips."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class UnfoldTime(keras.layers.Layer):
    """Undo `FoldTime`: `(B * T, ...)` -> `(B, T, ...)`, with the T of `clips`.

    Call arguments:
        inputs: list of frames `(B * T, ...)`, of any dtype, which stays, and clips, any tensor `(B, T, ...)`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # the clips need no cast

    def call(self, inputs: list[Tensor]) -> Tensor:
        frames, clips = inputs
        return ops.reshape(frames, (-1, ops.shape(clips)[1], *ops.shape(frames)[1:]))

    def compute_output_shape(self, inputs_shape: list[Shape]) -> Shape:
        frames_shape, clips_shape = inputs_shape
        return (*clips_shape[:2], *frames_shape[1:])

    def compute_output_spec(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        shape = self.compute_output_shape([x.shape for x in inputs])
        return keras.KerasTensor(shape, inputs[0].dtype)
