"""Types that the whole library annotates with. Nothing heavier than the standard library is imported here."""

import os
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias


class Tensor(Protocol):
    """A tensor of the backend, or a `keras.KerasTensor` while a model is built: they share no class."""

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...


# The size of each axis, None where it is unknown. Not `int | None`: layers compute with the axes that they
# need known, and the type cannot say which these are.
Shape: TypeAlias = tuple[Any, ...]

PathLike: TypeAlias = str | os.PathLike[str]

# Called with what is done and what there is to do.
Progress: TypeAlias = Callable[[int, int], object]


class StageProgress(Protocol):
    """Called with a stage of the work, what is done of it, what there is to do, and maybe a text about it.

    What is done need not be whole: 2.5 epochs are two and half of the batches of the third.
    """

    def __call__(self, stage: str, done: float, total: int, text: str = "", /) -> object: ...


def silent(*told: object) -> None:
    """What takes the place of a `Progress`, a `StageProgress` or a `tell` where nobody listens."""
