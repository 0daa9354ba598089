"""Name what a video shows with ONNX Runtime and OpenCV alone, without Keras and without keras_actrec.

keras-actrec export runs/mine/model.keras --format onnx --out mine.onnx
python without_keras.py mine.onnx clip.mp4
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime

if len(sys.argv) != 3:
    sys.exit(__doc__)
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
if len(frames) < sampling["frames"] and sampling["short"] not in ("stretch", "first"):
    sys.exit(f"{video}: {len(frames)} frames to choose from, fewer than {sampling['frames']}: too short")
middles = [(2 * i + 1) * len(frames) // (2 * sampling["frames"]) for i in range(sampling["frames"])]


def resized(frame, height, width):
    """A frame in another size: averages where it has fewer pixels, otherwise linear."""
    how = cv2.INTER_AREA if height * width < frame.shape[0] * frame.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(frame, (width, height), interpolation=how)


def shortened(frame, short):
    """A frame with this short side."""
    height, width = frame.shape[:2]
    return resized(frame, *(round(side * short / min(height, width)) for side in (height, width)))


def sized(frame):
    """The middle of a frame in the size of the network, or all of it."""
    size, shrink = transform["size"], transform["shrink"]
    if shrink and min(frame.shape[:2]) > shrink:
        frame = shortened(frame, shrink)
    if transform["crop"] == "none":
        return resized(frame, size, size)
    frame = shortened(frame, transform["short_side"])
    top, left = (frame.shape[0] - size) // 2, (frame.shape[1] - size) // 2
    return frame[top : top + size, left : left + size]


clip = np.stack([cv2.cvtColor(sized(frames[middle]), cv2.COLOR_BGR2RGB) for middle in middles])
inputs = {"clip": clip[None].astype("float32"), "mask": np.ones((1, len(clip)), bool)}
session = onnxruntime.InferenceSession(network)
(scores,) = session.run(["scores"], {part.name: inputs[part.name] for part in session.get_inputs()})[0]
for best in np.argsort(-scores)[:5]:
    print(f"{scores[best]:.4f} {about['class_names'][best]}")
