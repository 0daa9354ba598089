"""`keras-actrec pack`: videos into tar files."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.cli._options import Data, Dataset, Manifest
from keras_actrec.cli._terminal import say


def pack(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the tar files.")],
    size: Annotated[str, typer.Option(help="Bytes of a tar file, about: 200MB, 1GB.")] = "1GB",
    dataset: Dataset = None,
    manifest: Manifest = None,
    seed: Annotated[int, typer.Option(help="Another seed, another order.")] = 0,
) -> None:
    """Write the videos of a set into a few large tar files, which are read in a row."""
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.data import pack_videos, read_whole

    videos = read_whole(data, dataset=dataset, manifest=manifest)
    videos.announce(say)
    with progress_bars() as progress:
        made = pack_videos(
            videos, out, size=size, seed=seed, progress=lambda done, total: progress("videos", done, total)
        )
    tars = f"{len(made)} tar file{'s' if len(made) > 1 else ''}"
    say(f"wrote {len(videos.records)} videos into {tars} below {out}")
