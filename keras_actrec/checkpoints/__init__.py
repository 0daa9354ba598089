"""Weights from files: of Keras, and of torch, which are read without torch."""

from keras_actrec.checkpoints.keras_file import load_keras
from keras_actrec.checkpoints.load import load_weights
from keras_actrec.checkpoints.official import CheckpointIdentity, identify_checkpoint, load_torch
from keras_actrec.checkpoints.report import LoadReport
from keras_actrec.checkpoints.torch_file import read_torch

__all__ = [
    "CheckpointIdentity",
    "LoadReport",
    "identify_checkpoint",
    "load_keras",
    "load_torch",
    "load_weights",
    "read_torch",
]
