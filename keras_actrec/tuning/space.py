"""Search spaces: named axes, some of which exist under one choice of another axis only."""

import contextlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Annotated, Any, Literal

import pydantic

from keras_actrec._files import to_toml
from keras_actrec._suggest import did_you_mean
from keras_actrec._text import shown
from keras_actrec.errors import UserError

_LARGEST = 1e15  # a float of such a size still tells whole numbers apart
_MOST_VALUES = 1_000_000
SEED = "train.seed"


def import_keras_tuner() -> ModuleType:
    """KerasTuner, which the extra `tune` brings.

    Raises:
        UserError: where it is not installed.
    """
    try:
        import keras_tuner
    except ModuleNotFoundError as error:
        raise UserError(
            f"searching needs the extra `tune` ({error.name} is missing): pip install 'keras_actrec[tune]'"
        ) from error
    return keras_tuner


class Axis(pydantic.BaseModel):
    """What is varied: one of `values`, or a number from `low` to `high`.

    Args:
        values: list of strings, numbers, booleans, lists or tables.
        low: smallest value. Where `low` and `high` are whole numbers, so is every value.
        high: largest value.
        step: distance between values, for a range without `sampling="log"`.
        sampling: `"linear"`, or `"log"` for a range over orders of magnitude.
        when: `{parent: [values]}`: the axis exists only where the axis `parent`, which is declared before it,
            has one of these values. One parent; its own conditions hold too.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    values: Annotated[list[Any], pydantic.Field(min_length=1)] | None = None
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = None
    sampling: Literal["linear", "log"] = "linear"
    when: Annotated[
        dict[str, Annotated[list[Any], pydantic.Field(min_length=1)]], pydantic.Field(max_length=1)
    ] = {}

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Axis":
        if (self.values is None) == (self.low is None) or (self.low is None) != (self.high is None):
            raise ValueError("give either values, or low and high")
        if self.low is None or self.high is None:
            if self.step is not None or self.sampling != "linear":
                raise ValueError("step and sampling go with low and high")
            texts = [json.dumps(value) for value in self.ends]
            if len(set(texts)) < len(texts):
                raise ValueError(f"a value occurs twice in values={self.values}")
            return self
        if self.low >= self.high or max(abs(self.low), abs(self.high)) > _LARGEST:
            raise ValueError(
                "low must be below high, both from -1e15 to 1e15. "
                f"Received: low={shown(self.low)}, high={shown(self.high)}"
            )
        if self.sampling == "log" and (self.low <= 0 or self.step is not None):
            raise ValueError("sampling='log' needs a low above 0, and no step")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0. Received: step={self.step}")
        if (self.step or self._whole) and (self.high - self.low) / (self.step or 1) > _MOST_VALUES:
            raise ValueError(f"it has more than {_MOST_VALUES} values: give a larger step, or another range")
        return self

    @property
    def choices(self) -> list[Any] | None:
        """All values, or None where they have no end."""
        if self.low is None or self.high is None:
            return self.values
        step = self.step or (1 if self._whole else None)
        if step is None:
            return None
        count = int((self.high - self.low) / step + 1e-9) + 1
        return [self.low + index * step for index in range(count)]

    @property
    def ends(self) -> list[Any]:
        """The values, or the two ends of a range."""
        return self.values or [self.low, self.high]

    @property
    def _whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 0))

    @property
    def _as_text(self) -> bool:
        """Whether values travel as JSON: lists, mixtures, and booleans, which KerasTuner makes 0 and 1."""
        kinds = {type(value) for value in self.values or ()}
        return len(kinds) > 1 or not kinds <= {int, float, str}

    def encode(self, value: Any) -> Any:
        """A value as KerasTuner takes it."""
        return json.dumps(value) if self._as_text else value

    def decode(self, value: Any) -> Any:
        """The value behind what KerasTuner, or `hp.Fixed`, holds."""
        return json.loads(value) if self._as_text and isinstance(value, str) else value

    def ask(self, name: str, hp: Any) -> Any:
        """Declare the axis on `hp`; its value there, or None where it is not active."""
        if self.values is not None:
            value = hp.Choice(name, [self.encode(each) for each in self.values])
        else:
            kind = hp.Int if self._whole else hp.Float
            value = kind(name, self.low, self.high, step=self.step, sampling=self.sampling)
        return None if value is None else self.decode(value)


class Space:
    """A search space: an ordered dict of names to axes.

    In a study the names are keys of a recipe, such as `clip.frames`.

    Args:
        axes: dict of name to `Axis`.

    Raises:
        UserError: for a `when` that names no axis declared before, or a value that this axis does not have.
    """

    def __init__(self, axes: Mapping[str, Axis]):
        self.axes = dict(axes)
        for name, axis in self.axes.items():
            for parent, allowed in axis.when.items():
                self._check_parent(name, parent, allowed)

    def declare(self, hp: Any) -> list[str]:
        """Declare all axes on a `keras_tuner.HyperParameters`, and choose.

        An axis that `hp` holds as `hp.Fixed` already is not searched: its value is the fixed one.

        Returns:
            Overrides of a recipe, `"clip.frames=30"`, of what is active.
        """
        return overrides_of(self.choose(hp))

    def choose(self, hp: Any) -> dict[str, Any]:
        """As `declare`, but returns a dict of name to value."""
        fixed = import_keras_tuner().engine.hyperparameters.Fixed
        pinned = {each.name: each.value for each in hp.space if isinstance(each, fixed)}
        chosen: dict[str, Any] = {}
        for name, axis in self.axes.items():
            chain = self._chain(name)
            fits = [
                self.axes[parent].decode(pinned[parent]) in allowed
                for parent, allowed in chain
                if parent in pinned
            ]
            if not all(fits):
                continue
            if name in pinned:
                value = axis.decode(pinned[name])
                if any(chosen.get(parent) not in allowed for parent, allowed in chain):
                    continue
            else:
                with contextlib.ExitStack() as scopes:
                    for parent, allowed in chain:
                        if parent not in pinned:
                            values = [self.axes[parent].encode(each) for each in allowed]
                            scopes.enter_context(hp.conditional_scope(parent, values))
                    value = axis.ask(name, hp)
            if value is not None:
                chosen[name] = value
        return chosen

    def size(self) -> int | None:
        """How many combinations the space has, or None where they have no end."""
        if any(axis.choices is None for axis in self.axes.values()):
            return None
        return math.prod(self._count(name) for name, axis in self.axes.items() if not axis.when)

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yield every combination of a space of a certain size, as a dict of name to value."""
        yield from self._extend({}, list(self.axes))

    def samples(self) -> Iterator[dict[str, Any]]:
        """Combinations in which every value, and both ends of every range, occurs once at least."""
        for name, axis in self.axes.items():
            parents = {parent: allowed[0] for parent, allowed in self._chain(name)}
            for value in axis.ends:
                wanted = {**parents, name: value}
                chosen: dict[str, Any] = {}
                for each, other in self.axes.items():
                    if _active(other, chosen):
                        chosen[each] = wanted.get(each, other.ends[0])
                yield chosen

    def _extend(self, chosen: dict[str, Any], names: list[str]) -> Iterator[dict[str, Any]]:
        if not names:
            yield chosen
            return
        name, *rest = names
        if not _active(self.axes[name], chosen):
            yield from self._extend(chosen, rest)
            return
        for value in self.axes[name].choices or ():
            yield from self._extend({**chosen, name: value}, rest)

    def _count(self, name: str) -> int:
        """Combinations of an axis and of all that depend on it."""
        children = {child: axis.when[name] for child, axis in self.axes.items() if name in axis.when}
        return sum(
            math.prod(self._count(child) for child, allowed in children.items() if value in allowed)
            for value in self.axes[name].choices or ()
        )

    def _chain(self, name: str) -> list[tuple[str, list[Any]]]:
        """The conditions of an axis, `(parent, allowed values)`, from the root down."""
        for parent, allowed in self.axes[name].when.items():
            return [*self._chain(parent), (parent, allowed)]
        return []

    def _check_parent(self, name: str, parent: str, allowed: list[Any]) -> None:
        before = list(itertools.takewhile(lambda each: each != name, self.axes))
        if parent not in before:
            hint = did_you_mean(parent, before)
            raise UserError(f"{name[:80]}: `when` names {shown(parent)}, which is no axis before it; {hint}")
        values = self.axes[parent].values
        if values is None:
            raise UserError(f"{name}: `when` needs a parent with `values`, {parent} has a range")
        missing = [value for value in allowed if value not in values]
        if missing:
            raise UserError(f"{name}: `when`: {parent} is never {missing[0]!r}; its values are {values}")


def overrides_of(values: Mapping[str, Any]) -> list[str]:
    """Values as overrides of a recipe: `{"clip.frames": 30}` gives `["clip.frames=30"]`."""
    return [f"{name}={_inline(value)}" for name, value in values.items()]


def _inline(value: Any) -> str:
    """A value as TOML in one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_inline(each)}' for key, each in value.items())}}}"
    return to_toml({"value": value}).removeprefix("value = ").rstrip()


def text_of(value: Any) -> str:
    """A value of an axis in words."""
    return value if isinstance(value, str) else json.dumps(value)


def _active(axis: Axis, chosen: Mapping[str, Any]) -> bool:
    return all(parent in chosen and chosen[parent] in allowed for parent, allowed in axis.when.items())
