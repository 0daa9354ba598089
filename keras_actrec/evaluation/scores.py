"""Scores of a test as a file, and the one answer of several models."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_actrec._archive import read_arrays
from keras_actrec._files import replacing, write_csv
from keras_actrec.data import Record
from keras_actrec.errors import UserError
from keras_actrec.evaluation.evaluate import Evaluation
from keras_actrec.evaluation.metrics import fuse

_ABOUT = ("name", "skipped", "protocol", "part", "official", "manifest", "floors")


def write_scores(evaluation: Evaluation, path: str | Path) -> None:
    """Write the scores of all videos, for `ensemble` and for others.

    Args:
        evaluation: an `Evaluation`.
        path: the `.npz` file, without pickled objects: `path (N,)`, `label (N,)` class ids,
            `probabilities (N, C)`, `class_names (C,)`, `group (N,)`, and `about`, the rest as JSON.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise UserError(f"`path` must end in .npz. Received: path={path}")
    about = {name: getattr(evaluation, name) for name in _ABOUT}
    with replacing(path) as part, open(part, "wb") as file:
        np.savez(
            file,
            path=[record.path for record in evaluation.records],
            label=evaluation.labels,
            probabilities=evaluation.scores,
            class_names=list(evaluation.class_names),
            group=[record.group for record in evaluation.records],
            about=json.dumps(about),
        )


def read_scores(path: str | Path) -> Evaluation:
    """Read the `Evaluation` that `write_scores` wrote. Its records know their path, label and group alone.

    Raises:
        UserError: a file that is missing or is not one of scores.
    """
    try:
        archive = read_arrays(path)
        written = json.loads(str(archive["about"]))
        about = {name: written[name] for name in _ABOUT}
        paths, labels, groups, names = (
            archive[name].tolist() for name in ("path", "label", "group", "class_names")
        )
        scores = archive["probabilities"]
    except FileNotFoundError as error:
        raise UserError(f"the file of scores {path} does not exist") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is not a file of scores: write it with `evaluate --scores`") from error
    records = tuple(
        Record(Path(each), each, label, group=group)
        for each, label, group in zip(paths, labels, groups, strict=True)
    )
    about["skipped"] = tuple(about["skipped"])
    return Evaluation(
        class_names=tuple(names), records=records, labels=np.array(labels), scores=scores, **about
    )


def write_precisions(evaluations: Sequence[Evaluation], path: str | Path) -> None:
    """Write the average precisions of several models side by side, as tables of papers have them.

    A row a class and a last one, `mAP`, with their mean; a column a model, empty where a class has no video.

    Args:
        evaluations: `Evaluation`s over the same classes.
        path: the CSV file.

    Raises:
        UserError: for models of other classes.
    """
    first = evaluations[0]
    _check_classes(evaluations)
    names = told_apart([each.name for each in evaluations])
    columns = []
    for each in evaluations:
        precision = dict(zip(each.class_names, each.average_precision, strict=True))
        columns.append([*(precision[name] for name in first.class_names), each.map])
    rows = []
    for name, *values in zip((*first.class_names, "mAP"), *columns, strict=True):
        texts = ["" if np.isnan(value) else f"{value:.4f}" for value in values]
        rows.append({"class": name, **dict(zip(names, texts, strict=True))})
    write_csv(path, rows, ("class", *names))


def _check_classes(evaluations: Sequence[Evaluation]) -> None:
    first = evaluations[0]
    for other in evaluations:
        odd = set(other.class_names) ^ set(first.class_names)
        if odd:
            raise UserError(f"{first.name} and {other.name} do not have the same classes: {min(odd)!r}")


def told_apart(names: Sequence[str]) -> list[str]:
    """Names of columns: those that occur twice with their number."""
    return [name if names.count(name) == 1 else f"{name} {at}" for at, name in enumerate(names, 1)]


def ensemble(evaluations: Sequence[Evaluation], average: str = "probabilities") -> Evaluation:
    """The one answer of several models, video by video.

    Args:
        evaluations: `Evaluation`s of the same videos; they are brought together by path and class name.
        average: `"probabilities"`, `"logits"` or `"votes"`, see `fuse`.

    Returns:
        An `Evaluation`.

    Raises:
        UserError: for models of other classes, a video that not all have scored or to which they give another
            label.
    """
    first, *others = evaluations
    _check_classes(evaluations)
    scores = [first.scores]
    for other in others:
        row_of = {record.path: row for row, record in enumerate(other.records)}
        ours = [record.path for record in first.records]
        for path in sorted(set(ours) ^ set(row_of)):
            owner, lacks = (first, other) if path in set(ours) else (other, first)
            raise UserError(
                f"{path} was scored by {owner.name} and not by {lacks.name}: "
                "evaluate both on the same data and part"
            )
        rows = [row_of[path] for path in ours]
        for path, row, label in zip(ours, rows, first.labels, strict=True):
            names = first.class_names[label], other.class_names[other.labels[row]]
            if names[0] != names[1]:
                raise UserError(
                    f"{path} has the label {names[0]!r} for {first.name} and {names[1]!r} for {other.name}"
                )
        columns = [other.class_names.index(name) for name in first.class_names]
        scores.append(other.scores[np.ix_(rows, columns)])
    how = {
        "probabilities": "mean of the probabilities",
        "logits": "mean of the logits",
        "votes": "majority vote",
    }
    fused = fuse(scores, average)
    protocols = dict.fromkeys(each.protocol for each in evaluations)
    return replace(
        first,
        name=" + ".join(each.name for each in evaluations),
        scores=fused,
        views=None,
        view_accuracy=None,
        skipped=tuple(dict.fromkeys(line for each in evaluations for line in each.skipped)),
        protocol=f"{how[average]} of {len(evaluations)} models, each with {'; '.join(protocols)}",
    )
