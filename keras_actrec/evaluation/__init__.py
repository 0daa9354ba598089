"""Scores of a model on videos that it has not seen."""

from keras_actrec.evaluation.evaluate import Evaluation, evaluate, floors_of_part
from keras_actrec.evaluation.floors import floor_line, floors
from keras_actrec.evaluation.metrics import (
    average_precision,
    bootstrap_interval,
    calibration_bins,
    confusion_matrix,
    expected_calibration_error,
    fuse,
    mean_average_precision,
    mean_class_accuracy,
    student_interval,
    top_k_accuracy,
)
from keras_actrec.evaluation.protocols import PROTOCOLS, Protocol
from keras_actrec.evaluation.results import (
    RESULT_COLUMNS,
    describe_folds,
    describe_run,
    evaluation_command,
    find_runs,
    is_evaluated,
    read_results,
    result_row,
    write_results,
)
from keras_actrec.evaluation.scores import ensemble, read_scores, write_precisions, write_scores
from keras_actrec.evaluation.segmentation import (
    SegmentationScores,
    edit_score,
    frame_accuracy,
    frame_labels,
    labels_at,
    segmental_f1,
)

__all__ = [
    "PROTOCOLS",
    "RESULT_COLUMNS",
    "Evaluation",
    "Protocol",
    "SegmentationScores",
    "average_precision",
    "bootstrap_interval",
    "calibration_bins",
    "confusion_matrix",
    "describe_folds",
    "describe_run",
    "edit_score",
    "ensemble",
    "evaluate",
    "evaluation_command",
    "expected_calibration_error",
    "find_runs",
    "floor_line",
    "floors",
    "floors_of_part",
    "frame_accuracy",
    "frame_labels",
    "fuse",
    "is_evaluated",
    "labels_at",
    "mean_average_precision",
    "mean_class_accuracy",
    "read_results",
    "read_scores",
    "result_row",
    "segmental_f1",
    "student_interval",
    "top_k_accuracy",
    "write_results",
    "write_precisions",
    "write_scores",
]
