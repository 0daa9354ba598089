"""A convolution over time that sees no padding."""

from typing import Any

import keras
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Tensor
from keras_actrec.layers.convolutions import Conv2D


@keras.saving.register_keras_serializable("keras_actrec")
class StepConvolution(Conv2D):
    """Convolves each place over the steps: `(B, T, V, C)` -> `(B, T, V, filters)`.

    Beyond the first and the last step, and where a mask is False, there are zeros.

    Args:
        filters: channels of the result.
        steps: T of the kernel.
        **kwargs: as of `keras.layers.Conv2D`, without its kernel and padding.

    Call arguments:
        inputs: `(B, T, V, C)`; B and T may be unknown.
        mask: bool `(B, T)`, False where a step is padding. It hands no mask on.
    """

    def __init__(self, filters: int, steps: int = 9, **kwargs: Any) -> None:
        steps = whole("steps", steps)
        super().__init__(filters, (steps, 1), padding="same", **kwargs)
        self.steps = steps
        self.supports_masking = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            inputs = ops.where(mask[:, :, None, None], inputs, ops.zeros_like(inputs))
        return super().call(inputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "steps": self.steps}
        del config["kernel_size"], config["padding"]
        return config
