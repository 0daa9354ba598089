"""TSN: temporal segment networks."""

import keras

from keras_actrec._types import PathLike, Shape
from keras_actrec.zoo import _parts, _segments
from keras_actrec.zoo._registry import register


@register(
    "tsn",
    input="clip",
    masked=True,
    consensus="logits",
    paper="Wang et al., arXiv 1608.00859",
    causal=True,
)
def tsn(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str = "bn_inception",
    motion: bool = False,
    width: float = 1.0,
    dropout: float = 0.8,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build TSN: each frame's logits, averaged over the clip.

    It cannot see the order of the frames, which makes it the control for `tsm`, `gsm` and `sa_gsm`: they
    are this network with layers over time inside.

    Args:
        num_classes: number of classes.
        input_shape: `(T, H, W, 3)`, default (8, 224, 224, 3), with `"inception_v3"` (8, 229, 229, 3). T, H
            and W may be None.
        backbone: name of a network of frames, one of `backbones.list_backbones()`, whole or, as
            `"name:layer"`, up to that layer.
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
        An uncompiled `keras.Model`. The layer `features` gives each frame's feature `(B, T, D)`; the layers
        of the network see the frames as a batch `(B * T, H, W, C)`.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Wang et al., arXiv 1608.00859.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, clip, mask = _segments.inputs_of(input_shape, backbone, masked)
    network = _segments.network_of(backbone, clip, width, weights)
    features = _segments.features_of(network, clip, mask, motion=motion)
    x = _segments.consensus(features, num_classes, dropout, mask, classifier_activation)
    return _segments.load_weights(keras.Model(inputs, x, name="tsn"), weights)
