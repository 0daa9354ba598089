"""Networks as files of PyTorch and ONNX."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import torch


class _Network(torch.nn.Module):
    """A Keras model that takes its inputs in their order."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.model(keras.tree.pack_sequence_as(self.model.input, inputs), training=False)


def write_torch(model: keras.Model, path: Path, inputs: Sequence[np.ndarray]) -> None:
    """Write a program of `torch.export`, `.pt2`; the number of clips is free."""
    torch.export.save(_program(model, inputs), path)


def run_torch(path: Path, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """What the program answers."""
    with torch.no_grad():
        return torch.export.load(path).module()(*map(torch.from_numpy, inputs)).numpy()


def write_onnx(model: keras.Model, path: Path, inputs: Sequence[np.ndarray]) -> None:
    """Write one ONNX file; the number of clips is free."""
    with _quiet():
        torch.onnx.export(
            _program(model, inputs),
            f=path,
            input_names=[part.name for part in model.inputs],
            output_names=["scores"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _program(model: keras.Model, inputs: Sequence[np.ndarray]) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1, max=2**16)
    network = _Network(model).eval()
    tensors = tuple(map(torch.from_numpy, inputs))
    with torch.no_grad(), _quiet():
        return torch.export.export(network, tensors, dynamic_shapes=(tuple({0: batch} for _ in tensors),))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # PyTorch tells of its own names that will change.
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)


EXPORTS = {"onnx": (write_onnx, None), "torch": (write_torch, run_torch)}
