"""A choice on the terminal."""

from rich.table import Column, Table

from keras_actrec.cli._terminal import add_row, say, show
from keras_actrec.training import Choice


def print_choice(choice: Choice) -> None:
    """Print what was found, and each value that was chosen with its reason."""
    table = Table(Column("chosen", no_wrap=True), "value", "why", box=None, padding=(0, 2, 0, 0))
    for name, reason in choice.reasons.items():
        key, _, value = name.partition(".")
        add_row(table, name, choice.values[key][value], reason)
    say(choice.summary)
    show(table)
