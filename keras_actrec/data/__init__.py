"""Videos in: which exist, their frames, clips of them, batches for Keras."""

import importlib
from typing import TYPE_CHECKING, Any

from keras_actrec.bodies import Body, body, list_bodies, map_joints
from keras_actrec.data._video_error import VideoError
from keras_actrec.data.audit import Audit, audit_videos, read_audit
from keras_actrec.data.cache import CachedVideo, cache_frames, shard
from keras_actrec.data.datasets import (
    files_of,
    holds_skeletons,
    index_skeletons,
    kind_of,
    list_datasets,
    read_dataset,
    read_set,
    read_skeleton,
    read_whole,
)
from keras_actrec.data.decode import VideoInfo, index_videos, iter_frames, probe, read_frames
from keras_actrec.data.features import FEATURE_SUFFIXES, FeatureFile, index_features, open_features
from keras_actrec.data.manifest import VIDEO_SUFFIXES, Manifest, Record, read_manifest
from keras_actrec.data.pack import pack_videos
from keras_actrec.data.persons import Persons
from keras_actrec.data.poses import POSE_SUFFIXES, Pose, read_pose, write_pose
from keras_actrec.data.sampling import Sampling, clip_rng
from keras_actrec.data.skeletons import SkeletonTransform
from keras_actrec.data.sources import expand_sources
from keras_actrec.data.splits import split_manifest
from keras_actrec.data.synthetic import SYNTHETIC_PAIRS, synthetic_clip, write_synthetic
from keras_actrec.data.transforms import ClipTransform

__all__ = [
    "Audit",
    "Body",
    "CachedVideo",
    "ClipDataset",
    "ClipPreprocessor",
    "ClipTransform",
    "FEATURE_SUFFIXES",
    "FeatureDataset",
    "FeatureFile",
    "FeaturePreprocessor",
    "FollowEpoch",
    "Manifest",
    "POSE_SUFFIXES",
    "Persons",
    "Pose",
    "Record",
    "SYNTHETIC_PAIRS",
    "Sampling",
    "SkeletonDataset",
    "SkeletonPreprocessor",
    "SkeletonTransform",
    "VIDEO_SUFFIXES",
    "VideoError",
    "VideoInfo",
    "audit_videos",
    "body",
    "cache_frames",
    "clip_rng",
    "expand_sources",
    "extract_features",
    "files_of",
    "holds_skeletons",
    "index_features",
    "index_skeletons",
    "index_videos",
    "iter_frames",
    "kind_of",
    "list_bodies",
    "list_datasets",
    "map_joints",
    "open_features",
    "pack_videos",
    "preprocessor_of",
    "probe",
    "raising_failures",
    "read_audit",
    "read_dataset",
    "read_frames",
    "read_manifest",
    "read_pose",
    "read_set",
    "read_skeleton",
    "read_whole",
    "shard",
    "split_manifest",
    "synthetic_clip",
    "write_pose",
    "write_synthetic",
]

# The names in modules that need Keras, which are loaded when they are first used: a process that only decodes
# videos has no use for them.
_HOMES = {
    "ClipDataset": "loader",
    "ClipPreprocessor": "preprocessors",
    "FeatureDataset": "loader",
    "FeaturePreprocessor": "preprocessors",
    "FollowEpoch": "loader",
    "SkeletonDataset": "loader",
    "SkeletonPreprocessor": "preprocessors",
    "extract_features": "extract",
    "preprocessor_of": "preprocessors",
    "raising_failures": "loader",
}

if TYPE_CHECKING:  # for editors and type checkers, which do not see what `__getattr__` gives
    from keras_actrec.data.extract import extract_features
    from keras_actrec.data.loader import (
        ClipDataset,
        FeatureDataset,
        FollowEpoch,
        SkeletonDataset,
        raising_failures,
    )
    from keras_actrec.data.preprocessors import (
        ClipPreprocessor,
        FeaturePreprocessor,
        SkeletonPreprocessor,
        preprocessor_of,
    )
else:

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
