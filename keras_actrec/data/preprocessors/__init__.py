"""How a model looks at a file: which part of it, and in which form.

`ClipPreprocessor`, `SkeletonPreprocessor` and `FeaturePreprocessor` are asked the same things. What only
clips have comes after a question: `cached`, `extracted` and `feature_batches` where it is `cacheable`.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from keras_actrec.data.persons import Persons
from keras_actrec.data.preprocessors._common import Indexed
from keras_actrec.data.preprocessors.clips import ClipPreprocessor, Original
from keras_actrec.data.preprocessors.features import FeaturePreprocessor
from keras_actrec.data.preprocessors.skeletons import SkeletonPreprocessor
from keras_actrec.data.sampling import Sampling
from keras_actrec.data.skeletons import SkeletonForm, SkeletonTransform
from keras_actrec.data.transforms import ClipTransform

__all__ = [
    "ClipPreprocessor",
    "FeaturePreprocessor",
    "Indexed",
    "Original",
    "Preprocessor",
    "SkeletonPreprocessor",
    "preprocessor_of",
]

# What tells them apart, for people and for mypy: `files`, `name`, `cacheable`.
Preprocessor: TypeAlias = ClipPreprocessor | SkeletonPreprocessor | FeaturePreprocessor


def preprocessor_of(values: Mapping[str, Any]) -> Preprocessor:
    """The preprocessor that `to_json` wrote."""
    if "dataset" in values:
        form = values.get("form")  # which files of older versions do not say
        return SkeletonPreprocessor(
            values["dataset"],
            SkeletonTransform(**values["transform"]),
            form and SkeletonForm(**form),
            values.get("layout"),
            Persons(**values.get("persons", {})),
            values.get("shown_as"),
        )
    sampling = Sampling(**values["sampling"])
    if "step" in values:
        return FeaturePreprocessor(sampling, values["step"] and tuple(values["step"]))
    return ClipPreprocessor(sampling, ClipTransform(**values["transform"]))
