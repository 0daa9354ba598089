"""One process with one device, where Keras has no engine for more."""

import keras
import numpy as np

from keras_actrec._backend.processes import Spread, named_team
from keras_actrec.errors import UserError


def join_processes() -> None:
    """Refuse processes that `named_team` names.

    Raises:
        UserError: for several.
    """
    if named_team() is not None:
        raise UserError(
            f"Keras has no engine for several processes on {keras.backend.backend()}: set KERAS_BACKEND=jax, "
            "or unset KERAS_DISTRIBUTION_NUM_PROCESSES"
        )


def process() -> tuple[int, int]:
    """The number of this process, from 0, and how many train together."""
    return 0, 1


def gather(values: np.ndarray) -> np.ndarray:
    """The arrays that all processes give, one below the other."""
    return values[None]


def spread(devices: int) -> Spread:
    """Refuse several devices.

    Raises:
        UserError: always.
    """
    raise UserError(
        f"train.devices={devices}: Keras has no engine for several devices on {keras.backend.backend()}: set "
        "KERAS_BACKEND=jax, or train.devices=1"
    )
