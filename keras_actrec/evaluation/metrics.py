"""Scores from probabilities and labels."""

import numpy as np


def top_k_accuracy(scores, labels, k=1):
    """Share of the rows whose label is among the k highest scores.

    Args:
        scores: `(N, C)`.
        labels: class ids `(N,)`.
        k: how many count; of equal scores the lower class id comes first.
    """
    best = np.argsort(-np.asarray(scores), axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(best == np.asarray(labels)[:, None], axis=1)))


def confusion_matrix(labels, predicted, num_classes):
    """Counts `(C, C)`: row = true class, column = predicted class."""
    matrix = np.zeros((num_classes, num_classes), "int64")
    np.add.at(matrix, (np.asarray(labels), np.asarray(predicted)), 1)
    return matrix


def mean_class_accuracy(confusion):
    """Mean over the classes that occur of the share of their rows that is right."""
    confusion = np.asarray(confusion)
    totals = confusion.sum(axis=1)
    return float(np.mean(np.diag(confusion)[totals > 0] / totals[totals > 0]))
