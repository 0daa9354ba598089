"""Time `AttentiveRNN` against `keras.layers.RNN` around the same cell: one training step each, in turn.

    KERAS_BACKEND=jax python benchmarks/recurrent_loop.py [--json FILE]

Prints the ratio of the medians, below 1 where ours is faster. Run it with one thread for steady numbers
(OMP_NUM_THREADS=1); only the ratio means anything.
"""

import argparse
import json
import statistics
import time

import keras
import numpy as np

from keras_actrec.layers import AttentionCell, AttentiveRNN, HMRNNCell, SoftAttention

SIZES = {"small": (16, 30, 16, 256, 256), "large": (8, 60, 16, 512, 512)}  # B, T, N, D, units


def cells(units):
    """The cells to compare the loops with, by name."""
    return {
        "LSTMCell": lambda: keras.layers.LSTMCell(units),
        "HMRNNCell": lambda: HMRNNCell(units),
        "AttentionCell(SoftAttention, HMRNNCell)": lambda: AttentionCell(SoftAttention(), HMRNNCell(units)),
    }


def model_of(layer, shape):
    """A compiled model of one recurrent layer."""
    inputs = keras.Input(shape)
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    model.compile("sgd", "mse")
    return model


def measure(models, x, y, repeats=15):
    """Median seconds of a training step, the models in turn so that a slow moment hits both."""
    seconds = [[] for _ in models]
    for repeat in range(repeats + 3):
        for model, taken in zip(models, seconds, strict=True):
            started = time.perf_counter()
            model.train_on_batch(x, y)
            if repeat >= 3:
                taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in seconds]


def main():
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json")
    parser.add_argument("--size", choices=SIZES, default="small")
    arguments = parser.parse_args()
    batch, time_steps, locations, channels, units = SIZES[arguments.size]
    rows = []
    for name, make in cells(units).items():
        shape = (time_steps, locations, channels) if name.startswith("Attention") else (time_steps, channels)
        x, y = np.random.default_rng(0).normal(size=(batch, *shape)).astype("float32"), np.zeros((batch, 1))
        ours, stock = measure(
            [model_of(AttentiveRNN(make()), shape), model_of(keras.layers.RNN(make()), shape)], x, y
        )
        rows.append({"cell": name, "ours_ms": 1e3 * ours, "stock_ms": 1e3 * stock, "ratio": ours / stock})
        print(f"{keras.backend.backend()} {arguments.size} {name}: ", end="")
        print(f"ours {1e3 * ours:.1f} ms, stock {1e3 * stock:.1f} ms, ratio {ours / stock:.2f}", flush=True)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(
                {"backend": keras.backend.backend(), "size": arguments.size, "rows": rows}, file, indent=2
            )


if __name__ == "__main__":
    main()
