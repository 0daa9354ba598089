"""Pictures of a clip and of a confusion matrix, as PNG files in data URIs.

Drawn with `matplotlib.figure.Figure` and not with pyplot: no global state and no choice of a window system.
Sizes are in CSS pixels; what is stored has twice as many, for sharp screens. Text is drawn with
`parse_math=False`, as a class may be called `$x$`.
"""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_actrec._fonts import lettering

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_actrec.evaluation import Evaluation

# Page and charts share their colors. The two lines are from Okabe and Ito's palette for the color-blind.
THEMES = {
    "light": {
        "page": "#fcfcfb",
        "card": "#ffffff",
        "ink": "#20252b",
        "muted": "#5a636e",
        "line": "#d5dae0",
        "true": "#0072b2",
        "predicted": "#c84e00",
        "first": "#0072b2",
        "second": "#c84e00",
        "third": "#00785a",
        "fourth": "#a8487f",
        "fifth": "#866800",
        "UPDATE": "#0072b2",
        "COPY": "#d5dae0",
        "FLUSH": "#e0731d",
    },
    "dark": {
        "page": "#14171a",
        "card": "#1b1f23",
        "ink": "#e4e7eb",
        "muted": "#a0a9b4",
        "line": "#3a4149",
        "true": "#56b4e9",
        "predicted": "#f0a23c",
        "first": "#56b4e9",
        "second": "#f0a23c",
        "third": "#35c79a",
        "fourth": "#e39fc5",
        "fifth": "#f0e442",
        "UPDATE": "#56b4e9",
        "COPY": "#3a4149",
        "FLUSH": "#f0a23c",
    },
}
_COUNTS = {"light": "magma_r", "dark": "magma"}  # both from the page's color to the far end


@dataclass(frozen=True)
class Picture:
    """A PNG for a light page and one for a dark page, with its size in CSS pixels and its text."""

    light: str
    dark: str
    width: int
    height: int
    alt: str


def confusion(evaluation: "Evaluation") -> Picture:
    """Draws a confusion matrix: counts, colored by their share of the row."""
    pngs = {name: _png(_confusion(evaluation, name), tight=True) for name in THEMES}
    width, height = _png_size(pngs["light"])
    return Picture(
        **pngs,
        width=width,
        height=height,
        alt=f"Confusion matrix of {evaluation.name}. The table of classes below it has its numbers.",
    )


def _confusion(evaluation: "Evaluation", page: str) -> "Figure":
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    theme = THEMES[page]
    counts = np.asarray(evaluation.confusion)
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = 30 if classes <= 20 else 22
    side = max(cell * classes, 120)
    figure = Figure(figsize=(side / 100, side / 100))
    axes = figure.add_axes((0, 0, 1, 1))
    colors = colormaps[_COUNTS[page]](0.1 + 0.75 * shares)
    colors[counts == 0] = 0  # clear
    axes.imshow(colors, interpolation="nearest", aspect="auto")
    for row, column in zip(*np.nonzero(counts), strict=True):
        ink = "black" if colors[row, column, :3] @ (0.299, 0.587, 0.114) > 0.5 else "white"
        size = _points(11 if counts[row, column] < 1000 else 8)
        axes.text(column, row, f"{counts[row, column]}", color=ink, fontsize=size, ha="center", va="center")
    names, families = lettering(evaluation.class_names, number_of)
    look = {"color": theme["ink"], "fontsize": _points(11), "fontfamily": families, "parse_math": False}
    axes.set_xticks(range(classes), names, rotation=55, ha="right", rotation_mode="anchor", **look)
    axes.set_yticks(range(classes), names, **look)
    for axis, label in ((axes.xaxis, "predicted class"), (axes.yaxis, "true class")):
        axis.set_label_text(label, color=theme["muted"], fontsize=_points(11))
    axes.set_xticks(np.arange(classes - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(classes - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=theme["line"], linewidth=0.6)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set(color=theme["line"], linewidth=0.6)
    return figure


def reliability(evaluation: "Evaluation") -> Picture:
    """Draws a reliability diagram, and how many clips each of its bars is made from."""
    pngs = {name: _png(_reliability(evaluation, name)) for name in THEMES}
    width, height = _png_size(pngs["light"])
    counts, confidence, accuracy = evaluation.calibration
    shares = [
        f"{count} with {sure:.0%} on average, {right:.0%} right"
        for count, sure, right in zip(counts, confidence, accuracy, strict=True)
        if count
    ]
    alt = f"Reliability diagram of {evaluation.name}. Clips by the answer's probability: {'; '.join(shares)}."
    return Picture(**pngs, width=width, height=height, alt=alt)


def _reliability(evaluation: "Evaluation", page: str) -> "Figure":
    from matplotlib.figure import Figure

    theme = THEMES[page]
    counts, _, accuracy = evaluation.calibration
    edges = np.linspace(0, 1, len(counts) + 1)
    figure = Figure(figsize=(3.6, 4.2))
    top, bottom = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    figure.subplots_adjust(left=0.16, right=0.97, top=0.98, bottom=0.12, hspace=0.08)
    bar = {"width": np.diff(edges), "align": "edge", "color": theme["true"]}
    top.bar(edges[:-1], accuracy, edgecolor=theme["page"], **bar)
    top.plot((0, 1), (0, 1), color=theme["muted"], linewidth=1, linestyle="--")
    bottom.bar(edges[:-1], counts, edgecolor=theme["page"], **bar)
    top.set(xlim=(0, 1), ylim=(0, 1))
    bottom.yaxis.get_major_locator().set_params(integer=True, nbins=2)
    for axis, label in (
        (top.yaxis, "share that is right"),
        (bottom.yaxis, "clips"),
        (bottom.xaxis, "probability of the answer"),
    ):
        axis.set_label_text(label, color=theme["muted"], fontsize=_points(11))
    for axes in (top, bottom):
        axes.tick_params(length=0, labelsize=_points(11), labelcolor=theme["ink"])
        axes.set_facecolor("none")
        for spine in axes.spines.values():
            spine.set(color=theme["line"], linewidth=0.6)
    return figure


def number_of(label: int) -> str:
    """What stands in pictures for a class whose name no font has."""
    return f"#{label}"


def not_drawn(class_names: Iterable[str]) -> list[str]:
    """For each class the number that stands in pictures for it; empty where its name does."""
    texts, _ = lettering(class_names, number_of)
    return [text if text == number_of(label) else "" for label, text in enumerate(texts)]


def _points(pixels: float) -> float:
    return pixels * 0.72  # a figure has 100 pixels an inch here


def _png(figure: "Figure", tight: bool = False) -> str:
    file = io.BytesIO()
    how = {"bbox_inches": "tight", "pad_inches": 0.05} if tight else {}
    figure.savefig(file, format="png", dpi=200, transparent=True, metadata={"Software": None}, **how)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _png_size(uri: str) -> tuple[int, int]:
    """Width and height in CSS pixels, from the file's header."""
    header = base64.b64decode(uri.partition(",")[2][:64])
    width, height = (round(int.from_bytes(header[at : at + 4], "big") / 2) for at in (16, 20))
    return width, height
