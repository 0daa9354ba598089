"""What the gates of EleAttG let through of each joint of a skeleton."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_actrec import zoo
from keras_actrec._types import PathLike
from keras_actrec.data import body
from keras_actrec.data.preprocessors import Indexed, SkeletonPreprocessor
from keras_actrec.data.skeletons import SkeletonForm
from keras_actrec.errors import UserError
from keras_actrec.insight import _figures
from keras_actrec.recognizer import Recognizer
from keras_actrec.scoring import score

_FRAMES = 5  # of a sequence that are drawn


def average_response(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The average response of each element, `(D,)`: `a_bar = sqrt(energy behind the gate / in front of it)`.

    Args:
        before: sum of `x^2` over all steps, `(D,)`.
        after: sum of `(a x)^2`. Where both are 0, the response is 1.
    """
    return np.sqrt(np.divide(after, before, out=np.ones_like(before), where=before > 0))


def relative_response(gates: np.ndarray, average: np.ndarray, joints: int) -> np.ndarray:
    """How much a gate opens for each joint, against its average: `a_hat[i, j] = a[i, j] / a_bar[i]`.

    The coordinates of a joint are summed, which stand one after the other, as the joints do.

    Args:
        gates: a, `(T, D)`.
        average: a_bar, `(D,)`.
        joints: number of joints, of all persons, `D / joints` coordinates each.

    Returns:
        `(T, joints)`.
    """
    return (gates / average).reshape(len(gates), joints, -1).sum(axis=-1)


def _limits(
    places: np.ndarray, there: np.ndarray, layout: str | None, form: SkeletonForm
) -> list[tuple[float, float]]:
    """Where x and y begin and end, all of the sequence inside, and heads above.

    Pictures have y from above, Kinect from below: shoulders and hips tell, else whether joints have depth.
    """
    x, y = [(places[:, there, axis].min(), places[:, there, axis].max()) for axis in (0, 1)]
    room = 0.1 * max(x[1] - x[0], y[1] - y[0]) + 1e-6
    made = [(x[0] - room, x[1] + room), (y[0] - room, y[1] + room)]
    from_below = form.depth
    if layout is not None:
        upper, lower = (places[:, list(body(layout).place(end)), 1] for end in body(layout).torso)
        if upper.any() and lower.any():
            from_below = bool(upper.mean() > lower.mean())
    return made if from_below else [made[0], made[1][::-1]]


def _bones(layout: str | None, form: SkeletonForm) -> list[tuple[int, int]]:
    """The bones of all persons, as pairs of numbers in `form.bodies` times the joints; none without names."""
    lines = () if layout is None else body(layout).lines
    starts = range(0, form.bodies * form.joints, form.joints)
    return [(first + start, first + end) for first in starts for start, end in lines]


def draw_gates(
    recognizer: Recognizer, items: Indexed, path: PathLike, *, classes: Sequence[str], title: str = ""
) -> Path:
    """Draw the relative response of the first layer's gates on the joints, frame by frame, a row a class.

    The larger and darker a joint, the more the gate lets of it through, against the average over all files.
    Where the recipe names a `layout` its bones are drawn too.

    Args:
        recognizer: a model with a gate in its first layer, trained on skeletons.
        items: what `recognizer.preprocessor.index` gave; the average is over all of them.
        path: the picture.
        classes: of each the first file is drawn.
        title: above it.

    Raises:
        UserError: for a model without such a gate, or not of skeletons, a class without a file; matplotlib is
            missing.
    """
    form = getattr(recognizer.preprocessor, "form", None)
    if not isinstance(recognizer.preprocessor, SkeletonPreprocessor) or form is None:
        raise UserError(
            f"{recognizer.model.name} was not trained on skeletons, on whose joints gates are drawn"
        )
    view = zoo.gates_view(recognizer.model)
    names = recognizer.class_names
    for name in classes:
        if name not in {names[record.label] for record, _ in items}:
            raise UserError(f"no file here shows {name!r}: choose from {', '.join(names)}")
    joints, energy, shown = form.bodies * form.joints, [], {}
    found = score(view, recognizer.preprocessor, items, masked=recognizer.spec.masked)
    for file in found:
        x, a = np.moveaxis(np.asarray(file.scores, "float64"), 1, 0)  # (T, D) each
        there = x.any(axis=-1)  # padding is 0 throughout
        energy.append(np.stack([np.sum(x**2, axis=0), np.sum((a * x) ** 2, axis=0)]))
        name = names[file.record.label]
        if name in classes and name not in shown and there.any():
            shown[name] = x[there], a[there]
    average = average_response(*np.sum(energy, axis=0))
    figure = _figures.new_figure(2 * _FRAMES, 2.2 * len(classes) + 0.6)
    texts, look = _figures.words(classes)
    rows = figure.subplots(len(classes), _FRAMES, squeeze=False)
    for row, name, text in zip(rows, classes, texts, strict=True):
        x, a = shown[name]
        response = relative_response(a, average, joints)
        places = x.reshape(len(x), joints, -1)[..., :2]
        there = places.any(axis=(0, 2))  # joints of persons that are absent are 0
        if isinstance(center := recognizer.preprocessor.transform.center, int):
            there[center] |= there[: form.joints].any()  # and so is the origin
        limits = _limits(places, there, recognizer.preprocessor.layout, form)
        low, high = response[:, there].min(), response[:, there].max()
        shares = (response - low) / ((high - low) or 1)
        for axes, step in zip(row, np.linspace(0, len(x) - 1, _FRAMES).astype(int), strict=True):
            for start, end in _bones(recognizer.preprocessor.layout, form):
                if there[start] and there[end]:
                    line = places[step, [start, end]]
                    axes.plot(*line.T, color=_figures.COLORS["line"], linewidth=1, zorder=0)
            points = places[step, there]
            size = 10 + 110 * shares[step, there]
            axes.scatter(*points.T, s=size, c=shares[step, there], cmap="viridis_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[], aspect="equal")
            axes.set_xlim(*limits[0])
            axes.set_ylim(*limits[1])
            axes.set_xlabel(f"step {step + 1}", fontsize=8, color=_figures.COLORS["muted"])
            axes.spines[:].set_color(_figures.COLORS["line"])
        row[0].set_ylabel(text, color=_figures.COLORS["ink"], fontsize=9, **look)
    _figures.head(figure, title)
    return _figures.save(figure, path)
