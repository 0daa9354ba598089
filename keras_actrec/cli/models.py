"""`keras-actrec models`: what can be built and trained, and what is trained already."""

from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from keras_actrec.cli._terminal import add_row, say, show


def models(
    trained: Annotated[
        bool, typer.Option("--trained", help="List the trained models that come along, with their cards.")
    ] = False,
) -> None:
    """List models, backbones, recipes and studies; with --trained what can be used at once."""
    if trained:
        _trained()
        return
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


def _trained() -> None:
    """The trained models: what each is called, what it shows, and its card."""
    from keras_actrec import list_trained

    found = list_trained()
    for model in found:
        shown = Column(model.card["shows"], overflow="fold")  # a hash is whole
        table = Table(Column(model.name, no_wrap=True), shown, title_justify="left")
        for key, value in model.lines():
            add_row(table, key, value)
        show(table)
    say(f"a name takes the place of a file: keras-actrec predict {found[0].name} clip.mp4")
