"""Search: the papers' tables as studies, and spaces over the models for searches of one's own."""

import importlib

from keras_actrec.tuning.estimate import estimate_study
from keras_actrec.tuning.runner import run_study
from keras_actrec.tuning.space import Axis, Space
from keras_actrec.tuning.study import Study, find_study, list_studies, parse_study, read_study

_HYPERMODELS = ("EleAttHyperModel", "GSMHyperModel", "HMANHyperModel", "STRNHyperModel")

__all__ = [
    *_HYPERMODELS,
    "Axis",
    "Space",
    "Study",
    "estimate_study",
    "find_study",
    "list_studies",
    "parse_study",
    "read_study",
    "run_study",
]


def __getattr__(name):
    if (
        name in _HYPERMODELS
    ):  # their base class is KerasTuner's, which the rest does without until it searches
        return getattr(importlib.import_module(f"{__name__}.hypermodels"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
