"""Batch normalization that is part of the convolution before it, for networks that only answer."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_actrec import _backend
from keras_actrec._types import Tensor
from keras_actrec.layers import FrameWise


def folded(network: keras.Model) -> keras.Model:
    """A network that answers as this one and is faster: normalization is in the convolutions' weights.

    A convolution without activation, `y = W * x + b`, and the batch normalization that alone sees it are one
    convolution,

        W' = W g,    b' = beta + (b - mean) g,    g = gamma / sqrt(variance + epsilon)

    and a ReLU that alone sees that is computed where the map lies. Answers differ by rounding, 1e-5 of the
    largest value. EfficientNet-Lite0 takes half the time on PyTorch.

    The weights of these layers are copied as they are now, those of others are shared: it is for inference,
    and not to be trained or saved.

    Args:
        network: a functional model; within its `FrameWise` layers too. Layers that compute in 16 bits stay.

    Returns:
        Another functional model, or the network itself where nothing can be folded.
    """
    if not hasattr(network, "_nodes_by_depth"):
        return network
    instead = _instead(network)
    if not instead:
        return network

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return instead[layer](args[0]) if layer in instead else layer(*args, **kwargs)

    def fresh(tensor: keras.KerasTensor) -> keras.KerasTensor:
        return keras.Input(batch_shape=tensor.shape, name=tensor.name, dtype=tensor.dtype)

    return keras.models.clone_model(
        network,
        input_tensors=keras.tree.map_structure(fresh, network.input),
        clone_function=lambda layer: layer,
        call_function=call,
    )


class _Folded(keras.layers.Layer):
    """A convolution, the normalization behind it and, where there is one, the ReLU behind that."""

    def __init__(self, conv: Any, norm: Any, relu: Any) -> None:
        super().__init__(name=conv.name, trainable=False)
        # Its attributes and not its config: for that, Keras imports TensorFlow where it is installed.
        self._strides, self._how = conv.strides, (conv.padding, conv.dilation_rate)
        self._relu = relu is not None
        self._most = getattr(relu, "max_value", None)
        self._depthwise = isinstance(conv, keras.layers.DepthwiseConv2D)
        ops = keras.ops.convert_to_numpy
        mean, variance = (ops(each).astype("float64") for each in (norm.moving_mean, norm.moving_variance))
        factor = 1 / np.sqrt(variance + norm.epsilon)
        factor = factor if norm.gamma is None else factor * ops(norm.gamma)
        bias = (0 if conv.bias is None else ops(conv.bias)) - mean
        bias = bias * factor + (0 if norm.beta is None else ops(norm.beta))
        kernel = ops(conv.kernel) * (factor[:, None] if self._depthwise else factor)
        # It lies in memory as PyTorch takes it, which else sorts each kernel in each call.
        kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)).transpose(2, 3, 1, 0)
        self.kernel, self.bias = (
            self.add_weight(shape=value.shape, initializer=_Value(value), name=name, trainable=False)
            for name, value in (("kernel", kernel), ("bias", bias))
        )
        self.built = True
        self.compute_output_shape = conv.compute_output_shape

    def call(self, inputs: Tensor) -> Tensor:
        if self._depthwise:
            x = _backend.depthwise_conv2d(inputs, self.kernel, self._strides[0], self.bias)
        else:
            x = _backend.conv2d(inputs, self.kernel, self.bias, self._strides, *self._how)
        return _backend.relu(x, self._most) if self._relu else x


class _Value(keras.initializers.Initializer):
    """Values that are there already."""

    def __init__(self, value: np.ndarray) -> None:
        self._value = value

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        return keras.ops.convert_to_tensor(self._value, dtype)


def _instead(network: keras.Model) -> dict[keras.layers.Layer, Callable[[Tensor], Tensor]]:
    """By layer what is called in its place."""
    nodes = [node for level in network._nodes_by_depth.values() for node in level if not node.is_input]
    calls = Counter(node.operation for node in nodes)
    seeing: dict[int, list[Any]] = {id(tensor): [None] for tensor in network.outputs}
    for node in nodes:
        for tensor in node.input_tensors:
            seeing.setdefault(id(tensor), []).append(node)

    def behind(node: Any) -> Any:
        """The node that alone sees what this one gives, of a layer that is called once."""
        seen = seeing.get(id(node.outputs[0]), [None])
        return seen[0] if len(seen) == 1 and seen[0] and calls[seen[0].operation] == 1 else None

    instead: dict[keras.layers.Layer, Callable[[Tensor], Tensor]] = {}
    for node in nodes:
        layer = node.operation
        if isinstance(layer, FrameWise):
            inner = folded(layer.network)
            if inner is not layer.network:
                instead[layer] = FrameWise(inner, name=layer.name, dtype=layer.dtype_policy)
        elif calls[layer] == 1 and _folds(layer):
            norm = behind(node)
            if norm is None or not _normalizes(norm.operation):
                continue
            relu = behind(norm)
            relu = relu if relu is not None and _rectifies(relu.operation) else None
            instead[layer] = _Folded(layer, norm.operation, relu and relu.operation)
            instead |= {each.operation: _as_it_is for each in (norm, relu) if each is not None}
    return instead


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _folds(layer: Any) -> bool:
    if not isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        return False
    fits = layer.data_format == "channels_last" and layer.compute_dtype == "float32"
    if isinstance(layer, keras.layers.DepthwiseConv2D):  # as `_backend.depthwise_conv2d` computes it
        square = len(set(layer.kernel_size)) == len(set(layer.strides)) == layer.depth_multiplier == 1
        fits = fits and square and layer.padding == "same" and set(layer.dilation_rate) == {1}
    return fits and layer.activation is keras.activations.linear


def _normalizes(layer: Any) -> bool:
    return (
        isinstance(layer, keras.layers.BatchNormalization)
        and layer.axis in (-1, 3)
        and not layer.renorm
        and layer.compute_dtype == "float32"
    )


def _rectifies(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.relu
    return isinstance(layer, keras.layers.ReLU) and not layer.negative_slope and not layer.threshold
