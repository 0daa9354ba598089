"""What a learner is to answer: labels in the form of its answers, weights, and mixtures of two samples."""

from typing import Any

import keras
import numpy as np


class Targets(keras.utils.PyDataset):
    """Gives the labels of a dataset the form of a learner's answers, and weights.

    With `per_step` a sample's label is repeated at every step, and steps that the mask leaves out weigh
    nothing.

    With `mixup` each sample of a batch is mixed with another one of it, as are their labels:
    `x <- m x + (1 - m) x'`, `m` drawn from the Beta distribution `(mixup, mixup)` for every sample (Zhang et
    al., arXiv 1710.09412). A step counts where it does in either. What is drawn depends on (`seed`, the
    dataset's epoch, number of the batch) only.

    Args:
        dataset: batches `(x, y)`, `x` with a mask or without.
        per_step: whether the learner answers at every step.
        class_weights: `(C,)`, the weights of samples, or of their steps, by their label.
        num_classes: for labels as probabilities `(B, C)` instead of numbers `(B,)`.
        mixup: see above; 0 mixes nothing. It needs `num_classes`.
        seed: of what is drawn.
    """

    def __init__(
        self,
        dataset: keras.utils.PyDataset,
        *,
        per_step: bool,
        class_weights: np.ndarray | None = None,
        num_classes: int | None = None,
        mixup: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(workers=0)
        self.dataset = dataset
        self.per_step = per_step
        self.class_weights = class_weights
        self.num_classes = num_classes
        self.mixup = mixup
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        x, y = self.dataset[index]
        weigh = None if self.class_weights is None else self.class_weights[y]
        if self.num_classes is not None:
            y = np.eye(self.num_classes, dtype="float32")[y]
        if self.mixup:
            x, y, weigh = self._mixed(index, x, y, weigh)
        if self.per_step:
            steps = (next(iter(x.values())) if isinstance(x, dict) else x).shape[1]
            y = np.repeat(y[:, None], steps, axis=1)
            weigh = weigh if weigh is None else np.repeat(weigh[:, None], steps, axis=1)
            if isinstance(x, dict):
                mask = x["mask"].astype("float32")
                weigh = mask if weigh is None else mask * weigh
        return (x, y) if weigh is None else (x, y, weigh)

    def _mixed(self, index: int, x: Any, y: np.ndarray, weigh: np.ndarray | None) -> tuple[Any, ...]:
        rng = np.random.default_rng([self.seed, self.dataset.epoch, index, 1])  # clips have three numbers
        share = rng.beta(self.mixup, self.mixup, len(y)).astype("float32")
        other = rng.permutation(len(y))

        def mix(values: Any) -> Any:
            if values is None:
                return None
            if values.dtype == bool:
                return values | values[other]
            m = share.reshape(-1, *[1] * (values.ndim - 1))
            return m * values.astype("float32") + (1 - m) * values[other].astype("float32")

        return keras.tree.map_structure(mix, x), mix(y), mix(weigh)
