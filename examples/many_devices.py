"""Train on four devices as on one: here JAX takes a CPU for four devices, with GPUs leave this out.

On the command line: KERAS_BACKEND=jax keras-actrec train --data joints --out runs/mine --devices 4
"""

import os

os.environ["KERAS_BACKEND"] = "jax"  # the backend that trains on several devices
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

from pathlib import Path
from tempfile import mkdtemp

import jax
import numpy as np

from keras_actrec import training
from keras_actrec.data import write_pose

work = Path(mkdtemp(prefix="keras_actrec-"))
rng = np.random.default_rng(0)
standing = [[300, 100], [230, 220], [370, 220], [270, 400], [330, 400]]  # five joints, x and y in pixels
for name, joint in {"wave left": 1, "wave right": 2}.items():
    for clip in range(16):
        joints = rng.normal(0, 3, (30, 1, 5, 2)) + [
            [300, 100],
            [230, 220],
            [370, 220],
            [270, 400],
            [330, 400],
        ]
        joints[:, 0, joint] += 40 * np.sin(np.linspace(0, rng.uniform(6, 12), 30))[:, None]
        write_pose(work / "joints" / name / f"{clip}.npz", joints, fps=30)

print("devices:", *jax.devices())
losses = {}
for devices in (1, 4):
    changes = "train.epochs=10", "train.batch_size=8", f"train.devices={devices}"
    recipe = training.read_recipe("eleatt_rnn/own", changes)
    run = training.train(recipe, work / "joints", work / str(devices))
    losses[devices] = run.record["last_epoch"]["loss"]
    print(f"{devices} of them: loss {losses[devices]:.6f} after 10 epochs, {run.record['seconds']:.1f} s")
print(f"difference: {abs(losses[1] - losses[4]):.1e}")
