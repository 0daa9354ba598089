"""Pictures of a study's trials: parallel coordinates, and the importance of the axes."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_actrec._files import replacing
from keras_actrec._fonts import lettering
from keras_actrec.tuning.results import Trial
from keras_actrec.tuning.space import text_of
from keras_actrec.tuning.study import Study

if TYPE_CHECKING:  # the extra viz
    from matplotlib.figure import Figure

_FEWEST = 4  # trials for which pictures say something


def draw(study: Study, trials: Sequence[Trial], out: Path) -> str:
    """Draw them; Markdown that shows them, or why none were drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        return "No pictures: pip install 'keras_actrec[viz]'."
    completed = [trial for trial in trials if trial.completed]
    axes = [name for name in study.axes if len({text_of(trial.values.get(name)) for trial in completed}) > 1]
    if len(completed) < _FEWEST or not axes:
        return f"No pictures: they need {_FEWEST} completed trials that differ."
    codes = np.array([_codes([trial.values.get(name) for trial in completed]) for name in axes]).T
    scores = np.array([trial.result["metrics"][study.objective] for trial in completed])
    varied = [column for column, name in enumerate(axes) if name not in study.repeated] or [0]
    names = [axes[column] for column in varied]
    _draw_parallel(study, names, completed, codes[:, varied], scores, out / "parallel.png")
    _draw_importance(study, axes, importance(codes, scores), out / "importance.png")
    return (
        f"![Trials, a line each: the axes and {study.objective}](parallel.png)\n\n"
        f"![Importance of the axes](importance.png)\n\n"
        f"Importance: how much less of the variance of the {len(completed)} completed trials a random "
        f"forest, fitted to them, explains when the values of one axis are shuffled. It is a hint."
    )


def importance(codes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Permutation importance `(axes,)` of a random forest on `(trials, axes)` codes."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    forest = RandomForestRegressor(200, random_state=0).fit(codes, scores)
    return permutation_importance(forest, codes, scores, n_repeats=20, random_state=0).importances_mean


def _codes(values: Sequence[Any]) -> list[float]:
    """Heights from 0 to 1: of numbers by size, of others as they come; -1 where the axis is not active."""
    active = [value for value in values if value is not None]
    numbers = all(isinstance(value, (int, float)) for value in active)
    different = sorted(set(active)) if numbers else list(dict.fromkeys(text_of(value) for value in active))
    heights = {text_of(value): index / max(len(different) - 1, 1) for index, value in enumerate(different)}
    return [-1.0 if value is None else heights[text_of(value)] for value in values]


def _draw_parallel(
    study: Study, axes: list[str], trials: list[Trial], codes: np.ndarray, scores: np.ndarray, path: Path
) -> None:
    """A line a trial, from axis to axis to its objective."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    low, high = scores.min(), scores.max()
    heights = (scores - low) / ((high - low) or 1)
    end = len(axes)
    figure = Figure((2.2 * end + 2.5, 4), layout="constrained")
    plot = figure.subplots()
    better = heights if study.direction == "max" else 1 - heights
    for row, height, good in zip(codes, heights, better, strict=True):
        color = colormaps["viridis"](0.75 * (1 - good))  # good ones stand out; yellow is too pale
        plot.plot([*row, height], color=color, alpha=0.8, zorder=2 + good)
    behind = {"boxstyle": "round", "facecolor": "white", "edgecolor": "lightgray"}
    for column, name in enumerate(axes):
        labels = {}
        for trial, code in zip(trials, codes[:, column], strict=True):
            labels[code] = "not active" if code < 0 else text_of(trial.values[name])
        texts, families = lettering(labels.values(), lambda number: f"#{number}")
        look = {"fontsize": 8, "fontfamily": families, "bbox": behind, "parse_math": False}
        for code, text in zip(labels, texts, strict=True):
            plot.text(column, code, text, ha="center", va="center", **look)
    for height in np.linspace(0, 1, 5):
        plot.text(end + 0.04, height, f"{low + height * (high - low):.3f}", fontsize=8, va="center")
    plot.vlines(range(end + 1), [*codes.min(axis=0, initial=0), 0], 1, color="lightgray", zorder=0)
    plot.set_xticks(range(end + 1), [*axes, study.objective], parse_math=False)
    plot.set_xlim(-0.3, end + 0.3)
    plot.set_yticks([])
    plot.tick_params(length=0)
    plot.spines[:].set_visible(False)
    _save(figure, path)


def _draw_importance(study: Study, axes: list[str], shares: np.ndarray, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((6, 0.5 * len(axes) + 1.5), layout="constrained")
    plot = figure.subplots()
    plot.barh(range(len(axes)), shares)
    plot.spines[["top", "right"]].set_visible(False)
    plot.set_yticks(range(len(axes)), axes, parse_math=False)
    plot.invert_yaxis()
    plot.set_xlabel(f"permutation importance for {study.objective}", parse_math=False)
    _save(figure, path)


def _save(figure: "Figure", path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, dpi=120)
