"""`keras-actrec results`: gather the results of runs into one table."""

from pathlib import Path
from typing import Annotated

import typer


def results(
    runs: Annotated[list[Path], typer.Argument(help="Run directories with test.json of `evaluate --json`.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV file; rows of the same experiments in it are replaced.")
    ] = None,
) -> None:
    """Gather what runs have reached, a row a run."""
    from keras_actrec import evaluation

    rows = [evaluation.result_row(run) for run in runs]
    for row in rows:
        words = [
            row["recipe"],
            row["set"],
            f"fold {row['fold']}" if row["fold"] else "",
            f"seed {row['seed']}",
        ]
        print(
            f"{' '.join(filter(None, words))}: top-1 {row['top1']}  mean class {row['mean_class']}  "
            f"{row['videos']} videos, {row['skipped']} skipped"
        )
    if out is not None:
        evaluation.write_results(out, rows)
        print(f"wrote {out}")
