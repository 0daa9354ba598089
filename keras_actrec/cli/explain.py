"""`keras-actrec explain`: show where and when a model looked, and what spoke for its answer."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from keras_actrec._types import StageProgress
from keras_actrec.cli._terminal import say

_MOST = 50  # files of a page, with which it has about 100 MB


class Format(StrEnum):
    """Kinds of pictures beside the page."""

    png = "png"
    pdf = "pdf"
    svg = "svg"
    gif = "gif"


def explain(
    model: Annotated[Path, typer.Argument(help="A model.keras file, or a name such as hman/synthetic.")],
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Files, folders, patterns, CSV files, as of `predict`."),
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("explain.html"),
    label: Annotated[
        str | None,
        typer.Option(
            help="The class that the files show; by default the column label of a CSV file, or the name of "
            "a file's folder, where that is a class."
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="The gate-shift module or self-attention to show; by default the last ones."),
    ] = None,
    cell: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="ROW COLUMN",
            help="Whose self-attention is shown, from 0; by default the cell with the most evidence.",
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(min=0, help="Which of the crops that `predict` averages; by default the middle."),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="Write a picture of each file beside the page too, for print; gif moves."),
    ] = None,
) -> None:
    """Write a page that shows why a model answered as it did.

    Of each file the five best classes, the original frames with attention, evidence (Grad-CAM), gates or
    self-attention on them, or the skeletons with the gates' response, and over time what the layers did and
    the probabilities. A file that cannot be used is noted, and the exit status is 1. Ctrl-C keeps what is
    done.
    """
    from keras_actrec import UserError, _backend, insight, load
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.data import VideoError
    from keras_actrec.insight.explain import labeled_files
    from keras_actrec.insight.report import check_place, need_viz

    check_place(out)
    need_viz()  # before the models run, not after
    _backend.keep_programs()
    recognizer = load(model)
    files = labeled_files(recognizer, sources, label)
    if len(files) > _MOST:
        raise UserError(
            f"{len(files)} files are too much for one page: explain at most {_MOST} at once, "
            "such as one folder after the other, each with its own --out"
        )
    pictures: list[Path] = []
    bad: list[str] = []

    def explained(progress: StageProgress) -> Iterator[insight.Explanation]:
        for number, (file, shown) in enumerate(files, start=1):
            progress("explaining", number - 1, len(files), str(file))
            try:
                found = insight.explain(recognizer, file, shown, layer=layer, cell=cell, crop=crop)
            except VideoError as error:
                if len(files) == 1:
                    raise
                bad.append(str(error))
                say(error, file=sys.stderr)
                continue
            if format:
                picture = out.with_name(f"{out.stem}_{number}_{file.stem}.{format}")
                pictures.append(insight.draw_explanation(found, picture))
            yield found
        progress("explaining", len(files), len(files))
        if len(bad) == len(files):
            raise UserError(f"none of {len(files)} files can be used, the first is {bad[0]}")

    with progress_bars() as progress:
        title = f"What {recognizer.model.name} saw"
        insight.write_report(out, title=title, explanations=explained(progress), notes=bad)
    for path in (out, *pictures):
        say(f"wrote {path}")
    if bad:
        raise UserError(f"{len(bad)} of {len(files)} files are not explained, the first is {bad[0]}")
