"""TSM: temporal shift module."""

import keras

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.layers import TemporalShift
from keras_actrec.zoo import _parts, _segments
from keras_actrec.zoo._registry import register


@register(
    "tsm",
    input="clip",
    masked=True,
    consensus="logits",
    paper="Lin et al., arXiv 1811.08383",
    causal=True,
    whole_clip={"online": False},
)
def tsm(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str = "resnet50_v1_5",
    fold: int = 8,
    online: bool = False,
    motion: bool = False,
    width: float = 1.0,
    dropout: float = 0.5,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build TSM: `tsn` with some channels shifted by one frame, forward or backward, inside the network.

    Shifted is the input of the first convolution of every residual block, in mobile networks of those that
    begin with an expansion; in the Inception networks that of the ten convolutions that `gsm` gates.

    Args:
        num_classes: number of classes.
        input_shape: `(T, H, W, 3)`, default (8, 224, 224, 3), with `"inception_v3"` (8, 229, 229, 3). T, H
            and W may be None.
        backbone: name of a network of frames: `"bn_inception"`, `"inception_v3"`, `"efficientnet_lite0"`,
            `"resnet50_v1_5"`, or of `keras.applications` a ResNet, MobileNetV2 or V3, or EfficientNetV2, such
            as `"resnet50"` and `"mobilenet_v3_small"`; whole or, as `"name:layer"`, up to that layer.
        fold: one in `fold` channels sees the next frame, one the frame before.
        online: the paper's form for streams, in which one in `fold` channels sees the frame before and none
            the next one. A stream carries what they saw, and no frame is computed twice.
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
        An uncompiled `keras.Model`. The layer `features` gives each frame's feature `(B, T, D)`.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Lin et al., arXiv 1811.08383, section 4; the Inception variants are ours.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, clip, mask = _segments.inputs_of(input_shape, backbone, masked)
    network = _segments.network_of(backbone, clip, width, weights)

    def shift(conv: str, x: Tensor) -> Tensor:
        return TemporalShift(fold, online, name=f"{conv}_shift")(x, mask=mask)

    features = _segments.features_of(network, clip, mask, motion=motion, shift=shift)
    x = _segments.consensus(features, num_classes, dropout, mask, classifier_activation)
    return _segments.load_weights(keras.Model(inputs, x, name="tsm"), weights)
