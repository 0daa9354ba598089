"""Relations among the frames of a clip."""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import _initializers

_MAX_FRAMES = 16  # of which there are 12,870 subsets of eight


@keras.saving.register_keras_serializable("keras_actrec")
class FrameRelations(keras.layers.Layer):
    """Class scores from ordered subsets of the frames, at every scale (TRN, eq. 1-3).

    For each scale s = 2..T, `num_subsets` of the C(T, s) ordered subsets of s frames (all, where there are
    fewer), their features side by side as x_S:

        h_S = relu(relu(x_S) kernel_s + bias_s)
        y = sum_s sum_S (h_S classifier_kernel_s + classifier_bias_s)

    In training the subsets are drawn anew for every batch, none twice. At test they are always the same,
    evenly spaced in the lexicographic order of all.

    Args:
        num_classes: C.
        units: width of the hidden layer.
        num_subsets: subsets at each scale.
        seed: of the draw; None draws one.

    Call arguments:
        features: `(B, T, D)`, T from 2 to 16.
        training: whether to draw the subsets.

    Returns:
        Logits `(B, C)`.

    Raises:
        UserError: for an unknown T, or one out of range.

    Reference: Zhou et al., arXiv 1711.08496. Where we differ: the released code draws at test too, so that
    its answers vary.
    """

    def __init__(
        self, num_classes: int, units: int = 256, num_subsets: int = 3, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = whole("num_classes", num_classes)
        self.units = whole("units", units)
        self.num_subsets = whole("num_subsets", num_subsets)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, features_shape: Shape) -> None:
        _, time, channels = features_shape
        if time is None or not 2 <= time <= _MAX_FRAMES:
            raise UserError(f"`features` must have 2 to {_MAX_FRAMES} frames. Received: {features_shape}")
        self._scales = []
        for size in range(2, time + 1):

            def weight(name: str, *shape: int, size: int = size) -> keras.Variable:
                initializer = _initializers.glorot_uniform() if len(shape) == 2 else "zeros"
                return self.add_weight(name=f"{name}_{size}", shape=shape, initializer=initializer)

            subsets = np.array(list(itertools.combinations(range(time), size)), "int32")
            hidden = weight("kernel", size * channels, self.units), weight("bias", self.units)
            output = (
                weight("classifier_kernel", self.units, self.num_classes),
                weight("classifier_bias", self.num_classes),
            )
            self._scales.append((subsets, hidden, output))

    def call(self, features: Tensor, training: bool = False) -> Tensor:
        total: Any = 0
        for _, logits in self.relations(features, training):
            total = total + ops.sum(logits, axis=1)
        return total

    def relations(self, features: Tensor, training: bool = False) -> list[tuple[Any, Tensor]]:
        """What a built layer adds up, scale by scale from 2 to T.

        Args:
            features: as of a call.
            training: as of a call.

        Returns:
            Pairs of the frames of each of S subsets, `(S, s)`, 0-based, and their logits `(B, S, C)`.
        """
        features = ops.relu(features)
        found = []
        for subsets, (kernel, bias), (classifier_kernel, classifier_bias) in self._scales:
            chosen = self._choose(subsets, training)  # (S, s)
            x = ops.take(features, chosen, axis=1)  # (B, S, s, D)
            x = ops.reshape(x, (-1, chosen.shape[0], kernel.shape[0]))
            x = ops.relu(ops.matmul(x, kernel) + bias)
            found.append((chosen, ops.matmul(x, classifier_kernel) + classifier_bias))  # (B, S, C)
        return found

    def _choose(self, subsets: np.ndarray, training: bool) -> Any:
        count = min(self.num_subsets, len(subsets))
        if not training or count == len(subsets):
            return subsets[np.linspace(0, len(subsets) - 1, count).round().astype(int)]
        draw = keras.random.uniform((len(subsets),), seed=self.seed_generator)
        return ops.take(subsets, ops.top_k(draw, count)[1], axis=0)

    def compute_output_shape(self, features_shape: Shape) -> Shape:
        return (features_shape[0], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "units": self.units,
            "num_subsets": self.num_subsets,
            "seed": self.seed,
        }
