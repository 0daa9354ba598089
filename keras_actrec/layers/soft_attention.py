"""Soft attention over locations."""

import keras
from keras import ops

from keras_actrec.layers._location_attention import LocationAttention, ScoresOf


@keras.saving.register_keras_serializable("keras_actrec")
class SoftAttention(LocationAttention):
    """Expectation over locations: `alpha = softmax(a)`, `context = sum_n alpha_n x_n` (HM-AN, eq. 12-13).

    Differentiable everywhere and free of noise; one pass over all N locations.

    Args:
        content: whether the features take part in the logits, as in the code that Sharma et al.
            released; by default the logits are a map of the query alone, as in their paper (eq. 4).
        content_units: width of that form's hidden layer; default D, as released.

    Call arguments:
        features: `(B, N, D)`.
        query: `(B, Q)`, the hidden state of the step before.
        noise: ignored; an argument so that all attentions are called alike.
        return_attention_scores: whether to return the scores `(B, N)` too.

    Returns:
        The context `(B, D)`.

    Raises:
        UserError: where N is unknown, as the kernel has a column for each location.

    Weights: `kernel (Q, N)`. With `content=True`: `content_kernel (D, U)`, `content_bias (U)`,
    `kernel (Q, U)`, `score_kernel (U, 1)`.

    Reference: Sharma et al., arXiv 1511.04119. Where we differ: the released code adds one more scalar
    to every logit; a softmax does not see it, so it is left out.
    """

    def _make_scores(self) -> ScoresOf:
        return lambda logits, query, noise: (ops.softmax(logits, axis=-1), {})
