"""Recipes: what is trained, on what, and how, as typed TOML."""

import dataclasses
import difflib
import json
import tomllib
from pathlib import Path
from typing import Literal

import pydantic

import keras_actrec
from keras_actrec import zoo
from keras_actrec.data import ClipTransform, Sampling
from keras_actrec.errors import UserError

# Arguments of a builder that `train` gives, and why.
_DECIDED = {
    "input_shape": "it follows from clip.size",
    "masked": "it follows from clip.method and clip.short",
    "return_sequences": "the model is trained at every step and saved with their mean",
    "classifier_activation": "the model answers with probabilities",
}
_KINDS = {
    bool: ("true or false", (bool,)),
    int: ("a whole number or a list", (int, list)),
    float: ("a number", (int, float)),
    str: ("a string", (str,)),
}


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelTable(pydantic.BaseModel):
    """`[model]`: the builder's name; everything else is an argument of that builder."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True, strict=True)

    name: str

    @property
    def arguments(self):
        """The builder's arguments."""
        return dict(self.model_extra)


class DataTable(_Table):
    """`[data]`: how the videos are found and split. See `read_set` and `split_manifest`."""

    dataset: str | None = None
    split: str | int | None = None
    manifest: str | None = None
    test_fold: int | str | None = None
    test_share: float = pydantic.Field(0.25, gt=0, lt=1)
    validation_share: float = pydantic.Field(0.0, ge=0, lt=1)
    split_seed: int = pydantic.Field(0, ge=0)
    on_error: Literal["raise", "skip"] = "raise"
    max_skipped: float = pydantic.Field(0.1, ge=0, le=1)


class ClipTable(_Table):
    """`[clip]`: which frames of a video, and at what size. See `Sampling` and `ClipTransform`."""

    frames: int = 16
    method: Literal["segments", "tsn", "contiguous", "dense", "stride", "sequences"] = "segments"
    stride: int = 1
    every: int = 1
    short: Literal["stretch", "first", "repeat", "loop", "mask"] | None = None
    num_clips: int = 1
    hop: int | None = None
    size: int = 224
    short_side: int | None = None
    crop: Literal["center", "random", "multiscale", "resized", "none"] = "center"
    flip: bool = False
    swap: list[list[int]] = []
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    num_crops: int = 1

    @property
    def sampling(self):
        """The `Sampling`."""
        return Sampling(**self._only(Sampling))

    @property
    def transform(self):
        """The `ClipTransform`."""
        return ClipTransform(**self._only(ClipTransform))

    def _only(self, kind):
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(kind)}


class TrainTable(_Table):
    """`[train]`: Adam at `learning_rate`, which falls to `final_learning_rate` after `drop_after` steps.

    The defaults are HM-AN's: 1e-4, then 1e-5 after 10,000 steps; batches of 64.
    """

    epochs: int = pydantic.Field(60, ge=1)
    batch_size: int = pydantic.Field(64, ge=1)
    learning_rate: float = pydantic.Field(1e-4, gt=0)
    final_learning_rate: float = pydantic.Field(1e-5, gt=0)
    drop_after: int = pydantic.Field(10_000, ge=1)
    clipnorm: float | None = pydantic.Field(None, gt=0)
    train_backbone: bool = False
    seed: int = pydantic.Field(0, ge=0)
    workers: int = pydantic.Field(2, ge=0)


class Recipe(_Table):
    """A training run, as `[model]`, `[data]`, `[clip]` and `[train]` of a TOML file say it."""

    model: ModelTable
    data: DataTable = DataTable()
    clip: ClipTable = ClipTable()
    train: TrainTable = TrainTable()

    def to_toml(self):
        """The recipe as TOML, every value spelled out."""
        lines = []
        for table, values in self.model_dump(exclude_none=True).items():
            lines.append(f"[{table}]")
            # TOML writes strings, numbers, booleans and arrays as JSON does.
            lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
            lines.append("")
        return "\n".join(lines)


def find_recipe(name):
    """The file of a recipe: a path, or `"hman/synthetic"` for one that comes with the library.

    Raises:
        UserError: where there is none, with the nearest one there is.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = list_recipes()
    short = str(name).removeprefix("zoo/").removesuffix(".toml")
    if short in known:
        return known[short]
    near = difflib.get_close_matches(short, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
    raise UserError(f"there is no recipe {str(name)!r}: {hint}")


def list_recipes():
    """The recipes that come with the library: name, such as `"hman/synthetic"`, to file."""
    package = Path(keras_actrec.__file__).parent
    # In a wheel they lie in the package, in a checkout beside it.
    folders = [folder for folder in (package / "recipes", package.parent / "zoo") if folder.is_dir()]
    return (
        {f"{path.parent.name}/{path.stem}": path for path in sorted(folders[0].glob("*/*.toml"))}
        if folders
        else {}
    )


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
        recipe.clip.sampling, recipe.clip.transform  # noqa: B018  (both check their arguments)
    except pydantic.ValidationError as error:
        raise UserError(f"{source}: {_first_problem(error)}") from error
    except UserError as error:
        raise UserError(f"{source}: [clip] {error}") from error
    try:
        zoo.check_arguments(recipe.model.name, recipe.model.arguments)
        _check_values(recipe.model)
    except UserError as error:
        raise UserError(f"{source}: [model] {error}") from error
    return recipe


def _check_values(model):
    """Check the arguments' types against the builder's defaults, and that none is what training decides."""
    defaults = zoo.arguments_of(model.name)
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
    *tables, key = (str(part) for part in problem["loc"][:2])  # below the key stand the members of a union
    name = ".".join([*tables, key])
    if problem["type"] == "extra_forbidden":
        known = Recipe.model_fields
        for table in tables:
            known = known[table].annotation.model_fields
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {'.'.join([*tables, near[0]])!r}?" if near else f"there are: {', '.join(known)}"
        return f"unknown key {name!r}; {hint}"
    if problem["type"] == "missing":
        return f"{name!r} is missing"
    return f"{name}: {problem['msg'][0].lower()}{problem['msg'][1:]}. Received: {problem['input']!r}"
