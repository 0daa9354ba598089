"""SA-GSM: gate-shift networks with self-attention."""

from collections.abc import Sequence

import keras

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.layers import GateShift, SelfAttention2D
from keras_actrec.zoo import _parts, _segments
from keras_actrec.zoo._registry import register


@register(
    "sa_gsm",
    input="clip",
    masked=True,
    trace=("shifts", "self_attention"),
    consensus="logits",
    paper="Cappuccio and Paliotta, SA-GSM",
)
def sa_gsm(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str = "bn_inception",
    shuffle: bool | None = None,
    attention_layers: Sequence[int] | None = None,
    attention: str = "frame",
    second_map: bool = False,
    positions: bool = False,
    motion: bool = False,
    width: float = 1.0,
    dropout: float = 0.5,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build SA-GSM: `gsm` with self-attention over each frame's locations behind every gate-shift module.

    Args:
        num_classes: number of classes.
        input_shape: `(T, H, W, 3)`, default (8, 224, 224, 3), with `"inception_v3"` (8, 229, 229, 3). T, H
            and W may be None.
        backbone: name of a network of frames: `"bn_inception"`, `"inception_v3"`, `"efficientnet_lite0"`,
            `"resnet50_v1_5"`, or of `keras.applications` a ResNet, MobileNetV2 or V3, or EfficientNetV2, such
            as `"resnet50"` and `"mobilenet_v3_small"`; whole or, as `"name:layer"`, up to that layer.
        shuffle: whether the modules end with the channel shuffle of the released code. Without it a new
            module leaves a pretrained network as it is. By default in the Inception networks, whose released
            weights need it, and in no others.
        attention_layers: list of the numbers of the modules, from 1 at the input on, that have
            self-attention behind them; None for all.
        attention: what a location attends to: `"frame"`, `"time"` or `"clip"`, see `SelfAttention2D`.
        second_map: whether what was attended to goes through another map, which eq. 3 has and the code has
            not.
        positions: whether queries and keys know where they are.
        motion: whether the network also sees what changed since the frame before: the difference of the
            scaled frames, 0 at the first one, goes through a convolution like the network's first, and both
            outputs are added. Its kernel starts at zero, so a new model answers as without it.
        width: multiplies the number of channels of every layer, for small models; 1 with networks of
            `keras.applications`.
        dropout: rate before the classifier.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        classifier_activation: `"softmax"`, applied to the mean of the logits, or None.
        weights: path of a `.weights.h5` or `.keras` file, or of an official torch checkpoint; or
            `"imagenet"`, for the backbone: those of `"efficientnet_lite0"` come with the extra `pretrained`,
            Keras downloads those of others.

    Returns:
        An uncompiled `keras.Model`. The layer `features` gives each frame's feature `(B, T, D)`, the layers
        `..._gsm` and `..._attention` the feature maps `(B, T, H, W, C)` behind them.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Cappuccio and Paliotta, "SA-GSM". Where we differ: gamma, the share of the attention, is
    trained; the released code leaves it out of the optimizer, so that its attention stays switched off. The
    paper has Inception networks alone; for others see `gsm`.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, clip, mask = _segments.inputs_of(input_shape, backbone, masked)
    network = _segments.network_of(backbone, clip, width, weights)
    shuffle = network.name in _segments.GATED if shuffle is None else shuffle

    gated = _segments.places_of(network)
    numbers = _parts.checked_layers(attention_layers, len(gated))

    def gate(conv: str, x: Tensor) -> Tensor:
        x = GateShift(shuffle=shuffle, name=f"{conv}_gsm")(x, mask=mask)
        if gated.index(conv) + 1 not in numbers:
            return x
        layer = SelfAttention2D(
            over=attention, second_map=second_map, positions=positions, name=f"{conv}_attention"
        )
        return layer(x, mask=mask)

    features = _segments.features_of(network, clip, mask, motion=motion, gate=gate)
    x = _segments.consensus(features, num_classes, dropout, mask, classifier_activation)
    return _segments.load_weights(keras.Model(inputs, x, name="sa_gsm"), weights)
