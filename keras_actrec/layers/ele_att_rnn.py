"""Keras's three recurrent layers with the element-wise attention gate."""

import inspect
from typing import Any, Self

import keras

from keras_actrec.layers.attentive_rnn import AttentiveRNN
from keras_actrec.layers.ele_att_cells import EleAttGRUCell, EleAttLSTMCell, EleAttSimpleRNNCell, NamedCell


class NamedRNN(AttentiveRNN):
    """What the three have in common: the cell's arguments and the layer's in one list."""

    cell_class: type[NamedCell]

    def __init__(self, units: int, attention_activation: str = "sigmoid", **kwargs: Any) -> None:
        names = inspect.signature(self.cell_class.inner.__init__).parameters.keys() - {"seed"}
        inner = {name: kwargs.pop(name) for name in names & kwargs.keys()}
        super().__init__(self.cell_class(units, attention_activation, name="cell", **inner), **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config.pop("cell")["config"], **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


@keras.saving.register_keras_serializable("keras_actrec")
class EleAttSimpleRNN(NamedRNN):
    """`AttentiveRNN` around `EleAttSimpleRNNCell`: `(B, T, D)` -> `(B, units)` or `(B, T, units)`.

    Args:
        units: width of the state.
        attention_activation: `"sigmoid"` or `"softmax"`, the gate's.
        **kwargs: as in `keras.layers.SimpleRNN`, without dropout, and as in `AttentiveRNN`:
            `return_trace=True` shows `gates (B, T, D)`.
    """

    cell_class = EleAttSimpleRNNCell


@keras.saving.register_keras_serializable("keras_actrec")
class EleAttGRU(NamedRNN):
    """`AttentiveRNN` around `EleAttGRUCell`: `(B, T, D)` -> `(B, units)` or `(B, T, units)`.

    Args:
        units: width of the state.
        attention_activation: `"sigmoid"` or `"softmax"`, the gate's.
        **kwargs: as in `keras.layers.GRU`, without dropout and with `reset_after=False`, and as in
            `AttentiveRNN`: `return_trace=True` shows `gates (B, T, D)`.
    """

    cell_class = EleAttGRUCell


@keras.saving.register_keras_serializable("keras_actrec")
class EleAttLSTM(NamedRNN):
    """`AttentiveRNN` around `EleAttLSTMCell`: `(B, T, D)` -> `(B, units)` or `(B, T, units)`.

    Args:
        units: width of the states.
        attention_activation: `"sigmoid"` or `"softmax"`, the gate's.
        **kwargs: as in `keras.layers.LSTM`, without dropout, and as in `AttentiveRNN`:
            `return_trace=True` shows `gates (B, T, D)`.
    """

    cell_class = EleAttLSTMCell
