"""Networks as files of TensorFlow and LiteRT."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def write_saved_model(model: keras.Model, path: Path, inputs: Sequence[np.ndarray]) -> None:
    """Write a SavedModel, a folder with the endpoint `serve`; the number of clips is free."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", _function(model), _specs(model, inputs, None))
    archive.write_out(str(path), verbose=False)


def run_saved_model(path: Path, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """What the endpoint answers."""
    loaded = tf.saved_model.load(str(path))  # which holds the weights
    return loaded.serve(*inputs).numpy()


def write_litert(model: keras.Model, path: Path, inputs: Sequence[np.ndarray]) -> None:
    """Write a LiteRT file, which takes one clip; its loops are unrolled."""
    # By way of a SavedModel, whose variables become constants: those of a function would have no values. Of a
    # plain module, as Keras would trace the model once more, with any number of steps.
    module = tf.Module()
    module.held = [variable.value for variable in model.variables]
    with tempfile.TemporaryDirectory() as folder:
        with _unrolled(model):
            serve = tf.function(_function(model)).get_concrete_function(*_specs(model, inputs, 1))
            tf.saved_model.save(module, folder, {"serve": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serve"])
        path.write_bytes(converter.convert())


def _function(model: keras.Model) -> Callable[..., Any]:
    return lambda *inputs: model(keras.tree.pack_sequence_as(model.input, inputs), training=False)


def _specs(model: keras.Model, inputs: Sequence[np.ndarray], batch: int | None) -> list[tf.TensorSpec]:
    return [
        tf.TensorSpec((batch, *x.shape[1:]), x.dtype, part.name)
        for part, x in zip(model.inputs, inputs, strict=True)
    ]


@contextlib.contextmanager
def _unrolled(model: keras.Model) -> Iterator[None]:
    """LiteRT has none of the lists that a loop keeps its outputs in."""
    rolled = [layer for layer in model._flatten_layers() if getattr(layer, "unroll", None) is False]
    for layer in rolled:
        layer.unroll = True
    try:
        yield
    finally:
        for layer in rolled:
            layer.unroll = False


EXPORTS = {"saved_model": (write_saved_model, run_saved_model), "litert": (write_litert, None)}
