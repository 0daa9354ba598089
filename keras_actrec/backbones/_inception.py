"""What the Inception networks share: convolution units and poolings."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from keras import layers

from keras_actrec._types import Tensor
from keras_actrec.backbones._width import scaled
from keras_actrec.errors import UserError
from keras_actrec.layers import _initializers

Wrappers: TypeAlias = Mapping[str, Callable[[Tensor], Tensor]]


class ConvUnits:
    """Adds convolutions, each with batch normalization and ReLU, and what callers wrap them with.

    Args:
        names: patterns of the names of convolution, normalization and ReLU, such as `"{}_bn"`.
        width: factor of every number of filters, which stays a multiple of 8.
        before: by a convolution's name, a function of its input.
        after: by a convolution's name, a function of its output, which is then normalized.
    """

    def __init__(
        self, names: tuple[str, str, str], width: float, before: Wrappers | None, after: Wrappers | None
    ) -> None:
        self.names = names
        self.width = width
        self.before = dict(before or {})
        self.after = dict(after or {})

    def __call__(
        self,
        x: Tensor,
        name: str,
        filters: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: str = "symmetric",
    ) -> Tensor:
        """`padding` is `"symmetric"`, half the kernel on every side as in torch, or `"valid"`."""
        conv, norm, relu = (pattern.format(name) for pattern in self.names)
        x = self.before.pop(conv, _unchanged)(x)
        if padding == "symmetric":
            padding = "same"  # equal at stride 1
            if stride > 1:  # where `same` would put less on the left and on top
                sides = (kernel, kernel) if isinstance(kernel, int) else kernel
                x = layers.ZeroPadding2D((sides[0] // 2, sides[1] // 2), name=f"{conv}_pad")(x)
                padding = "valid"
        x = layers.Conv2D(
            scaled(filters, self.width),
            kernel,
            stride,
            padding,
            kernel_initializer=_initializers.he_normal(),
            name=conv,
        )(x)
        x = self.after.pop(conv, _unchanged)(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=norm)(x)
        return layers.ReLU(name=relu)(x)

    def check_all_used(self) -> None:
        """Raise a UserError if `before` or `after` named a convolution that was not added."""
        for name in (*self.before, *self.after):
            raise UserError(f"no convolution is called {name!r}: `before` and `after` cannot wrap it")


def _unchanged(x: Tensor) -> Tensor:
    return x


def max_pool(x: Tensor, name: str) -> Tensor:
    """3 x 3 at stride 2, its last window half outside if need be (torch's `ceil_mode`); `x >= 0`."""
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    return layers.MaxPooling2D(3, 2, "valid", name=name)(x)


def average_pool(x: Tensor, name: str) -> Tensor:
    """3 x 3 at stride 1 that counts the zeros around the map: always a ninth of the sum."""
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return layers.AveragePooling2D(3, 1, "valid", name=name)(x)
