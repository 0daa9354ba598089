"""Weights from elsewhere: torch files, read without torch."""

from keras_actrec.checkpoints.official import CheckpointIdentity, LoadReport, identify_checkpoint, load_torch
from keras_actrec.checkpoints.torch_file import read_torch

__all__ = ["LoadReport", "CheckpointIdentity", "load_torch", "read_torch", "identify_checkpoint"]
