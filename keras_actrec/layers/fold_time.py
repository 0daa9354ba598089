"""From clips to frames."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class FoldTime(keras.layers.Layer):
    """Put the frames of all clips into the batch: `(B, T, ...)` -> `(B * T, ...)`.

    What follows sees frames, with plain Keras layers. `UnfoldTime` is the way back.

    Call arguments:
        clips: `(B, T, ...)`, of any dtype, which stays; B and T may be unknown.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # bfloat16 would round pixels
        self.supports_masking = True

    def call(self, clips: Tensor) -> Tensor:
        return ops.reshape(clips, (-1, *ops.shape(clips)[2:]))

    def compute_output_shape(self, clips_shape: Shape) -> Shape:
        batch, time = clips_shape[:2]
        return (None if None in (batch, time) else batch * time, *clips_shape[2:])

    def compute_output_spec(self, clips: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(clips.shape), clips.dtype)

    def compute_mask(self, clips: Any, mask: Any = None) -> None:
        return None  # a mask of clips is none of frames
