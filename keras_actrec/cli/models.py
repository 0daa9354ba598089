"""`keras-actrec models`: what can be built and trained."""

from rich.table import Column, Table
from rich.text import Text

from keras_actrec.cli._terminal import add_row, say, show


def models() -> None:
    """List models, backbones, recipes and studies."""
    import inspect

    from keras_actrec import backbones, training, tuning, zoo

    table = Table(Column("model", no_wrap=True), "what it is", Column("recipes", no_wrap=True))
    recipes = training.list_recipes()
    for name in zoo.list_models():
        about = (inspect.getdoc(zoo.spec(name).builder) or "").partition("\n")[0].removeprefix("Build ")
        own = "\n".join(recipe for recipe in recipes if recipe.startswith(f"{name}/"))
        add_row(table, name, about, Text(own))
    show(table)
    say(f"backbones: {', '.join(backbones.list_backbones())}")
    say(f"studies: {', '.join(tuning.list_studies())}")
