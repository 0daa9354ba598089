"""What the three attentions over locations share: the location logits."""

from typing import Any

import keras
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError


class LocationAttention(keras.layers.Layer):
    """Base of `SoftAttention`, `GumbelHardAttention` and `ReinforceAttention`: the location logits.

    By default the logits are a map of the query alone, `a = h W` with `W` of shape `(Q, N)` (HM-AN,
    eq. 12). `content=True` is the form that Sharma et al. released, where every location's features
    take part: `a_n = u . tanh(x_n V + b + h W)`.

    A subclass turns logits into scores in `_scores(logits, query, noise)`.
    """

    def __init__(self, content: bool = False, content_units: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if content_units is not None and not content:
            raise UserError(
                f"`content_units` needs `content=True`. "
                f"Received: content={content}, content_units={content_units}"
            )
        if content_units is not None:
            content_units = whole("content_units", content_units)
        self.content = content
        self.content_units = content_units
        self.num_locations: Any = None  # an integer once it is built

    def build(self, features_shape: Shape, query_shape: Shape) -> None:
        if len(features_shape) != 3 or features_shape[1] is None:
            raise UserError(
                f"`features` must be (batch, locations, channels) with the number of locations known. "
                f"Received: shape={tuple(features_shape)}"
            )
        _, self.num_locations, channels = features_shape
        query_size = query_shape[-1]
        if self.content:
            units = self.content_units or channels
            self.content_kernel = self.add_weight(name="content_kernel", shape=(channels, units))
            self.content_bias = self.add_weight(name="content_bias", shape=(units,), initializer="zeros")
            self.kernel = self.add_weight(name="kernel", shape=(query_size, units))
            self.score_kernel = self.add_weight(name="score_kernel", shape=(units, 1))
        else:
            self.kernel = self.add_weight(name="kernel", shape=(query_size, self.num_locations))

    @property
    def trace_sizes(self) -> dict[str, int]:
        """What `attend` puts into a trace in addition to the scores, and how wide."""
        return {}

    @property
    def noise_size(self) -> int:
        """How many columns of noise `call` takes: none for a deterministic attention."""
        return 0

    def _logits(self, features: Tensor, query: Tensor) -> Tensor:
        logits = ops.matmul(query, self.kernel)
        if self.content:
            hidden = ops.matmul(features, self.content_kernel) + self.content_bias
            hidden = ops.tanh(hidden + ops.expand_dims(logits, 1))  # (B, N, units)
            logits = ops.squeeze(ops.matmul(hidden, self.score_kernel), -1)
        return ops.cast(logits, "float32")  # (B, N)

    def call(
        self,
        features: Tensor,
        query: Tensor,
        noise: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        context, scores, _ = self.attend(features, query, noise)
        return (context, scores) if return_attention_scores else context

    def attend(
        self, features: Tensor, query: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the context `(B, D)`, the scores `(B, N)` and a dict of what else a trace shows."""
        scores, trace = self._scores(self._logits(features, query), query, noise)
        scores = ops.cast(scores, features.dtype)
        context = ops.squeeze(ops.matmul(ops.expand_dims(scores, 1), features), 1)  # (B, D)
        return context, scores, trace

    def compute_output_shape(self, features_shape: Shape, query_shape: Shape) -> Shape:
        return (features_shape[0], features_shape[2])

    def compute_output_spec(
        self,
        features: Tensor,
        query: Tensor,
        noise: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> keras.KerasTensor | tuple[keras.KerasTensor, keras.KerasTensor]:
        shape = self.compute_output_shape(features.shape, query.shape)
        context = keras.KerasTensor(shape, dtype=self.compute_dtype)
        scores = keras.KerasTensor(features.shape[:2], dtype=self.compute_dtype)
        return (context, scores) if return_attention_scores else context

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "content": self.content, "content_units": self.content_units}
