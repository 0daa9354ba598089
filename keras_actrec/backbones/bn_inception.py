"""BN-Inception: the per-frame network of TSN and of the gate-shift networks."""

import keras
from keras import layers

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones import _inception
from keras_actrec.backbones._weights import load_weights
from keras_actrec.backbones.applications import InputScaling
from keras_actrec.layers import MaxPooling2D

# Filters of a block: 1x1; 3x3 reduce, 3x3; double 3x3 reduce, both 3x3; pool projection. The blocks without
# 1x1 and projection halve the map.
_BLOCKS = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (None, 128, 160, 64, 96, None),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (None, 128, 192, 192, 256, None),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}
# In each block the convolution whose output the gate-shift networks gate: its shortest branch.
GATED = tuple(
    f"inception_{block}_{'1x1' if filters[0] else '3x3_reduce'}" for block, filters in _BLOCKS.items()
)


def bn_inception(
    *,
    weights: PathLike | None = "imagenet",
    input_shape: Shape = (None, None, 3),
    width: float = 1.0,
    until: str | None = None,
    name: str = "bn_inception",
) -> keras.Model:
    """Build BN-Inception (Ioffe and Szegedy 2015, arXiv 1502.03167) as the TSN authors trained it.

    A stem and ten Inception blocks; 10,270,240 trainable parameters, in 69 convolutions with bias and batch
    normalization. The input scaling is inside: BGR, minus (104, 117, 128). Feature maps by the name of a
    layer, at 224 x 224 pixels:

    | layer | channels | side |
    |---|---|---|
    | `pool1_3x3_s2`, `pool2_3x3_s2` | 64, 192 | 56, 28 |
    | `inception_3a_output`, `inception_3b_output` | 256, 320 | 28 |
    | `inception_3c_output` to `inception_4d_output` | 576, 576, 576, 608, 608 | 14 |
    | `inception_4e_output`, `inception_5a_output`, `inception_5b_output` | 1056, 1024, 1024 | 7 |

    Paddings and poolings are Caffe's, so that the official files give the official numbers. Where we differ:
    maps of odd side, where the original fails, are halved to the larger half.

    Args:
        weights: `"imagenet"` (downloaded from its authors and kept by Keras), `None` (random), or a path: an
            official torch file, of this network or of one that holds it, or a file that Keras wrote for the
            same arguments (`.weights.h5`, `.keras`).
        input_shape: `(height, width, 3)` of a frame; height and width may be `None`.
        width: factor of every number of channels, rounded to multiples of 8; ImageNet weights are for 1.
        until: output of a block behind which nothing is built; `None` is the whole network, as files have it.
        name: name of the model.

    Returns:
        A `keras.Model` from frames `(B, H, W, 3)`, RGB, 0-255, any dtype, to a map of 1024 channels.

    Raises:
        UserError: if the weights are missing or do not fit.
    """
    inputs = keras.Input(input_shape, name="frames")
    conv = _inception.ConvUnits(("{}", "{}_bn", "{}_relu"), width)
    x = InputScaling("bgr", name="input_scaling")(inputs)
    x = conv(x, "conv1_7x7_s2", 64, 7, 2)
    x = _inception.max_pool(x, "pool1_3x3_s2")
    x = conv(x, "conv2_3x3_reduce", 64)
    x = conv(x, "conv2_3x3", 192, 3)
    x = _inception.max_pool(x, "pool2_3x3_s2")
    for block, filters in _BLOCKS.items():
        x = _block(x, conv, f"inception_{block}", *filters)
        if f"inception_{block}_output" == until:
            break
    return load_weights(keras.Model(inputs, x, name=name), weights, "bn_inception")


def _block(
    x: Tensor,
    conv: _inception.ConvUnits,
    name: str,
    single: int | None,
    reduce: int,
    triple: int,
    double_reduce: int,
    double: int,
    projection: int | None,
) -> Tensor:
    stride = 1 if single else 2
    branches = [conv(x, f"{name}_1x1", single)] if single else []
    branch = conv(x, f"{name}_3x3_reduce", reduce)
    branches.append(conv(branch, f"{name}_3x3", triple, 3, stride))
    branch = conv(x, f"{name}_double_3x3_reduce", double_reduce)
    branch = conv(branch, f"{name}_double_3x3_1", double, 3)
    branches.append(conv(branch, f"{name}_double_3x3_2", double, 3, stride))
    if single and name != "inception_5b":
        branch = _inception.average_pool(x, f"{name}_pool")
    else:
        branch = MaxPooling2D(3, stride, "same", name=f"{name}_pool")(x)
    branches.append(conv(branch, f"{name}_pool_proj", projection) if projection else branch)
    return layers.Concatenate(name=f"{name}_output")(branches)
