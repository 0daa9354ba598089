"""What the gates of EleAttG let through of each joint of a skeleton."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np

from keras_actrec import zoo
from keras_actrec._types import PathLike
from keras_actrec.data.preprocessors import Indexed, SkeletonPreprocessor
from keras_actrec.errors import UserError
from keras_actrec.insight import _figures
from keras_actrec.insight._skeleton import Stage, origin_of, relative_response
from keras_actrec.recognizer import Recognizer
from keras_actrec.scoring import score

_FRAMES = 5  # of a sequence that are drawn
_LEGEND = (
    "In each row: the larger and darker a joint, the more the gate lets through of it, against its average "
    "over all files."
)


def average_response(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The average response of each element, `(D,)`: `a_bar = sqrt(energy behind the gate / in front of it)`.

    Args:
        before: sum of `x^2` over all steps, `(D,)`.
        after: sum of `(a x)^2`. Where both are 0, the response is 1.
    """
    return np.sqrt(np.divide(after, before, out=np.ones_like(before), where=before > 0))


def gates_of_joints(recognizer: Recognizer) -> keras.Model:
    """The view of what the first gate saw and let through, each element of one joint.

    Raises:
        UserError: for a model without such a gate, or one with joints mixed in front of it.
    """
    view = zoo.gates_view(recognizer.model)
    if not zoo.ExplainingView(recognizer.model, recognizer.spec).gates_of_input:
        raise UserError(
            f"the first gate of {recognizer.model.name} sees joints mixed, so none has a response: set "
            "model.joints beside model.embedding, or leave it out"
        )
    return view


def draw_gates(
    recognizer: Recognizer,
    items: Indexed,
    path: PathLike,
    *,
    classes: Sequence[str],
    mean: bool = False,
    title: str = "",
) -> Path:
    """Draw the relative response of the first layer's gates on the joints, frame by frame, a row a class.

    The larger and darker a joint, the more the gate lets of it through, against the average over all files.

    Args:
        recognizer: a model with a gate in its first layer, trained on skeletons.
        items: what `recognizer.preprocessor.index` gave; the average is over all of them.
        path: the picture.
        classes: of each the first file is drawn.
        mean: whether the mean over all files of a class is drawn instead, at even shares of their lengths.
        title: above it.

    Raises:
        UserError: for a model without such a gate, with joints mixed in front of it, or not of skeletons; a
            class without a file that shows somebody; matplotlib is missing.
    """
    preprocessor = recognizer.preprocessor
    if preprocessor.files != "skeletons" or preprocessor.form is None:
        raise UserError(
            f"{recognizer.model.name} was not trained on skeletons, on whose joints gates are drawn"
        )
    form = preprocessor.form
    joints = form.bodies * form.joints
    average, shown = _seen(recognizer, preprocessor, items, classes, every=mean)
    figure = _figures.new_figure(2 * _FRAMES, 2.2 * len(classes) + 0.6)
    texts, look = _figures.words(classes)
    rows = figure.subplots(len(classes), _FRAMES, squeeze=False)
    for row, name, text in zip(rows, classes, texts, strict=True):
        x, a = mean_of(shown[name], joints) if mean else shown[name][0]
        response = relative_response(a, average, joints)
        places = x.reshape(len(x), form.bodies, form.joints, 3)
        stage = Stage(places, response, preprocessor.body, origin_of(preprocessor))
        for axes, step in zip(row, _evenly(x), strict=True):
            stage.draw(axes, int(step), _figures.COLORS)
            below = f"at {step / (_FRAMES - 1):.0%} of the length" if mean else f"step {step + 1}"
            axes.set_xlabel(below, fontsize=8, color=_figures.COLORS["muted"])
        row[0].set_ylabel(text, color=_figures.COLORS["ink"], fontsize=9, **look)
    _figures.head(figure, title)
    look = {"fontsize": 8, "color": _figures.COLORS["muted"]}
    figure.supxlabel(_LEGEND, x=0.02, ha="left", **look)
    return _figures.save(figure, path)


# Where joints were, `(T, 3 joints)`, and what the gates were, `(T, D)`.
Sequences: TypeAlias = list[tuple[np.ndarray, np.ndarray]]


def _seen(
    recognizer: Recognizer,
    preprocessor: SkeletonPreprocessor,
    items: Indexed,
    classes: Sequence[str],
    every: bool,
) -> tuple[np.ndarray, dict[str, Sequences]]:
    """The average response to all files, and of each class the first file, or every one."""
    view, names = gates_of_joints(recognizer), recognizer.class_names
    read = {item[0].path: item for item in items}
    energy, shown = [], dict[str, Sequences]()
    for file in score(view, preprocessor, items, masked=recognizer.spec.masked):
        x, a = np.moveaxis(np.asarray(file.scores, "float64"), 1, 0)  # (T, D) each
        steps, mask = preprocessor.sample(read[file.record.path])
        there = mask & steps.any(axis=-1)  # what shows nobody is 0 throughout
        x, a, places = x[there], a[there], preprocessor.joints_of(steps[there])
        energy.append(np.stack([np.sum(x**2, axis=0), np.sum((a * x) ** 2, axis=0)]))
        if places is None:
            raise UserError(f"{recognizer.model.name} sees no joints to draw on: skeleton.streams has none")
        name = names[file.record.label]
        if name in classes and there.any() and (every or name not in shown):
            shown.setdefault(name, []).append((places.reshape(len(places), -1), a))
    for name in classes:
        if name not in shown:
            raise UserError(f"no file here shows {name!r}: choose from {', '.join(names)}")
    return average_response(*np.sum(energy, axis=0)), shown


def mean_of(sequences: Sequences, joints: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of places, `(5, 3 joints)`, and of gates, `(5, D)`, at even shares of each sequence's length.

    A joint is at the mean of the places where it is known, and is there where half of the sequences have it.

    Args:
        sequences: places and gates of each.
        joints: number of joints, of all persons.
    """
    x, a = (np.stack([each[part][_evenly(each[part])] for each in sequences]) for part in (0, 1))
    known = x.reshape(*x.shape[:2], joints, -1).any(axis=-1)  # (files, 5, joints)
    count = known.sum(axis=0)
    weights = np.where(2 * count >= len(x), 1 / np.maximum(count, 1), 0)
    return x.sum(axis=0) * np.repeat(weights, x.shape[-1] // joints, axis=-1), a.mean(axis=0)


def _evenly(steps: np.ndarray) -> np.ndarray:
    """The numbers of five steps, from the first to the last."""
    return np.linspace(0, len(steps) - 1, _FRAMES).astype(int)
