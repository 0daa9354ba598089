"""How a model looks at a file of features."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import numpy as np

from keras_actrec._types import PathLike, Shape
from keras_actrec.data._ahead import Part, ReadOptions, read_ahead
from keras_actrec.data._batches import Features
from keras_actrec.data._video_error import VideoError
from keras_actrec.data.features import FEATURE_SUFFIXES, FeatureFile, index_features, open_features
from keras_actrec.data.loader import DatasetOptions, FeatureDataset
from keras_actrec.data.manifest import Record
from keras_actrec.data.preprocessors._common import Indexed, Sampled
from keras_actrec.data.summaries import few, summary_of_features
from keras_actrec.errors import UserError

_BLOCK = 64  # steps of a file of features that are read at a time


@dataclass(frozen=True)
class FeaturePreprocessor(Sampled):
    """Some steps of a file of features, for models with the input `features (B, T, D)` or `(B, T, H, W, D)`.

    Attributes:
        sampling: which steps.
        step: shape of a step, `(D,)` or `(H, W, D)`; `None` where only the data will tell it, see `of`.
        name: of the model's input.
        files: what the files are, see `files_of`.
        form: None, as they have no joints.
        body: likewise.
        cacheable: whether something is computed once of a file; these were.
        causal: whether a step follows from the steps up to it.
        drawn: names of what changes frames at random in training; steps are drawn, but not changed.
        whole: what to set in a recipe for samples without padding.
    """

    step: tuple[int, ...] | None = None

    name: ClassVar[Literal["features"]] = "features"
    files: ClassVar[Literal["features"]] = "features"
    form: ClassVar[None] = None
    body: ClassVar[None] = None
    cacheable: ClassVar[Literal[False]] = False
    causal: ClassVar[Literal[True]] = True
    drawn: ClassVar[tuple[str, ...]] = ()
    whole: ClassVar[str] = "features.short='stretch'"

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the names of files are like that it reads."""
        return tuple(f"*{suffix}" for suffix in FEATURE_SUFFIXES)

    @property
    def num_views(self) -> int | None:
        """How often a file is looked at; `None` where that depends on its length."""
        return self.sampling.num_views

    @property
    def has_views(self) -> bool:
        """Whether a file is looked at more than once."""
        return self.num_views != 1

    @property
    def protocol(self) -> str:
        """What is seen of a file, in words."""
        return self.sampling.words("step")

    def read(self, path: PathLike) -> tuple[np.ndarray, np.ndarray]:
        """Read a file: float32 `(T, D)` or `(T, H, W, D)` and mask bool `(T,)`.

        Raises:
            VideoError: for a file that cannot be used, or whose steps have another shape.
        """
        steps, mask, _ = Features(self.sampling).load(self.item(path), None)
        return steps, mask

    def following(self, *, carried: bool = True) -> Callable[[np.ndarray], np.ndarray]:
        """A function of the next steps of a stream, `(N, ...)`: what the model sees of them."""

        def checked(steps: np.ndarray) -> np.ndarray:
            steps = np.asarray(steps, "float32")
            self.check(steps)
            return steps

        return checked

    def pace(self, record: Record) -> tuple[float, int]:
        """Steps a second, 0 as it is not known, and number of steps of the file.

        Raises:
            VideoError: for a file that cannot be used.
        """
        return 0.0, self._open(record).frames

    def each_step(self, record: Record, every: int) -> Iterator[tuple[float | None, np.ndarray]]:
        """Every so many steps one, and None for the time.

        Raises:
            VideoError: for a file that cannot be used.
        """
        file = self._open(record)
        for start in range(0, file.frames, every * _BLOCK):
            for step in file.read(np.arange(start, min(start + every * _BLOCK, file.frames), every)):
                yield None, step

    def item(self, path: PathLike) -> tuple[Record, Any]:
        """A file that is not read yet, for `views`."""
        return Record(Path(path), str(path), 0), self._open

    def _open(self, record: Record) -> FeatureFile:
        found = open_features(record.file).between(record.start, record.stop)
        return found if self.step is None else found.with_step(self.step, "the model takes")

    def check(self, steps: np.ndarray) -> None:
        """Refuse steps of another shape than the model takes.

        Raises:
            UserError: for these.
        """
        if steps.shape[1:] != self.step:
            takes = ", ".join(map(str, ("T", *(self.step or ()))))
            raise UserError(f"this model takes features ({takes}). Received: shape {steps.shape}")

    def changed(
        self, sampling: Mapping[str, Any], transform: Mapping[str, Any], *, full_resolution: bool = False
    ) -> "FeaturePreprocessor":
        """The preprocessor with other values of its `Sampling`, by name.

        Raises:
            UserError: for a `transform` that shows a frame more than once, or larger.
        """
        if full_resolution or transform.get("num_crops", 1) > 1:
            raise UserError("its crops are of frames of videos, and this model sees features; leave it out")
        return replace(self, sampling=replace(self.sampling, **sampling))

    def check_classes(self, num_classes: int) -> None:
        """Accept any number: nothing depends on the classes."""

    def of(self, indexed: Indexed) -> "FeaturePreprocessor":
        """The preprocessor for steps of the shape that `index` found."""
        return replace(self, step=indexed[0][1].step) if indexed else self

    def index(self, records: Iterable[Record], **options: Any) -> tuple[Indexed, list[VideoError]]:
        """What files of features say of themselves, and the errors of bad ones: see `index_features`."""
        return index_features(records, step=self.step, **options)

    def shape(self, indexed: Indexed) -> Shape:
        """Shape of a sample, `(T, D)` or `(T, H, W, D)`, without the batch."""
        return (self.sampling.frames, *(self.of(indexed).step or ()))

    def batches(self, indexed: Indexed, **options: Unpack[DatasetOptions]) -> FeatureDataset:
        """A `FeatureDataset` of what `index` found."""
        return FeatureDataset(indexed, self.sampling, **options)

    def views(self, indexed: Indexed, **options: Unpack[ReadOptions]) -> Iterator[Part | None]:
        """All clips of what `index` found, or of `item`s: see `read_ahead`."""
        return read_ahead(Features(self.sampling), indexed, **options)

    def summary(self, item: tuple[Record, Any]) -> dict[str, np.ndarray]:
        """A file that `index` found in a few numbers: see `summary_of_features`."""
        return summary_of_features(item[1].read(few(item[1].frames)))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `preprocessor_of`."""
        return {"sampling": asdict(self.sampling), "step": self.step and list(self.step)}
