"""STRN: a residual network with connections from one frame to the next."""

from collections.abc import Callable
from pathlib import Path

import keras

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones import resnet50
from keras_actrec.errors import UserError
from keras_actrec.layers import FoldTime, LastStep, TemporalSkip, UnfoldTime
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register

# Layers of the thesis, which counts a convolution and its batch norm as two -> the block they are.
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
)
def strn(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    placement: str = "conv5_block3",
    connection: str = "identity",
    temporal_context: int = 2,
    special3: bool = False,
    width: float = 1.0,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build STRN: ResNet-50 whose last blocks also see the frame before.

    A block with a connection computes `y_t = relu(F(x_t) + shortcut(x_t) + R(x_{t-1}))`; see `TemporalSkip`.
    All frames run as one batch; the classifier reads the last frame's features.

    Args:
        num_classes: number of classes.
        input_shape: `(T, H, W, 3)`, default as many frames as the answer depends on, of 224 x 224. T may be
            longer or None, H and W may be None.
        placement: the last block with a connection: `"conv2_block1"` to `"conv5_block3"`, or the layers
            that the thesis names: `"5-11"`, `"49-55"`, `"86-92"`, `"98-104"`.
        connection: R: `"identity"`, `"linear"` or `"nonlinear"`.
        temporal_context: frames that the answer depends on. The last `temporal_context - 1` blocks up to
            `placement` have a connection; an identity fits only blocks that keep the shape of their input.
        special3: whether the block at `placement` has an identity with delay 2 next to its connection, which
            makes the context one frame longer.
        width: factor of all numbers of channels.
        masked: whether the model has a second input `mask (B, T)`, False at padding; then the last frame
            is the last valid one.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file of this model; or, for the ResNet-50 in it,
            `"imagenet"`, which Keras downloads, or a file of `keras.applications.ResNet50`.

    Returns:
        An uncompiled `keras.Model`. Feature maps of single frames `(B * T, ...)` are the layers
        `conv2_block1_out` to `conv5_block3_out`; `features` are the pooled ones `(B, T, 2048)`.

    Raises:
        UserError: for an argument that does not fit, with the values that do.

    Reference: Iqbal, master thesis, Bonn 2017; arXiv 1706.08807. Where we differ: R has no bias, so that what
    is before the clip adds exactly 0.
    """
    num_classes = _parts.check_num_classes(num_classes)
    blocks = _blocks(placement, connection, temporal_context, special3)
    clip = _parts.clip_of(input_shape or (int(temporal_context) + bool(special3), 224, 224, 3))
    inputs, mask = _parts.with_mask(clip, masked)

    def connect(block: str) -> Callable[[Tensor], list[Tensor]]:
        filters, strides = resnet50.block_output(block, width)
        skips = [TemporalSkip(connection, 1, filters, strides, name=f"{block}_skip")]
        if special3 and block == blocks[-1]:
            skips.append(TemporalSkip("identity", 2, name=f"{block}_skip_2"))

        def added(x: Tensor) -> list[Tensor]:
            x = UnfoldTime(name=f"{block}_steps")([x, clip])
            return [FoldTime(name=f"{skip.name}_frames")(skip(x)) for skip in skips]

        return added

    x = FoldTime(name="frames")(clip)  # (B * T, H, W, 3)
    x = resnet50.graph(x, width=width, skips={block: connect(block) for block in blocks})
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = UnfoldTime(name="features")([x, clip])  # (B, T, 2048)
    x = LastStep(name="last_step")(x, mask=mask)
    x = _parts.classifier(num_classes, classifier_activation)(x)
    model = keras.Model(inputs, x, name="strn")
    if weights is not None and _is_resnet50(weights):
        resnet50.load_applications(model, weights)
        return model
    return _parts.load_weights(model, weights)


def _blocks(placement: str, connection: str, temporal_context: int, special3: bool) -> list[str]:
    """The names of the blocks with a connection, in their order."""
    if temporal_context != int(temporal_context) or temporal_context < 1:
        raise UserError(
            "`temporal_context` must be a whole number of at least 1. "
            f"Received: temporal_context={temporal_context}"
        )
    last = PLACEMENTS.get(placement, placement)
    if last not in resnet50.BLOCKS:
        raise UserError(
            f"`placement` must be one of {', '.join([*PLACEMENTS, *resnet50.BLOCKS])}. "
            f"Received: placement={placement!r}"
        )
    if special3 and temporal_context < 2:
        raise UserError(
            "`special3` comes next to a connection: it needs `temporal_context` of at least 2. "
            f"Received: temporal_context={temporal_context}"
        )
    blocks = resnet50.BLOCKS[: resnet50.BLOCKS.index(last) + 1]
    keep = [block for block in blocks if not block.endswith("_block1")]
    if (connection == "identity" or special3) and last not in keep:
        raise UserError(
            f"An identity does not fit {last}, which changes the shape: choose a block from "
            f"{', '.join(block for block in resnet50.BLOCKS if not block.endswith('_block1'))}, "
            f'or `connection="linear"`. Received: placement={placement!r}, special3={special3}'
        )
    fitting = keep if connection == "identity" else blocks
    if temporal_context - 1 > len(fitting):
        raise UserError(
            f"Up to {last} a connection fits {len(fitting)} blocks: `temporal_context` is at most "
            f"{len(fitting) + 1}. Received: temporal_context={temporal_context}"
        )
    return fitting[len(fitting) - int(temporal_context) + 1 :]


def _is_resnet50(weights: PathLike) -> bool:
    """Whether these are weights of ResNet-50 alone: the download, or a file without our classifier."""
    if weights == "imagenet":
        return True
    return Path(weights).suffix == ".h5" and "classifier" not in resnet50.read_layers(weights)
