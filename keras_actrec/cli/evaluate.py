"""`keras-actrec evaluate`: score a model on videos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from keras_actrec._numbers import MAX_SKIPPED
from keras_actrec.cli._options import Audit, Ray, Verify
from keras_actrec.cli._terminal import add_row, say, show

if TYPE_CHECKING:  # importing it loads Keras
    from keras_actrec import Recognizer
    from keras_actrec.evaluation import Evaluation


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model.keras file, or a file that --scores wrote.")],
    data: Annotated[
        Path | None, typer.Option(help="A folder with one folder a class, a table (.csv), or .tar files.")
    ] = None,
    part: Annotated[str, typer.Option(help="train, validation, test or all.")] = "test",
    protocol: Annotated[
        str | None, typer.Option(help="How a paper tests, such as gsm_2_clips; default the model's own.")
    ] = None,
    ensemble: Annotated[
        list[Path] | None, typer.Option(help="Another model, or file of scores, that answers too.")
    ] = None,
    fuse: Annotated[
        str, typer.Option(help="How they answer together: probabilities, logits or votes.")
    ] = "probabilities",
    json: Annotated[Path | None, typer.Option(help="Write the results here.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write a CSV row for every video here.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Write all probabilities here, as .npz.")] = None,
    precisions: Annotated[
        Path | None, typer.Option(help="Write each class' average precision here, a column a model.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write a page here, on which clips play.")] = None,
    on_error: Annotated[str, typer.Option(help="raise or skip, for videos that cannot be read.")] = "raise",
    max_skipped: Annotated[float, typer.Option(help="Largest share of the videos to skip.")] = MAX_SKIPPED,
    audit: Audit = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of decoded frames, as `train` has.")] = None,
    verify: Verify = False,
    floors: Annotated[
        bool, typer.Option(help="What simple classifiers reach; at most 2000 videos a part are read again.")
    ] = True,
    ray: Ray = None,
) -> None:
    """Score a model, or several together: accuracy with its interval, calibration, confusion matrix."""
    from keras_actrec import _backend, evaluation, load
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.cluster import joined
    from keras_actrec.errors import UserError
    from keras_actrec.insight.report import check_place, need_viz

    if page is not None:
        check_place(page)
        need_viz()  # before the models run, not after
    files = [model, *(ensemble or [])]

    def result_of(file: Path) -> "tuple[Evaluation, Recognizer | None]":
        if file.suffix == ".npz":
            return evaluation.read_scores(file), None
        if data is None:
            raise UserError("a model needs videos: set --data to a CSV file or a folder")
        _backend.keep_programs()
        recognizer = load(file)
        result = evaluation.evaluate(
            recognizer,
            data,
            part=part,
            protocol=protocol,
            on_error=on_error,
            max_skipped=max_skipped,
            audit=audit,
            cache=cache,
            verify=verify,
            floors=floors,
            cluster=cluster,
            tell=say,
            progress=progress,
        )
        return result, recognizer

    with joined(ray) as cluster, progress_bars() as progress:
        answered = [result_of(file) for file in files]
    found = [result for result, _ in answered]
    result = evaluation.ensemble(found, fuse) if ensemble else found[0]
    if json is not None:
        result.write_json(json)
    if predictions is not None:
        result.write_predictions(predictions)
    if scores is not None:
        evaluation.write_scores(result, scores)
    together = [result, *found] if ensemble else found
    if precisions is not None:
        evaluation.write_precisions(together, precisions)
    _print(result)
    if page is not None:  # last, as it takes minutes
        _write_page(page, result, answered)


def _write_page(
    page: Path, result: "Evaluation", answered: "list[tuple[Evaluation, Recognizer | None]]"
) -> None:
    """Write the page of a result, and of what answered together for it where that are several."""
    from keras_actrec import insight
    from keras_actrec.cli._progress import progress_bars

    shown = [insight.Reported.of(*each) for each in answered]
    title = f"{result.name}, part {result.part}"
    with progress_bars() as progress:
        insight.write_report(
            page,
            title=title,
            evaluations=shown if len(shown) == 1 else [result, *shown],
            progress=progress,
        )
    say(f"wrote {page}")


def _print(result: "Evaluation") -> None:
    from keras_actrec import evaluation

    for line in result.skipped:
        say(f"skipped: {line}")
    say(f"{result.name}, part {result.part}: {result.videos} videos, {len(result.skipped)} skipped")
    say(f"protocol: {result.protocol}")
    top5 = f"top-5 {result.top5:.4f}  " if len(result.class_names) > 5 else ""  # else it is always 1
    say(f"top-1 {result.top1:.4f}  {top5}mean class {result.mean_class:.4f}")
    if result.views is not None and result.views > result.videos:
        say(f"one view alone (sequence accuracy) {result.view_accuracy:.4f} over {result.views} views")
    if result.floors:
        say(evaluation.floor_line(result.floors, result.top1))
    values = result.to_json()
    interval = values["top1_interval"]
    bounds = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "none, all are of one group"
    say(f"top-1, 95 % of draws over {values['interval_over']}: {bounds}")
    say(f"calibration error {values['ece']:.4f}  mAP {values['map']:.4f}")
    show(_confusion(result))


def _confusion(result: "Evaluation") -> Table:
    table = Table(
        "true \\ predicted", *[str(number) for number in range(len(result.class_names))], title="Confusion"
    )
    for number, (name, row) in enumerate(zip(result.class_names, result.confusion, strict=True)):
        add_row(table, f"{number} {name}", *[str(count) if count else "·" for count in row])
    return table
