"""The states of HM-RNN before the first step."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class InitialStates(keras.layers.Layer):
    """States of `HMRNNCell` that begin with those of its first layer, and zeros for all else.

    Args:
        width: units of all layers together.
        detectors: boundary detectors of all layers together.

    Call arguments:
        h: of the first layer, `(B, units)`.
        c: of the first layer, `(B, units)`.

    Returns:
        h and c of all layers, `(B, width)` each, and no boundaries, `(B, detectors)`.
    """

    def __init__(self, width: int, detectors: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.detectors = width, detectors

    def call(self, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        behind = ((0, 0), (0, self.width - h.shape[-1]))
        h, c = ops.pad(h, behind), ops.pad(c, behind)
        return h, c, ops.zeros_like(h[:, : self.detectors])

    def compute_output_shape(self, h_shape: Shape, c_shape: Shape) -> tuple[Shape, Shape, Shape]:
        return (h_shape[0], self.width), (c_shape[0], self.width), (h_shape[0], self.detectors)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "detectors": self.detectors}
