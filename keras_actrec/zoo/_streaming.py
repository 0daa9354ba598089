"""The view of a causal model that takes a clip piece by piece: what it remembers goes in and comes out."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import AttentiveRNN, FrameDifference, LastStep, TemporalShift, TemporalSkip
from keras_actrec.zoo._registry import ModelSpec
from keras_actrec.zoo._reinforce import PolicyGradient

_SEEN = "seen"  # the state that counts the steps before
_LOOKING_BACK = (FrameDifference, TemporalShift, TemporalSkip)  # at steps that came some steps before


class StreamingView(NamedTuple):
    """A model with its states outside.

    Attributes:
        model: from a dict of the input, `(1, T, ...)` with any T, and the states, to a dict of the states
            after it and of two answers at every step, `(1, T, C)`: `scores`, that to all steps so far, and
            `steps`, what the step alone gives to the average over time. Where the model's answer is that of
            its last step, they are the same.
        start: the states before the first step.
    """

    model: keras.Model
    start: dict[str, np.ndarray]


def streaming_view(model: keras.Model, spec: ModelSpec, step: Shape) -> StreamingView:
    """The same layers and weights for steps that come one by one, without a mask.

    However a clip is cut, its last `scores` are what the model answers to the whole of it.

    Args:
        model: a model of the zoo.
        spec: its specification.
        step: shape of one step, such as `(H, W, 3)`.

    Raises:
        UserError: where the specification does not say that the model is causal.
    """
    if not spec.causal:
        raise UserError(f"`{model.name}` needs the whole clip for each step: give it a window of the stream")
    (tensor,) = (each for each in model.inputs if each.name != "mask")
    source = keras.Input(batch_shape=(1, None, *step), dtype=tensor.dtype, name=tensor.name)
    memory = _Memory(model, source)
    # Keras wants the inputs of a copy to be those of the original, which has no states.
    states = [keras.Input(each.shape[1:]) for each in memory.inputs.values()]
    masks = [keras.Input((None,), dtype="bool") for each in model.inputs if each.name == "mask"]
    given = [tensor, *(each for each in model.inputs if each.name == "mask"), *states]
    copy = keras.models.clone_model(
        keras.Model(given, model.output),
        input_tensors=[source, *masks, *memory.inputs.values()],
        clone_function=lambda layer: layer,
        call_function=memory.call,
    )
    answers = copy.output
    if memory.averages:
        answers = ops.reshape(answers, (2, -1, answers.shape[-1]))
    outputs = {"scores": answers[:1, :], "steps": answers[-1:, :], **memory.outputs}
    view = keras.Model({source.name: source, **memory.inputs}, outputs, name=model.name)
    return StreamingView(view, memory.start)


class _Memory:
    """Calls layers with what they remember of the steps before."""

    def __init__(self, model: keras.Model, source: keras.KerasTensor) -> None:
        length = next(each.shape[1] for each in model.inputs if each.name == source.name) or 1
        shapes = {source.name: (1, length, *source.shape[2:]), "mask": (1, length)}
        befores = {layer.name: _before(model, layer, shapes) for layer in model.layers}
        self.names = {
            layer: [f"{layer}_state_{number}" for number in range(len(values))]
            for layer, values in befores.items()
        }
        self.start: dict[str, np.ndarray] = {_SEEN: np.zeros((1, 1), "float32")}
        for layer, values in befores.items():
            self.start |= zip(self.names[layer], values, strict=True)
        self.inputs = {
            name: keras.Input(batch_shape=value.shape, dtype="float32", name=name)
            for name, value in self.start.items()
        }
        one = ops.ones_like(source[(slice(None), slice(None), *[0] * (len(source.shape) - 2))], "float32")
        self.count = self.inputs[_SEEN] + ops.cumsum(one, axis=1)  # of steps up to each, (1, T)
        self.averages = False
        self.outputs: dict[str, Tensor] = {_SEEN: self.count[:, -1:]}

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """What the layer gives for these steps, of which none is padding."""
        kwargs.pop("mask", None)
        if isinstance(layer, keras.layers.RNN):
            return self._recurrent(layer, args[0])
        if isinstance(layer, keras.layers.GlobalAveragePooling1D):
            return self._average(layer, args[0])
        if isinstance(layer, _LOOKING_BACK):
            return self._looking_back(layer, args[0])
        if isinstance(layer, (LastStep, PolicyGradient)):  # each step is the last one so far; no rewards
            return args[0]
        return layer(*args, **kwargs)

    def _recurrent(self, layer: Any, x: Tensor) -> Any:
        """The layer's own cell, from the states before."""
        twin = AttentiveRNN(
            layer.cell,
            return_sequences=True,
            return_state=True,
            return_trace=getattr(layer, "return_trace", False),
            dtype=layer.dtype_policy,
        )
        output, *states = twin(x, initial_state=self._states(layer))
        self._keep(layer, states)
        return output

    def _average(self, layer: keras.layers.Layer, x: Tensor) -> Tensor:
        """The mean of the steps up to each, then the steps themselves: what follows sees a batch of both."""
        (before,) = self._states(layer)
        x, seen, count = ops.cast(x, "float32"), self.inputs[_SEEN], self.count
        mean = (ops.expand_dims(before * seen, 1) + ops.cumsum(x, axis=1)) / ops.expand_dims(count, -1)
        self._keep(layer, [mean[:, -1]])
        self.averages = True
        return ops.reshape(ops.concatenate([mean, x], axis=0), (-1, x.shape[-1]))

    def _looking_back(self, layer: Any, x: Tensor) -> Tensor:
        """The layer on the last steps before and these, without its answer to those before."""
        (before,) = self._states(layer)
        before, delay = ops.cast(before, x.dtype), before.shape[1]
        if isinstance(layer, FrameDifference):  # to which the first step changes nothing
            first = ops.reshape(ops.equal(self.inputs[_SEEN], 0), (1,) * len(x.shape))
            before = ops.where(first, x[:, :1], before)
        channels = before.shape[-1]
        if isinstance(layer, TemporalShift):  # which remembers the channels that it moves
            before = ops.pad(before, [*[(0, 0)] * (len(x.shape) - 1), (0, x.shape[-1] - channels)])
        whole = ops.concatenate([before, x], axis=1)
        self._keep(layer, [whole[:, -delay:, ..., :channels]])
        return layer(whole)[:, delay:]

    def _states(self, layer: keras.layers.Layer) -> list[Tensor]:
        return [self.inputs[name] for name in self.names[layer.name]]

    def _keep(self, layer: keras.layers.Layer, states: list[Tensor]) -> None:
        for name, state in zip(self.names[layer.name], states, strict=True):
            self.outputs[name] = ops.cast(state, "float32")


def _before(model: keras.Model, layer: keras.layers.Layer, shapes: dict[str, Shape]) -> list[np.ndarray]:
    """What a layer remembers before the first step, for one clip."""
    if isinstance(layer, keras.layers.RNN):
        states = keras.tree.flatten(layer.cell.get_initial_state(batch_size=1))
        return [ops.convert_to_numpy(ops.cast(state, "float32")) for state in states]
    if isinstance(layer, keras.layers.GlobalAveragePooling1D):
        return [np.zeros((1, layer.output.shape[-1]), "float32")]
    if isinstance(layer, _LOOKING_BACK):
        source = keras.tree.map_structure(lambda tensor: shapes[tensor.name], model.input)
        shape = keras.Model(model.input, keras.tree.flatten(layer.input)[0]).compute_output_shape(source)
        channels = shape[-1] // getattr(layer, "fold", 1)
        return [np.zeros((1, getattr(layer, "delay", 1), *shape[2:-1], channels), "float32")]
    return []
