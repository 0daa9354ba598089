"""Weights from elsewhere: torch files, read without torch."""

from keras_actrec.checkpoints.torch_file import read_torch

__all__ = ["read_torch"]
