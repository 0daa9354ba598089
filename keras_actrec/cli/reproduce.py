"""`keras-actrec reproduce`: the tables and figures of the papers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_actrec.cli._terminal import add_row, say, show
from keras_actrec.errors import UserError

if TYPE_CHECKING:  # importing it loads Keras
    from keras_actrec.reproduction import Element, Paper


def _names(incomplete: str) -> list[str]:
    """The names that begin so, for the shell."""
    from keras_actrec._files import read_toml
    from keras_actrec._shipped import shipped

    files = {path.stem: path for path in shipped("studies/papers", "tuning/papers", "*.toml")}
    names = [f"{paper}/{name}" for paper, path in files.items() for name in read_toml(path)["elements"]]
    return [name for name in (*files, *names) if name.startswith(incomplete)]


def reproduce(
    element: Annotated[
        str | None,
        typer.Argument(
            help="A paper, such as eleattg, or a table or figure, such as eleattg/table6.",
            autocompletion=_names,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The set's folder; where there are several, a folder with one for each by name."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for runs, table or figure: make it.")] = None,
    small: Annotated[bool, typer.Option("--small", help="On small data, which often is made first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be run.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a value of each recipe, or of the study: train.epochs=6."),
    ] = None,
) -> None:
    """List the tables and figures of the papers with what is measured, or make one."""
    from keras_actrec import reproduction
    from keras_actrec.cli._progress import progress_bars

    if element is not None and "/" in element and (dry_run or out is not None):
        if dry_run or out is None:
            for step in reproduction.plan(element, data=data, out=out, small=small, changes=set_ or []):
                say(step.line)
            return
        with progress_bars() as progress:
            reproduction.reproduce(
                element, out, data=data, small=small, changes=set_ or [], tell=say, progress=progress
            )
        say(f"wrote {out}")
        return
    if dry_run or out is not None or data is not None or small or set_:
        raise UserError("name a table or figure, such as eleattg/table6, and --out, where it is made")
    if element is not None and "/" in element:
        _describe(*reproduction.find_element(element))
        return
    _list([element] if element else list(reproduction.list_papers()))


def _list(papers: list[str]) -> None:
    """A line for each table and figure."""
    from rich.table import Column, Table

    from keras_actrec import reproduction
    from keras_actrec.reproduction.standing import state_of

    table = Table(Column("name", no_wrap=True), "what it is", "made by", "state")
    for name in papers:
        paper = reproduction.read_paper(name)
        for short, each in paper.elements.items():
            full = f"{name}/{short}"
            add_row(table, full, each.title, _made_by(each), state_of(full, each))
    show(table)


def _made_by(element: "Element") -> str:
    """What makes an element, in a few words."""
    form = element.official or element.small
    if form is None:
        return "cannot be made"
    what = f"picture ({element.picture}) of " if element.picture else ""
    if form.study:
        return f"{what}study {form.study}"
    if form.model:
        return f"{what}the model itself"
    trainings = {training for cell in element.cells(form) for training in cell.trainings}
    if not trainings:
        return f"{what}the audit"
    return f"{what}{len(trainings)} training{'s' * (len(trainings) > 1)}"


def _describe(name: str, paper: "Paper", element: "Element") -> None:
    """All that is listed of an element."""
    from rich.table import Table

    from keras_actrec import reproduction
    from keras_actrec._text import command

    say(f"{name}: {element.title}")
    say(paper.cite)
    if element.paper is not None:
        table = Table("in the paper", *element.paper.columns)
        for row in element.paper.rows:
            cells = [element.paper.text(row, column) for column in element.paper.columns]
            add_row(table, row, *cells)
        show(table)
    for line in filter(None, [element.note, element.cannot]):
        say(line)
    for row, why in element.missing.items():
        say(f"not made: {row}: {why}")
    say(f"state: {reproduction.state(name)}")
    for form, words in ((element.official, ()), (element.small, ("--small",))):
        if form is None:
            continue
        needed = [f"{each}: {paper.sets[each]}" for each in form.sets if isinstance(paper.sets[each], str)]
        for line in [f"needs {each}" for each in needed]:
            say(line)
        root = ("--data", "DATA") if needed else ()
        say(command("reproduce", name, *root, "--out", f"runs/{name.replace('/', '-')}", *words))
