"""Trains on several devices, for test_training_devices.py: `python on_devices.py FOLDER PROCESS PORT`.

Process 0 trains alone on four devices first. Then both train together, each on two of its devices.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from keras_actrec import _backend, training
from keras_actrec.errors import UserError
from keras_actrec.training.devices import wait_for_processes
from keras_actrec.training.targets import Targets

TRAIN = {"epochs": 7, "batch_size": 12, "learning_rate": 0.01, "workers": 0}  # 21 updates
# 30 sequences: two batches of 12, and one of 6, which four devices cannot share alike; ten for validation.
SKELETONS = {
    "model": {"name": "eleatt_rnn", "units": 4, "num_layers": 1, "dropout": 0.5},
    "data": {"dataset": "northwestern_ucla", "split": "view1_view2", "validation_fraction": 0.25},
    "skeleton": {"frames": 6},
}
FEATURES = {
    "model": {"name": "hman", "attention": "reinforce", "units": 4, "num_layers": 1, "hidden": 4},
    "data": {"dataset": "features"},
    "features": {"frames": 5},
}
RECIPES = {
    "plain": {**SKELETONS, "train": TRAIN},
    # Mixtures of the whole batch, half precision, and gradients of two batches.
    "mixed": {
        **SKELETONS,
        "train": {
            **TRAIN,
            "epochs": 2,
            "mixup": 0.3,
            "noise": 0.1,
            "accumulate": 2,
            "mixed_precision": "mixed_bfloat16",
        },
    },
    "reinforce": {**FEATURES, "train": {**TRAIN, "epochs": 2}},
}


def recipe(kind, **train):
    values = RECIPES[kind]
    return training.parse_recipe({**values, "train": {**values["train"], **train}})


def data_of(kind, folder):
    return folder / ("features" if kind == "reinforce" else "skeletons")


def run(kind, folder, out, **train):
    return training.train(recipe(kind, **train), data_of(kind, folder), folder / out)


class Stopping:
    """Sends SIGTERM to this process with the 27th batch that it asks for: in epoch 7, behind 18 updates.

    An epoch has three for training and one for validation, and Keras looks at the first one before.
    """

    def __init__(self):
        self.left = 27
        self.get = Targets.__getitem__

    def __call__(self, targets, index):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.get(targets, index)


class Rows(keras.utils.PyDataset):
    """The first 8 and the last 6 of 14 rows, spread over devices."""

    def __init__(self, spread=None):
        super().__init__()
        self.spread = spread
        self.x = np.random.default_rng(0).normal(3, 2, (14, 5)).astype("float32")

    def __len__(self):
        return 2

    def __getitem__(self, index):
        x = self.x[:8] if index == 0 else self.x[8:]
        batch = x, x[:, :1]
        return batch if self.spread is None else self.spread.place(batch, len(x))


def normalized(spread):
    """Weights and statistics of a network with a batch normalization, and what testing it gives."""
    keras.utils.clear_session()
    initial = keras.initializers.RandomUniform(seed=1)
    network = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(4, use_bias=False, kernel_initializer=initial),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dense(1, kernel_initializer=initial),
        ]
    )
    network.compile("adam", "mse", weighted_metrics=["mae"])
    rows = Rows(spread)
    if spread is None:
        network.fit(rows, epochs=3, shuffle=False, verbose=0)
        tested = network.evaluate(rows, verbose=0)
    else:
        with spread.training(network):
            network.fit(rows, epochs=3, shuffle=False, verbose=0)
            tested = network.evaluate(rows, verbose=0)
    return [np.asarray(each).tolist() for each in (*network.get_weights(), *tested)]


def refusal(kind, folder, **train):
    try:
        run(kind, folder, "refused", **train)
    except UserError as error:
        return str(error)


def alone(folder):
    """What one process has to say of one device and of four."""
    for kind in RECIPES:
        run(kind, folder, f"{kind}-1")
        if kind != "mixed":  # which two processes train
            run(kind, folder, f"{kind}-4", devices=4)
    return {
        "normalized": [normalized(None), normalized(_backend.spread(4))],
        "refused": [refusal("plain", folder, devices=8), refusal("plain", folder, devices=4, batch_size=10)],
    }


def together(folder, process, port):
    """Both processes train."""
    os.environ |= {
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
        "KERAS_DISTRIBUTION_PROCESS_ID": str(process),
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"localhost:{port}",
    }
    run("mixed", folder, "mixed-2x2", devices=2)
    answers = {"differ": refusal("plain", folder, devices=2, seed=process)}
    stopping = Stopping() if process else Targets.__getitem__
    try:
        with mock.patch.object(Targets, "__getitem__", lambda self, index: stopping(self, index)):
            run("plain", folder, "stopped", devices=2)
    except SystemExit as error:
        answers["stopped"] = [error.code, str(error)]
    if process == 0:
        shutil.copytree(folder / "stopped", folder / "again")
    wait_for_processes()
    run("plain", folder, "again", devices=2)
    training.leave_processes()
    return answers


def main(folder, process, port):
    folder, process = Path(folder), int(process)
    answers = {}
    if process == 0:
        answers = alone(folder)
        # Processes join before JAX looks for devices: here it has to forget them.
        import jax.extend

        keras.utils.clear_session()
        jax.extend.backend.clear_backends()
    answers |= together(folder, process, port)
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
