"""A mean over time in which some steps count for more."""

from typing import Any

import keras
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.layers.attentive_rnn import check_steps


@keras.saving.register_keras_serializable("keras_actrec")
class StepAttention(keras.layers.Layer):
    """Averages what steps say, `(B, T, C)`, by weights that follow from what they are, `(B, T, D)`.

        w_t = softmax_t(tanh(k_t kernel + bias) scores)        y = sum_t w_t v_t

    The scores start at zero: a new layer gives the plain mean.

    Args:
        units: width between.
        **kwargs: as of `keras.layers.Layer`.

    Call arguments:
        values: v, `(B, T, C)`; B and T may be unknown.
        keys: k, `(B, T, D)`.
        mask: bool `(B, T)`, False where a step is padding, which has no weight. It hands no mask on.

    Weights: `kernel (D, units)`, `bias (units)`, `scores (units, 1)`.

    Reference: Yang et al., "Hierarchical Attention Networks", NAACL 2016, eq. 5 to 7. Where we differ: what
    is averaged may be another thing than what is looked at, and the scores start at zero.
    """

    def __init__(self, units: int = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = whole("units", units)
        self.supports_masking = True

    def build(self, values_shape: Shape, keys_shape: Shape) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(keys_shape[-1], self.units))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.scores = self.add_weight(name="scores", shape=(self.units, 1), initializer="zeros")

    def call(self, values: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        values = check_steps(values, mask)
        logits = ops.matmul(ops.tanh(ops.matmul(keys, self.kernel) + self.bias), self.scores)  # (B, T, 1)
        logits = ops.cast(logits, "float32")
        if mask is not None:
            logits = ops.where(ops.expand_dims(mask, -1), logits, -1e9)
        weights = ops.cast(ops.softmax(logits, axis=1), values.dtype)
        return ops.sum(weights * values, axis=1)

    def compute_mask(self, values: Any, keys: Any = None, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, values_shape: Shape, keys_shape: Shape) -> Shape:
        return (values_shape[0], values_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
