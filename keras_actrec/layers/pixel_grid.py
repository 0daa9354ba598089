"""A frame as a small gray image, on the grid of a network's feature map."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError


@keras.saving.register_keras_serializable("keras_actrec")
class PixelGrid(keras.layers.Layer):
    """The mean gray value of small squares, 2 x 2 of them in a cell: `(B, H, W, 3)` -> `(B, K, K', 4)`.

    Next to a feature map of K x K' cells it says where something is more finely than the map does. Gray is
    the mean of red, green and blue, 0 to 1.

    Args:
        cells: K and K'; 2 K and 2 K' must divide H and W.

    Call arguments:
        frames: `(B, H, W, 3)`, RGB, 0-255, with H and W known.

    Raises:
        UserError: for frames that cannot be divided so.
    """

    def __init__(self, cells: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cells = tuple(cells)

    def build(self, frames_shape: Shape) -> None:
        height, width = frames_shape[1:3]
        rows, columns = self.cells
        if height is None or width is None or height % (2 * rows) or width % (2 * columns):
            raise UserError(
                f"{rows} x {columns} cells of pixels need frames whose height is a multiple of {2 * rows} "
                f"and whose width is one of {2 * columns}. Received: shape={tuple(frames_shape[1:])}"
            )

    def call(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[1:3]
        rows, columns = self.cells
        tall, wide = height // (2 * rows), width // (2 * columns)
        gray = ops.mean(ops.cast(frames, self.compute_dtype), axis=-1) / 255
        squares = ops.mean(ops.reshape(gray, (-1, rows, 2, tall, columns, 2, wide)), axis=(3, 6))
        return ops.reshape(ops.transpose(squares, (0, 1, 3, 2, 4)), (-1, rows, columns, 4))

    def compute_output_shape(self, frames_shape: Shape) -> Shape:
        return (frames_shape[0], *self.cells, 4)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cells": list(self.cells)}
