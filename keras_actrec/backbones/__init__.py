"""Per-frame networks by name, frames in and feature maps out."""

from collections.abc import Callable
from typing import Any

import keras

from keras_actrec._suggest import did_you_mean
from keras_actrec._types import PathLike, Shape
from keras_actrec.backbones import bn_inception, googlenet, inception_v3
from keras_actrec.backbones._depthwise import DepthwiseConv2D
from keras_actrec.backbones._folding import folded
from keras_actrec.backbones.applications import APPLICATIONS, InputScaling, application
from keras_actrec.backbones.efficientnet_lite0 import efficientnet_lite0, is_torch
from keras_actrec.backbones.resnet50 import resnet50_v1_5
from keras_actrec.errors import UserError
from keras_actrec.layers import PixelGrid

__all__ = [
    "PIXELS",
    "DepthwiseConv2D",
    "InputScaling",
    "build",
    "check_name",
    "efficientnet_lite0",
    "folded",
    "list_backbones",
    "with_pixels",
]

PIXELS = 4  # channels that `with_pixels` appends

_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "bn_inception": bn_inception.bn_inception,
    "efficientnet_lite0": efficientnet_lite0,
    "googlenet": googlenet.googlenet,
    "inception_v3": inception_v3.inception_v3,
    "resnet50_v1_5": resnet50_v1_5,
    **{name: application(name) for name in APPLICATIONS},
}
# Built up to the output of a block and no further: with random weights, the second one with its files too.
_CUT = ("bn_inception", "efficientnet_lite0", "googlenet", "resnet50_v1_5")


def list_backbones() -> list[str]:
    """The names that `build` knows, sorted."""
    return sorted(_BUILDERS)


def check_name(name: str) -> None:
    """Check a name for `build`, `"name"` or `"name:layer"`, without building the network.

    Raises:
        UserError: for an unknown name, with the nearest one. The layer is not looked at.
    """
    name = str(name).partition(":")[0]
    if name not in _BUILDERS:
        raise UserError(f"unknown backbone {name!r}: {did_you_mean(name, list_backbones())}")


def build(
    name: str,
    *,
    weights: PathLike | None = "imagenet",
    input_shape: Shape = (None, None, 3),
    layer: str | None = None,
    width: float = 1.0,
) -> keras.Model:
    """Build a per-frame network by name: frames in, a feature map out.

    Args:
        name: one of `list_backbones()`, or `"name:layer"`, which is short for both arguments.
        weights: `"imagenet"`, `None` (random), or the path of a weight file: what `save_weights` wrote for
            the network built with `layer=None`, or, where it comes from torch, a torch file. The ImageNet
            weights of `efficientnet_lite0` come with the extra `pretrained`; Keras downloads those of the
            others.
        input_shape: `(height, width, 3)` of a frame; height and width may be `None`.
        layer: name of the layer whose output is the feature map; `None` is the last one before the pooling.
        width: factor of every number of channels, rounded to multiples of 8, of `bn_inception`,
            `efficientnet_lite0`, `googlenet`, `inception_v3` and `resnet50_v1_5`; ImageNet weights are for 1.

    Returns:
        A `keras.Model` from frames `(B, H, W, 3)`, RGB, 0-255, any dtype, to a feature map `(B, K, K', D)`;
        `model.output_shape[-1]` is `D`. The normalization is inside.

    Raises:
        UserError: for an unknown name or layer (with the nearest one), frames that are not RGB, a
            network whose width is fixed, and weights that are missing or do not fit.
    """
    name, _, suffix = str(name).partition(":")
    layer = layer or suffix or None
    check_name(name)
    if len(input_shape) != 3 or input_shape[-1] != 3:
        raise UserError(f"`input_shape` must be (height, width, 3). Received: input_shape={input_shape}")
    if width != 1 and name in APPLICATIONS:
        ours = ", ".join(each for each in list_backbones() if each not in APPLICATIONS)
        raise UserError(f"`width` of {name} is fixed; it goes with {ours}. Received: width={width}")
    options: dict[str, Any] = {} if name in APPLICATIONS else {"width": width}
    if name in _CUT and (weights is None or (name == "efficientnet_lite0" and is_torch(weights))):
        options["until"] = layer
    model = _BUILDERS[name](weights=weights, input_shape=tuple(input_shape), **options)
    if layer is None:
        return model
    outputs = {each.name: each.output for each in model.layers}
    if layer not in outputs:
        hint = did_you_mean(layer, outputs, otherwise=f"build({name!r}).summary() lists them")
        raise UserError(f"{name} has no layer {layer!r}: {hint}")
    if len(outputs[layer].shape) != 4:
        raise UserError(f"layer {layer!r} of {name} gives no feature map but {outputs[layer].shape}")
    return keras.Model(model.input, outputs[layer], name=name)


def with_pixels(network: keras.Model) -> keras.Model:
    """The network with the gray values of `PixelGrid` as four more channels of its feature map.

    Args:
        network: a per-frame network for frames of a known size, to a feature map.

    Raises:
        UserError: for one without a feature map of a known size, or frames that do not divide into its cells.
    """
    shape = network.output_shape
    if len(shape) != 4 or None in shape[1:3]:
        raise UserError(
            f"pixels go with a feature map of known size. Received: {network.name}, which gives {shape[1:]}"
        )
    pixels = PixelGrid(shape[1:3], name="pixels")(network.input)
    joined = keras.layers.Concatenate(name="with_pixels")([network.output, pixels])
    return keras.Model(network.input, joined, name=network.name)
