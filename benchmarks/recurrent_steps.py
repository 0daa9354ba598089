"""Time training steps of our recurrent layers against the same networks written by hand in PyTorch.

    KERAS_BACKEND=jax python benchmarks/recurrent_steps.py [--size s l] [--only NAME ...] [--stock]
    KERAS_BACKEND=jax python benchmarks/recurrent_steps.py --growth
    KERAS_BACKEND=jax python benchmarks/recurrent_steps.py --memory

One thread for all, CPU time, in turn. Ratios below 1: ours is faster. `its products` are the matrix products
of a loop and of its gradient alone, by PyTorch, with as many rows as there. `--growth` times two stacked
layers for longer and longer clips; the exponent is how the time grows with the number of steps. `--memory`
says by how much a training step of long clips raises the memory of its process, without and with blocks that
run again for their gradient (`remat`), and what they cost; on Linux alone.
"""

import argparse
import math
import multiprocessing
import time
from pathlib import Path

from side_by_side import backend, measure, row, write  # isort: skip

import keras
import numpy as np
import plain_recurrent as plain
import torch

from keras_actrec.layers import (
    HMRNN,
    AttentionCell,
    AttentiveRNN,
    EleAttGRU,
    HMRNNCell,
    SoftAttention,
)

SIZES = {"s": (16, 30, 256, 256), "l": (8, 60, 512, 512)}  # B, T, D, units
LOCATIONS, LAYERS = 49, 3
GROWTH = (60, 120, 240, 480, 960)
LONG, BLOCK = 480, 16  # steps of a clip, and of a block


def trained(layers, x, y, jit=False):
    """A function that makes one training step of a model of `layers`."""
    model = network(layers, x.shape[1:], jit)
    return lambda: model.train_on_batch(x, y)


def network(layers, shape, jit="auto"):
    """A model of `layers` with a score, ready to be trained."""
    inputs = keras.Input(shape)
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(outputs))
    model.compile("sgd", "mse", jit_compile=jit)
    return model


def peers(size):
    """What is timed: `{name: (our layer, its input's shape, plain network, its width, its kernels)}`.

    Of kernels inputs and outputs; none for layers of PyTorch's own.
    """
    batch, steps, channels, units = SIZES[size]
    return {
        "EleAttGRU": (
            lambda: EleAttGRU(units),
            (batch, steps, channels),
            lambda: plain.EleAttGRU(channels, units),
            units,
            [(units, channels), (channels, 3 * units), (units, 2 * units), (units, units)],
        ),
        "HM-AN": (
            lambda: AttentiveRNN(AttentionCell(SoftAttention(), HMRNNCell(units, LAYERS))),
            (batch, steps, LOCATIONS, channels),
            lambda: plain.HMAN(LOCATIONS, channels, units, LAYERS),
            LAYERS * units,
            [
                (LAYERS * units, LOCATIONS),
                (channels + 2 * units, 4 * units + 1),
                (3 * units, 4 * units + 1),
                (2 * units, 4 * units + 1),
            ],
        ),
        "GRU": (
            lambda: AttentiveRNN(keras.layers.GRUCell(units)),
            (batch, steps, channels),
            lambda: Last(torch.nn.GRU(channels, units, batch_first=True)),
            units,
            [],
        ),
        "LSTM": (
            lambda: AttentiveRNN(keras.layers.LSTMCell(units)),
            (batch, steps, channels),
            lambda: Last(torch.nn.LSTM(channels, units, batch_first=True)),
            units,
            [],
        ),
    }


def products(batch, steps, kernels):
    """A function that makes the products of all steps: forward, back to the inputs, of kernels' gradients.

    The last are one product each, over all steps.
    """
    made = [
        (torch.randn(steps, batch, d), torch.randn(steps, batch, n), torch.randn(d, n)) for d, n in kernels
    ]

    def multiply():
        with torch.inference_mode():
            for t in range(steps):
                for x, _, kernel in made:
                    x[t] @ kernel
            for t in reversed(range(steps)):
                for _, delta, kernel in made:
                    delta[t] @ kernel.T
            for x, delta, _ in made:
                x.flatten(0, 1).T @ delta.flatten(0, 1)

    return multiply


class Last(torch.nn.Module):
    """The last output of one of PyTorch's own recurrent layers."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, clips):
        return self.layer(clips)[0][:, -1]


def compare(size, only, repeats, stock):
    """Each of our layers against its peer, and, by `stock`, `keras.layers.RNN` around its cell."""
    rows = []
    jits = [False, True] if backend() == "tensorflow" else ["auto"]
    for name, (ours, shape, peer, width, kernels) in peers(size).items():
        if only and name not in only:
            continue
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        y = np.zeros((shape[0], 1), "float32")
        steps = {"plain torch": plain.training_step(peer(), width, x, y)}
        for jit in jits:
            steps["ours, XLA" if jit is True else "ours"] = trained([ours()], x, y, jit)
        if kernels:
            steps["its products"] = products(*shape[:2], kernels)
        if stock:
            steps["keras.layers.RNN"] = trained([keras.layers.RNN(ours().cell)], x, y)
        times = measure(steps, repeats)
        for each in times:
            if each not in ("plain torch", "its products"):
                rows.append(row(f"{name} {size}", each, "plain torch", times))
                if kernels:  # no ratio to a peer, which a release would be measured by
                    bound = row(f"{name} {size}", each, "its products", times)
                    rows.append({**bound, "times_its_products": bound.pop("ratio")})
    return rows


def growth(repeats):
    """Times of two stacked layers for longer and longer clips, and the exponent of the growth."""
    rows = []
    kinds = {
        "EleAttGRU": lambda last: EleAttGRU(64, return_sequences=not last),
        "HMRNN": lambda last: HMRNN(64, return_sequences=not last),
    }
    for name, make in kinds.items():
        times = {}
        for steps in GROWTH:
            x = np.random.default_rng(0).normal(size=(4, steps, 64)).astype("float32")
            step = trained([make(False), make(True)], x, np.zeros((4, 1), "float32"), "auto")
            times[steps] = measure({"ours": step}, repeats, 2)["ours"][0]
        exponent = math.log(times[GROWTH[-1]] / times[GROWTH[0]]) / math.log(GROWTH[-1] / GROWTH[0])
        last = math.log2(times[GROWTH[-1]] / times[GROWTH[-2]])
        shown = ", ".join(f"{steps}: {1e3 * seconds:.0f} ms" for steps, seconds in times.items())
        print(
            f"{backend()} 2 x {name}: {shown}, exponent {exponent:.2f}, last {last:.2f}",
            flush=True,
        )
        rows.append(
            {
                "what": f"2 x {name}",
                "cpu_ms": {steps: round(1e3 * seconds, 1) for steps, seconds in times.items()},
                "exponent": round(exponent, 3),
                "exponent_of_the_last_doubling": round(last, 3),
            }
        )
    return rows


def memory(only, repeats):
    """Megabytes and seconds of a training step of long clips, each of a process of its own."""
    rows = []
    for name in ("EleAttGRU", "HM-AN"):
        if only and name not in only:
            continue
        found = {}
        for remat in (None, BLOCK):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[remat] = pool.apply(of_a_step, (name, remat, repeats))
        (kept, fast), (less, slow) = found.values()
        print(
            f"{backend()} {name}, {LONG} steps: {kept:.0f} MB in {fast:.2f} s, in blocks of {BLOCK} "
            f"{less:.0f} MB in {slow:.2f} s, {slow / fast:.2f} times as long",
            flush=True,
        )
        rows.append(
            {
                "what": f"{name}, {LONG} steps",
                "remat": BLOCK,
                "megabytes": [round(kept), round(less)],
                "cpu_seconds": [round(fast, 3), round(slow, 3)],
            }
        )
    return rows


def of_a_step(name, remat, repeats):
    """What a training step adds to the memory of this process in megabytes, and its median CPU seconds."""
    torch.set_num_threads(1)
    _, (batch, _, *shape), *_ = peers("s")[name]
    channels = shape[-1]
    if name == "EleAttGRU":
        layer = EleAttGRU(channels, remat=remat)
    else:
        layer = AttentiveRNN(AttentionCell(SoftAttention(), HMRNNCell(channels, LAYERS)), remat=remat)
    x = np.random.default_rng(0).normal(size=(batch, LONG, *shape)).astype("float32")
    model = network([layer], (None, *shape))
    for steps in (2 * BLOCK, 3 * BLOCK):  # what a program takes to compile is no memory of a step
        model.train_on_batch(x[:, :steps], np.zeros((batch, 1)))
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    seconds = []
    for _ in range(repeats + 1):
        start = time.process_time()
        model.train_on_batch(x, np.zeros((batch, 1)))
        seconds.append(time.process_time() - start)
    return resident("VmHWM") - before, sorted(seconds[1:])[repeats // 2]


def resident(key):
    """A figure of this process' memory in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1e3


def main():
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, nargs="+", default=list(SIZES))
    parser.add_argument("--only", nargs="+", default=[], help="EleAttGRU, HM-AN, GRU, LSTM")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--stock", action="store_true", help="keras.layers.RNN around the same cells too")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.growth:
        rows = growth(min(arguments.repeats, 5))
    elif arguments.memory:
        rows = memory(arguments.only, min(arguments.repeats, 3))
    else:
        rows = [
            r
            for size in arguments.size
            for r in compare(size, arguments.only, arguments.repeats, arguments.stock)
        ]
    if arguments.json:
        write(arguments.json, rows)


if __name__ == "__main__":
    main()
