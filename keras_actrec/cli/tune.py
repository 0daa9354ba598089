"""`keras-actrec tune`: run a study, on one machine or on many."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from keras_actrec._numbers import MOST_WORKERS
from keras_actrec.cli._options import MaxSkipped, OnError, skipping
from keras_actrec.cli._terminal import say


def tune(
    study: Annotated[str, typer.Argument(help="A TOML file, or a study's name such as hman_frames.")],
    data: Annotated[Path, typer.Option(help="A CSV file, or a folder, as `train` takes it.")],
    out: Annotated[Path | None, typer.Option(help="The study's directory, which is made.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study in --out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how large the study is, and about how long.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_WORKERS, help="Trials at a time, on this machine.")
    ] = 1,
    role: Annotated[
        Literal["chief", "worker"] | None, typer.Option(help="What this machine is among many.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="host:port of the chief, with --role.")] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="Of this worker; the same one when it starts again.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value: study.max_trials=4, train.epochs=6.")
    ] = None,
    on_error: OnError = None,
    max_skipped: MaxSkipped = None,
) -> None:
    """Run a study: a search over a recipe, its table and its winner."""
    from keras_actrec import tuning
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.errors import UserError

    values = tuning.read_study(study, [*(set_ or []), *skipping(on_error, max_skipped)], tell=say)
    if dry_run:
        with progress_bars() as progress:
            _print(tuning.estimate_study(values, data, tell=say, progress=progress))
        return
    if out is None:
        raise UserError("--out is missing: the directory of the study")
    if (role is None) != (address is None):
        raise UserError("--role and --address go together: --role worker --address host:8000 --id worker-1")
    if (role == "worker") != (id_ is not None):
        raise UserError("--id goes with --role worker, which needs one: --id worker-1")
    with progress_bars() as progress:
        if role is None or address is None:
            tuning.run_study(values, data, out, resume=resume, workers=workers, tell=say, progress=progress)
        else:
            from keras_actrec.tuning.distributed import run_role

            run_role(values, data, out, role, address, worker_id=id_, resume=resume, progress=progress)
    if role != "worker":
        say(f"wrote {out / 'README.md'}")


def _print(found: dict[str, Any]) -> None:
    """Print what `estimate_study` found."""
    size = "no end of" if found["combinations"] is None else found["combinations"]
    say(f"combinations: {size}")
    say(f"trials: {found['trials']}, {found['epochs']} epochs each")
    if found["smallest"] is not None:
        say(f"trainable parameters: {found['smallest']:,} to {found['largest']:,}")
    for line in found["refused"]:
        say(f"cannot be built: {line}")
    say(f"estimated time: {found['seconds'] / 60:.1f} minutes one after the other, winner's runs included")
