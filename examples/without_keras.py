"""Name what a video shows with ONNX Runtime and OpenCV alone, without Keras and without keras_actrec.

keras-actrec export runs/mine/model.keras --format onnx --out mine.onnx
python without_keras.py mine.onnx clip.mp4
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime

network, video = sys.argv[1:]
with open(f"{network}.json", encoding="utf-8") as file:
    about = json.load(file)
sampling, transform = about["preprocessing"]["sampling"], about["preprocessing"]["transform"]
if sampling["method"] not in ("segments", "tsn") or sampling["num_clips"] * transform["num_crops"] > 1:
    sys.exit("this example looks once at a video, at the middles of its segments: see Sampling for more")

frames, capture = [], cv2.VideoCapture(video)
while True:
    there, frame = capture.read()
    if not there:
        break
    frames.append(frame)
if not frames:
    sys.exit(f"{video}: no frame decodes")
frames = frames[:: sampling["frame_step"]]
middles = [(2 * i + 1) * len(frames) // (2 * sampling["frames"]) for i in range(sampling["frames"])]


def sized(frame):
    """The middle of a frame in the size of the network, or all of it."""
    (height, width), size = frame.shape[:2], transform["size"]
    target = size, size
    if transform["crop"] != "none":
        short = transform["short_side"] or size * 256 // 224
        target = round(height * short / min(height, width)), round(width * short / min(height, width))
    how = cv2.INTER_AREA if target[0] * target[1] < height * width else cv2.INTER_LINEAR
    frame = cv2.resize(frame, target[::-1], interpolation=how)
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    return frame[top : top + size, left : left + size]


clip = np.stack([cv2.cvtColor(sized(frames[middle]), cv2.COLOR_BGR2RGB) for middle in middles])
inputs = {"clip": clip[None].astype("float32"), "mask": np.ones((1, len(clip)), bool)}
session = onnxruntime.InferenceSession(network)
(scores,) = session.run(["scores"], {part.name: inputs[part.name] for part in session.get_inputs()})[0]
for best in np.argsort(-scores)[:5]:
    print(f"{scores[best]:.4f} {about['class_names'][best]}")
