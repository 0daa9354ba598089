"""Time training on one, two and four forced devices of a CPU, on JAX.

    python benchmarks/devices.py

The devices are the same cores, so that this tells what sharing a batch costs and not what GPUs gain. Each
number of devices trains EleAttG's network (3 x 100 units, 60 steps of 150 values) on the same batches of 64
in turn, and the fastest of some epochs counts. Writes `devices.json` beside this program.
"""

import json
import os
import time
from pathlib import Path

from side_by_side import machine  # which lets each library use one thread

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_actrec import _backend, zoo  # noqa: E402

BATCH, BATCHES, EPOCHS = 64, 10, 6


class Batches(keras.utils.PyDataset):
    """Random sequences, whole or spread over devices."""

    def __init__(self, spread):
        super().__init__()
        rng = np.random.default_rng(0)
        self.spread = spread
        self.batch = rng.normal(size=(BATCH, 60, 150)).astype("float32"), rng.integers(60, size=BATCH)

    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        return self.batch if self.spread is None else self.spread.place(self.batch, BATCH)


def rate(devices):
    """Sequences a second."""
    keras.utils.clear_session()
    model = zoo.build("eleatt_rnn", 60)
    model.compile("adam", "sparse_categorical_crossentropy")
    spread = None if devices == 1 else _backend.spread(devices)
    seconds = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.begin = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.begin)

    options = {"epochs": EPOCHS, "shuffle": False, "verbose": 0, "callbacks": [Clock()]}
    if spread is None:
        model.fit(Batches(spread), **options)
    else:
        with spread.training(model):
            model.fit(Batches(spread), **options)
    return BATCH * BATCHES / min(seconds[1:])


def main():
    """Time all, and write what was found."""
    rates = {str(devices): round(rate(devices), 1) for devices in (1, 2, 4)}
    found = {"machine": machine(), "sequences_per_second": rates}
    print(json.dumps(found, indent=1))
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
