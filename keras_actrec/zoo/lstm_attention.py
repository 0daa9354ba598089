"""The attention LSTM, HM-AN's baseline."""

import keras

from keras_actrec._types import PathLike, Shape
from keras_actrec.errors import UserError
from keras_actrec.layers import AttentionCell, AttentiveRNN, SoftAttention
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register


@register(
    "lstm_attention",
    input="features",
    per_step=True,
    masked=True,
    trace=("attention",),
    consensus="probabilities",
    paper="Sharma et al., arXiv 1511.04119",
)
def lstm_attention(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    backbone: str | keras.Model | None = None,
    content: bool = False,
    pooled: bool = False,
    motion: bool = False,
    units: int = 512,
    num_layers: int = 1,
    dropout: float = 0.5,
    masked: bool = False,
    return_sequences: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build the soft attention LSTM of Sharma et al.

    Feature maps -> soft attention, guided by the first layer's h -> `num_layers` LSTM layers -> fully
    connected `units`, tanh -> classes, at every step. The first layer starts from
    `h_0 = tanh(W_h m)`, `c_0 = tanh(W_c m)` with m the mean of all features of the clip.

    Args:
        num_classes: number of classes.
        input_shape: `(T, K, K, D)` features, default (None, 7, 7, 2048); with a backbone
            `(T, H, W, 3)`, default (None, 224, 224, 3). T may be None.
        backbone: name of a backbone, or a model of frames, to take clips; frozen.
        content: whether the features take part in the attention's logits, as in the released code.
        pooled: whether the mean over all locations takes the place of the attention, which is the average
            pooled LSTM that they compare with.
        motion: as in `hman`.
        units: width of the LSTM layers and of the fully connected one.
        num_layers: LSTM layers, 1 or 3 in the papers.
        dropout: rate before and after the fully connected layer.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        return_sequences: whether to return every step's answer `(B, T, C)`, which training uses.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file.

    Returns:
        An uncompiled `keras.Model`; the layer `temporal` shows the attention.

    Raises:
        UserError: for an argument that does not fit.

    Reference: Sharma et al., arXiv 1511.04119, eq. 1-6. Where we differ from the released code: dropout
    is scaled in training; the mean leaves padding out; upper layers start from zero.
    """
    num_classes = _parts.check_num_classes(num_classes)
    if pooled and content:
        raise UserError("`content` is about the attention, whose place `pooled=True` takes: leave one out")
    inputs, features, mask = _parts.inputs_of(input_shape, backbone, masked)
    if motion:
        features = _parts.motion_of(features, mask)
    means = _parts.pooled(features)  # (B, T, D)
    mean = _parts.average(means, mask, name="mean_features")  # (B, D)
    initial = [keras.layers.Dense(units, activation="tanh", name=f"initial_{state}")(mean) for state in "hc"]
    cell = keras.layers.LSTMCell(units)
    if not pooled:
        cell = AttentionCell(SoftAttention(content=content, name="attention"), cell, name="cell")
    x = means if pooled else _parts.locations(features)
    temporal = AttentiveRNN(cell, return_sequences=True, return_trace=True, name="temporal")
    x = temporal(x, initial_state=initial, mask=mask)["output"]
    for number in range(2, num_layers + 1):
        upper = AttentiveRNN(keras.layers.LSTMCell(units), return_sequences=True, name=f"temporal_{number}")
        x = upper(x, mask=mask)

    x = keras.layers.Dropout(dropout, name="dropout_1")(x)
    x = keras.layers.Dense(units, activation="tanh", name="hidden")(x)
    x = keras.layers.Dropout(dropout, name="dropout_2")(x)
    x = _parts.classifier(num_classes, classifier_activation)(x)
    if not return_sequences:
        x = _parts.average(x, mask)
    return _parts.load_weights(keras.Model(inputs, x, name="lstm_attention"), weights)
