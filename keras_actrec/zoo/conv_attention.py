"""Conv-Attention: a convolutional LSTM with soft attention over the locations of its maps."""

import keras

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.layers import AttentiveRNN, Conv2D, ConvAttentionCell, _initializers
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register


@register(
    "conv_attention",
    input="features",
    per_step=True,
    masked=True,
    trace=("attention",),
    consensus="probabilities",
    paper="Yan et al., arXiv 1705.03146",
)
def conv_attention(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str | keras.Model | None = None,
    filters: int = 512,
    dropout: float = 0.7,
    masked: bool = False,
    return_sequences: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build Conv-Attention, HM-AN's convolutional comparison.

    Feature maps -> `ConvAttentionCell` -> fully connected 1024, tanh -> classes, at every step. The first
    states are `tanh` of a 3 x 3 convolution each of the clip's mean feature map. The answer is the mean of
    the steps' probabilities.

    Args:
        num_classes: number of classes.
        input_shape: `(T, K, K, D)` features, default (None, 7, 7, 2048); with a backbone
            `(T, H, W, 3)`, default (None, 224, 224, 3). T may be None.
        backbone: name of a backbone, or a model of frames, to take clips; frozen.
        filters: channels of the states.
        dropout: rate behind the fully connected layer.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        return_sequences: whether to return every step's answer `(B, T, C)`, which training uses.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file.

    Returns:
        An uncompiled `keras.Model`; the layer `temporal` shows the attention.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Yan et al., arXiv 1705.03146; sizes and head are those of the code of Li et al., arXiv
    1607.01794, which it follows. Where we differ: the mean leaves padding out.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, features, mask = _parts.inputs_of(input_shape, backbone, masked)
    x = attended(features, mask, filters)
    x = answer(x, mask, num_classes, dropout, return_sequences, classifier_activation)
    return _parts.load_weights(keras.Model(inputs, x, name="conv_attention"), weights)


def attended(features: Tensor, mask: Tensor | None, filters: int) -> Tensor:
    """The first layer: maps `(B, T, K, K, D)` -> `(B, T, K * K * filters)`."""
    height, width, channels = _parts.check_maps(features)
    cell = ConvAttentionCell(filters, (height, width), name="cell")
    x = keras.layers.Reshape((-1, height * width * channels), name="flat_features")(features)
    x = _parts.average(x, mask, name="mean_features")
    mean = keras.layers.Reshape((height, width, channels), name="mean_map")(x)
    initial = [_first_state(mean, filters, name) for name in ("initial_h", "initial_c")]
    temporal = AttentiveRNN(cell, return_sequences=True, return_trace=True, name="temporal")
    return temporal(features, initial_state=initial, mask=mask)["output"]


def _first_state(mean: Tensor, filters: int, name: str) -> Tensor:
    x = Conv2D(
        filters,
        3,
        padding="same",
        activation="tanh",
        kernel_initializer=_initializers.glorot_uniform(),
        name=name,
    )(mean)
    return keras.layers.Flatten(name=f"{name}_flat")(x)


def answer(
    x: Tensor,
    mask: Tensor | None,
    num_classes: int,
    dropout: float,
    return_sequences: bool,
    classifier_activation: str | None,
) -> Tensor:
    """The head: `(B, T, units)` -> classes at every step, and their mean."""
    x = keras.layers.Dense(
        1024, activation="tanh", kernel_initializer=_initializers.glorot_uniform(), name="hidden"
    )(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = _parts.classifier(num_classes, classifier_activation)(x)
    return x if return_sequences else _parts.average(x, mask)
