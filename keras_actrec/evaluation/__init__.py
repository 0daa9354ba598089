"""Scores of a model on videos that it has not seen."""

from keras_actrec.evaluation.evaluate import Evaluation, evaluate
from keras_actrec.evaluation.metrics import (
    average_precision,
    bootstrap_interval,
    confusion_matrix,
    expected_calibration_error,
    fuse,
    mean_average_precision,
    mean_class_accuracy,
    top_k_accuracy,
)

__all__ = [
    "Evaluation",
    "average_precision",
    "bootstrap_interval",
    "confusion_matrix",
    "evaluate",
    "expected_calibration_error",
    "fuse",
    "mean_average_precision",
    "mean_class_accuracy",
    "top_k_accuracy",
]
