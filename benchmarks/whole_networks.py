"""Time whole networks against the same in plain PyTorch, both in one process and in turn.

    KERAS_BACKEND=torch python benchmarks/whole_networks.py [--json FILE] [--repeats N] [--only NAME ...]

A training step of GSM on BN-Inception, of TSN on EfficientNet-Lite0 and of STRN, and answers of GSM and
EfficientNet-Lite0; folded is as a stream has it, and extracts is as `extract` does. Prints the ratio of the
medians of the CPU time, one thread, below 1 where ours is faster; other programs disturb it less than wall
time. Each comparison has its own process: in memory that training has left behind, plain PyTorch runs Lite0
in half of the time.
"""

import argparse
import multiprocessing

from side_by_side import measure, row, write  # isort: skip

import keras
import numpy as np
import plain_networks
import torch

from keras_actrec import _backend, backbones, zoo

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


def extracting(ours, theirs, frames):
    """As features are extracted: normalization is in the convolutions, in batches that a CPU takes fast."""
    network = backbones.folded(ours)
    size = _backend.frames_at_once(frames.shape[1] * frames.shape[2])
    batches = [frames[start : start + size] for start in range(0, len(frames), size)]
    _, answer = answering(ours, theirs, frames)
    return lambda: [_backend.predict(network, [batch]) for batch in batches], answer


def folded(ours, theirs, clips):
    """An answer of ours with normalization in the convolutions, and of theirs."""
    return answering(backbones.folded(ours), theirs, clips)


def gsm():
    """GSM on BN-Inception, ours and theirs, for clips of eight frames."""
    return zoo.build("gsm", CLASSES), plain_networks.GSM(CLASSES, 8)


def lite0():
    """EfficientNet-Lite0, ours and theirs."""
    ours = backbones.build("efficientnet_lite0", weights=None, input_shape=(224, 224, 3))
    return ours, plain_networks.Lite0()


def tsn():
    """TSN on EfficientNet-Lite0, ours and theirs."""
    return zoo.build("tsn", CLASSES, backbone="efficientnet_lite0"), plain_networks.TSN(CLASSES)


def strn():
    """STRN on ResNet-50, ours and theirs, for clips of two frames."""
    return zoo.build("strn", CLASSES), plain_networks.STRN(CLASSES, 2)


# The functions that make both networks and what is measured of them, and the shape of the frames.
CASES = {
    "gsm training, 2 x 8 frames": (gsm, training, (2, 8)),
    "gsm answers, 2 x 8 frames": (gsm, answering, (2, 8)),
    "gsm answers, folded, 2 x 8 frames": (gsm, folded, (2, 8)),
    "efficientnet_lite0 answers, 16 frames": (lite0, answering, (16,)),
    "efficientnet_lite0 extracts, 16 frames": (lite0, extracting, (16,)),
    "tsn on Lite0 training, 2 x 8 frames": (tsn, training, (2, 8)),
    "strn training, 4 x 2 frames": (strn, training, (4, 2)),
}


def compare(name, repeats):
    """One row: a case's times and their ratio."""
    torch.set_num_threads(1)
    make, kind, shape = CASES[name]
    ours, theirs = make()
    sizes = sum(int(np.prod(weight.shape)) for weight in ours.trainable_weights)
    if sizes != sum(weight.numel() for weight in theirs.parameters()):
        raise SystemExit(f"{name}: the networks do not have as many parameters")
    steps = dict(zip(("ours", "plain torch"), kind(ours, theirs, frames_of(*shape)), strict=True))
    return row(name, "ours", "plain torch", measure(steps, repeats, warm_up=2))


def main():
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the rows, with machine and versions")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[], help="the first words of cases")
    arguments = parser.parse_args()
    names = [name for name in CASES if not arguments.only or name.startswith(tuple(arguments.only))]
    rows = []
    for name in names:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(compare, (name, arguments.repeats)))
    if arguments.json:
        write(arguments.json, rows)


if __name__ == "__main__":
    main()
