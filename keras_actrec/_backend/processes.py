"""Which processes train together, as the variables of `keras.distribution.initialize` say."""

import os
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import keras

from keras_actrec._numbers import MOST_WORKERS, whole
from keras_actrec.errors import UserError

_VARIABLES = [f"KERAS_DISTRIBUTION_{name}" for name in ("NUM_PROCESSES", "PROCESS_ID", "JOB_ADDRESSES")]


@dataclass(frozen=True)
class Team:
    """Processes that train together.

    Attributes:
        count: how many.
        index: of this one, from 0.
        addresses: `host:port` of the first one, or of each.
    """

    count: int
    index: int
    addresses: tuple[str, ...]


def named_team() -> Team | None:
    """The processes that the variables name; None for one alone, or without variables.

    Raises:
        UserError: for variables that are missing or say nothing.
    """
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    if len(missing) == len(_VARIABLES):
        return None
    if missing:
        raise UserError(f"{missing[0]} is not set: set {', '.join(_VARIABLES)}, or none of them")
    count = whole(_VARIABLES[0], _number(_VARIABLES[0]), 1, MOST_WORKERS)
    index = whole(_VARIABLES[1], _number(_VARIABLES[1]), 0, count - 1)
    addresses = tuple(each.strip() for each in os.environ[_VARIABLES[2]].split(","))
    for each in addresses:
        host, _, port = each.rpartition(":")
        if not host or not port.isdigit():
            raise UserError(f"{_VARIABLES[2]} must be host:port, or one for each process. Received: {each}")
    if len(addresses) not in (1, count):
        raise UserError(f"{_VARIABLES[2]} has {len(addresses)} addresses: give one, or {count}")
    return Team(count, index, addresses) if count > 1 else None


def _number(name: str) -> int | str:
    text = os.environ[name]
    return int(text) if text.isdigit() else text


class Spread(ABC):
    """Devices that train as one would.

    Attributes:
        total: number of devices of all processes.
        index: of this process.
        processes: how many there are.
    """

    def __init__(self, total: int, index: int, processes: int) -> None:
        self.total = total
        self.index = index
        self.processes = processes

    def rows(self, size: int) -> slice:
        """Which rows of a batch of `size` this process gives to `place`.

        Its share, or all where the devices cannot share them alike, as of an epoch's last batch.
        """
        if size % self.total:
            return slice(size)
        each = size // self.processes
        return slice(each * self.index, each * (self.index + 1))

    @abstractmethod
    def place(self, batch: Any, size: int) -> Any:
        """A batch of `size` rows on the devices, of its `rows` here."""

    @abstractmethod
    def training(self, model: keras.Model) -> AbstractContextManager[None]:
        """Have a compiled model trained, and tested, on what `place` gives; then it is one device's."""


def too_many(devices: int, there: int, processes: int, force: str) -> UserError:
    """What to say where there are fewer devices."""
    where = "this machine has" if processes == 1 else "one of the processes sees"
    return UserError(
        f"train.devices={devices}, but {where} {there}: lower it, or, to try it on a CPU, {force}"
    )
