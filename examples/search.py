"""A search of your own with KerasTuner: sequence length, temperature, and where connections over time go."""

from pathlib import Path
from tempfile import mkdtemp

import keras
import keras_tuner
import numpy as np

import keras_actrec
from keras_actrec.data import SYNTHETIC_PAIRS, synthetic_clip

CLASSES = SYNTHETIC_PAIRS[0]
FRAMES, SIZE, CLIPS = 12, 32, 16
clips = np.stack(
    [synthetic_clip(name, twin=twin, size=SIZE, frames=FRAMES) for twin in range(CLIPS) for name in CLASSES]
)
labels = np.tile(np.arange(2), CLIPS)


class HMAN(keras_tuner.HyperModel):
    """How many of the frames HM-AN sees, and how hard its attention and its boundaries choose."""

    def build(self, hp):
        frame = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.AveragePooling2D(8)])
        model = keras_actrec.zoo.hman(
            num_classes=2,
            input_shape=(None, SIZE, SIZE, 3),
            backbone=frame,
            attention="gumbel_constant",
            attention_temperature=hp.Float("attention_temperature", 0.1, 1.0, sampling="log"),
            temperature=hp.Float("boundary_temperature", 0.1, 1.0, sampling="log"),
            units=8,
            num_layers=hp.Int("num_layers", 1, 3),
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        step = FRAMES // hp.Choice("frames", [3, 6, 12])
        seen, answers = validation_data
        return model.fit(x[:, ::step], y, validation_data=(seen[:, ::step], answers), **kwargs)


class STRN(keras_tuner.HyperModel):
    """Behind which block of the ResNet the next frame looks back, and how."""

    def build(self, hp):
        model = keras_actrec.zoo.strn(
            num_classes=2,
            input_shape=(3, SIZE, SIZE, 3),
            width=0.0625,
            placement=hp.Choice("placement", ["conv2_block3", "conv3_block2", "conv4_block3"]),
            connection=hp.Choice("connection", ["identity", "linear", "nonlinear"]),
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        seen, answers = validation_data
        return model.fit(x[:, ::4], y, validation_data=(seen[:, ::4], answers), **kwargs)


folder, half = Path(mkdtemp(prefix="keras_actrec-")), len(clips) // 2
for space in (HMAN(), STRN()):
    tuner = keras_tuner.RandomSearch(
        space, "val_accuracy", max_trials=2, seed=0, directory=folder, project_name=type(space).__name__
    )
    tuner.search(
        clips[:half], labels[:half], validation_data=(clips[half:], labels[half:]), epochs=1, verbose=0
    )
    print(type(space).__name__, tuner.get_best_hyperparameters()[0].values)
