"""Charts of a page as vectors: where lines, bars and points lie, for the template to draw.

Sizes are in the units of a chart's box, which are CSS pixels where it is as wide as that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_actrec.insight._figures import LINES
from keras_actrec.insight.embedding import color_of

if TYPE_CHECKING:
    from keras_actrec.evaluation import Evaluation

# Of runs, on light pages and on dark ones: the same hues.
RUNS = {"light": LINES, "dark": ("#56b4e9", "#f0883e", "#2fc99a", "#e0a0c8", "#f5c542", "#9bb8ff")}

_WIDTH, _HEIGHT = 400, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 32, 36
_FEW = 40  # epochs up to which each has a dot
_TOLD_APART = 20  # classes


@dataclass(frozen=True)
class Line:
    """A line through points `(x, y)`, a mark, or what a legend says of it."""

    name: str
    color: str
    dashed: bool
    points: str
    dots: tuple[tuple[float, float], ...]
    kept: tuple[float, float] | None
    said: str


@dataclass(frozen=True)
class Axes:
    """A box with ticks, pairs of a place and a text, on both sides."""

    x: tuple[tuple[float, str], ...]
    y: tuple[tuple[float, str], ...]
    x_name: str
    y_name: str
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = _HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Curves:
    """A column of the histories of several runs."""

    axes: Axes
    lines: tuple[Line, ...]
    name: str


def curves(runs: Mapping[str, tuple[Mapping[str, Sequence[float]], int | None]]) -> list[Curves]:
    """Accuracy and loss over the epochs, a color a run, the validation part dashed.

    Args:
        runs: what each run is called, its history, and the epoch that it kept, if it has ended.
    """
    runs = {name: run for name, run in runs.items() if run[0].get("epoch")}
    return [
        _curves(column, runs) for column in ("accuracy", "loss") if any(column in h for h, _ in runs.values())
    ]


def _curves(column: str, runs: Mapping[str, tuple[Mapping[str, Sequence[float]], int | None]]) -> Curves:
    columns = (column, f"val_{column}")
    values = [value for history, _ in runs.values() for each in columns for value in history.get(each, ())]
    epochs = max(len(history["epoch"]) for history, _ in runs.values())
    high = 1.0 if column == "accuracy" else max(*values, 1e-9)
    axes = _axes((1, max(epochs, 2)), (0, high), "epoch", column, whole=True)
    lines = []
    for number, (name, (history, kept)) in enumerate(runs.items()):
        for each in (each for each in columns if each in history):
            points = [
                (_x(epoch + 1, (1, max(epochs, 2))), _y(value, (0, high)))
                for epoch, value in zip(history["epoch"], history[each], strict=True)
            ]
            validates = each != column
            words = f"{name}, validation" if validates else name
            lines.append(
                Line(
                    words,
                    f"var(--run-{number % len(LINES)})",
                    validates,
                    _path(points),
                    tuple(points) if len(points) <= _FEW else (),
                    points[kept] if kept is not None and kept < len(points) else None,
                    f"{words}: {history[each][0]:.3f} to {history[each][-1]:.3f}",
                )
            )
    return Curves(axes, tuple(lines), column)


@dataclass(frozen=True)
class Bars:
    """A reliability diagram: bars as `(x, y, width, height, clips, text)`, and the diagonal."""

    axes: Axes
    bars: tuple[tuple[float, float, float, float, int, str], ...]
    diagonal: tuple[float, float, float, float]


def reliability(evaluation: "Evaluation") -> Bars:
    """The share of clips that is right, by the probability of the answer."""
    counts, confidence, accuracy = evaluation.calibration
    edges = np.linspace(0, 1, len(counts) + 1)
    bars = tuple(
        (
            _x(low, (0, 1)) + 1,
            _y(share, (0, 1)),
            _x(high, (0, 1)) - _x(low, (0, 1)) - 2,
            _y(0, (0, 1)) - _y(share, (0, 1)),
            int(count),
            f"{count} with {sure:.0%} on average, {share:.0%} right",
        )
        for low, high, count, sure, share in zip(edges, edges[1:], counts, confidence, accuracy, strict=False)
        if count
    )
    axes = _axes((0, 1), (0, 1), "probability of the answer", "share that is right")
    return Bars(axes, bars, (_x(0, (0, 1)), _y(0, (0, 1)), _x(1, (0, 1)), _y(1, (0, 1))))


@dataclass(frozen=True)
class Plane:
    """Points as `(x, y, color, right, text)`, and the classes with their colors, if not too many."""

    points: tuple[tuple[float, float, str, bool, str], ...]
    classes: tuple[tuple[str, str], ...]
    size: int = _WIDTH


def plane(evaluation: "Evaluation", clips: Sequence[int], points: np.ndarray) -> Plane:
    """Points `(N, 2)` of t-SNE, one for each of some of the clips, in a color a class."""
    from matplotlib.colors import to_hex

    low, high = points.min(axis=0), points.max(axis=0)
    places = 12 + (_WIDTH - 24) * (points - low) / np.maximum(high - low, 1e-9)
    labels, names = evaluation.labels, evaluation.class_names
    present = np.unique(labels[list(clips)]).tolist()
    themed = len(present) <= len(LINES)  # and so brighter on a dark page
    colors = {
        label: f"var(--run-{number})" if themed else to_hex(color_of(number, len(present)))
        for number, label in enumerate(present)
    }
    drawn = []
    for (x, y), clip in zip(places.round(1).tolist(), clips, strict=True):
        label, answer = int(labels[clip]), int(evaluation.predicted[clip])
        text = f"{evaluation.records[clip].path}: {names[label]}"
        if answer != label:
            text += f", answered {names[answer]}"
        drawn.append((x, y, colors[label], answer == label, text))
    few = len(present) <= _TOLD_APART
    return Plane(tuple(drawn), tuple((names[label], colors[label]) for label in present) if few else ())


def _axes(
    x: tuple[float, float], y: tuple[float, float], x_name: str, y_name: str, whole: bool = False
) -> Axes:
    return Axes(
        tuple((_x(value, x), f"{value:g}") for value in _ticks(x, whole)),
        tuple((_y(value, y), f"{value:g}") for value in _ticks(y)),
        x_name,
        y_name,
    )


def _ticks(limits: tuple[float, float], whole: bool = False) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(nbins=6, integer=whole, min_n_ticks=1).tick_values(*limits)
    return [round(value, 10) for value in found.tolist() if limits[0] <= value <= limits[1] + 1e-12]


def _x(value: float, limits: tuple[float, float]) -> float:
    share = (value - limits[0]) / (limits[1] - limits[0])
    return round(float(_LEFT + share * (_WIDTH - _LEFT - _RIGHT)), 1)


def _y(value: float, limits: tuple[float, float]) -> float:
    share = (value - limits[0]) / (limits[1] - limits[0])
    return round(float(_HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)), 1)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
