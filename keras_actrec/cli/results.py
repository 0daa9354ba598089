"""`keras-actrec results`: gather the results of runs into one table."""

from pathlib import Path
from typing import Annotated

import typer


def results(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or folders that hold some.")],
    out: Annotated[
        Path | None,
        typer.Option(help="CSV file for evaluated runs; rows of the same experiments in it are replaced."),
    ] = None,
) -> None:
    """Say what runs have reached, a line a run, and gather those with test.json of `evaluate --json`."""
    from keras_actrec import evaluation

    found = evaluation.find_runs(runs)
    for run in found:
        print(evaluation.describe_run(run))
    if out is not None:
        evaluation.write_results(out, map(evaluation.result_row, filter(evaluation.is_evaluated, found)))
        print(f"wrote {out}")
