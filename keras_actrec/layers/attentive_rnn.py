"""The recurrent layer that draws noise, honors masks and shows what its cell did."""

import threading
from typing import Any

import keras
from keras import ops

from keras_actrec import _backend
from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers._cells import draws, refuse_dropout, runs_again
from keras_actrec.layers._stepper import make_step


@keras.saving.register_keras_serializable("keras_actrec")
class AttentiveRNN(keras.layers.RNN):
    """`keras.layers.RNN` for cells that need noise, and that can return a trace of its steps.

    What it adds: in training all noise that the cell needs is drawn once a batch, before the loop, from
    the layer's own seed generator (a cell stays a pure function, the same on every backend), and
    `return_trace`. Masked steps keep the states, and their output is the first state, on every backend.

    Args:
        cell: one of this library's cells or any Keras cell whose output is its first state.
        return_sequences: whether to return every step's output `(B, T, units)` or the last one's.
        return_state: whether to return the last states too.
        return_trace: whether to return a dict instead of the output: `output`, and what the cell has of
            `boundaries (B, T, L)`, `updates (B, T, L)`, `attention (B, T, N)`, `temperature (B, T, 1)`,
            `gates (B, T, D)`, `log_prob (B, T, 1)`. Masked steps are 0 in all but `output`.
        seed: of the noise; None draws one.
        second_order: whether gradients may be differentiated again in training (a penalty on gradients, say).
            By default they may not: each weight's gradient is one product after the loop, which takes half of
            the time, and what would be its own gradient is lost. At test they always may.
        remat: steps of a block, 16 say, for long sequences: in training a block keeps the states before its
            first step alone, and runs again for its gradient. That takes less memory, and 1.2 to 2.1 times as
            long. None keeps what each step has computed, but on TensorFlow, which above 400 steps is faster
            in blocks of 60. XLA on TensorFlow takes no blocks; in half precision a cell that has a `step` of
            its own never runs in blocks.
        **kwargs: as `keras.layers.RNN` (`go_backwards`, `stateful`, `unroll`, `zero_output_for_mask`).

    Call arguments:
        sequences: `(B, T, ...)`.
        initial_state: default the cell's.
        mask: bool `(B, T)`, False where a step is padding.
        training: whether to draw noise.

    Raises:
        UserError: for a list of cells or `StackedRNNCells`: stack layers instead; for a cell with dropout; in
            `keras.layers.Bidirectional` with a trace, for which it has no place; in a call, for no steps, or
            a mask of another number of steps. On TensorFlow, in a graph that does not know the numbers, it is
            TensorFlow's `InvalidArgumentError` that says so.
    """

    def __init__(
        self,
        cell: keras.layers.Layer,
        return_sequences: bool = False,
        return_state: bool = False,
        return_trace: bool = False,
        seed: int | None = None,
        second_order: bool = False,
        remat: int | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, (list, tuple, keras.layers.StackedRNNCells)):
            raise UserError(
                f"`cell` must be one cell: stack AttentiveRNN layers instead. Received: cell={cell}"
            )
        refuse_dropout(cell)
        super().__init__(cell, return_sequences=return_sequences, return_state=return_state, **kwargs)
        self.return_trace = return_trace
        self.seed = seed
        self.second_order = second_order
        self.remat = remat
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._traces = _Traces()
        self._share_policy(self.cell)

    @property
    def remat(self) -> int | None:
        """Steps of a block that runs again for its gradient."""
        return self._remat

    @remat.setter
    def remat(self, value: int | None) -> None:
        if value is not None:
            value = whole("remat", value)
            for other in ("second_order", "unroll"):
                if getattr(self, other):
                    raise UserError(f"`remat` does not go with `{other}`: leave one of them out")
            if draws(self.cell):
                raise UserError(
                    f"`remat` needs a cell that draws nothing in a step, which would run again with other "
                    f"numbers: leave it out. Received: cell={self.cell}"
                )
        self._remat = value

    def __setattr__(self, name: str, value: Any) -> None:
        # `Bidirectional` sets this of a layer that it takes; nothing else tells that it has.
        if name == "zero_output_for_mask" and getattr(self, "return_trace", False):
            raise UserError(
                "`Bidirectional` has no place for a trace: set return_trace=False in it, or take a second "
                "layer with go_backwards=True instead of it"
            )
        super().__setattr__(name, value)

    def _share_policy(self, part: Any) -> None:
        # `dtype=` reaches this layer only; its cell, and all in it, must compute in the same type.
        if isinstance(part, keras.layers.Layer):
            if not part.built:
                part.dtype_policy = self.dtype_policy
            for name in ("attention", "cell"):
                self._share_policy(getattr(part, name, None))

    def inner_loop(
        self, sequences: Tensor, initial_state: list[Tensor], mask: Tensor | None, training: bool = False
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        noise = None
        if training and getattr(self.cell, "noise_size", 0) > 0:
            noise = self.cell.draw_noise(ops.shape(sequences)[:2], self.seed_generator)
            noise = _time_major(noise)
        step_of_cell = make_step(self.cell, training)
        inputs = {"x": step_of_cell.prepare(_time_major(sequences))}
        if noise is not None:
            inputs["noise"] = noise
        if mask is not None:
            inputs["mask"] = ops.expand_dims(ops.transpose(ops.cast(mask, "bool")), -1)  # (T, B, 1)
        if self.go_backwards:
            inputs = keras.tree.map_structure(lambda part: ops.flip(part, axis=0), inputs)

        def step(states: list[Tensor], inputs: dict[str, Any]) -> tuple[dict[str, Any], list[Tensor]]:
            output, new_states, trace = step_of_cell.run(inputs["x"], states, inputs.get("noise"))
            outputs: dict[str, Any] = {"trace": trace} if self.return_trace else {}
            if mask is not None:
                valid = inputs["mask"]
                new_states = [ops.where(valid, new, old) for new, old in zip(new_states, states, strict=True)]
                output = ops.where(valid, output, 0 if self.zero_output_for_mask else new_states[0])
                if self.return_trace:
                    outputs["trace"] = {key: ops.where(valid, value, 0) for key, value in trace.items()}
            if self.return_sequences:
                outputs["output"] = output
            return outputs, new_states

        taps = training and not self.second_order
        outputs, states = _backend.loop(
            step,
            list(initial_state),
            inputs,
            unroll=self.unroll,
            with_taps=taps,
            remat=self.remat if taps and runs_again(self.cell) else 0,
        )
        if self.return_trace:
            self._traces.put(
                {
                    key: ops.cast(_batch_major(value), self.compute_dtype)
                    for key, value in outputs["trace"].items()
                }
            )
        if self.return_sequences:
            sequence = _batch_major(outputs["output"])
            return sequence[:, -1], sequence, states
        return states[0], states[0], states

    def call(
        self,
        sequences: Tensor,
        initial_state: list[Tensor] | None = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        sequences = check_steps(sequences, mask)
        result = super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        if not self.return_trace:
            return result
        output, *states = result if self.return_state else (result,)
        trace = {"output": output, **self._traces.take()}
        return (trace, *states) if self.return_state else trace

    def compute_mask(self, sequences: Tensor, mask: Any) -> Any:
        masks = super().compute_mask(sequences, mask)
        if not self.return_trace:
            return masks
        output, *states = masks if self.return_state else (masks,)
        steps = keras.tree.flatten(mask)[0]
        trace = {"output": output, **dict.fromkeys(getattr(self.cell, "trace_sizes", {}), steps)}
        return (trace, *states) if self.return_state else trace

    def compute_output_shape(self, sequences_shape: Shape, initial_state_shape: Any = None) -> Any:
        shape = super().compute_output_shape(sequences_shape, initial_state_shape)
        if not self.return_trace:
            return shape
        output, *states = shape if self.return_state else (shape,)
        trace = {"output": output}
        for key, width in getattr(self.cell, "trace_sizes", {}).items():
            trace[key] = (*sequences_shape[:2], width)
        return (trace, *states) if self.return_state else trace

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "return_trace": self.return_trace,
            "seed": self.seed,
            "second_order": self.second_order,
            "remat": self.remat,
        }


def check_steps(sequences: Tensor, mask: Tensor | None) -> Tensor:
    """Refuse no steps, and a mask of another form or number of them, which TensorFlow would cut them to.

    Returns:
        The sequences, which a graph that does not know the numbers refuses when they come.

    Raises:
        UserError: for such sequences, where the numbers are known.
    """
    if mask is not None:
        count, masks = sequences.shape[0], mask.shape[0] if len(mask.shape) else 0
        if len(mask.shape) != 2 or None not in (count, masks) and masks not in (1, count):
            form = f"({count or 'B'}, T)"
            raise UserError(f"`mask` must be {form}, a value a step. Received: shape {tuple(mask.shape)}")
    steps = sequences.shape[1]
    masked = steps if mask is None else mask.shape[1]
    if steps == 0:
        raise UserError("`sequences` have no steps: give one at least")
    if None in (steps, masked):
        return _backend.with_steps_of(sequences, mask)
    if steps != masked:
        raise UserError(f"`mask` has {masked} steps and `sequences` have {steps}: give both as many")
    return sequences


class _Traces:
    """Carries a trace from `inner_loop` to `call`; a plain object, as Keras tracks tensors on layers.

    Several threads may call a layer at a time, each with a trace of its own.
    """

    def __init__(self) -> None:
        self._of_threads: dict[int, dict[str, Any]] = {}

    def put(self, trace: dict[str, Any]) -> None:
        self._of_threads[threading.get_ident()] = trace

    def take(self) -> dict[str, Any]:
        return self._of_threads.pop(threading.get_ident())


def _time_major(x: Tensor) -> Tensor:
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))


_batch_major = _time_major
