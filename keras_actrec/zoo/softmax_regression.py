"""Softmax regression on frames, HM-AN's simplest baseline."""

import keras

from keras_actrec._types import PathLike, Shape
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register


@register(
    "softmax_regression",
    input="features",
    per_step=True,
    masked=True,
    consensus="probabilities",
    paper="Yan et al., arXiv 1708.07590",
    causal=True,
)
def softmax_regression(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str | keras.Model | None = None,
    motion: bool = False,
    masked: bool = False,
    return_sequences: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build softmax regression: each frame's mean feature -> classes; the mean over the frames.

    Args:
        num_classes: number of classes.
        input_shape: `(T, K, K, D)` or `(T, D)` features, default (None, 7, 7, 2048); with a backbone
            `(T, H, W, 3)`, default (None, 224, 224, 3). T may be None.
        backbone: name of a backbone, or a model of frames, to take clips; frozen.
        motion: as in `hman`.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        return_sequences: whether to return every frame's answer `(B, T, C)`, which training uses.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file.

    Returns:
        An uncompiled `keras.Model`.

    Raises:
        UserError: for an argument that does not fit.

    Reference: the first rows of HM-AN's tables, arXiv 1708.07590.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, features, mask = _parts.inputs_of(input_shape, backbone, masked)
    if motion:
        features = _parts.motion_of(features, mask)
    x = _parts.pooled(features)
    x = _parts.classifier(num_classes, classifier_activation)(x)
    if not return_sequences:
        x = _parts.average(x, mask)
    return _parts.load_weights(keras.Model(inputs, x, name="softmax_regression"), weights)
