"""`keras-actrec stream`: name what a camera or a video shows, while it runs."""

from pathlib import Path
from typing import Annotated

import typer

from keras_actrec._numbers import MOST
from keras_actrec.cli._terminal import say


def stream(
    model: Annotated[Path, typer.Argument(help="A model.keras file, or a name such as hman/synthetic.")],
    source: Annotated[
        str,
        typer.Argument(
            help="Number of a webcam, an address rtsp://..., a video file or a folder of numbered images; - "
            "for joints or features on standard input, a line of JSON a frame."
        ),
    ],
    segments: Annotated[
        Path | None, typer.Option(help="Write start, end, label, score here: .json, .vtt or .csv.")
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="Write the frames with label and time line here: .mp4.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Open a window; q closes it.")] = False,
    every: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help="Frames from one step of the model to its next; by default its own."
        ),
    ] = None,
    smoothing: Annotated[float, typer.Option(min=0, help="Time constant in seconds.")] = 0.5,
    enter: Annotated[float, typer.Option(help="Probability at which a segment begins.")] = 0.5,
    leave: Annotated[float, typer.Option(help="Probability below which it ends.")] = 0.3,
    shortest: Annotated[float, typer.Option(min=0, help="Seconds that a segment has at least.")] = 0.0,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A class of which no segments are made; may be given again.")
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.01, max=1000, help="Frames a second, where the source has no times; default 30."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so many.")] = None,
) -> None:
    """Print what a stream shows, while it runs, and its segments.

    Causal models carry their states from frame to frame, others look through a sliding window; the first line
    says which. Memory does not grow. A camera's frames that come too fast are dropped and counted; those of a
    file never are. Ctrl-C ends a stream and keeps the files.
    """
    from keras_actrec import _backend, deploy, load

    _backend.keep_programs()
    watched = deploy.watch(
        load(model),
        source,
        every=every,
        segments=segments,
        video=video,
        show=show,
        fps=fps,
        most_seconds=seconds,
        smoothing=smoothing,
        enter=enter,
        leave=leave,
        shortest=shortest,
        ignore=ignore or (),
        tell=say,
    )
    say(watched)
