"""TensorFlow: `tf.while_loop` over `TensorArray`s."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_actrec._backend.stock import (  # noqa: F401 (the package takes them from here)
    average_pool2d,
    batch_norm,
    call_network,
    conv2d,
    depthwise_conv2d,
    max_pool2d,
)
from keras_actrec._types import Tensor


def loop(
    step: Callable[..., tuple[Any, Any]], states: Any, sequences: Any, unroll: bool = False
) -> tuple[Any, Any]:
    """Run `step(states, inputs) -> (outputs, states)` along the first axis of `sequences`.

    Returns the outputs, stacked along a new first axis, and the last states. The first step runs
    before the loop: it tells the loop the structure, types and shapes of the outputs.
    """
    flat = tf.nest.flatten(sequences)
    length = tf.shape(flat[0])[0]

    def at(t: Any) -> Any:
        return tf.nest.pack_sequence_as(sequences, [sequence[t] for sequence in flat])

    outputs, states = step(states, at(0))
    if unroll:
        collected = [tf.nest.flatten(outputs)]
        for t in range(1, flat[0].shape[0]):
            step_outputs, states = step(states, at(t))
            collected.append(tf.nest.flatten(step_outputs))
        stacked = [tf.stack(steps) for steps in zip(*collected, strict=True)]
        return tf.nest.pack_sequence_as(outputs, stacked), states

    arrays = [
        tf.TensorArray(output.dtype, size=length, element_shape=output.shape).write(0, output)
        for output in tf.nest.flatten(outputs)
    ]

    def body(t: Any, states: Any, arrays: list[Any]) -> tuple[Any, Any, list[Any]]:
        step_outputs, states = step(states, at(t))
        arrays = [
            array.write(t, out) for array, out in zip(arrays, tf.nest.flatten(step_outputs), strict=True)
        ]
        return t + 1, states, arrays

    _, states, arrays = tf.while_loop(
        lambda t, *_: t < length, body, (tf.constant(1), states, arrays), maximum_iterations=length
    )
    stacked = [array.stack() for array in arrays]
    for output in stacked:
        output.set_shape([flat[0].shape[0], *output.shape[1:]])
    return tf.nest.pack_sequence_as(outputs, stacked), states


def with_steps_of(sequences: Tensor, mask: Tensor | None) -> Tensor:
    """The sequences, which are an error where they come without steps, or with others than their mask has."""
    steps = tf.shape(sequences)[1]
    wrong = [tf.debugging.assert_positive(steps, "`sequences` have no steps: give one at least")]
    if mask is not None:
        words = "`mask` and `sequences` must have as many steps"
        wrong.append(tf.debugging.assert_equal(tf.shape(mask)[1], steps, words))
    with tf.control_dependencies(wrong):
        return tf.identity(sequences)


def predictor(model: keras.Model) -> Callable[[Any], np.ndarray]:
    """A function of a batch, as `model.predict_on_batch`, that several threads may call."""
    return model.predict_on_batch


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
