"""JAX: `lax.scan`."""

import jax
import jax.numpy as jnp
import keras
from jax import lax


def loop(step, states, sequences, unroll=False):
    """Run `step(states, inputs) -> (outputs, states)` along the first axis of `sequences`.

    Returns the outputs, stacked along a new first axis, and the last states.
    """

    def body(carry, inputs):
        outputs, carry = step(carry, inputs)
        return carry, outputs

    length = jax.tree.leaves(sequences)[0].shape[0]
    states, outputs = lax.scan(body, states, sequences, unroll=length if unroll else 1)
    return outputs, states


def depthwise_conv2d(x, kernel, stride):
    """Depthwise convolution of `x (B, H, W, C)` with `kernel (k, k, C, 1)`, `same` padding.

    XLA has no fast one on CPUs: there it is a sum of shifted inputs times one tap each, which XLA fuses.
    """
    if jax.default_backend() != "cpu":
        return keras.ops.depthwise_conv(x, kernel, stride, "same", "channels_last")
    size = kernel.shape[0]
    outs = [-(-side // stride) for side in x.shape[1:3]]
    pads = [max((out - 1) * stride + size - side, 0) for out, side in zip(outs, x.shape[1:3], strict=True)]
    x = jnp.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))
    total = 0
    for i in range(size):
        for j in range(size):
            rows = slice(i, i + (outs[0] - 1) * stride + 1, stride)
            columns = slice(j, j + (outs[1] - 1) * stride + 1, stride)
            total = total + x[:, rows, columns] * kernel[i, j, :, 0]
    return total


def devices():
    """Names of the devices, such as `cpu:0`."""
    return [f"{device.platform}:{device.id}" for device in jax.devices()]


def seed(number):
    """Seed what the backend draws by itself: nothing, Keras seeds every draw."""
