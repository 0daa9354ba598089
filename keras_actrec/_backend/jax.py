"""JAX."""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

import jax
import jax.numpy as jnp
import keras
import numpy as np

# The package takes these from here.
from keras_actrec._backend.jax_loop import LinearByRows as Linear  # noqa: F401
from keras_actrec._backend.jax_loop import loop  # noqa: F401
from keras_actrec._backend.jax_programs import keep_programs  # noqa: F401
from keras_actrec._backend.stock import (  # noqa: F401
    argmax,
    average_pool2d,
    batch_norm,
    call_network,
    conv2d,
    max_pool2d,
)
from keras_actrec._types import Tensor


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


def split(x: Any, sizes: Sequence[int]) -> list[Any]:
    """The parts of `x` along its last axis, of the given sizes."""
    return jnp.split(x, np.cumsum(sizes[:-1]).tolist(), axis=-1)


def with_steps_of(sequences: Tensor, mask: Tensor | None) -> Tensor:
    """The sequences; the numbers of steps are known before anything runs."""
    return sequences


EXPORTS: dict[str, Any] = {}  # PyTorch and TensorFlow write networks for other runtimes


_COMPILED: WeakKeyDictionary[keras.Model, Callable[..., Any]] = WeakKeyDictionary()


def predictor(model: keras.Model) -> Callable[[Any], np.ndarray]:
    """A function of a batch, as `model.predict_on_batch`, that several threads may call.

    Keras gives the weights away to its compiled function and takes them back, so it can run one at a time.
    """
    if model not in _COMPILED:
        weakly = ref(model)  # a function that held the model would keep itself alive

        def call(trainable: Any, other: Any, batch: Any) -> Any:
            held: Any = weakly()
            return held.stateless_call(trainable, other, batch, training=False)[0]

        _COMPILED[model] = jax.jit(call)
    compiled = _COMPILED[model]
    trainable = [weight.value for weight in model.trainable_variables]
    other = [weight.value for weight in model.non_trainable_variables]
    return lambda batch: keras.tree.map_structure(np.asarray, compiled(trainable, other, batch))


def devices() -> list[str]:
    """Names of the devices, such as `cpu:0`."""
    return [f"{device.platform}:{device.id}" for device in jax.devices()]


def seed(number: int) -> None:
    """Seed what the backend draws by itself: nothing, Keras seeds every draw."""


def generators() -> list[np.ndarray]:
    """States of the generators that the backend draws from by itself: none."""
    return []


def set_generators(states: Sequence[np.ndarray]) -> None:
    """Put back what `generators` gave."""
