"""Time our layers and networks on a GPU, next to the same in plain PyTorch and to what the card can do.

    KERAS_BACKEND=jax python benchmarks/accelerator.py [--only NAME ...] [--json FILE]

Wall time of training steps and answers in turn, all data on the card. In float32 both multiply in TF32, as
GPUs do it best. A large product in the same precision is the bound: the share of it that a row reaches says
how much of the card is used. `nn.GRU` and `nn.LSTM` are PyTorch's own fused layers. Ratios below 1: ours is
faster.
"""

import argparse
import contextlib
import json
import os
from pathlib import Path

from side_by_side import backend, machine, measure  # isort: skip

os.environ.pop("XLA_FLAGS")  # they are of processors

import keras
import plain_networks
import plain_recurrent
import torch
from recurrent_steps import Last
from torch.utils.flop_counter import FlopCounterMode

from keras_actrec import _backend, backbones, zoo
from keras_actrec.layers import AttentionCell, AttentiveRNN, EleAttGRU, HMRNNCell, SoftAttention

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PRECISIONS = {"float32": torch.float32, "mixed_bfloat16": torch.bfloat16}
LAYERS, LOCATIONS, CLASSES = 3, 49, 51
SIZES = {"s": (16, 30, 256), "l": (8, 60, 512), "paper": (64, 60, 2048)}  # B, T, D = units


def recurrent(ours, theirs, width, *locations):
    """A case of one of our layers: `case(size) -> (model, its input, what PyTorch trains)`."""

    def case(size):
        batch, steps, units = SIZES[size]
        inputs = keras.Input((steps, *locations, units))
        model = keras.Model(inputs, keras.layers.Dense(1)(ours(units)(inputs)))
        peer = torch.nn.Sequential(theirs(units), torch.nn.Linear(width * units, 1))
        return model, torch.randn(batch, steps, *locations, units, device=DEVICE), peer

    return case


def attentive(cell):
    """Soft attention over locations in front of a cell."""
    return AttentiveRNN(AttentionCell(SoftAttention(), cell))


def hman_of_the_zoo(_):
    """HM-AN as it is built without a word, which has no peer."""
    batch, steps, units = 64, 30, 2048
    model = zoo.build("hman", CLASSES, input_shape=(steps, 7, 7, units), classifier_activation=None)
    return model, torch.randn(batch, steps, 7, 7, units, device=DEVICE), None


def gsm(_):
    """GSM on BN-Inception."""
    model = zoo.build("gsm", CLASSES, classifier_activation=None)
    return model, torch.rand(16, 8, 224, 224, 3, device=DEVICE) * 255, plain_networks.GSM(CLASSES, 8)


def lite0(_):
    """EfficientNet-Lite0 without its top."""
    model = backbones.build("efficientnet_lite0", weights=None, input_shape=(224, 224, 3))
    return model, torch.rand(128, 224, 224, 3, device=DEVICE) * 255, plain_networks.Lite0()


# What is made, its sizes, and whether it is trained.
CASES = {
    "EleAttGRU": (
        recurrent(EleAttGRU, lambda units: plain_recurrent.EleAttGRU(units, units), 1),
        SIZES,
        True,
    ),
    "HM-AN": (
        recurrent(
            lambda units: attentive(HMRNNCell(units, LAYERS)),
            lambda units: plain_recurrent.HMAN(LOCATIONS, units, units, LAYERS),
            LAYERS,
            LOCATIONS,
        ),
        SIZES,
        True,
    ),
    "GRU": (
        recurrent(
            lambda units: AttentiveRNN(keras.layers.GRUCell(units)),
            lambda units: Last(torch.nn.GRU(units, units, batch_first=True)),
            1,
        ),
        SIZES,
        True,
    ),
    "LSTM": (
        recurrent(
            lambda units: AttentiveRNN(keras.layers.LSTMCell(units)),
            lambda units: Last(torch.nn.LSTM(units, units, batch_first=True)),
            1,
        ),
        SIZES,
        True,
    ),
    "hman(51), 64 x 30 steps": (hman_of_the_zoo, [""], True),
    "GSM BN-Inception, 16 x 8 x 224": (gsm, [""], True),
    "EfficientNet-Lite0, 128 frames of 224": (lite0, [""], False),
}


def settle():
    """Wait until the card has done what it was told."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def training(model, x, peer, precision):
    """A training step of ours, and of the peer or None."""
    sparse = model.output.shape[-1] > 1
    y = (torch.arange(len(x), device=DEVICE) % CLASSES) if sparse else torch.zeros(len(x), 1, device=DEVICE)
    losses = keras.losses
    loss = losses.SparseCategoricalCrossentropy(from_logits=True) if sparse else losses.MeanSquaredError()
    model.compile(keras.optimizers.SGD(1e-3), loss)
    given = [to_backend(each) for each in (x, y)]

    def ours():
        model.train_on_batch(*given)
        settle()

    if peer is None:
        return ours, None
    peer = peer.to(DEVICE).train()
    optimizer = torch.optim.SGD(peer.parameters(), 1e-3)
    measured = torch.nn.functional.cross_entropy if sparse else torch.nn.functional.mse_loss

    def theirs():
        optimizer.zero_grad()
        with autocast(precision):
            answer = peer(x)
        measured(answer.float(), y).backward()
        optimizer.step()
        settle()

    return ours, theirs


def answering(model, x, peer, precision):
    """An answer of ours and of the peer."""
    given, peer = to_backend(x), peer.to(DEVICE).eval()
    predict = _backend.predictor(model)

    def ours():
        predict(given)

    def theirs():
        with torch.inference_mode(), autocast(precision):
            peer(x).float().cpu()

    return ours, theirs


def autocast(precision):
    """PyTorch's own mixed precision."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(DEVICE, PRECISIONS[precision])


def to_backend(tensor):
    """A tensor of PyTorch as one of the backend, on its device."""
    return tensor if backend() == "torch" else keras.ops.convert_to_tensor(tensor.cpu().numpy())


def bound(precision, side):
    """Operations a second of a product of two square matrices."""
    a, b = (torch.randn(side, side, device=DEVICE, dtype=PRECISIONS[precision]) for _ in range(2))

    def product():
        a @ b
        settle()

    return 2 * side**3 / measure({"product": product}, 10)["product"][1]


def operations_of(step):
    """Operations of products and convolutions in a step of PyTorch."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def compare(name, size, precision, repeats):
    """One row: times of ours and the peer, operations a second of ours."""
    keras.config.set_dtype_policy(precision)
    make, _, trained = CASES[name]
    model, x, peer = make(size)
    ours, theirs = (training if trained else answering)(model, x, peer, precision)
    times = measure({"ours": ours, **({"peer": theirs} if theirs else {})}, repeats)
    row = {"what": f"{name} {size}".strip(), "precision": precision, "ms": round(1e3 * times["ours"][1], 3)}
    if theirs:
        fused = name in ("GRU", "LSTM")
        row["peer"] = f"nn.{name}" if fused else "plain torch"
        row["peer_ms"] = round(1e3 * times["peer"][1], 3)
        row["ratio"] = round(times["ours"][1] / times["peer"][1], 3)
        if not fused:  # what is inside a fused layer is not counted
            row["tflops"] = round(operations_of(theirs) / times["ours"][1] / 1e12, 3)
    print(backend(), json.dumps(row), flush=True)
    return row


def main():
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="the first letters of cases")
    parser.add_argument("--sizes", nargs="*", default=[], choices=SIZES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--side", type=int, default=8192, help="of the product that is the bound")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    bounds = {name: round(bound(name, arguments.side) / 1e12, 1) for name in PRECISIONS}
    print(f"a product of {arguments.side} x {arguments.side}: {bounds} TFLOP/s", flush=True)
    rows = []
    content = {"backend": backend(), "machine": machine(), "tflops_of_a_product": bounds, "rows": rows}
    content["device"] = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"
    for name, (_, sizes, _) in CASES.items():
        for size in sizes if not arguments.only or name.startswith(tuple(arguments.only)) else []:
            for precision in PRECISIONS if not arguments.sizes or size in ("", *arguments.sizes) else []:
                rows.append(compare(name, size, precision, arguments.repeats))
                keras.backend.clear_session()
                if arguments.json:
                    Path(arguments.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
