"""The position of every location, as two more channels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError


@keras.saving.register_keras_serializable("keras_actrec")
class Coordinates(keras.layers.Layer):
    """Append each location's column and row, from -1 to 1: `(B, T, H, W, C)` -> `(B, T, H, W, C + 2)`.

    An attention hands on what is at a location and forgets where that was; with these channels it does not.

    Args:
        scale: the coordinates run from `-scale` to `scale`.

    Call arguments:
        inputs: `(B, T, H, W, C)` with H and W known.

    Raises:
        UserError: where H or W is unknown.

    Reference: Liu et al., arXiv 1807.03247 (CoordConv), without its convolution.
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        if len(inputs_shape) != 5 or None in inputs_shape[2:4]:
            raise UserError(
                f"`inputs` must be (B, T, H, W, C) with H and W known. Received: shape={inputs_shape}"
            )

    def call(self, inputs: Tensor) -> Tensor:
        height, width = inputs.shape[2:4]
        # NumPy's: `ops.linspace` leaves a constant unused, with which PyTorch 2.8 exports nothing.
        columns = np.linspace(-self.scale, self.scale, width)
        rows = np.linspace(-self.scale, self.scale, height)
        grid = ops.cast(np.stack(np.meshgrid(columns, rows), axis=-1), inputs.dtype)  # (H, W, 2)
        grid = ops.broadcast_to(grid, (*ops.shape(inputs)[:2], height, width, 2))
        return ops.concatenate([inputs, grid], axis=-1)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return (*inputs_shape[:-1], inputs_shape[-1] + 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
