"""How a model looks at a file: which part of it, and in which form.

`ClipPreprocessor` and `SkeletonPreprocessor` have the same methods: nobody outside of this package asks which
of them it has.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from keras_actrec.data.cache import CachedVideo, cache_frames
from keras_actrec.data.datasets import index_skeletons, read_skeleton
from keras_actrec.data.decode import index_videos, probe, read_frames
from keras_actrec.data.extract import extract_features
from keras_actrec.data.loader import ClipDataset, FeatureDataset, SkeletonDataset, ViewDataset
from keras_actrec.data.manifest import Record
from keras_actrec.data.sampling import Sampling
from keras_actrec.data.skeletons import SkeletonTransform
from keras_actrec.data.transforms import ClipTransform
from keras_actrec.errors import UserError


@dataclass(frozen=True)
class ClipPreprocessor:
    """Clips of a video, for models with the input `clip (B, T, H, W, 3)`.

    Attributes:
        sampling: a `Sampling`, which frames of the video.
        transform: a `ClipTransform`, how they are sized.
    """

    sampling: Sampling
    transform: ClipTransform

    name = "clip"
    cacheable = True  # whether something is computed once of a file
    whole = "clip.short='stretch'"  # what to set in a recipe for samples without padding

    @property
    def is_random(self):
        """Whether frames are changed at random in training."""
        return self.transform.is_random

    @property
    def masks(self):
        """Whether steps can be padding, so that the model needs a mask."""
        return self.sampling.masks

    @property
    def has_views(self):
        """Whether a video is looked at more than once."""
        return (
            self.sampling.method == "sequences" or self.sampling.num_clips > 1 or self.transform.num_crops > 1
        )

    @property
    def protocol(self):
        """What is seen of a video, in words."""
        sampling, transform = self.sampling, self.transform
        step = f", stride {sampling.stride}" if sampling.stride > 1 else ""
        kept = f", 1 frame in {sampling.frame_step}" if sampling.frame_step > 1 else ""
        clips = "1 clip" if sampling.num_clips == 1 else f"{sampling.num_clips} clips"
        clips = "all clips" if sampling.method == "sequences" else clips
        crop = "whole frame" if transform.crop == "none" else "center crop"
        crop = crop if transform.num_crops == 1 else f"{transform.num_crops} crops"
        return f"{clips} of {sampling.frames} frames ({sampling.method}{step}{kept}), {crop} {transform.size}"

    def read(self, path):
        """Read a video: frames uint8 `(T, H, W, 3)` and mask bool `(T,)`. Else a `VideoError`."""
        indices, mask = self.sampling.indices(probe(path).frames)
        return self.transform(read_frames(path, indices)), mask

    def check(self, frames):
        """Refuse frames of one clip that are not of the model's size."""
        size = self.transform.size
        if frames.ndim != 4 or frames.shape[1:] != (size, size, 3):
            raise UserError(
                f"this model takes frames of {size} x {size} pixels in RGB, (T, {size}, {size}, 3). "
                f"Received: shape {frames.shape}; `read(path)` sizes them"
            )

    def check_classes(self, num_classes):
        """Refuse a swap of classes of which the data has fewer."""
        foreign = [label for pair in self.transform.swap for label in pair if label >= num_classes]
        if foreign:
            raise UserError(f"clip.swap names class {foreign[0]}, but there are {num_classes}, from 0 on")

    def index(self, records, **options):
        """`index_videos`."""
        return index_videos(records, **options)

    def shape(self, indexed):
        """Shape of a sample, `(T, H, W, 3)`, without the batch; what `index` found does not change it."""
        return (self.sampling.frames, self.transform.size, self.transform.size, 3)

    def cached(self, indexed, out, **options):
        """What `index` found, with the frames in a cache below `out`: see `cache_frames`."""
        return cache_frames(indexed, self.transform, out, frame_step=self.sampling.frame_step, **options)

    def extracted(self, indexed, out, *, backbone, **options):
        """What `index` found, with the features that a network gives of it: see `extract_features`."""
        return extract_features(
            indexed, backbone, transform=self.transform, out=out, stride=self.sampling.frame_step, **options
        )

    def feature_batches(self, extracted, **options):
        """A `FeatureDataset` of what `extracted` gave."""
        return FeatureDataset(extracted, self.sampling.of_kept(), **options)

    def batches(self, indexed, **options):
        """A `ClipDataset` of what `index` found, or of the same in a cache of frames."""
        return ClipDataset(indexed, self._sampling(indexed), self.transform, **options)

    def views(self, indexed, **options):
        """A `ViewDataset` of what `index` found, or of the same in a cache of frames."""
        return ViewDataset(indexed, self._sampling(indexed), self.transform, **options)

    def _sampling(self, indexed):
        """The cache has left out what `frame_step` passes over."""
        return self.sampling.of_kept() if isinstance(indexed[0][1], CachedVideo) else self.sampling

    def to_json(self):
        """Plain values, for `preprocessor_of`."""
        return {"sampling": asdict(self.sampling), "transform": asdict(self.transform)}


@dataclass(frozen=True)
class SkeletonPreprocessor:
    """A skeleton sequence, for models with the input `features (B, T, D)`.

    Attributes:
        dataset: name of the set in whose form files are, see `list_datasets`.
        transform: a `SkeletonTransform`.
    """

    dataset: str
    transform: SkeletonTransform

    name = "features"
    cacheable = False
    is_random = False
    whole = "skeleton.length='resample'"
    has_views = False

    @property
    def masks(self):
        """Whether steps can be padding, so that the model needs a mask."""
        return self.transform.length == "pad"

    @property
    def protocol(self):
        """What is seen of a sequence, in words."""
        how = {"pad": "in the middle, shorter ones padded", "resample": "from the first frame to the last"}
        return f"{self.transform.frames} steps {how[self.transform.length]}"

    def read(self, path):
        """Read a file that holds one sequence: float32 `(T, D)` and mask bool `(T,)`. Else a `VideoError`."""
        return self.transform(read_skeleton(self.dataset, Record(Path(path), str(path), 0)))

    def check(self, sequence):
        """Refuse what is not one sequence."""
        if sequence.ndim != 2:
            raise UserError(f"this model takes sequences (T, D). Received: shape {sequence.shape}")

    def check_classes(self, num_classes):
        """Nothing depends on the classes."""

    def index(self, records, *, audit=None, **options):
        """`index_skeletons`; it reads every file anyway, so an audit does not shorten it."""
        return index_skeletons(records, self.dataset, **options)

    def shape(self, indexed):
        """Shape of a sample, `(T, D)`, without the batch: D follows from the joints that `index` found."""
        _, joints = indexed[0]
        sequence, _ = self.transform(joints)
        return sequence.shape

    def batches(self, indexed, **options):
        """A `SkeletonDataset` of what `index` found."""
        return SkeletonDataset(indexed, self.transform, **options)

    def to_json(self):
        """Plain values, for `preprocessor_of`."""
        return {"dataset": self.dataset, "transform": asdict(self.transform)}


def preprocessor_of(values):
    """The input that `to_json` wrote."""
    if "sampling" in values:
        return ClipPreprocessor(Sampling(**values["sampling"]), ClipTransform(**values["transform"]))
    return SkeletonPreprocessor(values["dataset"], SkeletonTransform(**values["transform"]))
