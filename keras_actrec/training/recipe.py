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
from keras_actrec.data import (
    ClipInput,
    ClipTransform,
    Sampling,
    SkeletonInput,
    SkeletonTransform,
    holds_skeletons,
)
from keras_actrec.errors import UserError

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
        return _only(Sampling, self)

    @property
    def transform(self):
        """The `ClipTransform`."""
        return _only(ClipTransform, self)


class SkeletonTable(_Table):
    """`[skeleton]`, in place of `[clip]` for sets of joints. See `SkeletonTransform`."""

    frames: int = 300
    length: Literal["pad", "resample"] = "pad"
    center: int | None = 1
    align: list[int] | None = None
    rotation: float = 0.0
    scale: float = 0.0
    velocity: bool = False

    @property
    def transform(self):
        """The `SkeletonTransform`."""
        return _only(SkeletonTransform, self)


def _only(kind, table):
    """An object of a dataclass from the values of a table that has them all."""
    return kind(**{field.name: getattr(table, field.name) for field in dataclasses.fields(kind)})


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
    """A training run, as `[model]`, `[data]`, `[clip]` or `[skeleton]`, and `[train]` of a TOML file say."""

    model: ModelTable
    data: DataTable = DataTable()
    clip: ClipTable | None = None
    skeleton: SkeletonTable | None = None
    train: TrainTable = TrainTable()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _with_clip(cls, values):
        return values if "skeleton" in values else {"clip": {}, **values}

    @property
    def input(self):
        """How the model looks at a file: a `ClipInput` or a `SkeletonInput`."""
        if self.skeleton is not None:
            return SkeletonInput(self.data.dataset, self.skeleton.transform)
        return ClipInput(self.clip.sampling, self.clip.transform)

    @property
    def frames(self):
        """T, the steps of a sample."""
        return (self.skeleton or self.clip).frames

    def to_toml(self):
        """The recipe as TOML, every value spelled out."""
        lines = []
        for table, values in self.model_dump(exclude_none=True).items():
            lines.append(f"[{table}]")
            # TOML writes strings, numbers, booleans and arrays as JSON does.
            lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
            lines.append("")
        return "\n".join(lines)


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
    except pydantic.ValidationError as error:
        raise UserError(f"{source}: {_first_problem(error)}") from error
    table = "clip" if recipe.skeleton is None else "skeleton"
    if table == "skeleton" and recipe.clip is not None:
        raise UserError(f"{source}: [clip] and [skeleton] exclude each other; leave one out")
    if holds_skeletons(recipe.data.dataset) != (table == "skeleton"):
        raise UserError(f"{source}: {_other_table(recipe.data.dataset, table)}")
    try:
        recipe.input  # noqa: B018  (which checks its arguments)
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
        known = (_TABLES[tables[0]] if tables else Recipe).model_fields
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {'.'.join([*tables, near[0]])!r}?" if near else f"there are: {', '.join(known)}"
        return f"unknown key {name!r}; {hint}"
    if problem["type"] == "missing":
        return f"{name!r} is missing"
    return f"{name}: {problem['msg'][0].lower()}{problem['msg'][1:]}. Received: {problem['input']!r}"
