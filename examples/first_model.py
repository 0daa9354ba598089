"""Teach HM-AN two gestures that differ only in the order of their frames, and see where it looked."""

import keras
import numpy as np

import keras_actrec
from keras_actrec.data import SYNTHETIC_PAIRS, synthetic_clip

CLASSES = SYNTHETIC_PAIRS[0]
FRAMES, SIZE = 8, 32

keras.utils.set_random_seed(0)
clips = np.stack(
    [synthetic_clip(name, twin=twin, size=SIZE, frames=FRAMES) for twin in range(24) for name in CLASSES]
)
labels = np.tile(np.arange(2), 24)
print(f"clips {clips.shape}, RGB from 0 to 255; classes {', '.join(CLASSES)}")

# A small frozen network looks at each frame; HM-AN chooses one place of its map in each frame and remembers.
frame = keras.Sequential(
    [
        keras.Input((SIZE, SIZE, 3)),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(16, 5, strides=4, padding="same", activation="relu"),
        keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
    ]
)
model = keras_actrec.zoo.hman(
    num_classes=2,
    input_shape=(None, SIZE, SIZE, 3),
    backbone=frame,
    attention="gumbel_adaptive",
    content=True,
    motion=True,
    units=32,
    dropout=0.0,
)
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(clips[:36], labels[:36], batch_size=12, epochs=12, verbose=2)
_, accuracy = model.evaluate(clips[36:], labels[36:], verbose=0)
print(f"accuracy on clips it has not seen: {accuracy:.2f} (chance is 0.50)")

# The same layers with all that they can show: where it looked, where it set a boundary, what spoke for it.
shown = keras_actrec.zoo.ExplainingView(model, keras_actrec.zoo.spec(model))(clips[-1:])
looked = shown["attention"][0].argmax(axis=-1)
print("looked at, row and column of the 4 x 4 map:", [tuple(map(int, divmod(cell, 4))) for cell in looked])
