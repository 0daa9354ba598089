"""Which devices train a run, and what its processes agree on."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from keras_actrec import _backend
from keras_actrec.errors import UserError
from keras_actrec.training.tables import TrainTable

_Item = TypeVar("_Item")
_Kept = TypeVar("_Kept")


def join_processes() -> int:
    """Join the processes that the variables of `keras.distribution.initialize` name, if they name several.

    Call it before anything is computed, and `leave_processes` behind the last training: a process that ends
    without ends the others, as after an error.

    Returns:
        The number of this process, from 0. What a run writes and says, process 0 does.

    Raises:
        UserError: for a backend without an engine for it, or processes that do not find each other.
    """
    _backend.join_processes()
    return _backend.process()[0]


def leave_processes() -> None:
    """Leave them, when all is done that they do together; each has to call it, and goes on alone.

    It evaluates and predicts then; to train again takes a new process.
    """
    wait_for_processes()
    _backend.leave_processes()


def spread_of(table: TrainTable) -> _backend.Spread | None:
    """The devices of a run, of all its processes; None for a single one.

    Raises:
        UserError: for more devices than there are, or a batch that they cannot share alike.
    """
    _, processes = _backend.process()
    if table.devices * processes == 1:
        return None
    spread = _backend.spread(table.devices)
    size, total = table.batch_size, spread.total
    if size % total:
        each = f" of {processes} processes" if processes > 1 else ""
        raise UserError(
            f"train.batch_size={size} cannot be shared alike by {total} devices{each}: set it to a multiple, "
            f"such as {-(-size // total) * total}, or take other devices"
        )
    return spread


def check_alike(**values: Any) -> None:
    """Refuse a run whose processes were not given the same, or do not see the same.

    Args:
        **values: plain values, by words for them; each has to be equal in all processes.

    Raises:
        UserError: in all processes, with the words of what differs.
    """
    texts = [json.dumps(value, sort_keys=True, default=str) for value in values.values()]
    hashes = [np.frombuffer(hashlib.sha256(text.encode()).digest(), "uint32") for text in texts]
    found = _backend.gather(np.stack(hashes))
    differs = (found != found[0]).any(axis=(0, 2))
    if differs.any():
        name = list(values)[int(differs.argmax())]
        raise UserError(
            f"the processes of this run differ in the {name}: start all with the same command, and with "
            "folders that all can see"
        )


def by_shares(keep: Callable[[Sequence[_Item]], _Kept], items: Sequence[_Item]) -> _Kept:
    """What `keep(items)` gives, which keeps in a folder what it computes: each process computes a share."""
    index, processes = _backend.process()
    if processes > 1:
        own = items[index::processes]
        if own:
            keep(own)
        wait_for_processes()
    return keep(items)


def wait_for_processes() -> None:
    """Go on when all processes of the run are here; each has to call it."""
    _backend.gather(np.zeros(1, "int32"))


def agreed(signal: int | None) -> int | None:
    """A signal that any of the processes has got; each has to call it."""
    if _backend.process()[1] == 1:
        return signal
    return int(_backend.gather(np.array(signal or 0, "int32")).max()) or None
