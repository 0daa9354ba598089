"""The hierarchical multi-scale recurrent layer."""

import keras

from keras_actrec.layers.attentive_rnn import AttentiveRNN
from keras_actrec.layers.hm_rnn_cell import HMRNNCell


@keras.saving.register_keras_serializable("keras_actrec")
class HMRNN(AttentiveRNN):
    """`AttentiveRNN` around `HMRNNCell`: hierarchical multi-scale recurrence over `(B, T, D)`.

    Args:
        units: as in `HMRNNCell`, and so are `num_layers`, `boundary`, `temperature`,
            `output_activation` and `top_boundary`.
        num_layers: as in `HMRNNCell`.
        boundary: as in `HMRNNCell`.
        temperature: as in `HMRNNCell`.
        output_activation: as in `HMRNNCell`.
        top_boundary: as in `HMRNNCell`.
        **kwargs: as in `AttentiveRNN`. `return_trace=True` shows `boundaries (B, T, L)`.

    Returns:
        `[h^1, ..., h^L]` of the last step, `(B, L * units)`, or of every step.
    """

    def __init__(
        self,
        units,
        num_layers=3,
        boundary="scalar",
        temperature=0.3,
        output_activation="tanh",
        top_boundary=True,
        **kwargs,
    ):
        cell = HMRNNCell(
            units,
            num_layers=num_layers,
            boundary=boundary,
            temperature=temperature,
            output_activation=output_activation,
            top_boundary=top_boundary,
            name="cell",
        )
        super().__init__(cell, **kwargs)

    def get_config(self):
        config = super().get_config()
        cell = config.pop("cell")["config"]
        names = ("units", "num_layers", "boundary", "temperature", "output_activation", "top_boundary")
        return {**config, **{name: cell[name] for name in names}}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
