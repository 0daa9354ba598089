"""What Keras does by itself: convolution, pooling and normalization of maps, and calls of networks."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import keras
from keras import ops

from keras_actrec._types import Tensor

Sides: TypeAlias = int | Sequence[int]


def call_network(network: keras.layers.Layer, inputs: Any, training: bool | None = None) -> Any:
    """`network(inputs, training=training)`."""
    return network(inputs, training=training)


def cores_shared(count: int) -> AbstractContextManager[None]:
    """In which so many threads begin, that compute at a time: each with its share of the cores."""
    return nullcontext()  # they have one pool


def argmax(x: Tensor) -> Tensor:
    """Index of the largest value along the last axis, the first of several."""
    return ops.argmax(x, axis=-1)


def conv2d(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    strides: Sides = 1,
    padding: str = "valid",
    dilation: Sides = 1,
) -> Tensor:
    """Convolution of `x (B, H, W, C)` with `kernel (k, k', C / groups, F)`, plus `bias (F)`."""
    x = ops.conv(x, kernel, strides, padding, "channels_last", dilation)
    return x if bias is None else ops.add(x, ops.reshape(bias, (1, 1, 1, -1)))


def depthwise_conv2d(x: Tensor, kernel: Tensor, stride: int, bias: Tensor | None = None) -> Tensor:
    """Depthwise convolution of `x (B, H, W, C)` with `kernel (k, k, C, 1)`, `same` padding, plus a bias."""
    x = ops.depthwise_conv(x, kernel, stride, "same", "channels_last")
    return x if bias is None else ops.add(x, bias)


def relu(x: Tensor, most: float | None = None) -> Tensor:
    """`max(x, 0)`, at most `most`. What is in `x` may be lost."""
    return ops.relu(x) if most is None else ops.clip(x, 0.0, most)


def max_pool2d(x: Tensor, size: Sequence[int], strides: Sequence[int], padding: str) -> Tensor:
    """Largest value of each window of `x (B, H, W, C)`."""
    return ops.max_pool(x, size, strides, padding, "channels_last")


def average_pool2d(x: Tensor, size: Sequence[int], strides: Sequence[int], padding: str) -> Tensor:
    """Mean of each window of `x (B, H, W, C)`, of what is inside, added up in float32 at least."""
    # In half precision TensorFlow's own adds up in it, on CPUs without instructions for it.
    whole = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    return ops.cast(ops.average_pool(whole, size, strides, padding, "channels_last"), x.dtype)


def batch_norm(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    epsilon: float,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta` over the last axis, and mean and variance.

    They are `statistics`, or those of `x` without them. Computed in float32 at least.
    """
    x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    if statistics is None:
        mean, variance = ops.moments(x, list(range(len(x.shape) - 1)))
    else:
        mean, variance = (ops.cast(each, x.dtype) for each in statistics)
    gamma, beta = (each if each is None else ops.cast(each, x.dtype) for each in (gamma, beta))
    return ops.batch_normalization(x, mean, variance, -1, beta, gamma, epsilon), mean, variance
