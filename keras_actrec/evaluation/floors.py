"""What simple classifiers reach on the same videos: below it, a model has learned little."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from keras_actrec._types import Progress
from keras_actrec.cluster import Cluster, Threads
from keras_actrec.data.preprocessors import Indexed, Preprocessor

_Item = TypeVar("_Item")

_MOST = 2000  # files of a part that are looked at
# Inverse strength of the L2 penalty, for inputs of variance 1. Set once, by validation inside the training
# folds of three sets of videos and features; not by data of the user.
_C = 0.01


def floors(
    preprocessor: Preprocessor,
    train: Indexed,
    test: Indexed,
    *,
    workers: int = 2,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Top-1 accuracies that a model should exceed, each of a classifier that is trained in seconds.

    `"majority class"` always answers with the largest class of the training part. The others are logistic
    regressions on what `preprocessor.summary` tells of a file, each number normalized: of videos one frame,
    the mean frame and the differences of frames, 12 x 16 gray values each; of skeletons mean, spread and
    range of the joints; of features the means of four segments.

    Args:
        preprocessor: how a model looks at a file.
        train: what `preprocessor.index` gave of the training part.
        test: the same of the part that models are scored on.
        workers: threads that read.
        cluster: reads in their place.
        progress: called as `progress(done, total)` after every file.

    Returns:
        A dict of name to accuracy, empty without a training file.

    Raises:
        VideoError: for a file that cannot be read.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels, true = _labels(train), _labels(test)
    if not len(labels):
        return {}
    found = {"majority class": float(np.mean(true == np.bincount(labels).argmax()))}
    if len(np.unique(labels)) < 2:
        return found
    summaries: list[dict[str, np.ndarray]] = []
    pool = cluster or Threads(max(workers, 1))
    for summary in pool.in_order(preprocessor.summary, [*train, *test], files=lambda item: (item[0].file,)):
        summaries.append(summary)
        if progress is not None:
            progress(len(summaries), len(train) + len(test))
    for name in summaries[0]:
        x = np.stack([summary[name] for summary in summaries])
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=_C, max_iter=1000))
        classifier.fit(x[: len(train)], labels)
        found[name] = float(classifier.score(x[len(train) :], true))
    return found


def drawn(items: Sequence[_Item]) -> Sequence[_Item]:
    """At most 2000 of some items, in their order: always the same."""
    if len(items) <= _MOST:
        return items
    numbers = np.random.default_rng(0).permutation(len(items))[:_MOST]
    return [items[number] for number in sorted(numbers)]


def floor_line(found: Mapping[str, float], top1: float | None) -> str:
    """What `floors` found in one line, and whether a model is below it; None for one that is not known."""
    ordered = sorted(found.items(), key=lambda pair: -pair[1])
    line = "floor " + ", ".join(f"{value:.4f} {name}" for name, value in ordered)
    if top1 is not None and top1 < ordered[0][1]:
        line += "; the model is below it: train longer, from a trained model (--from), or another one"
    return line


def _labels(items: Indexed) -> np.ndarray:
    return np.array([record.label for record, _ in items])
