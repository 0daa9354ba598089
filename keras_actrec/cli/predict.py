"""`keras-actrec predict`: name what files show."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_actrec._numbers import MOST, MOST_WORKERS
from keras_actrec._signals import Terminated
from keras_actrec.cli._options import Ray
from keras_actrec.cli._terminal import say
from keras_actrec.errors import UserError


def predict(
    model: Annotated[Path, typer.Argument(help="A model.keras file, or a name such as hman/synthetic.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Files; folders, in which files are looked for (one of numbered images is a video); "
            "patterns in quotes, such as 'clips/**/*.mp4'; CSV files with a column path (start and end, in "
            "seconds, cut parts); - for paths on standard input, one a line.",
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
    ray: Ray = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            help="Find what long recordings show, and when: write path, start, end, label, score here, "
            ".json or .csv, or of one video .vtt."
        ),
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="Seconds that the model sees at a time; by default as in training.")
    ] = None,
    least: Annotated[float, typer.Option(help="Mean probability that a segment has at least.")] = 0.5,
    shortest: Annotated[float, typer.Option(min=0, help="Seconds that a segment has at least.")] = 0.0,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="A class of which no segments are made; may be given again."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.01, max=1000, help="Frames a second of what has no times; default 30."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV of path, start, end, label, to score the segments against.")
    ] = None,
) -> None:
    """Print the most probable classes of each file, as it is done; with --segments what it shows when.

    A file that cannot be used has the status truncated, unreadable or empty, and an error; all others are
    answered, and the exit status is 1. Ctrl-C keeps what is done. `seconds` is for reading the file and for
    its part of the model's work; files overlap, so that all together take less than the sum.
    """
    from keras_actrec import _backend, load
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.cluster import joined
    from keras_actrec.prediction import recording

    if segments is not None:
        if json is not None or csv is not None:
            raise UserError("--segments writes its own table: leave --json and --csv out")
        if batch_size is not None or top != 5:
            raise UserError("--top and --batch-size are not about --segments: leave them out")
        options = {"window": window, "least": least, "shortest": shortest, "fps": fps, "workers": workers}
        with joined(ray) as cluster:
            _segments(model, sources, segments, labels, ignore or (), {**options, "cluster": cluster})
        return
    if any(each is not None for each in (labels, window, fps, ignore)) or (least, shortest) != (0.5, 0.0):
        raise UserError(
            "--window, --least, --shortest, --ignore, --fps and --labels are about --segments OUT: "
            "give it, or leave them out"
        )
    _backend.keep_programs()
    recognizer = load(model)
    out = None if sys.stdout.isatty() else sys.stdout  # a bar on the terminal redirects `sys.stdout` to it
    rows = []
    with joined(ray) as cluster, progress_bars() as progress:
        predictions = recognizer.predict(
            sources,
            top=top,
            batch_size=batch_size,
            workers=workers,
            cluster=cluster,
            tell=lambda line: say(line, file=sys.stderr),
            progress=progress,
        )
        named = min(top, len(recognizer.class_names))
        with recording(named, json=json, csv=csv, sources=sources) as keep:
            for prediction in predictions:
                keep(prediction)
                say(prediction, file=out)
                rows.append((prediction.path, prediction.error))
    _complain(rows)


def _segments(
    model: Path,
    sources: Sequence[str],
    path: Path,
    labels: Path | None,
    ignore: Sequence[str],
    options: dict[str, Any],
) -> None:
    """Segments of each file, and their scores where there are labels."""
    from keras_actrec import _backend, deploy, evaluation, load
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.data import expand_sources

    _backend.keep_programs()
    recognizer = load(model)
    known = [name for name in ignore if name in recognizer.class_names] if labels else ignore
    truth = (
        evaluation.frame_labels(labels, recognizer.class_names, ignore, fps=options["fps"]) if labels else {}
    )
    out = None if sys.stdout.isatty() else sys.stdout

    def tell(line: str) -> None:
        say(line, file=sys.stderr)

    records = expand_sources(sources, recognizer.preprocessor.patterns, fps=options["fps"], tell=tell)
    read = (*sources, *(record.file for record in records), labels or "")
    if path.resolve() in {Path(each).resolve() for each in read}:
        raise UserError(f"{path} is what is read: write to another file")
    if path.suffix.lower() == ".vtt" and len(records) > 1:
        raise UserError(f"{path}: subtitles are of one video, and these are {len(records)}: name a .csv")
    for record in records if labels else ():  # before hours of work, not after
        evaluation.labels_at(truth, record.file, [])
    rows, true, predicted = [], [], []
    interrupted: BaseException | None = None
    with progress_bars() as progress, deploy.writing_segments(path, of_files=True) as keep:
        found = deploy.find_segments(
            recognizer, records, ignore=known, tell=tell, progress=progress, **options
        )
        try:
            for each in found:
                for line in str(each).splitlines():
                    say(line, file=out)
                rows.append((each.path, each.error))
                for segment in each.segments:
                    keep(segment, each.record.file)
                if labels and each.error is None:
                    frames = each.frames + (each.record.start or 0)
                    true.append(evaluation.labels_at(truth, each.record.file, frames))
                    predicted.append(each.labels)
        except (KeyboardInterrupt, Terminated) as error:  # the files that are done are kept
            interrupted = error
    if interrupted is not None:
        raise interrupted
    if true:
        say(evaluation.SegmentationScores.of(true, predicted))
    _complain(rows)


def _complain(rows: Sequence[tuple[Path, str | None]]) -> None:
    """Refuse to end well where a file has no answer."""
    bad = [row for row in rows if row[1] is not None]
    if bad:
        count = "" if len(rows) == 1 else f"{len(bad)} of {len(rows)} files have no answer, the first is "
        raise UserError(f"{count}{bad[0][0]}: {bad[0][1]}")
