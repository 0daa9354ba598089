"""A recurrent layer at a coarser time scale."""

from typing import Any

import keras
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Tensor
from keras_actrec.layers.attentive_rnn import AttentiveRNN, check_steps


@keras.saving.register_keras_serializable("keras_actrec")
class SlowRNN(AttentiveRNN):
    """An `AttentiveRNN` that steps at the first and then at every `step_every`-th step of its input.

    In between it keeps its states and its output, as at padding: with `step_every=2` the output of the steps
    0, 1, 2, 3 is y_0, y_0, y_2, y_2.

    Args:
        cell: as of `AttentiveRNN`.
        step_every: steps of the input from one step of the cell to its next, at least 1.
        **kwargs: as of `AttentiveRNN`.

    Call arguments, outputs and masking: as of `AttentiveRNN`; a step that the mask leaves out is none.

    Raises:
        UserError: for a `step_every` that is no whole number of at least 1.

    Reference: Yan et al., CHAM, arXiv 1705.03146.
    """

    def __init__(self, cell: keras.layers.Layer, step_every: int = 1, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        step_every = whole("step_every", step_every)
        self.step_every = int(step_every)

    def call(
        self,
        sequences: Tensor,
        initial_state: list[Tensor] | None = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        sequences = check_steps(sequences, mask)
        batch, time = ops.shape(sequences)[:2]
        steps = ops.broadcast_to(ops.arange(time) % self.step_every == 0, (batch, time))
        if mask is not None:
            steps = ops.logical_and(steps, mask)
        return super().call(sequences, initial_state=initial_state, mask=steps, training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "step_every": self.step_every}
