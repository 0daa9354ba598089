"""PyTorch's own convolution, pooling and normalization of maps, channels last in memory.

Keras lays each map out channels first and back around every one of them, and normalizes in a dozen steps.
Here a map `(B, H, W, C)` is seen as `(B, C, H, W)` where it lies, which torch calls channels last.
"""

from collections.abc import Sequence

import keras
import torch
from torch.nn import functional

from keras_actrec._backend import stock


def conv2d(
    x: torch.Tensor,
    kernel: torch.Tensor,
    bias: torch.Tensor | None = None,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    dilation: int | Sequence[int] = 1,
) -> torch.Tensor:
    """As `stock.conv2d`."""
    kernel = keras.ops.convert_to_tensor(kernel).permute(3, 2, 0, 1).contiguous()
    bias = None if bias is None else keras.ops.convert_to_tensor(bias)
    strides, dilation = _pair(strides), _pair(dilation)
    if kernel.shape[2:] == (1, 1) and strides != (1, 1):
        # What it steps over has no part in it. By itself torch 2.13, and so Keras, gives a wrong gradient of
        # such a kernel on CPUs where maps are channels last, of 4 channels for one.
        x, strides = x[:, :: strides[0], :: strides[1]], (1, 1)
    maps = _channels_first(x)
    start = end = (0, 0)
    if padding == "same":
        sides = [(size - 1) * step + 1 for size, step in zip(kernel.shape[2:], dilation, strict=True)]
        start, end = _same(x, sides, strides)
        if start != end:  # torch pads evenly
            maps = functional.pad(maps, (start[1], end[1], start[0], end[0]))
            start = (0, 0)
    groups = maps.shape[1] // kernel.shape[1]
    return _channels_last(functional.conv2d(maps, kernel, bias, strides, start, dilation, groups))


def depthwise_conv2d(
    x: torch.Tensor, kernel: torch.Tensor, stride: int, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """As `stock.depthwise_conv2d`."""
    kernel = keras.ops.convert_to_tensor(kernel)
    if kernel.shape[0] == 1:
        return conv2d(x, kernel.swapaxes(2, 3), bias, stride, "same")
    bias = None if bias is None else keras.ops.convert_to_tensor(bias)
    start, end = _same(x, kernel.shape[:2], (stride, stride))
    # Torch pads evenly. A zero in front of the kernel costs less than a copy of the maps with zeros behind.
    kernel, zeros = kernel.permute(2, 3, 0, 1), (end[1] - start[1], 0, end[0] - start[0], 0)
    if any(zeros):  # ONNX Runtime does not open some files in which a kernel is padded by nothing
        kernel = functional.pad(kernel, zeros)
    maps = functional.conv2d(_channels_first(x), kernel.contiguous(), bias, stride, end, 1, x.shape[-1])
    return _channels_last(maps)


def relu(x: torch.Tensor, most: float | None = None) -> torch.Tensor:
    """As `stock.relu`; without gradients in place, as new memory costs more than all of it."""
    return x.clamp(0, most) if torch.is_grad_enabled() else x.clamp_(0, most)


def max_pool2d(x: torch.Tensor, size: Sequence[int], strides: Sequence[int], padding: str) -> torch.Tensor:
    """As `stock.max_pool2d`."""
    same = padding == "same"
    start, end = _same(x, size, strides) if same else ((0, 0), (0, 0))
    if any(a != b and step == 1 for a, b, step in zip(start, end, strides, strict=True)):
        return stock.max_pool2d(x, size, strides, padding)
    # `ceil_mode` lets the last window reach one further out than the first, as `same` padding does.
    return _channels_last(
        functional.max_pool2d(_channels_first(x), tuple(size), tuple(strides), start, ceil_mode=same)
    )


def average_pool2d(
    x: torch.Tensor, size: Sequence[int], strides: Sequence[int], padding: str
) -> torch.Tensor:
    """As `stock.average_pool2d`."""
    if padding == "same":
        return stock.average_pool2d(x, size, strides, padding)
    return _channels_last(functional.avg_pool2d(_channels_first(x), tuple(size), tuple(strides)))


def batch_norm(
    x: torch.Tensor,
    gamma: torch.Tensor | None,
    beta: torch.Tensor | None,
    epsilon: float,
    statistics: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `stock.batch_norm`; 16-bit maps stay so, and are computed in float32."""
    channels, count = x.shape[-1], x.numel() // x.shape[-1]
    if x.dim() < 3 or count < 2:
        return stock.batch_norm(x, gamma, beta, epsilon, statistics)
    # For torch, all between the batch and the last two axes is height.
    maps = _channels_first(x.reshape(x.shape[0], -1, x.shape[-2], channels))
    kind = torch.promote_types(x.dtype, torch.float32)
    gamma, beta = (
        each if each is None else keras.ops.convert_to_tensor(each).to(kind) for each in (gamma, beta)
    )
    if statistics:
        mean, variance = (keras.ops.convert_to_tensor(each).to(kind) for each in statistics)
        maps = functional.batch_norm(maps, mean, variance, gamma, beta, eps=epsilon)
    else:
        # With momentum 1 torch's averages become the batch's own mean and, over n - 1, variance.
        mean, variance = (torch.zeros(channels, dtype=kind, device=x.device) for _ in range(2))
        maps = functional.batch_norm(maps, mean, variance, gamma, beta, True, 1.0, epsilon)
        variance = variance * ((count - 1) / count)
    return _channels_last(maps).reshape(x.shape), mean, variance


def _channels_first(x: torch.Tensor) -> torch.Tensor:
    """`(B, H, W, C)` seen as `(B, C, H, W)`; only what does not lie in that order is copied."""
    return x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _same(
    x: torch.Tensor, size: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """How much `same` padding puts before and behind the rows and columns of `x`."""
    rows, columns = (
        max((-(-side // step) - 1) * step + window - side, 0)
        for side, window, step in zip(x.shape[1:3], size, strides, strict=True)
    )
    return (rows // 2, columns // 2), (rows - rows // 2, columns - columns // 2)
