"""What tsn, tsm, trn, gsm and sa_gsm share: one network over all frames of a clip, and the consensus."""

import functools

import keras

from keras_actrec._suggest import did_you_mean
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

# Name -> graph, side of its frames, convolutions whose input TSM shifts, convolutions whose output GSM gates.
NETWORKS = {
    "bn_inception": (bn_inception, 224, BN_INCEPTION_GATED, BN_INCEPTION_GATED),
    "inception_v3": (inception_v3, 229, INCEPTION_V3_GATED, INCEPTION_V3_GATED),
    "resnet50_v1_5": (
        functools.partial(resnet50, version="v1_5"),
        224,
        tuple(f"{block}_1_conv" for block in BLOCKS),
        (),
    ),
}


def inputs_of(input_shape, backbone, masked, gated=False):
    """The inputs, the clip `(B, T, H, W, 3)` and the mask `(B, T)` or None; checks the backbone's name."""
    name = str(backbone).partition(":")[0]
    known = [each for each, (*_, places) in NETWORKS.items() if places or not gated]
    if name not in known:
        raise UserError(f"`backbone` must be one of {', '.join(known)}. Received: backbone={backbone!r}")
    side = NETWORKS[name][1]
    clip = _parts.clip_of(input_shape or (8, side, side, 3))
    inputs, mask = _parts.with_mask(clip, masked)
    return inputs, clip, mask


def features_of(inputs, clip, backbone, width, *, shift=None, gate=None):
    """The pooled feature of every frame, `(B, T, D)`.

    The frames are a batch to the network. `shift` and `gate` are functions `(name, x) -> x` over clips
    `(B, T, H, W, C)`; they are applied to the input or to the output, before its batch normalization, of
    the convolutions that TSM and GSM have chosen in this network.
    """
    name, _, layer = backbone.partition(":")
    graph, _, shifted, gated = NETWORKS[name]

    def over_time(function, place):
        def apply(x):
            x = UnfoldTime(name=f"{place}_clips")([x, clip])
            return FoldTime(name=f"{place}_frames")(function(place, x))

        return apply

    x = graph(
        FoldTime(name="frames")(clip),
        width=width,
        before={place: over_time(shift, place) for place in shifted if shift},
        after={place: over_time(gate, place) for place in gated if gate},
    )
    if layer:
        x = _output_of(keras.Model(inputs, x, name=name), layer)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    return UnfoldTime(name="features")([x, clip])


def _output_of(network, layer):
    layers = {each.name: each.output for each in network.layers}
    if layer not in layers or len(layers[layer].shape) != 4:
        hint = did_you_mean(layer, layers, otherwise="name a layer whose output is (B, H, W, C)")
        raise UserError(f"{network.name} has no feature map {layer!r}: {hint}")
    return layers[layer]


def consensus(features, num_classes, dropout, mask, activation):
    """Logits of every frame, their mean over the clip, and then the activation."""
    x = keras.layers.Dropout(dropout, name="dropout")(features)
    x = _parts.classifier(num_classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.001))(x)
    x = _parts.average(x, mask)
    return keras.layers.Activation(activation or "linear", name="answer", dtype="float32")(x)


def load_weights(model, backbone, weights):
    """As `_parts.load_weights`, and `"imagenet"`, which leaves all but the backbone's layers as they are."""
    if weights != "imagenet":
        return _parts.load_weights(model, weights)
    load_torch(model, imagenet_file(backbone.partition(":")[0]))
    return model
