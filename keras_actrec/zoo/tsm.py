"""TSM: temporal shift module."""

import keras

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.layers import TemporalShift
from keras_actrec.zoo import _parts, _segments
from keras_actrec.zoo._registry import register


@register("tsm", input="clip", masked=True, consensus="logits", paper="Lin et al., arXiv 1811.08383")
def tsm(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str = "resnet50_v1_5",
    fold: int = 8,
    width: float = 1.0,
    dropout: float = 0.5,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build TSM: `tsn` with some channels shifted by one frame, forward or backward, inside the network.

    In the ResNet the input of the first convolution of every residual block is shifted; in the Inception
    networks that of the ten convolutions that `gsm` gates.

    Args:
        num_classes: number of classes.
        input_shape: `(T, H, W, 3)`, default (8, 224, 224, 3), with `"inception_v3"` (8, 229, 229, 3). T, H
            and W may be None.
        backbone: `"resnet50_v1_5"`, `"bn_inception"` or `"inception_v3"`, whole or, as `"name:layer"`, up
            to that layer.
        fold: one in `fold` channels sees the next frame, one the frame before.
        width: multiplies the number of channels of every layer, for small models.
        dropout: rate before the classifier.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        classifier_activation: `"softmax"`, applied to the mean of the logits, or None.
        weights: path of a `.weights.h5` or `.keras` file, or of an official torch checkpoint; or
            `"imagenet"`, which Keras downloads for the backbone.

    Returns:
        An uncompiled `keras.Model`. The layer `features` gives each frame's feature `(B, T, D)`.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Lin et al., arXiv 1811.08383; the Inception variants are ours.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, clip, mask = _segments.inputs_of(input_shape, backbone, masked)

    def shift(conv: str, x: Tensor) -> Tensor:
        return TemporalShift(fold, name=f"{conv}_shift")(x, mask=mask)

    features = _segments.features_of(inputs, clip, backbone, width, shift=shift)
    x = _segments.consensus(features, num_classes, dropout, mask, classifier_activation)
    return _segments.load_weights(keras.Model(inputs, x, name="tsm"), backbone, weights)
