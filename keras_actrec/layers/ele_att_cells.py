"""Keras's three recurrent cells with the element-wise attention gate in front."""

from typing import Any, Self

import keras

from keras_actrec._numbers import whole
from keras_actrec.errors import UserError
from keras_actrec.layers.ele_att_cell import EleAttCell


class NamedCell(EleAttCell):
    """What the three have in common: arguments of both the gate and the inner cell, in one list."""

    inner: type[keras.layers.Layer]  # Keras's cell

    def __init__(self, units: int, attention_activation: str = "sigmoid", **kwargs: Any) -> None:
        units = whole("units", units)
        own = {key: kwargs.pop(key) for key in ("name", "trainable") if key in kwargs}
        cell = self.inner(units, name="cell", **kwargs)
        super().__init__(cell, activation=attention_activation, dtype=kwargs.get("dtype"), **own)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        cell, activation = config.pop("cell")["config"], config.pop("activation")
        return {**cell, **config, "attention_activation": activation}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


@keras.saving.register_keras_serializable("keras_actrec")
class EleAttSimpleRNNCell(NamedCell):
    """`EleAttCell` around `keras.layers.SimpleRNNCell`.

    Args:
        units: width of the state.
        attention_activation: `"sigmoid"` or `"softmax"`, the gate's.
        **kwargs: as in `keras.layers.SimpleRNNCell`, of the inner cell; without dropout.

    Raises:
        UserError: for `units`, `attention_activation` or dropout that do not fit.
    """

    inner = keras.layers.SimpleRNNCell


@keras.saving.register_keras_serializable("keras_actrec")
class EleAttGRUCell(NamedCell):
    """`EleAttCell` around `keras.layers.GRUCell` with `reset_after=False` (EleAttG, eq. 7).

    Args:
        units: width of the state.
        attention_activation: `"sigmoid"` or `"softmax"`, the gate's.
        reset_after: False, as in the paper; Keras's own default is another GRU and is refused.
        **kwargs: as in `keras.layers.GRUCell`, of the inner cell; without dropout.

    Raises:
        UserError: for `units`, `attention_activation`, `reset_after` or dropout that do not fit.
    """

    inner = keras.layers.GRUCell

    def __init__(
        self, units: int, attention_activation: str = "sigmoid", reset_after: bool = False, **kwargs: Any
    ) -> None:
        if reset_after:
            raise UserError(f"`reset_after` must be False. Received: reset_after={reset_after}")
        super().__init__(units, attention_activation, reset_after=False, **kwargs)


@keras.saving.register_keras_serializable("keras_actrec")
class EleAttLSTMCell(NamedCell):
    """`EleAttCell` around `keras.layers.LSTMCell`; the gate sees h, not c.

    Args:
        units: width of the states.
        attention_activation: `"sigmoid"` or `"softmax"`, the gate's.
        **kwargs: as in `keras.layers.LSTMCell`, of the inner cell; without dropout.

    Raises:
        UserError: for `units`, `attention_activation` or dropout that do not fit.
    """

    inner = keras.layers.LSTMCell
