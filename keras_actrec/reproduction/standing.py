"""What stands of a table or figure: rows of results, trials of studies, and what `reproduce` has made."""

import functools
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_actrec._files import read_csv, read_json, read_toml
from keras_actrec._shipped import shipped
from keras_actrec.evaluation import read_results
from keras_actrec.evaluation.results import columns_of
from keras_actrec.reproduction.paper import Element, Form, Training, find_element, list_papers
from keras_actrec.training import read_recipe
from keras_actrec.tuning import find_study, read_study

OFFICIAL, SMALL, READY = "measured on the official data", "measured on small data", "ready, data needed"
CANNOT = "cannot be made"
_DATA = ("dataset", "split", "manifest")  # what tells the data of a study's runs apart
MADE = "made.json"  # `reproduce` writes it last: what was made, and with which changes


@functools.cache
def _results() -> dict[tuple[str, tuple[str, ...], str], dict[str, float]]:
    """Top-1 of each seed of what was trained: recipe, its changes and its fold."""
    found: dict[tuple[str, tuple[str, ...], str], dict[str, float]] = {}
    for file in shipped("recipes", "zoo", "*/results.csv"):
        for row in read_results(file):
            if "+" not in row["seed"]:  # that is several models as one
                what = row["recipe"], tuple(sorted(row["set"].split())), row["fold"]
                found.setdefault(what, {})[row["seed"]] = float(row["top1"])
    return found


def seeds_of(trainings: Sequence[Training]) -> dict[str, float]:
    """Mean top-1 over trainings, of each seed that all of them have; empty where one has none.

    Args:
        trainings: those of a cell, which differ in a fold.
    """
    each = []
    for training in trainings:
        if training.start or not any(recipe == training.recipe for recipe, _, _ in _results()):
            return {}  # results do not tell what a run has started from
        changes = list(training.changes)
        recipe = read_recipe(training.recipe, changes).model_dump(exclude_none=True)
        row = columns_of({"recipe": recipe, "recipe_name": training.recipe, "overrides": changes})
        what = training.recipe, tuple(sorted(row["set"].split())), row["fold"]
        each.append(_results().get(what, {}))
    common = set.intersection(*map(set, each)) if each else set()
    return {seed: statistics.mean(found[seed] for found in each) for seed in sorted(common, key=int)}


def folder_of(form: Form, column: str) -> Path | None:
    """Where the trials of a form's study stand, on its data; None where they do not.

    A study's folder holds those on one set, and folders in it those on others. `best.toml`, the winner's
    recipe, tells which.
    """
    runs = _runs_of(form.study)
    if not runs:
        return None
    part = form.columns.get(column)
    data = read_study(form.study, [*form.overrides, *(part.overrides if part else [])]).recipe_of().data
    wanted = {key: getattr(data, key) for key in _DATA}
    return next((place for place, found in runs.items() if found == wanted), None)


def further_of(name: str) -> dict[str, Path]:
    """Where the trials of a study stand on further data, that are nobody's official: their name to folder."""
    home = find_study(name).parent
    return {
        place.name.replace("_", " "): place
        for place, data in _runs_of(name).items()
        if place != home and data["dataset"] is None
    }


def _runs_of(name: str) -> dict[Path, dict[str, Any]]:
    """The folders of a study that hold trials, and their data."""
    found = {}
    for file in sorted(find_study(name).parent.rglob("trials.csv")):
        best = file.with_name("best.toml")
        if best.exists() and any(row["status"] == "COMPLETED" for row in read_csv(file)):
            data = read_toml(best)["data"]
            found[file.parent] = {key: data.get(key) for key in _DATA}
    return found


def count(name: str, element: Element, form: Form) -> tuple[int, int]:
    """How many parts of a form stand, and how many there are.

    Of a study these are its columns, and the small form stands on any small data; of trainings the cells,
    whose accuracy results have. Figures, and other numbers than accuracies, stand whole or not, see
    `made_folder`.
    """
    made = made_folder(name, form is element.small) / MADE
    if made.exists() and not read_json(made, "make it anew")["changes"]:
        return 1, 1
    if element.picture:
        return 0, 1
    if form.study:
        columns = list(form.columns) or [""]
        stand = sum(folder_of(form, column) is not None for column in columns)
        elsewhere = form is element.small and bool(further_of(form.study))
        return (len(columns) if elsewhere else stand), len(columns)
    cells = list(element.cells(form))
    known = [cell.metric in ("top1", "error") and bool(seeds_of(cell.trainings)) for cell in cells]
    return sum(known), len(known)


def made_folder(name: str, small: bool) -> Path:
    """Where what `reproduce` has made is kept: `tuning/papers/eleattg/figure3`, or `...-small`."""
    paper, _, short = name.partition("/")
    return list_papers()[paper].parent / paper / (f"{short}-small" if small else short)


def state(name: str) -> str:
    """What stands of an element, such as `"eleattg/table6"`, in words; of what is there in part, how much.

    Raises:
        UserError: for a name that none has.
    """
    name, _, element = find_element(name)
    return state_of(name, element)


def state_of(name: str, element: Element) -> str:
    """The state of an element that has been read already."""
    if element.cannot:
        return CANNOT
    for words, form in ((OFFICIAL, element.official), (SMALL, element.small)):
        have, every = count(name, element, form) if form else (0, 0)
        if have:
            return words if have == every else f"{words}, {have} of {every}"
    return READY
