"""`keras-actrec synth`: write the synthetic set."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.cli._terminal import say


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write the videos and manifest.csv into.")],
    clips_per_class: Annotated[int, typer.Option(help="Clips of each of the ten classes.")] = 40,
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 112,
    frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 24,
    test_fraction: Annotated[float, typer.Option(help="Share of the clips for testing.")] = 0.25,
    seed: Annotated[int, typer.Option(help="Another seed, other clips.")] = 0,
) -> None:
    """Write clips whose class is the order of their frames and nothing else."""
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.data import write_synthetic

    with progress_bars() as progress:
        manifest = write_synthetic(
            out,
            clips_per_class=clips_per_class,
            size=size,
            frames=frames,
            test_fraction=test_fraction,
            seed=seed,
            progress=lambda done, total: progress("writing videos", done, total),
        )
    say(f"wrote {manifest}")
