"""Stacked recurrent layers."""

import keras

from keras_actrec._types import PathLike, Shape
from keras_actrec.zoo._registry import register
from keras_actrec.zoo.eleatt_rnn import recurrent_classifier


@register(
    "stacked_rnn",
    input="sequence",
    masked=True,
    consensus="logits",
    paper="Zhang et al., arXiv 1807.04445",
    causal=True,
    whole_clip={"bidirectional": True, "centered": True, "pixels": True, "pooling": "attention"},
)
def stacked_rnn(
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
    dropout: float = 0.5,
    zoneout: float = 0.0,
    residual: bool = False,
    layer_normalization: bool = False,
    pooling: str = "mean",
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build stacked recurrent layers, EleAttG's baseline: `eleatt_rnn` without the gates.

    Skeletons or features -> `num_layers` recurrent layers, each before dropout -> classes at every step.
    The answer is the softmax of the mean of the steps' logits.

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
        centered: whether each step is without the mean over the steps: what stays the same in a clip is gone.
        normalize: whether each channel is z-normalized, as in `frame_gru`.
        pixels: whether the first layer also sees where small gray frames change, see `MotionGrid`: the
            backbone hands them on as the last four channels of its maps, see `backbones.with_pixels`.
        input_dropout: rate of channels left out, at all steps of a clip, before the first layer.
        embedding: width of a linear layer before the first layer, one for the features and one for the
            pixels; None for none.
        joints: number of joints, of all persons: the embedding is then one for each joint, as wide, with a
            ReLU behind it.
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
        An uncompiled `keras.Model`. The recurrent layers are `temporal`, `temporal_2`, ...

    Raises:
        UserError: for an argument that does not fit, with the values that do.

    Reference: Zhang et al., ECCV 2018, arXiv 1807.04445.
    """
    return recurrent_classifier(
        "stacked_rnn",
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
        attention_layers=(),
        attention_activation="sigmoid",
        dropout=dropout,
        zoneout=zoneout,
        residual=residual,
        layer_normalization=layer_normalization,
        pooling=pooling,
        masked=masked,
        classifier_activation=classifier_activation,
        weights=weights,
    )
