"""Weights from elsewhere: torch files, read without torch."""

from keras_actrec.checkpoints.official import LoadReport, Recognised, load_torch, recognise_torch
from keras_actrec.checkpoints.torch_file import read_torch

__all__ = ["LoadReport", "Recognised", "load_torch", "read_torch", "recognise_torch"]
