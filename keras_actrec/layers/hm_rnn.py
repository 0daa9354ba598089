"""The hierarchical multi-scale recurrent layer."""

from typing import Any, Self

import keras

from keras_actrec.layers.attentive_rnn import AttentiveRNN
from keras_actrec.layers.hm_rnn_cell import HMRNNCell

_OF_LAYERS = ("name", "trainable", "dtype")  # what the configuration of every layer has


@keras.saving.register_keras_serializable("keras_actrec")
class HMRNN(AttentiveRNN):
    """`AttentiveRNN` around `HMRNNCell`: hierarchical multi-scale recurrence over `(B, T, D)`.

    Args:
        units: as in `HMRNNCell`, and so are the others.
        num_layers: as in `HMRNNCell`.
        boundary: as in `HMRNNCell`.
        temperature: as in `HMRNNCell`.
        output_activation: as in `HMRNNCell`.
        top_boundary: as in `HMRNNCell`.
        boundary_bias: as in `HMRNNCell`.
        forget_bias: as in `HMRNNCell`.
        boundary_noise: as in `HMRNNCell`.
        **kwargs: as in `AttentiveRNN`. `return_trace=True` shows `boundaries` and `updates (B, T, L)`.

    Returns:
        `[h^1, ..., h^L]` of the last step, `(B, L * units)`, or of every step.
    """

    def __init__(
        self,
        units: int | list[int],
        num_layers: int = 3,
        boundary: str = "scalar",
        temperature: float = 0.3,
        output_activation: str = "tanh",
        top_boundary: bool = True,
        boundary_bias: float = 0.0,
        forget_bias: float = 0.0,
        boundary_noise: bool = True,
        **kwargs: Any,
    ) -> None:
        cell = HMRNNCell(
            units,
            num_layers=num_layers,
            boundary=boundary,
            temperature=temperature,
            output_activation=output_activation,
            top_boundary=top_boundary,
            boundary_bias=boundary_bias,
            forget_bias=forget_bias,
            boundary_noise=boundary_noise,
            name="cell",
        )
        super().__init__(cell, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        cell = config.pop("cell")["config"]
        return {**config, **{name: value for name, value in cell.items() if name not in _OF_LAYERS}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)
