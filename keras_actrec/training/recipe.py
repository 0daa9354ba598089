"""Recipes: what is trained, on what, and how, as typed TOML."""

import tomllib

import pydantic

from keras_actrec import zoo
from keras_actrec._suggest import did_you_mean
from keras_actrec.data import holds_skeletons
from keras_actrec.errors import UserError
from keras_actrec.training.shipped import find, shipped
from keras_actrec.training.tables import (
    ClipTable,
    DataTable,
    ModelTable,
    Recipe,
    SkeletonTable,
    TrainTable,
)

# Arguments of a builder that `train` gives, and why.
_DECIDED = {
    "input_shape": "it follows from clip.size, or from the joints",
    "masked": "it follows from clip.method and clip.short, or from skeleton.length",
    "return_sequences": "the model is trained at every step and saved with their mean",
    "classifier_activation": "the model answers with probabilities",
}
_KINDS = {
    bool: ("true or false", (bool,)),
    int: ("a whole number or a list", (int, list)),
    float: ("a number", (int, float)),
    str: ("a string", (str,)),
}

_TABLES = {
    "model": ModelTable,
    "data": DataTable,
    "clip": ClipTable,
    "skeleton": SkeletonTable,
    "train": TrainTable,
}


def find_recipe(name):
    """The file of a recipe: a path, or `"hman/synthetic"` for one that comes with the library.

    Raises:
        UserError: where there is none, with the nearest one there is.
    """
    short = str(name).removeprefix("zoo/").removesuffix(".toml")
    return find("recipe", name, short, list_recipes())


def recipe_name(name):
    """What a record calls a recipe: `"hman/synthetic"` for one of the library's, however it was named."""
    file = find_recipe(name).resolve()
    return next((short for short, path in list_recipes().items() if path.resolve() == file), str(name))


def list_recipes():
    """The recipes that come with the library: name, such as `"hman/synthetic"`, to file."""
    files = shipped("recipes", "zoo", "*/*.toml")
    return {f"{path.parent.name}/{path.stem}": path for path in files}


def read_recipe(path, overrides=()):
    """Read a recipe.

    Args:
        path: a TOML file, or the name of a recipe that comes with the library (`"hman/synthetic"`).
        overrides: strings `"train.epochs=6"`; values as in TOML, a bare word is a string.

    Returns:
        A `Recipe`.

    Raises:
        UserError: for a file that is not there or not TOML, an unknown table, key or model (with the nearest
            name there is), or a value of the wrong type or out of range.
    """
    path = find_recipe(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        _override(values, override)
    return parse_recipe(values, path)


def parse_recipe(values, source="recipe"):
    """Check nested dicts and return the `Recipe`. `source` names them in errors."""
    try:
        recipe = Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        raise UserError(f"{source}: {_first_problem(error)}") from error
    table = "clip" if recipe.skeleton is None else "skeleton"
    if table == "skeleton" and recipe.clip is not None:
        raise UserError(f"{source}: [clip] and [skeleton] exclude each other; leave one out")
    if holds_skeletons(recipe.data.dataset) != (table == "skeleton"):
        raise UserError(f"{source}: {_other_table(recipe.data.dataset, table)}")
    try:
        recipe.preprocessor  # noqa: B018  (which checks its arguments)
    except UserError as error:
        raise UserError(f"{source}: [{table}] {error}") from error
    try:
        zoo.check_arguments(recipe.model.name, recipe.model.arguments)
        _check_values(recipe.model)
    except UserError as error:
        raise UserError(f"{source}: [model] {error}") from error
    return recipe


def _other_table(dataset, table):
    if table == "clip":
        return f"{dataset} holds skeletons: put [skeleton] in the place of [clip]"
    if dataset is None:
        return "[skeleton] needs the name of the set: set data.dataset"
    return f"{dataset} holds no skeletons alone: put [clip] in the place of [skeleton]"


def _check_values(model):
    """Check the arguments' types against the builder's defaults, and that none is what training decides."""
    defaults = zoo.spec(model.name).arguments
    for name, value in model.arguments.items():
        if name in _DECIDED:
            raise UserError(f"{name!r} cannot be set here, {_DECIDED[name]}; leave it out")
        default = "" if name in ("backbone", "weights") else defaults[name]
        expected, kinds = _KINDS.get(type(default), ("", ()))
        if kinds and type(value) not in kinds:
            raise UserError(f"{name}: input should be {expected}. Received: {value!r}")


def _override(values, override):
    name, equals, text = override.partition("=")
    table, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise UserError(f"--set takes table.key=value, such as train.epochs=6. Received: {override!r}")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    values.setdefault(table, {})[key] = value


def _first_problem(error):
    problem = error.errors()[0]
    if problem["type"] == "together":
        return problem["msg"]
    *tables, key = (str(part) for part in problem["loc"][:2])  # below the key stand the members of a union
    name = ".".join([*tables, key])
    if problem["type"] == "extra_forbidden":
        known = (_TABLES[tables[0]] if tables else Recipe).model_fields
        return f"unknown key {name!r}; {did_you_mean(key, known, prefix=name.removesuffix(key))}"
    if problem["type"] == "missing":
        return f"{name!r} is missing"
    return f"{name}: {problem['msg'][0].lower()}{problem['msg'][1:]}. Received: {problem['input']!r}"
