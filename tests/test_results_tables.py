"""Every table of results on a page is what rows give: of results.csv, deletion.csv, boundaries.csv."""

import functools
import importlib
import json
import os
import re
import sys
from pathlib import Path
from unittest import mock

import pytest

from keras_actrec._files import read_csv

pytestmark = pytest.mark.no_backend

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"<!-- (\w+):begin -->\n(.*?)\n<!-- \1:end -->", re.S)
PAGES = (ROOT / "README.md", *sorted((ROOT / "zoo").glob("*/README.md")))


def blocks(text):
    """Pairs of an experiment and its table; `profile` is counted, not measured, and `extras` is a list."""
    return [(name, table) for name, table in BLOCK.findall(text) if name not in ("profile", "extras")]


@pytest.fixture(scope="module")
def accuracy():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import accuracy
    import boundaries
    import gates

    sys.path.pop(0)
    accuracy.deletion = lambda rows: gates.tables(read_csv(gates.TABLE))
    accuracy.boundaries = lambda rows: boundaries.table(read_csv(boundaries.TABLE))
    return accuracy


def unbacked(accuracy, text):
    """The blocks that are not those of the rows."""
    rows = accuracy.results()
    known = {name: functools.partial(accuracy.tables, name) for name in accuracy.EXPERIMENTS}
    known |= {"results": accuracy.summary, "deletion": accuracy.deletion, "boundaries": accuracy.boundaries}
    return [name for name, table in blocks(text) if name not in known or table != known[name](rows)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_table_of_results_is_backed_by_rows(accuracy, page):
    text = page.read_text(encoding="utf-8")
    assert text.count(":begin -->") == text.count(":end -->") == len(BLOCK.findall(text))
    assert unbacked(accuracy, text) == []


def test_there_are_tables_of_results(accuracy):
    found = [name for page in PAGES for name, _ in blocks(page.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(["results", "deletion", "boundaries", *accuracy.EXPERIMENTS])


@pytest.mark.parametrize(
    ("page", "change"),
    [
        ("README.md", ("0.9", "0.8")),
        ("zoo/hman/README.md", ("0.9", "0.8")),
        ("zoo/hman/README.md", (" 3 seeds", " 5 seeds")),
        ("zoo/hman/README.md", ("synthetic:", "unknown:")),
        ("zoo/eleatt_rnn/README.md", ("| at random | 0.9", "| at random | 0.8")),
    ],
)
def test_a_number_that_no_row_backs_is_found(accuracy, page, change):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert change[0] in text
    assert unbacked(accuracy, text.replace(*change)) != []


def test_a_table_of_one_fold_has_the_rows_of_that_fold_alone(accuracy):
    line = accuracy.Line("GRU", "joints", "stacked_rnn/own")
    row = {"recipe": "stacked_rnn/own", "set": "", "seed": "0", "videos": "10", "floor": "", "floor_of": ""}
    rows = [row | {"fold": fold, "top1": top1} for fold, top1 in (("0", "1.0"), ("1", "0.5"))]
    for folds, expected in (((0,), 1.0), ((1,), 0.5), ((0, 1), 0.75)):
        about = accuracy.Table("one", lines=(line,), folds=folds)
        experiment = accuracy.Experiment(tables=(about,), chance=".5", pages=(), seeds=1)
        assert accuracy.seeds_of(line, rows, about, experiment) == [expected]


@pytest.mark.parametrize(
    ("program", "page", "make"),
    [
        ("sizes", "backends", lambda module, found: module.table(found)),
        ("costs", "choosing", lambda module, found: module.table_of(module.TABLES[0], found)),
        ("costs", "choosing", lambda module, found: module.table_of(module.TABLES[1], found)),
    ],
    ids=["sizes", "costs of videos", "costs of skeletons"],
)
def test_what_things_cost_is_told_as_it_was_measured(program, page, make, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    with mock.patch.dict(os.environ):  # a program that measures sets how many threads compute
        module = importlib.import_module(program)
    found = json.loads((ROOT / "benchmarks" / f"{program}.json").read_text(encoding="utf-8"))
    table = make(module, found)
    assert table.count("\n") > 3
    assert table in (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
