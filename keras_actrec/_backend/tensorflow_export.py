"""Networks as files of TensorFlow and LiteRT."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_actrec._backend.unrolled import unrolled


def write_saved_model(model: keras.Model, path: Path, inputs: Sequence[keras.KerasTensor]) -> None:
    """Write a SavedModel, a folder with the endpoint and signature `serve`."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", _function(model), _specs(inputs))
    archive.write_out(str(path), verbose=False)


def open_saved_model(path: Path) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """A function that runs the signature."""
    loaded = tf.saved_model.load(str(path))  # which holds the weights

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return {name: tensor.numpy() for name, tensor in loaded.signatures["serve"](**tensors).items()}

    return run


def write_litert(
    model: keras.Model, path: Path, inputs: Sequence[keras.KerasTensor], quantize: str | None
) -> None:
    """Write a LiteRT file; its loops are unrolled.

    `quantize`: kernels are `"int8"`, and what they are multiplied with is scaled as it runs, or `"float16"`.
    """
    # By way of a SavedModel, whose variables become constants: those of a function would have no values. Of a
    # plain module, as Keras would trace the model once more, with any number of steps.
    module = tf.Module()
    module.held = [variable.value for variable in model.variables]
    with tempfile.TemporaryDirectory() as folder:
        with unrolled(model):  # LiteRT has none of the lists that a loop keeps its outputs in
            serve = tf.function(_function(model)).get_concrete_function(*_specs(inputs))
            tf.saved_model.save(module, folder, {"serve": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serve"])
        if quantize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(converter.convert())


def _function(model: keras.Model) -> Callable[..., Any]:
    return lambda *inputs: model(keras.tree.pack_sequence_as(model.input, inputs), training=False)


def _specs(inputs: Sequence[keras.KerasTensor]) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(part.shape, part.dtype, part.name) for part in inputs]


EXPORTS = {"saved_model": (write_saved_model, open_saved_model), "litert": (write_litert, None)}
