"""`keras-actrec models`: what can be built and trained."""

from rich.console import Console
from rich.table import Column, Table


def models() -> None:
    """List models, backbones, recipes and studies."""
    import inspect

    from keras_actrec import backbones, training, tuning, zoo

    table = Table(Column("model", no_wrap=True), "what it is", Column("recipes", no_wrap=True))
    recipes = training.list_recipes()
    for name in zoo.list_models():
        about = (inspect.getdoc(zoo.spec(name).builder) or "").partition("\n")[0].removeprefix("Build ")
        table.add_row(name, about, "\n".join(recipe for recipe in recipes if recipe.startswith(f"{name}/")))
    Console().print(table)
    print(f"backbones: {', '.join(backbones.list_backbones())}")
    print(f"studies: {', '.join(tuning.list_studies())}")
