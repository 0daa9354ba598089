"""`keras-actrec extract`: features of a frozen backbone, or decoded frames, once."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_actrec._numbers import MOST, MOST_PIXELS, MOST_WORKERS
from keras_actrec.cli._options import (
    Audit,
    Data,
    Dataset,
    Manifest,
    MaxSkipped,
    OnError,
    Ray,
    Verify,
    skipping,
)
from keras_actrec.cli._terminal import say
from keras_actrec.errors import UserError


def extract(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the .npy files.")],
    recipe: Annotated[
        str | None, typer.Option(help="Write what training as this recipe says reads; see --set.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a value: clip.size=112.")] = None,
    backbone: Annotated[
        str | None, typer.Option(show_default="efficientnet_lite0", help="Name, or name:layer.")
    ] = None,
    frames: Annotated[bool | None, typer.Option("--frames", help="Decoded frames, no features.")] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_PIXELS, show_default="224", help="Height and width of the frames in pixels."
        ),
    ] = None,
    short_side: Annotated[
        int | None, typer.Option(min=1, max=MOST_PIXELS, help="Short side before the crop.")
    ] = None,
    crop: Annotated[
        str | None, typer.Option(show_default="center", help="As in a recipe; none is the whole frame.")
    ] = None,
    frame_step: Annotated[
        int | None, typer.Option(min=1, max=MOST, show_default="1", help="Use every n-th frame.")
    ] = None,
    dataset: Dataset = None,
    split: Annotated[str | None, typer.Option(help="Which of the set's official splits.")] = None,
    manifest: Manifest = None,
    shard: Annotated[
        str, typer.Option(help="2/8 is the second of eight parts, for as many machines.")
    ] = "1/1",
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Frames that the backbone sees at a time.",
            show_default="as many as are fastest",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_WORKERS, help="Number of threads that read videos.")
    ] = 2,
    ray: Ray = None,
    on_error: OnError = None,
    max_skipped: MaxSkipped = None,
    audit: Audit = None,
    verify: Verify = False,
) -> None:
    """Write a .npy of feature maps, or of decoded frames, for every video."""
    from keras_actrec import training
    from keras_actrec.cli._progress import progress_bars
    from keras_actrec.cluster import joined

    network = _given(backbone=backbone, frames=frames)
    clip = _given(size=size, short_side=short_side, crop=crop, frame_step=frame_step)
    source = _given(dataset=dataset, split=split, manifest=manifest)
    skip = _given(on_error=on_error, max_skipped=max_skipped)
    if recipe is None:
        if set_:
            raise UserError(f"--set changes a recipe: name one with --recipe. Received: --set {set_[0]}")
        values = training.extraction_recipe(**network, data=source | skip, clip=clip)
    else:
        for name in network | clip | source:
            option = name.replace("_", "-")
            raise UserError(f"--{option} does not go with --recipe: change the recipe with --set")
        overrides = [*(set_ or []), *skipping(on_error, max_skipped)]
        values = training.read_recipe(recipe, overrides, tell=say)
    with joined(ray) as cluster, progress_bars() as progress:
        pairs, skipped = training.extract(
            values,
            data,
            out,
            shard=shard,
            batch_size=batch_size,
            workers=workers,
            audit=audit,
            verify=verify,
            cluster=cluster,
            tell=say,
            progress=progress,
        )
    for error in skipped:
        say(f"skipped: {error}")
    steps, shapes = sum(video.frames for _, video in pairs), {video.shape[1:] for _, video in pairs}
    shape = f" of {shapes.pop()}" if len(shapes) == 1 else ""
    say(f"{len(pairs)} videos, {steps} frames{shape} below {out}; {len(skipped)} skipped")


def _given(**options: Any) -> dict[str, Any]:
    """The options that were set."""
    return {name: value for name, value in options.items() if value is not None}
