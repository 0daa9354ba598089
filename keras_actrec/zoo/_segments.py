"""What tsn, tsm, trn, gsm and sa_gsm share: one network over all frames of a clip, and the consensus."""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import keras

from keras_actrec._suggest import did_you_mean
from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones._weights import imagenet_file
from keras_actrec.backbones.bn_inception import GATED as BN_INCEPTION_GATED
from keras_actrec.backbones.bn_inception import graph as bn_inception
from keras_actrec.backbones.inception_v3 import GATED as INCEPTION_V3_GATED
from keras_actrec.backbones.inception_v3 import graph as inception_v3
from keras_actrec.backbones.resnet50 import BLOCKS
from keras_actrec.backbones.resnet50 import graph as resnet50
from keras_actrec.checkpoints import load_torch
from keras_actrec.errors import UserError
from keras_actrec.layers import FoldTime, UnfoldTime
from keras_actrec.zoo import _parts

# A function of the name of a convolution and of clips `(B, T, H, W, C)` in front of it or behind it.
OverTime: TypeAlias = Callable[[str, Tensor], Tensor]


class Network(NamedTuple):
    """A network over frames.

    Attributes:
        graph: the function that builds it.
        side: of its frames, in pixels.
        shifted: the convolutions whose input TSM shifts.
        gated: the convolutions whose output GSM gates.
    """

    graph: Callable[..., Tensor]
    side: int
    shifted: tuple[str, ...]
    gated: tuple[str, ...]


NETWORKS = {
    "bn_inception": Network(bn_inception, 224, BN_INCEPTION_GATED, BN_INCEPTION_GATED),
    "inception_v3": Network(inception_v3, 229, INCEPTION_V3_GATED, INCEPTION_V3_GATED),
    "resnet50_v1_5": Network(
        functools.partial(resnet50, version="v1_5"), 224, tuple(f"{block}_1_conv" for block in BLOCKS), ()
    ),
}


def network_of(backbone: str) -> Network:
    """The network of a backbone's name, which may end in `":layer"`."""
    return NETWORKS[backbone.partition(":")[0]]


def inputs_of(
    input_shape: Shape | None, backbone: str, masked: bool, gated: bool = False
) -> tuple[_parts.Inputs, keras.KerasTensor, keras.KerasTensor | None]:
    """The inputs, the clip `(B, T, H, W, 3)` and the mask `(B, T)` or None; checks the backbone's name."""
    known = [name for name, network in NETWORKS.items() if network.gated or not gated]
    if str(backbone).partition(":")[0] not in known:
        raise UserError(f"`backbone` must be one of {', '.join(known)}. Received: backbone={backbone!r}")
    side = network_of(backbone).side
    clip = _parts.clip_of(input_shape or (8, side, side, 3))
    inputs, mask = _parts.with_mask(clip, masked)
    return inputs, clip, mask


def features_of(
    inputs: _parts.Inputs,
    clip: keras.KerasTensor,
    backbone: str,
    width: float,
    *,
    shift: OverTime | None = None,
    gate: OverTime | None = None,
) -> Tensor:
    """The pooled feature of every frame, `(B, T, D)`.

    The frames are a batch to the network. `shift` is applied to the input, and `gate` to the output before
    its batch normalization, of the convolutions that TSM and GSM have chosen in this network.
    """
    name, _, layer = backbone.partition(":")
    network = network_of(backbone)

    def over_time(function: OverTime, conv: str) -> Callable[[Tensor], Tensor]:
        def apply(x: Tensor) -> Tensor:
            x = UnfoldTime(name=f"{conv}_clips")([x, clip])
            return FoldTime(name=f"{conv}_frames")(function(conv, x))

        return apply

    x = network.graph(
        FoldTime(name="frames")(clip),
        width=width,
        before={conv: over_time(shift, conv) for conv in network.shifted} if shift else {},
        after={conv: over_time(gate, conv) for conv in network.gated} if gate else {},
    )
    if layer:
        x = _output_of(keras.Model(inputs, x, name=name), layer)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    return UnfoldTime(name="features")([x, clip])


def _output_of(network: keras.Model, layer: str) -> keras.KerasTensor:
    layers = {each.name: each.output for each in network.layers}
    if layer not in layers or len(layers[layer].shape) != 4:
        hint = did_you_mean(layer, layers, otherwise="name a layer whose output is (B, H, W, C)")
        raise UserError(f"{network.name} has no feature map {layer!r}: {hint}")
    return layers[layer]


def consensus(
    features: Tensor, num_classes: int, dropout: float, mask: Tensor | None, activation: str | None
) -> Tensor:
    """Logits of every frame, their mean over the clip, and then the activation."""
    x = keras.layers.Dropout(dropout, name="dropout")(features)
    x = _parts.classifier(num_classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.001))(x)
    x = _parts.average(x, mask)
    return keras.layers.Activation(activation or "linear", name="answer", dtype="float32")(x)


def load_weights(model: keras.Model, backbone: str, weights: PathLike | None) -> keras.Model:
    """As `_parts.load_weights`, and `"imagenet"`, which leaves all but the backbone's layers as they are."""
    if weights != "imagenet":
        return _parts.load_weights(model, weights)
    load_torch(model, imagenet_file(backbone.partition(":")[0]))
    return model
