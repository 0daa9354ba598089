"""GSM: gate-shift networks."""

import keras

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.layers import GateShift
from keras_actrec.zoo import _parts, _segments
from keras_actrec.zoo._registry import register


@register("gsm", input="clip", masked=True, consensus="logits", paper="Sudhakaran et al., arXiv 1912.00381")
def gsm(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str = "bn_inception",
    shuffle: bool = True,
    width: float = 1.0,
    dropout: float = 0.5,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build GSM: `tsn` with ten gate-shift modules, each behind a convolution and before its normalization.

    Args:
        num_classes: number of classes.
        input_shape: `(T, H, W, 3)`, default (8, 224, 224, 3), with `"inception_v3"` (8, 229, 229, 3). T, H
            and W may be None.
        backbone: `"bn_inception"` or `"inception_v3"`, whole or, as `"name:layer"`, up to that layer.
        shuffle: whether the modules end with the channel shuffle of the released code, which released
            weights need. Without it a new module leaves a pretrained network as it is.
        width: multiplies the number of channels of every layer, for small models.
        dropout: rate before the classifier.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        classifier_activation: `"softmax"`, applied to the mean of the logits, or None.
        weights: path of a `.weights.h5` or `.keras` file, or of an official torch checkpoint; or
            `"imagenet"`, which Keras downloads for the backbone.

    Returns:
        An uncompiled `keras.Model`. The layer `features` gives each frame's feature `(B, T, D)`, the layers
        `..._gsm` the shifted feature maps `(B, T, H, W, C)`.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Sudhakaran et al., arXiv 1912.00381. Where we differ: see `GateShift`.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, clip, mask = _segments.inputs_of(input_shape, backbone, masked, gated=True)

    def gate(conv: str, x: Tensor) -> Tensor:
        return GateShift(shuffle=shuffle, name=f"{conv}_gsm")(x, mask=mask)

    features = _segments.features_of(inputs, clip, backbone, width, gate=gate)
    x = _segments.consensus(features, num_classes, dropout, mask, classifier_activation)
    return _segments.load_weights(keras.Model(inputs, x, name="gsm"), backbone, weights)
