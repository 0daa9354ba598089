"""What an error says of a name that is not known."""

import pytest

from keras_actrec import backbones
from keras_actrec._suggest import did_you_mean
from keras_actrec.errors import UserError
from keras_actrec.training import find_recipe, list_recipes
from keras_actrec.tuning import find_study, list_studies

FRUIT = ("apple", "apricot", "banana", "pear", "pearl")


@pytest.mark.parametrize(
    ("name", "count", "phrase"),
    [
        ("banan", 1, "did you mean 'banana'?"),
        ("BANANA", 1, "did you mean 'banana'?"),
        ("peare", 3, "did you mean 'pear' or 'pearl'?"),  # in common: 8 of 9 letters, 8 of 10
        ("pear_", 1, "did you mean 'pear'?"),
        ("apr", 1, "did you mean 'apricot'?"),  # 6 of 10 letters
        ("ape", 3, "did you mean 'apple'?"),
        ("apric", 2, "did you mean 'apricot'?"),
        ("ba", 3, "there are: apple, apricot, banana, pear, pearl"),
        ("zzz", 3, "there are: apple, apricot, banana, pear, pearl"),
        (None, 1, "there are: apple, apricot, banana, pear, pearl"),
    ],
)
def test_the_nearest_names_are_given_and_all_where_none_is_near(name, count, phrase):
    assert did_you_mean(name, FRUIT, count=count) == phrase


def test_three_names_are_a_list_with_or():
    assert did_you_mean("abcd", ["abcde", "abcdf", "abcdg", "xyz"], count=3) in {
        f"did you mean '{a}', '{b}' or '{c}'?"
        for a in ("abcde", "abcdf", "abcdg")
        for b in ("abcde", "abcdf", "abcdg")
        for c in ("abcde", "abcdf", "abcdg")
        if len({a, b, c}) == 3
    }


def test_what_names_begin_with_is_shown_and_not_compared():
    assert did_you_mean("epoch", ["epochs", "ema"], prefix="train.") == "did you mean 'train.epochs'?"
    assert did_you_mean("zzz", ["epochs", "ema"], prefix="train.") == "there are: epochs, ema"


def test_names_that_are_none_and_another_answer():
    assert did_you_mean("x", []) == "there are: none"
    assert did_you_mean("x", FRUIT, otherwise="") == ""


@pytest.mark.parametrize(("find", "known"), [(find_recipe, list_recipes), (find_study, list_studies)])
def test_a_missing_recipe_or_study_is_answered_with_three_names_at_most(find, known):
    name = next(iter(known()))
    with pytest.raises(UserError) as caught:
        find(f"{name}_")
    named = [each for each in known() if f"'{each}'" in str(caught.value)]
    assert name in named and len(named) <= 3
    with pytest.raises(UserError, match=r" 'zzz': keras-actrec models lists all$"):
        find("zzz")


def test_the_name_of_a_model_is_answered_with_its_recipes():
    with pytest.raises(UserError) as caught:
        find_recipe("hman")
    assert str(caught.value).count("'hman/") == 3


def test_a_backbone_that_nothing_is_near_to_is_answered_with_all():
    with pytest.raises(UserError) as caught:
        backbones.build("zzz", weights=None)
    assert str(caught.value) == f"unknown backbone 'zzz': there are: {', '.join(backbones.list_backbones())}"
