"""Pictures of a study's trials: parallel coordinates, and the importance of the axes."""

import importlib.util
import json

import numpy as np

from keras_actrec._files import replacing

_FEWEST = 4  # trials for which pictures say something


def draw(study, trials, out):
    """Draw them; Markdown that shows them, or why there are none."""
    if importlib.util.find_spec("matplotlib") is None:
        return "No pictures: pip install 'keras_actrec[viz]'."
    completed = [trial for trial in trials if trial.completed]
    axes = [name for name in study.axes if len({text_of(trial.values.get(name)) for trial in completed}) > 1]
    if len(completed) < _FEWEST or not axes:
        return f"No pictures: they need {_FEWEST} completed trials that differ."
    codes = np.array([_codes([trial.values.get(name) for trial in completed]) for name in axes]).T
    scores = np.array([trial.result["metrics"][study.objective] for trial in completed])
    _draw_parallel(study, axes, completed, codes, scores, out / "parallel.png")
    _draw_importance(study, axes, importance(codes, scores), out / "importance.png")
    return (
        f"![Trials, a line each: the axes and {study.objective}](parallel.png)\n\n"
        f"![Importance of the axes](importance.png)\n\n"
        f"Importance: how much less of the variance of the {len(completed)} completed trials a random "
        f"forest, fitted to them, explains when the values of one axis are shuffled. It is a hint."
    )


def importance(codes, scores):
    """Permutation importance `(axes,)` of a random forest on `(trials, axes)` codes."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    forest = RandomForestRegressor(200, random_state=0).fit(codes, scores)
    return permutation_importance(forest, codes, scores, n_repeats=20, random_state=0).importances_mean


def text_of(value):
    """A value of an axis in words."""
    return value if isinstance(value, str) else json.dumps(value)


def _codes(values):
    """Places from 0 to 1: of numbers by size, of others as they come; -1 where the axis is not there."""
    active = [value for value in values if value is not None]
    numbers = all(isinstance(value, (int, float)) for value in active)
    different = sorted(set(active)) if numbers else list(dict.fromkeys(text_of(value) for value in active))
    places = {text_of(value): place / max(len(different) - 1, 1) for place, value in enumerate(different)}
    return [-1.0 if value is None else places[text_of(value)] for value in values]


def _draw_parallel(study, axes, trials, codes, scores, path):
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    low, spread = scores.min(), (scores.max() - scores.min()) or 1
    figure = Figure((2 * len(axes) + 3, 4), layout="constrained")
    plot = figure.subplots()
    for row, score in zip(codes, (scores - low) / spread, strict=True):
        plot.plot([*row, score], color=colormaps["viridis"](score), alpha=0.8)
    for place, name in enumerate(axes):
        labels = {}
        for trial, code in zip(trials, codes[:, place], strict=True):
            labels[code] = "not there" if code < 0 else text_of(trial.values[name])
        for code, label in labels.items():
            plot.annotate(label, (place, code), fontsize=8, parse_math=False)
    end = len(axes)
    for value in (low, scores.max()):
        plot.annotate(f"{value:.3f}", (end, (value - low) / spread), fontsize=8)
    plot.set_xticks(range(end + 1), [*axes, study.objective], parse_math=False)
    plot.set_yticks([])
    plot.grid(axis="x")
    _save(figure, path)


def _draw_importance(study, axes, shares, path):
    from matplotlib.figure import Figure

    figure = Figure((6, 0.5 * len(axes) + 1.5), layout="constrained")
    plot = figure.subplots()
    plot.barh(range(len(axes)), shares)
    plot.set_yticks(range(len(axes)), axes, parse_math=False)
    plot.invert_yaxis()
    plot.set_xlabel(f"permutation importance for {study.objective}", parse_math=False)
    _save(figure, path)


def _save(figure, path):
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120)
