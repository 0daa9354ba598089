"""`keras-actrec extract`: features of a frozen backbone, or decoded frames, once."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from keras_actrec.errors import UserError


def extract(
    data: Annotated[Path, typer.Option(help="A CSV file, or a folder with one folder a class.")],
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
        int | None, typer.Option(show_default="224", help="Height and width of the frames in pixels.")
    ] = None,
    short_side: Annotated[int | None, typer.Option(help="Short side before the crop.")] = None,
    crop: Annotated[
        str | None, typer.Option(show_default="center", help="As in a recipe; none is the whole frame.")
    ] = None,
    frame_step: Annotated[
        int | None, typer.Option(min=1, show_default="1", help="Use every n-th frame.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the set, in its official layout.")] = None,
    split: Annotated[str | None, typer.Option(help="Which of the set's official splits.")] = None,
    manifest: Annotated[str | None, typer.Option(help="Name of the CSV file in the folder.")] = None,
    shard: Annotated[
        str, typer.Option(help="2/8 is the second of eight parts, for as many machines.")
    ] = "1/1",
    batch_size: Annotated[int, typer.Option(min=1, help="Frames that the backbone sees at a time.")] = 32,
    workers: Annotated[int, typer.Option(min=1, help="Number of threads that read videos.")] = 2,
    on_error: Annotated[
        str | None, typer.Option(show_default="raise", help="raise or skip, for videos that cannot be read.")
    ] = None,
    max_skipped: Annotated[
        float | None, typer.Option(show_default="0.1", help="Largest share of the videos to skip.")
    ] = None,
    audit: Annotated[Path | None, typer.Option(help="JSON file of `audit`: no video is read twice.")] = None,
):
    """Write a .npy of feature maps, or of decoded frames, for every video."""
    from keras_actrec import backbones, training
    from keras_actrec import data as videos
    from keras_actrec.cli._progress import progress_bars

    options = {"backbone": backbone, "frames": frames, "size": size, "short_side": short_side, "crop": crop}
    options |= {"frame_step": frame_step, "dataset": dataset, "split": split, "manifest": manifest}
    options = {name: value for name, value in options.items() if value is not None}
    skip = {"on_error": on_error, "max_skipped": max_skipped}
    skip = {name: value for name, value in skip.items() if value is not None}
    if recipe is None:
        if set_:
            raise UserError(f"--set changes a recipe: name one with --recipe. Received: --set {set_[0]}")
        transform = videos.ClipTransform(options.get("size", 224), short_side, options.get("crop", "center"))
        step = options.get("frame_step", 1)
    else:
        if options:
            name = next(iter(options)).replace("_", "-")
            raise UserError(f"--{name} does not go with --recipe: change the recipe with --set")
        overrides = [f"data.{name}={value}" for name, value in skip.items()]
        values = training.read_recipe(recipe, [*(set_ or []), *overrides], tell=print)
        options = values.data.model_dump(include={"dataset", "split", "manifest", "options"})
        skip = values.data.model_dump(include={"on_error", "max_skipped"})
    named = {name: options.get(name) for name in ("dataset", "split", "manifest", "options")}
    found = videos.read_set(data, **named)
    if recipe is not None:
        cache = training.caching(values, len(found.class_names), batch_size=batch_size)
    elif frames:
        cache = functools.partial(videos.cache_frames, transform=transform, frame_step=step)
    else:
        shape = transform.size, transform.size, 3
        network = backbones.build(options.get("backbone", "efficientnet_lite0"), input_shape=shape)
        cache = functools.partial(
            videos.extract_features,
            backbone=network,
            transform=transform,
            stride=step,
            batch_size=batch_size,
        )
    audited = audit and videos.read_audit(audit)
    with progress_bars() as progress:
        indexed, broken = videos.index_videos(
            videos.shard(found.records, shard),
            **skip,
            workers=workers,
            audit=audited,
            progress=lambda done, total: progress("videos", done, total),
        )
        pairs = cache(
            indexed,
            out=out,
            audit=audited,
            workers=workers,
            index="index.csv" if shard == "1/1" else f"index-{shard.replace('/', '-of-')}.csv",
            progress=lambda done, total: progress("cache", done, total),
        )
    for error in broken:
        print(f"skipped: {error}")
    steps, shapes = sum(video.frames for _, video in pairs), {video.shape[1:] for _, video in pairs}
    shape = f" of {shapes.pop()}" if len(shapes) == 1 else ""
    print(f"{len(pairs)} videos, {steps} frames{shape} below {out}; {len(broken)} skipped")
