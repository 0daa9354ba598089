"""Train HM-AN on clips of two gestures and ask why it answers: boundaries, evidence, pictures, a page.

On the command line: keras-actrec explain runs/mine/model.keras videos --out why.html
"""

from pathlib import Path
from tempfile import mkdtemp

import cv2

from keras_actrec import data, insight, training

work = Path(mkdtemp(prefix="keras_actrec-"))

# Put your own videos here, videos/<class>/<any name>, and leave this loop out.
for name in data.SYNTHETIC_PAIRS[0]:
    (work / "videos" / name).mkdir(parents=True)
    for clip in range(16):
        file = str(work / "videos" / name / f"{clip}.mp4")
        writer = cv2.VideoWriter(file, cv2.VideoWriter_fourcc(*"mp4v"), 12, (64, 64))
        for frame in data.synthetic_clip(name, twin=clip, size=64, frames=12):
            writer.write(frame[..., ::-1])  # OpenCV writes BGR
        writer.release()

recipe = training.read_recipe(
    "hman/synthetic",
    ["data.manifest=", "model.units=32", "clip.size=64", "clip.frame_step=1", "train.epochs=40"],
)
run = training.train(recipe, work / "videos", work / "run")

clip = sorted((work / "videos").glob("*/*.mp4"))[0]
explanation = insight.explain(run.recognizer, clip, true_label=clip.parent.name)
print(f"{clip.name}, the answers:")
for name, score in explanation.best():
    print(f"  {name}: {score:.3f}")
names = ("updates", "copies", "flushes")
for second, layers in zip(explanation.seconds, explanation.operations, strict=True):
    print(f"  at {second:.2f} s:", ", ".join(names[each] for each in layers.argmax(axis=-1)))

# Where it looked, on the frames themselves, and what each layer did: to print, to show, to click through.
print(insight.draw_explanation(explanation, work / "why.pdf"))
print(insight.draw_explanation(explanation, work / "why.gif"))
print(insight.write_report(work / "why.html", title="Why?", explanations=[explanation]))
