"""Draw the idea of each model, for its card: python docs/figures.py writes docs/figures/MODEL.svg.

A model is rows from the input to the answer, each over the same few steps of time, and arrows that say what
a step sees: `LINKS`. Models of one family differ in a row or in an arrow, and so do their figures.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

FOLDER = Path(__file__).with_name("figures")
STEPS = 4
WIDE, HIGH, APART, ABOVE = 1.1, 0.42, 2.0, 1.0  # of a box, and from one to the next
# From which step of which row (0 is the same, -1 the one below, 1 the one above) arrows come, and how drawn.
LINKS = {
    "below": ((-1, 0, "-"),),
    "forward": ((-1, 0, "-"), (0, -1, "-")),
    "neighbors": ((-1, 0, "-"), (-1, -1, "-"), (-1, 1, "-")),
    "before": ((-1, 0, "-"), (-1, -1, "-")),
    "asked": ((-1, 0, "-"), (1, -1, ":")),
}
COLORS = {
    "input": "#d9d9d9",
    "network": "#9ecae1",
    "gate": "#fdae6b",
    "memory": "#a1d99b",
    "answer": "#bcbddc",
}


@dataclass(frozen=True)
class Row:
    """A row of a figure.

    Attributes:
        label: what it is, at its left.
        kind: one of `COLORS`.
        link: one of `LINKS`; what the first row has does not count.
        whole: whether it is one box over all steps.
        active: steps in which it does something; in the others it keeps what it has.
    """

    label: str
    kind: str
    link: str = "below"
    whole: bool = False
    active: tuple[int, ...] = tuple(range(STEPS))


FRAMES = Row("frames", "input")
JOINTS = Row("joints, or features\nof frames", "input")
MAPS = Row("feature map of the\nframe, 7 x 7 places", "network")
NETWORK = Row("network, the same\nfor each frame", "network")
LOGITS = Row("classifier of a step", "answer")
MEAN = Row("mean of the steps", "answer", whole=True)
BLOCKS = Row("the next blocks", "network")
FIGURES = {
    "tsn": (FRAMES, NETWORK, LOGITS, MEAN),
    "tsm": (
        FRAMES,
        Row("block of the network", "network"),
        Row("an eighth of the channels\nfrom each neighbor", "gate", "neighbors"),
        BLOCKS,
        LOGITS,
        MEAN,
    ),
    "gsm": (
        FRAMES,
        Row("block of the network", "network"),
        Row("at each place a gate decides\nhow much moves", "gate", "neighbors"),
        BLOCKS,
        LOGITS,
        MEAN,
    ),
    "sa_gsm": (
        FRAMES,
        Row("block of the network", "network"),
        Row("at each place a gate decides\nhow much moves", "gate", "neighbors"),
        Row("self-attention over the\nplaces of the frame", "gate"),
        BLOCKS,
        LOGITS,
        MEAN,
    ),
    "trn": (
        FRAMES,
        NETWORK,
        Row("a small network for two\nframes in order, ... for all", "gate", whole=True),
        Row("sum of their logits", "answer", whole=True),
    ),
    "strn": (
        FRAMES,
        Row("blocks of the network", "network"),
        Row("a block that also sees the\nframe before", "gate", "before"),
        BLOCKS,
        Row("answer of the last frame", "answer", active=(STEPS - 1,)),
    ),
    "frame_pool": (
        FRAMES,
        NETWORK,
        Row("mean feature,\nz-normalized", "answer", whole=True),
        Row("classifier", "answer", whole=True),
    ),
    "frame_gru": (
        FRAMES,
        NETWORK,
        Row("GRU", "memory", "forward"),
        Row("classifier of the last state", "answer", active=(STEPS - 1,)),
    ),
    "softmax_regression": (FRAMES, NETWORK, Row("mean over its places", "network"), LOGITS, MEAN),
    "lstm_attention": (
        MAPS,
        Row("softmax over the places,\nguided by the last state", "gate", "asked"),
        Row("LSTM", "memory", "forward"),
        LOGITS,
        MEAN,
    ),
    "conv_attention": (
        MAPS,
        Row("softmax weighs the places,\nguided by the last state", "gate", "asked"),
        Row("convolutional LSTM:\nthe map stays a map", "memory", "forward"),
        LOGITS,
        MEAN,
    ),
    "cham": (
        MAPS,
        Row("softmax weighs the places,\nguided by the last state", "gate", "asked"),
        Row("convolutional LSTM", "memory", "forward"),
        Row("convolutional LSTM of a\ncoarser time scale", "memory", "forward", active=(0, 2)),
        LOGITS,
        MEAN,
    ),
    "hman": (
        MAPS,
        Row("one place is chosen,\nguided by the last state", "gate", "asked"),
        Row("layer 1, which finds\nboundaries", "memory", "forward"),
        Row("layer 2 steps where\nlayer 1 closed a segment", "memory", "forward", active=(0, 1, 3)),
        Row("layer 3, as layer 2", "memory", "forward", active=(0, 3)),
        Row("classifier of a step,\nwhich sees all layers", "answer"),
        MEAN,
    ),
    "stacked_rnn": (
        JOINTS,
        Row("recurrent layer", "memory", "forward"),
        Row("recurrent layer", "memory", "forward"),
        LOGITS,
        MEAN,
    ),
    "eleatt_rnn": (
        JOINTS,
        Row("a weight for each element,\nguided by the last state", "gate", "asked"),
        Row("recurrent layer", "memory", "forward"),
        LOGITS,
        MEAN,
    ),
    "st_gcn": (
        Row("joints of a body", "input"),
        Row("graph convolution\nalong the bones", "gate"),
        Row("convolution over steps,\njoint by joint", "network", "neighbors"),
        Row("more such blocks", "network"),
        LOGITS,
        MEAN,
    ),
}


def middle(row: int, step: int) -> tuple[float, float]:
    """Where the middle of a box is."""
    return step * APART, row * ABOVE


def box(axes: Axes, row: int, about: Row, step: int) -> None:
    """Draw the box of a step, or the one over all of them; of a step that keeps what it has, the outline."""
    x, y = middle(row, step)
    width = WIDE + (STEPS - 1) * APART if about.whole else WIDE
    idle = step not in about.active
    axes.add_patch(
        FancyBboxPatch(
            (x - WIDE / 2, y - HIGH / 2),
            width,
            HIGH,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor="white" if idle else COLORS[about.kind],
            edgecolor="#999999" if idle else "#444444",
            linestyle=":" if idle else "-",
        )
    )


def arrow(axes: Axes, row: int, step: int, link: tuple[int, int, str]) -> None:
    """Draw what a step of a row gets from another box."""
    down, back, style = link
    x, y = middle(row + down, step + back)
    to_x, to_y = middle(row, step)
    if down:
        y, to_y = (y + HIGH / 2, to_y - HIGH / 2) if down < 0 else (y - HIGH / 2, to_y + HIGH / 2)
    else:
        x, to_x = x - back * WIDE / 2, to_x + back * WIDE / 2
    look = {"color": "#444444", "linewidth": 1, "linestyle": style, "shrinkA": 1, "shrinkB": 1}
    axes.add_patch(FancyArrowPatch((x, y), (to_x, to_y), arrowstyle="-|>", mutation_scale=9, **look))


def draw(rows: tuple[Row, ...], path: Path) -> None:
    """Draw one figure."""
    figure, axes = plt.subplots(figsize=(6.4, 0.62 * len(rows) + 0.3))
    for number, row in enumerate(rows):
        axes.text(-WIDE / 2 - 0.25, number * ABOVE, row.label, ha="right", va="center", fontsize=9)
        for step in range(1 if row.whole else STEPS):
            if row.kind == "answer" and step not in row.active:
                continue
            box(axes, number, row, step)
        for step in range(STEPS) if number else ():
            for link in LINKS[row.link]:
                there = step + link[1]
                idle = step not in row.active and link[0]  # it still hands on what it has
                if 0 <= there < STEPS and not idle:
                    arrow(axes, number, step, link)
    for step in range(STEPS):
        axes.text(step * APART, -0.55, f"step {step + 1}", ha="center", va="center", fontsize=8)
    axes.set_xlim(-4.6, (STEPS - 1) * APART + WIDE / 2 + 0.1)
    axes.set_ylim(-0.8, (len(rows) - 1) * ABOVE + 0.4)
    axes.set_axis_off()
    figure.subplots_adjust(0, 0, 1, 1)
    figure.savefig(path, facecolor="white", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def main() -> None:
    """Draw all, or some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="default all")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "idea", "font.family": "sans-serif"}
    for name in options.models or FIGURES:
        draw(FIGURES[name], options.out / f"{name}.svg")


if __name__ == "__main__":
    main()
