"""`keras-actrec demo`: made clips, two models, one page."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.errors import UserError

_WRITES = {"videos", "features", "hman", "frame_pool", "demo.html"}


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for videos, runs and the page; an earlier demo is replaced.")
    ] = Path("runs/demo"),
):
    """Train HM-AN and the frame average on clips whose class is the order of their frames."""
    from keras_actrec import insight
    from keras_actrec.cli._progress import progress_bars

    if out.exists() and any(out.iterdir()):
        if not _is_demo(out):
            raise UserError(f"{out} holds something else than an earlier demo: choose another --out")
        shutil.rmtree(out)
    with progress_bars() as progress:
        page, evaluations = insight.demo(out, progress=progress)
    for evaluation in evaluations:
        pairs = "  ".join(f"{name} {value}" for name, value in evaluation.extra.items())
        print(f"{evaluation.name:<12} top-1 {evaluation.top1:.3f}  {pairs}")
    print(f"wrote {page}")


def _is_demo(out):
    """Whether a folder holds what a demo writes, also an interrupted one, and nothing else."""
    from keras_actrec.data import SYNTHETIC_PAIRS

    def names(folder):
        return {path.name for path in folder.iterdir() if not path.name.startswith(".part-")}

    kinds = {name for pair in SYNTHETIC_PAIRS for name in pair}
    videos = out / "videos"
    return names(out) <= _WRITES and videos.is_dir() and names(videos) <= kinds | {"manifest.csv"}
