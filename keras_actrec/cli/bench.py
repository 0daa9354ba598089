"""`keras-actrec bench`: how fast this machine is at what takes time, as ratios within one run."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.cli._terminal import add_row, say, show


def bench(
    what: Annotated[str, typer.Argument(help="data: decoders, caches, memory of the loaders.")],
    data: Annotated[
        Path | None, typer.Option(help="A folder of videos, or a CSV file, to use instead of made ones.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Keep videos and caches here.")] = None,
    rounds: Annotated[int, typer.Option(help="How often each program reads all clips.")] = 7,
    samples: Annotated[int, typer.Option(help="Clips that are read for the memory; 0 for none.")] = 10_000,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Measure how fast clips are decoded and come out of the caches."""
    import contextlib
    import tempfile

    from rich.table import Table

    from keras_actrec._files import write_json
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.data import read_manifest
    from keras_actrec.data.bench import bench_data
    from keras_actrec.errors import UserError

    if what != "data":
        raise UserError(f"what can be measured is: data. Received: {what!r}")
    videos = [record.file for record in read_manifest(data).records] if data else None
    with contextlib.ExitStack() as stack:
        folder = out or stack.enter_context(tempfile.TemporaryDirectory())
        progress = stack.enter_context(progress_bars())
        found = bench_data(folder, videos=videos, rounds=rounds, samples=samples, progress=progress)
    table = Table("program", "clips a CPU second", title=f"16 of all frames, {found['videos']} videos")
    for name, speed in found["clips_per_cpu_second"].items():
        add_row(table, name, f"{speed:.1f}")
    show(table)
    for name, ratio in found["ratios"].items():
        say(f"{name}: {ratio:.2f}")
    for name, growth in found["memory"].items():
        say(f"memory, {name}: {growth:+.2f} MiB for 1,000 clips")
    if json is not None:
        write_json(json, found)
        say(f"wrote {json}")
