"""Scores from probabilities and labels."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_actrec.errors import UserError
from keras_actrec.scoring import Fusion


def top_k_accuracy(scores: ArrayLike, labels: ArrayLike, k: int = 1) -> float:
    """Share of the rows whose label is among the k highest scores.

    Args:
        scores: `(N, C)`.
        labels: class ids `(N,)`.
        k: how many count; of equal scores the lower class id comes first.
    """
    best = np.argsort(-np.asarray(scores), axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(best == np.asarray(labels)[:, None], axis=1)))


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> np.ndarray:
    """Counts `(C, C)`: row = true class, column = predicted class."""
    matrix = np.zeros((num_classes, num_classes), "int64")
    np.add.at(matrix, (np.asarray(labels), np.asarray(predicted)), 1)
    return matrix


def mean_class_accuracy(confusion: ArrayLike) -> float:
    """Mean over the classes that occur of the share of their rows that is right."""
    confusion = np.asarray(confusion)
    totals = confusion.sum(axis=1)
    return float(np.mean(np.diag(confusion)[totals > 0] / totals[totals > 0]))


def expected_calibration_error(scores: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """How far the probability of the answer is from how often it is right.

    `sum_b n_b / N |accuracy_b - confidence_b|` over bins of equal width of the highest probability,
    `(0, 1/bins], ..., (1 - 1/bins, 1]`; accuracy and confidence are means over a bin. 0 is best.

    Args:
        scores: probabilities `(N, C)`.
        labels: class ids `(N,)`.
        bins: number of bins.

    Raises:
        UserError: for scores that are no probabilities, labels that are no class ids, or no bins.

    Reference: Guo et al., arXiv 1706.04599, with its 15 bins.
    """
    counts, confidence, accuracy = calibration_bins(scores, labels, bins)
    return float((counts * np.abs(accuracy - confidence)).sum() / counts.sum())


def calibration_bins(
    scores: ArrayLike, labels: ArrayLike, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `expected_calibration_error` compares: a reliability diagram.

    Returns:
        For every bin the number of rows, their mean confidence and the share of them that is right, arrays
        `(bins,)`; the last two are 0 in an empty bin.
    """
    scores, labels = _checked(scores, labels)
    if bins < 1:
        raise UserError(f"`bins` must be at least 1. Received: bins={bins}")
    if np.any(scores < 0) or not np.allclose(scores.sum(axis=1), 1, atol=1e-2):
        raise UserError("`scores` must be probabilities, rows that add up to 1; use the softmax of logits")
    confidence = scores.max(axis=1)
    right = scores.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    filled = np.maximum(counts, 1)
    return counts, np.bincount(index, confidence, bins) / filled, np.bincount(index, right, bins) / filled


def average_precision(scores: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Average precision of every class `(C,)`; NaN for a class without a row.

    `sum_n (R_n - R_{n-1}) P_n`, recall and precision down the rows by their score for the class, one class
    against the rest; scikit-learn's, without interpolation.

    Args:
        scores: `(N, C)`.
        labels: class ids `(N,)`.

    Raises:
        UserError: for labels that are no class ids.
    """
    from sklearn.metrics import average_precision_score  # half a second that --help does not have

    scores, labels = _checked(scores, labels)
    truth = labels[:, None] == np.arange(scores.shape[1])
    found = np.full(scores.shape[1], np.nan)
    for label in np.unique(labels):
        found[label] = average_precision_score(truth[:, label], scores[:, label])
    return found


def mean_average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean of `average_precision` over the classes that occur (mAP)."""
    return float(np.nanmean(average_precision(scores, labels)))


def student_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean of some runs, such as several seeds, and half the width of Student's interval around it.

    `t s / sqrt(n)`, with the standard deviation `s` of the n values and the quantile `t` of Student's
    distribution with n - 1 degrees of freedom.

    Args:
        values: at least two numbers.
        level: share of such intervals that hold the mean of all possible runs.

    Raises:
        UserError: for fewer values, a level that is not in (0, 1), or where SciPy is not installed.
    """
    if len(values) < 2:
        raise UserError(f"`values` must hold at least two numbers. Received: {len(values)}")
    _check_level(level)
    try:
        from scipy.stats import t
    except ImportError as error:
        raise UserError("Student's interval needs SciPy: pip install 'keras_actrec[tune]'") from error
    quantile = float(t.ppf((1 + level) / 2, len(values) - 1))
    return statistics.mean(values), quantile * statistics.stdev(values) / math.sqrt(len(values))


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[np.ndarray], float] = np.mean,
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bounds that hold the middle `level` of a statistic over data drawn again with replacement.

    The percentile bootstrap: N of the N videos are drawn `draws` times. Videos of one group, such as one
    person or one recording, are not independent; with `groups` whole groups are drawn, as many as there are.

    Args:
        values: `(N, ...)`, a row a video, such as 0 or 1 for a wrong or right answer.
        statistic: from rows to a number; the mean for accuracy.
        groups: the group of each video `(N,)`, numbers or names.
        level: share of the draws between the bounds.
        draws: how many times to draw.
        seed: of the draws: the same seed gives the same bounds.

    Returns:
        The lower and the upper bound.

    Raises:
        UserError: for no values or draws, groups of another length, or a level that is not in (0, 1).

    Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    values = np.asarray(values)
    if not len(values):
        raise UserError("`values` must hold at least one video. Received: none")
    _check_level(level)
    if draws < 1:
        raise UserError(f"`draws` must be at least 1. Received: draws={draws}")
    members: Sequence[np.ndarray] | np.ndarray = np.arange(len(values))[:, None]
    if groups is not None:
        if len(groups) != len(values):
            raise UserError(
                f"`groups` must have a group for each of the {len(values)} videos. Received: {len(groups)}"
            )
        _, index = np.unique(groups, return_inverse=True)
        members = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        picked = rng.integers(len(members), size=len(members))
        rows = picked if groups is None else np.concatenate([members[each] for each in picked])
        drawn.append(statistic(values[rows]))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def fuse(scores: ArrayLike, how: str = "probabilities") -> np.ndarray:
    """One answer from several runs, or from several views.

    Args:
        scores: probabilities `(V, N, C)` of V runs.
        how: `"probabilities"`, their mean; `"logits"`, the softmax of the mean of their logarithms, which is
            what the mean of the runs' logits gives; `"votes"`, the share of the runs whose highest score
            is the class.

    Returns:
        `(N, C)`, rows that add up to 1. Votes can be even: the mean of the probabilities is added with a
        weight too small to outvote, and decides then.

    Raises:
        UserError: for another shape or way.
    """
    scores = np.asarray(scores, "float64")
    if scores.ndim != 3 or not scores.size:
        raise UserError(f"`scores` must be (V, N, C), none of them 0. Received: shape={scores.shape}")
    fusion = Fusion(how)
    fusion.add(scores)
    return fusion.answer()


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UserError(f"`level` must be in (0, 1). Received: level={level}")


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not scores.size:
        raise UserError(
            "`scores` must be (N, C) and `labels` (N,), none of them 0. "
            f"Received: shapes {scores.shape} and {labels.shape}"
        )
    wrong = labels[(labels < 0) | (labels >= scores.shape[1])]
    if len(wrong):
        raise UserError(f"`labels` must be class ids below {scores.shape[1]}. Received: {wrong[0]}")
    return scores, labels
