"""InceptionV3 as the TSN authors trained it: the larger network of the gate-shift networks."""

import keras
from keras import layers

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones import _inception
from keras_actrec.backbones._inception import ConvUnits
from keras_actrec.backbones._weights import load_weights
from keras_actrec.backbones.applications import InputScaling
from keras_actrec.layers import MaxPooling2D

# The convolutions whose output the gate-shift networks gate; `mixed_6` has none.
GATED = (
    "mixed_conv_Conv2D",
    "mixed_1_conv_Conv2D",
    "mixed_2_conv_Conv2D",
    "mixed_3_tower_conv_Conv2D",
    "mixed_4_conv_Conv2D",
    "mixed_5_conv_Conv2D",
    "mixed_7_conv_Conv2D",
    "mixed_8_tower_conv_Conv2D",
    "mixed_9_conv_Conv2D",
    "mixed_10_conv_Conv2D",
)


def inception_v3(
    *,
    weights: PathLike | None = "imagenet",
    input_shape: Shape = (None, None, 3),
    width: float = 1.0,
    name: str = "inception_v3",
) -> keras.Model:
    """Build InceptionV3 (Szegedy et al. 2015, arXiv 1512.00567) as the TSN authors trained it.

    A stem and eleven blocks; 21,802,784 trainable parameters, in 94 convolutions with bias and batch
    normalization. The input scaling is inside: BGR, minus (104, 117, 128). The gate-shift networks give it
    frames of 229 x 229 pixels. Feature maps by the name of a layer, at that size:

    | layer | channels | side |
    |---|---|---|
    | `pool`, `pool_1` | 64, 192 | 56, 27 |
    | `mixed_join`, `mixed_1_join`, `mixed_2_join` | 256, 288, 288 | 27 |
    | `mixed_3_join` to `mixed_7_join` | 768 | 13 |
    | `mixed_8_join`, `mixed_9_join`, `mixed_10_join` | 1280, 2048, 2048 | 6 |

    Paddings and poolings are Caffe's, so that the official files give the official numbers. Where we differ:
    maps of even side, where the original fails to halve them in `mixed_3` and `mixed_8`, lose their last row
    and column in these blocks.

    Args:
        weights: `"imagenet"` (downloaded from its authors and kept by Keras), `None` (random), or a path: an
            official torch file, of this network or of one that holds it, or a file that Keras wrote for the
            same arguments (`.weights.h5`, `.keras`).
        input_shape: `(height, width, 3)` of a frame, at least 75 pixels; height and width may be `None`.
        width: factor of every number of channels, rounded to multiples of 8; ImageNet weights are for 1.
        name: name of the model.

    Returns:
        A `keras.Model` from frames `(B, H, W, 3)`, RGB, 0-255, any dtype, to a map of 2048 channels.

    Raises:
        UserError: if the weights are missing or do not fit.
    """
    inputs = keras.Input(input_shape, name="frames")
    conv = _inception.ConvUnits(("{}_Conv2D", "{}_batchnorm", "{}"), width)
    x = InputScaling("bgr", name="input_scaling")(inputs)
    x = conv(x, "conv", 32, 3, 2, "valid")
    x = conv(x, "conv_1", 32, 3, padding="valid")
    x = conv(x, "conv_2", 64, 3)
    x = _inception.max_pool(x, "pool")
    x = conv(x, "conv_3", 80)
    x = conv(x, "conv_4", 192, 3, padding="valid")
    x = _inception.max_pool(x, "pool_1")
    for block, projection in (("mixed", 32), ("mixed_1", 64), ("mixed_2", 64)):
        x = _block_5x5(x, conv, block, projection)
    x = _halve_first(x, conv, "mixed_3")
    for block, filters in (("mixed_4", 128), ("mixed_5", 160), ("mixed_6", 160), ("mixed_7", 192)):
        x = _block_7x7(x, conv, block, filters)
    x = _halve_second(x, conv, "mixed_8")
    x = _block_wide(x, conv, "mixed_9", _inception.average_pool(x, "mixed_9_tower_2_pool"))
    pooled = MaxPooling2D(3, 1, "same", name="mixed_10_tower_2_pool")(x)
    x = _block_wide(x, conv, "mixed_10", pooled)
    return load_weights(keras.Model(inputs, x, name=name), weights, "inception_v3")


def _block_5x5(x: Tensor, conv: ConvUnits, name: str, projection: int) -> Tensor:
    tower = conv(x, f"{name}_tower_conv", 48)
    tower_1 = conv(x, f"{name}_tower_1_conv", 64)
    for part in (1, 2):
        tower_1 = conv(tower_1, f"{name}_tower_1_conv_{part}", 96, 3)
    pooled = _inception.average_pool(x, f"{name}_tower_2_pool")
    return _join(
        name,
        conv(x, f"{name}_conv", 64),
        conv(tower, f"{name}_tower_conv_1", 64, 5),
        tower_1,
        conv(pooled, f"{name}_tower_2_conv", projection),
    )


def _block_7x7(x: Tensor, conv: ConvUnits, name: str, filters: int) -> Tensor:
    tower = conv(x, f"{name}_tower_conv", filters)
    tower = conv(tower, f"{name}_tower_conv_1", filters, (7, 1))
    tower = conv(tower, f"{name}_tower_conv_2", 192, (1, 7))
    tower_1 = conv(x, f"{name}_tower_1_conv", filters)
    for part, kernel in ((1, (1, 7)), (2, (7, 1)), (3, (1, 7)), (4, (7, 1))):
        tower_1 = conv(tower_1, f"{name}_tower_1_conv_{part}", filters if part < 4 else 192, kernel)
    pooled = _inception.average_pool(x, f"{name}_tower_2_pool")
    return _join(
        name,
        conv(x, f"{name}_conv", 192),
        tower,
        tower_1,
        conv(pooled, f"{name}_tower_2_conv", 192),
    )


def _halve_first(x: Tensor, conv: ConvUnits, name: str) -> Tensor:
    tower = conv(x, f"{name}_tower_conv", 64)
    tower = conv(tower, f"{name}_tower_conv_1", 96, 3)
    return _join(
        name,
        conv(x, f"{name}_conv", 384, 3, 2, "valid"),
        conv(tower, f"{name}_tower_conv_2", 96, 3, 2, "valid"),
        MaxPooling2D(3, 2, "valid", name=f"{name}_pool")(x),
    )


def _halve_second(x: Tensor, conv: ConvUnits, name: str) -> Tensor:
    tower = conv(x, f"{name}_tower_conv", 192)
    tower_1 = conv(x, f"{name}_tower_1_conv", 192)
    tower_1 = conv(tower_1, f"{name}_tower_1_conv_1", 192, (7, 1))
    tower_1 = conv(tower_1, f"{name}_tower_1_conv_2", 192, (1, 7))
    return _join(
        name,
        conv(tower, f"{name}_tower_conv_1", 320, 3, 2, "valid"),
        conv(tower_1, f"{name}_tower_1_conv_3", 192, 3, 2, "valid"),
        MaxPooling2D(3, 2, "valid", name=f"{name}_pool")(x),
    )


def _block_wide(x: Tensor, conv: ConvUnits, name: str, pooled: Tensor) -> Tensor:
    tower = conv(x, f"{name}_tower_conv", 384)
    tower_1 = conv(x, f"{name}_tower_1_conv", 448)
    tower_1 = conv(tower_1, f"{name}_tower_1_conv_1", 384, 3)
    return _join(
        name,
        conv(x, f"{name}_conv", 320),
        conv(tower, f"{name}_tower_mixed_conv", 384, (3, 1)),
        conv(tower, f"{name}_tower_mixed_conv_1", 384, (1, 3)),
        conv(tower_1, f"{name}_tower_1_mixed_conv", 384, (3, 1)),
        conv(tower_1, f"{name}_tower_1_mixed_conv_1", 384, (1, 3)),
        conv(pooled, f"{name}_tower_2_conv", 192),
    )


def _join(name: str, *branches: Tensor) -> Tensor:
    return layers.Concatenate(name=f"{name}_join")(branches)
