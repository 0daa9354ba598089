"""Keras' layers over maps, computed by what is fast on the backend."""

import keras

from keras_actrec import _backend
from keras_actrec._types import Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` that leaves maps where they lie.

    On PyTorch, Keras copies each map to channels first before a convolution; this calls PyTorch's own on maps
    that are channels last in memory. Arguments, weights and numbers are those of Keras; so is what is
    computed on JAX and TensorFlow, and with `data_format="channels_first"`.
    """

    def call(self, inputs: Tensor) -> Tensor:
        if self.data_format != "channels_last" or len(inputs.shape) != 4:
            return super().call(inputs)
        x = _backend.conv2d(inputs, self.kernel, self.bias, self.strides, self.padding, self.dilation_rate)
        return x if self.activation is None else self.activation(x)


@keras.saving.register_keras_serializable("keras_actrec")
class MaxPooling2D(keras.layers.MaxPooling2D):
    """`keras.layers.MaxPooling2D` that leaves maps where they lie; see `Conv2D`."""

    def call(self, inputs: Tensor) -> Tensor:
        if self.data_format != "channels_last":
            return super().call(inputs)
        return _backend.max_pool2d(inputs, self.pool_size, self.strides, self.padding)


@keras.saving.register_keras_serializable("keras_actrec")
class AveragePooling2D(keras.layers.AveragePooling2D):
    """`keras.layers.AveragePooling2D` that leaves maps where they lie; see `Conv2D`."""

    def call(self, inputs: Tensor) -> Tensor:
        if self.data_format != "channels_last":
            return super().call(inputs)
        return _backend.average_pool2d(inputs, self.pool_size, self.strides, self.padding)


@keras.saving.register_keras_serializable("keras_actrec")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` in one step on PyTorch, where Keras takes a dozen.

    Arguments, weights and numbers are those of Keras, moving averages too: they are of variances over n. With
    a mask, another axis than the last, `renorm` or `synchronized` it is Keras that computes.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        last = self.axis in (-1, len(inputs.shape) - 1)
        if not last or mask is not None or self.renorm or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        batch = training and self.trainable
        statistics = None if batch else (self.moving_mean, self.moving_variance)
        x, mean, variance = _backend.batch_norm(inputs, self.gamma, self.beta, self.epsilon, statistics)
        if batch:
            for average, found in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.assign(average * self.momentum + found * (1 - self.momentum))
        return keras.ops.cast(x, self.compute_dtype)
