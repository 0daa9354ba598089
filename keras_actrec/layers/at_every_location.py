"""What belongs to a step, at each of its locations."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class AtEveryLocation(keras.layers.Layer):
    """Puts the same vector of a step behind the features of each of its locations.

    An attention's weights add up to 1, so the vector goes on as it is, whatever location is chosen.

    Call arguments:
        locations: `(B, T, N, D)`.
        vectors: `(B, T, E)`.

    Returns:
        `(B, T, N, D + E)`.
    """

    def call(self, locations: Tensor, vectors: Tensor) -> Tensor:
        everywhere = ops.expand_dims(vectors, 2) + ops.zeros_like(locations[..., :1])
        return ops.concatenate([locations, everywhere], axis=-1)

    def compute_output_shape(self, locations_shape: Shape, vectors_shape: Shape) -> Shape:
        return (*locations_shape[:-1], locations_shape[-1] + vectors_shape[-1])

    def compute_mask(self, locations: Any, vectors: Any, mask: Any = None) -> None:
        return None
