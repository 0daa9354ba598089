"""Spaces over the models of the zoo for searches of one's own with KerasTuner.

All classes take `(num_classes, input_shape=None, *, frames=None, frame_step=None, **arguments)`:

- num_classes, input_shape: as of the builder.
- frames: list of numbers of frames to choose from; None for as many as the data has.
- frame_step: list of steps to choose from, where 2 leaves every second frame out; None for all frames.
- arguments: further ones of the builder, and values of axes, which are not searched then.

`space` is the `Space`. `hp.Fixed(name, value)` before the search pins an axis too; a list or boolean is given
as its JSON text there. Labels are class ids. With `frames` or `frame_step`, x is an array `(N, T, ...)`.

This module is only imported when one of the classes is used: their base class is KerasTuner's.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_actrec import zoo
from keras_actrec.errors import UserError
from keras_actrec.training import RPROP
from keras_actrec.training.interrupt import Interrupt
from keras_actrec.tuning.space import Axis, Space, import_keras_tuner

import_keras_tuner()  # or one line says what to install

import keras_tuner  # noqa: E402

_OPTIMIZERS = {"adam": keras.optimizers.Adam, "rprop": RPROP, "sgd": keras.optimizers.SGD}
# How a model learns, the same for all of them; not arguments of its builder.
_LEARNING = {
    "optimizer": Axis(values=list(_OPTIMIZERS)),
    "learning_rate": Axis(low=1e-4, high=1e-2, sampling="log"),
    # RPROP looks at signs, for which small batches are too noisy.
    "accumulate": Axis(values=[1, 4, 16]),
}
_DROPOUT = Axis(low=0.0, high=0.7, step=0.1)
_SEEN = ("frames", "frame_step")


class _ZooHyperModel(keras_tuner.HyperModel):
    """`build(hp)` gives a compiled model; `fit` trains it on as many frames as `hp` says."""

    builder = ""
    axes: dict[str, Axis] = {}
    defaults: dict[str, Any] = {}  # of the builder's arguments, where no axis gives a value

    def __init__(
        self,
        num_classes: int,
        input_shape: Sequence[int | None] | None = None,
        *,
        frames: Sequence[int] | None = None,
        frame_step: Sequence[int] | None = None,
        **arguments: Any,
    ):
        super().__init__(name=self.builder)
        self.num_classes = num_classes
        self.input_shape = input_shape
        choices = {"frames": frames, "frame_step": frame_step}
        seen = {name: Axis(values=list(each)) for name, each in choices.items() if each is not None}
        self.space = Space({**seen, **self.axes, **_LEARNING})
        self.arguments = arguments
        zoo.check_arguments(self.builder, arguments.keys() - {"model", *_LEARNING})

    def build(self, hp: Any) -> keras.Model:
        for name, value in self.arguments.items():
            if name in self.space.axes:
                hp.Fixed(name, self.space.axes[name].encode(value))
        values = {**self.defaults, **self.arguments, **self.space.choose(hp)}
        for name in _SEEN:
            values.pop(name, None)
        learning = {name: values.pop(name) for name in _LEARNING}
        builder = values.pop("model", self.builder)
        model = zoo.build(builder, self.num_classes, input_shape=self.input_shape, **values)
        model.compile(
            optimizer=_optimizer(**learning), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        return model

    def fit(
        self, hp: Any, model: keras.Model, x: Any, *args: Any, validation_data: Any = None, **kwargs: Any
    ) -> keras.callbacks.History:
        values = self.space.choose(hp)
        if set(_SEEN) & set(values):
            x = self._see(x, values)
            if validation_data is not None:
                validation_data = (self._see(validation_data[0], values), *validation_data[1:])
        with Interrupt() as interrupt:
            kwargs["callbacks"] = [*(kwargs.get("callbacks") or []), interrupt]
            return model.fit(x, *args, validation_data=validation_data, **kwargs)

    def _see(self, x: Any, values: dict[str, Any]) -> Any:
        if not hasattr(x, "shape"):
            raise UserError(
                f"`frames` and `frame_step` choose from arrays: leave them out, and let {type(x).__name__} "
                "choose"
            )
        return x[:, :: values.get("frame_step", 1)][:, : values.get("frames")]


def _optimizer(optimizer: str, learning_rate: float, accumulate: int) -> keras.optimizers.Optimizer:
    steps = accumulate if accumulate > 1 else None
    return _OPTIMIZERS[optimizer](learning_rate, gradient_accumulation_steps=steps)


class HMANHyperModel(_ZooHyperModel):
    """HM-AN: attention, boundaries, width, depth, dropout, and how it learns.

    `temperature` is that of the boundaries, `attention_temperature` that of constant Gumbel attention.
    Arguments: see `keras_actrec.tuning.hypermodels`.
    """

    builder = "hman"
    axes = {
        "attention": Axis(values=["gumbel_adaptive", "gumbel_constant", "soft", "reinforce"]),
        "attention_temperature": Axis(values=[0.1, 0.3, 0.5, 1.0], when={"attention": ["gumbel_constant"]}),
        "boundary": Axis(values=["units", "scalar"]),
        "temperature": Axis(values=[0.1, 0.3, 0.5, 1.0]),
        "units": Axis(values=[64, 256, 1024, 2048]),
        "num_layers": Axis(values=[1, 2, 3]),
        "dropout": _DROPOUT,
    }


class EleAttHyperModel(_ZooHyperModel):
    """EleAtt-RNN: cell, width, depth, which layers have the gate, its activation, and how it learns.

    Arguments: see `keras_actrec.tuning.hypermodels`.
    """

    builder = "eleatt_rnn"
    axes = {
        "cell": Axis(values=["gru", "lstm", "rnn"]),
        "units": Axis(values=[64, 100, 128, 256]),
        "num_layers": Axis(values=[3, 2, 1]),
        "attention_layers": Axis(values=[[1, 2, 3], [1, 2], [1], [3], []], when={"num_layers": [3]}),
        "attention_activation": Axis(values=["sigmoid", "softmax"]),
        "dropout": _DROPOUT,
    }


class STRNHyperModel(_ZooHyperModel):
    """STRN: where the connections to the frame before are, how many, of which type, and how it learns.

    As in the thesis, the type and the number are varied at its best depth; elsewhere one linear connection
    is used. A clip needs as many frames as the answer depends on.
    Arguments: see `keras_actrec.tuning.hypermodels`.
    """

    builder = "strn"
    axes = {
        "placement": Axis(values=["98-104", "86-92", "49-55", "5-11"]),
        "connection": Axis(values=["identity", "linear", "nonlinear"], when={"placement": ["98-104"]}),
        "temporal_context": Axis(values=[2, 3, 5], when={"placement": ["98-104"]}),
        "special3": Axis(values=[False, True], when={"temporal_context": [2]}),
    }
    defaults = {"connection": "linear"}


class GSMHyperModel(_ZooHyperModel):
    """GSM: self-attention behind which of its gates, if any, channel shuffle, dropout, and how it learns.

    Arguments: see `keras_actrec.tuning.hypermodels`.
    """

    builder = "gsm"
    axes = {
        "model": Axis(values=["gsm", "sa_gsm"]),
        "attention_layers": Axis(
            values=[list(range(1, 11)), [1, 2, 3], [4, 5, 6, 7, 8], [9, 10], [1], [5], [10]],
            when={"model": ["sa_gsm"]},
        ),
        "shuffle": Axis(values=[True, False]),
        "dropout": _DROPOUT,
    }
