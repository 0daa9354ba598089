"""Time whole networks against the same in plain PyTorch, in one process and in turn.

    KERAS_BACKEND=torch python benchmarks/whole_networks.py [--json FILE] [--repeats N] [--only NAME ...]

A training step of GSM on BN-Inception and of STRN, and answers of GSM and EfficientNet-Lite0. Prints the
ratio of the medians of the CPU time, one thread, below 1 where ours is faster; other programs disturb it less
than wall time.
"""

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
os.environ.update(ONE_THREAD)  # before any backend is loaded

import keras  # noqa: E402
import numpy as np  # noqa: E402
import plain_networks  # noqa: E402
import torch  # noqa: E402

from keras_actrec import _backend, backbones, zoo  # noqa: E402

CLASSES = 101


def frames_of(*shape):
    """Frames of noise."""
    return np.random.default_rng(0).integers(0, 256, (*shape, 224, 224, 3)).astype("float32")


def training(ours, theirs, clips):
    """A step of ours and of theirs, each with its own SGD."""
    labels = np.arange(len(clips)) % CLASSES
    ours.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
    optimizer = torch.optim.SGD(theirs.parameters(), 1e-3)
    theirs.train()

    def step():
        optimizer.zero_grad()
        logits = theirs(torch.from_numpy(clips))
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
        optimizer.step()

    return lambda: ours.train_on_batch(clips, labels), step


def answering(ours, theirs, frames):
    """An answer of ours and of theirs."""
    theirs.eval()

    def answer():
        with torch.inference_mode():
            return theirs(torch.from_numpy(frames)).numpy()

    return lambda: _backend.predict(ours, [frames]), answer


def gsm():
    """GSM on BN-Inception, ours and theirs, for clips of eight frames."""
    return zoo.build("gsm", CLASSES), plain_networks.GSM(CLASSES, 8)


def lite0():
    """EfficientNet-Lite0, ours and theirs."""
    ours = backbones.build("efficientnet_lite0", weights=None, input_shape=(224, 224, 3))
    return ours, plain_networks.Lite0()


def strn():
    """STRN on ResNet-50, ours and theirs, for clips of two frames."""
    return zoo.build("strn", CLASSES), plain_networks.STRN(CLASSES, 2)


# The functions that make both networks and what is measured of them, and the shape of the frames.
CASES = {
    "gsm training, 2 x 8 frames": (gsm, training, (2, 8)),
    "gsm answers, 2 x 8 frames": (gsm, answering, (2, 8)),
    "efficientnet_lite0 answers, 16 frames": (lite0, answering, (16,)),
    "strn training, 4 x 2 frames": (strn, training, (4, 2)),
}


def measure(runs, repeats):
    """Median CPU seconds of each, in turn so that a slow moment hits all."""
    seconds = [[] for _ in runs]
    for repeat in range(repeats + 2):
        for run, taken in zip(runs, seconds, strict=True):
            started = time.process_time()
            run()
            if repeat >= 2:
                taken.append(time.process_time() - started)
    return [statistics.median(taken) for taken in seconds]


def compare(name, repeats):
    """One row: a case's times and their ratio."""
    make, kind, shape = CASES[name]
    ours, theirs = make()
    sizes = sum(int(np.prod(weight.shape)) for weight in ours.trainable_weights)
    if sizes != sum(weight.numel() for weight in theirs.parameters()):
        raise SystemExit(f"{name}: the networks do not have as many parameters")
    mine, plain = measure(kind(ours, theirs, frames_of(*shape)), repeats)
    return {"case": name, "ours_ms": 1e3 * mine, "plain_torch_ms": 1e3 * plain, "ratio": mine / plain}


def main():
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the rows, with machine and versions")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[], help="the first words of cases")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    backend, rows = keras.backend.backend(), []
    for name in CASES:
        if arguments.only and not name.startswith(tuple(arguments.only)):
            continue
        rows.append(compare(name, arguments.repeats))
        print(f"{backend} {name}: ours {rows[-1]['ours_ms']:.0f} ms, ", end="")
        print(f"plain torch {rows[-1]['plain_torch_ms']:.0f} ms, ratio {rows[-1]['ratio']:.2f}", flush=True)
    if arguments.json:
        machine = {
            "system": platform.platform(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
            "threads": 1,
            "time": "CPU, median",
            "versions": {name: version(name) for name in {"keras", "torch", "numpy", backend}},
        }
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"backend": backend, **machine, "rows": rows}, file, indent=2)


if __name__ == "__main__":
    main()
