"""The recurrent loop on PyTorch: a Python loop over views."""

from collections.abc import Callable
from typing import Any

import keras
import torch
from torch.autograd.function import once_differentiable

from keras_actrec._backend.taps import Linear, recorded_by


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
