"""The cards in zoo/: every model has one, and what it counts is so."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from checks import without_numbers
from keras_actrec import training, zoo

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"\| `(\w+\(.*\))` \| ([\dx ]+) \| ([\d,]+) \| ([\d.]+) \|")


def card(name):
    return (ROOT / "zoo" / name / "README.md").read_text(encoding="utf-8")


def rows(name):
    profile = card(name).split("<!-- profile:begin -->")[1].split("<!-- profile:end -->")[0]
    return ROW.findall(profile)


@pytest.mark.parametrize("name", zoo.list_models())
def test_a_card_says_what_the_model_is_takes_and_cannot(name):
    text = card(name)
    assert text.startswith(f"# {name}: ")
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert {"Input and output", "Limits"} <= set(headings)
    assert any(heading.startswith("Where it differs") for heading in headings)
    assert re.search(r"arXiv|thesis|ECCV|Cappuccio", text)
    assert rows(name)


def test_cards_show_the_figures_that_the_program_draws():
    pytest.importorskip("matplotlib", reason="the extra `viz` is not installed")
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {"figures": figures}):  # dataclasses look for it there
        spec.loader.exec_module(figures)
    assert figures.FIGURES and set(figures.FIGURES) <= set(zoo.list_models())
    for name, drawn in figures.FIGURES.items():
        assert f"](../../docs/figures/{name}.svg)" in card(name)
        picture = (ROOT / "docs" / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        for row in drawn:
            for line in row.label.splitlines():
                assert f">{line}<" in picture, (name, line)


@pytest.mark.once
@pytest.mark.parametrize("name", zoo.list_models())
def test_the_parameters_are_as_many_as_the_card_says(name):
    for call, _, parameters, _ in rows(name):
        tree = ast.parse(call, mode="eval").body
        assert tree.func.id == name
        arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords}
        with without_numbers():
            model = zoo.build(name, ast.literal_eval(tree.args[0]), **arguments)
        assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == int(
            parameters.replace(",", "")
        )


# Multiply-adds of 8 frames as counted in the authors' networks, 10^9.
@pytest.mark.parametrize(
    "name, backbone, published",
    [
        ("tsn", "bn_inception", 16.254),
        ("gsm", "bn_inception", 16.339),
        ("sa_gsm", "bn_inception", 18.632),
        ("tsn", "inception_v3", 26.619),
        ("gsm", "inception_v3", 26.693),
        ("sa_gsm", "inception_v3", 28.564),
    ],
)
def test_the_multiply_adds_are_those_of_the_authors_networks(name, backbone, published):
    default = zoo.spec(name).arguments["backbone"]
    wanted = f'{name}(174, backbone="{backbone}")' if backbone != default else f"{name}(174)"
    counted = {call: float(operations) for call, _, _, operations in rows(name)}
    assert counted[wanted] == pytest.approx(published, rel=0.01)


def test_there_are_no_cards_without_a_model():
    assert {folder.name for folder in (ROOT / "zoo").iterdir() if folder.is_dir()} == set(zoo.list_models())


def test_every_recipe_that_a_card_names_is_there():
    named = {
        f"{name}/{recipe}"
        for name in zoo.list_models()
        for recipe in re.findall(r"\]\((\w+)\.toml\)", card(name))
    }
    assert named <= set(training.list_recipes())
