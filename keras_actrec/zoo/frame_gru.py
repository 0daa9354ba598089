"""A GRU over the frames' features, STRN's recurrent baseline."""

import keras

from keras_actrec._types import PathLike, Shape
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register


@register(
    "frame_gru",
    input="features",
    masked=True,
    consensus="last",
    paper="Iqbal, master thesis, Bonn 2017",
    causal=True,
)
def frame_gru(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str | keras.Model | None = None,
    motion: bool = False,
    normalize: bool = True,
    units: int = 128,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build the recurrent baseline: pooled features of the frames -> GRU -> a linear classifier.

    The classifier reads the state after the last frame. The features of the thesis' blocks 2, 3 and 4 are
    `backbone="resnet50:conv3_block4_out"`, `"resnet50:conv4_block6_out"` and `"resnet50:conv5_block3_out"`.

    Args:
        num_classes: number of classes.
        input_shape: `(T, K, K, D)` or `(T, D)` features, default (None, 7, 7, 2048); with a backbone
            `(T, H, W, 3)`, default (None, 224, 224, 3). T may be None.
        backbone: name of a backbone, or a model of frames, to take clips; frozen.
        motion: as in `hman`.
        normalize: whether every frame's feature is z-normalized with the training set's statistics, kept as
            the moving averages of a batch normalization without scale and offset.
        units: width of the GRU.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file.

    Returns:
        An uncompiled `keras.Model`; the layer `temporal` is the GRU.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Iqbal, master thesis, Bonn 2017, baselines of chapter 5. Where we differ: the GRU is Keras's,
    which resets the state behind its matrix product.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, features, mask = _parts.inputs_of(input_shape, backbone, masked)
    x = _parts.pooled(_parts.motion_of(features, mask) if motion else features)  # (B, T, D)
    if normalize:
        x = keras.layers.BatchNormalization(center=False, scale=False, momentum=0.9, name="z_normalization")(
            x, mask=mask
        )
    x = keras.layers.GRU(units, name="temporal")(x, mask=mask)  # (B, units)
    x = _parts.classifier(num_classes, classifier_activation)(x)
    return _parts.load_weights(keras.Model(inputs, x, name="frame_gru"), weights)
