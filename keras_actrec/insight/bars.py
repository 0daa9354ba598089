"""Bars: rows of a table beside the paper's, and clips of each label."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_actrec._types import PathLike
from keras_actrec.errors import UserError
from keras_actrec.evaluation import student_interval
from keras_actrec.insight import _figures


def draw_bars(
    ours: Mapping[str, Sequence[float]],
    path: PathLike,
    *,
    printed: Mapping[str, float] | None = None,
    y: str = "accuracy",
    title: str = "",
) -> Path:
    """Draw a bar a row, the mean of its figures with the 95 % interval over them (Student), and the paper's.

    Args:
        ours: what each row is called, and its figures: one, or one a seed.
        path: the picture.
        printed: the paper's figures of the same rows, drawn as the paper's.
        y: what the figures are.
        title: above it.

    Raises:
        UserError: no row has a figure; matplotlib is missing.
    """
    if not any(ours.values()):
        raise UserError("`ours` must hold a row with figures. Received: none")
    printed = printed or {}
    figure = _figures.new_figure(1.5 + 1.1 * len(ours), 4)
    axes = figure.subplots()
    names, look = _figures.words(ours)
    bars = {}
    for number, (row, figures) in enumerate(ours.items()):
        if figures:
            mean, half = student_interval(figures) if len(figures) > 1 else (figures[0], None)
            bars["here"] = axes.bar(number - 0.2, mean, 0.4, yerr=half, color=_figures.LINES[0], capsize=3)
        if row in printed:
            place = axes.bar(number + 0.2, printed[row], 0.4, color=_figures.COLORS["line"])
            bars["printed in the paper"] = place
    axes.set_xticks(range(len(ours)), names, **look)
    _figures.plain(axes, "", y)
    figure.legend(bars.values(), bars.keys(), frameon=False, ncols=2, loc="outside lower right")
    _figures.head(figure, title)
    return _figures.save(figure, path)


def draw_counts(classes: Mapping[str, int], path: PathLike, *, title: str = "") -> Path:
    """Draw how many clips each label has, the most frequent one first.

    Args:
        classes: label to number of clips, as `Audit.classes`.
        path: the picture.
        title: above it.

    Raises:
        UserError: there is no clip; matplotlib is missing.
    """
    if not any(classes.values()):
        raise UserError("`classes` must hold a label with a clip. Received: none")
    ordered = sorted(classes.items(), key=lambda pair: -pair[1])
    few = len(ordered) <= 40  # labels that can be read
    figure = _figures.new_figure(max(7, 0.28 * len(ordered)) if few else 9, 4.5)
    axes = figure.subplots()
    names, look = _figures.words(name for name, _ in ordered)
    axes.bar(range(len(ordered)), [count for _, count in ordered], color=_figures.LINES[0], width=0.8)
    _figures.plain(axes, "" if few else f"{len(ordered)} labels, by frequency", "clips")
    axes.set_xlim(-0.6, len(ordered) - 0.4)
    if few:
        axes.set_xticks(range(len(ordered)), names, rotation=55, ha="right", rotation_mode="anchor", **look)
    else:
        axes.set_xticks([])
    axes.yaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    _figures.head(figure, title)
    return _figures.save(figure, path)
