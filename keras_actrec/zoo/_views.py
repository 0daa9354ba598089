"""Views: other inputs and outputs of the same layers, so that a model is built once and no weight is copied.

They go by the names that the zoo's builders give to layers: `backbone` (a `FrameWise`),
`temporal` (an `AttentiveRNN` with a trace), `classifier`, and `average` (over the steps' answers).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras
from keras import ops

from keras_actrec._suggest import did_you_mean
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import FrameWise, UnfoldTime
from keras_actrec.zoo._registry import ModelSpec


def backbone(model: keras.Model) -> FrameWise:
    """The backbone in front of a model whose specification says that it has one."""
    return model.get_layer("backbone")


def training_view(model: keras.Model, spec: ModelSpec, *, on_features: bool = False) -> keras.Model:
    """The model that is trained: it answers at every step, where `spec.per_step` says so.

    Args:
        model: a model of the zoo.
        spec: its specification.
        on_features: whether it starts behind the backbone, and takes features.

    Returns:
        A model of the same class on the same layers.
    """
    skipped = {"average": spec.per_step, "backbone": on_features}

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if skipped.get(layer.name) else layer(*args, **kwargs)

    shapes = {tensor.name: tensor.shape[1:] for tensor in model.inputs}
    if on_features:
        shapes["clip"] = backbone(model).output.shape[1:]
    view = _on_inputs(model, shapes, call)
    if not (on_features and spec.masked):
        return view
    features = view.input["clip"]
    features.name = "features"  # Keras wants the keys of a dict of inputs to be their names
    return type(model)({"features": features, "mask": view.input["mask"]}, view.output, name=model.name)


def frames_apart(model: keras.Model, spec: ModelSpec, step: Shape) -> tuple[keras.Model, keras.Model] | None:
    """The part of a model that sees each frame by itself, and the one that follows, for clips that overlap.

    Args:
        model: a model of the zoo.
        spec: its specification.
        step: shape of a frame `(H, W, 3)`.

    Returns:
        A model from clips `(B, T, H, W, 3)` of any T to what the second one takes of them, and that. None
        where frames mix in the inside, as in `gsm`, or there is nothing in front.
    """
    masks = [tensor for tensor in model.inputs if tensor.name == "mask"]
    (clip,) = (tensor for tensor in model.inputs if tensor.name != "mask")
    if spec.backbone:
        frames = keras.Input((None, *step), name=clip.name)
        head = training_view(model, replace(spec, per_step=False), on_features=True)
        return keras.Model(frames, backbone(model)(frames)), head
    # Within a network of frames, what sees several of them stands behind an `UnfoldTime` of its own.
    if [layer.name for layer in model.layers if isinstance(layer, UnfoldTime)] != ["features"]:
        return None
    features = model.get_layer("features").output
    frames = _on_inputs(keras.Model(clip, features), {clip.name: (None, *step)})
    head = keras.Model([features, *masks] if masks else features, model.output)
    head.inputs[0].name = "features"  # Keras wants the keys of a dict of inputs to be their names
    if masks:
        head = keras.Model(dict(zip(("features", "mask"), head.inputs, strict=True)), head.output)
    return frames, head


def features_view(model: keras.Model, layer: str | None = None) -> keras.Model:
    """The model whose answer is what a layer makes of a clip, `(B, D)`: the mean over steps and places.

    Args:
        model: a model of the zoo.
        layer: its name; by default what the classifier sees, which in `gsm` and its like is the mean of the
            last convolution's maps. Layers of single frames, which are a batch there, count too.

    Raises:
        UserError: for a name that no layer has, with the nearest one, or a layer without channels.
    """
    names = [each.name for each in model.layers]
    if layer is not None and layer not in names:
        raise UserError(f"`{model.name}` has no layer {layer!r}: {did_you_mean(layer, names, count=3)}")
    if layer is None and "classifier" not in names:
        raise UserError(f"`{model.name}` has no layer `classifier`, before which features are: name another")
    tensor = model.get_layer("classifier").input if layer is None else model.get_layer(layer).output
    if not hasattr(tensor, "shape") or len(tensor.shape) < 2:
        raise UserError(f"layer {layer!r} of `{model.name}` gives no features: choose another one")
    clip = next((each for each in model.inputs if each.name != "mask"), None)
    shapes = keras.tree.map_structure(
        lambda each: (2, *(size or 2 for size in each.shape[1:])),
        model.input,  # any sizes
    )
    if keras.Model(model.input, tensor).compute_output_shape(shapes)[0] != 2:  # frames are the batch
        tensor = UnfoldTime()([tensor, clip])
    axes = tuple(range(1, len(tensor.shape) - 1))
    return keras.Model(model.input, ops.mean(tensor, axis=axes) if axes else tensor)


def gates_view(model: keras.Model) -> keras.Model:
    """The model whose answer is what its first gate saw and let through, `(B, T, 2, D)`: x, then a.

    Raises:
        UserError: for a model whose first recurrent layer has no gate.
    """
    layer = next((each for each in model.layers if each.name == "temporal"), None)
    if layer is None or "gates" not in getattr(getattr(layer, "cell", None), "trace_sizes", {}):
        raise UserError(f"`{model.name}` has no gate in its first recurrent layer: train eleatt_rnn")
    names = sorted({"output", *layer.cell.trace_sizes})
    gates = dict(zip(names, keras.tree.flatten(layer.output), strict=False))["gates"]
    seen = keras.tree.flatten(layer.input)[0]
    return keras.Model(model.input, ops.stack([seen, gates], axis=2))


def attending_view(model: keras.Model) -> keras.Model:
    """The same network with what its attention looks at.

    Args:
        model: a model of the zoo, or a view of one.

    Returns:
        A model whose answers are a dict: those of `model`, or its only one as `scores`, and where a layer has
        attention, `attention (B, T, N)`, float32, of the first such layer.
    """
    found: dict[str, Tensor] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        result = layer(*args, **kwargs)
        if getattr(layer, "return_trace", False) and not layer.go_backwards:
            trace = result[0] if layer.return_state else result
            if "attention" in trace:
                found.setdefault("attention", ops.cast(trace["attention"], "float32"))
        return result

    copy = _on_inputs(model, {tensor.name: tensor.shape[1:] for tensor in model.inputs}, call)
    answers = copy.output if isinstance(copy.output, dict) else {"scores": copy.output}
    return keras.Model(copy.input, {**answers, **found}, name=model.name)


def resized(model: keras.Model, shape: Shape) -> keras.Model:
    """The model for clips of another shape.

    Args:
        model: a model with the input `clip`, or with a single one of any name.
        shape: `(T, H, W, 3)`.

    Returns:
        The model itself where it takes such clips, else another one on the same layers.

    Raises:
        TypeError, ValueError: where its layers take only the clips that it was built for.
    """
    shapes = {tensor.name: tensor.shape[1:] for tensor in model.inputs}
    clip = "clip" if "clip" in shapes else next(iter(shapes))
    if all(have in (None, want) for have, want in zip(shapes[clip], shape, strict=True)):
        return model
    return _on_inputs(model, {**shapes, clip: shape, "mask": shape[:1]})


def _on_inputs(
    model: keras.Model, shapes: Mapping[str, Shape], call: Callable[..., Any] | None = None
) -> keras.Model:
    """The layers of a model on new inputs of these shapes, by name; `call` calls each layer.

    Keras can also start a model at a tensor inside of another one, but then it cannot save that other one
    where both share an input, such as the mask (3.15).
    """

    def fresh(tensor: keras.KerasTensor) -> keras.KerasTensor:
        shape = (tensor.shape[0], *shapes[tensor.name])
        return keras.Input(batch_shape=shape, name=tensor.name, dtype=tensor.dtype)

    return keras.models.clone_model(
        model,
        input_tensors=keras.tree.map_structure(fresh, model.input),
        clone_function=lambda layer: layer,
        call_function=call,
    )
