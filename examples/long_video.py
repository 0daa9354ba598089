"""Train on gestures that a table cuts out of recordings, and find them in another recording.

On the command line: keras-actrec predict runs/mine/model.keras film.mp4 --segments found.csv
"""

import csv
from pathlib import Path
from tempfile import mkdtemp

import cv2

from keras_actrec import data, deploy, evaluation, training

FPS, FRAMES = 12, 24  # of a gesture: two seconds
GESTURES = ("move_right", "grow", "turn_clockwise")
work = Path(mkdtemp(prefix="keras_actrec-"))


def film(name, gestures, first):
    """Write a recording of gestures, one after the other; its rows `path,start,end,label`, in seconds."""
    file = str(work / name)
    writer = cv2.VideoWriter(file, cv2.VideoWriter_fourcc(*"mp4v"), FPS, (64, 64))
    for number, gesture in enumerate(gestures):
        for frame in data.synthetic_clip(gesture, twin=first + number, size=64, frames=FRAMES):
            writer.write(frame[..., ::-1])  # OpenCV writes BGR
    writer.release()
    return [(name, 2 * number, 2 * number + 2, gesture) for number, gesture in enumerate(gestures)]


def write_table(name, rows):
    """Write `path,start,end,label`."""
    with open(work / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "start", "end", "label"), *rows])
    return work / name


# Put your own recordings and tables here, and leave this loop out.
rows = []
for number in range(6):
    rows += film(f"film_{number}.mp4", [GESTURES[(number + turn) % 3] for turn in range(6)], 6 * number)
table = write_table("train.csv", rows)
truth = film("another.mp4", [GESTURES[turn] for turn in (2, 0, 1, 0, 2)], 100)

small = "model.backbone=efficientnet_lite0:block5_output", "clip.size=64", "clip.frames=12"
recipe = training.read_recipe("frame_gru/own", [*small, "train.epochs=40"])
run = training.train(recipe, table, work / "run")

found = next(iter(deploy.find_segments(run.recognizer, work / "another.mp4", least=0.4)))
for segment in found.segments:
    print(f"{segment.start:5.2f} to {segment.end:5.2f} s: {segment.label} {segment.score:.2f}")
names = {name: label for label, name in enumerate(run.recognizer.class_names)}
true = [names[truth[min(frame // FRAMES, len(truth) - 1)][3]] for frame in found.frames]
print(f"right at {evaluation.frame_accuracy([true], [found.labels]):.0%} of the frames")
