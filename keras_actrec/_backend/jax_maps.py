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
    total = _depthwise(x, keras.ops.convert_to_tensor(kernel)[..., 0], stride)
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
        x = self.pad(x, outside)
        for starts in self._starts():
            rows, columns = (
                slice(start, start + span, by)
                for start, span, by in zip(starts, self._spans, self._strides, strict=True)
            )
            yield x[:, rows, columns]

    def of_rows(self, padded: Any, image: Any, images: int, row: Any) -> Iterator[Any]:
        """As `of`, of one row of windows of some images, `(images, 1, W', C)`."""
        (down, right), span = self._strides, self._spans[1]
        lines = [
            lax.dynamic_slice(padded, (image, row * down + i, 0, 0), (images, 1, *padded.shape[2:]))
            for i in range(self._size[0])
        ]
        for i, j in self._starts():
            yield lines[i][:, :, j : j + span : right]

    def pad(self, x: Any, outside: float = 0.0) -> Any:
        """The maps with what windows see around them."""
        return jnp.pad(x, ((0, 0), *self._pads, (0, 0)), constant_values=outside)

    def apart(self, parts: Any) -> Any:
        """What each window has, `(B, H', W', C)`, in maps with zeros around it.

        There, windows of stride 1 are as many as cells of the maps, and each sees what those windows have
        that its cell is in, the first of them last.
        """
        pads = [
            (length - 1 - pad, side + pad - 1 - (count - 1) * by, by - 1)
            for length, (pad, _), side, count, by in zip(
                self._size, self._pads, self._sides, parts.shape[1:3], self._strides, strict=True
            )
        ]
        return lax.pad(parts, jnp.zeros((), parts.dtype), [(0, 0, 0), *pads, (0, 0, 0)])

    def reduce(self, x: Any, combine: Callable[[Any, Any], Any], outside: float = 0.0) -> Any:
        """All cells of a window in one, `(B, H', W', C)`: those of its rows first, then of its columns."""
        x = self.pad(x, outside)
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


def _sum_of_taps(windows: "_Windows", x: Any, kernel: Any) -> Any:
    """A depthwise convolution with `kernel (K, K, C)`."""
    total: Any = 0
    for cells, tap in zip(windows.of(x), kernel.reshape(-1, kernel.shape[-1]), strict=True):
        total = total + cells * tap
    return total


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(x: Any, kernel: Any, stride: int) -> Any:
    return _sum_of_taps(_Windows(x.shape, kernel.shape[:2], (stride, stride), "same"), x, kernel)


def _depthwise_forward(x: Any, kernel: Any, stride: int) -> tuple[Any, tuple[Any, Any]]:
    return _depthwise(x, kernel, stride), (x, kernel)


def _depthwise_backward(stride: int, kept: tuple[Any, Any], delta: Any) -> tuple[Any, Any]:
    """The gradient by the maps is a convolution too; that by the kernel is gathered row by row.

    Of a sum over whole maps, which JAX would make of the latter, XLA computes the products first and then the
    sum of a channel at a time: five times as long, with K * K maps in memory.
    """
    x, kernel = kept
    windows = _Windows(x.shape, kernel.shape[:2], (stride, stride), "same")
    apart = windows.apart(delta)
    around = _Windows(apart.shape, kernel.shape[:2], (1, 1), "valid")
    by_x = _sum_of_taps(around, apart, kernel[::-1, ::-1])

    padded, rows = windows.pad(x), delta.shape[1]
    # An image at a time fits the caches; a batch that is spread over devices is not to be gathered for that.
    images = 1 if jax.device_count() == 1 else len(x)

    def add(step: Any, sums: Sequence[Any]) -> tuple[Any, ...]:
        image, row = step // rows * images, step % rows
        below = lax.dynamic_slice(delta, (image, row, 0, 0), (images, 1, *delta.shape[2:]))
        seen = windows.of_rows(padded, image, images, row)
        return tuple(total + cells * below for total, cells in zip(sums, seen, strict=True))

    zeros = jnp.zeros((images, 1, *delta.shape[2:]), jnp.promote_types(delta.dtype, "float32"))
    sums = lax.fori_loop(0, len(x) // images * rows, add, (zeros,) * kernel[..., 0].size)
    taps = [lax.optimization_barrier(total).sum((0, 1, 2)) for total in sums]
    return by_x, jnp.stack(taps).reshape(kernel.shape).astype(kernel.dtype)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


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
