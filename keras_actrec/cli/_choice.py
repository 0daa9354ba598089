"""A choice on the terminal."""

from rich.console import Console
from rich.table import Column, Table

from keras_actrec.training import Choice


def print_choice(choice: Choice) -> None:
    """Print what was found, and each value that was chosen with its reason."""
    table = Table(Column("chosen", no_wrap=True), "value", "why", box=None, padding=(0, 2, 0, 0))
    for name, reason in choice.reasons.items():
        key, _, value = name.partition(".")
        table.add_row(name, str(choice.values[key][value]), reason)
    console = Console(highlight=False)
    console.print(choice.summary)
    console.print(table)
