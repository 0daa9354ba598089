"""What tsn, tsm, trn, gsm and sa_gsm share: one network over all frames of a clip, and the consensus."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras

from keras_actrec import backbones
from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones import bn_inception, inception_v3
from keras_actrec.errors import UserError
from keras_actrec.layers import Conv2D, FoldTime, FrameDifference, UnfoldTime
from keras_actrec.zoo import _parts
from keras_actrec.zoo._over_clips import Around, over_clips, residual_blocks

# A function of the name of a convolution and of clips `(B, T, H, W, C)` in front of it or behind it.
OverTime: TypeAlias = Callable[[str, Tensor], Tensor]

# The convolutions that GSM gates behind, and TSM shifts in front of. In other networks these are the first
# ones of the residual blocks, and both are in front of them.
GATED = {"bn_inception": bn_inception.GATED, "inception_v3": inception_v3.GATED}


def inputs_of(
    input_shape: Shape | None, backbone: str, masked: bool
) -> tuple[_parts.Inputs, keras.KerasTensor, keras.KerasTensor | None]:
    """The inputs, the clip `(B, T, H, W, 3)` and the mask `(B, T)` or None; checks the backbone's name."""
    backbones.check_name(backbone)
    side = 229 if str(backbone).startswith("inception_v3") else 224
    clip = _parts.clip_of(input_shape or (8, side, side, 3))
    inputs, mask = _parts.with_mask(clip, masked)
    return inputs, clip, mask


def network_of(backbone: str, clip: keras.KerasTensor, width: float, weights: PathLike | None) -> keras.Model:
    """The network of frames, with ImageNet weights where they are asked for."""
    weights = "imagenet" if weights == "imagenet" else None
    return backbones.build(backbone, weights=weights, input_shape=clip.shape[2:], width=width)


def places_of(network: keras.Model) -> Sequence[str]:
    """The convolutions that TSM and GSM have chosen in a network, in their order; of Inception all ten."""
    places = GATED.get(network.name) or [first for first, _ in residual_blocks(network).values()]
    if not places:
        raise UserError(
            "`backbone` must have Inception or residual blocks, as have bn_inception, inception_v3, "
            "efficientnet_lite0, resnet50, mobilenet_v2, mobilenet_v3_small, efficientnet_v2_b0 and their "
            f"like. Received: backbone={network.name!r}"
        )
    return places


def features_of(
    network: keras.Model,
    clip: keras.KerasTensor,
    mask: keras.KerasTensor | None,
    *,
    motion: bool = False,
    shift: OverTime | None = None,
    gate: OverTime | None = None,
) -> Tensor:
    """The pooled feature of every frame, `(B, T, D)`.

    `shift` is applied to the input, and `gate` to the output before its batch normalization, of the
    convolutions that TSM and GSM have chosen in this network; in residual blocks both to the input.
    """

    def seeing(function: OverTime, behind: bool) -> Around:
        def over_time(conv: str, x: Tensor) -> Tensor:
            x = UnfoldTime(name=f"{conv}_clips")([x, clip])
            return FoldTime(name=f"{conv}_frames")(function(conv, x))

        def call(conv: keras.layers.Layer, x: Tensor) -> Tensor:
            return over_time(conv.name, conv(x)) if behind else conv(over_time(conv.name, x))

        return call

    def with_motion(conv: keras.layers.Layer, x: Tensor) -> Tensor:
        change = UnfoldTime(name="stem_clips")([x, clip])
        # In float32, as are the pixels: the change is small.
        change = FrameDifference(name="motion", dtype="float32")(change, mask=mask)
        change = FoldTime(name="motion_frames")(change)
        options = {"name": "motion_conv", "use_bias": False, "kernel_initializer": "zeros"}
        change = Conv2D.from_config({**conv.get_config(), **options})(change)
        return keras.layers.Add(name="stem_with_motion")([conv(x), change])

    around: dict[str, Around] = {}
    if shift:
        around = dict.fromkeys(places_of(network), seeing(shift, behind=False))
    if gate:
        around = dict.fromkeys(places_of(network), seeing(gate, behind=network.name in GATED))
    if motion:
        stem = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
        around[stem.name] = with_motion
    x = over_clips(network, clip, mask, around)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    return UnfoldTime(name="features")([x, clip])


def consensus(
    features: Tensor, num_classes: int, dropout: float, mask: Tensor | None, activation: str | None
) -> Tensor:
    """Logits of every frame, their mean over the clip, and then the activation."""
    x = keras.layers.Dropout(dropout, name="dropout")(features)
    x = _parts.classifier(num_classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.001))(x)
    x = _parts.average(x, mask)
    return keras.layers.Activation(activation or "linear", name="answer", dtype="float32")(x)


def load_weights(model: keras.Model, weights: PathLike | None) -> keras.Model:
    """As `_parts.load_weights`; `"imagenet"` is in the network already."""
    return _parts.load_weights(model, None if weights == "imagenet" else weights)
