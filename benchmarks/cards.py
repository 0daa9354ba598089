"""Count parameters and multiply-adds of every model and write them into the cards, zoo/*/README.md.

    KERAS_BACKEND=torch python benchmarks/cards.py

PyTorch's own counter is used: products of matrices and convolutions of one forward pass of one clip.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from keras_actrec import zoo
from keras_actrec._files import write_block
from keras_actrec.tuning.trial import count_trainable

_NETWORKS = ("bn_inception", "inception_v3", "resnet50_v1_5", "efficientnet_lite0")
# Model -> classes and steps as in its paper, and the variants that its card counts.
PROFILES = {
    "cham": (10, 30, [{}]),
    "conv_attention": (10, 30, [{}]),
    "eleatt_rnn": (60, 100, [{}, {"num_layers": 2}, {"cell": "lstm"}, {"cell": "rnn"}]),
    "frame_gru": (101, 25, [{}]),
    "frame_pool": (101, 25, [{}]),
    "gsm": (174, 8, [{}, {"backbone": "inception_v3"}, {"backbone": "efficientnet_lite0"}]),
    "hman": (51, 60, [{}, {"boundary": "scalar"}]),
    "lstm_attention": (51, 30, [{}, {"num_layers": 3}]),
    "sa_gsm": (174, 8, [{}, {"backbone": "inception_v3"}, {"backbone": "efficientnet_lite0"}]),
    "softmax_regression": (51, 30, [{}]),
    "st_gcn": (60, 100, [{}, {"filters": 64}]),
    "stacked_rnn": (60, 100, [{}, {"num_layers": 2}, {"units": 128}, {"num_layers": 2, "units": 128}]),
    "strn": (101, 2, [{}, {"temporal_context": 3}, {"placement": "conv5_block1", "connection": "linear"}]),
    "trn": (174, 8, [{}, {"backbone": "inception_v3"}, {"backbone": "efficientnet_lite0"}]),
    "tsm": (174, 8, [{}, *({"backbone": name} for name in _NETWORKS if name != "resnet50_v1_5")]),
    "tsn": (174, 8, [{}, *({"backbone": name} for name in _NETWORKS[1:])]),
}
ROOT = Path(__file__).parents[1]


def row(name: str, num_classes: int, steps: int, arguments: dict[str, Any]) -> str:
    """A line of the table: the call, the size of its input, parameters and multiply-adds."""
    model = zoo.build(name, num_classes, **arguments)
    shape = (model.input_shape[1] or steps, *model.input_shape[2:])
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(np.zeros((1, *shape), "float32"), training=False)
    words = ", ".join([str(num_classes), *(f"{key}={value!r}" for key, value in arguments.items())])
    call = f"{name}({words})".replace("'", '"')
    size = " x ".join(map(str, shape))
    return f"| `{call}` | {size} | {count_trainable(model):,} | {counter.get_total_flops() / 2e9:.3f} |"


def table(name: str) -> str:
    """The table of one card."""
    num_classes, steps, variants = PROFILES[name]
    lines = ["| call | one clip | trainable parameters | multiply-adds, 10^9 |", "|---|---|---|---|"]
    for arguments in variants:
        lines.append(row(name, num_classes, steps, arguments))
        keras.backend.clear_session()
    return "\n".join([*lines, "", "Counted by `benchmarks/cards.py`."])


def main() -> None:
    """Write all cards."""
    for name in zoo.list_models():
        card = ROOT / "zoo" / name / "README.md"
        write_block(card, "profile", table(name))
        print(card.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    main()
