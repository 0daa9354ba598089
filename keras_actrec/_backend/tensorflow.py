"""TensorFlow."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_actrec._backend.alone import (  # noqa: F401
    gather,
    join_processes,
    leave_processes,
    process,
    spread,
)
from keras_actrec._backend.stock import (  # noqa: F401 (the package takes them from here)
    average_pool2d,
    batch_norm,
    call_network,
    conv2d,
    cores_shared,
    depthwise_conv2d,
    max_pool2d,
    relu,
)
from keras_actrec._backend.tensorflow_export import EXPORTS  # noqa: F401
from keras_actrec._backend.tensorflow_loop import LinearInVectors as Linear  # noqa: F401
from keras_actrec._backend.tensorflow_loop import loop  # noqa: F401
from keras_actrec._types import Tensor

# See `frames_at_once`; measured with EfficientNet-Lite0, ResNet-50 and BN-Inception, two cores.
PIXELS_AT_ONCE = 8 * 224**2


def argmax(x: Any) -> Any:
    """Index of the largest value along the last axis, the first of several.

    Keras tells -0 and 0 apart, by operations that LiteRT has not.
    """
    return tf.argmax(x, axis=-1, output_type=tf.int32)


def split(x: Any, sizes: Sequence[int]) -> list[Any]:
    """The parts of `x` along its last axis, of the given sizes."""
    return tf.split(x, list(sizes), axis=-1)


def with_steps_of(sequences: Tensor, mask: Tensor | None) -> Tensor:
    """The sequences, which are an error where they come without steps, or with others than their mask has."""
    steps = tf.shape(sequences)[1]
    wrong = [tf.debugging.assert_positive(steps, "`sequences` have no steps: give one at least")]
    if mask is not None:
        words = "`mask` and `sequences` must have as many steps"
        wrong.append(tf.debugging.assert_equal(tf.shape(mask)[1], steps, words))
    with tf.control_dependencies(wrong):
        return tf.identity(sequences)


def keep_programs() -> None:
    """Keep what is compiled for the next process: nothing is."""


def predictor(model: keras.Model) -> Callable[[Any], np.ndarray]:
    """A function of a batch, as `model.predict_on_batch`, that several threads may call."""
    return model.predict_on_batch


def gradient(
    model: keras.Model, inputs: dict[str, Any], by: str, of: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """As `jax.gradient`: the outputs by name, and the gradient of the sum of `of` by the input `by`."""
    given = {name: tf.convert_to_tensor(array) for name, array in inputs.items()}
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(given[by])
        answers = model(given, training=False)
        total = tf.reduce_sum(answers[of])
    slope = tape.gradient(total, given[by])
    return keras.tree.map_structure(keras.ops.convert_to_numpy, (answers, slope))


def devices() -> list[str]:
    """Names of the devices, such as `CPU:0`."""
    return [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]


def seed(number: int) -> None:
    """Seed what the backend draws by itself: nothing, Keras seeds every draw."""


def generators() -> list[np.ndarray]:
    """States of the generators that the backend draws from by itself: none."""
    return []


def set_generators(states: Sequence[np.ndarray]) -> None:
    """Put back what `generators` gave."""
