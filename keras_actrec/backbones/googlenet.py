"""GoogLeNet as torchvision has it: the network of the features that HM-AN and Sharma et al. compare with."""

import keras
from keras import layers

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones import _inception
from keras_actrec.backbones._weights import load_weights
from keras_actrec.backbones.applications import InputScaling
from keras_actrec.layers import MaxPooling2D

# Filters of a block: 1x1; reduce, 3x3; reduce, 3x3 in place of 5x5; pool projection.
_BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(
    *,
    weights: PathLike | None = "imagenet",
    input_shape: Shape = (None, None, 3),
    width: float = 1.0,
    until: str | None = None,
) -> keras.Model:
    """Build GoogLeNet (Szegedy et al. 2014, arXiv 1409.4842) as torchvision trained it.

    A stem and nine Inception blocks; 5,599,904 trainable parameters, in 57 convolutions without bias and
    their batch normalizations. The input scaling is inside: `x / 127.5 - 1`. Feature maps by the name of a
    layer, at 224 x 224 pixels:

    | layer | channels | side |
    |---|---|---|
    | `inception3a_output`, `inception3b_output` | 256, 480 | 28 |
    | `inception4a_output` to `inception4e_output` | 512, 512, 512, 528, 832 | 14 |
    | `inception5a_output`, `inception5b_output` | 832, 1024 | 7 |

    The paper's network has neither batch normalization nor a 3 x 3 convolution where it has 5 x 5; these are
    torchvision's, whose weights can be had.

    Args:
        weights: `"imagenet"` (torchvision's, downloaded and kept by Keras), `None` (random), or a path: a
            torch file with torchvision's names, or a file that Keras wrote for the same arguments.
        input_shape: `(height, width, 3)` of a frame; height and width may be `None`.
        width: factor of every number of channels, rounded to multiples of 8; ImageNet weights are for 1.
        until: output of a block behind which nothing is built; `None` is the whole network, as files have it.

    Returns:
        A `keras.Model` from frames `(B, H, W, 3)`, RGB, 0-255, any dtype, to a map of 1024 channels.

    Raises:
        UserError: if the weights are missing or do not fit.
    """
    inputs = keras.Input(input_shape, name="frames")
    conv = _inception.ConvUnits(("{}_conv", "{}_bn", "{}_relu"), width, use_bias=False, epsilon=1e-3)
    x = InputScaling("tf", name="input_scaling")(inputs)
    x = _inception.max_pool(conv(x, "conv1", 64, 7, 2), "maxpool1")
    x = conv(conv(x, "conv2", 64), "conv3", 192, 3)
    pools = {"3a": ("maxpool2", 3), "4a": ("maxpool3", 3), "5a": ("maxpool4", 2)}
    for block, filters in _BLOCKS.items():
        if block in pools:
            name, size = pools[block]
            x = _inception.max_pool(x, name) if size == 3 else MaxPooling2D(2, 2, "same", name=name)(x)
        x = _block(x, conv, f"inception{block}", *filters)
        if f"inception{block}_output" == until:
            break
    return load_weights(keras.Model(inputs, x, name="googlenet"), weights, "googlenet")


def _block(
    x: Tensor,
    conv: _inception.ConvUnits,
    name: str,
    single: int,
    reduce: int,
    triple: int,
    second_reduce: int,
    second: int,
    projection: int,
) -> Tensor:
    pooled = MaxPooling2D(3, 1, "same", name=f"{name}_pool")(x)
    branches = [
        conv(x, f"{name}_branch1", single),
        conv(conv(x, f"{name}_branch2_0", reduce), f"{name}_branch2_1", triple, 3),
        conv(conv(x, f"{name}_branch3_0", second_reduce), f"{name}_branch3_1", second, 3),
        conv(pooled, f"{name}_branch4_1", projection),
    ]
    return layers.Concatenate(name=f"{name}_output")(branches)
