"""A recurrent cell some of whose units keep what they had."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers._cells import CellAround, refuse_dropout
from keras_actrec.layers._stepper import Step, Stepped, make_step


@keras.saving.register_keras_serializable("keras_actrec")
class ZoneoutCell(CellAround):
    """Any Keras cell with zoneout of its first state: at each step of training some units stay as they were.

        h_t = d h_{t-1} + (1 - d) cell(x_t, h_{t-1}),  d ~ Bernoulli(rate)

    At test d is `rate`, its mean. Without noise, as in `keras.layers.RNN`, training is as a test; an
    `AttentiveRNN` draws it.

    Args:
        cell: a Keras cell whose output is its first state.
        rate: probability of each unit to stay, at least 0 and below 1.
        **kwargs: as of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, D)`.
        states: the cell's.

    Returns:
        The output `(B, units)`, which is the first state, and new states.

    Raises:
        UserError: for a rate out of range, or a cell with dropout or with noise of its own.

    Weights: the cell's.

    Reference: Krueger et al., ICLR 2017, arXiv 1606.01305. Where we differ: of an LSTM c moves on.
    """

    def __init__(self, cell: keras.layers.Layer, rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        refuse_dropout(cell)
        if not 0 <= rate < 1:
            raise UserError(f"`rate` must be at least 0 and below 1. Received: rate={rate}")
        if getattr(cell, "noise_size", 0):
            raise UserError(
                f"{type(cell).__name__} draws noise, which zoneout has no place for: leave zoneout out"
            )
        self.cell = cell
        self.rate = rate

    def build(self, input_shape: Shape) -> None:
        if not self.cell.built:  # as it is when a saved model is loaded
            self.cell.build(input_shape)

    @property
    def noise_size(self) -> int:
        """Numbers a step: one for each unit."""
        return keras.tree.flatten(self.state_size)[0]

    def draw_noise(self, shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
        """Numbers from 0 to 1, `(*shape, units)`."""
        return keras.random.uniform((*shape, self.noise_size), dtype=self.compute_dtype, seed=seed)

    def make_step(self, training: bool = False) -> Step:
        """The function of one step, made once before the loop."""
        inner = make_step(self.cell, training)

        def run(prepared: Any, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
            _, (new, *others), trace = inner.run(prepared, states)
            if noise is None:
                h = self.rate * states[0] + (1 - self.rate) * new
            else:
                h = ops.where(ops.less(noise, self.rate), states[0], new)
            return h, [h, *others], trace

        return Step(run, inner.prepare)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
