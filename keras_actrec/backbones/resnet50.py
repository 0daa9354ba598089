"""ResNet-50, of Keras and of torchvision."""

import io
import os

import h5py
import keras
import numpy as np
from keras import layers

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones._weights import load_weights
from keras_actrec.backbones._width import scaled
from keras_actrec.backbones.applications import InputScaling, application
from keras_actrec.checkpoints.keras_file import read_weights
from keras_actrec.errors import UserError
from keras_actrec.layers import BatchNormalization, Conv2D, MaxPooling2D, _initializers

# Number of the stage, channels of its bottlenecks, blocks, stride of the first block.
_STAGES = ((2, 64, 3, 1), (3, 128, 4, 2), (4, 256, 6, 2), (5, 512, 3, 2))


def graph(frames: Tensor, *, version: str = "v1", width: float = 1.0, until: str | None = None) -> Tensor:
    """Put ResNet-50 over frames: a stem and 16 bottlenecks in four stages.

    | version | stride of a stage's first block | bias | batch norm | input scaling |
    |---|---|---|---|---|
    | `"v1"` | first 1 x 1 convolution | yes | epsilon 1.001e-5, momentum .99 | caffe |
    | `"v1_5"` | 3 x 3 convolution, symmetric padding | no | epsilon 1e-5, momentum .9 | torch |

    `"v1"` is `keras.applications.ResNet50`, `"v1_5"` torchvision's; the layers have the names of the former:
    `conv1_conv`, `conv2_block1_1_conv`, ... and the outputs of the blocks `conv2_block1_out` to
    `conv5_block3_out`. Without a classifier 23,534,592 and 23,508,032 trainable parameters.

    Args:
        frames: symbolic `(N, H, W, 3)`, RGB, 0-255; H and W may be unknown.
        version: see above.
        width: factor of every number of channels, rounded to a multiple of 8.
        until: output of a block behind which nothing is built; `None` is the whole network.

    Returns:
        The feature map `(N, ceil(H / 32), ceil(W / 32), 2048)`, or that of the block.

    Raises:
        UserError: for an unknown version.

    Reference: He et al., arXiv 1512.03385.
    """
    if version not in ("v1", "v1_5"):
        raise UserError(f'`version` must be "v1" or "v1_5". Received: version={version!r}')
    v1 = version == "v1"

    def conv(x: Tensor, filters: int, size: int, strides: int, name: str, relu: bool = True) -> Tensor:
        if size > 1 and strides > 1:
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
        x = Conv2D(
            filters,
            size,
            strides,
            padding="valid" if strides > 1 else "same",
            use_bias=v1,
            kernel_initializer=_initializers.he_normal(),
            name=f"{name}_conv",
        )(x)
        x = BatchNormalization(
            epsilon=1.001e-5 if v1 else 1e-5, momentum=0.99 if v1 else 0.9, name=f"{name}_bn"
        )(x)
        return layers.Activation("relu", name=f"{name}_relu")(x) if relu else x

    x = InputScaling("caffe" if v1 else "torch", name="input_scaling")(frames)
    x = conv(x, scaled(64, width), 7, 2, "conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = MaxPooling2D(3, 2, name="pool1_pool")(x)
    for stage, channels, blocks, strides in _STAGES:
        filters = scaled(channels, width)
        for number in range(1, blocks + 1):
            name = f"conv{stage}_block{number}"
            step = strides if number == 1 else 1
            shortcut = x
            if number == 1:
                shortcut = conv(x, 4 * filters, 1, step, f"{name}_0", relu=False)
            x = conv(x, filters, 1, step if v1 else 1, f"{name}_1")
            x = conv(x, filters, 3, 1 if v1 else step, f"{name}_2")
            x = conv(x, 4 * filters, 1, 1, f"{name}_3", relu=False)
            x = layers.Add(name=f"{name}_add")([shortcut, x])
            x = layers.Activation("relu", name=f"{name}_out")(x)
            if until == f"{name}_out":
                return x
    return x


def resnet50_v1_5(
    *,
    weights: PathLike | None = "imagenet",
    input_shape: Shape = (None, None, 3),
    width: float = 1.0,
    until: str | None = None,
) -> keras.Model:
    """Build ResNet-50 v1.5 over frames; see `graph`.

    Args:
        weights: `"imagenet"` (torchvision's first ones, downloaded and kept by Keras), `None` (random), or a
            path: a torch file with torchvision's names, such as the checkpoints of TSN and TSM, or a file
            that Keras wrote for this network.
        input_shape: `(height, width, 3)` of a frame; height and width may be `None`.
        width: factor of every number of channels, rounded to multiples of 8; ImageNet weights are for 1.
        until: output of a block behind which nothing is built; `None` is the whole network, as files have it.

    Returns:
        A `keras.Model` from frames `(B, H, W, 3)` to feature maps `(B, ceil(H / 32), ceil(W / 32), 2048)`.

    Raises:
        UserError: for weights that are missing or do not fit.
    """
    inputs = keras.Input(input_shape, name="frames")
    model = keras.Model(inputs, graph(inputs, version="v1_5", width=width, until=until), name="resnet50_v1_5")
    return load_weights(model, weights, "resnet50_v1_5")


def load_applications(model: keras.Model, weights: PathLike) -> None:
    """Load the weights of `keras.applications.ResNet50` into the layers of `model` that have its names.

    Other layers of `model` stay as they are, and what `model` has no layer for, such as the classifier of
    ImageNet, is left out.

    Args:
        model: a model around `graph(version="v1")`.
        weights: `"imagenet"`, which Keras downloads, or the path of a file: a `.weights.h5`, or a `.h5` of
            Keras 2, with or without the classifier.

    Raises:
        UserError: for a failed download, and a file that is missing, cannot be read or does not fit.
    """
    if weights == "imagenet":
        network = application("resnet50")(weights=weights)
        found = {layer.name: layer.get_weights() for layer in network.layers}
    else:
        found = read_layers(weights)
    names = {layer.name for layer in model.layers if layer.weights} & found.keys()
    if "conv1_conv" not in names:
        raise UserError(f"{weights} does not fit {model.name}: it is not of keras.applications.ResNet50")
    for name in sorted(names):
        layer = model.get_layer(name)
        shapes = [[tuple(w.shape) for w in each] for each in (layer.weights, found[name])]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{weights} does not fit {model.name}: {name} has shapes {shapes[1]}, not {shapes[0]}"
            )
    for name in names:
        model.get_layer(name).set_weights(found[name])


def read_layers(path: PathLike) -> dict[str, list[np.ndarray]]:
    """The weights of every layer, by its name, in a `.weights.h5` or a `.h5` of Keras 2.

    Raises:
        UserError: for a file that is missing or that Keras did not write.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"no such weight file: {path} (weights is 'imagenet', None or a path)")
    try:
        with h5py.File(io.BytesIO(read_weights(path))) as file:
            if "layers" in file:  # Keras 3: the name is an attribute of the layer's weights
                groups = [group["vars"] for group in file["layers"].values() if "vars" in group]
                return {
                    group.attrs["name"]: [group[str(index)][()] for index in range(len(group))]
                    for group in groups
                    if len(group)
                }
            file = file.get("model_weights", file)
            names = [_text(name) for name in file.attrs["layer_names"]]
            return {
                name: [file[name][_text(weight)][()] for weight in file[name].attrs["weight_names"]]
                for name in names
                if len(file[name].attrs["weight_names"])
            }
    except (KeyError, OSError) as error:
        raise UserError(f"{path} is no weight file of Keras: {' '.join(str(error).split())}") from error


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
