"""`keras-actrec predict`: name what videos show."""

import time
from pathlib import Path
from typing import Annotated

import typer

from keras_actrec._files import write_json


def predict(
    model: Annotated[Path, typer.Argument(help="A model.keras file.")],
    clips: Annotated[list[Path], typer.Argument(help="Video files.")],
    json: Annotated[Path | None, typer.Option(help="Write labels, scores and seconds here.")] = None,
) -> None:
    """Print the five most probable classes of each video."""
    from keras_actrec import load

    recognizer = load(model)
    results = []
    for clip in clips:
        started = time.perf_counter()
        answers = recognizer.predict_video(clip, top=5)
        seconds = time.perf_counter() - started
        results.append(
            {
                "path": str(clip),
                "labels": [label for label, _ in answers],
                "scores": [score for _, score in answers],
                "seconds": round(seconds, 3),
            }
        )
        print(f"{clip}  ({seconds:.2f} s)")
        for label, score in answers:
            print(f"  {score:6.3f}  {label}")
    if json is not None:
        write_json(json, results)
