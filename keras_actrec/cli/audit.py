"""`keras-actrec audit`: what the files of a set hold."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec._numbers import MOST_WORKERS
from keras_actrec.cli._options import Data, Dataset, Manifest, Ray
from keras_actrec.cli._terminal import say


def audit(
    data: Data,
    json: Annotated[
        Path | None, typer.Option(help="Write what was found here; an earlier audit there is continued.")
    ] = None,
    dataset: Dataset = None,
    manifest: Manifest = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read files again that the audit knows by size and time.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=MOST_WORKERS, help="Threads that read videos.")] = 2,
    ray: Ray = None,
) -> None:
    """Read every video of a set once: which are damaged, how many frames they have, how many a class has.

    The exit status is 1 where a file cannot be used.
    """
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.cluster import joined
    from keras_actrec.data import audit_videos, read_whole

    videos = read_whole(data, dataset=dataset, manifest=manifest)
    with joined(ray) as cluster, progress_bars() as progress:
        result = audit_videos(
            videos,
            out=json,
            verify=verify,
            workers=workers,
            cluster=cluster,
            progress=lambda done, total: progress("videos", done, total),
        )
    problems = result.problems(videos)
    for error in problems:
        say(f"{error.status}: {error}")
    for line in (*videos.notes, *result.bodies):
        say(line)
    say(f"clips a class: {', '.join(f'{name} {count}' for name, count in result.classes.items())}")
    official = "" if result.official is None else f" of {result.official}"
    counts = ", ".join(f"{count} {status}" for status, count in result.counts.items())
    say(f"{result.found}{official} videos found; {len(result.files)} files: {counts}")
    if json is not None:
        say(f"wrote {json}")
    if problems:
        raise typer.Exit(1)
