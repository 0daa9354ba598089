"""Recurrent networks with element-wise attention gates."""

import functools
from collections.abc import Callable, Sequence

import keras
from keras import ops

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import (
    AttentiveRNN,
    EleAttCell,
    MotionGrid,
    StepCentering,
    StepNormalization,
    ZoneoutCell,
)
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register

CELLS = {
    "rnn": keras.layers.SimpleRNNCell,
    "gru": functools.partial(keras.layers.GRUCell, reset_after=False),
    "lstm": keras.layers.LSTMCell,
}


@register(
    "eleatt_rnn",
    input="sequence",
    masked=True,
    trace=("gates",),
    consensus="logits",
    paper="Zhang et al., arXiv 1807.04445",
    causal=True,
    whole_clip={"bidirectional": True, "centered": True, "pixels": True, "pooling": "attention"},
)
def eleatt_rnn(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str | keras.Model | None = None,
    motion: bool = False,
    centered: bool = False,
    normalize: bool = False,
    pixels: bool = False,
    input_dropout: float = 0.0,
    embedding: int | None = None,
    joints: int | None = None,
    cell: str = "gru",
    units: int = 100,
    num_layers: int = 3,
    bidirectional: bool = False,
    attention_layers: Sequence[int] | None = None,
    attention_activation: str = "sigmoid",
    dropout: float = 0.5,
    zoneout: float = 0.0,
    residual: bool = False,
    layer_normalization: bool = False,
    pooling: str = "mean",
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build EleAtt-RNN: stacked recurrent layers that weigh every element of their input.

    Skeletons or features -> `num_layers` recurrent layers, each behind an `EleAttCell` gate and before
    dropout -> classes at every step. The answer is the softmax of the mean of the steps' logits.

    Args:
        num_classes: number of classes.
        input_shape: `(T, D)` skeletons or features, default (None, 150), or `(T, K, K, D)` feature maps,
            which are averaged over the locations; with a backbone `(T, H, W, 3)`, default
            (None, 224, 224, 3). T may be None.
        backbone: name of a backbone, or a model of frames, to take clips; frozen.
        motion: as in `hman`.
        cell: `"rnn"`, `"gru"` or `"lstm"`.
        units: width of each recurrent layer.
        num_layers: recurrent layers.
        attention_layers: list of the numbers of the layers that have the gate, from 1; None for all.
        attention_activation: the gate's, `"sigmoid"` or `"softmax"`.
        centered: whether each step is without the mean over the steps: what stays the same in a clip is gone.
        normalize: whether each channel is z-normalized, as in `frame_gru`.
        pixels: whether the first layer also sees where small gray frames change, see `MotionGrid`: the
            backbone hands them on as the last four channels of its maps, see `backbones.with_pixels`.
        input_dropout: rate of channels left out, at all steps of a clip, before the first layer.
        embedding: width of a linear layer before the first layer, one for the features and one for the
            pixels; None for none.
        joints: number of joints, of all persons: the embedding is then one for each joint, as wide, with a
            ReLU behind it, and the first gate weighs the elements of embedded joints.
        bidirectional: whether each recurrent layer has a twin that begins at the last step.
        dropout: rate behind each recurrent layer.
        zoneout: share of the units of each recurrent layer that stay as they were at a step of training.
        residual: whether what a recurrent layer sees is added to what it gives, from the second layer on.
        layer_normalization: whether each step is brought to mean 0 and variance 1 behind each layer.
        pooling: how the answer follows from the steps: their `"mean"`, or by `"attention"`, a mean whose
            weights are learned, see `StepAttention`.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file.

    Returns:
        An uncompiled `keras.Model`. The recurrent layers are `temporal`, `temporal_2`, ..., and their
        twins `temporal_backward`, ..., whose steps begin with the last one; one that has the gate gives the
        trace of `AttentiveRNN`: `output` and `gates`.

    Raises:
        UserError: for an argument that does not fit, with the values that do.

    Reference: Zhang et al., ECCV 2018, arXiv 1807.04445. Where we differ: see the card.
    """
    return recurrent_classifier(
        "eleatt_rnn",
        num_classes,
        input_shape=input_shape,
        backbone=backbone,
        motion=motion,
        centered=centered,
        normalize=normalize,
        pixels=pixels,
        input_dropout=input_dropout,
        embedding=embedding,
        joints=joints,
        cell=cell,
        units=units,
        num_layers=num_layers,
        bidirectional=bidirectional,
        attention_layers=attention_layers,
        attention_activation=attention_activation,
        dropout=dropout,
        zoneout=zoneout,
        residual=residual,
        layer_normalization=layer_normalization,
        pooling=pooling,
        masked=masked,
        classifier_activation=classifier_activation,
        weights=weights,
    )


def recurrent_classifier(
    name: str,
    num_classes: int,
    *,
    input_shape: Shape | None,
    backbone: str | keras.Model | None,
    motion: bool,
    centered: bool,
    normalize: bool,
    pixels: bool,
    input_dropout: float,
    embedding: int | None,
    joints: int | None,
    cell: str,
    units: int,
    num_layers: int,
    bidirectional: bool,
    attention_layers: Sequence[int] | None,
    attention_activation: str,
    dropout: float,
    zoneout: float,
    residual: bool,
    layer_normalization: bool,
    pooling: str,
    masked: bool,
    classifier_activation: str | None,
    weights: PathLike | None,
) -> keras.Model:
    """Build `eleatt_rnn`, or `stacked_rnn`, whose `attention_layers` are none."""
    num_classes = _parts.check_num_classes(num_classes)
    _check(cell, pooling, dropout, zoneout)
    _parts.check_embedding(input_dropout, embedding, joints)
    attention_layers = _parts.checked_layers(attention_layers, num_layers)
    inputs, features, mask = _parts.inputs_of(
        input_shape, backbone, masked, features_shape=(None, 150), pixels=pixels
    )
    maps, grays = _parts.split_pixels(features) if pixels else (features, None)
    x = _vectors(maps, mask, motion=motion, centered=centered, normalize=normalize)
    x = _parts.embedded(x, input_dropout, embedding, "features", joints)
    if grays is not None:
        grid = MotionGrid(name="motion_grid")(grays, mask=mask)
        grid = _parts.embedded(grid, input_dropout, embedding, "pixels")
        x = keras.layers.Concatenate(name="features_and_pixels")([x, grid])
    for number in range(1, int(num_layers) + 1):
        below = x
        attention = attention_activation if number in attention_layers else None
        make = functools.partial(_cell, cell, int(units), attention, zoneout)
        x = _recurrent(number, x, mask, make, bidirectional)
        if residual and number > 1:
            x = keras.layers.Add(name=f"residual_{number}")([x, below])
        if layer_normalization:
            x = keras.layers.LayerNormalization(name=f"normalization_{number}")(x)
        x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
    x = _parts.summed_up(_parts.classifier(num_classes)(x), x, mask, pooling)
    x = keras.layers.Activation(classifier_activation, dtype="float32", name="answer")(x)
    return _parts.load_weights(keras.Model(inputs, x, name=name), weights)


def _check(cell: str, pooling: str, dropout: float, zoneout: float) -> None:
    if cell not in CELLS:
        raise UserError(f"`cell` must be one of {', '.join(CELLS)}. Received: cell={cell!r}")
    if pooling not in _parts.POOLINGS:
        names = ", ".join(_parts.POOLINGS)
        raise UserError(f"`pooling` must be one of {names}. Received: pooling={pooling!r}")
    for rate, value in (("dropout", dropout), ("zoneout", zoneout)):
        if not 0 <= value < 1:
            raise UserError(f"`{rate}` must be at least 0 and below 1. Received: {rate}={value}")


def _cell(cell: str, units: int, attention: str | None, zoneout: float) -> keras.layers.Layer:
    """A cell by name, behind a gate whose activation is `attention`, if that is one."""
    made = CELLS[cell](units, name="cell")
    if zoneout:
        made = ZoneoutCell(made, zoneout, name="zoneout")
    return made if attention is None else EleAttCell(made, activation=attention, name="gate")


def _recurrent(
    number: int,
    x: Tensor,
    mask: Tensor | None,
    make_cell: Callable[[], keras.layers.Layer],
    bidirectional: bool,
) -> Tensor:
    """The output of a recurrent layer at every step, and of its twin beside it."""
    name = "temporal" if number == 1 else f"temporal_{number}"
    steps = []
    for backward in (False, True) if bidirectional else (False,):
        cell = make_cell()
        gated = isinstance(cell, EleAttCell)
        layer = AttentiveRNN(
            cell,
            return_sequences=True,
            return_trace=gated,
            go_backwards=backward,
            name=f"{name}_backward" if backward else name,
        )
        output = layer(x, mask=mask)["output"] if gated else layer(x, mask=mask)
        steps.append(ops.flip(output, axis=1) if backward else output)
    return keras.layers.Concatenate(name=f"both_{number}")(steps) if bidirectional else steps[0]


def _vectors(
    features: Tensor, mask: Tensor | None, *, motion: bool, centered: bool, normalize: bool
) -> Tensor:
    """What the recurrent layers see of the features, `(B, T, D)`."""
    x = _parts.pooled(_parts.motion_of(features, mask) if motion else features)
    if centered:
        x = StepCentering(name="centering")(x, mask=mask)
    if normalize:
        x = StepNormalization(center=False, scale=False, momentum=0.9, name="normalization")(x, mask=mask)
    return x
