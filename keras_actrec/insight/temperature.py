"""The adaptive temperature of a Gumbel-softmax, step by step."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_actrec._types import PathLike
from keras_actrec.errors import UserError
from keras_actrec.insight import _figures

if TYPE_CHECKING:
    from pathlib import Path

    from keras_actrec.insight.explain import Explanation

UNTRAINED = 1 / (math.log(2) + 1)  # of the softplus of 0, whatever the query: .591


def draw_temperature(
    explanations: Sequence["Explanation"],
    path: PathLike,
    *,
    printed: Sequence[float] = (),
    title: str = "",
) -> "Path":
    """Draw the temperature of each clip by step, beside that of a model that was never trained.

    `tau = 1 / (softplus(w h + b) + 1)`, with `w = b = 0` that is `1 / (ln 2 + 1) = 0.591` at every step.

    Args:
        explanations: what `explain` returned, of models with an adaptive temperature.
        path: the picture.
        printed: the paper's temperatures by step, drawn as the paper's.
        title: above it.

    Raises:
        UserError: for clips without a temperature; matplotlib is missing.
    """
    if not explanations:
        raise UserError("`explanations` must hold at least one clip. Received: none")
    figure = _figures.new_figure(7, 4)
    axes = figure.subplots()
    names, look = _figures.words(each.true_label or each.path.name for each in explanations)
    for number, (each, name) in enumerate(zip(explanations, names, strict=True)):
        if each.temperature is None:
            raise UserError(
                f"{each.model_name} has no temperature: train hman with attention=gumbel_adaptive"
            )
        values = each.temperature[each.mask]
        color = _figures.LINES[number % len(_figures.LINES)]
        axes.plot(
            range(1, len(values) + 1),
            values,
            color=color,
            linewidth=1.6,
            marker="o",
            markersize=3,
            label=name,
        )
    if printed:
        steps = range(1, len(printed) + 1)
        axes.plot(
            steps,
            printed,
            color=_figures.COLORS["ink"],
            linewidth=1,
            marker="x",
            label="printed in the paper",
        )
    words = f"untrained: {UNTRAINED:.3f}"
    axes.axhline(UNTRAINED, color=_figures.COLORS["muted"], linewidth=1, linestyle=":", label=words)
    _figures.plain(axes, "step", "temperature")
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for text in axes.legend(frameon=False, fontsize=8, labelcolor=_figures.COLORS["ink"]).get_texts():
        text.set(**look)
    _figures.head(figure, title)
    return _figures.save(figure, path)
