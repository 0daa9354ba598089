"""`keras-actrec evaluate`: score a model on videos."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model.keras file.")],
    data: Annotated[Path, typer.Option(help="A CSV file, or a folder with one folder a class.")],
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "test",
    json: Annotated[Path | None, typer.Option(help="Write the scores here.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write a CSV row for every video here.")] = None,
    on_error: Annotated[str, typer.Option(help="raise or skip, for videos that cannot be read.")] = "raise",
    max_skipped: Annotated[float, typer.Option(help="Largest share of the videos to skip.")] = 0.1,
    audit: Annotated[Path | None, typer.Option(help="JSON file of `audit`: no video is read twice.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of decoded frames, as `train` has.")] = None,
):
    """Score a model: top-1, top-5, mean class accuracy, confusion matrix."""
    from keras_actrec import artefact, evaluation
    from keras_actrec.cli._progress import progress

    recogniser = artefact.load(model)
    with progress() as report:
        result = evaluation.evaluate(
            recogniser,
            data,
            split=split,
            on_error=on_error,
            max_skipped=max_skipped,
            audit=audit,
            cache=cache,
            report=report,
        )
    if json is not None:
        result.write_json(json)
    if predictions is not None:
        result.write_predictions(predictions)

    for line in result.skipped:
        print(f"skipped: {line}")
    print(f"{result.name}, split {split}: {result.videos} videos, {len(result.skipped)} skipped")
    print(f"protocol: {result.protocol}")
    print(f"top-1 {result.top1:.4f}  top-5 {result.top5:.4f}  mean class {result.mean_class:.4f}")
    Console().print(_confusion(result))


def _confusion(result):
    table = Table(
        "true \\ predicted", *[str(number) for number in range(len(result.class_names))], title="Confusion"
    )
    for number, (name, row) in enumerate(zip(result.class_names, result.confusion, strict=True)):
        table.add_row(f"{number} {name}", *[str(count) if count else "·" for count in row])
    return table
