"""A picture of an explanation for print."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_actrec._files import replacing
from keras_actrec._types import PathLike
from keras_actrec.insight import _figures, _overlay
from keras_actrec.insight._clips import stage_of, steps_of, write_animation
from keras_actrec.insight._pictures import THEMES
from keras_actrec.insight._timeline import Timeline, caption
from keras_actrec.insight.explain import OPERATIONS, Explanation

if TYPE_CHECKING:  # the extra viz
    from matplotlib.figure import SubFigure

_COLUMNS = 6  # frames in a row
_WIDTH = 7.0  # inches, of a page's text


def draw_explanation(
    explanation: Explanation, path: PathLike, *, title: str | None = None, dark: bool = False
) -> Path:
    """Draw what a model saw: frames with what it looked at, or skeletons, over what it did in time.

    In the manner of figures 10 and 11 of HM-AN and of figure 3 of EleAttG. Six steps are shown, evenly but
    for the one with most evidence, in a row for each thing that is laid over frames. Colors and markers are
    safe for color-blind readers, names may be in any script that a font here has.

    Args:
        explanation: what `explain` returned.
        path: ends in `.png`, `.pdf` or `.svg`; or in `.gif`, for an animation without what happened in time.
        title: above it; by default the answer, and the true class where it is known.
        dark: whether it is for a dark page or slide; an animation is for a light one.

    Returns:
        The picture.

    Raises:
        UserError: for another suffix, or where matplotlib is missing.
    """
    path = _figures.check_path(path, also=(".gif",))
    if path.suffix.lower() == ".gif":
        return _animated(explanation, path)
    shown, theme = Timeline(explanation), THEMES["dark" if dark else "light"]
    rows = _rows(explanation)
    heights = [*([sum(rows)] if rows else []), *([shown.height + 0.6] if shown.titles else [])]
    figure = _figures.new_figure(_WIDTH, sum(heights) + 0.5)
    figure.set_facecolor(theme["card"])
    parts = np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights)).tolist()
    if rows:
        _draw_rows(explanation, parts.pop(0), rows, theme)
    if shown.titles:
        _draw_timeline(shown, parts.pop(0), theme)
    _figures.head(figure, _title(explanation) if title is None else title, theme["ink"])
    return _figures.save(figure, path)


def _animated(explanation: Explanation, path: Path) -> Path:
    _figures.new_figure(1, 1)  # says what is missing
    with replacing(path) as part:
        write_animation(explanation, part)
    return path


def _title(explanation: Explanation) -> str:
    answer = f"{explanation.model_name}: {explanation.label} {explanation.score:.2f}"
    return answer if explanation.true_label is None else f"{answer}, true class {explanation.true_label}"


def _rows(explanation: Explanation) -> list[float]:
    """Heights of the rows of frames or skeletons, in inches."""
    side = _WIDTH / _COLUMNS
    if explanation.joints is not None:
        return [side + 0.25]
    layers = _overlay.layers_of(explanation)
    if explanation.frames is None:
        return [side + 0.25] * len(layers)
    height, width = explanation.frames.shape[1:3]
    return [min(side * height / width, 2 * side) + 0.25] * max(len(layers), 1)


def _draw_rows(
    explanation: Explanation, figure: "SubFigure", rows: list[float], theme: dict[str, str]
) -> None:
    steps = steps_of(explanation, _COLUMNS)
    stage = None if explanation.joints is None else stage_of(explanation)
    layers: list[_overlay.Layer | None] = [*_overlay.layers_of(explanation)] or [None]
    grid = figure.subplots(len(rows), _COLUMNS, squeeze=False)
    for row, layer in zip(grid, layers, strict=False):
        for axes, step in zip(row, steps, strict=False):
            if stage is None:
                axes.imshow(_overlay.draw_on(explanation, layer, step), interpolation="antialiased")
            else:
                stage.draw(axes, int(explanation.mask[:step].sum()), theme, size=0.4)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(stage is not None)
            axes.set_xlabel(caption(explanation, step), fontsize=7.5, color=theme["muted"], labelpad=2)
        for axes in row[len(steps) :]:
            axes.set_axis_off()
        if layer is not None and stage is None:
            words = layer.name.partition(" of ")[0]  # names of layers are longer than frames are high
            row[0].set_ylabel(words, fontsize=7.5, color=theme["muted"], parse_math=False)


def _draw_timeline(shown: Timeline, figure: "SubFigure", theme: dict[str, str]) -> None:
    """The panels, and below them what their colors mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown.draw(figure, theme)
    texts, look = _figures.words(line.name for line in shown.lines)
    handles = []
    if "probability" in shown.titles:
        handles += [
            Line2D(
                [],
                [],
                color=theme[line.color],
                linestyle=line.style,
                marker=line.marker,
                markersize=3,
                label=f"{text} {line.score:.2f}",
            )
            for line, text in zip(shown.lines, texts, strict=True)
        ]
    if "what each layer did" in shown.titles:
        handles += [Patch(color=theme[name], label=name) for name in OPERATIONS]
    if handles:
        legend = figure.legend(
            handles=handles, loc="outside lower left", ncols=4, frameon=False, fontsize=7.5
        )
        for text in legend.get_texts():
            text.set(color=theme["ink"], **look)
