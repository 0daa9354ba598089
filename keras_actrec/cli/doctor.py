"""`keras-actrec doctor`: what is installed, what works, and what to do about the rest."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Column, Table

from keras_actrec._files import write_json
from keras_actrec._installation import CODECS, examine
from keras_actrec.cli._terminal import add_row, say_error, show


def doctor(
    json: Annotated[Path | None, typer.Option(help="Write the findings here as well.")] = None,
) -> None:
    """Show what is installed, what works, and how to install the rest."""
    findings = examine()
    show(_table(findings))
    if json is not None:
        write_json(json, findings)
    for problem in findings["problems"]:
        say_error(problem)
    if findings["problems"]:
        raise typer.Exit(1)


def _table(findings: dict[str, Any]) -> Table:
    table = Table(Column("what", no_wrap=True), "found", Column("to install", no_wrap=True), box=box.SIMPLE)

    def row(what: str, found: str, install: str = "") -> None:
        add_row(table, what, found, install)

    for name in ("python", "keras_actrec", "keras"):
        row(name, findings[name])
    for name, version in findings["backends"].items():
        active = " (active)" if name == findings["backend"] else ""
        row(f"backend {name}", f"{version or 'no'}{active}")
    devices = ", ".join(findings["devices"]) or "none"
    row("devices", devices if findings["gpu"] else f"{devices} (no GPU)")
    row("opencv", findings["opencv"] or "no")
    for name, codec in findings["codecs"].items():
        answer = (
            "written and read"
            if codec["read"]
            else "written, not read"
            if codec["written"]
            else "not written"
        )
        row(f"video {name} ({CODECS[name]})", answer)
    for name, extra in findings["extras"].items():
        row(
            f"extra {name}", "no" if extra["missing"] else "yes", extra["install"] if extra["missing"] else ""
        )
    return table
