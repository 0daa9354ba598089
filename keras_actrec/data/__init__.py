"""Videos in: which there are, their frames, clips of them, batches for Keras."""

from keras_actrec.data.audit import Audit, audit_videos, read_audit
from keras_actrec.data.datasets import (
    holds_skeletons,
    index_skeletons,
    list_datasets,
    read_dataset,
    read_set,
    read_skeleton,
)
from keras_actrec.data.decode import VideoError, VideoInfo, index_videos, iter_frames, probe, read_frames
from keras_actrec.data.extract import FeatureItem, extract_features
from keras_actrec.data.inputs import ClipInput, SkeletonInput, input_of
from keras_actrec.data.loader import ClipDataset, FeatureDataset, FollowEpoch, SkeletonDataset, ViewDataset
from keras_actrec.data.manifest import VIDEO_SUFFIXES, Manifest, Record, read_manifest
from keras_actrec.data.poses import POSE_SUFFIXES, Pose, read_pose, write_pose
from keras_actrec.data.sampling import Sampling, clip_rng
from keras_actrec.data.skeletons import SkeletonTransform
from keras_actrec.data.splits import split_manifest
from keras_actrec.data.synthetic import SYNTHETIC_PAIRS, synthetic_clip, write_synthetic
from keras_actrec.data.transforms import ClipTransform

__all__ = [
    "Audit",
    "ClipDataset",
    "ClipInput",
    "ClipTransform",
    "FeatureDataset",
    "FeatureItem",
    "FollowEpoch",
    "Manifest",
    "POSE_SUFFIXES",
    "Pose",
    "Record",
    "SYNTHETIC_PAIRS",
    "Sampling",
    "SkeletonDataset",
    "SkeletonInput",
    "SkeletonTransform",
    "VIDEO_SUFFIXES",
    "VideoError",
    "VideoInfo",
    "ViewDataset",
    "audit_videos",
    "clip_rng",
    "extract_features",
    "holds_skeletons",
    "index_skeletons",
    "index_videos",
    "input_of",
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
    "split_manifest",
    "synthetic_clip",
    "write_pose",
    "write_synthetic",
]
