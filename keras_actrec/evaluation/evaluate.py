"""Evaluate a recognizer on one part of a set of videos."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from keras_actrec._files import write_csv, write_json
from keras_actrec._numbers import MAX_SKIPPED
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.cluster import Cluster
from keras_actrec.data import Manifest, Record, read_audit, read_set, split_manifest
from keras_actrec.data.preprocessors import Indexed
from keras_actrec.errors import UserError
from keras_actrec.evaluation.floors import drawn
from keras_actrec.evaluation.floors import floors as find_floors
from keras_actrec.evaluation.metrics import (
    average_precision,
    bootstrap_interval,
    calibration_bins,
    confusion_matrix,
    expected_calibration_error,
    mean_average_precision,
    mean_class_accuracy,
    top_k_accuracy,
)
from keras_actrec.evaluation.protocols import Protocol, find_protocol
from keras_actrec.recognizer import Recognizer
from keras_actrec.scoring import score


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a set of videos.

    Attributes:
        name: the model's.
        class_names: name of every class id.
        records: the videos that were scored.
        labels: their class ids `(N,)`.
        scores: their probabilities `(N, C)`.
        skipped: one line for every video that could not be read.
        protocol: in words: frames, views, how their answers become one.
        part: the part of the data.
        official: number of videos that the part should have, None where that is not known.
        extra: further columns of a report, name to text.
        manifest: hash of the set that the part is of, see `Manifest.sha256`.
        floors: what simple classifiers reach, see `floors`; None where that is not known.
        views: number of clips and crops that were answered, None where that is not known.
        view_accuracy: share of them whose own highest score is right, each counting as much as any other:
            the sequence accuracy of papers that count every sequence of a video.
    """

    name: str
    class_names: tuple[str, ...]
    records: tuple[Record, ...]
    labels: np.ndarray
    scores: np.ndarray
    skipped: tuple[str, ...]
    protocol: str
    part: str
    official: int | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    manifest: str | None = None
    floors: Mapping[str, float] | None = None
    views: int | None = None
    view_accuracy: float | None = None

    @property
    def predicted(self) -> np.ndarray:
        """Class ids with the highest score `(N,)`."""
        return np.argmax(self.scores, axis=1)

    @property
    def videos(self) -> int:
        """Number of videos that were scored."""
        return len(self.records)

    @property
    def top1(self) -> float:
        """Share of videos whose class has the highest score."""
        return top_k_accuracy(self.scores, self.labels, 1)

    @property
    def top5(self) -> float:
        """Share of videos whose class is among the five highest scores."""
        return top_k_accuracy(self.scores, self.labels, 5)

    @property
    def confusion(self) -> np.ndarray:
        """Counts `(C, C)`, row = true class."""
        return confusion_matrix(self.labels, self.predicted, len(self.class_names))

    @property
    def mean_class(self) -> float:
        """Mean of the classes' accuracies."""
        return mean_class_accuracy(self.confusion)

    @property
    def class_accuracy(self) -> np.ndarray:
        """Share of each class' videos that is right `(C,)`; NaN for a class without a video."""
        videos = self.confusion.sum(axis=1)
        return np.where(videos > 0, np.diag(self.confusion) / np.maximum(videos, 1), np.nan)

    @property
    def ece(self) -> float:
        """See `expected_calibration_error`."""
        return expected_calibration_error(self.scores, self.labels)

    @property
    def calibration(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `calibration_bins`."""
        return calibration_bins(self.scores, self.labels)

    @property
    def groups(self) -> list[str] | None:
        """The videos' groups, or None where a video has none."""
        groups = [record.group for record in self.records]
        return groups if all(groups) else None

    @property
    def top1_interval(self) -> tuple[float, float] | None:
        """Bounds of `top1` with 95 %, over the groups where videos have them; None with a single one.

        See `bootstrap_interval`.
        """
        groups = self.groups
        if len(set(groups or range(self.videos))) < 2:
            return None
        return bootstrap_interval(self.predicted == self.labels, groups=groups)

    @property
    def average_precision(self) -> np.ndarray:
        """See `average_precision`."""
        return average_precision(self.scores, self.labels)

    @property
    def map(self) -> float:
        """Mean of the average precisions of the classes that have a video."""
        return mean_average_precision(self.scores, self.labels)

    def to_json(self) -> dict[str, Any]:
        """The result as plain values; lists over classes are in the order of `class_names`."""
        precision = self.average_precision
        return {
            "model": self.name,
            "part": self.part,
            "top1": self.top1,
            "top1_interval": self.top1_interval and list(self.top1_interval),
            "interval_over": "videos" if self.groups is None else "groups",
            "floors": None if self.floors is None else dict(self.floors),
            "top5": self.top5,
            "mean_class": self.mean_class,
            "views": self.views,
            "view_accuracy": self.view_accuracy,
            "ece": self.ece,
            "map": self.map,
            "videos": self.videos,
            "skipped": list(self.skipped),
            "official": self.official,
            "protocol": self.protocol,
            "manifest": self.manifest,
            "class_names": list(self.class_names),
            "class_accuracy": _numbers(self.class_accuracy),
            "average_precision": _numbers(precision),
            "confusion": self.confusion.tolist(),
        }

    def write_json(self, path: PathLike) -> None:
        """Write `to_json` to a file."""
        write_json(path, self.to_json())

    def write_predictions(self, path: PathLike) -> None:
        """Write a CSV file `path,label,predicted,score`, a row a video; score is the predicted class'."""
        columns = ("path", "label", "predicted", "score")
        rows = []
        for record, label, predicted, scores in zip(
            self.records, self.labels, self.predicted, self.scores, strict=True
        ):
            names = self.class_names[label], self.class_names[predicted]
            rows.append(dict(zip(columns, (record.path, *names, f"{scores[predicted]:.6f}"), strict=True)))
        write_csv(path, rows, columns)


def evaluate(
    recognizer: Recognizer,
    data: PathLike,
    *,
    part: str = "test",
    protocol: Protocol | str | None = None,
    on_error: str = "raise",
    max_skipped: float = MAX_SKIPPED,
    audit: PathLike | None = None,
    cache: PathLike | None = None,
    verify: bool = False,
    floors: bool = False,
    batch_size: int | None = None,
    workers: int = 2,
    cluster: Cluster | None = None,
    tell: Callable[[str], Any] | None = None,
    progress: StageProgress | None = None,
) -> Evaluation:
    """Score a recognizer on one part of a set of videos.

    A video is looked at as `num_clips` and `num_crops` of the recognizer's preprocessor say, and the
    probabilities of what they give are averaged: one clip and one crop unless they ask for more. A protocol
    changes that.

    The parts are those of the recipe that the model was trained with, so `"test"` never holds a video it was
    trained on.

    Args:
        recognizer: the model.
        data: a CSV file or a folder, see `read_set`.
        part: `"train"`, `"validation"`, `"test"` or `"all"`.
        protocol: how to look at videos, or its name in `PROTOCOLS`; by default as the recognizer does.
        on_error: `"raise"`, or `"skip"` to count videos that cannot be read and leave them out.
        max_skipped: largest share of the part's videos that may be left out.
        audit: JSON file of `audit_videos`: videos that it knows are not read through again.
        cache: folder of decoded frames that `train` and `evaluate` share; it changes no number.
        verify: whether files are hashed again that the cache knows by their size and time of change.
        floors: whether to tell what simple classifiers reach that see the training part, see `floors`; for
            this at most 2000 videos of each part are read again.
        batch_size: clips, or sequences, of a batch; by default what suits the device.
        workers: threads that decode.
        cluster: reads and answers in place of this machine.
        tell: called with each line of `Manifest.notes`: what a folder of one's own has that is not taken.
        progress: called as `progress(stage, done, total, text)`: stages `videos`, with a cache `frames`,
            `scoring`, and `floors`.

    Returns:
        The scores.

    Raises:
        UserError: for a label that the model does not know, an empty part, other data than the model was
            split on, or a protocol that the model cannot be tested with.
        VideoError: for a video that cannot be read.
    """
    progress = progress or silent
    protocol = find_protocol(protocol)
    recognizer = protocol.of(recognizer)
    files = _Files(recognizer, data, part, audit=audit, workers=workers, cluster=cluster, progress=progress)
    files.manifest.announce(tell)
    preprocessor = recognizer.preprocessor
    indexed, broken = files.index(files.records(part), on_error=on_error, max_skipped=max_skipped)
    if not indexed:
        raise UserError(f"part {part!r} has no video that can be scored ({len(broken)} skipped)")
    scores, views, right = [], 0, 0
    for file in score(
        recognizer.model,
        preprocessor,
        files.cached(indexed, cache, verify),
        masked=recognizer.spec.masked,
        average=protocol.average if preprocessor.has_views else "probabilities",
        batch_size=batch_size,
        workers=workers,
        cluster=cluster,
    ):
        scores.append(file.scores)
        views += file.fusion.count
        right += int(file.fusion.votes[file.record.label])
        progress("scoring", len(scores), len(indexed), part)
    scored = tuple(record for record, _ in indexed)
    return Evaluation(
        name=recognizer.model.name,
        class_names=recognizer.class_names,
        records=scored,
        labels=np.array([record.label for record in scored]),
        scores=np.stack(scores),
        skipped=tuple(str(error) for error in broken),
        protocol=protocol.words(recognizer),
        part=part,
        official=files.manifest.official.get(part),
        manifest=files.manifest.sha256,
        floors=files.floors(indexed) if floors else None,
        views=views,
        view_accuracy=right / views,
    )


def floors_of_part(
    recognizer: Recognizer,
    data: PathLike,
    *,
    part: str,
    audit: PathLike | None = None,
    workers: int = 2,
    progress: StageProgress | None = None,
) -> Mapping[str, float] | None:
    """What simple classifiers reach on a part of a set of videos, see `floors`, without scoring the model.

    Args:
        recognizer: the model, which tells the parts and how a file is read.
        data: as of `evaluate`; so are the others.
        part: `"validation"` or `"test"`. Files that cannot be read are left out.
        audit: as of `evaluate`.
        workers: as of `evaluate`.
        progress: as of `evaluate`.

    Returns:
        Name to accuracy, or None where there is no training part or no file to judge.

    Raises:
        UserError: as `evaluate`.
    """
    progress = progress or silent
    files = _Files(recognizer, data, part, audit=audit, workers=workers, progress=progress)
    indexed, _ = files.index(drawn(files.records(part)), on_error="skip", max_skipped=1.0)
    return files.floors(indexed)


class _Files:
    """The files of a set, split as for the training of a recognizer, of which one part is looked at."""

    def __init__(
        self,
        recognizer: Recognizer,
        data: PathLike,
        part: str,
        *,
        audit: PathLike | None,
        workers: int,
        cluster: Cluster | None = None,
        progress: StageProgress,
    ) -> None:
        self.recognizer = recognizer
        self.table = recognizer.about.get("recipe", {}).get("data", {})
        keys = ("dataset", "split", "manifest", "options")
        self.manifest = read_set(data, **{key: self.table.get(key) for key in keys})
        self.part = part
        self.workers = workers
        self.cluster = cluster
        self.progress = progress
        self.index = functools.partial(
            recognizer.preprocessor.index,
            audit=None if audit is None else read_audit(audit),
            workers=max(workers, 1),
            cluster=cluster,
            progress=lambda done, total: progress("videos", done, total, part),
        )

    def records(self, part: str) -> list[Record]:
        """The records of a part, with the class ids of the model."""
        records = _part(self.recognizer, self.manifest, self.table, part)
        return _with_labels_of(self.recognizer, self.manifest, records)

    def cached(self, indexed: Indexed, folder: PathLike | None, verify: bool) -> Indexed:
        """These files of the part, of videos with decoded frames from `folder` where it is given."""
        preprocessor = self.recognizer.preprocessor
        if folder is None or not preprocessor.cacheable:
            return indexed
        return preprocessor.cached(
            indexed,
            folder,
            index=None,
            verify=verify,
            cluster=self.cluster,
            progress=lambda done, total: self.progress("frames", done, total, self.part),
        )

    def floors(self, indexed: Indexed) -> Mapping[str, float] | None:
        """What simple classifiers reach on these files of the part, having seen the training part."""
        if self.part not in ("validation", "test") or not indexed:
            return None
        try:
            learned = drawn(_part(self.recognizer, self.manifest, self.table, "train"))
        except UserError:  # these data have none
            return None
        learned = _with_labels_of(self.recognizer, self.manifest, learned)
        train, _ = self.index(learned, on_error="skip", max_skipped=1.0)
        return find_floors(
            self.recognizer.preprocessor,
            train,
            drawn(indexed),
            workers=self.workers,
            cluster=self.cluster,
            progress=lambda done, total: self.progress("floors", done, total, self.part),
        )


def _part(
    recognizer: Recognizer, manifest: Manifest, table: Mapping[str, Any], part: str
) -> tuple[Record, ...]:
    """The records of a part, split as for training."""
    if part == "all":
        return manifest.records
    has_splits = any(record.split for record in manifest.records)
    trained_on = recognizer.about.get("data", {}).get("sha256")
    if trained_on == manifest.sha256:
        parts = split_manifest(
            manifest,
            test_fold=table.get("test_fold"),
            test_fraction=table.get("test_fraction", 0.25),
            validation_fraction=table.get("validation_fraction", 0.0),
            per_class=table.get("per_class"),
            seed=table.get("split_seed", 0),
        )
    elif has_splits:  # which may be a test part alone
        parts = {
            name: tuple(record for record in manifest.records if record.split == name)
            for name in ("train", "validation", "test")
        }
    else:
        raise UserError(
            "this data has no splits of its own and is not the data that the model was trained on, "
            "so its training videos cannot be told from others: use --part all"
        )
    if part not in parts:
        raise UserError(f"`part` must be one of {', '.join(parts)}, all. Received: part={part!r}")
    if not parts[part]:
        raise UserError(f"this data has no videos in part {part!r}")
    return parts[part]


def _with_labels_of(recognizer: Recognizer, manifest: Manifest, records: Sequence[Record]) -> list[Record]:
    """The records with the model's class ids, which need not be the manifest's."""
    ids = {name: number for number, name in enumerate(recognizer.class_names)}
    relabeled = []
    for record in records:
        name = manifest.class_names[record.label]
        if name not in ids:
            raise UserError(
                f"{record.path}: its label {name!r} is not one of the model's classes: "
                f"{', '.join(recognizer.class_names)}"
            )
        relabeled.append(replace(record, label=ids[name]))
    return relabeled


def _numbers(values: Iterable[float]) -> list[float | None]:
    """As JSON has them: no NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
