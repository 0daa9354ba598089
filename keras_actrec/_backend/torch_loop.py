"""The recurrent loop on PyTorch: a Python loop over views."""

from collections.abc import Callable
from typing import Any

import keras
import torch
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from keras_actrec._backend.taps import Linear, recorded_by


def loop(
    step: Callable[..., tuple[Any, Any]],
    states: Any,
    sequences: Any,
    unroll: bool = False,
    with_taps: bool = False,
    remat: int | None = None,
) -> tuple[Any, Any]:
    """Run `step(states, inputs) -> (outputs, states)` along the first axis of `sequences`.

    Returns the outputs, stacked along a new first axis, and the last states. The loop is always
    unrolled here. `with_taps`: see `taps`. With `remat`, a block of so many steps keeps its first states
    alone, and runs again for its gradient.
    """
    with_taps = with_taps and torch.is_grad_enabled()
    if not (remat and torch.is_grad_enabled()):
        return _run(step, states, sequences, _Taps() if with_taps else None)
    # As copies: a stateful layer writes its last states over its first ones, from which a block runs again.
    states = keras.tree.map_structure(torch.clone, states)
    parts = [sequence.split(remat) for sequence in keras.tree.flatten(sequences)]
    blocks = []
    for part in zip(*parts, strict=True):
        with set_checkpoint_early_stop(False):  # the block's taps need what goes into its last product
            outputs, states = checkpoint(
                _run,
                step,
                states,
                keras.tree.pack_sequence_as(sequences, part),
                _Taps(twice=True) if with_taps else None,
                use_reentrant=False,
                preserve_rng_state=False,  # noise is drawn before the loop
            )
        blocks.append(outputs)
    return keras.tree.map_structure(lambda *parts: torch.cat(parts), *blocks), states


def _run(
    step: Callable[..., tuple[Any, Any]], states: Any, sequences: Any, taps: "_Taps | None"
) -> tuple[Any, Any]:
    flat = [sequence.unbind(0) for sequence in keras.tree.flatten(sequences)]
    if taps:
        taps.begin(len(flat[0]))
    collected = []
    with recorded_by(taps):
        for inputs in zip(*flat, strict=True):
            if taps:
                taps.begin_step()
            outputs, states = step(states, keras.tree.pack_sequence_as(sequences, inputs))
            collected.append(keras.tree.flatten(outputs))
    if taps:
        taps.end()
    stacked = [torch.stack(steps) for steps in zip(*collected, strict=True)]
    return keras.tree.pack_sequence_as(outputs, stacked), states


class _Taps:
    """A recorder of a loop, in each step of which the same products follow one another.

    Args:
        twice: whether the loop runs again for its gradient. What goes into its products is then collected
            when it does, and let go after use.
    """

    def __init__(self, twice: bool = False) -> None:
        self._twice = twice
        self._runs = 0
        self._inputs: list[list[Any]] = []  # of each product, at all steps

    def begin(self, length: int) -> None:
        self._length = length
        self._step = -1
        self._products: list[tuple[Any, Any]] = []  # taps, kernel
        self._runs += 1
        for inputs in self._inputs:
            inputs.clear()

    def begin_step(self) -> None:
        self._step += 1
        self._next = 0

    def end(self) -> None:
        self._products = []  # a block keeps its recorder, and would be kept by these

    def __call__(self, linear: Linear, x: Any) -> Any:
        if self._step == 0:
            if self._next == len(self._inputs):
                self._inputs.append([])
            inputs = self._inputs[self._next]
            taps = _OneGradient.apply(linear.kernel, linear.bias, inputs, self._length, len(x), self._twice)
            self._products.append((taps, linear.kernel.detach()))
        if self._runs > self._twice:
            self._inputs[self._next].append(x.detach())
        taps, kernel = self._products[self._next]
        self._next += 1
        return torch.addmm(taps[self._step], x, kernel)


class _OneGradient(torch.autograd.Function):
    """The taps of a product, one a step; backward runs once, when all have their gradient."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Any, bias: Any, inputs: list[Any], length: int, batch: int, twice: bool
    ) -> Any:
        ctx.inputs = inputs  # they are collected after this
        ctx.twice = twice
        if twice:
            ctx.save_for_backward(kernel)
        tap = kernel.new_zeros(()) if bias is None else bias
        return tuple(tap.expand(batch, kernel.shape[1]) for _ in range(length))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *deltas: Any) -> Any:
        if ctx.twice:
            ctx.saved_tensors  # noqa: B018  (to ask for one is what runs the loop again)
        delta = torch.cat(deltas)
        of_bias = delta.sum(0) if ctx.needs_input_grad[1] else None
        of_kernel = torch.cat(ctx.inputs).T @ delta
        if ctx.twice:
            ctx.inputs.clear()
        return of_kernel, of_bias, None, None, None, None
