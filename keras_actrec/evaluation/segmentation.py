"""Scores of a division of recordings into actions, against labels of their frames."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from keras_actrec._types import PathLike
from keras_actrec.data import Record, read_manifest
from keras_actrec.errors import UserError

BACKGROUND = -1
OVERLAPS = (0.10, 0.25, 0.50)


@dataclass(frozen=True)
class SegmentationScores:
    """Scores over recordings, from 0 to 1.

    Attributes:
        accuracy: see `frame_accuracy`.
        edit: see `edit_score`.
        f1: see `segmental_f1`, by its overlap.
    """

    accuracy: float
    edit: float
    f1: Mapping[float, float]

    @classmethod
    def of(
        cls, labels: Sequence[ArrayLike], predicted: Sequence[ArrayLike], overlaps: Sequence[float] = OVERLAPS
    ) -> "SegmentationScores":
        """All of them, of class ids of frames, a sequence a recording, -1 for none."""
        f1 = {overlap: segmental_f1(labels, predicted, overlap) for overlap in overlaps}
        return cls(frame_accuracy(labels, predicted), edit_score(labels, predicted), f1)

    def __str__(self) -> str:
        """One line for people."""
        f1 = "  ".join(f"F1@{100 * overlap:g} {value:.4f}" for overlap, value in self.f1.items())
        return f"frame accuracy {self.accuracy:.4f}  edit {self.edit:.4f}  {f1}"


def frame_accuracy(labels: Sequence[ArrayLike], predicted: Sequence[ArrayLike]) -> float:
    """Share of all frames of all recordings whose label is right, background (-1) like any other.

    `sum_v |{t : y_vt = p_vt}| / sum_v T_v`.

    Args:
        labels: class ids of the frames `(T,)` of each recording.
        predicted: likewise.

    Raises:
        UserError: for sequences of other lengths, or none.
    """
    pairs = _pairs(labels, predicted)
    return sum(int((true == found).sum()) for true, found in pairs) / sum(len(true) for true, _ in pairs)


def edit_score(labels: Sequence[ArrayLike], predicted: Sequence[ArrayLike]) -> float:
    """How well the order of the segments is met, whatever their length: the mean over recordings of

        1 - D(s, q) / max(|s|, |q|)

    with the labels `s` of the true segments, one after the other, those `q` of the predicted ones, and D the
    Levenshtein distance: insertions, deletions and replacements. Background is left out; 1 where there is
    nothing else in both.

    Args:
        labels: as of `frame_accuracy`.
        predicted: likewise.

    Raises:
        UserError: as `frame_accuracy`.

    Reference: Lea et al., Segmental Spatiotemporal CNNs, ECCV 2016, there times 100.
    """  # noqa: D400, D415  (a formula stands in the sentence)
    scores = []
    for true, found in _pairs(labels, predicted):
        names, given = ([label for label, _, _ in _segments(each)] for each in (true, found))
        longest = max(len(names), len(given))
        scores.append(1 - _levenshtein(names, given) / longest if longest else 1.0)
    return float(np.mean(scores))


def segmental_f1(labels: Sequence[ArrayLike], predicted: Sequence[ArrayLike], overlap: float) -> float:
    """F1 of segments that are found when they overlap enough: 2 TP / (2 TP + FP + FN), over all recordings.

    Of the true segments of its class, a predicted one belongs to that with the largest intersection over
    union, of frames. It counts as TP if this is at least `overlap` and no earlier one has met the same
    segment, else as FP; true segments that none has met are FN. Background is left out.

    Args:
        labels: as of `frame_accuracy`.
        predicted: likewise.
        overlap: k of F1@k, from 0 to 1: .10, .25 and .50 in papers.

    Returns:
        F1; 1 where there is no segment at all.

    Raises:
        UserError: as `frame_accuracy`, or for an overlap out of range.

    Reference: Lea et al., Temporal Convolutional Networks, CVPR 2017.
    """
    if not 0 <= overlap <= 1:
        raise UserError(f"`overlap` must be from 0 to 1. Received: overlap={overlap}")
    right = wrong = missed = 0
    for true, found in _pairs(labels, predicted):
        actual = _segments(true)
        met: set[int] = set()
        for segment in _segments(found):
            shares = [_shared(segment, other) for other in actual]
            best = int(np.argmax(shares)) if shares else -1
            if best >= 0 and shares[best] and shares[best] >= overlap and best not in met:
                met.add(best)
                right += 1
            else:
                wrong += 1
        missed += len(actual) - len(met)
    total = 2 * right + wrong + missed
    return 2 * right / total if total else 1.0


def frame_labels(
    path: PathLike, class_names: Sequence[str], ignore: Sequence[str] = (), *, fps: float | None = None
) -> dict[str, list[Record]]:
    """The labels that a CSV file gives parts of recordings: `path,start,end,label`, or frames, `start,stop`.

    Args:
        path: as `data.read_manifest` reads it.
        class_names: of the model.
        ignore: labels that are background here, as is what no row has.
        fps: frames a second of what tells none.

    Returns:
        By the real path of each recording its records, whose label is an index in `class_names`, or -1.

    Raises:
        UserError: as `data.read_manifest`, or for a label that is neither a class nor to be ignored.
    """
    manifest = read_manifest(path, fps=fps)
    if unknown := [name for name in ignore if name not in (*class_names, *manifest.class_names)]:
        raise UserError(f"`ignore` names {unknown[0]}, which is no class of the model and no label in {path}")
    found: dict[str, list[Record]] = {}
    for record in manifest.records:
        name = manifest.class_names[record.label]
        if name not in class_names and name not in ignore:
            raise UserError(
                f"{path}: the label {name!r} of {record.path} is not one of the model's classes, "
                f"{', '.join(class_names)}: mend it, or pass `--ignore {name}`"
            )
        label = BACKGROUND if name in ignore else class_names.index(name)
        part = Record(record.file, record.path, label, start=record.start, stop=record.stop)
        found.setdefault(os.path.realpath(record.file), []).append(part)
    return found


def labels_at(found: Mapping[str, Sequence[Record]], file: Path, frames: ArrayLike) -> np.ndarray:
    """The class id of each of these frames of a recording, -1 where no record of `frame_labels` has it.

    Where several have it, the last one counts.

    Raises:
        UserError: for a recording without a record.
    """
    frames = np.asarray(frames)
    labels = np.full(len(frames), BACKGROUND)
    records = found.get(os.path.realpath(file))
    if records is None:
        raise UserError(f"{file}: no row of the labels is about it; add some, or leave the file out")
    for record in records:
        inside = frames >= (record.start or 0)
        if record.stop is not None:
            inside &= frames < record.stop
        labels[inside] = record.label
    return labels


def _pairs(
    labels: Sequence[ArrayLike], predicted: Sequence[ArrayLike]
) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = [(np.asarray(true), np.asarray(found)) for true, found in zip(labels, predicted, strict=False)]
    if len(labels) != len(predicted) or any(
        a.shape != b.shape or a.ndim != 1 or not len(a) for a, b in pairs
    ):
        raise UserError("`labels` and `predicted` must be class ids (T,) of the same recordings, T of each")
    if not pairs:
        raise UserError("`labels` must hold at least one recording. Received: none")
    return pairs


def _segments(labels: np.ndarray) -> list[tuple[int, int, int]]:
    """Label, first frame and the one after the last of each run of one label, without background."""
    edges = np.flatnonzero(np.diff(labels)) + 1
    starts, ends = [0, *edges.tolist()], [*edges.tolist(), len(labels)]
    runs = [(int(labels[start]), start, end) for start, end in zip(starts, ends, strict=True)]
    return [run for run in runs if run[0] != BACKGROUND]


def _shared(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """Intersection over union of two segments, 0 where their classes differ."""
    both = min(one[2], other[2]) - max(one[1], other[1])
    if one[0] != other[0] or both <= 0:
        return 0.0
    return both / (one[2] - one[1] + other[2] - other[1] - both)


def _levenshtein(one: Sequence[int], other: Sequence[int]) -> int:
    row = list(range(len(other) + 1))
    for count, left in enumerate(one, start=1):
        corner, row[0] = row[0], count
        for place, right in enumerate(other, start=1):
            corner, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, corner + (left != right))
    return row[-1]
