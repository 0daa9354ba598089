"""What is printed: the only place of the command line that does, as names of files and classes are text."""

import sys
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_actrec._text import printable


def say(line: object, *, file: TextIO | None = None) -> None:
    """Print a line, on stdout unless told otherwise, at once."""
    print(printable(line), file=file, flush=True)


def say_error(error: object) -> None:
    """Print what went wrong, on stderr."""
    say(f"error: {error}", file=sys.stderr)


def add_row(table: Table, *cells: object) -> None:
    """Add a row to a table. A cell, such as the class `Putting [something] down`, is text and no markup."""
    table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in cells))


def show(table: Table) -> None:
    """Print a table."""
    Console(highlight=False).print(table)
