"""HM-AN: hierarchical multi-scale attention networks."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import (
    AtEveryLocation,
    AttentionCell,
    AttentiveRNN,
    GumbelHardAttention,
    HMRNNCell,
    InitialStates,
    MotionGrid,
    ReinforceAttention,
    SoftAttention,
    StepNormalization,
)
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register
from keras_actrec.zoo._reinforce import PolicyGradient, ReinforceModel

ATTENTIONS = ("gumbel_adaptive", "gumbel_constant", "soft", "reinforce")


@register(
    "hman",
    input="features",
    per_step=True,
    masked=True,
    trace=("attention", "boundaries", "updates", "temperature"),
    consensus="probabilities",
    paper="Yan et al., arXiv 1708.07590",
    causal=True,
    whole_clip={"start": "features", "pixels": True},
)
def hman(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str | keras.Model | None = None,
    attention: str = "gumbel_adaptive",
    content: bool = False,
    content_units: int | None = None,
    motion: bool = False,
    pixels: bool = False,
    input_dropout: float = 0.0,
    embedding: int | None = None,
    temperature: float = 0.3,
    attention_temperature: float | None = None,
    reinforce_weight: float = 1.0,
    units: int | list[int] = 2048,
    num_layers: int = 3,
    boundary: str = "units",
    steady: bool = False,
    start: str = "zeros",
    hidden: int = 1024,
    dropout: float = 0.5,
    masked: bool = False,
    return_sequences: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build HM-AN: attention over locations in front of a hierarchical multi-scale RNN.

    Feature maps -> attention -> `HMRNNCell` of 3 layers -> their outputs as one vector -> fully connected
    1024, tanh -> classes, at every step. The answer is the mean of the steps' probabilities; trained is
    the cross-entropy of every step (HM-AN, eq. 22).

    Args:
        num_classes: number of classes.
        input_shape: `(T, K, K, D)` features, default (None, 7, 7, 2048); with a backbone
            `(T, H, W, 3)`, default (None, 224, 224, 3). T may be None.
        backbone: name of a backbone, or a model of frames, to take clips; frozen.
        attention: `"gumbel_adaptive"`, `"gumbel_constant"`, `"soft"` or `"reinforce"`.
        content: whether the features take part in the attention's logits; see `SoftAttention`.
        content_units: the width in which they do, by default that of the features.
        motion: whether to look at what changed since the frame before, how much, scaled by the training
            set's statistics, and in which row and column, instead of the features themselves. Not in the
            paper; it takes the background away and tells where the attention looked.
        pixels: whether the recurrent layers also see where small gray frames change, as in `stacked_rnn`; it
            needs `embedding`.
        input_dropout: rate of channels left out, at all steps and locations of a clip, before `embedding`,
            which it needs.
        embedding: width of a linear layer that the features go through at each location. With it the
            recurrent layers see in addition to the location that was chosen the mean over all of them, and
            the pixels, each through such a layer. None for neither. Not in the paper.
        temperature: of the boundaries.
        attention_temperature: of `"gumbel_constant"`, by default that of the boundaries.
        reinforce_weight: lambda of `"reinforce"`.
        units: width of each recurrent layer, or a list of one for each.
        num_layers: recurrent layers.
        boundary: `"units"`, one detector for each unit (table 1), or `"scalar"`, one a layer.
        steady: whether the boundaries are learned without noise and are rare at the start, when the forget
            gate is open: `HMRNNCell` with `boundary_noise=False`, `boundary_bias=-2`, `forget_bias=1`. Not
            in the paper, whose cell does not learn a few hundred clips.
        start: of the first layer, which is what guides the attention at the first step: `"zeros"`, with
            which all locations are as probable there and, without noise, the one at the top left is taken
            whatever the clip shows; or `"features"`, `h_0 = tanh(W_h m)`, `c_0 = tanh(W_c m)` with m the mean
            of all features of the clip, as in `lstm_attention`. The paper does not say.
        hidden: width of the fully connected layer, 0 for none.
        dropout: rate before and after the fully connected layer.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        return_sequences: whether to return every step's answer `(B, T, C)`, which training uses.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file.

    Returns:
        An uncompiled `keras.Model`. The layer `temporal` gives the trace of `AttentiveRNN`: `output`,
        `attention`, `boundaries`, `updates` and, for Gumbel attention, `temperature`.

    Raises:
        UserError: for an argument that does not fit, with the values that do.

    Reference: Yan et al., arXiv 1708.07590; defaults are its table 1. Where we differ: see the layers.
    """
    num_classes = _parts.check_num_classes(num_classes)
    _check(attention, start, classifier_activation, pixels, input_dropout, embedding)
    inputs, features, mask = _parts.inputs_of(input_shape, backbone, masked, pixels=pixels)
    maps, grays = _parts.split_pixels(features) if pixels else (features, None)
    if motion:
        maps = _parts.motion_of(maps, mask)
    locations = _parts.locations(maps)
    # Made here for both, as a name is there once; what is not used is no part of the model.
    pooled = _parts.pooled(maps)
    if embedding is not None:
        locations = _with_summary(locations, pooled, grays, mask, input_dropout, embedding)

    if attention_temperature is None:
        attention_temperature = temperature
    looking = _attention(attention, attention_temperature, content, content_units)
    recurrent = HMRNNCell(
        units,
        num_layers=num_layers,
        boundary=boundary,
        temperature=temperature,
        boundary_bias=-2.0 if steady else 0.0,
        forget_bias=1.0 if steady else 0.0,
        boundary_noise=not steady,
        name="hm_rnn",
    )
    cell = AttentionCell(looking, recurrent, name="cell")
    temporal = AttentiveRNN(cell, return_sequences=True, return_trace=True, name="temporal")
    initial = _initial_state(recurrent, pooled, mask) if start == "features" else None
    trace = temporal(locations, initial_state=initial, mask=mask)

    x = keras.layers.Dropout(dropout, name="dropout_1")(trace["output"])  # (B, T, L * units)
    if hidden:
        x = keras.layers.Dense(hidden, activation="tanh", name="hidden")(x)
        x = keras.layers.Dropout(dropout, name="dropout_2")(x)
    x = _parts.classifier(num_classes, classifier_activation)(x)
    model_class = keras.Model
    if attention == "reinforce":
        x = PolicyGradient(reinforce_weight, dtype="float32", name="policy")(x, trace["log_prob"], mask)
        model_class = ReinforceModel
    if not return_sequences:
        x = _parts.average(x, mask)
    return _parts.load_weights(model_class(inputs, x, name="hman"), weights)


def _check(
    attention: str,
    start: str,
    classifier_activation: str | None,
    pixels: bool,
    input_dropout: float,
    embedding: int | None,
) -> None:
    if attention not in ATTENTIONS:
        raise UserError(
            f"`attention` must be one of {', '.join(ATTENTIONS)}. Received: attention={attention!r}"
        )
    if attention == "reinforce" and classifier_activation != "softmax":
        raise UserError(
            '`attention="reinforce"` rewards probabilities: it needs `classifier_activation="softmax"`'
        )
    if start not in ("zeros", "features"):
        raise UserError(f"`start` must be one of zeros, features. Received: start={start!r}")
    _parts.check_embedding(input_dropout, embedding)
    for argument, value in (("pixels", pixels), ("input_dropout", input_dropout)):
        if value and embedding is None:
            raise UserError(f"`{argument}` needs `embedding`, such as 64. Received: {argument}={value}")


def _with_summary(
    locations: Tensor, pooled: Tensor, grays: Tensor | None, mask: Tensor | None, dropout: float, width: int
) -> Tensor:
    """Embedded locations, each with the same summary of its step behind it."""
    x = _parts.embedded(locations, dropout, width, "locations")
    mean = StepNormalization(center=False, scale=False, momentum=0.9, name="normalization")(pooled, mask=mask)
    summary = _parts.embedded(mean, dropout, width, "features")
    if grays is not None:
        grid = MotionGrid(name="motion_grid")(grays, mask=mask)
        grid = _parts.embedded(grid, dropout, width, "pixels")
        summary = keras.layers.Concatenate(name="features_and_pixels")([summary, grid])
    return AtEveryLocation(name="locations_and_summary")(x, summary)


def _initial_state(cell: HMRNNCell, pooled: Tensor, mask: Tensor | None) -> Sequence[Tensor]:
    """h, c and z before the first step: of the first layer from the mean of the features, else zeros."""
    width, _, detectors = cell.state_size
    first = cell.query_size
    mean = _parts.average(pooled, mask, name="mean_features")  # (B, D)
    h, c = (keras.layers.Dense(first, activation="tanh", name=f"initial_{name}")(mean) for name in ("h", "c"))
    return InitialStates(width, detectors, name="initial_states")(h, c)


def _attention(
    attention: str, temperature: float, content: bool, content_units: int | None
) -> keras.layers.Layer:
    options: dict[str, Any] = {"content": content, "content_units": content_units, "name": "attention"}
    if attention == "soft":
        return SoftAttention(**options)
    if attention == "reinforce":
        return ReinforceAttention(**options)
    return GumbelHardAttention(
        temperature="adaptive" if attention == "gumbel_adaptive" else temperature, **options
    )
