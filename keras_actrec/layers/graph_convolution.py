"""A convolution over the joints of a skeleton."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError


@keras.saving.register_keras_serializable("keras_actrec")
class GraphConvolution(keras.layers.Layer):
    """Mixes each joint with its neighbors: `(B, T, V, C)` -> `(B, T, V, filters)`.

        y_v = sum_k sum_w A_k[v, w] E_k[v, w] (x_w kernel_k)

    `A_0` is the joint itself, `A_1` the mean of the joints that it hangs on, nearer to the trunk, and `A_2`
    the mean of those that hang on it. E, the importance of each edge, is learned and starts at 1.
    There is no bias: a normalization comes behind.

    Args:
        filters: channels of the result.
        bones: pairs of joints, the one nearer to the trunk first.
        **kwargs: as of `keras.layers.Layer`.

    Raises:
        UserError: for bones that are none, or joints that the inputs do not have.

    Weights: `kernel (C, 3 filters)`, `importance (3, V, V)`.

    Reference: Yan et al., "Spatial Temporal Graph Convolutional Networks", AAAI 2018, arXiv 1801.07455, eq.
    10, with the spatial partition. Where we differ: nearer and farther are told by the bones and not
    measured from the center of gravity, and each part is a mean, as in its definition by 1 / Z, where eq. 10
    divides by the roots of both joints' degrees.
    """

    def __init__(self, filters: int, bones: Iterable[Iterable[int]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = whole("filters", filters)
        self.bones = [[int(joint) for joint in bone] for bone in bones]
        if not self.bones or any(len(bone) != 2 or min(bone) < 0 for bone in self.bones):
            raise UserError(f"`bones` must be pairs of joints. Received: bones={self.bones}")

    def build(self, input_shape: Shape) -> None:
        joints, channels = input_shape[2:]
        if max(map(max, self.bones)) >= joints:
            raise UserError(
                f"`bones` name joint {max(map(max, self.bones))}, but the joints are 0 to {joints - 1}"
            )
        self.kernel = self.add_weight(name="kernel", shape=(channels, 3 * self.filters))
        self.importance = self.add_weight(name="importance", shape=(3, joints, joints), initializer="ones")
        inward = np.zeros((joints, joints), "float32")
        for start, end in self.bones:
            inward[end, start] = 1
        edges = [np.eye(joints, dtype="float32"), inward, inward.T]
        self._edges = np.stack([each / np.maximum(each.sum(axis=1, keepdims=True), 1) for each in edges])

    def call(self, inputs: Tensor) -> Tensor:
        shape = (*ops.shape(inputs)[:3], 3, self.filters)
        x = ops.reshape(ops.matmul(inputs, self.kernel), shape)  # (B, T, V, 3, F)
        edges = ops.cast(self._edges, x.dtype) * self.importance
        return ops.einsum("btwkf,kvw->btvf", x, edges)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:3], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "bones": self.bones}
