"""What the Inception networks share: convolution units and poolings."""

from keras import layers

from keras_actrec._types import Tensor
from keras_actrec.backbones._width import scaled
from keras_actrec.layers import AveragePooling2D, BatchNormalization, Conv2D, MaxPooling2D, _initializers


class ConvUnits:
    """Adds convolutions, each with batch normalization and ReLU.

    Args:
        names: patterns of the names of convolution, normalization and ReLU, such as `"{}_bn"`.
        width: factor of every number of filters, which stays a multiple of 8.
        use_bias: of the convolutions.
        epsilon: of the normalizations.
    """

    def __init__(
        self, names: tuple[str, str, str], width: float, use_bias: bool = True, epsilon: float = 1e-5
    ) -> None:
        self.names = names
        self.width = width
        self.use_bias = use_bias
        self.epsilon = epsilon

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
        if padding == "symmetric":
            padding = "same"  # equal at stride 1
            if stride > 1:  # where `same` would put less on the left and on top
                sides = (kernel, kernel) if isinstance(kernel, int) else kernel
                x = layers.ZeroPadding2D((sides[0] // 2, sides[1] // 2), name=f"{conv}_pad")(x)
                padding = "valid"
        x = Conv2D(
            scaled(filters, self.width),
            kernel,
            stride,
            padding,
            use_bias=self.use_bias,
            kernel_initializer=_initializers.he_normal(),
            name=conv,
        )(x)
        x = BatchNormalization(momentum=0.9, epsilon=self.epsilon, name=norm)(x)
        return layers.ReLU(name=relu)(x)


def max_pool(x: Tensor, name: str) -> Tensor:
    """3 x 3 at stride 2, its last window half outside if need be (torch's `ceil_mode`); `x >= 0`."""
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    return MaxPooling2D(3, 2, "valid", name=name)(x)


def average_pool(x: Tensor, name: str) -> Tensor:
    """3 x 3 at stride 1 that counts the zeros around the map: always a ninth of the sum."""
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return AveragePooling2D(3, 1, "valid", name=name)(x)
