"""The only package that knows which backend runs.

Every backend has one module here with the same functions:

- `loop(step, states, sequences, unroll=False)`: the recurrent loop.
- `depthwise_conv2d(x, kernel, stride)`: a depthwise convolution with `same` padding.
- `predict(model, batches)`: the answers of a model to several batches, best `concurrency()` of them.
- `devices()`: names of the devices that the backend sees.
- `seed(number)`: seeds what the backend draws without Keras.

Nothing else in the library asks for the backend or imports one.
"""

from keras_actrec._backend_choice import ensure_backend

ensure_backend()

import keras  # noqa: E402  (only after the backend is chosen)

name = keras.backend.backend()

if name == "jax":
    from keras_actrec._backend.jax import concurrency, depthwise_conv2d, devices, loop, predict, seed
elif name == "torch":
    from keras_actrec._backend.torch import concurrency, depthwise_conv2d, devices, loop, predict, seed
elif name == "tensorflow":
    from keras_actrec._backend.tensorflow import concurrency, depthwise_conv2d, devices, loop, predict, seed
else:
    raise ImportError(f"keras_actrec runs on jax, torch or tensorflow. Received: KERAS_BACKEND={name}")

__all__ = ["concurrency", "depthwise_conv2d", "devices", "loop", "name", "on_cpu", "predict", "seed"]


def on_cpu() -> bool:
    """Whether the backend has no faster device than a CPU."""
    return all(device.lower().startswith("cpu") for device in devices())
