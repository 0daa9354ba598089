"""Hard attention trained with REINFORCE."""

import keras
from keras import ops

from keras_actrec import _backend
from keras_actrec._types import Shape, Tensor
from keras_actrec.layers._location_attention import LocationAttention, ScoresOf
from keras_actrec.layers._noise import gumbel


@keras.saving.register_keras_serializable("keras_actrec")
class ReinforceAttention(LocationAttention):
    """Look at one location, drawn from `softmax(a)`; the choice has no gradient (HM-AN, eq. 14-19).

    With noise `g ~ Gumbel(0, 1)` the location `l = argmax(a + g)` is a sample of `softmax(a)` (the
    Gumbel-max identity); without noise, as at test, it is the most probable one. The logits learn
    from `log_prob = log softmax(a)_l`, which `AttentiveRNN(return_trace=True)` returns, times a reward:
    see `keras_actrec.zoo.hman(attention="reinforce")`.

    Args:
        content: as in `SoftAttention`.
        content_units: as in `SoftAttention`.

    Call arguments:
        features: `(B, N, D)`.
        query: `(B, Q)`, the first layer's hidden state of the step before.
        noise: Gumbel samples `(B, N)`, or None to take the most probable location.
        return_attention_scores: whether to return the scores `(B, N)` too, exactly 0 or 1.

    Returns:
        The context `(B, D)`.

    Raises:
        UserError: where N is unknown.

    Weights: those of `SoftAttention`.

    Where we differ from the paper: its eq. 14 always takes the argmax, which leaves nothing to
    explore. Xu et al. (arXiv 1502.03044) sample in training, and so does this.
    """

    @property
    def trace_sizes(self) -> dict[str, int]:
        """What `attend` puts into a trace in addition to the scores, and how wide."""
        return {"log_prob": 1}

    @property
    def noise_size(self) -> int:
        """How many columns of noise `call` takes: one for each location."""
        return self.num_locations

    def draw_noise(self, shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
        """Gumbel samples of shape `(*shape, N)`."""
        return gumbel((*shape, self.noise_size), seed)

    def _make_scores(self) -> ScoresOf:
        def scores_of(
            logits: Tensor, query: Tensor, noise: Tensor | None
        ) -> tuple[Tensor, dict[str, Tensor]]:
            perturbed = logits if noise is None else logits + ops.cast(noise, "float32")
            choice = ops.one_hot(_backend.argmax(perturbed), self.num_locations, dtype="float32")
            log_prob = ops.sum(choice * ops.log_softmax(logits, axis=-1), axis=-1, keepdims=True)
            return choice, {"log_prob": log_prob}

        return scores_of
