"""Functional models on PyTorch that only answer: quicker than Keras calls them, and in less memory.

Keras holds what every layer gave until the whole model has answered, so that no memory is used twice: to get
more of it from the system takes a third of the time of EfficientNet-Lite0. And what Keras does around the
`call` of a layer (types, masks, scopes) takes .14 ms, for one frame of that network altogether more than its
convolutions: here it is left out where it would do nothing.
"""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import keras
import torch


class _Step(NamedTuple):
    """A node of a graph, how its layer is told that this is no training, and what is not needed behind it.

    `seen` is what its `call` takes, a tensor or a list of some; None where Keras has to call the layer.
    """

    node: Any
    told: dict[str, bool]
    seen: int | list[int] | None
    gone: list[int]

    def answer(self, held: dict[int, Any]) -> Any:
        """What the layer gives."""
        if self.seen is None:
            arguments, named = self.node.arguments.fill_in(held)
            return self.node.operation(*arguments, **{**named, **self.told})
        seen = self.seen
        taken = held[seen] if isinstance(seen, int) else [held[each] for each in seen]
        return self.node.operation.call(taken, **self.told)


_Plan: TypeAlias = list[_Step]
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
    for step in _PLANS[network]:
        outputs = step.answer(held)
        if isinstance(outputs, torch.Tensor):
            held[id(step.node.outputs[0])] = outputs
        else:
            held.update(zip(map(id, step.node.outputs), keras.tree.flatten(outputs), strict=True))
        del outputs
        for tensor in step.gone:
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
    plan = []
    for node, gone in zip(nodes, last, strict=True):
        told = {"training": False} if "training" in inspect.signature(node.operation.call).parameters else {}
        plan.append(_Step(node, told, _seen(node), gone))
    return plan


def _seen(node: Any) -> int | list[int] | None:
    """What the layer's `call` takes, if that is all there is to it. Masks are arguments in a graph."""
    layer, arguments = node.operation, node.arguments
    bare = (
        isinstance(layer, keras.layers.Layer)
        and type(layer).__call__ is keras.layers.Layer.__call__
        and layer.built
        and not layer._layers  # which would ask this one about training
        and layer.compute_dtype == layer.variable_dtype == "float32"
        and layer.activity_regularizer is None
        and type(layer).quantize is keras.layers.Layer.quantize  # or another call may begin at any time
    )
    if not bare or arguments.kwargs.keys() - {"training"} or len(arguments.args) != 1:
        return None
    (given,) = arguments.args
    tensors = given if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(each, keras.KerasTensor) and each.dtype == "float32" for each in tensors):
        return None
    return id(given) if tensors is not given else [id(each) for each in tensors]
