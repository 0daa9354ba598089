"""A trained model that comes along becomes a file of ONNX Runtime, which answers without Keras as Keras does.

On the command line: keras-actrec export hman/synthetic --format onnx --out model.onnx
"""

import os
from pathlib import Path
from tempfile import mkdtemp

import cv2
import numpy as np
import onnxruntime

os.environ["KERAS_BACKEND"] = "torch"  # which writes ONNX; the command line sees to that by itself
import keras_actrec
from keras_actrec import data, deploy

work = Path(mkdtemp(prefix="keras_actrec-"))
recognizer = keras_actrec.load("hman/synthetic")  # or your own: runs/mine/model.keras
print(len(recognizer.class_names), "classes:", ", ".join(recognizer.class_names))

# Put your own clip here, and leave these lines out.
clip = work / "clip.mp4"
writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"mp4v"), 12, (112, 112))
for frame in data.synthetic_clip("turn_clockwise", twin=7, seed=1):
    writer.write(frame[..., ::-1])  # OpenCV writes BGR
writer.release()

# It is run in ONNX Runtime before it is yours; beside it lies what a program needs to know to use it.
about = deploy.export(recognizer, work / "model.onnx", "onnx")
print(f"model.onnx, {(work / 'model.onnx').stat().st_size / 1e6:.1f} MB, and model.onnx.json:")
for part in about["inputs"]:
    print(f"  takes {part['name']} {part['shape']}")
print(f"  probabilities differ by at most {about['largest_difference']:.0e} from those of Keras")

# From here on nothing of Keras is needed; without_keras.py, a program of its own, reads the video too.
frames, mask = recognizer.read(clip)
inputs = {"clip": frames[None].astype("float32"), "mask": mask[None]}
session = onnxruntime.InferenceSession(work / "model.onnx")
(scores,) = session.run(["scores"], {part.name: inputs[part.name] for part in session.get_inputs()})[0]
best = np.argsort(-scores)[:3]
print("ONNX Runtime:", [(about["class_names"][number], f"{scores[number]:.3f}") for number in best])
print("Keras:       ", [(name, f"{score:.3f}") for name, score in recognizer.predict_video(clip, top=3)])
