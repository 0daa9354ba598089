"""Recipes: what is trained, on what, and how, as typed TOML."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import pydantic
from pydantic.fields import FieldInfo

from keras_actrec import zoo
from keras_actrec._files import read_toml
from keras_actrec._shipped import find, shipped
from keras_actrec._suggest import did_you_mean
from keras_actrec._text import shown
from keras_actrec.data import files_of
from keras_actrec.errors import MisfitError, UserError
from keras_actrec.training.overrides import Override, read_overrides
from keras_actrec.training.tables import (
    SAMPLE_TABLES,
    ClipTable,
    DataTable,
    FeaturesTable,
    ModelTable,
    Recipe,
    SkeletonTable,
    TrainTable,
)

# Arguments of a builder that `train` gives, and why.
_DECIDED = {
    "input_shape": "it follows from clip.size, or from the joints or features",
    "masked": "it follows from method and short of [clip] or [features], or from skeleton.length",
    "return_sequences": "the model is trained at every step and saved with their mean",
    "classifier_activation": "the model answers with probabilities",
}
_KINDS = {
    bool: ("true or false", (bool,)),
    str: ("a string", (str,)),
}
_OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")

_TABLES: dict[str, type[pydantic.BaseModel]] = {
    "model": ModelTable,
    "data": DataTable,
    "clip": ClipTable,
    "skeleton": SkeletonTable,
    "features": FeaturesTable,
    "train": TrainTable,
}


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: a path, or `"hman/synthetic"` for one that comes with the library.

    Raises:
        UserError: where none exists, with the nearest name.
    """
    short = str(name).removeprefix("zoo/").removesuffix(".toml")
    return find("recipe", name, short, list_recipes())


def recipe_name(name: str | Path) -> str:
    """What a record calls a recipe: `"hman/synthetic"` for one of the library's, however it was named."""
    file = find_recipe(name).resolve()
    return next((short for short, path in list_recipes().items() if path.resolve() == file), str(name))


def list_recipes() -> dict[str, Path]:
    """The recipes that come with the library: name, such as `"hman/synthetic"`, to file."""
    files = shipped("recipes", "zoo", "*/*.toml")
    return {f"{path.parent.name}/{path.stem}": path for path in files}


def read_recipe(
    path: str | Path, overrides: Iterable[str] = (), *, tell: Callable[[str], Any] | None = None
) -> Recipe:
    """Read a recipe.

    A key of the file that goes with a choice falls away where an override changes the choice: with
    `"train.schedule=constant"` the milestones of another schedule, with `"model.name=frame_pool"` the
    arguments that `frame_pool` does not have. What another override sets never falls away.

    Args:
        path: a TOML file, or the name of a recipe that comes with the library (`"hman/synthetic"`).
        overrides: strings `"train.epochs=6"`; values as in TOML, a bare word is a string. `"data.manifest="`
            takes a key out, `"skeleton="` a table.
        tell: called with a line for each key that falls away.

    Returns:
        A `Recipe`.

    Raises:
        UserError: for a file that does not exist or is not TOML, an unknown table, key or model (with the
            nearest name), or a value of the wrong type or out of range.
    """
    path = find_recipe(path)
    values = read_toml(path)
    changes = read_overrides(overrides, "train.epochs=6")
    not_set = [change for change in changes if not change.apply(values)]
    try:
        recipe = _settle(values, {change.name for change in changes}, tell)
        for change in not_set:
            _check_known(change, recipe.model.name)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return recipe


def parse_recipe(values: dict[str, Any], source: str | Path = "recipe") -> Recipe:
    """Check nested dicts and return the `Recipe`. `source` names them in errors."""
    try:
        return _parse(values)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def _settle(values: dict[str, Any], given: set[str], tell: Callable[[str], Any] | None) -> Recipe:
    """Parse nested dicts without the keys that do not fit the choices among the `given` ones."""
    changed, lines = set(given), []
    while True:
        try:
            recipe = _parse(values)
            break
        except MisfitError as error:
            falls = [pair for pair in error.pairs if pair[0] not in given and pair[1] in changed]
            name, choice = next((pair for pair in falls if _value(values, pair[0]) is not None), ("", ""))
            if not name:
                raise
        Override.taking_out(name).apply(values)
        changed.add(name)
        value = _value(values, choice)
        lines.append(
            f"{name} falls away {f'without {choice}' if value is None else f'with {choice}={value!r}'}"
        )
    if tell is not None:
        for line in lines:
            tell(line)
    return recipe


def _value(values: dict[str, Any], name: str) -> Any:
    """What nested dicts have under `"table.key"`; None where it is not set, as TOML has no None."""
    table, _, key = name.partition(".")
    return values.get(table, {}).get(key)


def _parse(values: dict[str, Any]) -> Recipe:
    try:
        recipe = Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        context = error.errors()[0].get("ctx", {})
        raise _in_table("train", _first_problem(error), context.get("pairs", ())) from error
    table, *others = [name for name in SAMPLE_TABLES.values() if getattr(recipe, name)]
    if others:
        raise UserError(f"[{table}] and [{others[0]}] exclude each other; leave one out")
    files = files_of(recipe.data.dataset)
    if table != SAMPLE_TABLES[files]:
        raise UserError(_other_table(recipe.data.dataset, files, table))
    try:
        recipe.preprocessor  # noqa: B018  (which checks its arguments)
    except UserError as error:
        raise _in_table(table, f"[{table}] {error}", getattr(error, "pairs", ())) from error
    if recipe.data.watch_test and str(recipe.train.monitor).startswith("val_"):
        raise UserError(
            "data.watch_test=true shows the test part after each epoch, by which nothing may be chosen: "
            f"leave it out, or train.monitor={recipe.train.monitor!r} and train.keep"
        )
    model, unknown = recipe.model, []
    try:
        unknown = [name for name in model.arguments if name not in zoo.spec(model.name).arguments]
        zoo.check_arguments(model.name, model.arguments)
        _check_values(model)
    except UserError as error:
        raise _in_table("model", f"[model] {error}", [(name, "name") for name in unknown]) from error
    return recipe


def _in_table(table: str, line: str, pairs: Iterable[tuple[str, str]]) -> MisfitError:
    """A refusal with the names of keys as `--set` has them."""
    return MisfitError(line, *((f"{table}.{one}", f"{table}.{other}") for one, other in pairs))


def _check_known(change: Override, model: str) -> None:
    """Refuse to take out what is not set and could not be."""
    if change.table not in _TABLES:
        raise UserError(_unknown([], change.table))
    if change.table == "model":
        if change.key not in ("", "name"):
            zoo.check_arguments(model, [change.key])
    elif change.key and change.key not in _TABLES[change.table].model_fields:
        raise UserError(_unknown([change.table], change.key))


def _other_table(dataset: str | None, files: str, table: str) -> str:
    if dataset is None:
        name = "data.dataset='features'" if table == "features" else "data.dataset"
        return f"[{table}] needs the name of the set: set {name}"
    return f"{dataset} holds {files}: write [{SAMPLE_TABLES[files]}] instead of [{table}]"


def _check_values(model: ModelTable) -> None:
    """Check the arguments' types against the builder's defaults, and that none is what training decides."""
    defaults = zoo.spec(model.name).arguments
    for name, value in model.arguments.items():
        if name in _DECIDED:
            raise UserError(f"{shown(name)} cannot be set here, {_DECIDED[name]}; leave it out")
        default = "" if name in ("backbone", "weights") else defaults[name]
        expected, kinds = _KINDS.get(type(default), ("", ()))
        if kinds and type(value) not in kinds:
            raise UserError(f"{name}: input should be {expected}. Received: {shown(value)}")


def _unknown(tables: list[str], key: str) -> str:
    """What to say of an unknown key of a table, or of an unknown table."""
    known = (_TABLES[tables[0]] if tables else Recipe).model_fields
    prefix = "".join(f"{table}." for table in tables)
    return f"unknown key {shown(prefix + key)}; {did_you_mean(key, known, prefix=prefix)}"


def _first_problem(error: pydantic.ValidationError) -> str:
    problem = error.errors()[0]
    if problem["type"] == "together":
        return problem["msg"]
    *tables, key = (str(part) for part in problem["loc"][:2])  # behind the key: the members of a union
    name = ".".join([*tables, key])
    if problem["type"] == "extra_forbidden":
        return _unknown(tables, key)
    if problem["type"] == "missing":
        return f"{shown(name)} is missing"
    field = _TABLES[tables[0]].model_fields.get(key) if tables else None
    return f"{name}: {said_of(problem, field)}. Received: {shown(problem['input'])}"


def said_of(problem: Mapping[str, Any], field: FieldInfo | None) -> str:
    """What pydantic says of a value; of a number out of range, the whole range."""
    if field is None or problem["type"] not in _OUT_OF_RANGE:
        return problem["msg"][0].lower() + problem["msg"][1:]
    limits, parts = list(field.metadata), [field.annotation]
    for part in parts:  # which grows: `Annotated` may be a member of a union
        limits += [limit for each in get_args(part) for limit in getattr(each, "metadata", ())]
        parts += [each for each in get_args(part) if get_args(each)]
    words = {
        word: f"{word} {getattr(limit, name)}"
        for limit in limits
        for name, word in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
        if hasattr(limit, name)
    }
    return f"input should be {' and '.join(words.values())}"
