"""`keras-actrec train`: from a folder of videos, and a recipe or none, to a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_actrec._numbers import MOST_WORKERS
from keras_actrec.cli._options import Audit, Data, MaxSkipped, OnError, Verify, skipping
from keras_actrec.cli._terminal import say
from keras_actrec.errors import UserError

if TYPE_CHECKING:
    from keras_actrec.training import Run


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The run directory, which is made.")],
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A TOML file, or a recipe's name such as hman/own. Without it, one is chosen by the data."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Without a recipe: the model to choose for.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Without a recipe: how long training may take, about. [default: 15]")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a value: train.epochs=6.")] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="Start from a trained model: a model.keras, its run, a torch file."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that runs share: extracted features, decoded frames.")
    ] = None,
    on_error: OnError = None,
    max_skipped: MaxSkipped = None,
    audit: Audit = None,
    verify: Verify = False,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_WORKERS, show_default="1", help="Devices of this machine that share a batch."
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(help="tensorboard or wandb, in addition to history.csv; may be repeated."),
    ] = None,
    checkpoint_minutes: Annotated[
        float | None,
        typer.Option(
            help="Write a checkpoint inside an epoch too, every so many minutes, if epochs are long."
        ),
    ] = None,
) -> None:
    """Train a model.

    Ctrl-C and SIGTERM end it at the next batch, with a checkpoint: the same command goes on from there.
    """
    from keras_actrec import evaluation, training
    from keras_actrec.cli._choice import print_choice
    from keras_actrec.cli._progress import progress_bars

    training.join_processes()
    if recipe is not None and (model is not None or minutes is not None):
        raise UserError("--model and --minutes are for a choice: leave them out, or the recipe")
    overrides = [*(set_ or []), *skipping(on_error, max_skipped)]
    if devices is not None:
        overrides.append(f"train.devices={devices}")
    with progress_bars() as progress:
        if recipe is None:
            chosen, known, choice = training.choose_for_run(
                data, out, model=model, minutes=minutes or 15.0, progress=progress
            )
            recipe, audit = str(chosen), audit or known
            if choice is not None:
                print_choice(choice)
        values = training.read_recipe(recipe, overrides, tell=say)
        run = training.train(
            values,
            data,
            out,
            name=recipe,
            overrides=overrides,
            start=from_,
            cache=cache,
            audit=audit,
            verify=verify,
            log=log or (),
            checkpoint_minutes=checkpoint_minutes,
            tell=say,
            progress=progress,
        )
    training.leave_processes()
    if run.process:  # the first one tells
        return
    if run.was_finished:
        say(f"this run is finished: its model is {out / 'model.keras'}")
        return
    _tell(run, data, audit)
    say(f"wrote {out / 'model.keras'} after {run.record['seconds']:.0f} s")
    if run.record["data"]["parts"]["test"]:
        say(f"next, on the test part: {evaluation.evaluation_command(out, run.record, data)}")


def _tell(run: "Run", data: Path, audit: Path | None) -> None:
    """What a run came to, beside its floor, and the picture of its history."""
    from keras_actrec import evaluation, insight
    from keras_actrec.cli._progress import progress_bars

    reached, floors = run.record["val_accuracy"], None
    part = "test" if run.record["recipe"]["data"]["watch_test"] else "validation"
    if reached is not None:
        with progress_bars() as progress:
            floors = evaluation.floors_of_part(
                run.recognizer, data, part=part, audit=audit, progress=progress
            )
    picture = insight.draw_history(run.folder)
    for line in run.record["data"]["skipped"]:
        say(f"skipped: {line}")
    last = "  ".join(f"{name} {value:.4f}" for name, value in run.record["last_epoch"].items())
    say(f"last epoch: {last}")
    if reached is not None:
        # A floor is of whole clips: answers of single steps are no match for it.
        what = "right steps" if run.recognizer.spec.per_step else "top-1"
        say(f"{part}, epoch {run.record['kept_epoch'] + 1}, which is kept: {what} {reached:.4f}")
    if floors:
        say(evaluation.floor_line(floors, None if run.recognizer.spec.per_step else reached))
    if picture is None:
        say("no picture of its history: pip install 'keras_actrec[viz]'")
