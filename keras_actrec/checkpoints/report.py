"""What of a file of weights goes into a model, and what was left."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np

from keras_actrec._types import Shape
from keras_actrec.errors import UserError

CLASSIFIER = "classifier"


class Misfit(NamedTuple):
    """A tensor of a file that has another shape than the weight of its name, and how they differ."""

    tensor: str
    weight: str
    words: str


@dataclass(frozen=True)
class LoadReport:
    """What was loaded of a file; as a string, a paragraph.

    Attributes:
        path: the file.
        model: name of the model.
        loaded: names of the tensors that were loaded.
        unused: names of the tensors that nothing in the model takes.
        missing: paths of the model's weights that the file has nothing for; they are as they were.
        classes: number of classes in the file and in the model where the classifier was left, else None.
        misfits: tensors that were left for their shape.
    """

    path: str
    model: str
    loaded: tuple[str, ...]
    unused: tuple[str, ...]
    missing: tuple[str, ...]
    classes: tuple[int, int] | None = None
    misfits: tuple[Misfit, ...] = ()

    def __str__(self) -> str:
        text = (
            f"{self.path} into {self.model}: {len(self.loaded)} tensors loaded; {len(self.unused)} left in "
            f"the file{_in_brackets(self.unused)}; {len(self.missing)} weights of the model missing in it"
            f"{_in_brackets(self.missing)}."
        )
        if self.classes:
            theirs, ours = self.classes
            text += f" The classifier is as it was: the file's has {theirs} classes, the model's {ours}."
        return text

    @property
    def lines(self) -> tuple[str, ...]:
        """What was not taken, by layer: a line for each reason, such as another number of classes."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.classes:
            theirs, ours = self.classes
            words = f"{theirs} classes there, {ours} here" if theirs != ours else f"{ours} other classes"
            yield f"not taken: {CLASSIFIER} ({words})"
        first: dict[str, Misfit] = {}  # of each layer
        for each in self.misfits:
            first.setdefault(_layer(each.weight), each)
        known = CLASSIFIER if self.classes else None
        told = [f"{each.weight} ({each.words})" for layer, each in first.items() if layer != known]
        if told:
            yield f"not taken, of another shape: {_some(told, 3)}"
        tensors = {each.tensor for each in self.misfits}
        other = [name for name in self.unused if name not in tensors and _layer(name) not in first]
        if other:
            yield f"not taken, with no place here: {_some(self._owners(other))}"
        without = [name for name in self.missing if _layer(name) not in first]
        if without:
            yield f"not in the file, as it was: {_some(self._owners(without))}"

    def _owners(self, names: Iterable[str]) -> list[str]:
        """The layers that weights are of, where nothing of these was taken, else the layers inside."""
        taken = {_layer(name) for name in self.loaded}

        def owner(name: str) -> str:
            layer = _layer(name)
            return name.rpartition("/")[0] if layer in taken and "/" in name else layer

        return list(dict.fromkeys(owner(name) for name in names))


class Loading:
    """Collects what of a file fits a model, and then loads it.

    Args:
        path: the file.
        model: the model.
        partial: whether weights of another shape are left; else they are an error. The classifier of another
            number of classes is left in any case.
        head: whether the classifier is loaded.
    """

    def __init__(self, path: str, model: keras.Model, *, partial: bool = False, head: bool = True) -> None:
        self.path, self.model, self.partial, self.head = path, model, partial, head
        self._values: dict[str, tuple[keras.Variable, np.ndarray]] = {}
        self._loaded: list[str] = []
        self._unused: list[str] = []
        self._misfits: list[Misfit] = []
        self._classes: tuple[int, int] | None = None

    def takes(self, weight: str) -> bool:
        """Whether the weight of this path has something already."""
        return weight in self._values

    def offer(self, name: str, value: np.ndarray, weight: str, variable: keras.Variable) -> None:
        """Give the variable, whose path is `weight`, the tensor `name` if it fits.

        Raises:
            UserError: as `misfit`.
        """
        theirs, ours = value.shape, tuple(variable.shape)
        is_head = _layer(weight) == CLASSIFIER
        if theirs == ours and (self.head or not is_head):
            self._values[weight] = variable, value
            self._loaded.append(name)
            return
        words = f"{_size(theirs)} there, {_size(ours)} here"
        if is_head and theirs[:-1] == ours[:-1]:
            self._classes = theirs[-1], ours[-1]
            self._misfits.append(Misfit(name, weight, words))
            self.leave(name)
        else:
            self.misfit(name, weight, words)

    def leave(self, name: str) -> None:
        """Note that nothing takes the tensor `name`."""
        self._unused.append(name)

    def misfit(self, name: str, weight: str, words: str) -> None:
        """Note that the tensor `name` differs from the weight of its name.

        Raises:
            UserError: where that is an error.
        """
        if not self.partial:
            tensor = weight if name.startswith(weight) else f"{name} for {weight}"
            raise UserError(f"{self.path} does not fit {self.model.name}: {tensor} is {words}")
        self._misfits.append(Misfit(name, weight, words))
        self.leave(name)

    def finish(self, weights: Sequence[str], *, complete: bool = False) -> LoadReport:
        """Load it.

        Args:
            weights: paths of all weights of the model.
            complete: whether to refuse a file that has nothing for one of them.

        Raises:
            UserError: for a file of which nothing fits; then nothing is changed.
        """
        missing = tuple(weight for weight in weights if weight not in self._values)
        refused = f"{self.path} does not fit {self.model.name}"
        if not self._loaded:
            raise UserError(f"{refused}: no layer of the model takes any of its tensors")
        if complete and missing:
            raise UserError(f"{refused}: it has nothing for {missing[0]}")
        for variable, value in self._values.values():
            variable.assign(value)
        return LoadReport(
            self.path,
            self.model.name,
            tuple(self._loaded),
            tuple(self._unused),
            missing,
            self._classes,
            tuple(self._misfits),
        )


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a number"


def _layer(name: str) -> str:
    """The layer that a weight's path (`layer/weight`) or a tensor's name (`layer.weight`) begins with."""
    return name.partition("/")[0] if "/" in name else name.rpartition(".")[0] or name


def _some(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def _in_brackets(names: Sequence[str]) -> str:
    return f" ({_some(names)})" if names else ""
