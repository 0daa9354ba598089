"""Recurrent layers as straight lines of steps, for files of other runtimes."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def unrolled(model: keras.Model) -> Iterator[None]:
    """Unroll the loops of a model, Keras' own and ours, while it is traced."""
    rolled = [layer for layer in model._flatten_layers() if getattr(layer, "unroll", None) is False]
    for layer in rolled:
        layer.unroll = True
    try:
        yield
    finally:
        for layer in rolled:
            layer.unroll = False
