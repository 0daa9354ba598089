"""REINFORCE for hard attention: the policy's loss and its moving baseline."""

from typing import Any

import keras
from keras import ops

from keras_actrec._types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class PolicyGradient(keras.layers.Layer):
    """Pass per-step probabilities on, and hold what the policy's loss needs (HM-AN, eq. 17-19).

    Args:
        reinforce_weight: lambda, the loss' weight.

    Call arguments:
        probabilities: `(B, T, C)`.
        log_prob: `(B, T, 1)`, of the locations that were looked at; 0 where masked.
        mask: bool `(B, T)` or None.

    Weights: `baseline ()`, not trained: `b <- .9 b + .1 mean log p(y)`, once a batch.
    """

    def __init__(self, reinforce_weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reinforce_weight = reinforce_weight
        self.supports_masking = True
        self._batch = _Batch()

    def build(
        self, probabilities_shape: Shape, log_prob_shape: Shape | None = None, mask_shape: Shape | None = None
    ) -> None:
        self.baseline = self.add_weight(
            name="baseline", shape=(), initializer="zeros", trainable=False, dtype="float32", autocast=False
        )

    def call(self, probabilities: Tensor, log_prob: Tensor, mask: Tensor | None = None) -> Tensor:
        self._batch.latest = (probabilities, log_prob, mask)
        return probabilities

    def compute_output_shape(
        self, probabilities_shape: Shape, log_prob_shape: Shape | None = None, mask_shape: Shape | None = None
    ) -> Shape:
        return probabilities_shape

    def loss(self, y: Tensor) -> Tensor:
        """The policy's loss for class ids `y`, `(B,)` or `(B, T)`, and one step of the baseline.

        `-lambda mean_b (log p(y_b) - b) sum_t log_prob_bt`, where `log p(y_b)` is the mean over the steps and
        has no gradient here.
        """
        probabilities, log_prob, mask = self._batch.take()
        probabilities = ops.cast(probabilities, "float32")
        if len(y.shape) == 1:
            y = ops.expand_dims(y, -1)
        classes = ops.one_hot(ops.cast(y, "int32"), probabilities.shape[-1], dtype="float32")
        true = ops.sum(probabilities * classes, axis=-1)  # (B, T)
        log_true = ops.log(ops.maximum(true, 1e-7))
        if mask is None:
            reward = ops.mean(log_true, axis=1)
        else:
            steps = ops.cast(mask, "float32")
            reward = ops.sum(log_true * steps, axis=1) / ops.sum(steps, axis=1)
        reward = ops.stop_gradient(reward)  # (B,)
        policy = ops.sum(ops.cast(log_prob, "float32"), axis=(1, 2))  # (B,)
        loss = -self.reinforce_weight * ops.mean((reward - self.baseline) * policy)
        self.baseline.assign(0.9 * self.baseline + 0.1 * ops.mean(reward))
        return loss

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reinforce_weight": self.reinforce_weight}


class _Batch:
    """What one forward pass leaves for the loss; a plain object, as Keras tracks tensors on layers."""

    latest: Any = None

    def take(self) -> Any:
        latest, self.latest = self.latest, None
        return latest


class _Measured:
    """The mean of the policy's loss over an epoch; a plain object, as Keras saves metrics with a model."""

    def __init__(self) -> None:
        self.metric = keras.metrics.Mean(name="policy_loss")


@keras.saving.register_keras_serializable("keras_actrec")
class ReinforceModel(keras.Model):
    """A functional model with one `PolicyGradient` layer, whose loss is trained on too.

    `loss` is the compiled one, as of any other model, with the gradient of both; the policy's part, which is
    no error and may be of any sign and size, is the metric `policy_loss`, 0 at test.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        self._measured = _Measured()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Those of every model, and `policy_loss`."""
        return [*super().metrics, self._measured.metric]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training:
            policy = self.get_layer("policy").loss(y)
            self._measured.metric.update_state(ops.stop_gradient(policy), sample_weight=ops.shape(y)[0])
            loss = loss + (policy - ops.stop_gradient(policy))  # the gradient of both, the value of one
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`; the names that it returns are those of what a test has."""
        found = super().evaluate(*args, **kwargs)
        if isinstance(found, dict):
            found.pop(self._measured.metric.name)
        return found
