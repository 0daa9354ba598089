"""Training on several devices, and in several processes, on JAX.

A step is the program of one device, over arrays whose rows are spread over a mesh of devices: XLA divides it,
so that batch statistics, losses, metrics, random draws and all else are those of the whole batch. A batch
whose rows do not divide is whole on every device. (Keras 3.15's `DataParallel` takes the layout of an epoch's
first batch for all of them, which ends at such a batch, and over processes it takes `tf.data` alone.)
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from keras_actrec._backend.processes import Spread, Team, named_team, too_many
from keras_actrec.errors import UserError

_SEARCH = 300  # seconds in which all processes have to come
_PATIENCE = 30  # seconds in which all have to end


def join_processes() -> None:
    """Join the processes that `named_team` names, unless that is done.

    `keras.distribution.initialize` does the same, and imports TensorFlow for a seed that we set ourselves.

    Raises:
        UserError: something was computed before.
    """
    team = named_team()
    if team is None or jax.distributed.is_initialized():
        return
    jax.config.update("jax_enable_preemption_service", False)  # which takes SIGTERM for itself
    errors: list[Exception] = []
    # C++ code waits for the others: in the main thread no signal would end that, and its own end is an abort.
    thread = threading.Thread(target=_connect, args=(team, errors), daemon=True)
    thread.start()
    thread.join(_SEARCH)
    if errors or thread.is_alive():
        reason = str(errors[0]).splitlines()[0] if errors else f"in {_SEARCH:g} s"
        raise UserError(
            f"the {team.count} processes did not find each other at {team.addresses[0]} ({reason}): start "
            "all, with the address of the first, and before anything is computed"
        ) from (errors[0] if errors else None)


def _connect(team: Team, errors: list[Exception]) -> None:
    try:
        jax.distributed.initialize(
            team.addresses[0],
            team.count,
            team.index,
            cluster_detection_method="deactivate",  # under Slurm, a task has all the devices that it can see
            initialization_timeout=2 * _SEARCH,
            shutdown_timeout_seconds=_PATIENCE,
        )
    except Exception as error:  # which the thread that waits raises
        errors.append(error)


def leave_processes() -> None:
    """Leave the processes that were joined, at the end of all that is done together; each has to call it.

    One that ends without, on an error, ends the others `_PATIENCE` seconds later.
    """
    if jax.distributed.is_initialized():
        jax.distributed.shutdown()


def process() -> tuple[int, int]:
    """The number of this process, from 0, and how many train together."""
    return jax.process_index(), jax.process_count()


def gather(values: np.ndarray) -> np.ndarray:
    """The arrays that all processes give, one below the other; each has to call it."""
    if jax.process_count() == 1:
        return values[None]
    return np.asarray(multihost_utils.process_allgather(values))


def spread(devices: int) -> Spread:
    """So many devices of each process.

    Raises:
        UserError: for more devices than there are.
    """
    processes = jax.process_count()
    there = min(len(jax.local_devices(number)) for number in range(processes))
    if devices > there:
        force = f"set XLA_FLAGS=--xla_force_host_platform_device_count={devices}"
        raise too_many(devices, there, processes, force)
    return _Mesh(devices)


class _Mesh(Spread):
    def __init__(self, devices: int) -> None:
        index, processes = process()
        used = [jax.local_devices(number)[:devices] for number in range(processes)]
        mesh = Mesh(np.array(used).reshape(-1), ("batch",))
        super().__init__(mesh.size, index, processes)
        self._whole = NamedSharding(mesh, PartitionSpec())
        self._shared = NamedSharding(mesh, PartitionSpec("batch"))

    def place(self, batch: Any, size: int) -> Any:
        sharding = self._whole if size % self.total else self._shared

        def put(values: np.ndarray) -> jax.Array:
            return jax.make_array_from_process_local_data(sharding, values, (size, *values.shape[1:]))

        return keras.tree.map_structure(put, batch)

    @contextmanager
    def training(self, model: keras.Model) -> Iterator[None]:
        model.train_function = self._repeated(model.train_step)
        model.test_function = self._repeated(model.test_step)
        yield
        model.train_function = model.test_function = None
        for variable in [*model.variables, *model.optimizer.variables]:
            variable.assign(np.asarray(variable.value))

    def _repeated(self, step: Callable[..., Any]) -> Callable[[Any, Iterator[Any]], Any]:
        """A step as Keras wants it, whose state is whole on every device."""
        compiled = jax.jit(step, donate_argnums=0, out_shardings=self._whole)

        def put(value: Any) -> Any:
            if value.sharding == self._whole:
                return value
            # A new one, such as a sum that begins at 0. All processes have the same.
            return jax.make_array_from_process_local_data(self._whole, np.asarray(value), value.shape)

        return lambda state, batches: compiled(jax.tree.map(put, state), next(batches))
