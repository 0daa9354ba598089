"""Pictures of a clip, as PNG files in data URIs.

Drawn with `matplotlib.figure.Figure` and not with pyplot: no global state and no choice of a window system.
Sizes are in CSS pixels; what is stored has twice as many, for sharp screens. Text is drawn with
`parse_math=False`, as a class may be called `$x$`.
"""

import base64
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from keras_actrec.insight.explain import Explanation

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
    },
    "dark": {
        "page": "#14171a",
        "card": "#1b1f23",
        "ink": "#e4e7eb",
        "muted": "#a0a9b4",
        "line": "#3a4149",
        "true": "#56b4e9",
        "predicted": "#f0a23c",
    },
}
OUTLINE = "#ff2bd6"  # of the looked-at cell: no such color in the heat map, rare in videos

_WIDTH, _LEFT, _RIGHT = 440, 46, 6  # of one block of steps, and its margins: text has this size at this width
_STEPS = 6  # of one block at most: it fits a phone, and two fit side by side elsewhere
_TITLE, _GAP = 17, 7
_LAYER, _TEMPERATURE, _PROBABILITY, _NUMBERS = 15, 44, 76, 15
_HEAT = 0.6  # opacity of the strongest attention: what was looked at stays visible

# The color's name, the class name and the probability at every step.
Line: TypeAlias = tuple[str, str, np.ndarray]


@dataclass(frozen=True)
class Picture:
    """A PNG for a light page and one for a dark page, with its size in CSS pixels and its text."""

    light: str
    dark: str
    width: int
    height: int
    alt: str


def clip_blocks(explanation: "Explanation") -> list[tuple[Picture, Picture]]:
    """Draws the steps of a clip that count, cut into blocks of at most `_STEPS`.

    Returns:
        Frames with attention, and the charts below them on the same time axis.
    """
    mask = explanation.mask
    steps = _Steps(
        frames=explanation.frames[mask],
        attention=None if explanation.attention is None else explanation.attention[mask],
        boundaries=None if explanation.boundaries is None else explanation.boundaries[mask],
        temperature=None if explanation.temperature is None else explanation.temperature[mask],
        lines=_lines(explanation),
    )
    count = len(steps.frames)
    size = max(3, math.ceil(count / math.ceil(count / _STEPS)))  # fewer would be huge
    return [
        (_frames(steps, start, start + size), _charts(steps, start, start + size))
        for start in range(0, count, size)
    ]


@dataclass(frozen=True)
class _Steps:
    """What is drawn of a clip, without its padding."""

    frames: np.ndarray
    attention: np.ndarray | None
    boundaries: np.ndarray | None
    temperature: np.ndarray | None
    lines: list[Line]


def _lines(explanation: "Explanation") -> list[Line]:
    names, steps = list(explanation.class_names), explanation.steps[explanation.mask]
    lines = []
    if explanation.true_label is not None:
        lines.append(("true", explanation.true_label, steps[:, names.index(explanation.true_label)]))
    if explanation.label != explanation.true_label:
        lines.append(("predicted", explanation.label, steps[:, names.index(explanation.label)]))
    return lines


def _frames(steps: _Steps, start: int, stop: int) -> Picture:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    shape = steps.frames.shape
    cell = (_WIDTH - _LEFT - _RIGHT) / (stop - start)
    height = round(cell * shape[1] / shape[2])
    figure = Figure(figsize=(_WIDTH / 100, height / 100))
    axes = figure.add_axes((_LEFT / _WIDTH, 0, 1 - (_LEFT + _RIGHT) / _WIDTH, 1))
    axes.axis("off")
    shown = range(start, min(stop, len(steps.frames)))
    for step in shown:
        box = (step + 0.025, step + 0.975, 0, 1)
        axes.imshow(steps.frames[step], extent=box, interpolation="antialiased")
        if steps.attention is None:
            continue
        shares = steps.attention[step]
        axes.imshow(_heat(shares), extent=box, interpolation="nearest")
        rows, columns = shares.shape
        row, column = divmod(int(shares.argmax()), columns)
        width = 0.95 / columns
        corner = box[0] + column * width, 1 - (row + 1) / rows
        for color, thick in (("black", 1.8), (OUTLINE, 0.9)):
            axes.add_patch(Rectangle(corner, width, 1 / rows, fill=False, edgecolor=color, linewidth=thick))
    axes.set(xlim=(start, stop), ylim=(0, 1), aspect="auto")
    alt = f"Frames {start + 1} to {shown[-1] + 1}."
    if steps.attention is not None:
        cells = [divmod(int(a.argmax()), a.shape[1]) for a in steps.attention[start : shown[-1] + 1]]
        most = ", ".join(f"{row + 1}/{column + 1}" for row, column in cells)
        alt += f" Most attention in row/column {most} of {rows} x {columns} cells."
    png = _png(figure)
    return Picture(png, png, _WIDTH, height, alt)


def _heat(shares: np.ndarray) -> np.ndarray:
    """Colors `(K, K, 4)` to lay over a frame: the larger a share, the brighter and the less clear."""
    from matplotlib import colormaps

    strength = shares / shares.max()
    colors = colormaps["inferno"](0.5 + 0.45 * strength)
    colors[..., 3] = _HEAT * strength
    return colors


def _charts(steps: _Steps, start: int, stop: int) -> Picture:
    pngs = {name: _png(_chart(steps, start, stop, theme)) for name, theme in THEMES.items()}
    shown = slice(start, stop)
    parts = []
    if steps.boundaries is not None:
        for number, shares in enumerate(steps.boundaries.T, 1):
            parts.append(f"Boundaries of layer {number}: {_numbers(shares[shown])}.")
    if steps.temperature is not None:
        parts.append(f"Temperature: {_numbers(steps.temperature[shown])}.")
    parts += [f"Probability of {name}: {_numbers(values[shown])}." for _, name, values in steps.lines]
    last = min(stop, len(steps.frames))
    alt = " ".join([f"Steps {start + 1} to {last}.", *parts])
    return Picture(**pngs, width=_WIDTH, height=_height(steps), alt=alt)


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def _height(steps: _Steps) -> int:
    height = _NUMBERS + _TITLE + _PROBABILITY + _GAP
    if steps.boundaries is not None:
        height += _TITLE + _LAYER * steps.boundaries.shape[1] + _GAP
    if steps.temperature is not None:
        height += _TITLE + _TEMPERATURE + _GAP
    return height


def _chart(steps: _Steps, start: int, stop: int, theme: dict[str, str]) -> "Figure":
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    total, count = _height(steps), len(steps.frames)
    figure = Figure(figsize=(_WIDTH / 100, total / 100))
    top = _NUMBERS
    for step in range(start, min(stop, count)):
        x = (_LEFT + (step - start + 0.5) * (_WIDTH - _LEFT - _RIGHT) / (stop - start)) / _WIDTH
        _write(figure, x, 1 - 2 / total, f"{step + 1}", theme["muted"], ha="center", va="top")

    def panel(title: str, height: int) -> "Axes":
        nonlocal top
        _write(figure, _LEFT / _WIDTH, 1 - (top + _TITLE - 4) / total, title, theme["muted"], va="baseline")
        top += _TITLE + height
        axes = figure.add_axes(
            (_LEFT / _WIDTH, 1 - top / total, 1 - (_LEFT + _RIGHT) / _WIDTH, height / total)
        )
        top += _GAP
        axes.set_facecolor("none")
        axes.set_xlim(start, stop)
        axes.set_xticks(range(start, stop + 1), [""] * (stop + 1 - start))
        axes.tick_params(length=0, labelsize=_points(11), labelcolor=theme["muted"], pad=4)
        for spine in axes.spines.values():
            spine.set(color=theme["line"], linewidth=0.8)
        return axes

    if steps.boundaries is not None:
        layers = steps.boundaries.shape[1]
        axes = panel("boundaries", _LAYER * layers)
        axes.pcolormesh(
            np.arange(count + 1),
            np.arange(layers + 1),
            steps.boundaries.T,
            cmap=LinearSegmentedColormap.from_list("shares", [theme["card"], theme["ink"]]),
            vmin=0,
            vmax=1,
            edgecolors=theme["line"],
            linewidth=0.8,
        )
        axes.set_yticks(np.arange(layers) + 0.5, [f"layer {number}" for number in range(1, layers + 1)])
    centers = np.arange(count) + 0.5
    if steps.temperature is not None:
        axes = panel("temperature", _TEMPERATURE)
        low, high = _span(steps.temperature)
        room = 0.15 * (high - low)
        axes.set_ylim(low - room, high + room)
        axes.set_yticks([low, high], [f"{low:.2f}", f"{high:.2f}"])
        axes.plot(centers, steps.temperature, color=theme["ink"], linewidth=1.2, marker="o", markersize=2.5)
    axes = panel("probability", _PROBABILITY)
    axes.set_ylim(-0.06, 1.06)  # room for a marker
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.axhline(0.5, color=theme["line"], linewidth=0.8)
    for kind, _, values in steps.lines:
        axes.plot(
            centers,
            values,
            color=theme[kind],
            linewidth=1.6,
            linestyle="-" if kind == "true" else "--",
            marker="o" if kind == "true" else "s",
            markersize=4,
        )
    return figure


def _span(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value, at least .1 apart, so that an axis does not blow noise up."""
    low, high = float(values.min()), float(values.max())
    room = max(0.1 - (high - low), 0) / 2
    return low - room, high + room


def _points(pixels: float) -> float:
    return pixels * 0.72  # a figure has 100 pixels an inch here


def _write(figure: "Figure", x: float, y: float, text: str, color: str, **where: Any) -> None:
    figure.text(x, y, text, color=color, fontsize=_points(11), parse_math=False, **where)


def _png(figure: "Figure") -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=200, transparent=True, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
