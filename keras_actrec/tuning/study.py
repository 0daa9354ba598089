"""Studies: a search space over a recipe, its objective and its budget, as typed TOML."""

import functools
import json
import tomllib
from typing import Any, Literal

import pydantic

from keras_actrec._suggest import did_you_mean
from keras_actrec.errors import UserError
from keras_actrec.training import find_recipe, read_recipe
from keras_actrec.training.shipped import find, shipped
from keras_actrec.tuning.results import SEED
from keras_actrec.tuning.space import Axis, Space, overrides_of

_RECIPE_TABLES = ("model", "data", "clip", "skeleton", "train")


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

    The label of a row are the values of the axes in `row`, `"98-104"`, or, of several, `"2, true"`; an axis
    that the row does not have is left out.
    """

    row: str | list[str]
    column: str
    paper: dict[str, float] = {}
    note: str = ""

    @property
    def rows(self):
        """The axes of `row` as a list."""
        return [self.row] if isinstance(self.row, str) else self.row

    def label(self, values):
        """The label of the row of a combination, a dict of axis to value."""
        shown = [values[name] for name in self.rows if name in values]
        return ", ".join(value if isinstance(value, str) else json.dumps(value) for value in shown)


class StudyTable(_Table):
    """`[study]`: what is searched for, and how.

    name: of the study, by default its folder's. title: one line. paper: which table. recipe: the base, a file
        beside the study's or anywhere, or a name such as `hman/synthetic`. set: overrides of the base.
    objective: a column of the history; the last epoch counts, whose weights are kept. direction: `max` or
        `min`.
    oracle: `grid`, `random`, `bayesian` or `hyperband`, which sets `train.epochs` itself, up to the base's.
    max_trials: trials, fewer where the space has fewer combinations. seed: of the oracle.
    winner_seeds: `train.seed` of the runs in which the best configuration is trained again, other ones than
        those of an axis `train.seed`.
    """

    name: str
    title: str
    paper: str = ""
    recipe: str
    overrides: list[str] = pydantic.Field([], alias="set")
    objective: Literal["val_accuracy", "val_loss", "accuracy", "loss"] = "val_accuracy"
    direction: Literal["max", "min"] = "max"
    oracle: Literal["grid", "random", "bayesian", "hyperband"] = "grid"
    max_trials: int = pydantic.Field(ge=1)
    seed: int = pydantic.Field(0, ge=0)
    winner_seeds: list[int] = [0, 1, 2]


class Study(StudyTable):
    """A study, as `[study]`, `[budget]`, `[space."table.key"]` and `[table]` of a TOML file say.

    See `StudyTable`, `Budget`, `Axis` and `PaperTable` for the keys. `read_study` makes it. With an axis
    `train.seed`, trials that differ in it alone are one configuration, which is judged by their mean; oracles
    other than `grid`, which would search for the luckiest seed, take its first value.
    """

    budget: Budget = Budget()
    axes: dict[str, Axis] = pydantic.Field(alias="space", min_length=1)
    table: PaperTable | None = None

    @functools.cached_property
    def space(self):
        """The `Space`, whose axes are keys of the recipe."""
        return Space(self.axes)

    def recipe_of(self, overrides=()):
        """The `Recipe` of a trial: the base with the study's overrides and then these."""
        return read_recipe(self.recipe, [*self.overrides, *overrides])

    def to_toml(self):
        """The study as TOML, which `read_study` reads back as the same."""
        values = self.model_dump(by_alias=True, exclude_none=True, exclude_unset=True)
        budget, axes, table = (values.pop(key, None) for key in ("budget", "space", "table"))
        axes = {f"space.{json.dumps(name)}": axis for name, axis in axes.items()}
        tables = {"study": values, "budget": budget or {}, **axes}
        tables |= {"table": table} if table else {}
        lines = []
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items()), ""]
        return "\n".join(lines)


def find_study(name):
    """The file of a study: a path, or the name of one that comes with the library, `"hman_frames"`.

    Raises:
        UserError: where there is none, with the nearest one there is.
    """
    short = str(name).removeprefix("tuning/").removesuffix("/study.toml").rstrip("/")
    return find("study", name, short, list_studies())


def list_studies():
    """The studies that come with the library: name to file."""
    return {path.parent.name: path for path in shipped("studies", "tuning", "*/study.toml")}


def read_study(path, overrides=()):
    """Read a study.

    Args:
        path: a TOML file, or the name of a study that comes with the library.
        overrides: strings. `"study.max_trials=2"` and `"budget.trial_seconds=60"` change the study,
            `"train.epochs=3"` the base recipe; of an axis, `"clip.frames=30"`, it leaves this value alone.

    Returns:
        A `Study`.

    Raises:
        UserError: for a file that is not there or not TOML, an unknown key (with the nearest name), a
            value of the wrong type, or a space that the recipe refuses; of a grid all combinations are tried.
    """
    file = find_study(path)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not TOML: {error}") from error
    for override in overrides:
        _override(values, override)
    head = values.get("study")
    if isinstance(head, dict):
        head.setdefault("name", file.resolve().parent.name)
        beside = file.resolve().parent / str(head.get("recipe"))
        if beside.is_file():
            head["recipe"] = str(beside)
    return parse_study(values, file)


def parse_study(values, source="study"):
    """Check nested dicts and return the `Study`. `source` names them in errors."""
    for table in values:
        if table not in _TABLES:
            raise UserError(f"{source}: unknown table {table!r}; {_hint(table, _TABLES)}")
    if not isinstance(values.get("study"), dict):
        raise UserError(f"{source}: the table [study] is missing")
    rest = {key: value for key, value in values.items() if key != "study"}
    try:
        study = Study.model_validate({**values["study"], **rest})
    except pydantic.ValidationError as error:
        raise UserError(f"{source}: {_first_problem(error)}") from error
    study = _with_one_seed(study)
    try:
        _check(study)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    return study


_TABLES = {"study": StudyTable, "budget": Budget, "space": Axis, "table": PaperTable}


def _with_one_seed(study):
    """The study with the first seed alone where its oracle would search for the luckiest one."""
    if study.oracle == "grid" or SEED not in study.axes:
        return study
    axis = study.axes[SEED]
    first = Axis(values=axis.ends[:1], when=axis.when)
    return study.model_copy(update={"axes": {**study.axes, SEED: first}})


def _check(study):
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
    if SEED in study.axes:
        _check_seeds(study)
    if study.oracle == "hyperband" and "train.epochs" in study.axes:
        raise UserError("study.oracle='hyperband' sets train.epochs itself: take the axis out")
    for values in study.space.combinations() if study.oracle == "grid" else study.space.samples():
        overrides = overrides_of(values)
        try:
            study.recipe_of(overrides)
        except UserError as error:
            raise UserError(f"with {' '.join(overrides)}: {error}") from error
    for name in study.table.rows if study.table else ():
        if name not in study.axes:
            raise UserError(f"table.row: there is no axis {name!r}; {_hint(name, study.axes)}")


def _check_seeds(study):
    """Refuse seeds that make a row, or that the winner has had."""
    seeds = study.axes[SEED].choices or []
    if study.table and SEED in study.table.rows:
        raise UserError(f"table.row: {SEED} makes no row; trials that differ in it alone are one")
    again = [seed for seed in study.winner_seeds if seed in seeds]
    if again:
        raise UserError(
            f"study.winner_seeds: {again[0]} is a seed of the search, choose others: "
            f"{[max(seeds) + place + 1 for place in range(3)]}"
        )


def _override(values, override):
    name, equals, text = override.partition("=")
    table, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise UserError(f"--set takes table.key=value, such as study.max_trials=4. Received: {override!r}")
    if table not in _RECIPE_TABLES:
        values.setdefault(table, {})[key] = _value(text)
    elif name.strip() in values.get("space", {}):
        axis = values["space"][name.strip()]
        values["space"][name.strip()] = {
            "values": [_value(text)],
            **{k: axis[k] for k in ("when",) if k in axis},
        }
    else:
        head = values.setdefault("study", {})
        head["set"] = [*head.get("set", []), override]


def _value(text):
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _toml(value: Any):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)  # strings, numbers, booleans and arrays are as in JSON


def _hint(name, known):
    return did_you_mean(name, sorted(known))


def _first_problem(error):
    problem = error.errors()[0]
    table, *rest = (str(part) for part in problem["loc"])
    if table not in _TABLES:  # a key of [study]
        table, rest = "study", [table, *rest]
    if table == "space":
        axis, *rest = rest or [""]
        name = ".".join([f"space.{json.dumps(axis)}", *rest[:1]])
    else:
        name = ".".join([table, *rest[:1]])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {name!r}; {_hint(rest[0], _keys(_TABLES[table]))}"
    if problem["type"] == "missing":
        return f"{name!r} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    line = f"{name}: {message[0].lower()}{message[1:]}"
    return line if problem["type"] == "value_error" else f"{line}. Received: {problem['input']!r}"


def _keys(table):
    return [field.alias or name for name, field in table.model_fields.items()]
