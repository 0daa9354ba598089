"""Time how long the first answer takes: Keras, the package, a model, one clip; and the command `predict`.

    python benchmarks/start_up.py --json start_up.json
    python benchmarks/start_up.py --against ../other/checkout

Every figure is a process of its own, on each backend in turn, and of each checkout in turn; printed are the
medians of wall and CPU seconds. What earlier processes leave in caches is there, as for a user: one run of
each is not counted. The stages are those of a program that imports the package; the command, which leaves
out of Keras what it does not need, is timed from outside, with Python's start and end.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import machine

HERE = Path(__file__).resolve().parents[1]
BACKENDS = ("jax", "torch", "tensorflow")
STAGES = ("keras", "package", "load", "first answer", "second answer")

MAKE = """
import cv2
from keras_actrec import Recognizer, zoo
from keras_actrec.data import SYNTHETIC_PAIRS, ClipPreprocessor, ClipTransform, Sampling, synthetic_clip

writer = cv2.VideoWriter("clip.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 12, (224, 224))
for frame in synthetic_clip(SYNTHETIC_PAIRS[0][0], twin=0, size=224, frames=40):
    writer.write(frame[..., ::-1])  # OpenCV writes BGR
writer.release()
model = zoo.build("frame_gru", 10, backbone="efficientnet_lite0", input_shape=(16, 224, 224, 3))
looks = ClipPreprocessor(Sampling(16), ClipTransform(224))
Recognizer(model, [f"class {label}" for label in range(10)], looks).save("model.keras")
"""
RUN = """
import json, time
seen = [(time.perf_counter(), time.process_time())]
see = lambda: seen.append((time.perf_counter(), time.process_time()))
import keras
see()
import keras_actrec
see()
recognizer = keras_actrec.load("model.keras")
see()
for _ in range(2):
    recognizer.predict_video("clip.mp4")
    see()
print(json.dumps([[b - a for a, b in zip(*pair)] for pair in zip(seen, seen[1:])]))
"""
COMMAND = "from keras_actrec_program import main; main()"


def run(folder, checkout, backend, *arguments):
    """Run Python in the folder: what it printed, and its wall and CPU seconds."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "KERAS_BACKEND": backend}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{backend} with {checkout} ended with status {process.returncode}")
    return printed, [time.perf_counter() - began, usage.ru_utime + usage.ru_stime]


def measure(folder, checkout, backend):
    """The wall and CPU seconds of each stage, and of the command."""
    printed, _ = run(folder, checkout, backend, RUN)
    _, command = run(folder, checkout, backend, COMMAND, "predict", "model.keras", "clip.mp4")
    return dict(zip(STAGES, json.loads(printed.splitlines()[-1]), strict=True)) | {"command": command}


def main():
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="other checkouts")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    checkouts = [HERE, *(path.resolve() for path in options.against)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        run(folder, HERE, options.backends[0], MAKE)
        for backend in options.backends:
            runs = {checkout: [] for checkout in checkouts}
            for repeat in range(options.repeats + 1):
                for checkout, taken in runs.items():
                    one = measure(folder, checkout, backend)
                    taken += [one] * (repeat > 0)
            for checkout, taken in runs.items():
                row = {"backend": backend, "checkout": str(checkout), "runs": options.repeats}
                for stage in (*STAGES, "command"):
                    wall, cpu = (
                        statistics.median(both) for both in zip(*(r[stage] for r in taken), strict=True)
                    )
                    row[stage] = {"wall": round(wall, 3), "cpu": round(cpu, 3)}
                    print(
                        f"{backend} {checkout.name} {stage}: {wall:.2f} s wall, {cpu:.2f} s CPU", flush=True
                    )
                found.append(row)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "results": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
