"""What the builders share: checks, inputs, the end of the network, weights from a file."""

import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras

from keras_actrec import backbones, checkpoints
from keras_actrec._numbers import whole
from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import Coordinates, FrameDifference, FrameWise, StepAttention, StepNormalization

# What `keras.Model` takes as its inputs: one, or several by name.
Inputs: TypeAlias = keras.KerasTensor | dict[str, keras.KerasTensor]


def check_num_classes(num_classes: int) -> int:
    """Return `num_classes` as an int; at least 2."""
    return whole("num_classes", num_classes, 2)


def checked_layers(attention_layers: Sequence[int] | None, count: int) -> Sequence[int]:
    """Return the numbers of the layers that have attention, of `count` from 1 on; None is all of them."""
    numbers = range(1, count + 1)
    if attention_layers is None:
        return numbers
    if not isinstance(attention_layers, (list, tuple, range)) or not set(attention_layers) <= set(numbers):
        raise UserError(
            f"`attention_layers` must be a list of numbers from 1 to {count}. "
            f"Received: attention_layers={attention_layers}"
        )
    return attention_layers


def inputs_of(
    input_shape: Shape | None,
    backbone: str | keras.Model | None,
    masked: bool,
    features_shape: Shape = (None, 7, 7, 2048),
    pixels: bool = False,
) -> tuple[Inputs, keras.KerasTensor, keras.KerasTensor | None]:
    """The model's inputs and, from them, the features of every frame.

    Without a backbone the input is `features`. With one, given by name or as a model of frames, it is
    `clip (T, H, W, 3)`, and the backbone is frozen: unfreeze it with
    `model.get_layer("backbone").trainable = True`.

    Args:
        input_shape: of the input without the batch, or None for the default.
        backbone: name, model, or None.
        masked: whether `mask` is an input too.
        features_shape: the default without a backbone.
        pixels: whether the backbone also hands on small gray frames, see `backbones.with_pixels`.

    Returns:
        inputs, a tensor or a dict of them by name; features `(B, T, ...)`; the mask `(B, T)` or None.

    Raises:
        UserError: for clips of another shape, or an unknown backbone.
    """
    if backbone is None:
        features = inputs = keras.Input(input_shape or features_shape, name="features")
    else:
        inputs = clip_of(input_shape or (None, 224, 224, 3))
        if isinstance(backbone, str):
            backbone = backbones.build(backbone, input_shape=inputs.shape[2:])
        if pixels:
            backbone = backbones.with_pixels(backbone)
        frames = FrameWise(backbone, trainable=False, name="backbone")
        features = frames(inputs)
    inputs, mask = with_mask(inputs, masked)
    return inputs, features, mask


def clip_of(shape: Shape) -> keras.KerasTensor:
    """The input `clip (B, T, H, W, 3)`."""
    if len(shape) != 4 or shape[-1] != 3:
        raise UserError(f"`input_shape` of clips is (T, H, W, 3). Received: input_shape={tuple(shape)}")
    return keras.Input(shape, name="clip")


def with_mask(tensor: keras.KerasTensor, masked: bool) -> tuple[Inputs, keras.KerasTensor | None]:
    """The model's inputs, `tensor` alone or in a dict with `mask (B, T)`, and the mask or None."""
    if not masked:
        return tensor, None
    mask = keras.Input((None,), dtype="bool", name="mask")
    return {tensor.name: tensor, "mask": mask}, mask


def split_pixels(features: Tensor) -> tuple[Tensor, Tensor]:
    """Feature maps that have pixels as their last channels: the maps, and the pixels."""
    _, _, channels = check_maps(features, "A grid of motion needs")
    count = channels - backbones.PIXELS
    if count < 1:
        raise UserError(f"Maps with pixels have more than {backbones.PIXELS} channels. Received: {channels}")
    return features[..., :count], features[..., count:]


def motion_of(features: Tensor, mask: Tensor | None) -> Tensor:
    """What changed since the frame before, how much, and where: D channels become 2 D + 2."""
    x = FrameDifference(magnitude=True, name="frame_difference")(features)
    x = StepNormalization(center=False, scale=False, momentum=0.9, name="motion_scale")(x, mask=mask)
    return Coordinates(scale=2.0, name="coordinates")(x) if len(x.shape) == 5 else x


def check_embedding(dropout: float, width: int | None, joints: int | None = None) -> None:
    """Refuse an `input_dropout`, an `embedding` and `joints` that `embedded` cannot have."""
    if width is not None:
        whole("embedding", width)
    if joints is not None:
        whole("joints", joints)
        if width is None:
            raise UserError(f"`joints` goes with `embedding`, the width of each. Received: joints={joints}")
    if not 0 <= dropout < 1:
        raise UserError(f"`input_dropout` must be at least 0 and below 1. Received: input_dropout={dropout}")


def embedded(x: Tensor, dropout: float, width: int | None, name: str, joints: int | None = None) -> Tensor:
    """Channels left out in training, at all steps and locations of a clip, then brought to a width.

    With `joints` each of so many equal parts of the channels is brought to that width by weights of its own,
    and what is below zero is cut off.
    """
    if dropout:
        everywhere = (None, *[1] * (len(x.shape) - 2), None)
        x = keras.layers.Dropout(dropout, noise_shape=everywhere, name=f"{name}_dropout")(x)
    if width is None:
        return x
    if joints is None:
        return keras.layers.Dense(width, name=f"{name}_embedding")(x)
    if x.shape[-1] % joints:
        raise UserError(
            f"`joints` must divide the {x.shape[-1]} channels of a step. Received: joints={joints}"
        )
    x = keras.layers.Reshape((-1, joints, x.shape[-1] // joints), name=f"{name}_of_joints")(x)
    x = keras.layers.EinsumDense(
        "btjc,jce->btje", (None, joints, width), "relu", bias_axes="je", name=f"{name}_embedding"
    )(x)
    return keras.layers.Reshape((-1, joints * width), name=f"{name}_of_steps")(x)


def check_maps(features: Tensor, what: str = "Attention needs") -> Shape:
    """Return height, width and channels of feature maps; refuse other features, and maps of unknown size."""
    if len(features.shape) != 5 or None in features.shape[2:]:
        words = "vectors" if len(features.shape) == 3 else "features of shape"
        raise UserError(
            f"{what} feature maps (T, K, K, D) of known size. Models without it, such as frame_gru, "
            f"take vectors (T, D). Received: {words} {tuple(features.shape[1:])}"
        )
    return tuple(features.shape[2:])


def locations(features: Tensor) -> Tensor:
    """`(B, T, K, K, D)` -> `(B, T, N, D)`, the form that attentions take."""
    height, width, channels = check_maps(features)
    return keras.layers.Reshape((-1, height * width, channels), name="locations")(features)


def pooled(features: Tensor) -> Tensor:
    """The mean over the locations: `(B, T, K, K, D)` -> `(B, T, D)`; vectors stay as they are."""
    if len(features.shape) == 3:
        return features
    if len(features.shape) != 5:
        raise UserError(
            f"Features are maps (T, K, K, D) or vectors (T, D). Received: shape {tuple(features.shape[1:])}"
        )
    return FrameWise(keras.layers.GlobalAveragePooling2D(), name="pooled")(features)


def classifier(num_classes: int, activation: str | None = None, **options: Any) -> keras.layers.Dense:
    """The last layer, in float32 under every policy: named `classifier`, which checkpoints go by."""
    return keras.layers.Dense(
        num_classes, activation=activation, name="classifier", dtype="float32", **options
    )


def average(steps: Tensor, mask: Tensor | None, name: str = "average") -> Tensor:
    """Mean over the steps that the mask leaves, in float32."""
    return keras.layers.GlobalAveragePooling1D(name=name, dtype="float32")(steps, mask=mask)


POOLINGS = ("mean", "attention")


def summed_up(steps: Tensor, features: Tensor, mask: Tensor | None, pooling: str) -> Tensor:
    """`average` of the steps' answers, or one that weighs them by the features that they are answers to."""
    if pooling == "mean":
        return average(steps, mask)
    return StepAttention(name="average", dtype="float32")(steps, features, mask=mask)


def load_weights(model: keras.Model, weights: PathLike | None) -> keras.Model:
    """Load a file of weights, see `checkpoints.load_weights`; None does nothing.

    A warning says what was left, such as the classifier of other classes.

    Returns:
        The model.

    Raises:
        UserError: for a file that does not exist, is of no known kind, or does not fit the model.
    """
    if weights is None:
        return model
    report = checkpoints.load_weights(model, weights)
    if report.unused or report.missing:
        warnings.warn(str(report), stacklevel=3)
    return model
