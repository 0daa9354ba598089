"""What the gates of EleAttG let through of each joint of a skeleton."""

from collections.abc import Sequence
from pathlib import Path

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


def average_response(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The average response of each element, `(D,)`: `a_bar = sqrt(energy behind the gate / in front of it)`.

    Args:
        before: sum of `x^2` over all steps, `(D,)`.
        after: sum of `(a x)^2`. Where both are 0, the response is 1.
    """
    return np.sqrt(np.divide(after, before, out=np.ones_like(before), where=before > 0))


def draw_gates(
    recognizer: Recognizer, items: Indexed, path: PathLike, *, classes: Sequence[str], title: str = ""
) -> Path:
    """Draw the relative response of the first layer's gates on the joints, frame by frame, a row a class.

    The larger and darker a joint, the more the gate lets of it through, against the average over all files.

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
    preprocessor = recognizer.preprocessor
    figure = _figures.new_figure(2 * _FRAMES, 2.2 * len(classes) + 0.6)
    texts, look = _figures.words(classes)
    rows = figure.subplots(len(classes), _FRAMES, squeeze=False)
    for row, name, text in zip(rows, classes, texts, strict=True):
        x, a = shown[name]
        response = relative_response(a, average, joints)
        places = x.reshape(len(x), form.bodies, form.joints, -1)[..., :3]
        stage = Stage(places, response, preprocessor.body, origin_of(preprocessor))
        for axes, step in zip(row, np.linspace(0, len(x) - 1, _FRAMES).astype(int), strict=True):
            stage.draw(axes, int(step), _figures.COLORS)
            axes.set_xlabel(f"step {step + 1}", fontsize=8, color=_figures.COLORS["muted"])
        row[0].set_ylabel(text, color=_figures.COLORS["ink"], fontsize=9, **look)
    _figures.head(figure, title)
    return _figures.save(figure, path)
