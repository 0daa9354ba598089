"""STRN: a residual network with connections from one frame to the next."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from keras_actrec import backbones
from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones import resnet50
from keras_actrec.errors import UserError
from keras_actrec.layers import FoldTime, LastStep, TemporalSkip, UnfoldTime
from keras_actrec.zoo import _parts
from keras_actrec.zoo._over_clips import Around, over_clips, residual_blocks
from keras_actrec.zoo._registry import register

BACKBONES = ("resnet50", "efficientnet_lite0")
# Layers of the thesis, which counts a convolution and its batch norm as two -> the block of ResNet-50.
PLACEMENTS = {
    "5-11": "conv2_block1",
    "49-55": "conv4_block1",
    "86-92": "conv5_block1",
    "98-104": "conv5_block3",
}


@register(
    "strn",
    input="clip",
    masked=True,
    consensus="last",
    paper="Iqbal, master thesis, Bonn 2017; arXiv 1706.08807",
    causal=True,
)
def strn(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str = "resnet50",
    placement: str | None = None,
    connection: str = "identity",
    temporal_context: int = 2,
    special3: bool = False,
    width: float = 1.0,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build STRN: a residual network whose last blocks also see the frame before.

    A block with a connection computes `y_t = relu(F(x_t) + shortcut(x_t) + R(x_{t-1}))`; see `TemporalSkip`.
    All frames run as one batch; the classifier reads the last frame's features.

    Args:
        num_classes: number of classes.
        input_shape: `(T, H, W, 3)`, default as many frames as the answer depends on, of 224 x 224. T may be
            longer or None, H and W may be None.
        backbone: `"resnet50"` or `"efficientnet_lite0"`.
        placement: the last block with a connection, by default the last of the network. In ResNet-50
            `"conv2_block1"` to `"conv5_block3"`, or the layers that the thesis names: `"5-11"`, `"49-55"`,
            `"86-92"`, `"98-104"`. In EfficientNet-Lite0 those with a shortcut, `"block2b"` to `"block6d"`.
        connection: R: `"identity"`, `"linear"` or `"nonlinear"`.
        temporal_context: frames that the answer depends on, or 0 for as many as a clip has. The last
            `temporal_context - 1` blocks up to `placement` have a connection; an identity fits only blocks
            that keep the shape of their input.
        special3: whether the block at `placement` has an identity with delay 2 next to its connection, which
            makes the context one frame longer.
        width: factor of all numbers of channels.
        masked: whether the model has a second input `mask (B, T)`, False at padding; then the last frame
            is the last valid one.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file of this model; `"imagenet"` for the backbone, which
            Keras downloads for ResNet-50 and the extra `pretrained` has for EfficientNet-Lite0; or, for the
            ResNet-50 in it, a file of `keras.applications.ResNet50`.

    Returns:
        An uncompiled `keras.Model`. Feature maps of single frames `(B * T, ...)` are the layers
        `conv2_block1_out` to `conv5_block3_out`; `features` are the pooled ones `(B, T, 2048)`, 1280 with
        EfficientNet-Lite0.

    Raises:
        UserError: for an argument that does not fit, with the values that do.

    Reference: Iqbal, master thesis, Bonn 2017; arXiv 1706.08807. Where we differ: R has no bias, so that what
    is before the clip adds exactly 0. EfficientNet-Lite0 is ours; its sums have no ReLU behind them.
    """
    num_classes = _parts.check_num_classes(num_classes)
    if backbone not in BACKBONES:
        raise UserError(f"`backbone` must be one of {', '.join(BACKBONES)}. Received: backbone={backbone!r}")
    clip = _parts.clip_of(input_shape or (int(temporal_context) + bool(special3), 224, 224, 3))
    if temporal_context == 0:
        if input_shape is None or clip.shape[1] is None:
            raise UserError(
                "`temporal_context=0` takes the number of frames from `input_shape`, which has none"
            )
        temporal_context = clip.shape[1] - bool(special3)
    inputs, mask = _parts.with_mask(clip, masked)
    network, weights = _network(backbone, clip.shape[2:], width, weights)
    blocks = _blocks(
        {block: _shortcut(network, block) is None for block in residual_blocks(network)},
        {} if backbone != "resnet50" else PLACEMENTS,
        placement,
        connection,
        temporal_context,
        special3,
    )
    around = _around(network, clip, blocks, connection, special3)
    x = over_clips(network, clip, mask, around)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = UnfoldTime(name="features")([x, clip])  # (B, T, D)
    x = LastStep(name="last_step")(x, mask=mask)
    x = _parts.classifier(num_classes, classifier_activation)(x)
    return _parts.load_weights(keras.Model(inputs, x, name="strn"), weights)


def _network(
    backbone: str, shape: Shape, width: float, weights: PathLike | None
) -> tuple[keras.Model, PathLike | None]:
    """The network of frames, and what is left of the weights to load."""
    if backbone != "resnet50":
        own = None if weights == "imagenet" else weights
        source = "imagenet" if weights == "imagenet" else None
        return backbones.build(backbone, weights=source, input_shape=shape, width=width), own
    frames = keras.Input(shape, name="frames")
    network = keras.Model(frames, resnet50.graph(frames, width=width), name=backbone)
    if weights is None or not _is_resnet50(weights):
        return network, weights
    resnet50.load_applications(network, weights)
    return network, None


def _blocks(
    keeping: Mapping[str, bool],
    numbered: Mapping[str, str],
    placement: str | None,
    connection: str,
    temporal_context: int,
    special3: bool,
) -> list[str]:
    """The names of the blocks with a connection, in their order.

    `keeping` says of every block whether it keeps the shape, `numbered` has the other names of some.
    """
    blocks = list(keeping)
    last = blocks[-1] if placement is None else numbered.get(placement, placement)
    if last not in blocks:
        raise UserError(
            f"`placement` must be one of {', '.join([*numbered, *blocks])}. Received: placement={placement!r}"
        )
    if special3 and temporal_context < 2:
        raise UserError(
            "`special3` comes next to a connection: it needs `temporal_context` of at least 2. "
            f"Received: temporal_context={temporal_context}"
        )
    if (connection == "identity" or special3) and not keeping[last]:
        raise UserError(
            f"An identity does not fit {last}, which changes the shape: choose a block from "
            f"{', '.join(block for block in blocks if keeping[block])}, "
            f'or `connection="linear"`. Received: placement={placement!r}, special3={special3}'
        )
    blocks = blocks[: blocks.index(last) + 1]
    fitting = [block for block in blocks if keeping[block] or connection != "identity"]
    if temporal_context - 1 > len(fitting):
        raise UserError(
            f"Up to {last} a connection fits {len(fitting)} blocks: `temporal_context` is at most "
            f"{len(fitting) + 1}. Received: temporal_context={temporal_context}"
        )
    return fitting[len(fitting) - int(temporal_context) + 1 :]


def _shortcut(network: keras.Model, block: str) -> keras.layers.Layer | None:
    """The convolution around a block that changes the shape."""
    name = f"{block}_0_conv"
    return network.get_layer(name) if any(layer.name == name for layer in network.layers) else None


def _around(
    network: keras.Model, clip: Tensor, blocks: Sequence[str], connection: str, special3: bool
) -> dict[str, Around]:
    """What `over_clips` calls in place of the first and the last layer of each block with a connection."""
    entering: dict[str, Tensor] = {}

    def enter(block: str) -> Around:
        def call(conv: keras.layers.Layer, x: Tensor) -> Tensor:
            entering[block] = x
            return conv(x)

        return call

    def connect(block: str) -> Around:
        def call(add: keras.layers.Layer, terms: list[Tensor]) -> Tensor:
            x = UnfoldTime(name=f"{block}_steps")([entering[block], clip])
            shortcut = _shortcut(network, block)
            strides = 1 if shortcut is None else shortcut.strides[0]
            skips = [TemporalSkip(connection, 1, terms[0].shape[-1], strides, name=f"{block}_skip")]
            if special3 and block == blocks[-1]:
                skips.append(TemporalSkip("identity", 2, name=f"{block}_skip_2"))
            return add([*terms, *(FoldTime(name=f"{skip.name}_frames")(skip(x)) for skip in skips)])

        return call

    residual = residual_blocks(network)
    around = {residual[block][0]: enter(block) for block in blocks}
    return around | {residual[block][1]: connect(block) for block in blocks}


def _is_resnet50(weights: PathLike) -> bool:
    """Whether these are weights of ResNet-50 alone: the download, or a file without our classifier."""
    if weights == "imagenet":
        return True
    return Path(weights).suffix == ".h5" and "classifier" not in resnet50.read_layers(weights)
