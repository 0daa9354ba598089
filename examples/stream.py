"""Name what happens while frames come, in memory that does not grow, and keep when each gesture was seen.

On the command line: keras-actrec stream runs/mine/model.keras 0 --segments seen.vtt
"""

from pathlib import Path
from tempfile import mkdtemp

import cv2

import keras_actrec
from keras_actrec import data, deploy, training

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
    "hman/synthetic", ["data.manifest=", "model.units=32", "clip.size=64", "train.epochs=40"]
)
training.train(recipe, work / "videos", work / "run")

# Put your own source here: a file, a camera's address, or 0 for the webcam.
film = sorted((work / "videos").glob("*/*.mp4"))[0]
source = cv2.VideoCapture(str(film))
fps = source.get(cv2.CAP_PROP_FPS)

recognizer = keras_actrec.load(work / "run" / "model.keras")
stream = keras_actrec.Stream(recognizer)  # HM-AN is causal: it carries its states from frame to frame
segmenter = deploy.Segmenter(recognizer.class_names, enter=0.6, leave=0.4, smoothing=0.1)
with deploy.writing_segments(work / "seen.vtt") as keep:
    while True:
        there, frame = source.read()
        if not there:
            break
        for answer in stream.push(frame[..., ::-1]):  # OpenCV reads BGR
            best = answer.scores.argmax()
            print(f"{answer.frame / fps:5.2f} s  {recognizer.class_names[best]} {answer.scores[best]:.2f}")
            if segment := segmenter.add(answer.frame / fps, answer.scores):
                keep(segment)
    if segment := segmenter.finish(source.get(cv2.CAP_PROP_POS_FRAMES) / fps):
        keep(segment)
print((work / "seen.vtt").read_text(encoding="utf-8"))
