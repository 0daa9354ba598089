"""Studies: a search space over a recipe, its objective and its budget, as typed TOML."""

import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from keras_actrec._files import read_toml, to_toml
from keras_actrec._numbers import MOST, MOST_SEED
from keras_actrec._shipped import find, shipped
from keras_actrec._suggest import did_you_mean
from keras_actrec._text import shown
from keras_actrec.errors import UserError
from keras_actrec.training import Recipe, find_recipe, read_recipe
from keras_actrec.training.overrides import REMOVED, Override, read_overrides
from keras_actrec.training.recipe import said_of
from keras_actrec.tuning.space import SEED, Axis, Space, overrides_of, text_of

_MOST_COMBINATIONS = 10_000  # of a grid
_RECIPE_TABLES = ("model", "data", "clip", "skeleton", "features", "train")


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Budget(_Table):
    """`[budget]`: what a trial that exceeds it fails by; `study_seconds` ends the study.

    `parameters` are trainable ones, counted before a trial trains. `trial_memory_mb` is the resident memory
    of the trial's process, in 10^6 bytes.
    """

    parameters: int | None = pydantic.Field(None, gt=0)
    trial_seconds: float | None = pydantic.Field(None, gt=0)
    trial_memory_mb: float | None = pydantic.Field(None, gt=0)
    study_seconds: float | None = pydantic.Field(None, gt=0)


class PaperTable(_Table):
    """`[table]`: the table of the paper. `paper` holds its figures under the labels of the rows.

    `column` says what the figures are: an `error` rate, `mAP`, or else top-1 accuracy.

    The label of a row are the values of the axes in `row`, `"98-104"`, or, of several, `"2, true"`; an axis
    that the row does not have is left out.
    """

    row: str | list[str]
    column: str
    paper: dict[str, float] = {}
    note: str = ""

    @property
    def rows(self) -> list[str]:
        """The axes of `row` as a list."""
        return [self.row] if isinstance(self.row, str) else self.row

    def label(self, values: dict[str, Any]) -> str:
        """The label of the row of a combination, a dict of axis to value."""
        return ", ".join(text_of(values[name]) for name in self.rows if name in values)


class StudyTable(_Table):
    """`[study]`: what is searched for, and how.

    name: of the study, by default its folder's. title: one line. paper: which table. recipe: the base, a file
        next to the study's or anywhere, or a name such as `hman/synthetic`. set: overrides of the base.
    objective: a column of the history; the last epoch counts, whose weights are kept. Or `val_map`, the mean
        average precision of the model that is kept on the validation part. direction: `max` or `min`, by
        default as the objective asks.
    oracle: `grid`, `random`, `bayesian` or `hyperband`, which sets `train.epochs` itself, up to the base's.
    max_trials: trials, fewer where the space has fewer combinations. seed: of the oracle.
    repeat: axes along which a configuration is repeated: seeds, folds, splits. It is judged by the mean.
    winner_seeds: `train.seed` of the runs in which the best configuration is trained again, other ones than
        those of an axis `train.seed`; none where it is repeated along other axes.
    """

    name: str
    title: str
    paper: str = ""
    recipe: str
    overrides: list[str] = pydantic.Field([], alias="set")
    objective: Literal["val_accuracy", "val_loss", "val_map", "accuracy", "loss"] = "val_accuracy"
    direction: Literal["max", "min"] = "max"
    oracle: Literal["grid", "random", "bayesian", "hyperband"] = "grid"
    max_trials: int = pydantic.Field(ge=1, le=MOST)
    seed: int = pydantic.Field(0, ge=0, le=MOST_SEED)
    repeat: list[str] = [SEED]
    winner_seeds: list[Annotated[int, pydantic.Field(ge=0, le=MOST_SEED)]] = [0, 1, 2]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _with_direction(cls, values: dict[str, Any]) -> dict[str, Any]:
        falls = str(values.get("objective")).endswith("loss")
        return {"direction": "min", **values} if falls else values


class Study(StudyTable):
    """A study, as `[study]`, `[budget]`, `[space."table.key"]` and `[table]` of a TOML file say.

    See `StudyTable`, `Budget`, `Axis` and `PaperTable` for the keys. `read_study` makes it. Trials that
    differ in axes of `repeat` alone, by default `train.seed`, are one configuration, which is judged by
    their mean; oracles other than `grid`, which would search for the luckiest seed, take the first value.
    """

    budget: Budget = Budget()
    axes: dict[str, Axis] = pydantic.Field(alias="space", min_length=1)
    table: PaperTable | None = None

    @functools.cached_property
    def space(self) -> Space:
        """The `Space`, whose axes are keys of the recipe."""
        return Space(self.axes)

    @property
    def repeated(self) -> list[str]:
        """The axes along which configurations are repeated."""
        return [name for name in self.repeat if name in self.axes]

    @property
    def repeats(self) -> str:
        """What a configuration's figure is the mean over, in a word."""
        others = [name for name in self.repeated if name != SEED]
        seeds = ["seeds"] if SEED in self.repeated or not others else []
        return " and ".join([*seeds, *(["folds"] if others else [])])

    def recipe_of(self, overrides: Iterable[str] = ()) -> Recipe:
        """The `Recipe` of a trial: the base with the study's overrides and then these."""
        return read_recipe(self.recipe, [*self.overrides, *overrides])

    def to_toml(self) -> str:
        """The study as TOML, which `read_study` reads back as the same."""
        values = self.model_dump(by_alias=True, exclude_none=True, exclude_unset=True)
        tables = {"study": values}
        tables |= {key: values.pop(key) for key in ("budget", "space", "table") if key in values}
        return to_toml(tables)


def find_study(name: str | Path) -> Path:
    """The file of a study: a path, or the name of one that comes with the library, `"hman_frames"`.

    Raises:
        UserError: where none exists, with the nearest name.
    """
    short = str(name).removeprefix("tuning/").removesuffix("/study.toml").rstrip("/")
    return find("study", name, short, list_studies())


def list_studies() -> dict[str, Path]:
    """The studies that come with the library: name to file."""
    return {path.parent.name: path for path in shipped("studies", "tuning", "*/study.toml")}


def read_study(
    path: str | Path, overrides: Iterable[str] = (), *, tell: Callable[[str], Any] | None = None
) -> Study:
    """Read a study.

    Args:
        path: a TOML file, or the name of a study that comes with the library.
        overrides: strings. `"study.max_trials=2"` and `"budget.trial_seconds=60"` change the study,
            `"train.epochs=3"` the base recipe; of an axis, `"clip.frames=30"`, it leaves this value alone.
            With no value, `"budget.parameters="`, `"table="`, it takes a key, a table or an axis out. What
            goes with a choice that is changed falls away: axes that exist under other values only, and keys
            of the base as `read_recipe` says.
        tell: called with a line for each axis, or key of the first trial's recipe, that falls away.

    Returns:
        A `Study`.

    Raises:
        UserError: for a file that does not exist or is not TOML, an unknown key (with the nearest name), a
            value of the wrong type, or a space that the recipe refuses; of a grid all combinations are tried.
    """
    file = find_study(path)
    values = read_toml(file)
    overrides = list(overrides)
    not_set, lines = _change(values, overrides)
    head = values.get("study")
    if isinstance(head, dict):
        head.setdefault("name", file.resolve().parent.name)
        sibling = file.resolve().parent / str(head.get("recipe"))
        if sibling.is_file():
            head["recipe"] = str(sibling)
    study = parse_study(values, file)
    for change in not_set:
        _check_known(change, study, file)
    if tell is not None and overrides:
        for line in lines:
            tell(line)
        first = overrides_of(next(study.space.samples()))
        read_recipe(study.recipe, [*study.overrides, *first], tell=tell)
    return study


def parse_study(values: dict[str, Any], source: str | Path = "study") -> Study:
    """Check nested dicts and return the `Study`. `source` names them in errors."""
    for table in values:
        if table not in _TABLES:
            raise UserError(f"{source}: unknown table {shown(table)}; {_hint(table, _TABLES)}")
    if not isinstance(values.get("study"), dict):
        raise UserError(f"{source}: the table [study] is missing")
    rest = {key: value for key, value in values.items() if key != "study"}
    try:
        study = Study.model_validate({**values["study"], **rest})
    except pydantic.ValidationError as error:
        raise UserError(f"{source}: {_first_problem(error)}") from error
    study = _without_luck(study)
    try:
        _check(study)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    return study


_TABLES: dict[str, type[pydantic.BaseModel]] = {
    "study": StudyTable,
    "budget": Budget,
    "space": Axis,
    "table": PaperTable,
}


def _without_luck(study: Study) -> Study:
    """The study with the first seed and fold alone where its oracle would search for the luckiest ones."""
    if study.oracle == "grid" or not study.repeated:
        return study
    axes = {name: study.axes[name] for name in study.repeated}
    first = {name: Axis(values=axis.ends[:1], when=axis.when) for name, axis in axes.items()}
    return study.model_copy(update={"axes": {**study.axes, **first}})


def _check(study: Study) -> None:
    """Refuse what does not go together."""
    if (study.direction == "min") != study.objective.endswith("loss"):
        fit = "min" if study.objective.endswith("loss") else "max"
        raise UserError(
            f"study.direction must be {fit!r} for {study.objective}. Received: {study.direction!r}"
        )
    find_recipe(study.recipe)
    endless = [name for name, axis in study.axes.items() if axis.choices is None]
    if study.oracle == "grid" and endless:
        raise UserError(f"study.oracle='grid' needs an end of all values: give {endless[0]} values or a step")
    if study.repeated:
        _check_repeats(study)
    if study.oracle == "hyperband" and "train.epochs" in study.axes:
        raise UserError("study.oracle='hyperband' sets train.epochs itself: take the axis out")
    grid = study.oracle == "grid"
    if grid and any(number == _MOST_COMBINATIONS for number, _ in enumerate(study.space.combinations())):
        raise UserError(
            f"study.oracle='grid' tries all combinations, which are more than {_MOST_COMBINATIONS}: "
            "give fewer values, or take another oracle"
        )
    for values in study.space.combinations() if grid else study.space.samples():
        overrides = overrides_of(values)
        try:
            recipe = study.recipe_of(overrides)
        except UserError as error:
            raise UserError(f"with {' '.join(overrides)}: {error}") from error
        if recipe.data.watch_test and study.objective.startswith("val_"):
            raise UserError("data.watch_test=true would have the study choose by the test part: leave it out")
    for name in study.table.rows if study.table else ():
        if name not in study.axes:
            raise UserError(f"table.row: unknown axis {shown(name)}; {_hint(name, study.axes)}")


def _check_repeats(study: Study) -> None:
    """Refuse repetitions that make a row, or that the winner has had, or that it would not have."""
    for name in study.repeated:
        if study.table and name in study.table.rows:
            raise UserError(f"table.row: {name} makes no row; trials that differ in it alone are one")
        if name != SEED and study.winner_seeds:
            raise UserError(
                f"study.winner_seeds: the best configuration has been trained with each {name} and is not "
                f"trained again: set it to []. Received: {study.winner_seeds}"
            )
    if SEED not in study.repeated:
        return
    seeds = study.axes[SEED].choices or []
    again = [seed for seed in study.winner_seeds if seed in seeds]
    if again:
        raise UserError(
            f"study.winner_seeds: {again[0]} is a seed of the search, choose others: "
            f"{[max(seeds) + more for more in (1, 2, 3)]}"
        )


def _change(values: dict[str, Any], texts: list[str]) -> tuple[list[Override], list[str]]:
    """Make changes in nested dicts: what was to be taken out and was not set, and what falls away."""
    changes = read_overrides(texts, "study.max_trials=4")
    given, not_set, lines = {change.name for change in changes}, [], []
    axes = values.get("space", {})
    held = [axes, *(values.get(table, {}) for table in ("study", "table"))]
    held += axes.values() if isinstance(axes, dict) else []
    if not all(isinstance(each, dict) for each in held):
        return [], []  # such a study is refused when it is parsed
    last = {change.name: text for text, change in zip(texts, changes, strict=True)}
    for text, change in zip(texts, changes, strict=True):
        if change.table not in _RECIPE_TABLES:
            if not change.apply(values):
                not_set.append(change)
        elif change.name not in values.get("space", {}):
            head = values.setdefault("study", {})
            head["set"] = [*head.get("set", []), text]
        elif last[change.name] is text:  # an earlier value would take axes out that this one needs
            lines += _narrow(values, change, given)
    if "study.objective" in given and "study.direction" not in given:
        values.get("study", {}).pop("direction", None)
    return not_set, lines


def _narrow(values: dict[str, Any], change: Override, given: set[str]) -> list[str]:
    """Leave an axis one value, or take it out; lines about the axes that exist under other values only."""
    axes, name, lines = values["space"], change.name, []
    left = [] if change.value is REMOVED else [change.value]
    if left:
        axes[name] = {"values": left, **{key: axes[name][key] for key in ("when",) if key in axes[name]}}
    else:
        del axes[name]
        lines += _take_from_row(values, name, given)
    for child, axis in list(axes.items()):
        allowed = axis.get("when", {}).get(name)
        if allowed is None:
            continue
        kept = [value for value in allowed if value in left]
        if kept:
            axis["when"] = {name: kept}
        elif child not in given:
            lines.append(f"{child} falls away {f'with {name}={left[0]!r}' if left else f'without {name}'}")
            lines += _narrow(values, Override.taking_out(child), given)
    return lines


def _take_from_row(values: dict[str, Any], name: str, given: set[str]) -> list[str]:
    """Take an axis out of the rows of the table, and a table without rows out of the study."""
    table = values.get("table", {})
    rows = [table.get("row")] if isinstance(table.get("row"), str) else table.get("row", [])
    if name not in rows or "table.row" in given:
        return []
    table["row"] = [row for row in rows if row != name]
    if table["row"]:
        return []
    del values["table"]
    return [f"table falls away without {name}"]


def _check_known(change: Override, study: Study, source: Path) -> None:
    """Refuse to take out what is not set and could not be."""
    if change.table not in _TABLES:
        raise UserError(f"{source}: unknown table {shown(change.table)}; {_hint(change.table, _TABLES)}")
    known = list(study.axes) if change.table == "space" else _keys(_TABLES[change.table])
    if change.key and change.key not in known:
        raise UserError(f"{source}: unknown key {shown(change.name)}; {_hint(change.key, known)}")


def _hint(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, sorted(known))


def _first_problem(error: pydantic.ValidationError) -> str:
    problem = error.errors()[0]
    table, *rest = (str(part) for part in problem["loc"])
    if table not in _TABLES:  # a key of [study]
        table, rest = "study", [table, *rest]
    if table == "space" and rest:
        axis, *rest = rest
        name = ".".join([f"space.{json.dumps(axis)}", *rest[:1]])
    else:
        name = ".".join([table, *rest[:1]])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {shown(name)}; {_hint(rest[0], _keys(_TABLES[table]))}"
    if problem["type"] == "missing":
        return f"{shown(name)} is missing"
    if problem["type"] == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{name}: {message[0].lower()}{message[1:]}"
    field = next((field for key, field in _TABLES[table].model_fields.items() if key in rest[:1]), None)
    return f"{name}: {said_of(problem, field)}. Received: {shown(problem['input'])}"


def _keys(table: type[pydantic.BaseModel]) -> list[str]:
    return [field.alias or name for name, field in table.model_fields.items()]
