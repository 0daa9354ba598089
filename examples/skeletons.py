"""Joints of a pose estimator: write them, train a gated recurrent network on them, see its gates."""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from keras_actrec import evaluation, insight, training
from keras_actrec.data import write_pose

JOINTS = ("nose", "left wrist", "right wrist", "left ankle", "right ankle")
work = Path(mkdtemp(prefix="keras_actrec-"))
poses, out = work / "poses", work / "run"

# Put your own joints here, one file a sequence: (T, bodies, joints, 2 or 3), in pixels or meters.
rng = np.random.default_rng(0)
standing = np.array([[300, 100], [230, 220], [370, 220], [270, 400], [330, 400]])  # x, y in pixels
for name, joint in {"wave left": 1, "wave right": 2, "kick": 4}.items():
    for clip in range(16):
        frames = int(rng.integers(30, 60))
        joints = rng.normal(standing, 3, (frames, 1, len(JOINTS), 2)) * rng.uniform(0.5, 2)
        swing = np.sin(np.linspace(0, rng.uniform(6, 12), frames))
        joints[:, 0, joint] += 40 * swing[:, None]
        write_pose(poses / name / f"{clip}.npz", joints, fps=30, names=JOINTS)

changes = ["model.units=32", "train.epochs=40", "train.batch_size=6", "skeleton.frames=30"]
recipe = training.read_recipe("eleatt_rnn/own", changes)
run = training.train(recipe, poses, out)
print(f"trained to a loss of {run.record['last_epoch']['loss']:.4f}")
result = evaluation.evaluate(run.recognizer, poses)
print(f"top-1 on {result.videos} sequences that it has not seen: {result.top1:.2f} (chance is 0.33)")

# The gate multiplies every element of the input by a number between 0 and 1. For which joints is it open?
gates = insight.explain(run.recognizer, poses / "kick" / "0.npz").gates
response = (gates / gates.mean(axis=-1, keepdims=True)).mean(axis=0).reshape(len(JOINTS), -1).sum(axis=-1)
for joint, value in sorted(zip(JOINTS, response, strict=True), key=lambda pair: -pair[1]):
    print(f"{joint}: {value:.2f}")
