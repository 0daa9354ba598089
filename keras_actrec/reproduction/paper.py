"""The papers' tables and figures as typed TOML: what each is made of, and the paper's numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from keras_actrec._files import read_toml
from keras_actrec._shipped import shipped
from keras_actrec._suggest import did_you_mean
from keras_actrec._text import shown
from keras_actrec.errors import UserError
from keras_actrec.tuning import read_study


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Clips(_Table):
    """A set that anyone can make: the arguments of `data.write_synthetic`."""

    clips_per_class: int = 120
    frames: int = 24
    size: int = 112
    test_fraction: float = 0.2


def set_words(about: str | Clips) -> str:
    """What a set is called."""
    return "clips that are made" if isinstance(about, Clips) else re.split("[,:]", about)[0]


class InStudy(_Table):
    """A number that stands in the table of a study already: its study and the label of its row."""

    study: str
    row: str


class Numbers(_Table):
    """The paper's numbers as it prints them: rows with a cell a column, `""` an empty one."""

    columns: list[str] = ["accuracy"]
    rows: dict[str, list[int | float | str | InStudy]]

    @pydantic.model_validator(mode="after")
    def _is_a_table(self) -> "Numbers":
        for name, cells in self.rows.items():
            if len(cells) != len(self.columns):
                raise ValueError(
                    f"row {name!r} has {len(cells)} cells, and there are {len(self.columns)} columns"
                )
        return self

    @property
    def is_percent(self) -> bool:
        """Whether shares are in percent: a number is above 1."""
        return any(isinstance(cell, (int, float)) and cell > 1 for row in self.rows.values() for cell in row)

    def cell(self, row: str, column: str) -> float | str:
        """What the paper prints, `""` where it prints nothing."""
        if row not in self.rows or column not in self.columns:
            return ""
        cell = self.rows[row][self.columns.index(column)]
        if not isinstance(cell, InStudy):
            return cell
        table = read_study(cell.study).table
        value = table.paper[cell.row] if table else ""
        return round(100 * value, 10) if self.is_percent and isinstance(value, float) else value

    def text(self, row: str, column: str) -> str:
        """A cell as text: with as many decimals as the longest number of its column has."""
        value = self.cell(row, column)
        if not isinstance(value, float):
            return f"{value:,}" if isinstance(value, int) else value
        others = [self.cell(each, column) for each in self.rows]
        places = max(len(str(each).partition(".")[2]) for each in others if isinstance(each, float))
        return f"{value:.{places}f}"


class Part(_Table):
    """Of a table of trainings a row or a column: the training in a cell is what both say together.

    recipe: a recipe; of a row also a model alone, and of a column what that model's recipe is called. set:
    changes. data: the set, if not that of the form. fold and folds: a change with `N` for the number, such as
    `data.split=N`, and the numbers over which the cell is a mean. start: what is trained before, on its
    own `data`, by default the same and the same fold, and begun from, as `train --from` does. metric: see
    `Form`.
    """

    recipe: str = ""
    overrides: list[str] = pydantic.Field([], alias="set")
    data: str = ""
    fold: str = ""
    folds: list[int] = []
    start: "Part | None" = None
    metric: str = ""


class Form(_Table):
    """How a table or a figure is made, of the official data or of small data.

    data: which of the paper's `sets`. study: its study, with the changes `set`; each of `columns` is one run
    of it. rows and columns: otherwise, trainings. seeds: of each. protocol: how a test looks at videos, by
    default as training does. metric: what is read of a test: `top1`, `top5`, `mean_class`, `map`,
    `view_accuracy`, `error`, `ap CLASS`; of a history `epochs` and `updates` until it has converged. draw:
    what a figure draws: columns of histories, classes, or rows of a study. dataset: whose files are read
    where nothing is trained. model: arguments of a builder, whose `name` is among them.
    """

    data: str = ""
    study: str = ""
    overrides: list[str] = pydantic.Field([], alias="set")
    rows: dict[str, Part] = {}
    columns: dict[str, Part] = {}
    seeds: list[Annotated[int, pydantic.Field(ge=0)]] = [0]
    metric: str = "top1"
    protocol: str = ""
    draw: list[str] = []
    dataset: str = ""
    model: dict[str, Any] = {}
    note: str = ""

    @property
    def sets(self) -> list[str]:
        """The names of the sets that it needs."""
        parts = [*self.columns.values(), *self.rows.values()]
        parts += [part.start for part in parts if part.start is not None]
        return list(dict.fromkeys(name for name in (self.data, *(part.data for part in parts)) if name))


@dataclass(frozen=True)
class Training:
    """One training of a cell: a recipe with changes, but for the seed, on one of the paper's sets.

    start: the training whose model it starts from.
    """

    recipe: str
    changes: tuple[str, ...]
    data: str
    start: "Training | None" = None

    def named(self) -> str:
        """A name for its folder."""
        words = [self.recipe.replace("/", "-"), *(change.replace("=", "_") for change in self.changes)]
        name = "-".join("".join(c if c.isalnum() or c in "._-," else "" for c in word) for word in words)
        return f"{name}-from-{self.start.named()}" if self.start else name


@dataclass(frozen=True)
class Cell:
    """A cell of a table of trainings: where it stands, the trainings it is the mean of, and its metric."""

    row: str
    column: str
    trainings: tuple[Training, ...]
    metric: str


class Element(_Table):
    """A table or figure.

    Attributes:
        title: what it shows.
        picture: what a figure is drawn by, see `reproduction.work`.
        paper: the paper's numbers.
        official: how it is made from the paper's data.
        small: how it is made from small data that can be had.
        missing: rows that nobody can make, with the reason.
        cannot: why the whole is not made.
        note: a sentence for its page.
    """

    title: str
    picture: Literal[
        "", "attention", "bars", "confusion", "gates", "labels", "loss", "temperature", "tsne"
    ] = ""
    paper: Numbers | None = None
    official: Form | None = None
    small: Form | None = None
    missing: dict[str, str] = {}
    cannot: str = ""
    note: str = ""

    def form(self, small: bool) -> Form:
        """One of its forms.

        Raises:
            UserError: where it has none.
        """
        found = self.small if small else self.official
        if found is None:
            raise UserError(self.cannot or f"it has no {'small' if small else 'official'} form")
        return found

    def cells(self, form: Form) -> Iterator[Cell]:
        """The cells of a form that are trained, row by row."""
        default = self.paper.columns[0] if self.paper else "run"
        for row, first in form.rows.items():
            for column, second in (form.columns or {default: Part()}).items():
                recipe = "/".join(filter(None, (first.recipe, second.recipe)))
                changes = [*form.overrides, *second.overrides, *first.overrides]
                fold = first if first.fold else second
                folds = [[fold.fold.replace("N", str(number))] for number in fold.folds] or [[]]
                data, start = first.data or second.data or form.data, first.start or second.start
                trainings = []
                for each in folds:
                    before = None
                    if start is not None:
                        same = [] if start.data else each
                        before = Training(start.recipe, (*start.overrides, *same), start.data or data)
                    trainings.append(Training(recipe, (*changes, *each), data, before))
                metric = first.metric or second.metric or form.metric
                yield Cell(row, column, tuple(trainings), metric)


class Evidence(_Table):
    """Two lines of results that a claim compares: recipes with changes, on the same data."""

    on: str
    better: Part
    worse: Part


class Claim(_Table):
    """What a paper says, in which element its numbers are, and which of two rows it puts first.

    worse_element: where the second row is, by default the same. study: that judges it, by default that of the
    element, where no rows are named. pairs: rows of the study, the better one first, over which the claim is
    judged in the mean, where it is not that the paper's best row is the best. also: further data that tell of
    it. fact: what the paper itself or its code says of it.
    """

    says: str
    element: str
    better: str = ""
    worse: str = ""
    worse_element: str = ""
    study: str = ""
    pairs: list[Annotated[list[str], pydantic.Field(min_length=2, max_length=2)]] = []
    also: list[Evidence] = []
    fact: str = ""


class Paper(_Table):
    """A paper: how it is cited, its sets in words or as `Clips`, its elements by name, and what it claims."""

    cite: str
    sets: dict[str, str | Clips]
    elements: dict[str, Element]
    claims: list[Claim] = []

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Paper":
        for name, element in self.elements.items():
            for form in filter(None, (element.official, element.small)):
                unknown = set(form.sets) - set(self.sets)
                if unknown:
                    raise ValueError(f"{name}: unknown set {unknown.pop()!r}")
        for claim in self.claims:
            for name in (claim.element, claim.worse_element or claim.element):
                if name not in self.elements:
                    raise ValueError(f"claim about an unknown element {name!r}")
        return self


def list_papers() -> dict[str, Path]:
    """The papers: name to file."""
    return {path.stem: path for path in shipped("studies/papers", "tuning/papers", "*.toml")}


def read_paper(name: str) -> Paper:
    """Read what is listed of a paper.

    Raises:
        UserError: for a name that no paper has, with the nearest one, or a file that is not as it should be.
    """
    files = list_papers()
    if name not in files:
        raise UserError(f"there is no paper {shown(name)}: {did_you_mean(name, files)}")
    try:
        return Paper.model_validate(read_toml(files[name]))
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"{files[name]}: {where}: {problem['msg']}") from error


def find_element(name: str) -> tuple[str, Paper, Element]:
    """The name, the paper and the element of `"eleattg/table6"`.

    Raises:
        UserError: for a name that none has, with the nearest ones.
    """
    head, slash, tail = name.partition("/")
    if not slash:
        raise UserError(
            f"{shown(name)} is no table or figure: name one, as keras-actrec reproduce lists them"
        )
    paper = read_paper(head)
    if tail not in paper.elements:
        hint = did_you_mean(tail, paper.elements, count=3, prefix=f"{head}/")
        raise UserError(f"there is no table or figure {shown(name)}: {hint}")
    return name, paper, paper.elements[tail]
