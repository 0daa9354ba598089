"""How a model looks at a video."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import keras
import numpy as np

from keras_actrec._numbers import whole
from keras_actrec._types import PathLike, Shape
from keras_actrec.data._ahead import Part, ReadOptions, read_ahead
from keras_actrec.data._batches import Clips
from keras_actrec.data._readers import open_video
from keras_actrec.data._video_error import VideoError
from keras_actrec.data.cache import CachedVideo, cache_frames
from keras_actrec.data.decode import index_videos, iter_frames, iter_timed, pick_timed, probe, sized
from keras_actrec.data.extract import extract_features
from keras_actrec.data.loader import ClipDataset, DatasetOptions, FeatureDataset
from keras_actrec.data.manifest import Record
from keras_actrec.data.preprocessors._common import Indexed, Sampled, check_swap
from keras_actrec.data.sampling import Sampling
from keras_actrec.data.sources import VIDEO_PATTERNS
from keras_actrec.data.summaries import few, summary_of_frames
from keras_actrec.data.transforms import ClipTransform, Region
from keras_actrec.errors import UserError


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
class ClipPreprocessor(Sampled):
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

    def following(self, *, carried: bool = True) -> Callable[[np.ndarray], np.ndarray]:
        """A function of the next frames of a stream, `(N, H, W, 3)`: what the model sees of them."""
        return self.transform.deterministic

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
        check_swap("clip", self.transform.swap, num_classes)

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
