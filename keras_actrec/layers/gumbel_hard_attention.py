"""Hard attention with the Gumbel-softmax."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_actrec import _backend
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers._location_attention import LocationAttention, ScoresOf
from keras_actrec.layers._noise import add_temperature, gumbel, straight_through


@keras.saving.register_keras_serializable("keras_actrec")
class GumbelHardAttention(LocationAttention):
    """Look at one location, chosen with the straight-through Gumbel-softmax (HM-AN, eq. 20-21).

    With logits `a` and noise `g ~ Gumbel(0, 1)`: `y = softmax((a + g) / tau)`. The scores are
    `one_hot(argmax y)` going forward and have the gradient of `y` going back. The adaptive temperature
    is `tau = 1 / (softplus(h w + b) + 1)`, one a clip and step, in (0, 1).

    Args:
        temperature: `"adaptive"`, or a positive number. A number is kept in the non-trainable weight
            `temperature`, so it can be changed between epochs without compiling again.
        content: as in `SoftAttention`.
        content_units: as in `SoftAttention`.

    Call arguments:
        features: `(B, N, D)`.
        query: `(B, Q)`, the first layer's hidden state of the step before.
        noise: Gumbel samples `(B, N)`, or None for none: then the location with the largest logit is
            taken, as at test.
        return_attention_scores: whether to return the scores `(B, N)` too, exactly 0 or 1.

    Returns:
        The context `(B, D)`.

    Raises:
        UserError: where N is unknown or the temperature is not positive.

    Weights: those of `SoftAttention`; adaptive: `temperature_kernel (Q, 1)`, `temperature_bias (1)`.

    Where we differ from the paper: it prints `log(W h + g) / tau`; `W h` are logits already and the sum
    may be negative, so this is `(W h + g) / tau`. It takes the temperature from `h_t`, which does not
    exist before the attention; this takes `h_{t-1}`.
    """

    def __init__(
        self,
        temperature: float | str = "adaptive",
        content: bool = False,
        content_units: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(content=content, content_units=content_units, **kwargs)
        if temperature != "adaptive" and (isinstance(temperature, str) or not temperature > 0):
            raise UserError(
                f'`temperature` must be "adaptive" or positive. Received: temperature={temperature!r}'
            )
        self.temperature = temperature

    def build(self, features_shape: Shape, query_shape: Shape) -> None:
        super().build(features_shape, query_shape)
        if self.temperature == "adaptive":
            self.temperature_kernel = self.add_weight(name="temperature_kernel", shape=(query_shape[-1], 1))
            self.temperature_bias = self.add_weight(name="temperature_bias", shape=(1,), initializer="zeros")
        else:
            self.constant_temperature = add_temperature(self, float(self.temperature))

    @property
    def trace_sizes(self) -> dict[str, int]:
        """What `attend` puts into a trace in addition to the scores, and how wide."""
        return {"temperature": 1}

    @property
    def noise_size(self) -> int:
        """How many columns of noise `call` takes: one for each location."""
        return self.num_locations

    def draw_noise(self, shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
        """Gumbel samples of shape `(*shape, N)`."""
        return gumbel((*shape, self.noise_size), seed)

    def temperature_of(self, query: Tensor) -> Tensor:
        """The temperature `(B, 1)` for `query (B, Q)`, float32."""
        return self._make_temperature()(query)

    def _make_temperature(self) -> Callable[[Tensor], Tensor]:
        if self.temperature == "adaptive":
            level = _backend.Linear(self.temperature_kernel, bias=self.temperature_bias)
            return lambda query: 1.0 / (ops.softplus(ops.cast(level(query), "float32")) + 1.0)
        constant = ops.convert_to_tensor(self.constant_temperature)
        return lambda query: constant * ops.ones_like(query[:, :1], dtype="float32")

    def _make_scores(self) -> ScoresOf:
        temperature_of = self._make_temperature()

        def scores_of(
            logits: Tensor, query: Tensor, noise: Tensor | None
        ) -> tuple[Tensor, dict[str, Tensor]]:
            temperature = temperature_of(query)
            if noise is not None:
                logits = logits + ops.cast(noise, "float32")
            soft = ops.softmax(logits / temperature, axis=-1)
            # From the logits: dividing by the temperature can make two of them equal.
            hard = ops.one_hot(_backend.argmax(logits), self.num_locations, dtype="float32")
            return straight_through(hard, soft), {"temperature": temperature}

        return scores_of

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
