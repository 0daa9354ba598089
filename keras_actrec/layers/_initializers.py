"""Initial weights drawn by NumPy: JAX would compile every draw of a new shape, minutes for a large model."""

from typing import Any

import keras
import numpy as np

from keras_actrec._types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_actrec")
class VarianceScaling(keras.initializers.VarianceScaling):
    """`keras.initializers.VarianceScaling` for the distributions `"uniform"` and `"untruncated_normal"`."""

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        rng = np.random.default_rng(self.seed)
        field = int(np.prod(shape[:-2]))
        fan_in, fan_out = field * shape[-2], field * shape[-1]
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            values = rng.random(shape, dtype="float32")
            values -= 0.5
            values *= np.sqrt(12 * variance)
        else:
            values = rng.standard_normal(shape, dtype="float32")
            values *= np.sqrt(variance)
        return keras.ops.convert_to_tensor(values, dtype=dtype)


def glorot_uniform() -> VarianceScaling:
    """Uniform with variance 2 / (fan in + fan out)."""
    return VarianceScaling(1.0, "fan_avg", "uniform")


def he_normal(mode: str = "fan_in") -> VarianceScaling:
    """Normal with variance 2 / fan."""
    return VarianceScaling(2.0, mode, "untruncated_normal")


@keras.saving.register_keras_serializable("keras_actrec")
class Orthogonal(keras.initializers.Orthogonal):
    """A matrix whose rows, or whose columns where they are fewer, are orthonormal.

    Random signs and discrete Hartley transforms in turn, three times, mix the rows of a unit matrix: n log n
    operations a row, where the QR decomposition of a 2048 x 10240 matrix takes 4 s. Choromanski et al.,
    arXiv 1703.00864.
    """

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        rng = np.random.default_rng(self.seed)
        short, long = sorted((int(np.prod(shape[:-1])), shape[-1]))
        values = np.zeros((short, long), "float32")
        values[np.arange(short), rng.permutation(long)[:short]] = self.gain
        signs = rng.choice(np.array([-1, 1], "float32"), (3, long))
        for start in range(0, short, 16):  # few rows at a time stay in the cache
            rows = values[start : start + 16]
            for sign in signs:
                rows = _hartley(rows * sign)
            values[start : start + 16] = rows
        if short == shape[-1]:
            values = values.T
        return keras.ops.convert_to_tensor(values.reshape(shape), dtype=dtype)


def _hartley(rows: np.ndarray) -> np.ndarray:
    """The orthonormal discrete Hartley transform of every row."""
    half, size = np.fft.rfft(rows, norm="ortho"), rows.shape[1]
    return np.concatenate(
        [half.real - half.imag, (half.real + half.imag)[:, (size - 1) // 2 : 0 : -1]], axis=1
    )
