"""What preprocessors share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Sampled:
    """What follows from `sampling` alone, of a preprocessor that takes some steps of a file."""

    sampling: Sampling

    @property
    def masks(self) -> bool:
        """Whether steps can be padding, so that the model needs a mask."""
        return self.sampling.masks

    @property
    def steps(self) -> int:
        """T, steps of a sample."""
        return self.sampling.frames

    @property
    def every(self) -> int:
        """Steps of the file from one of a sample to its next; 1 where it spans the whole file."""
        return self.sampling.frame_step * self.sampling.stride

    @property
    def spreads(self) -> bool:
        """Whether the steps are spread over the whole file, however long."""
        return self.sampling.spreads

    def window(self, steps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The sample and its mask of a file that had only these steps, which `following` gave."""
        whole = replace(self.sampling, stride=1, frame_step=1, num_clips=1, hop=None)
        indices, mask = whole.indices(len(steps))
        return np.stack([steps[index] for index in indices]), mask
