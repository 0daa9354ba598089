"""Some steps of an array in a file: what is not asked for is not read."""

from collections.abc import Sequence
from typing import IO

import numpy as np

from keras_actrec.errors import UserError


class CutOffError(Exception):
    """A file that ends before a step that it should have.

    Attributes:
        step: the first one that is missing.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"cut off at step {step}")
        self.step = step


def read_steps(
    file: IO[bytes], offset: int, shape: Sequence[int], dtype: str, indices: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Steps of an array in C order. What lies together is read at once.

    Args:
        file: that holds the array; `readinto` must not stop before what is asked for or the end.
        offset: where the array begins, in bytes.
        shape: of the array, `(steps, ...)`.
        dtype: of the array.
        indices: from `checked_indices`.

    Returns:
        Array `(N, ...)` of type `dtype`.

    Raises:
        CutOffError: where the file ends too early.
    """
    steps = np.empty((len(indices), *shape[1:]), dtype)
    data = steps.reshape(len(steps), -1).view("uint8")  # (N, bytes of a step)
    size = data.shape[1]
    runs = np.flatnonzero(np.diff(indices) != 1) + 1
    for first, last in zip([0, *runs], [*runs, len(indices)], strict=True):
        file.seek(offset + int(indices[first]) * size)
        whole = file.readinto(data[first:last].data) // size  # type: ignore[attr-defined]
        if whole < last - first:
            raise CutOffError(int(indices[first + whole]))
    return steps


def checked_indices(indices: Sequence[int] | np.ndarray, frames: int) -> np.ndarray:
    """Numbers of steps as int64 `(N,)`, N at least 1.

    Raises:
        UserError: for none, or one that is not below `frames`.
    """
    indices = np.asarray(indices, "int64")
    if indices.ndim != 1 or not len(indices) or indices.min() < 0 or indices.max() >= frames:
        raise UserError(
            f"`indices` must be numbers of steps from 0 to {frames - 1}, one or more. "
            f"Received: indices={indices.tolist()}"
        )
    return indices
