"""Search: the papers' tables as studies, and spaces over the models for searches of one's own."""

import importlib
from typing import TYPE_CHECKING, Any

from keras_actrec.tuning.estimate import estimate_study
from keras_actrec.tuning.runner import run_study
from keras_actrec.tuning.space import Axis, Space
from keras_actrec.tuning.study import Study, find_study, list_studies, parse_study, read_study

__all__ = [
    "Axis",
    "EleAttHyperModel",
    "GSMHyperModel",
    "HMANHyperModel",
    "STRNHyperModel",
    "Space",
    "Study",
    "estimate_study",
    "find_study",
    "list_studies",
    "parse_study",
    "read_study",
    "run_study",
]


# Their base class is KerasTuner's, which the rest does without until it searches.
if TYPE_CHECKING:
    from keras_actrec.tuning.hypermodels import (
        EleAttHyperModel,
        GSMHyperModel,
        HMANHyperModel,
        STRNHyperModel,
    )
else:

    def __getattr__(name: str) -> Any:
        if name in __all__ and name.endswith("HyperModel"):
            return getattr(importlib.import_module(f"{__name__}.hypermodels"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
