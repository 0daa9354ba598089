"""What preprocessors share."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from keras_actrec.data.manifest import Record
from keras_actrec.data.sampling import Sampling
from keras_actrec.errors import UserError

# Records, each with what `index` knows of it (`VideoInfo`, `FeatureFile` or joints) or a cache keeps
# (`CachedVideo`).
Indexed: TypeAlias = Sequence[tuple[Record, Any]]


def check_swap(table: str, swap: Iterable[Iterable[int]], num_classes: int) -> None:
    """Refuse a swap of classes of which the data has fewer."""
    foreign = [label for pair in swap for label in pair if label >= num_classes]
    if foreign:
        raise UserError(f"{table}.swap names class {foreign[0]}, but the data has {num_classes}, from 0 on")


def window_of(sampling: Sampling, steps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of steps that are a file's, those that one clip has."""
    whole = replace(sampling, stride=1, frame_step=1, num_clips=1, hop=None)
    indices, mask = whole.indices(len(steps))
    return np.stack([steps[index] for index in indices]), mask
