"""Noise and its temperature: drawn once a batch, before the loop, so that cells stay pure functions."""

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor


def _uniform(shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
    # The open interval: both logarithms below stay finite in float32.
    return keras.random.uniform(shape, minval=1e-7, maxval=1.0 - 1e-7, dtype="float32", seed=seed)


def gumbel(shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
    """Gumbel(0, 1) samples, `-log(-log u)`."""
    return -ops.log(-ops.log(_uniform(shape, seed)))


def logistic(shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
    """Logistic(0, 1) samples, the difference of two Gumbel samples: `log u - log(1 - u)`."""
    uniform = _uniform(shape, seed)
    return ops.log(uniform) - ops.log1p(-uniform)


def add_temperature(layer: keras.layers.Layer, value: float) -> keras.Variable:
    """A weight `temperature` that is not trained: it can be changed without compiling the layer again."""
    return layer.add_weight(
        name="temperature",
        shape=(),
        initializer=keras.initializers.Constant(value),
        trainable=False,
        dtype="float32",
        autocast=False,
    )


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard`, exactly, with the gradient of `soft`."""
    return ops.stop_gradient(hard - soft) + soft
