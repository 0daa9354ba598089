"""TRN: multi-scale temporal relation networks."""

import keras

from keras_actrec._types import PathLike, Shape
from keras_actrec.errors import UserError
from keras_actrec.layers import FrameRelations
from keras_actrec.zoo import _parts, _segments
from keras_actrec.zoo._registry import register


@register(
    "trn", input="clip", trace=("relations",), consensus="logits", paper="Zhou et al., arXiv 1711.08496"
)
def trn(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str = "bn_inception",
    motion: bool = False,
    width: float = 1.0,
    units: int = 256,
    dropout: float = 0.8,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build the multi-scale TRN: relations among 2, 3, ..., T frames of the clip in their order.

    Frame features -> dropout -> linear, `units` -> `FrameRelations`.

    Args:
        num_classes: number of classes.
        input_shape: `(T, H, W, 3)`, default (8, 224, 224, 3), with `"inception_v3"` (8, 229, 229, 3). T is
            2 to 16; H and W may be None.
        backbone: name of a network of frames, one of `backbones.list_backbones()`, whole or, as
            `"name:layer"`, up to that layer.
        motion: whether the network also sees what changed since the frame before: the difference of the
            scaled frames, 0 at the first one, goes through a convolution like the network's first, and both
            outputs are added. Its kernel starts at zero, so a new model answers as without it.
        width: multiplies the number of channels of every layer of the backbone, for small models; 1 with
            networks of `keras.applications`.
        units: width of a frame's feature and of the relations.
        dropout: rate before the linear layer.
        classifier_activation: `"softmax"`, applied to the sum of the relations' logits, or None.
        weights: path of a `.weights.h5` or `.keras` file; or
            `"imagenet"`, for the backbone: those of `"efficientnet_lite0"` come with the extra `pretrained`,
            Keras downloads those of others.

    Returns:
        An uncompiled `keras.Model`. The layer `features` gives each frame's feature `(B, T, D)`.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Zhou et al., arXiv 1711.08496. Where we differ: at test the subsets of frames are fixed, see
    `FrameRelations`. It has no `masked`: the relations are among T frames, no fewer.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, clip, _ = _segments.inputs_of(input_shape, backbone, masked=False)
    network = _segments.network_of(backbone, clip, width, weights)
    if clip.shape[1] is None:
        raise UserError(f"`input_shape` of trn needs a number of frames. Received: input_shape={input_shape}")
    x = _segments.features_of(network, clip, None, motion=motion)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(units, name="frame_embedding")(x)
    x = FrameRelations(num_classes, units, name="classifier", dtype="float32")(x)
    x = keras.layers.Activation(classifier_activation or "linear", name="answer", dtype="float32")(x)
    return _segments.load_weights(keras.Model(inputs, x, name="trn"), weights)
