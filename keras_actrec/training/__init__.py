"""From a recipe and a folder of videos to a run directory with a model."""

from keras_actrec.training.choice import Choice, choose, choose_for_run
from keras_actrec.training.devices import join_processes, leave_processes
from keras_actrec.training.extraction import extract, extraction_recipe
from keras_actrec.training.facts import Facts, look
from keras_actrec.training.optimizers import RPROP, SGD, AdamL2, RMSpropL2
from keras_actrec.training.prepare import caching
from keras_actrec.training.recipe import (
    Recipe,
    find_recipe,
    list_recipes,
    parse_recipe,
    read_recipe,
    recipe_name,
)
from keras_actrec.training.run import Run, train
from keras_actrec.training.schedules import warmup_cosine

__all__ = [
    "RPROP",
    "SGD",
    "AdamL2",
    "Choice",
    "Facts",
    "RMSpropL2",
    "Recipe",
    "Run",
    "caching",
    "choose",
    "choose_for_run",
    "extract",
    "extraction_recipe",
    "find_recipe",
    "join_processes",
    "leave_processes",
    "list_recipes",
    "look",
    "parse_recipe",
    "read_recipe",
    "recipe_name",
    "train",
    "warmup_cosine",
]
