"""PyTorch: a Python loop over views."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import torch
from torch.autograd.function import once_differentiable

from keras_actrec._backend.taps import Linear, recorded_by
from keras_actrec._backend.torch_graph import call_network
from keras_actrec._backend.torch_maps import (  # noqa: F401 (the package takes them from here)
    average_pool2d,
    batch_norm,
    conv2d,
    depthwise_conv2d,
    max_pool2d,
)
from keras_actrec._types import Tensor


def loop(
    step: Callable[..., tuple[Any, Any]],
    states: Any,
    sequences: Any,
    unroll: bool = False,
    with_taps: bool = False,
) -> tuple[Any, Any]:
    """Run `step(states, inputs) -> (outputs, states)` along the first axis of `sequences`.

    Returns the outputs, stacked along a new first axis, and the last states. The loop is always
    unrolled here. `with_taps`: see `taps`.
    """
    flat = [sequence.unbind(0) for sequence in keras.tree.flatten(sequences)]
    taps = _Taps(len(flat[0])) if with_taps and torch.is_grad_enabled() else None
    collected = []
    with recorded_by(taps):
        for inputs in zip(*flat, strict=True):
            if taps:
                taps.begin_step()
            outputs, states = step(states, keras.tree.pack_sequence_as(sequences, inputs))
            collected.append(keras.tree.flatten(outputs))
    stacked = [torch.stack(steps) for steps in zip(*collected, strict=True)]
    return keras.tree.pack_sequence_as(outputs, stacked), states


class _Taps:
    """A recorder for `length` steps, in each of which the same products follow one another."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._products: list[tuple[Any, list[Any], Any]] = []  # taps, inputs so far, kernel
        self._step = -1
        self._next = 0

    def begin_step(self) -> None:
        self._step += 1
        self._next = 0

    def __call__(self, linear: Linear, x: Any) -> Any:
        if self._step == 0:
            inputs: list[Any] = []
            taps = _OneGradient.apply(linear.kernel, linear.bias, inputs, self._length, len(x))
            self._products.append((taps, inputs, linear.kernel.detach()))
        taps, inputs, kernel = self._products[self._next]
        self._next += 1
        inputs.append(x.detach())
        return torch.addmm(taps[self._step], x, kernel)


class _OneGradient(torch.autograd.Function):
    """The taps of a product, one a step; backward runs once, when all have their gradient."""

    @staticmethod
    def forward(ctx: Any, kernel: Any, bias: Any, inputs: list[Any], length: int, batch: int) -> Any:
        ctx.inputs = inputs  # they are collected after this
        tap = kernel.new_zeros(()) if bias is None else bias
        return tuple(tap.expand(batch, kernel.shape[1]) for _ in range(length))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *deltas: Any) -> Any:
        delta = torch.cat(deltas)
        of_bias = delta.sum(0) if ctx.needs_input_grad[1] else None
        return torch.cat(ctx.inputs).T @ delta, of_bias, None, None, None


def split(x: Any, sizes: Sequence[int]) -> list[Any]:
    """The parts of `x` along its last axis, of the given sizes."""
    return list(x.split(list(sizes), -1))


def with_steps_of(sequences: Tensor, mask: Tensor | None) -> Tensor:
    """The sequences; the numbers of steps are known before anything runs."""
    return sequences


def keep_programs() -> None:
    """Keep what is compiled for the next process: nothing is."""


def predictor(model: keras.Model) -> Callable[[Any], np.ndarray]:
    """A function of a batch, as `model.predict_on_batch`, that several threads may call."""

    def predict(batch: Any) -> np.ndarray:
        with torch.no_grad():
            answer = call_network(model, batch, training=False)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, answer)

    return predict


def devices() -> list[str]:
    """Names of the devices, such as `cpu:0`."""
    return ["cpu:0"] + [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]


def seed(number: int) -> None:
    """Seed what the backend draws by itself: Keras leaves dropout to torch's own generator."""
    torch.manual_seed(number)


def generators() -> list[np.ndarray]:
    """States of torch's own generators: that of the CPU, and one a GPU."""
    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [state.numpy() for state in states]


def set_generators(states: Sequence[np.ndarray]) -> None:
    """Put back what `generators` gave."""
    cpu, *gpus = (torch.from_numpy(state) for state in states)
    torch.set_rng_state(cpu)
    for index, state in enumerate(gpus[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, index)
