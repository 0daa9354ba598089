"""JAX: `lax.scan`."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary, ref

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax

from keras_actrec._types import Tensor


def loop(
    step: Callable[..., tuple[Any, Any]], states: Any, sequences: Any, unroll: bool = False
) -> tuple[Any, Any]:
    """Run `step(states, inputs) -> (outputs, states)` along the first axis of `sequences`.

    Returns the outputs, stacked along a new first axis, and the last states.
    """

    def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
        outputs, carry = step(carry, inputs)
        return carry, outputs

    length = jax.tree.leaves(sequences)[0].shape[0]
    states, outputs = lax.scan(body, states, sequences, unroll=length if unroll else 1)
    return outputs, states


def depthwise_conv2d(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Depthwise convolution of `x (B, H, W, C)` with `kernel (k, k, C, 1)`, `same` padding.

    XLA has no fast one on CPUs. On a CPU it is a sum of shifted inputs times one tap each, which XLA fuses.
    """
    if jax.default_backend() != "cpu":
        return keras.ops.depthwise_conv(x, kernel, stride, "same", "channels_last")
    size = kernel.shape[0]
    outs = [-(-side // stride) for side in x.shape[1:3]]
    pads = [max((out - 1) * stride + size - side, 0) for out, side in zip(outs, x.shape[1:3], strict=True)]
    x = jnp.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))
    total: Any = 0
    for i in range(size):
        for j in range(size):
            rows = slice(i, i + (outs[0] - 1) * stride + 1, stride)
            columns = slice(j, j + (outs[1] - 1) * stride + 1, stride)
            total = total + x[:, rows, columns] * kernel[i, j, :, 0]
    return total


# Of each model its compiled function, and the shapes of the batches that it was compiled for.
_COMPILED: WeakKeyDictionary[keras.Model, tuple[Callable[..., Any], set[str]]] = WeakKeyDictionary()


def concurrency() -> int:
    """Batches to predict at a time: on a CPU, XLA keeps little more than one core busy with one."""
    return 2 if jax.default_backend() == "cpu" else 1


def predict(model: keras.Model, batches: Sequence[Any]) -> list[np.ndarray]:
    """What `model.predict_on_batch` gives for each of several batches, which run in parallel.

    Keras gives the weights away to its compiled function and takes them back, so it can run one at a time.
    """
    if model not in _COMPILED:
        _COMPILED[model] = _compiled(model), set()
    compiled, shapes = _COMPILED[model]
    trainable = [weight.value for weight in model.trainable_variables]
    other = [weight.value for weight in model.non_trainable_variables]

    def run(batch: Any) -> np.ndarray:
        return np.asarray(compiled(trainable, other, batch))

    answers: list[np.ndarray] = []
    shape = str(keras.tree.map_structure(np.shape, batches[0]))
    if shape not in shapes:  # compiled once, and not in every thread
        answers = [run(batches[0])]
        shapes.add(shape)
    with ThreadPoolExecutor(len(batches)) as pool:
        return answers + list(pool.map(run, batches[len(answers) :]))


def _compiled(model: keras.Model) -> Callable[..., Any]:
    weakly = ref(model)  # a function that held the model would keep itself alive

    def call(trainable: Any, other: Any, batch: Any) -> Any:
        held: Any = weakly()
        return held.stateless_call(trainable, other, batch, training=False)[0]

    return jax.jit(call)


def devices() -> list[str]:
    """Names of the devices, such as `cpu:0`."""
    return [f"{device.platform}:{device.id}" for device in jax.devices()]


def seed(number: int) -> None:
    """Seed what the backend draws by itself: nothing, Keras seeds every draw."""
