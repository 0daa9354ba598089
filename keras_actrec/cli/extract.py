"""`keras-actrec extract`: features of a frozen backbone, once."""

from pathlib import Path
from typing import Annotated

import typer


def extract(
    data: Annotated[Path, typer.Option(help="A CSV file, or a folder with one folder a class.")],
    out: Annotated[Path, typer.Option(help="Folder for the .npy files.")],
    backbone: Annotated[str, typer.Option(help="Name, or name:layer.")] = "efficientnet_lite0",
    size: Annotated[int, typer.Option(help="Height and width of the frames in pixels.")] = 224,
    crop: Annotated[str, typer.Option(help="center, or none for the whole frame.")] = "center",
    every: Annotated[int, typer.Option(help="Use every n-th frame.")] = 1,
    dataset: Annotated[str | None, typer.Option(help="Name of the set, in its official layout.")] = None,
    split: Annotated[str | None, typer.Option(help="Which of the set's official splits.")] = None,
    manifest: Annotated[str | None, typer.Option(help="Name of the CSV file in the folder.")] = None,
    on_error: Annotated[str, typer.Option(help="raise or skip, for videos that cannot be read.")] = "raise",
    max_skipped: Annotated[float, typer.Option(help="Largest share of the videos to skip.")] = 0.1,
    audit: Annotated[Path | None, typer.Option(help="JSON file of `audit`: no video is read twice.")] = None,
):
    """Write a memory-mapped .npy of feature maps for every video."""
    from keras_actrec import backbones
    from keras_actrec.cli._progress import progress
    from keras_actrec.data import ClipTransform, extract_features, index_videos, read_audit, read_set

    transform = ClipTransform(size=size, crop=crop)
    records = read_set(data, dataset=dataset, split=split, manifest=manifest).records
    network = backbones.build(backbone, input_shape=(size, size, 3))
    with progress() as report:
        indexed, broken = index_videos(
            records,
            on_error=on_error,
            max_skipped=max_skipped,
            audit=audit and read_audit(audit),
            progress=lambda done, total: report("videos", done, total),
        )
        items = extract_features(
            indexed,
            network,
            transform=transform,
            out=out,
            stride=every,
            progress=lambda done, total: report("features", done, total),
        )
    for error in broken:
        print(f"skipped: {error}")
    frames, shape = sum(item.frames for item in items), tuple(network.output_shape[1:])
    print(f"{len(items)} videos, {frames} frames of {shape} below {out}; {len(broken)} skipped")
