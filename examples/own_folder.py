"""From a folder of videos, one folder a class, to an answer: look, choose, train, evaluate, predict.

On the command line: keras-actrec train --data videos --out runs/mine
"""

from pathlib import Path
from tempfile import mkdtemp

import cv2

import keras_actrec
from keras_actrec import evaluation, training
from keras_actrec.data import SYNTHETIC_PAIRS, synthetic_clip

work = Path(mkdtemp(prefix="keras_actrec-"))
videos, out = work / "videos", work / "run"

# Put your own videos here, videos/<class>/<any name>, and leave this loop out.
for name, _ in SYNTHETIC_PAIRS[:3]:
    (videos / name).mkdir(parents=True)
    for clip in range(12):
        writer = cv2.VideoWriter(
            str(videos / name / f"{clip}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 12, (64, 64)
        )
        for frame in synthetic_clip(name, twin=clip, size=64, frames=16):
            writer.write(frame[..., ::-1])  # OpenCV writes BGR
        writer.release()

facts = training.look(videos, audit=work / "audit.json")
choice = training.choose(facts, minutes=5)
print(choice.summary)
for key, reason in choice.reasons.items():
    table, _, name = key.partition(".")
    print(f"  {key} = {choice.values[table][name]!r}: {reason}")

# Small, so that the example is quick; leave these three lines out for your own videos.
choice.values["model"]["backbone"] = "efficientnet_lite0:block2_output"
choice.values["clip"]["size"] = 64
choice.values["train"]["epochs"] = 60

recipe = training.parse_recipe(choice.values)
run = training.train(recipe, videos, out, audit=work / "audit.json")
print(f"trained to a loss of {run.record['last_epoch']['loss']:.4f}")

result = evaluation.evaluate(run.recognizer, videos)
print(f"top-1 on {result.videos} videos that it has not seen: {result.top1:.2f}")

recognizer = keras_actrec.load(out / "model.keras")  # one file is everything
clip = sorted(videos.glob("*/*.mp4"))[0]
for label, score in recognizer.predict_video(clip):
    print(f"{clip.relative_to(videos)}: {label} {score:.3f}")
