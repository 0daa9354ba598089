"""Time GateShift against the same with Conv3D for its gate: one training step each, in turn.

    KERAS_BACKEND=jax python benchmarks/gate_shift.py

Prints the ratio of the medians, below 1 where ours is faster; only the ratio means anything.
"""

import functools

from side_by_side import measure, row  # isort: skip

import keras
import numpy as np
from keras import ops

from keras_actrec.layers import GateShift

SHAPES = ((28, 64), (14, 192), (7, 352))  # side and channels in BN-Inception
CLIPS, FRAMES = 2, 8


class PlainGateShift(GateShift):
    """GateShift with one Conv3D for either half of the channels."""

    def _gates(self, active):
        return [
            ops.tanh(self._conv3d(half, number) + self.gate_bias[number])
            for number, half in enumerate(ops.split(active, 2, axis=-1))
        ]

    def _conv3d(self, half, number):
        kernel = self.gate_kernel[..., number : number + 1]
        return ops.conv(half, kernel, padding="same", data_format="channels_last")


def model_of(layer, shape):
    """A compiled model: a weight before the layer, so that the step needs the gradient by its input too."""
    inputs = keras.Input(shape)
    x = keras.layers.EinsumDense("bthwc,c->bthwc", output_shape=shape)(inputs)
    outputs = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling3D()(layer(x)))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    return model


def main():
    """Run all comparisons."""
    for side, channels in SHAPES:
        shape = (FRAMES, side, side, channels)
        x = np.random.default_rng(0).normal(size=(CLIPS, *shape)).astype("float32")
        models = [model_of(layer, shape) for layer in (GateShift(), PlainGateShift())]
        steps = {
            name: functools.partial(model.train_on_batch, x, np.zeros((CLIPS, 1)))
            for name, model in zip(("ours", "Conv3D"), models, strict=True)
        }
        row(f"{CLIPS} x {FRAMES} x {side} x {side} x {channels}", "ours", "Conv3D", measure(steps, 15))


if __name__ == "__main__":
    main()
