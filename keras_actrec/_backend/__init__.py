"""The only package that knows which backend runs.

Every backend has one module here with the same functions, `jax_loop` and the like are parts of it:

- `Linear(*kernels, bias=None)`: a product, made before the loop; see `taps`.
- `loop(step, states, sequences, unroll=False, with_taps=False, remat=None)`: the recurrent loop.
- `fixed(weight)`: a weight as a tensor, read once before the loop.
- `split(x, sizes)`: the parts of `x` along its last axis.
- `argmax(x)`: the index of the largest value along the last axis.
- `conv2d`, `depthwise_conv2d`, `max_pool2d`, `average_pool2d`, `batch_norm`, `relu`: of maps `(B, H, W, C)`.
- `PIXELS_AT_ONCE`: of the frames of a batch on a CPU; see `frames_at_once`.
- `call_network(network, inputs, training)`: a network inside of a layer.
- `with_steps_of(sequences, mask)`: the sequences, refused where a graph finds another number of steps.
- `EXPORTS`: for each format of a file the functions that write a network, and run it or None; `{}` on JAX.
- `keep_programs()`: keeps what is compiled for the next process; for commands only.
- `predictor(model)`: a function from a batch to the answer of a model, for several threads.
- `gradient(model, inputs, by, of)`: the outputs of a model, and the gradient of one of them by an input.
- `devices()`: names of the devices that the backend sees.
- `join_processes()`: joins the processes that the environment names; before anything is computed.
- `leave_processes()`: leaves them, at the end of all that is done together.
- `process()`: the number of this process, from 0, and how many train together.
- `gather(values)`: the arrays that all processes give, one below the other.
- `spread(devices)`: several devices that train as one would.
- `seed(number)`: seeds what the backend draws without Keras.
- `generators()`, `set_generators(states)`: the states of the generators that it draws from without Keras.

Nothing else in the library asks for the backend or imports one.
"""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from keras_actrec._backend_choice import ensure_backend

ensure_backend()

import keras  # noqa: E402  (only after the backend is chosen)
import numpy as np  # noqa: E402

from keras_actrec._backend import taps  # noqa: E402
from keras_actrec._backend.processes import Spread  # noqa: E402

name = keras.backend.backend()

if name == "jax":
    from keras_actrec._backend import jax as own
elif name == "torch":
    from keras_actrec._backend import torch as own  # type: ignore[no-redef]
elif name == "tensorflow":
    from keras_actrec._backend import tensorflow as own  # type: ignore[no-redef]
else:
    raise ImportError(f"keras_actrec runs on jax, torch or tensorflow. Received: KERAS_BACKEND={name}")

EXPORTS = own.EXPORTS
Linear = own.Linear
argmax = own.argmax
average_pool2d = own.average_pool2d
batch_norm = own.batch_norm
call_network = own.call_network
conv2d = own.conv2d
depthwise_conv2d = own.depthwise_conv2d
devices = own.devices
fixed = taps.fixed
gather = own.gather
generators = own.generators
gradient = own.gradient
join_processes = own.join_processes
keep_programs = own.keep_programs
leave_processes = own.leave_processes
loop = own.loop
max_pool2d = own.max_pool2d
predictor = own.predictor
process = own.process
relu = own.relu
split = own.split
spread = own.spread
seed = own.seed
set_generators = own.set_generators
with_steps_of = own.with_steps_of

__all__ = [
    "EXPORTS",
    "Linear",
    "Spread",
    "argmax",
    "average_pool2d",
    "batch_norm",
    "call_network",
    "concurrency",
    "conv2d",
    "cores_for",
    "depthwise_conv2d",
    "devices",
    "frames_at_once",
    "gather",
    "generators",
    "gradient",
    "join_processes",
    "keep_programs",
    "leave_processes",
    "loop",
    "max_pool2d",
    "name",
    "on_cpu",
    "predict",
    "process",
    "relu",
    "seed",
    "set_generators",
    "split",
    "spread",
    "with_steps_of",
]

# With fewer a recurrent network trained about as fast with one thread as with two (docs/backends.md).
_FEW_WEIGHTS = 1 << 19

# Of each model the shapes of the batches that it has answered.
_SEEN: WeakKeyDictionary[keras.Model, set[str]] = WeakKeyDictionary()


def on_cpu() -> bool:
    """Whether the backend has no faster device than a CPU."""
    return all(device.lower().startswith("cpu") for device in devices())


def concurrency() -> int:
    """Batches to predict at a time: on a CPU, a network keeps little more than one core busy with one."""
    return min(os.cpu_count() or 1, 4) if on_cpu() else 1


def frames_at_once(pixels: int) -> int:
    """Frames of so many pixels that a network answers fastest in one batch: a CPU has caches for few."""
    return min(max(own.PIXELS_AT_ONCE // pixels, 1), 32) if on_cpu() else 32


def cores_for(network: keras.Model) -> AbstractContextManager[None]:
    """The cores to train a network on: by its size alone, as the number of threads can change the last bit.

    Threads of torch wait for each other at every product. For those of a small network that takes as long as
    is gained, and where other programs want the cores too, ten times as long and more.
    """
    weights = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    return nullcontext() if weights > _FEW_WEIGHTS else own.cores_shared(os.cpu_count() or 1)


def predict(model: keras.Model, batches: Sequence[Any]) -> list[np.ndarray]:
    """What `model.predict_on_batch` gives for each of several batches of one shape, which run in parallel."""
    run = predictor(model)
    seen = _SEEN.setdefault(model, set())
    shape = str(keras.tree.map_structure(np.shape, batches[0]))
    alone = 0 if shape in seen else 1  # it is compiled once, and not in every thread
    answers = [run(batch) for batch in batches[:alone]]
    seen.add(shape)
    with own.cores_shared(len(batches)), ThreadPoolExecutor(len(batches)) as pool:
        return answers + list(pool.map(run, batches[alone:]))
