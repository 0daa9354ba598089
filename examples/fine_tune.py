"""Start from a trained model: what it has learned of ten gestures helps with two new ones, of few clips.

On the command line: keras-actrec train --data few --out runs/few --from runs/many/model.keras
"""

from pathlib import Path
from tempfile import mkdtemp

import cv2

from keras_actrec import data, evaluation, training

work = Path(mkdtemp(prefix="keras_actrec-"))
many, few = work / "many", work / "few"
data.write_synthetic(many, clips_per_class=16, size=64, frames=12)

# Put your own few clips here, few/<class>/<any name>, and leave this loop out: two of them, mirrored.
for name, new in (("turn_clockwise", "turn"), ("grow", "come")):
    (few / new).mkdir(parents=True)
    for number in range(12):
        writer = cv2.VideoWriter(
            str(few / new / f"{number}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 12, (64, 64)
        )
        for frame in data.synthetic_clip(name, twin=100 + number, size=64, frames=12):
            writer.write(frame[:, ::-1, ::-1].copy())
        writer.release()


def recipe(*changes):
    """GRU over frames, small and quick."""
    values = ("model.backbone=efficientnet_lite0:block2_output", "clip.size=64", "clip.frames=12", *changes)
    return training.read_recipe("frame_gru/own", values)


trained = training.train(recipe("data.manifest=manifest.csv", "train.epochs=40"), many, work / "run")
for words, start in (("from random weights", None), ("from ten other gestures", trained.folder)):
    run = training.train(recipe("train.epochs=6"), few, work / words, start=start, tell=print)
    found = evaluation.evaluate(run.recognizer, few)
    print(f"{words}: top-1 on {found.videos} clips that it has not seen {found.top1:.2f} (chance is 0.50)")
