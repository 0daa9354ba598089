"""Scores of a model on videos that it has not seen."""

from keras_actrec.evaluation.evaluate import Evaluation, evaluate
from keras_actrec.evaluation.metrics import confusion_matrix, mean_class_accuracy, top_k_accuracy

__all__ = ["Evaluation", "confusion_matrix", "evaluate", "mean_class_accuracy", "top_k_accuracy"]
