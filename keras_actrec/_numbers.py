"""Whole numbers from outside: one check, one message."""

import contextlib
import operator
from numbers import Integral, Real
from typing import Any

from keras_actrec._text import shown
from keras_actrec.errors import UserError

MOST = 65_536  # units, channels, frames, clips of a batch: more of them fit no memory
MOST_PIXELS = 8192  # of a side
MAX_SKIPPED = 0.1  # share of a set's files that may be skipped, unless something else is said
MOST_WORKERS = 1024
MOST_EPOCHS = 1_000_000
MOST_SEED = 2**32 - 1  # what NumPy takes


def whole(name: str, value: Any, low: int = 1, high: int = MOST) -> int:
    """An argument as a whole number of Python: NumPy's, and 4.0, are such numbers, True and "4" are not.

    Raises:
        UserError: for anything else, or a number out of range.
    """
    number: int | None = None
    if isinstance(value, Real) and not isinstance(value, Integral):
        number = int(float(value)) if float(value).is_integer() else None
    elif not isinstance(value, bool):
        with contextlib.suppress(TypeError):
            number = operator.index(value)
    if number is None or not low <= number <= high:
        raise UserError(
            f"`{name}` must be a whole number from {low} to {high}. Received: {name}={shown(value)}"
        )
    return number
