"""Features of a layer as points on a plane, colored by class (t-SNE)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_actrec import zoo
from keras_actrec._types import PathLike, Progress
from keras_actrec.data.preprocessors import Indexed
from keras_actrec.errors import UserError
from keras_actrec.insight import _figures
from keras_actrec.recognizer import Recognizer
from keras_actrec.scoring import score


def embed(
    recognizer: Recognizer,
    items: Indexed,
    *,
    layer: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """The features of a layer for files, laid out on a plane by t-SNE.

    A file's feature is the mean over steps and places, and over its views where it has several. Distances
    between points say little, and which points are neighbors does.

    Args:
        recognizer: the model.
        items: what `recognizer.preprocessor.index` gave.
        layer: see `zoo.features_view`.
        seed: of t-SNE.
        progress: called as `progress(done, total)` after every file.

    Returns:
        Points `(N, 2)`.

    Raises:
        UserError: for fewer than five files, features that are no numbers or all alike, or a layer as
            `zoo.features_view` says.
    """
    from sklearn.manifold import TSNE

    if len(items) < 5:
        raise UserError(f"t-SNE needs at least five files. Received: {len(items)}")
    view = zoo.features_view(recognizer.model, layer)
    rows = []
    for file in score(view, recognizer.preprocessor, items, masked=recognizer.spec.masked):
        rows.append(file.scores)
        if progress is not None:
            progress(len(rows), len(items))
    features = np.stack(rows)
    # Of such features the first layout is NaN, on which scikit-learn dies.
    if not np.isfinite(features).all():
        raise UserError("features are not finite, so there is no plane of them: was training stable?")
    if np.ptp(features, axis=0).max() <= 1e-6 * np.abs(features).max():
        raise UserError("all files have the same features, so there is no plane of them: was it trained?")
    layout = TSNE(perplexity=min(30.0, (len(items) - 1) / 3), init="pca", random_state=seed)
    if features.shape[1] < 2:
        raise UserError(f"layer {layer!r} gives one number a clip, which is no plane: choose another one")
    return layout.fit_transform(features)


def draw_embedding(
    panels: Mapping[str, tuple[Recognizer, Indexed]],
    path: PathLike,
    *,
    layer: str | None = None,
    title: str = "",
) -> Path:
    """Draw the points of `embed`, a panel a model, in a color a class.

    Args:
        panels: what each panel is called, its model, and the files.
        path: the picture.
        layer: see `embed`.
        title: above it.

    Raises:
        UserError: as `embed`; matplotlib is missing.
    """
    figure = _figures.new_figure(5.5 * len(panels), 5.5)
    names, look = _figures.words(panels)
    for axes, name, (recognizer, items) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], names, panels.values(), strict=True
    ):
        points = embed(recognizer, items, layer=layer)
        labels = np.array([record.label for record, _ in items])
        present = np.unique(labels)
        classes, text = _figures.words(recognizer.class_names[label] for label in present)
        few = len(present) <= 20  # colors that can be told apart
        for number, (label, what) in enumerate(zip(present, classes, strict=True)):
            x, y = points[labels == label].T
            axes.scatter(x, y, s=14, color=color_of(number, len(present)), label=what if few else None)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(_figures.COLORS["line"])
        axes.set_title(name, fontsize=10, color=_figures.COLORS["ink"], **look)
        if few:
            for line in axes.legend(fontsize=7, frameon=False, ncols=2).get_texts():
                line.set(**text)
    _figures.head(figure, title)
    return _figures.save(figure, path)


def color_of(number: int, classes: int) -> tuple[float, ...]:
    """A color of its own for each of so many classes."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba

    if classes <= len(_figures.LINES):
        return to_rgba(_figures.LINES[number])
    if classes <= 20:
        return colormaps["tab20"](number)
    return colormaps["hsv"](number / classes)
