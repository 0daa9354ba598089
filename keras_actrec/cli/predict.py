"""`keras-actrec predict`: name what files show."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from keras_actrec._numbers import MOST, MOST_WORKERS
from keras_actrec.cli._terminal import say


def predict(
    model: Annotated[Path, typer.Argument(help="A model.keras file.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Files; folders, in which files are looked for (one of numbered images is a video); "
            "patterns in quotes, such as 'clips/**/*.mp4'; CSV files with a column path; - for paths on "
            "standard input, one a line.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, max=MOST, help="How many classes to name.")] = 5,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write a list of path, status, labels, scores, seconds, error here, at the end; to a file "
            ".jsonl a line a file, at once."
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Write rows path,status,label,score,seconds,error,label_2,score_2,... here, each at once."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Clips of a batch; by default what suits the device.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, max=MOST_WORKERS, help="Number of threads that read files.")
    ] = 2,
) -> None:
    """Print the most probable classes of each file, as it is done.

    A file that cannot be used has the status truncated, unreadable or empty, and an error; all others are
    answered, and the exit status is 1. Ctrl-C keeps what is done. `seconds` is for reading the file and for
    its part of the model's work; files overlap, so that all together take less than the sum.
    """
    from keras_actrec import UserError, _backend, load
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.prediction import recording

    _backend.keep_programs()
    recognizer = load(model)
    out = None if sys.stdout.isatty() else sys.stdout  # a bar on the terminal redirects `sys.stdout` to it
    bad, total = [], 0
    with progress_bars() as progress:
        predictions = recognizer.predict(
            sources,
            top=top,
            batch_size=batch_size,
            workers=workers,
            tell=lambda line: say(line, file=sys.stderr),
            progress=progress,
        )
        named = min(top, len(recognizer.class_names))
        with recording(named, json=json, csv=csv, sources=sources) as keep:
            for prediction in predictions:
                keep(prediction)
                say(prediction, file=out)
                total += 1
                if prediction.error is not None:
                    bad.append(prediction)
    if bad:
        count = "" if total == 1 else f"{len(bad)} of {total} files have no answer, the first is "
        raise UserError(f"{count}{bad[0].path}: {bad[0].error}")
