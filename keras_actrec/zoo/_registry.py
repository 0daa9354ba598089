"""Models by name, and what each of them is."""

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from numbers import Integral, Real
from typing import Any, Literal, ParamSpec
from weakref import WeakKeyDictionary

import keras

from keras_actrec._numbers import whole
from keras_actrec._suggest import did_you_mean
from keras_actrec._text import shown
from keras_actrec.errors import UserError

_Arguments = ParamSpec("_Arguments")


@dataclass(frozen=True)
class ModelSpec:
    """What a model is. Training, evaluation and explanation ask this, and never a layer's name.

    `spec("hman")` says what the builder can do; `spec(model)`, and the `spec` of a `Recognizer`, what a model
    is that was built with certain arguments. A `.keras` file carries the latter.

    Attributes:
        name: of the builder.
        input: what the network takes: `"clip"` `(B, T, H, W, 3)`; `"features"` of frames, `(B, T, K, K, D)`
            or `(B, T, D)`; or a `"sequence"` of vectors, `(B, T, D)`. With a backbone in front the last two
            take clips too.
        per_step: whether it answers at every step, which it is trained on, and averages these answers.
        masked: whether it takes a mask `(B, T)` of the steps that count.
        trace: what it can show of its steps: `"attention"`, `"boundaries"`, `"updates"`, `"temperature"`,
            `"gates"`, `"shifts"`, `"self_attention"`, `"relations"`; see `ExplainingView`.
        consensus: what is averaged over time: `"probabilities"`, `"logits"` or `"features"`; `"last"` where
            the answer is read from the last step.
        paper: the source.
        backbone: whether it has a backbone in front, which can be frozen and run once.
        causal: whether its answer to the steps so far follows from states that it carries from step to step;
            else a stream needs a window. See `streaming_view`.
    """

    name: str
    input: Literal["clip", "features", "sequence"]
    per_step: bool = False
    masked: bool = False
    trace: tuple[str, ...] = ()
    consensus: Literal["probabilities", "logits", "features", "last"] = "last"
    paper: str = ""
    backbone: bool = False
    causal: bool = False

    @property
    def input_name(self) -> str:
        """The name of the model's input, the mask aside: `"clip"` or `"features"`."""
        return "clip" if self.input == "clip" or self.backbone else "features"

    @property
    def builder(self) -> Callable[..., keras.Model]:
        """The function that builds models of this name.

        Raises:
            UserError: for the specification of a model that is not one of the zoo's.
        """
        _check_name(self.name)
        return _BUILDERS[self.name]

    @property
    def arguments(self) -> dict[str, Any]:
        """The builder's arguments without `num_classes`: a dict from names to defaults.

        Raises:
            UserError: as `builder`.
        """
        parameters = inspect.signature(self.builder).parameters
        return {key: each.default for key, each in parameters.items() if key != "num_classes"}

    def built(self, arguments: Mapping[str, Any]) -> "ModelSpec":
        """The specification of a model that was built with these arguments."""
        return replace(
            self,
            per_step=self.per_step and not arguments.get("return_sequences", False),
            masked=bool(arguments.get("masked", False)),
            backbone=self.input != "clip" and arguments.get("backbone") is not None,
            causal=self.causal
            and not any(
                arguments.get(name, self.arguments[name]) == value
                for name, value in _WHOLE_CLIP[self.name].items()
            ),
        )

    @property
    def causal_with(self) -> dict[str, bool]:
        """Arguments that make a model of this name causal where its defaults do not: `{"online": True}`."""
        asked = _WHOLE_CLIP.get(self.name, {})
        return {name: not value for name, value in asked.items() if self.arguments[name] == value}

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return {**asdict(self), "trace": list(self.trace)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """What `to_json` wrote, with all that models of that builder can show: older files know less."""
        known = _SPECS.get(values["name"])
        return cls(**{**values, "trace": known.trace if known else tuple(values["trace"])})


_OPTIONAL = ("hidden", "temporal_context")  # what 0 leaves out, or leaves to the clip
_SPECS: dict[str, ModelSpec] = {}
_BUILDERS: dict[str, Callable[..., keras.Model]] = {}
_WHOLE_CLIP: dict[str, Mapping[str, Any]] = {}  # arguments with which a causal model sees the whole clip
# The specifications of the models that were built in this process.
_BUILT: WeakKeyDictionary[keras.Model, ModelSpec] = WeakKeyDictionary()


def register(
    name: str,
    *,
    input: Literal["clip", "features", "sequence"],
    per_step: bool = False,
    masked: bool = False,
    trace: tuple[str, ...] = (),
    consensus: Literal["probabilities", "logits", "features", "last"] = "last",
    paper: str = "",
    causal: bool = False,
    whole_clip: Mapping[str, Any] | None = None,
) -> Callable[[Callable[_Arguments, keras.Model]], Callable[_Arguments, keras.Model]]:
    """Make a builder known to `build`, `spec` and `list_models`. See `ModelSpec` for the arguments.

    `whole_clip` has the values of arguments with which a causal model is none: `{"bidirectional": True}`. One
    that is such by default is a bool.

    Raises:
        ValueError: for a second model of one name.
    """

    def decorate(builder: Callable[_Arguments, keras.Model]) -> Callable[_Arguments, keras.Model]:
        if name in _SPECS:
            raise ValueError(f"A model is called {name!r} already: {_BUILDERS[name].__module__}")

        @functools.wraps(builder)
        def build(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> keras.Model:
            model = builder(*args, **_checked(builder, kwargs))
            _BUILT[model] = _SPECS[name].built(kwargs)
            return model

        _BUILDERS[name] = build
        _WHOLE_CLIP[name] = whole_clip or {}
        _SPECS[name] = ModelSpec(
            name,
            input,
            per_step=per_step,
            masked=masked,
            trace=trace,
            consensus=consensus,
            paper=paper,
            causal=causal,
        )
        return build

    return decorate


def _checked(builder: Callable[..., keras.Model], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, those whose defaults are numbers as such numbers.

    Raises:
        UserError: for one that is none.
    """
    parameters, checked = inspect.signature(builder).parameters, dict(arguments)
    for name, value in arguments.items():
        kind = type(parameters[name].default) if name in parameters else None
        if kind is int and isinstance(value, (list, tuple)):  # one a layer
            checked[name] = [whole(name, each) for each in value]
        elif kind is int or (isinstance(value, Integral) and not isinstance(value, bool)):
            checked[name] = value if kind is float else whole(name, value, 0 if name in _OPTIONAL else 1)
        real = isinstance(value, Real) and not isinstance(value, bool)
        if kind is float and not (real and math.isfinite(value)):
            raise UserError(f"`{name}` must be a number. Received: {name}={shown(value)}")
    return checked


def list_models() -> list[str]:
    """Return the names of all models, sorted."""
    return sorted(_SPECS)


def spec(model: str | keras.Model) -> ModelSpec:
    """Return what a model is.

    Args:
        model: a name, for what its builder can do; or a model that a builder of the zoo returned in this
            process, for what it is. Of any other model only the inputs are known: it takes a mask where one
            of its inputs is named `mask`.

    Raises:
        UserError: for an unknown name, with the nearest one.
    """
    if isinstance(model, str):
        _check_name(model)
        return _SPECS[model]
    if model in _BUILT:
        return _BUILT[model]
    names = [tensor.name for tensor in model.inputs]
    return ModelSpec(model.name, "clip" if "clip" in names else "features", masked="mask" in names)


def _check_name(name: str) -> None:
    if name not in _SPECS:
        raise UserError(f"Unknown model {name!r}; {did_you_mean(name, list_models())}")


def build(name: str, num_classes: int, **arguments: Any) -> keras.Model:
    """Build a model by name: `build("hman", num_classes=51, units=512)`.

    Args:
        name: one of `list_models()`.
        num_classes: number of classes.
        **arguments: as the builder of that name takes them.

    Returns:
        An uncompiled `keras.Model`.

    Raises:
        UserError: for an unknown name or argument, with the nearest one; or as the builder.
    """
    check_arguments(name, arguments)
    return spec(name).builder(num_classes, **arguments)


def check_arguments(name: str, arguments: Iterable[str] | Mapping[str, Any]) -> None:
    """Check a model's name and the names of its arguments, and their numbers, without building it.

    Args:
        name: of the model.
        arguments: names of arguments of its builder, or a dict with their values.

    Raises:
        UserError: for an unknown name or argument, with the nearest one, or a number out of range.
    """
    known = spec(name).arguments
    for argument in arguments:
        if argument not in known:
            raise UserError(f"{name} has no argument {argument!r}; {did_you_mean(argument, known)}")
    if isinstance(arguments, Mapping):
        _checked(_BUILDERS[name], arguments)
