"""A part of the channels moved by one frame."""

from typing import Any

import keras
from keras import ops

from keras_actrec._numbers import whole
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError


@keras.saving.register_keras_serializable("keras_actrec")
class TemporalShift(keras.layers.Layer):
    """Let frames see their neighbors, without weights or multiplications.

    With `n = C // fold`, frame t keeps all channels but the first `2 n`: n of them come from frame t + 1, the
    next n from frame t - 1. Before the first frame and after the last is zero. The online form waits for no
    frame to come: the first n channels come from frame t - 1, and all others stay.

    Args:
        fold: the share of the channels that moves either way is 1 / fold.
        online: whether frames see only the past.

    Call arguments:
        inputs: `(B, T, ..., C)`, with anything between T and C; all but C may be unknown.
        mask: bool `(B, T)`, False where a frame is padding: zero comes from it.

    Returns:
        The same shape.

    Raises:
        UserError: where fold is less than 2 or C less than fold.

    Reference: Lin et al., arXiv 1811.08383 (TSM), sections 4.1 (offline) and 4.2 (online).
    """

    def __init__(self, fold: int = 8, online: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fold = whole("fold", fold, 2)
        self.online = bool(online)
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        if len(inputs_shape) < 3 or inputs_shape[-1] < self.fold:
            raise UserError(
                f"`inputs` must be (B, T, ..., C) with C at least fold={self.fold}. "
                f"Received: shape={tuple(inputs_shape)}"
            )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        x = without_padding(inputs, mask)
        part = x.shape[-1] // self.fold
        if self.online:
            return ops.concatenate([from_previous(x[..., :part]), x[..., part:]], axis=-1)
        moved = [from_next(x[..., :part]), from_previous(x[..., part : 2 * part])]
        return ops.concatenate([*moved, x[..., 2 * part :]], axis=-1)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fold": self.fold, "online": self.online}


def from_next(x: Tensor) -> Tensor:
    """Frame t + 1 at t, and zero at the last: `(B, T, ...)` -> the same shape."""
    return ops.concatenate([x[:, 1:], ops.zeros_like(x[:, :1])], axis=1)


def from_previous(x: Tensor) -> Tensor:
    """Frame t - 1 at t, and zero at the first: `(B, T, ...)` -> the same shape."""
    return ops.concatenate([ops.zeros_like(x[:, :1]), x[:, :-1]], axis=1)


def without_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zero where the mask `(B, T)` is False."""
    if mask is None:
        return x
    mask = ops.reshape(ops.cast(mask, "bool"), (*ops.shape(mask), *[1] * (len(x.shape) - 2)))
    return ops.where(mask, x, 0)
