"""One process with one device, on PyTorch and TensorFlow.

Keras has no engine for more on PyTorch. On TensorFlow it takes `MirroredStrategy` and its like, and with
those (3.15) several devices do not train as one: a weighted loss is the mean of each device's mean, each
draws the same masks and noise for other rows, batch statistics stay apart, and gradients cannot be
accumulated (`merge_call` in a condition). DTensor knows no layouts for the lists of a loop with a gradient
(2.21), which every recurrent network here has.
"""

import numpy as np

from keras_actrec._backend.processes import Spread, named_team
from keras_actrec.errors import UserError

_WAY = "train as one on JAX alone: set KERAS_BACKEND=jax (its model.keras opens on any backend)"


def join_processes() -> None:
    """Refuse processes that `named_team` names.

    Raises:
        UserError: for several.
    """
    if named_team() is not None:
        raise UserError(f"several processes {_WAY}, or unset KERAS_DISTRIBUTION_NUM_PROCESSES")


def leave_processes() -> None:
    """Leave the processes that were joined: none."""


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
    raise UserError(f"train.devices={devices}: several devices {_WAY}, or train.devices=1")
