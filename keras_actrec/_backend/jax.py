"""JAX."""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

import jax
import jax.numpy as jnp
import keras
import numpy as np

# The package takes these from here.
from keras_actrec._backend.jax_devices import (  # noqa: F401
    gather,
    join_processes,
    leave_processes,
    process,
    spread,
)
from keras_actrec._backend.jax_loop import LinearByRows as Linear  # noqa: F401
from keras_actrec._backend.jax_loop import loop  # noqa: F401
from keras_actrec._backend.jax_maps import average_pool2d, conv2d, depthwise_conv2d, max_pool2d  # noqa: F401
from keras_actrec._backend.jax_programs import keep_programs  # noqa: F401
from keras_actrec._backend.stock import (  # noqa: F401
    argmax,
    batch_norm,
    call_network,
    cores_shared,
    relu,
)
from keras_actrec._types import Tensor

# See `frames_at_once`; measured with EfficientNet-Lite0, ResNet-50 and BN-Inception, two cores.
PIXELS_AT_ONCE = 2 * 224**2


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


_GRADIENTS: WeakKeyDictionary[keras.Model, Callable[..., Any]] = WeakKeyDictionary()


def gradient(
    model: keras.Model, inputs: dict[str, Any], by: str, of: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What a model gives at test, whose inputs and outputs are dicts, and the gradient of one output's sum.

    Args:
        model: the model.
        inputs: arrays by name.
        by: name of the input, of floats, that the gradient is by.
        of: name of the output.

    Returns:
        The outputs by name, and the gradient, of the input's shape; all are NumPy arrays.
    """
    if model not in _GRADIENTS:
        weakly = ref(model)

        def value(of: str, x: Any, others: Any, trainable: Any, fixed: Any) -> Any:
            held: Any = weakly()
            (by,) = set(held.input) - set(others)
            answers = held.stateless_call(trainable, fixed, {**others, by: x}, training=False)[0]
            return jnp.sum(answers[of]), answers

        _GRADIENTS[model] = jax.jit(jax.value_and_grad(value, argnums=1, has_aux=True), static_argnums=0)
    others = {name: array for name, array in inputs.items() if name != by}
    trainable = [weight.value for weight in model.trainable_variables]
    fixed = [weight.value for weight in model.non_trainable_variables]
    (_, answers), slope = _GRADIENTS[model](of, jnp.asarray(inputs[by]), others, trainable, fixed)
    return keras.tree.map_structure(np.asarray, answers), np.asarray(slope)


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
