"""Convolution and pooling of maps in forms that XLA computes fast on CPUs."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax

from keras_actrec._backend import stock
from keras_actrec._backend.stock import Sides
from keras_actrec._types import Tensor


def conv2d(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    strides: Sides = 1,
    padding: str = "valid",
    dilation: Sides = 1,
) -> Tensor:
    """As `stock.conv2d`; with a kernel of one cell a product of matrices.

    The gradient of such a kernel is one too: XLA takes it for a convolution whose window is as large as the
    map, two to three times as slow.
    """
    if kernel.shape[:2] != (1, 1) or kernel.shape[2] != x.shape[-1]:
        return stock.conv2d(x, kernel, bias, strides, padding, dilation)
    down, right = (strides, strides) if isinstance(strides, int) else strides
    x = keras.ops.matmul(x[:, ::down, ::right], keras.ops.convert_to_tensor(kernel)[0, 0])
    return x if bias is None else x + bias


def depthwise_conv2d(x: Tensor, kernel: Tensor, stride: int, bias: Tensor | None = None) -> Tensor:
    """As `stock.depthwise_conv2d`.

    XLA has no fast one on CPUs. On a CPU it is a sum of shifted inputs times one tap each, which XLA fuses.
    """
    if jax.default_backend() != "cpu":
        return stock.depthwise_conv2d(x, kernel, stride, bias)
    size = kernel.shape[0]
    windows = _Windows(x.shape, (size, size), (stride, stride), "same")
    taps = zip(windows.of(x), [kernel[i, j, :, 0] for i in range(size) for j in range(size)], strict=True)
    total: Any = 0
    for cells, tap in taps:
        total = total + cells * tap
    return total if bias is None else total + bias


def max_pool2d(x: Tensor, size: Sequence[int], strides: Sequence[int], padding: str) -> Tensor:
    """Largest value of each window of `x (B, H, W, C)`; the first of equal ones has the gradient.

    On CPUs, XLA's own takes two to five times as long as this one, and its gradient five times.
    """
    if jax.default_backend() != "cpu" or np.prod(size) > 255:
        return stock.max_pool2d(x, size, strides, padding)
    return _max_pool(x, tuple(size), tuple(strides), padding)


def average_pool2d(x: Tensor, size: Sequence[int], strides: Sequence[int], padding: str) -> Tensor:
    """As `stock.average_pool2d`.

    XLA's own takes up to four times as long on CPUs.
    """
    if jax.default_backend() != "cpu" or np.prod(size) > 255:
        return stock.average_pool2d(x, size, strides, padding)
    windows = _Windows(x.shape, size, strides, padding)
    whole: Any = keras.ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    inside = windows.reduce(jnp.ones((1, *x.shape[1:3], 1), whole.dtype), jnp.add)
    return keras.ops.cast(windows.reduce(whole, jnp.add) / inside, x.dtype)


class _Windows:
    """Windows over maps `(B, H, W, C)`: which cells the first of each window sees, the second, and so on."""

    def __init__(self, shape: Sequence[int], size: Sequence[int], strides: Sequence[int], padding: str):
        self._sides, self._size, self._strides = shape[1:3], size, strides
        self._pads = [(0, 0), (0, 0)]
        if padding == "same":
            self._pads = [
                ((pad := max((-(-side // by) - 1) * by + length - side, 0)) // 2, pad - pad // 2)
                for side, length, by in zip(self._sides, size, strides, strict=True)
            ]
        self._padded = [side + sum(pads) for side, pads in zip(self._sides, self._pads, strict=True)]
        self._spans = [  # from the first cell of a kind to behind the last
            (whole - length) // by * by + 1
            for whole, length, by in zip(self._padded, size, strides, strict=True)
        ]

    def _starts(self) -> Iterator[tuple[int, int]]:
        return ((i, j) for i in range(self._size[0]) for j in range(self._size[1]))

    def of(self, x: Any, outside: float = 0.0) -> Iterator[Any]:
        """For each cell of a window what all windows have there, `(B, H', W', C)`."""
        x = self._pad(x, outside)
        for starts in self._starts():
            rows, columns = (
                slice(start, start + span, by)
                for start, span, by in zip(starts, self._spans, self._strides, strict=True)
            )
            yield x[:, rows, columns]

    def _pad(self, x: Any, outside: float) -> Any:
        return jnp.pad(x, ((0, 0), *self._pads, (0, 0)), constant_values=outside)

    def reduce(self, x: Any, combine: Callable[[Any, Any], Any], outside: float = 0.0) -> Any:
        """All cells of a window in one, `(B, H', W', C)`: those of its rows first, then of its columns."""
        x = self._pad(x, outside)
        sides = zip(self._size, self._spans, self._strides, strict=True)
        for axis, (length, span, by) in enumerate(sides, start=1):
            cells = (lax.slice_in_dim(x, i, i + span, by, axis) for i in range(length))
            x = functools.reduce(combine, cells)
        return x

    def back(self, parts: Sequence[Any]) -> Any:
        """The sum of what `of` took apart, each where it was."""
        total: Any = 0
        for starts, part in zip(self._starts(), parts, strict=True):
            around = [
                (start, whole - start - span, by - 1)
                for start, whole, span, by in zip(
                    starts, self._padded, self._spans, self._strides, strict=True
                )
            ]
            total = total + lax.pad(part, jnp.zeros((), part.dtype), [(0, 0, 0), *around, (0, 0, 0)])
        (top, _), (left, _) = self._pads
        return total[:, top : top + self._sides[0], left : left + self._sides[1]]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: Any, size: tuple[int, ...], strides: tuple[int, ...], padding: str) -> Any:
    return _Windows(x.shape, size, strides, padding).reduce(x, jnp.maximum, -np.inf)


def _max_pool_forward(x: Any, size: tuple[int, ...], strides: tuple[int, ...], padding: str) -> Any:
    windows = _Windows(x.shape, size, strides, padding).of(x, -np.inf)
    largest = next(windows)
    where = jnp.zeros(largest.shape, jnp.uint8)
    for index, cells in enumerate(windows, start=1):
        larger = cells > largest
        where = jnp.where(larger, jnp.uint8(index), where)
        largest = jnp.where(larger, cells, largest)
    return largest, (where, x.shape)


def _max_pool_backward(
    size: tuple[int, ...], strides: tuple[int, ...], padding: str, kept: Any, delta: Any
) -> tuple[Any]:
    where, shape = kept
    parts = [jnp.where(where == index, delta, 0) for index in range(int(np.prod(size)))]
    return (_Windows(shape, size, strides, padding).back(parts),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)
