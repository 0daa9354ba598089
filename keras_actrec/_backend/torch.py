"""PyTorch."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch

from keras_actrec._backend.alone import (  # noqa: F401
    gather,
    join_processes,
    leave_processes,
    process,
    spread,
)
from keras_actrec._backend.stock import argmax  # noqa: F401 (the package takes them from here)
from keras_actrec._backend.taps import Linear  # noqa: F401
from keras_actrec._backend.torch_export import EXPORTS  # noqa: F401
from keras_actrec._backend.torch_graph import call_network
from keras_actrec._backend.torch_loop import loop  # noqa: F401
from keras_actrec._backend.torch_maps import (  # noqa: F401 (the package takes them from here)
    average_pool2d,
    batch_norm,
    conv2d,
    depthwise_conv2d,
    max_pool2d,
    relu,
)
from keras_actrec._types import Tensor

# See `frames_at_once`; measured with EfficientNet-Lite0, ResNet-50 and BN-Inception, two cores.
PIXELS_AT_ONCE = 4 * 224**2


def split(x: Any, sizes: Sequence[int]) -> list[Any]:
    """The parts of `x` along its last axis, of the given sizes."""
    return list(x.split(list(sizes), -1))


def with_steps_of(sequences: Tensor, mask: Tensor | None) -> Tensor:
    """The sequences; the numbers of steps are known before anything runs."""
    return sequences


def keep_programs() -> None:
    """Keep what is compiled for the next process: nothing is."""


def predictor(model: keras.Model) -> Callable[[Any], np.ndarray]:
    """A function of a batch, as `model.predict_on_batch`, that several threads may call."""

    def predict(batch: Any) -> np.ndarray:
        with torch.no_grad():
            answer = call_network(model, batch, training=False)
        answer = keras.tree.map_structure(keras.ops.convert_to_numpy, answer)
        # Torch's functions of trees leave circles, in which maps would lie for thousands of calls.
        gc.collect(1)
        return answer

    return predict


@contextmanager
def cores_shared(count: int) -> Iterator[None]:
    """As `stock.cores_shared`: by itself torch gives each thread all of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // count))  # of this thread, and of those that begin from now on
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gradient(
    model: keras.Model, inputs: dict[str, Any], by: str, of: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """As `jax.gradient`: the outputs by name, and the gradient of the sum of `of` by the input `by`."""
    given = {name: keras.ops.convert_to_tensor(array) for name, array in inputs.items()}
    given[by] = given[by].detach().requires_grad_()
    with torch.enable_grad():
        answers = model(given, training=False)
        (slope,) = torch.autograd.grad(answers[of].sum(), given[by])
    return keras.tree.map_structure(keras.ops.convert_to_numpy, (answers, slope))


def devices() -> list[str]:
    """Names of the devices, such as `cpu:0`."""
    return ["cpu:0"] + [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]


def seed(number: int) -> None:
    """Seed what the backend draws by itself: Keras leaves dropout to torch's own generator."""
    torch.manual_seed(number)


def generators() -> list[np.ndarray]:
    """States of torch's own generators: that of the CPU, and one a GPU."""
    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [state.numpy() for state in states]


def set_generators(states: Sequence[np.ndarray]) -> None:
    """Put back what `generators` gave."""
    cpu, *gpus = (torch.from_numpy(state) for state in states)
    torch.set_rng_state(cpu)
    for index, state in enumerate(gpus[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, index)
