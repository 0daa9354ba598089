"""A network of frames put over clips, with layers over time inside of it."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import keras

from keras_actrec._types import Tensor
from keras_actrec.layers import FoldTime

# What calls a layer of the network: a function of the layer and of its input, a tensor or a list of them.
Around: TypeAlias = Callable[[keras.layers.Layer, Any], Tensor]

# How the names of a residual block's layers end: its first convolution over channels, and its sum.
_FIRST = ("_1_conv", "_expand_conv", "_expand")
_SUM = ("_add", "_out")


def over_clips(
    network: keras.Model,
    clip: keras.KerasTensor,
    mask: keras.KerasTensor | None,
    around: Mapping[str, Around],
) -> keras.KerasTensor:
    """The network's map of every frame, `(B * T, H, W, C)`: the frames are a batch to it.

    Args:
        network: from frames to a map. Its layers are copied, with their names and weights: a layer that is in
            two graphs would have the outputs of the first.
        clip: input `(B, T, H, W, 3)`.
        mask: input `(B, T)`, which the functions may use, or None.
        around: by the names of layers, functions that call them.
    """
    first = network.layers[1].name
    masks = [] if mask is None else [mask]

    def call(layer: keras.layers.Layer, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        if layer.name == first:
            inputs = FoldTime(name="frames")(inputs)
        return around[layer.name](layer, inputs) if layer.name in around else layer(inputs, *args, **kwargs)

    # Keras wants the inputs of a copy to be those of the original.
    inputs = [network.input, *(keras.Input((None,), dtype="bool") for _ in masks)]
    copy = keras.models.clone_model(
        keras.Model(inputs, network.output), input_tensors=[clip, *masks], call_function=call
    )
    for layer in network.layers[1:]:
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy.output


def residual_blocks(network: keras.Model) -> dict[str, tuple[str, str]]:
    """The residual blocks that begin with a convolution over channels: its name and that of their sum.

    They are known by the names that layers have in `keras.applications`, which our networks share.
    """
    names = {layer.name: None for layer in network.layers}
    blocks = {name.removesuffix(end): name for name in names for end in _FIRST if name.endswith(end)}
    sums = {block: f"{block}{end}" for end in reversed(_SUM) for block in blocks if f"{block}{end}" in names}
    return {block: (first, sums[block]) for block, first in blocks.items() if block in sums}
