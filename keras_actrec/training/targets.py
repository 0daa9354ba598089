"""What a learner is to answer: labels in the form of its answers, weights, mixtures of samples, and noise."""

from typing import Any

import keras
import numpy as np

from keras_actrec._backend import Spread


class Targets(keras.utils.PyDataset):
    """Gives the labels of a dataset the form of a learner's answers, and weights.

    With `per_step` a sample's label is repeated at every step, and steps that the mask leaves out weigh
    nothing.

    With `mixup` each sample of a batch is mixed with another one of it, as are their labels:
    `x <- m x + (1 - m) x'`, `m` drawn from the Beta distribution `(mixup, mixup)` for every sample (Zhang et
    al., arXiv 1710.09412). A step counts where it does in either.

    With `cutmix` a part of each sample is replaced by that part of another one. In clips it is a box, the
    same in all frames, of sqrt(1 - m) of the height and of the width about a point that is drawn, as far as
    it is in the frame, `m` drawn from `(cutmix, cutmix)` (Yun et al., arXiv 1905.04899); the labels' shares
    are those of the area, and a step counts where it does in either. With `in_time` it is a stretch of
    (1 - m) T steps, each of which counts where it does in its own sample; the labels' shares are those of the
    steps that count. With `mixup` and `cutmix` one of the two is drawn for a batch, each as often.

    With `noise` all values of a sample but those that are exactly 0, such as missing joints, have noise added
    from the normal distribution of `noise` times the standard deviation of the sample's values.

    What is drawn depends on (`seed`, the dataset's epoch, number of the batch) only.

    Args:
        dataset: batches `(x, y)`, `x` with a mask or without.
        per_step: whether the learner answers at every step.
        class_weights: `(C,)`, the weights of samples, or of their steps, by their label.
        num_classes: for labels as probabilities `(B, C)` instead of numbers `(B,)`.
        mixup: see above; 0 mixes nothing. It needs `num_classes`, as `cutmix` does.
        cutmix: see above; 0 cuts nothing.
        in_time: whether a stretch of time is cut, and not a box.
        noise: see above; 0 adds none.
        seed: of what is drawn.

    Attributes:
        first: the batch that comes as number 0, in an epoch that goes on; those before it come last.
    """

    def __init__(
        self,
        dataset: keras.utils.PyDataset,
        *,
        per_step: bool,
        class_weights: np.ndarray | None = None,
        num_classes: int | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        in_time: bool = False,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(workers=0)
        self.dataset = dataset
        self.per_step = per_step
        self.class_weights = class_weights
        self.num_classes = num_classes
        self.mixup = mixup
        self.cutmix = cutmix
        self.in_time = in_time
        self.noise = noise
        self.seed = seed
        self.first = 0
        self.spread: Spread | None = None

    def share(self, spread: Spread) -> None:
        """Give batches that are spread over devices. Of each, this process loads its own samples.

        Where something is drawn for a batch, every process loads all of it, so that all draw the same.
        """
        self.spread = spread
        if not self._draws:
            self.dataset.load_only(spread.rows)

    @property
    def _draws(self) -> bool:
        return bool(self.mixup or self.cutmix or self.noise)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if self.first:
            index = (index + self.first) % len(self)
        x, y = self.dataset[index]
        weigh = None if self.class_weights is None else self.class_weights[y]
        if self.num_classes is not None:
            y = np.eye(self.num_classes, dtype="float32")[y]
        if self.mixup or self.cutmix:
            x, y, weigh = self._mixed(index, x, y, weigh)
        if self.noise:
            rng = self._rng(index, 2)
            x = keras.tree.map_structure(lambda values: _noisy(values, self.noise, rng), x)
        if self.per_step:
            steps = (next(iter(x.values())) if isinstance(x, dict) else x).shape[1]
            y = np.repeat(y[:, None], steps, axis=1)
            weigh = weigh if weigh is None else np.repeat(weigh[:, None], steps, axis=1)
            if isinstance(x, dict):
                mask = x["mask"].astype("float32")
                weigh = mask if weigh is None else mask * weigh
        batch = (x, y) if weigh is None else (x, y, weigh)
        return batch if self.spread is None else self._placed(self.spread, index, batch)

    def _placed(self, spread: Spread, index: int, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        size = len(self.dataset.item_indices(index))
        if self._draws:
            batch = keras.tree.map_structure(lambda values: values[spread.rows(size)], batch)
        return spread.place(batch, size)

    def _rng(self, index: int, what: int) -> np.random.Generator:
        # Clips have three numbers.
        return np.random.default_rng([self.seed, self.dataset.epoch, index, what])

    def _mixed(self, index: int, x: Any, y: np.ndarray, weigh: np.ndarray | None) -> tuple[Any, ...]:
        rng = self._rng(index, 1)
        cuts = bool(self.cutmix) and (not self.mixup or rng.random() < 0.5)
        spread = self.cutmix if cuts else self.mixup
        share = rng.beta(spread, spread, len(y)).astype("float32")
        other = rng.permutation(len(y))
        if cuts:
            x, share = self._cut(x, share, other, rng)
        else:
            x = keras.tree.map_structure(lambda values: _mix(values, share, other), x)
        return x, _mix(y, share, other), None if weigh is None else _mix(weigh, share, other)

    def _cut(
        self, x: Any, share: np.ndarray, other: np.ndarray, rng: np.random.Generator
    ) -> tuple[Any, np.ndarray]:
        """The samples with parts of the others, and the shares that are left of them."""
        samples = next(iter(x.values())) if isinstance(x, dict) else x
        if self.mixup:  # all batches of a run are of one type
            samples = samples.astype("float32")
        mask = x["mask"] if isinstance(x, dict) else np.ones(samples.shape[:2], bool)
        if self.in_time:
            inside = _stretches(share, samples.shape[1], rng)  # (B, T)
            mine, theirs = mask & ~inside, mask[other] & inside
            mask = mine | theirs
            share = mine.sum(1) / np.maximum(mask.sum(1), 1)
        else:
            inside = _boxes(share, samples.shape[2], samples.shape[3], rng)[:, None]  # (B, 1, H, W)
            mask = mask | mask[other]
            share = 1 - inside.mean((1, 2, 3))
        inside = inside.reshape(*inside.shape, *[1] * (samples.ndim - inside.ndim))
        samples = np.where(inside, samples[other], samples)
        x = {**x, next(iter(x)): samples, "mask": mask} if isinstance(x, dict) else samples
        return x, share.astype("float32")


def _mix(values: np.ndarray, share: np.ndarray, other: np.ndarray) -> np.ndarray:
    if values.dtype == bool:
        return values | values[other]
    m = share.reshape(-1, *[1] * (values.ndim - 1))
    return m * values.astype("float32") + (1 - m) * values[other].astype("float32")


def _stretches(share: np.ndarray, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Which steps are in a stretch of 1 - `share` of them, `(B, steps)`."""
    length = np.round((1 - share) * steps).astype(int)
    start = rng.integers(steps - length + 1)
    step = np.arange(steps)
    return (step >= start[:, None]) & (step < (start + length)[:, None])


def _boxes(share: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Which pixels are in a box of 1 - `share` of the area about one that is drawn, `(B, height, width)`."""
    sides = []
    for size in (height, width):
        length = np.round(np.sqrt(1 - share) * size).astype(int)
        start = rng.integers(size, size=len(share)) - length // 2
        at = np.arange(size)
        sides.append((at >= start[:, None]) & (at < (start + length)[:, None]))
    return sides[0][:, :, None] & sides[1][:, None, :]


def _noisy(values: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    if values.dtype == bool:
        return values
    values = values.astype("float32")
    spread = values.std(axis=tuple(range(1, values.ndim)), keepdims=True)
    return values + noise * spread * (values != 0) * rng.standard_normal(values.shape, "float32")
