"""What the three attentions over locations share: the location logits."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

from keras_actrec import _backend
from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError


class Look(NamedTuple):
    """What an attention does at every step, and what can be done for all steps before the first.

    `run(prepared, query, noise=None)` gives the context `(B, D)`, the scores `(B, N)` and a dict of what
    else a trace shows. `prepare(features)` makes `prepared` of one step `(B, N, D)` or of all `(T, B, N, D)`.
    """

    run: Callable[..., tuple[Tensor, Tensor, dict[str, Tensor]]]
    prepare: Callable[[Tensor], tuple[Tensor, ...]]


# Of logits `(B, N)`, query and noise: the scores, and a dict of what else a trace shows.
ScoresOf: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, dict[str, Tensor]]]


class LocationAttention(keras.layers.Layer):
    """Base of `SoftAttention`, `GumbelHardAttention` and `ReinforceAttention`: the location logits.

    By default the logits are a map of the query alone, `a = h W` with `W` of shape `(Q, N)` (HM-AN,
    eq. 12). `content=True` is the form that Sharma et al. released, where every location's features
    take part: `a_n = u . tanh(x_n V + b + h W)`.

    A subclass gives the function that turns logits into scores, `scores_of(logits, query, noise)`, in
    `_make_scores()`.
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

    def _make_scores(self) -> ScoresOf:
        raise NotImplementedError

    @property
    def trace_sizes(self) -> dict[str, int]:
        """What `attend` puts into a trace in addition to the scores, and how wide."""
        return {}

    @property
    def noise_size(self) -> int:
        """How many columns of noise `call` takes: none for a deterministic attention."""
        return 0

    def make_look(self) -> Look:
        """The function of one look, made once before a loop."""
        of_query = _backend.Linear(self.kernel)
        scores_of = self._make_scores()
        if self.content:
            of_features = _backend.Linear(self.content_kernel, bias=self.content_bias)
            of_hidden = _backend.Linear(self.score_kernel)

        def prepare(features: Tensor) -> tuple[Tensor, ...]:
            return (features, of_features(features)) if self.content else (features,)

        def run(
            prepared: tuple[Tensor, ...], query: Tensor, noise: Tensor | None = None
        ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            logits, features = of_query(query), prepared[0]
            if self.content:
                hidden = ops.tanh(prepared[1] + ops.expand_dims(logits, 1))  # (B, N, units)
                logits = ops.squeeze(of_hidden(hidden), -1)
            scores, trace = scores_of(ops.cast(logits, "float32"), query, noise)  # (B, N)
            scores = ops.cast(scores, features.dtype)
            context = ops.squeeze(ops.matmul(ops.expand_dims(scores, 1), features), 1)  # (B, D)
            return context, scores, trace

        return Look(run, prepare)

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
        look = self.make_look()
        return look.run(look.prepare(features), query, noise)

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
