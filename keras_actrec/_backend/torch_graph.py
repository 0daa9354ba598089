"""Functional models on PyTorch that let go of each map once nothing needs it any more.

Keras holds what every layer gave until the whole model has answered, so that no memory is used twice: to get
more of it from the system takes a third of the time of EfficientNet-Lite0.
"""

import inspect
from collections.abc import Mapping
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import keras
import torch

# Each node of a graph in turn, whether it is told that this is no training, and what is not needed behind it.
_Plan: TypeAlias = list[tuple[Any, bool, list[int]]]
_PLANS: WeakKeyDictionary[keras.Model, _Plan] = WeakKeyDictionary()


def call_network(network: keras.layers.Layer, inputs: Any, training: bool | None = None) -> Any:
    """`network(inputs, training=training)`.

    Gradients need every map, and what is no functional model of one output has no graph: Keras calls these.
    """
    given = _given(network, inputs)
    if training or torch.is_grad_enabled() or given is None:
        return network(inputs, training=training)
    if network not in _PLANS:
        _PLANS[network] = _plan(network)
    held = {
        id(symbol): keras.ops.convert_to_tensor(tensor, dtype=symbol.dtype)
        for symbol, tensor in zip(network.inputs, given, strict=True)
    }
    for node, told, last in _PLANS[network]:
        arguments, named = node.arguments.fill_in(held)
        outputs = node.operation(*arguments, **({**named, "training": False} if told else named))
        held.update(zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=True))
        del arguments, named, outputs
        for tensor in last:
            del held[tensor]
    return held[id(network.outputs[0])]


def _given(network: keras.layers.Layer, inputs: Any) -> list[Any] | None:
    """The inputs in the order of the network's, or None where they are for Keras."""
    if not hasattr(network, "_nodes_by_depth") or not isinstance(network.output, keras.KerasTensor):
        return None
    if isinstance(inputs, Mapping):
        given = [inputs.get(symbol.name) for symbol in network.inputs]
    else:
        given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    ranks = [len(getattr(tensor, "shape", ())) for tensor in given]
    return given if ranks == [len(symbol.shape) for symbol in network.inputs] else None


def _plan(network: keras.Model) -> _Plan:
    nodes = [
        node
        for depth in sorted(network._nodes_by_depth, reverse=True)
        for node in network._nodes_by_depth[depth]
        if not node.is_input
    ]
    users = {id(tensor): number for number, node in enumerate(nodes) for tensor in node.outputs}
    users |= {id(tensor): number for number, node in enumerate(nodes) for tensor in node.input_tensors}
    last: list[list[int]] = [[] for _ in nodes]
    for tensor, number in users.items():
        if tensor != id(network.outputs[0]):
            last[number].append(tensor)
    return [
        (node, "training" in inspect.signature(node.operation.call).parameters, gone)
        for node, gone in zip(nodes, last, strict=True)
    ]
