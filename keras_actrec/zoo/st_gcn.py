"""ST-GCN: graph convolutions over a skeleton and over time."""

import keras

from keras_actrec._numbers import whole
from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.bodies import body
from keras_actrec.errors import UserError
from keras_actrec.layers import FrameWise, GraphConvolution, StepConvolution, StepNormalization
from keras_actrec.zoo import _parts
from keras_actrec.zoo._registry import register

_WIDTHS = (1, 1, 2, 2)  # of the blocks, times `filters`


@register("st_gcn", input="sequence", masked=True, consensus="logits", paper="Yan et al., arXiv 1801.07455")
def st_gcn(
    num_classes: int,
    *,
    input_shape: Shape | None = None,
    layout: str = "ntu25",
    bodies: int = 2,
    filters: int = 32,
    dropout: float = 0.5,
    masked: bool = False,
    classifier_activation: str | None = "softmax",
    weights: PathLike | None = None,
) -> keras.Model:
    """Build a small ST-GCN, the yardstick for networks on skeletons.

    Skeletons -> batch normalization -> four blocks, each a graph convolution over the joints and a
    convolution over nine steps, with a shortcut around both -> mean over joints -> classes at every step. The
    answer is the softmax of the mean of the steps' logits.

    Args:
        num_classes: number of classes.
        input_shape: `(T, D)`, D = bodies x joints x channels, default (None, 150). T may be None.
        layout: name of the `data.body` whose joints these are.
        bodies: number of persons; they share no edge.
        filters: channels of the first two blocks; the others have twice as many.
        dropout: rate inside the blocks, behind the convolution over time, and before the classifier.
        masked: whether the model has a second input `mask (B, T)`, False at padding.
        classifier_activation: `"softmax"`, or None for logits.
        weights: path of a `.weights.h5` or `.keras` file.

    Returns:
        An uncompiled `keras.Model`. The blocks end with `block_1` to `block_4`, `(B, T, bodies x joints, F)`.

    Raises:
        UserError: for an argument that does not fit, or steps that are not of so many bodies and joints.

    Reference: Yan et al., AAAI 2018, arXiv 1801.07455. Where we differ: see the card.
    """
    num_classes = _parts.check_num_classes(num_classes)
    skeleton, bodies, filters = body(layout), whole("bodies", bodies), whole("filters", filters)
    if not 0 <= dropout < 1:
        raise UserError(f"`dropout` must be at least 0 and below 1. Received: dropout={dropout}")
    inputs, features, mask = _parts.inputs_of(input_shape, None, masked, features_shape=(None, 150))
    count = len(skeleton.joints)
    joints = bodies * count
    if len(features.shape) != 3 or features.shape[-1] % joints:
        raise UserError(
            f"{layout} has {count} joints, so that steps (T, D) of {bodies} bodies have a multiple of "
            f"{joints} channels. Received: shape {tuple(features.shape[1:])}"
        )
    bones = [(start + n * count, end + n * count) for n in range(bodies) for start, end in skeleton.lines]
    x = StepNormalization(momentum=0.9, name="normalization")(features, mask=mask)
    x = keras.layers.Reshape((-1, joints, x.shape[-1] // joints), name="joints")(x)  # (B, T, V, C)
    for number, width in enumerate(_WIDTHS, 1):
        x = _block(x, mask, f"block_{number}", width * filters, bones, dropout)
    x = FrameWise(keras.layers.GlobalAveragePooling1D(), name="pooled")(x)  # (B, T, F)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = _parts.average(_parts.classifier(num_classes)(x), mask)
    x = keras.layers.Activation(classifier_activation, dtype="float32", name="answer")(x)
    return _parts.load_weights(keras.Model(inputs, x, name="st_gcn"), weights)


def _block(
    x: Tensor, mask: Tensor | None, name: str, filters: int, bones: list[tuple[int, int]], dropout: float
) -> Tensor:
    """Over joints, then over time, with a shortcut that is as wide."""
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = keras.layers.Dense(filters, name=f"{name}_shortcut")(x)
    x = GraphConvolution(filters, bones, name=f"{name}_graph")(x)
    x = StepNormalization(momentum=0.9, name=f"{name}_graph_normalization")(x, mask=mask)
    x = keras.layers.ReLU(name=f"{name}_graph_relu")(x)
    x = StepConvolution(filters, use_bias=False, name=f"{name}_time")(x, mask=mask)
    x = StepNormalization(momentum=0.9, name=f"{name}_time_normalization")(x, mask=mask)
    x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = keras.layers.Add(name=f"{name}_sum")([x, shortcut])
    return keras.layers.ReLU(name=name)(x)
