"""Networks as files of PyTorch and ONNX."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch

from keras_actrec._backend.unrolled import unrolled


class _Network(torch.nn.Module):
    """A Keras model that takes its inputs in their order, and gives its outputs in that of their names."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = self.model(keras.tree.pack_sequence_as(self.model.input, inputs), training=False)
        return {name: outputs[name] for name in sorted(outputs)}


def write_torch(model: keras.Model, path: Path, inputs: Sequence[keras.KerasTensor]) -> None:
    """Write a program of `torch.export`, `.pt2`."""
    with _quiet():
        torch.export.save(_program(model, inputs), path)


def open_torch(path: Path) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """A function that runs the program."""
    program = torch.export.load(path).module()

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.no_grad():
            answer = program(*map(torch.from_numpy, inputs.values()))
        return {name: tensor.numpy() for name, tensor in answer.items()}

    return run


def write_onnx(model: keras.Model, path: Path, inputs: Sequence[keras.KerasTensor]) -> None:
    """Write one ONNX file."""
    program = _program(model, inputs)
    _drop_empty_squeezes(program.graph)
    with _quiet():
        torch.onnx.export(
            program,
            f=path,
            input_names=[part.name for part in inputs],
            output_names=sorted(model.output),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _program(model: keras.Model, inputs: Sequence[keras.KerasTensor]) -> torch.export.ExportedProgram:
    """The model as a program; the first axis of an input is free, or none."""
    batch = torch.export.Dim("batch", min=1, max=2**16)
    free = tuple({0: batch} if part.shape[0] is None else {} for part in inputs)
    examples = tuple(torch.zeros(part.shape[0] or 2, *part.shape[1:], dtype=_type(part)) for part in inputs)
    # The loop of Keras takes the batch apart.
    with torch.no_grad(), unrolled(model):
        return torch.export.export(_Network(model).eval(), examples, dynamic_shapes=(free,))


def _drop_empty_squeezes(graph: torch.fx.Graph) -> None:
    """Take out what squeezes an axis longer than one, as `ops.take` has it: to ONNX it is an error."""
    for node in list(graph.nodes):
        if node.target == torch.ops.aten.squeeze.dim:
            source, axis = node.args
            length = source.meta["val"].shape[axis]
            if isinstance(length, int) and length != 1:
                node.replace_all_uses_with(source)
                graph.erase_node(node)


def _type(part: keras.KerasTensor) -> Any:
    return getattr(torch, part.dtype)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # PyTorch tells of its own names that will change, and of constants that lie in one another.
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)


EXPORTS = {"onnx": (write_onnx, None), "torch": (write_torch, open_torch)}
