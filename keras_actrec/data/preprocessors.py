"""How a model looks at a file: which part of it, and in which form.

`ClipPreprocessor`, `SkeletonPreprocessor` and `FeaturePreprocessor` are asked the same things. What only
clips have comes after a question: `cached`, `extracted` and `feature_batches` where it is `cacheable`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypeAlias, Unpack

import keras
import numpy as np

from keras_actrec._numbers import whole
from keras_actrec._types import PathLike, Shape
from keras_actrec.bodies import Body, body, map_joints
from keras_actrec.data._ahead import Part, ReadOptions, read_ahead
from keras_actrec.data._batches import Clips, Features, Skeletons
from keras_actrec.data._readers import open_video
from keras_actrec.data._video_error import VideoError
from keras_actrec.data.cache import CachedVideo, cache_frames
from keras_actrec.data.datasets import index_skeletons, patterns_of_joints, read_joints
from keras_actrec.data.decode import index_videos, iter_frames, iter_timed, pick_timed, probe, sized
from keras_actrec.data.extract import extract_features
from keras_actrec.data.features import FEATURE_SUFFIXES, FeatureFile, index_features, open_features
from keras_actrec.data.loader import ClipDataset, DatasetOptions, FeatureDataset, SkeletonDataset
from keras_actrec.data.manifest import Record
from keras_actrec.data.persons import Persons
from keras_actrec.data.sampling import Sampling
from keras_actrec.data.skeletons import SkeletonForm, SkeletonSteps, SkeletonTransform
from keras_actrec.data.sources import VIDEO_PATTERNS
from keras_actrec.data.summaries import few, summary_of_features, summary_of_frames, summary_of_joints
from keras_actrec.data.transforms import ClipTransform, Region
from keras_actrec.errors import UserError

if TYPE_CHECKING:
    from keras_actrec.data.audit import Audit

# Records, each with what `index` knows of it (`VideoInfo`, `FeatureFile` or joints) or a cache keeps
# (`CachedVideo`).
Indexed: TypeAlias = Sequence[tuple[Record, Any]]

_BLOCK = 64  # steps of a file of features that are read at a time


@dataclass(frozen=True, eq=False)
class Original:
    """A clip beside the frames that it was made of.

    Attributes:
        frames: uint8 `(T, H, W, 3)`, RGB, as they are in the file.
        region: what of them the clip shows.
        seconds: from the file's first frame to each of these, `(T,)`, or None where nothing tells.
        clip: uint8 `(T, size, size, 3)`, as the model sees it.
        mask: bool `(T,)`, false where a frame only fills up.
    """

    frames: np.ndarray
    region: Region
    seconds: np.ndarray | None
    clip: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class ClipPreprocessor:
    """Clips of a video, for models with the input `clip (B, T, H, W, 3)`.

    Attributes:
        sampling: which frames of the video.
        transform: how they are sized.
        name: of the model's input.
        files: what the files are, see `files_of`.
        form: None, as they have no joints.
        body: likewise.
        cacheable: whether something is computed once of a file, and kept on disk.
        causal: whether a step follows from the frames up to it.
        whole: what to set in a recipe for samples without padding.
    """

    sampling: Sampling
    transform: ClipTransform

    name: ClassVar[Literal["clip"]] = "clip"
    files: ClassVar[Literal["videos"]] = "videos"
    form: ClassVar[None] = None
    body: ClassVar[None] = None
    cacheable: ClassVar[Literal[True]] = True
    causal: ClassVar[Literal[True]] = True
    whole: ClassVar[str] = "clip.short='stretch'"

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the names of files are like that it reads."""
        return VIDEO_PATTERNS

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of what changes frames at random in training, which nothing computed once allows."""
        return self.transform.drawn

    @property
    def masks(self) -> bool:
        """Whether steps can be padding, so that the model needs a mask."""
        return self.sampling.masks

    @property
    def num_views(self) -> int | None:
        """How often a video is looked at, in clips and crops; `None` where that depends on its length."""
        clips = self.sampling.num_views
        return None if clips is None else clips * self.transform.num_crops

    @property
    def has_views(self) -> bool:
        """Whether a video is looked at more than once."""
        return self.num_views != 1

    @property
    def protocol(self) -> str:
        """What is seen of a video, in words."""
        transform = self.transform
        crop = "whole frame" if transform.crop == "none" else "center crop"
        crop = crop if transform.num_crops == 1 else f"{transform.num_crops} crops"
        return f"{self.sampling.words()}, {crop} {transform.size}"

    def read(self, path: PathLike) -> tuple[np.ndarray, np.ndarray]:
        """Read a video: frames uint8 `(T, H, W, 3)` and mask bool `(T,)`.

        Raises:
            VideoError: for a file that cannot be used.
        """
        clip, mask, _ = Clips(self.sampling, self.transform).load(self.item(path), None)
        return clip, mask

    def original(self, path: PathLike, crop: int | None = None) -> Original:
        """What `read` reads of a video, and the frames as they are in it.

        Args:
            path: the video.
            crop: number, from 0 on, of one of the transform's `crops`; by default the one that `read` gives.

        Raises:
            VideoError: for a file that cannot be used.
            UserError: for a crop that the transform does not have.
        """
        transform = replace(self.transform, num_crops=1) if crop is None else self.transform
        number = 0 if crop is None else whole("crop", crop, 0, transform.num_crops - 1)
        video = probe(path)
        indices, mask = self.sampling.indices(video.frames)
        wanted, places = np.unique(indices, return_inverse=True)
        times, found = zip(*pick_timed(path, wanted), strict=True)
        size = video.height, video.width
        frames = np.stack([sized(frame, size) for frame in found])[places]
        seconds = None if None in times else np.array(times, "float64")[places]
        clip = transform.crops(frames)[number]
        return Original(frames, transform.regions(*size)[number], seconds, clip, mask)

    @property
    def steps(self) -> int:
        """T, steps of a sample."""
        return self.sampling.frames

    @property
    def every(self) -> int:
        """Frames of the file from one step of a sample to its next; 1 where it spans the whole file."""
        return self.sampling.frame_step * self.sampling.stride

    def following(self, *, carried: bool = True) -> Callable[[np.ndarray], np.ndarray]:
        """A function of the next frames of a stream, `(N, H, W, 3)`: what the model sees of them."""
        return self.transform.deterministic

    def window(self, steps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The sample and its mask of a file that had only these steps, which `following` gave."""
        return _window(self.sampling, steps)

    @property
    def spreads(self) -> bool:
        """Whether the steps are spread over the whole file, however long."""
        return self.sampling.spreads

    def pace(self, record: Record) -> tuple[float, int]:
        """Frames a second and number of frames as the file claims them, 0 where it does not.

        Raises:
            VideoError: for a file that does not open.
        """
        reader = open_video(record.file, "opencv")
        return reader.fps, max(0, (record.stop or reader.claimed) - (record.start or 0))

    def each_step(self, record: Record, every: int) -> Iterator[tuple[float | None, np.ndarray]]:
        """Every so many frames what `window` takes, with its seconds from the file's first frame on, or None.

        Raises:
            VideoError: for a file that cannot be used, at its end too.
        """
        transform = self.transform.deterministic
        for seconds, frame in iter_timed(record.file, every, start=record.start, stop=record.stop):
            yield seconds, transform(frame[None])[0]

    def item(self, path: PathLike) -> tuple[Record, Any]:
        """A file that is not read yet, for `views`."""
        return Record(Path(path), str(path), 0), None

    def check(self, frames: np.ndarray) -> None:
        """Refuse frames of one clip that are not of the model's size.

        Raises:
            UserError: for these.
        """
        size = self.transform.size
        if frames.ndim != 4 or frames.shape[1:] != (size, size, 3):
            raise UserError(
                f"this model takes frames of {size} x {size} pixels in RGB, (T, {size}, {size}, 3). "
                f"Received: shape {frames.shape}; `read(path)` sizes them"
            )

    def changed(
        self, sampling: Mapping[str, Any], transform: Mapping[str, Any], *, full_resolution: bool = False
    ) -> "ClipPreprocessor":
        """The preprocessor with other values of its `Sampling` and `ClipTransform`, by name.

        With `full_resolution` the side of a crop is the short side that frames have before a center crop,
        `size * 256 // 224`, so that three crops hold the whole frame.
        """
        transform = dict(transform)
        if full_resolution:
            transform["size"] = transform["short_side"] = self.transform.size * 256 // 224
        return ClipPreprocessor(replace(self.sampling, **sampling), replace(self.transform, **transform))

    def check_classes(self, num_classes: int) -> None:
        """Refuse a swap of classes of which the data has fewer.

        Raises:
            UserError: for such a swap.
        """
        _check_swap("clip", self.transform.swap, num_classes)

    def of(self, indexed: Indexed) -> "ClipPreprocessor":
        """The preprocessor itself: nothing of it is told by the data alone."""
        return self

    def index(self, records: Iterable[Record], **options: Any) -> tuple[Indexed, list[VideoError]]:
        """What is known of files before they are read, and the errors of bad ones: see `index_videos`."""
        return index_videos(records, **options)

    def shape(self, indexed: Indexed) -> Shape:
        """Shape of a sample, `(T, H, W, 3)`, without the batch; what `index` found does not change it."""
        return (self.sampling.frames, self.transform.size, self.transform.size, 3)

    def cached(self, indexed: Indexed, out: PathLike, **options: Any) -> list[tuple[Record, CachedVideo]]:
        """What `index` found, with the frames in a cache below `out`: see `cache_frames`."""
        return cache_frames(indexed, self.transform, out, frame_step=self.sampling.frame_step, **options)

    def extracted(
        self,
        indexed: Indexed,
        out: PathLike,
        *,
        backbone: keras.Model,
        **options: Any,
    ) -> list[tuple[Record, CachedVideo]]:
        """What `index` found, with the features that a network gives of it: see `extract_features`."""
        return extract_features(
            indexed, backbone, transform=self.transform, out=out, stride=self.sampling.frame_step, **options
        )

    def feature_batches(self, extracted: Indexed, **options: Unpack[DatasetOptions]) -> FeatureDataset:
        """A `FeatureDataset` of what `extracted` gave."""
        return FeatureDataset(extracted, self.sampling.of_kept(), **options)

    def batches(self, indexed: Indexed, **options: Unpack[DatasetOptions]) -> ClipDataset:
        """A `ClipDataset` of what `index` found, or of the same in a cache of frames."""
        return ClipDataset(indexed, self._sampling(indexed), self.transform, **options)

    def views(self, indexed: Indexed, **options: Unpack[ReadOptions]) -> Iterator[Part | None]:
        """All clips and crops of what `index` found, of the same in a cache of frames, or of `item`s.

        See `read_ahead`.
        """
        return read_ahead(Clips(self._sampling(indexed), self.transform), indexed, **options)

    def summary(self, item: tuple[Record, Any]) -> dict[str, np.ndarray]:
        """A video that `index` found in a few numbers: see `summary_of_frames`."""
        record, video = item
        step = few(video.frames).step
        return summary_of_frames(iter_frames(record.file, step, start=record.start, stop=record.stop))

    def _sampling(self, indexed: Indexed) -> Sampling:
        """The sampling; a cache has left out already what `frame_step` passes over."""
        return self.sampling.of_kept() if isinstance(indexed[0][1], CachedVideo) else self.sampling

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `preprocessor_of`."""
        return {"sampling": asdict(self.sampling), "transform": asdict(self.transform)}


@dataclass(frozen=True)
class SkeletonPreprocessor:
    """A skeleton sequence, for models with the input `features (B, T, D)`.

    Attributes:
        dataset: name of the set in whose form files are, see `list_datasets`.
        transform: how joints are moved and sequences get one length.
        form: what all sequences have; `None` where only the data will tell it, see `of`.
        layout: name of the `body` whose joints these are, or `None`.
        persons: which persons are taken, and what becomes of joints that were not seen.
        shown_as: name of the `body` as whose joints the model sees them, see `map_joints`; `None` for their
            own.
        name: of the model's input.
        files: what the files are, see `files_of`.
        cacheable: whether something is computed once of a file; joints are in memory.
        drawn: names of what changes frames at random in training; a sequence has none.
        whole: what to set in a recipe for samples without padding.
        every: frames from one step to the next.
        num_views: how often a file is looked at.
        has_views: whether that is more than once.
    """

    dataset: str
    transform: SkeletonTransform
    form: SkeletonForm | None = None
    layout: str | None = None
    persons: Persons = Persons()
    shown_as: str | None = None

    name: ClassVar[Literal["features"]] = "features"
    files: ClassVar[Literal["skeletons"]] = "skeletons"
    cacheable: ClassVar[Literal[False]] = False
    drawn: ClassVar[tuple[str, ...]] = ()
    whole: ClassVar[str] = "skeleton.length='resample'"
    every: ClassVar[Literal[1]] = 1
    num_views: ClassVar[Literal[1]] = 1
    has_views: ClassVar[Literal[False]] = False

    @property
    def body(self) -> Body | None:
        """The joints that are seen and the bones between them; None where they are not known."""
        name = self.shown_as or self.layout
        return None if name is None else body(name)

    def joints_of(self, steps: np.ndarray) -> np.ndarray | None:
        """The joints `(T, bodies, joints, 3)` among what a model sees, `(T, D)`; None where it sees none.

        Those of the stream `"posture"` where there is none of `"joints"`.
        """
        streams = self.transform.streams
        name = next((name for name in ("joints", "posture") if name in streams), None)
        if name is None or self.form is None:
            return None
        place = streams.index(name)
        start = 3 * place + (1 if place and self.persons.scores else 0)  # behind the first stream, the score
        channels = steps.reshape(len(steps), self.form.bodies, self.form.joints, -1)
        return channels[..., start : start + 3]

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the names of files are like that it reads."""
        return patterns_of_joints(self.dataset)

    @property
    def masks(self) -> bool:
        """Whether steps can be padding, so that the model needs a mask."""
        return self.transform.length == "pad"

    @property
    def protocol(self) -> str:
        """What is seen of a sequence, in words."""
        how = {"pad": "in the middle, shorter ones padded", "resample": "from the first frame to the last"}
        return f"{self.transform.frames} steps {how[self.transform.length]}"

    def read(self, path: PathLike) -> tuple[np.ndarray, np.ndarray]:
        """Read a file that holds one sequence: float32 `(T, D)` and mask bool `(T,)`.

        Raises:
            VideoError: for a file that cannot be used.
        """
        return self.sample(self.item(path))

    def sample(self, item: tuple[Record, Any]) -> tuple[np.ndarray, np.ndarray]:
        """What is seen of one that `index` found, or of an `item`: float32 `(T, D)` and mask bool `(T,)`."""
        sequence, mask, _ = Skeletons(self.transform).load(item, None)
        return sequence, mask

    @property
    def steps(self) -> int:
        """T, steps of a sample."""
        return self.transform.frames

    @property
    def causal(self) -> bool:
        """Whether a step follows from the frames up to it."""
        return self.transform.length == "pad" and not self.transform.unit_size

    def following(self, *, carried: bool = True) -> Callable[[np.ndarray], np.ndarray]:
        """A function of the next frames of a stream, `(N, bodies, joints, 3)` with any number of bodies.

        The last axis is 4 with scores. Of a stream all persons are taken as they come, and no gap is bridged.

        It gives what the model sees of them, or, without `causal` or where no states are `carried` from step
        to step, joints for `window`.
        """
        steps = SkeletonSteps(self.transform) if self.causal and carried else np.asarray

        def fitted(joints: np.ndarray) -> np.ndarray:
            joints = np.asarray(joints, "float64")
            axes = 4 if self.persons.scores else 3
            if joints.ndim != 4 or joints.shape[-1] != axes:
                wanted = f"joints (N, bodies, joints, {axes})"
                raise UserError(f"this model takes {wanted}. Received: {joints.shape}")
            if self.shown_as is not None and self.layout is not None:
                joints = map_joints(joints, self.layout, self.shown_as)
            return steps(joints if self.form is None else self.form.fitted(Path("the stream"), joints))

        return fitted

    def window(self, steps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The sample and its mask of a file that had only these frames of joints, which `following` gave."""
        return self.transform(np.stack(steps))

    @property
    def spreads(self) -> bool:
        """Whether the steps are spread over the whole file, however long."""
        return self.transform.length == "resample"

    def pace(self, record: Record) -> tuple[float, int]:
        """Frames a second and number of frames as the file claims them, 0: it does not."""
        return 0.0, 0

    def each_step(self, record: Record, every: int) -> Iterator[tuple[float | None, np.ndarray]]:
        """Every so many frames the joints, which `window` takes, and None for the time.

        Raises:
            VideoError: for a file that cannot be used.
        """
        for frame in self._open(record)[::every]:
            yield None, frame

    def item(self, path: PathLike) -> tuple[Record, Any]:
        """A file that is not read yet, for `views`."""
        return Record(Path(path), str(path), 0), self._open

    def _open(self, record: Record) -> np.ndarray:
        joints = read_joints(self.dataset, record, self.persons, self.layout, self.shown_as)
        return joints if self.form is None else self.form.fitted(record.file, joints)

    def check(self, sequence: np.ndarray) -> None:
        """Refuse what is not one sequence.

        Raises:
            UserError: for that.
        """
        if sequence.ndim != 2:
            raise UserError(f"this model takes sequences (T, D). Received: shape {sequence.shape}")

    def changed(
        self, sampling: Mapping[str, Any], transform: Mapping[str, Any], *, full_resolution: bool = False
    ) -> NoReturn:
        """Refuse what clips have.

        Raises:
            UserError: always.
        """
        raise UserError("it is about clips of videos, and this model sees skeletons; leave it out")

    def check_classes(self, num_classes: int) -> None:
        """Refuse a swap of classes of which the data has fewer.

        Raises:
            UserError: for such a swap.
        """
        _check_swap("skeleton", self.transform.swap, num_classes)

    def of(self, indexed: Indexed) -> "SkeletonPreprocessor":
        """The preprocessor for sequences of the form that `index` found."""
        if self.form is not None or not indexed:
            return self
        return replace(self, form=SkeletonForm.of([joints for _, joints in indexed]))

    def index(
        self, records: Iterable[Record], *, audit: "Audit | None" = None, **options: Any
    ) -> tuple[Indexed, list[VideoError]]:
        """The joints of files, all of one form, and the errors of bad ones: see `index_skeletons`.

        It reads every file anyway, so an audit does not shorten it.
        """
        return index_skeletons(
            records,
            self.dataset,
            form=self.form,
            layout=self.layout,
            shown_as=self.shown_as,
            persons=self.persons,
            **options,
        )

    def shape(self, indexed: Indexed) -> Shape:
        """Shape of a sample, `(T, D)`, without the batch: D follows from the joints that `index` found."""
        _, joints = indexed[0]
        sequence, _ = self.transform(joints)
        return sequence.shape

    def batches(self, indexed: Indexed, **options: Unpack[DatasetOptions]) -> SkeletonDataset:
        """A `SkeletonDataset` of what `index` found."""
        return SkeletonDataset(indexed, self.transform, **options)

    def views(self, indexed: Indexed, **options: Unpack[ReadOptions]) -> Iterator[Part | None]:
        """The sequences of what `index` found, or of `item`s: see `read_ahead`."""
        return read_ahead(Skeletons(self.transform), indexed, **options)

    def summary(self, item: tuple[Record, Any]) -> dict[str, np.ndarray]:
        """A sequence that `index` found in a few numbers: see `summary_of_joints`."""
        return summary_of_joints(item[1])

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `preprocessor_of`."""
        form = None if self.form is None else asdict(self.form)
        values = {"transform": asdict(self.transform), "persons": asdict(self.persons)}
        names = {"layout": self.layout, "shown_as": self.shown_as}
        return {"dataset": self.dataset, **values, "form": form, **names}


@dataclass(frozen=True)
class FeaturePreprocessor:
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

    sampling: Sampling
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
    def masks(self) -> bool:
        """Whether steps can be padding, so that the model needs a mask."""
        return self.sampling.masks

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

    @property
    def steps(self) -> int:
        """T, steps of a sample."""
        return self.sampling.frames

    @property
    def every(self) -> int:
        """Steps of the file from one step of a sample to its next; 1 where it spans the whole file."""
        return self.sampling.frame_step * self.sampling.stride

    def following(self, *, carried: bool = True) -> Callable[[np.ndarray], np.ndarray]:
        """A function of the next steps of a stream, `(N, ...)`: what the model sees of them."""

        def checked(steps: np.ndarray) -> np.ndarray:
            steps = np.asarray(steps, "float32")
            self.check(steps)
            return steps

        return checked

    def window(self, steps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The sample and its mask of a file that had only these steps, which `following` gave."""
        return _window(self.sampling, steps)

    @property
    def spreads(self) -> bool:
        """Whether the steps are spread over the whole file, however long."""
        return self.sampling.spreads

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


def _check_swap(table: str, swap: Iterable[Iterable[int]], num_classes: int) -> None:
    foreign = [label for pair in swap for label in pair if label >= num_classes]
    if foreign:
        raise UserError(f"{table}.swap names class {foreign[0]}, but the data has {num_classes}, from 0 on")


def _window(sampling: Sampling, steps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of steps that are a file's, those that one clip has."""
    whole = replace(sampling, stride=1, frame_step=1, num_clips=1, hop=None)
    indices, mask = whole.indices(len(steps))
    return np.stack([steps[index] for index in indices]), mask


# What tells them apart, for people and for mypy: `files`, `name`, `cacheable`, `has_views`.
Preprocessor: TypeAlias = ClipPreprocessor | SkeletonPreprocessor | FeaturePreprocessor


def preprocessor_of(values: Mapping[str, Any]) -> Preprocessor:
    """The preprocessor that `to_json` wrote."""
    if "dataset" in values:
        form = values.get("form")  # which files of older versions do not say
        return SkeletonPreprocessor(
            values["dataset"],
            SkeletonTransform(**values["transform"]),
            form and SkeletonForm(**form),
            values.get("layout"),
            Persons(**values.get("persons", {})),
            values.get("shown_as"),
        )
    sampling = Sampling(**values["sampling"])
    if "step" in values:
        return FeaturePreprocessor(sampling, values["step"] and tuple(values["step"]))
    return ClipPreprocessor(sampling, ClipTransform(**values["transform"]))
