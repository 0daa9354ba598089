"""Products of a recurrent loop whose weights get their gradient once, after the loop.

Backpropagation through a loop multiplies at every step `x_t^T delta_t`, a matrix as large as the kernel, and
adds it up: for small batches that is most of the work. Here each product of a step adds a *tap*, a zero (or
the bias) that stands for this step alone. The gradient of the tap is the product's `delta_t`. Where the
inputs `x_t` are collected too, the kernel's gradient is one product after the loop,

    dK = sum_t x_t^T delta_t = [x_1; ...; x_T]^T [delta_1; ...; delta_T],    db = sum_t delta_t

and inside the loop the kernel is a constant. `loop(..., with_taps=True)` of each backend does it for all that
is multiplied by a `Linear`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import keras
from keras import ops

from keras_actrec._types import Tensor

# Called in a step with the product and its input `(B, D)`; gives the product with its tap.
Recorder: TypeAlias = Callable[["Linear", Tensor], Tensor]


class _OfThread(threading.local):
    recorder: Recorder | None = None


_active = _OfThread()


@contextmanager
def recorded_by(recorder: Recorder | None) -> Iterator[None]:
    """Hands every product of `Linear` in this thread to `recorder`, or, by None, to nobody."""
    before, _active.recorder = _active.recorder, recorder
    try:
        yield
    finally:
        _active.recorder = before


class Linear:
    """`x kernel + bias` with the kernels one below the other, and the inputs one beside the other.

    `Linear(k_1, k_2, bias=b)(x_1, x_2)` is `x_1 k_1 + x_2 k_2 + b`. Made before the loop, so that weights are
    read, cast and joined once.

    Args:
        kernels: `(D_i, N)`, variables or tensors.
        bias: `(N,)`, or None for none.
    """

    def __init__(self, *kernels: Any, bias: Any = None) -> None:
        parts = [fixed(kernel) for kernel in kernels]
        self.kernel = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=0)
        self.bias = None if bias is None else fixed(bias)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The product for inputs `(..., D_i)`."""
        x = inputs[0] if len(inputs) == 1 else ops.concatenate(inputs, axis=-1)
        if _active.recorder is not None and len(x.shape) == 2:
            return _active.recorder(self, x)
        product = self.multiply(x) if len(x.shape) == 2 else self.multiply_steps(x)
        return product if self.bias is None else product + self.bias

    def multiply(self, x: Tensor) -> Tensor:
        """`x kernel` for `x (B, D)`, the inputs beside one another."""
        return ops.matmul(x, self.kernel)

    def multiply_steps(self, x: Tensor) -> Tensor:
        """The same for `x (..., D)`."""
        product = self.multiply(ops.reshape(x, (-1, x.shape[-1])))
        return ops.reshape(product, (*ops.shape(x)[:-1], product.shape[-1]))


def fixed(weight: Any) -> Any:
    """A weight as a tensor, of the type that it is cast to where it is read: what a loop sees at every step.

    A block that runs again does so outside of the layer's call, and so of what casts its variables.
    """
    value = weight.value if isinstance(weight, keras.Variable) else weight
    # With its type: on torch, a variable in a symbolic call forgets the one that it is cast to.
    return ops.convert_to_tensor(value, dtype=weight.dtype)
