"""Videos in: which exist, their frames, clips of them, batches for Keras."""

import importlib
from typing import Any

from keras_actrec.data._video_error import VideoError
from keras_actrec.data.audit import Audit, audit_videos, read_audit
from keras_actrec.data.cache import CachedVideo, cache_frames, shard
from keras_actrec.data.datasets import (
    holds_skeletons,
    index_skeletons,
    list_datasets,
    read_dataset,
    read_set,
    read_skeleton,
)
from keras_actrec.data.decode import VideoInfo, index_videos, iter_frames, probe, read_frames
from keras_actrec.data.manifest import VIDEO_SUFFIXES, Manifest, Record, read_manifest
from keras_actrec.data.poses import POSE_SUFFIXES, Pose, read_pose, write_pose
from keras_actrec.data.sampling import Sampling, clip_rng
from keras_actrec.data.skeletons import SkeletonTransform
from keras_actrec.data.splits import split_manifest
from keras_actrec.data.synthetic import SYNTHETIC_PAIRS, synthetic_clip, write_synthetic
from keras_actrec.data.transforms import ClipTransform

# The modules that need Keras are loaded when they are first used: a worker process has no use for them.
_LAZY = {
    "ClipDataset": "loader",
    "ClipPreprocessor": "preprocessors",
    "FeatureDataset": "loader",
    "FollowEpoch": "loader",
    "SkeletonDataset": "loader",
    "SkeletonPreprocessor": "preprocessors",
    "ViewDataset": "loader",
    "extract_features": "extract",
    "preprocessor_of": "preprocessors",
    "raising_failures": "loader",
}

__all__ = [
    *_LAZY,
    "Audit",
    "CachedVideo",
    "ClipTransform",
    "Manifest",
    "POSE_SUFFIXES",
    "Pose",
    "Record",
    "SYNTHETIC_PAIRS",
    "Sampling",
    "SkeletonTransform",
    "VIDEO_SUFFIXES",
    "VideoError",
    "VideoInfo",
    "audit_videos",
    "cache_frames",
    "clip_rng",
    "holds_skeletons",
    "index_skeletons",
    "index_videos",
    "iter_frames",
    "list_datasets",
    "probe",
    "read_audit",
    "read_dataset",
    "read_frames",
    "read_manifest",
    "read_pose",
    "read_set",
    "read_skeleton",
    "shard",
    "split_manifest",
    "synthetic_clip",
    "write_pose",
    "write_synthetic",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
