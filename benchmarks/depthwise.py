"""Time our depthwise convolution against Keras's own on the shapes of EfficientNet-Lite0, in turn.

    KERAS_BACKEND=jax python benchmarks/depthwise.py

Answers, and steps of training. Prints the ratio of the medians, below 1 where ours is faster.
"""

import functools

from side_by_side import measure, row  # isort: skip

import keras
import numpy as np

from keras_actrec import backbones

SHAPES = (
    (56, 32, 3, 1),
    (56, 96, 3, 2),
    (28, 144, 5, 2),
    (14, 240, 5, 1),
    (7, 672, 5, 1),
)  # side, C, k, stride
BATCH = 32


def model_of(layer, side, channels):
    """A model of one layer."""
    inputs = keras.Input((side, side, channels))
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", lambda _, outputs: keras.ops.mean(outputs**2, (1, 2, 3)))
    return model


def step_of(what, model, x):
    """What is timed."""
    if what == "answers":
        return functools.partial(model.predict_on_batch, x)
    return functools.partial(model.train_on_batch, x, np.zeros(len(x)))


def main():
    """Run all comparisons."""
    for side, channels, kernel, stride in SHAPES:
        x = np.random.default_rng(0).normal(size=(BATCH, side, side, channels)).astype("float32")
        layers = (
            backbones.DepthwiseConv2D(kernel, stride),
            keras.layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False),
        )
        models = [model_of(layer, side, channels) for layer in layers]
        shape = f"{side} x {side} x {channels}, {kernel} x {kernel}, stride {stride}"
        for what in ("answers", "training"):
            steps = {
                name: step_of(what, model, x) for name, model in zip(("ours", "keras"), models, strict=True)
            }
            row(f"{what}, {shape}", "ours", "keras", measure(steps, 6, warm_up=2))


if __name__ == "__main__":
    main()
