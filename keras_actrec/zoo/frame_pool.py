"""Average pooling over the frames, STRN's baseline."""

import keras

from keras_actrec._types import PathLike, Shape
from keras_actrec.errors import UserError
from keras_actrec.layers import StepNormalization
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register


@register(
    "frame_pool",
    input="features",
    masked=True,
    consensus="features",
    paper="Iqbal, master thesis, Bonn 2017",
    causal=True,
)
def frame_pool(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str | keras.Model | None = None,
    normalize: bool = True,
    normalize_frames: bool = False,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build the frame average: the mean feature of all frames -> a linear classifier.

    It cannot see the order of the frames, which makes it the control for every temporal model. The features
    of the thesis' blocks 2, 3 and 4 are `backbone="resnet50:conv3_block4_out"`,
    `"resnet50:conv4_block6_out"` and `"resnet50:conv5_block3_out"`.

    Args:
        num_classes: number of classes.
        input_shape: `(T, K, K, D)` or `(T, D)` features, default (None, 7, 7, 2048); with a backbone
            `(T, H, W, 3)`, default (None, 224, 224, 3). T may be None.
        backbone: name of a backbone, or a model of frames, to take clips; frozen.
        normalize: whether the mean feature is z-normalized with the training set's statistics, kept as
            the moving averages of a batch normalization without scale and offset.
        normalize_frames: whether instead every frame's feature is z-normalized before the average, with the
            statistics of all frames, as the thesis prints it.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file.

    Returns:
        An uncompiled `keras.Model`.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Iqbal, master thesis, Bonn 2017, baselines of chapter 5.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, features, mask = _parts.inputs_of(input_shape, backbone, masked)
    if normalize_frames and not normalize:
        raise UserError("`normalize_frames` says where the z-normalization stands: it needs normalize=True")
    options = {"center": False, "scale": False, "momentum": 0.9, "name": "z_normalization"}
    x = _parts.pooled(features)  # (B, T, D)
    if normalize_frames:
        x = StepNormalization(**options)(x, mask=mask)
    x = _parts.average(x, mask)  # (B, D)
    if normalize and not normalize_frames:
        x = keras.layers.BatchNormalization(**options)(x)
    x = _parts.classifier(num_classes, classifier_activation)(x)
    return _parts.load_weights(keras.Model(inputs, x, name="frame_pool"), weights)
