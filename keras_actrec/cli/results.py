"""`keras-actrec results`: gather the results of runs into one table."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.cli._terminal import say
from keras_actrec.errors import UserError


def results(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or folders that hold some.")],
    out: Annotated[
        Path | None,
        typer.Option(help="CSV file for evaluated runs; rows of the same experiments in it are replaced."),
    ] = None,
) -> None:
    """Say what runs have reached, a line a run, and gather those with test.json of `evaluate --json`.

    Evaluated runs of several folds have a line for their mean. A run that cannot be read is a line, the
    others are shown, and the exit status is 1.
    """
    from keras_actrec import evaluation

    found, rows, failed = list[Path](), list[dict[str, str]](), False  # rows of what is evaluated
    for folder in runs:
        try:
            found += [run for run in evaluation.find_runs([folder]) if run not in found]
        except UserError as error:
            failed = True
            say(f"not shown: {error}")
    for run in found:
        try:
            say(evaluation.describe_run(run))
            if evaluation.is_evaluated(run):
                rows.append(evaluation.result_row(run))
        except UserError as error:
            failed = True
            say(f"not shown: {error}")
    for line in evaluation.describe_folds(rows):
        say(line)
    if out is not None:
        evaluation.write_results(out, rows)
        say(f"wrote {out}")
    if failed:
        raise typer.Exit(1)
