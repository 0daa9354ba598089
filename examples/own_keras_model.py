"""The layers in a Keras model of your own, fed by NumPy, tf.data and a PyTorch DataLoader."""

from importlib.util import find_spec

import keras
import numpy as np

from keras_actrec.layers import (
    AttentionCell,
    AttentiveRNN,
    FoldTime,
    GateShift,
    HMRNNCell,
    SoftAttention,
    UnfoldTime,
)

FRAMES, SIZE, CLASSES = 6, 16, 3
rng = np.random.default_rng(0)
clips = rng.normal(size=(24, FRAMES, SIZE, SIZE, 3)).astype("float32")
labels = np.arange(24) % CLASSES
clips += labels[:, None, None, None, None]


def compiled(inputs, x):
    """A classifier on what the layers give."""
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def recurrent():
    """HM-RNN in the plain Keras layer: its cells are Keras cells."""
    inputs = keras.Input((FRAMES, SIZE, SIZE, 3))
    x = keras.layers.Reshape((FRAMES, -1))(inputs)
    return compiled(inputs, keras.layers.RNN(HMRNNCell(16))(x))


def attentive():
    """Attention over the cells of a map in front of any cell, in our loop, which also draws noise."""
    inputs = keras.Input((FRAMES, SIZE, SIZE, 3))
    x = keras.layers.TimeDistributed(keras.layers.Conv2D(8, 3, strides=4, padding="same"))(inputs)
    x = keras.layers.Reshape((FRAMES, -1, 8))(x)  # (B, T, N, D)
    return compiled(inputs, AttentiveRNN(AttentionCell(SoftAttention(), keras.layers.GRUCell(16)))(x))


def gated():
    """A small residual network whose block sees the frames before and after through a gate-shift."""
    inputs = keras.Input((FRAMES, SIZE, SIZE, 3))
    x = FoldTime()(inputs)
    x = shortcut = keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    x = FoldTime()(GateShift()(UnfoldTime()([x, inputs])))
    x = keras.layers.ReLU()(keras.layers.Add()([shortcut, keras.layers.BatchNormalization()(x)]))
    x = UnfoldTime()([keras.layers.GlobalAveragePooling2D()(x), inputs])
    return compiled(inputs, keras.layers.GlobalAveragePooling1D()(x))


def batches():
    """The same clips as each library serves them; what is not installed is left out."""
    yield "NumPy", (clips, labels)
    if find_spec("tensorflow"):
        import tensorflow as tf

        yield "tf.data", (tf.data.Dataset.from_tensor_slices((clips, labels)).batch(8),)
    if find_spec("torch"):
        import torch

        pairs = torch.utils.data.TensorDataset(torch.from_numpy(clips), torch.from_numpy(labels))
        yield "DataLoader", (torch.utils.data.DataLoader(pairs, batch_size=8),)


# Any of the models takes any of the three.
for build, (name, data) in zip((recurrent, attentive, gated), batches(), strict=False):
    history = build().fit(*data, epochs=3, verbose=0).history
    print(f"{build.__name__} from {name}: loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}")
