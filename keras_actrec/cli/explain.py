"""`keras-actrec explain`: show where and when a model looked."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.cli._terminal import say


def explain(
    model: Annotated[Path, typer.Argument(help="A model.keras file.")],
    clips: Annotated[list[Path], typer.Argument(help="Video files.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("explain.html"),
) -> None:
    """Write a page with the attention, the boundaries and the temperature of each video."""
    from keras_actrec import _backend, insight, load
    from keras_actrec.insight.report import need_viz

    need_viz()  # before the models run, not after
    _backend.keep_programs()
    recognizer = load(model)
    explanations = [insight.explain(recognizer, clip) for clip in clips]
    insight.write_report(
        out, title=f"What {recognizer.model.name} saw", evaluations=[], explanations=explanations
    )
    say(f"wrote {out}")
