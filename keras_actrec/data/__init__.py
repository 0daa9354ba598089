"""Videos in: which there are, their frames, clips of them, batches for Keras."""

from keras_actrec.data.decode import VideoError, VideoInfo, index_videos, iter_frames, probe, read_frames
from keras_actrec.data.extract import FeatureItem, extract_features
from keras_actrec.data.loader import ClipDataset, FeatureDataset, FollowEpoch
from keras_actrec.data.manifest import VIDEO_SUFFIXES, Manifest, Record, read_manifest
from keras_actrec.data.sampling import Sampling, clip_rng
from keras_actrec.data.splits import split_manifest
from keras_actrec.data.synthetic import SYNTHETIC_PAIRS, synthetic_clip, write_synthetic
from keras_actrec.data.transforms import ClipTransform

__all__ = [
    "ClipDataset",
    "ClipTransform",
    "FeatureDataset",
    "FeatureItem",
    "FollowEpoch",
    "Manifest",
    "Record",
    "SYNTHETIC_PAIRS",
    "Sampling",
    "VIDEO_SUFFIXES",
    "VideoError",
    "VideoInfo",
    "clip_rng",
    "extract_features",
    "index_videos",
    "iter_frames",
    "probe",
    "read_frames",
    "read_manifest",
    "split_manifest",
    "synthetic_clip",
    "write_synthetic",
]
