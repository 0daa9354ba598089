"""A recurrent cell that looks at its input through an attention."""

from typing import Any, Self

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor
from keras_actrec.layers._cells import CellAround, refuse_dropout
from keras_actrec.layers._stepper import Step, Stepped, make_step


@keras.saving.register_keras_serializable("keras_actrec")
class AttentionCell(CellAround):
    """Any attention over locations in front of any Keras cell (HM-AN, eq. 12-13).

    At step t: `context = attention(x_t, h_{t-1})`, `output, states = cell(context, states)`. The query is
    the cell's first state, or, of a cell of several layers, the first layer's part of it
    (`cell.query(states)`, as `HMRNNCell` has).

    Args:
        attention: `SoftAttention`, `GumbelHardAttention` or `ReinforceAttention`.
        cell: a Keras cell whose output is its first state. It takes the attention's context `(B, D)`.

    Call arguments:
        inputs: `(B, N, D)`, the features of one step.
        states: the cell's.

    Returns:
        The cell's output and new states. In `keras.layers.RNN` no noise is drawn: hard attentions take
        the most probable location. `AttentiveRNN` draws the noise.

    Raises:
        UserError: for a cell with dropout: its masks would be drawn inside the loop.
    """

    def __init__(self, attention: keras.layers.Layer, cell: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        refuse_dropout(cell)
        self.attention = attention
        self.cell = cell

    def build(self, input_shape: Shape) -> None:
        batch, _, channels = input_shape
        if not self.attention.built:  # as they are when a saved model is loaded
            self.attention.build(tuple(input_shape), (batch, self.query_size))
        if not self.cell.built:
            self.cell.build((batch, channels))

    @property
    def query_size(self) -> int:
        """Width of the query."""
        if hasattr(self.cell, "query_size"):
            return self.cell.query_size
        return keras.tree.flatten(self.cell.state_size)[0]

    def query(self, states: list[Tensor]) -> Tensor:
        """The part of `states` that the attention sees, `(B, query_size)`."""
        return self.cell.query(states) if hasattr(self.cell, "query") else states[0]

    @property
    def trace_sizes(self) -> dict[str, int]:
        """What a trace of this cell has, and how wide."""
        inner = getattr(self.cell, "trace_sizes", {})
        return {"attention": self.attention.num_locations, **self.attention.trace_sizes, **inner}

    @property
    def noise_size(self) -> int:
        """Columns of noise that `step` takes: the attention's, then the cell's."""
        return self.attention.noise_size + getattr(self.cell, "noise_size", 0)

    def draw_noise(self, shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
        """Noise of shape `(*shape, noise_size)`."""
        parts = [part for part in (self.attention, self.cell) if getattr(part, "noise_size", 0)]
        return ops.concatenate([part.draw_noise(shape, seed) for part in parts], axis=-1)

    def make_step(self, training: bool = False) -> Step:
        """The function of one step, made once before the loop."""
        inner, look = make_step(self.cell, training), self.attention.make_look()

        def run(prepared: Any, states: list[Tensor], noise: Tensor | None = None) -> Stepped:
            attention_noise = cell_noise = None
            if noise is not None:
                if self.attention.noise_size:
                    attention_noise = noise[:, : self.attention.noise_size]
                if getattr(self.cell, "noise_size", 0):
                    cell_noise = noise[:, self.attention.noise_size :]
            context, scores, trace = look.run(prepared, self.query(states), attention_noise)
            output, states, cell_trace = inner(context, states, cell_noise)
            return output, states, {"attention": scores, **trace, **cell_trace}

        return Step(run, look.prepare)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "attention": keras.saving.serialize_keras_object(self.attention),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config["attention"] = keras.saving.deserialize_keras_object(config["attention"])
        return super().from_config(config)
