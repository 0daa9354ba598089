"""Depthwise convolution that is fast on every backend."""

from typing import Any

import keras

from keras_actrec import _backend
from keras_actrec._types import Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with `same` padding and no bias, as mobile networks have it.

    XLA's depthwise convolution on a CPU is 4 to 50 times slower than the same sum written as shifts and
    products (`benchmarks/depthwise.py`), which are used on a CPU instead.
    """

    def __init__(self, kernel_size: int, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(kernel_size, strides, **{**kwargs, "padding": "same", "use_bias": False})

    def call(self, inputs: Tensor) -> Tensor:
        return _backend.depthwise_conv2d(inputs, self.kernel, self.strides[0])
