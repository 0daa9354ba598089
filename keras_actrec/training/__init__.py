"""From a recipe and a folder of videos to a run directory with a model."""

from keras_actrec.training.fit import Run, train
from keras_actrec.training.recipe import Recipe, find_recipe, list_recipes, parse_recipe, read_recipe

__all__ = ["Recipe", "Run", "find_recipe", "list_recipes", "parse_recipe", "read_recipe", "train"]
