"""GSM: gate-shift networks."""

import keras

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.layers import GateShift
from keras_actrec.zoo import _parts, _segments
from keras_actrec.zoo._registry import register


@register(
    "gsm",
    input="clip",
    masked=True,
    trace=("shifts",),
    consensus="logits",
    paper="Sudhakaran et al., arXiv 1912.00381",
)
def gsm(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str = "bn_inception",
    shuffle: bool | None = None,
    motion: bool = False,
    width: float = 1.0,
    dropout: float = 0.5,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build GSM: `tsn` with gate-shift modules, at which gates decide what moves to the frames beside.

    In the Inception networks ten, each behind a convolution and before its normalization; in other networks
    one in front of the first convolution of every residual block that begins with one over channels, where
    `tsm` has its shifts.

    Args:
        num_classes: number of classes.
        input_shape: `(T, H, W, 3)`, default (8, 224, 224, 3), with `"inception_v3"` (8, 229, 229, 3). T, H
            and W may be None.
        backbone: name of a network of frames: `"bn_inception"`, `"inception_v3"`, `"efficientnet_lite0"`,
            `"resnet50_v1_5"`, or of `keras.applications` a ResNet, MobileNetV2 or V3, or EfficientNetV2, such
            as `"resnet50"` and `"mobilenet_v3_small"`; whole or, as `"name:layer"`, up to that layer.
        shuffle: whether the modules end with the channel shuffle of the released code. Without it a new
            module leaves a pretrained network as it is. By default in the Inception networks, whose released
            weights need it, and in no others.
        motion: whether the network also sees what changed since the frame before: the difference of the
            scaled frames, 0 at the first one, goes through a convolution like the network's first, and both
            outputs are added. Its kernel starts at zero, so a new model answers as without it.
        width: multiplies the number of channels of every layer, for small models; 1 with networks of
            `keras.applications`.
        dropout: rate before the classifier.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        classifier_activation: `"softmax"`, applied to the mean of the logits, or None.
        weights: path of a `.weights.h5` or `.keras` file, or of an official torch checkpoint; or
            `"imagenet"`, for the backbone: those of `"efficientnet_lite0"` come with the extra `pretrained`,
            Keras downloads those of others.

    Returns:
        An uncompiled `keras.Model`. The layer `features` gives each frame's feature `(B, T, D)`, the layers
        `..._gsm` the shifted feature maps `(B, T, H, W, C)`.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Sudhakaran et al., arXiv 1912.00381. Where we differ: see `GateShift`; the paper has
    Inception networks alone. Their gates are behind a convolution, in a residual block they are in front of
    it, so that the shortcut keeps every frame as it is.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, clip, mask = _segments.inputs_of(input_shape, backbone, masked)
    network = _segments.network_of(backbone, clip, width, weights)
    shuffle = network.name in _segments.GATED if shuffle is None else shuffle

    def gate(conv: str, x: Tensor) -> Tensor:
        return GateShift(shuffle=shuffle, name=f"{conv}_gsm")(x, mask=mask)

    features = _segments.features_of(network, clip, mask, motion=motion, gate=gate)
    x = _segments.consensus(features, num_classes, dropout, mask, classifier_activation)
    return _segments.load_weights(keras.Model(inputs, x, name="gsm"), weights)
