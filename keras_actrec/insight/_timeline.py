"""What a model did over time, in panels above one another on one axis."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from keras_actrec.insight._skeleton import response_of
from keras_actrec.insight.explain import OPERATIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from keras_actrec.insight.explain import Explanation

_LAYER, _TEMPERATURE, _GATES, _RELATION, _PROBABILITY = 0.17, 0.5, 1.1, 0.09, 1.1  # inches
_ROOM = 0.34  # of a panel's title and of what is between two
_AXIS = 0.42  # of the numbers below
_CURVES = 5  # joints

# Of classes and joints, best first: the name of a theme's color, the style of the line, and a marker with
# what stands for it in text. Nothing is told by color alone.
LINES = (
    ("first", "-", "o", "●"),
    ("second", "--", "s", "■"),
    ("third", "-.", "^", "▲"),
    ("fourth", ":", "D", "◆"),
    ("fifth", (0, (5, 1, 1, 1, 1, 1)), "v", "▼"),
    ("ink", (0, (1, 2)), "P", "✚"),
)
Theme: TypeAlias = dict[str, str]


@dataclass(frozen=True, eq=False)
class _Panel:
    """A title, a height in inches, and what draws it."""

    title: str
    height: float
    draw: Callable[["Axes", Theme], None]


class Timeline:
    """The steps of an explanation that count, on an axis of seconds, or of numbers where these do not rise.

    Attributes:
        at: where each step is, `(T,)`.
        edges: where it begins and ends, `(T + 1,)`.
        unit: of the axis.
        lines: names, scores and colors' names of the classes whose probabilities are drawn.
        titles: of the panels.
        height: of all panels, in inches.
    """

    def __init__(self, explanation: "Explanation") -> None:
        self._explanation, mask = explanation, explanation.mask
        self.at, self.unit = times_of(explanation)
        middles = (self.at[1:] + self.at[:-1]) / 2
        ends = self._ends(middles)
        self.edges = np.concatenate([ends[:1], middles, ends[1:]])
        self.lines = lines_of(explanation)
        self._operations = None if explanation.operations is None else explanation.operations[mask]
        self._panels = self._made(mask)
        self.titles = [panel.title for panel in self._panels]
        self.height = sum(panel.height + _ROOM for panel in self._panels) + _AXIS

    def _ends(self, middles: np.ndarray) -> np.ndarray:
        if not len(middles):
            return self.at[0] + np.array([-0.5, 0.5])
        return np.array([2 * self.at[0] - middles[0], 2 * self.at[-1] - middles[-1]])

    def _made(self, mask: np.ndarray) -> list[_Panel]:
        explanation, panels = self._explanation, list[_Panel]()
        if explanation.boundaries is not None:
            layers = explanation.boundaries.shape[1]
            title = "boundaries" if self._operations is None else "what each layer did"
            panels.append(_Panel(title, _LAYER * layers, self._boundaries))
        if explanation.temperature is not None:
            panels.append(_Panel("temperature of the attention", _TEMPERATURE, self._temperature))
        if explanation.gates is not None:
            title = "response of the gates" if explanation.joints is None else "response of the joints"
            panels.append(_Panel(title, _GATES, self._gates if explanation.joints is None else self._joints))
        if explanation.relations:
            height = _RELATION * len(explanation.relations) + 0.1
            panels.append(_Panel("relations among frames", height, self._relations))
        if explanation.steps is not None:
            panels.append(_Panel("probability", _PROBABILITY, self._probability))
        return panels

    def draw(self, figure: "Figure | SubFigure", theme: Theme) -> None:
        """Draws all panels."""
        heights = [panel.height for panel in self._panels]
        rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axes, panel in zip(rows, self._panels, strict=True):
            look = {"fontsize": 8, "color": theme["muted"], "loc": "left", "pad": 3, "parse_math": False}
            axes.set_title(panel.title, **look)
            axes.set_facecolor("none")
            axes.tick_params(length=0, labelsize=7.5, labelcolor=theme["muted"])
            for spine in axes.spines.values():
                spine.set(color=theme["line"], linewidth=0.8)
            panel.draw(axes, theme)
        rows[-1].set_xlim(self.edges[0], self.edges[-1])
        rows[-1].set_xlabel(self.unit, fontsize=8, color=theme["muted"])
        if self.unit == "step":
            rows[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)

    def _boundaries(self, axes: "Axes", theme: Theme) -> None:
        """A row a layer, the lowest one at the bottom: as much of its height as units that did each thing."""
        assert self._explanation.boundaries is not None
        layers = self._explanation.boundaries.shape[1]
        for layer in range(layers):
            if self._operations is None:
                closed = self._explanation.boundaries[self._explanation.mask, layer]
                axes.stairs(layer + 0.85 * closed, self.edges, baseline=layer, fill=True, color=theme["ink"])
                continue
            low = np.full(len(self.at), float(layer))
            for number, name in enumerate(OPERATIONS):
                high = low + 0.85 * self._operations[:, layer, number]
                color = theme[name]
                axes.stairs(high, self.edges, baseline=low, fill=True, color=color, linewidth=0)
                low = high
        axes.set_ylim(-0.1, layers - 0.05)
        axes.set_yticks(np.arange(layers) + 0.42, [f"layer {number}" for number in range(1, layers + 1)])

    def _temperature(self, axes: "Axes", theme: Theme) -> None:
        assert self._explanation.temperature is not None
        values = self._explanation.temperature[self._explanation.mask]
        low, high = _span(values)
        room = 0.15 * (high - low)
        axes.set_ylim(low - room, high + room)
        axes.set_yticks([low, high], [f"{low:.2f}", f"{high:.2f}"])
        axes.plot(self.at, values, color=theme["ink"], linewidth=1.2, marker="o", markersize=2.5)

    def _gates(self, axes: "Axes", theme: Theme) -> None:
        assert self._explanation.gates is not None
        gates = self._explanation.gates[self._explanation.mask]
        response = gates / np.maximum(gates.mean(axis=0), 1e-12)
        grid = np.arange(response.shape[1] + 1)
        axes.pcolormesh(self.edges, grid, response.T, cmap="viridis", vmin=0, vmax=2, rasterized=True)
        axes.set_yticks([])
        axes.set_ylabel(f"{response.shape[1]} elements", fontsize=8, color=theme["muted"])

    def _joints(self, axes: "Axes", theme: Theme) -> None:
        """The joints whose response changes most, in color, the others in gray."""
        response = response_of(self._explanation)[self._explanation.mask]
        order = np.argsort(-np.ptp(response, axis=0), kind="stable")
        axes.plot(self.at, response[:, order[_CURVES:]], color=theme["line"], linewidth=0.7)
        body = self._explanation.body
        for number, joint in enumerate(order[:_CURVES]):
            color, style, _, _ = LINES[number]
            name = f"joint {joint}" if body is None else _joint(body.joints, int(joint))
            axes.plot(
                self.at, response[:, joint], color=theme[color], linestyle=style, linewidth=1.3, label=name
            )
        axes.axhline(1, color=theme["muted"], linewidth=0.6, linestyle=":")
        look = {"fontsize": 7, "labelcolor": theme["muted"], "frameon": False, "handlelength": 1.6}
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.02), ncols=3, borderaxespad=0, **look)

    def _relations(self, axes: "Axes", theme: Theme) -> None:
        """A row a relation: its frames, joined, the darker the more it says."""
        relations = self._explanation.relations
        most = max(abs(each.evidence) for each in relations) or 1
        for row, each in enumerate(relations):
            kind = "true" if each.evidence >= 0 else "predicted"
            alpha = 0.12 + 0.88 * abs(each.evidence) / most
            look = {"color": theme[kind], "alpha": alpha, "linewidth": 1.2, "markersize": 3}
            marker = "o" if each.evidence >= 0 else "s"
            axes.plot(self.at[list(each.frames)], [row] * len(each.frames), marker=marker, **look)
        sizes = [len(each.frames) for each in relations]
        starts = [sizes.index(size) for size in sorted(set(sizes))]
        middles = [start + (sizes.count(sizes[start]) - 1) / 2 for start in starts]
        totals = [sum(r.evidence for r in relations if len(r.frames) == sizes[start]) for start in starts]
        names = [f"{sizes[start]}: {total:+.2f}" for start, total in zip(starts, totals, strict=True)]
        axes.set_yticks(middles, names)
        axes.set_ylim(len(relations) - 0.4, -0.6)

    def _probability(self, axes: "Axes", theme: Theme) -> None:
        assert self._explanation.steps is not None
        steps = self._explanation.steps[self._explanation.mask]
        axes.set_ylim(-0.06, 1.06)  # room for a marker
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.axhline(0.5, color=theme["line"], linewidth=0.8)
        for line in reversed(self.lines):  # the best one lies above
            look = {"color": theme[line.color], "linestyle": line.style, "marker": line.marker}
            look["markevery"] = max(1, len(steps) // 20)
            axes.plot(self.at, steps[:, line.number], linewidth=1.4, markersize=3, label=line.name, **look)


@dataclass(frozen=True)
class ClassLine:
    """A class whose probability is drawn, and how.

    Attributes:
        name: of the class.
        number: its id.
        rank: 1 is the best.
        score: of the whole clip.
        color: name of a color of a theme.
        style: of the line.
        marker: of the points.
        sign: what stands for the marker in text.
        true: whether it is what the clip shows.
    """

    name: str
    number: int
    rank: int
    score: float
    color: str
    style: Any
    marker: str
    sign: str
    true: bool


def lines_of(explanation: "Explanation") -> list[ClassLine]:
    """The five best classes, and the true one where it is none of them."""
    order = np.argsort(-explanation.scores, kind="stable").tolist()
    names = list(explanation.class_names)
    shown = order[:5]
    if explanation.true_label is not None and names.index(explanation.true_label) not in shown:
        shown.append(names.index(explanation.true_label))
    lines = []
    for place, number in enumerate(shown):
        color, style, marker, sign = LINES[place]
        score, rank = float(explanation.scores[number]), order.index(number) + 1
        true = names[number] == explanation.true_label
        lines.append(ClassLine(names[number], number, rank, score, color, style, marker, sign, true))
    return lines


def times_of(explanation: "Explanation") -> tuple[np.ndarray, str]:
    """Where the steps that count are on the axis, and its unit: numbers where seconds do not rise."""
    seconds, mask = explanation.seconds, explanation.mask
    if seconds is not None and (np.diff(seconds[mask]) > 0).all():
        return np.asarray(seconds[mask], "float64"), "seconds"
    return np.arange(1.0, mask.sum() + 1), "step"


def caption(explanation: "Explanation", step: int) -> str:
    """What stands below a frame: its time, or its number."""
    at, unit = times_of(explanation)
    number = int(explanation.mask[:step].sum())
    return f"{at[number]:.2f} s" if unit == "seconds" else f"step {number + 1}"


def _joint(names: tuple[str, ...], number: int) -> str:
    person, joint = divmod(number, len(names))
    name = names[joint].replace("_", " ")
    return name if person == 0 else f"{name}, person {person + 1}"


def _span(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value, at least .1 apart, so that an axis does not blow noise up."""
    low, high = float(values.min()), float(values.max())
    room = max(0.1 - (high - low), 0) / 2
    return low - room, high + room
