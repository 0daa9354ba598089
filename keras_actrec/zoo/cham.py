"""CHAM: Conv-Attention with a second, slower layer."""

import keras

from keras_actrec._types import PathLike, Shape
from keras_actrec.layers import ConvLSTMCell, SlowRNN
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register
from keras_actrec.zoo.conv_attention import answer, attended


@register(
    "cham",
    input="features",
    per_step=True,
    masked=True,
    trace=("attention",),
    consensus="probabilities",
    paper="Yan et al., arXiv 1705.03146",
)
def cham(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str | keras.Model | None = None,
    filters: int = 512,
    step_every: int = 2,
    dropout: float = 0.7,
    masked: bool = False,
    return_sequences: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build CHAM: Conv-Attention under a second convolutional LSTM that runs at a coarser time scale.

    Feature maps -> `ConvAttentionCell` -> `ConvLSTMCell`, which steps at the first frame and then at every
    `step_every`-th and keeps its state and output in between -> fully connected 1024, tanh -> classes, at
    every step. The answer is the mean of the steps' probabilities.

    Args:
        num_classes: number of classes.
        input_shape: `(T, K, K, D)` features, default (None, 7, 7, 2048); with a backbone
            `(T, H, W, 3)`, default (None, 224, 224, 3). T may be None.
        backbone: name of a backbone, or a model of frames, to take clips; frozen.
        filters: channels of the states of both layers.
        step_every: frames from one step of the second layer to its next.
        dropout: rate behind the fully connected layer.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        return_sequences: whether to return every step's answer `(B, T, C)`, which training uses.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file.

    Returns:
        An uncompiled `keras.Model`; the layer `temporal` shows the attention, `temporal_2` is the second one.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Yan et al., arXiv 1705.03146. Where we differ: see `conv_attention`; no code was published, and
    `step_every=2` and zeros as the second layer's first state are our choice.
    """
    num_classes = _parts.check_num_classes(num_classes)
    inputs, features, mask = _parts.inputs_of(input_shape, backbone, masked)
    x = attended(features, mask, filters)
    cell = ConvLSTMCell(filters, features.shape[2:4], name="cell_2")
    x = SlowRNN(cell, step_every, return_sequences=True, name="temporal_2")(x, mask=mask)
    x = answer(x, mask, num_classes, dropout, return_sequences, classifier_activation)
    return _parts.load_weights(keras.Model(inputs, x, name="cham"), weights)
