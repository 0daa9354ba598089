"""What the recurrent cells of this library share."""

from collections.abc import Callable
from typing import Any, Self

import keras

from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers._stepper import Step, Stepped


class SteppingCell(keras.layers.Layer):
    """A cell that says by `make_step` what it does at every step."""

    def make_step(self, training: bool = False) -> Step:
        """The function of one step, made once before the loop."""
        raise NotImplementedError

    def step(
        self, inputs: Tensor, states: list[Tensor], noise: Tensor | None = None, training: bool = False
    ) -> Stepped:
        """One step: output, new states, and a dict of what `trace_sizes` names."""
        return self.make_step(training)(inputs, states, noise)

    def call(
        self, inputs: Tensor, states: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        output, states, _ = self.step(inputs, states, training=training)
        return output, states


class CellAround(SteppingCell):
    """A cell around another, `self.cell`, which subclasses set: its states are that one's."""

    @property
    def state_size(self) -> int | list[int]:
        """The cell's."""
        return self.cell.state_size

    @property
    def output_size(self) -> int:
        """The cell's."""
        return self.cell.output_size

    @property
    def get_initial_state(self) -> Callable[..., list[Tensor]]:
        """The cell's; where it has none, this has none, and `keras.layers.RNN` starts from zeros."""
        return self.cell.get_initial_state

    def compute_output_shape(
        self, inputs_shape: Shape, states_shape: list[Shape]
    ) -> tuple[Shape, list[Shape]]:
        return states_shape[0], list(states_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cell": keras.saving.serialize_keras_object(self.cell)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config["cell"] = keras.saving.deserialize_keras_object(config["cell"])
        return cls(**config)


def refuse_dropout(cell: keras.layers.Layer) -> None:
    """Raise for a Keras cell with dropout: its masks would be drawn inside the loop."""
    for argument in ("dropout", "recurrent_dropout"):
        if getattr(cell, argument, 0):
            raise UserError(
                f"`cell` must not have `{argument}`: put keras.layers.Dropout after the layer. "
                f"Received: cell={cell}"
            )


def runs_again(cell: keras.layers.Layer) -> bool:
    """Whether a step gives the same when it runs again, outside of the layer's call.

    A cell that draws gives something else. One with a `step` of its own, and no `make_step`, reads its
    weights in it, which in half precision nothing casts there.
    """
    reads = hasattr(cell, "step") and not hasattr(cell, "make_step")
    return not draws(cell) and not (reads and cell.compute_dtype != cell.variable_dtype)


def draws(cell: keras.layers.Layer) -> bool:
    """Whether a cell, or a layer in it, has a generator of its own, from which a step would draw.

    Keras' cells have one for their dropout, which is refused.
    """
    return any(
        isinstance(value, keras.random.SeedGenerator)
        for layer in cell._flatten_layers()
        if not type(layer).__module__.startswith("keras.")
        for value in vars(layer).values()
    )
