"""The view of a model that shows what its layers did, and what spoke for its answer."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_actrec import _backend
from keras_actrec._suggest import did_you_mean
from keras_actrec._types import Shape, Tensor
from keras_actrec.errors import UserError
from keras_actrec.layers import (
    AttentiveRNN,
    FoldTime,
    FrameRelations,
    GateShift,
    LastStep,
    SelfAttention2D,
    StepCentering,
    StepNormalization,
    UnfoldTime,
)
from keras_actrec.zoo._registry import ModelSpec
from keras_actrec.zoo._views import backbone

# Layers in front of a gate that mix no joint with another.
_JOINT_BY_JOINT = (
    StepNormalization,
    StepCentering,
    keras.layers.Dropout,
    keras.layers.Reshape,
    keras.layers.EinsumDense,
)
_LEAST = 1e-30  # of a probability whose logarithm is taken


class ExplainingView:
    """The same layers and weights in two parts, cut at the last feature maps, with all that they can show.

    Call it with a batch of the model's inputs, and with `evidence=False` for all but `slopes`, `shifts` and
    `self_attention`, which take most of the time; it gives a dict of arrays, those of this list that the
    model has. B is the batch, T the steps, C the classes, K x K the places of the maps:

    - `scores (B, C)`: the answer.
    - `steps (B, T, C)`: where answers, logits or features are averaged over time, the answer to each step as
      if it were all; where the last step answers, the answer up to each. `trn` has none.
    - `maps (B, T, K, K, D)`: the last feature maps, float32: behind the backbone, or in front of the pooling
      over places.
    - `slopes`, of the same shape: the gradient by the maps of `log p_c - mean_j log p_j`, c being the class
      with the highest score. That is its logit against the mean of all, which is all that a softmax sees.
    - `attention (B, T, N)`, `boundaries (B, T, L)`, `updates (B, T, L)`, `temperature (B, T, 1)`,
      `gates (B, T, D)`: the trace of the first recurrent layer that has one, see `AttentiveRNN`.
    - `shifts (B, T, H, W, 2)`: what share of either half of the channels a `GateShift` moves, from the next
      frame and from the one before.
    - `self_attention`: the scores of a `SelfAttention2D` of maps H x W, of what attends to what: over a frame
      `(B, T, H, W, H, W)`, over time `(B, H, W, T, T)`, over a clip `(B, T, H, W, T, H, W)`.
    - `relations`: of `trn`, a list of frames and logits, see `FrameRelations.relations`.

    Args:
        model: a model of the zoo.
        spec: its specification.
        layer: name of the `GateShift` or the `SelfAttention2D` to show; by default the last of each.

    Attributes:
        shown: by kind, `"shifts"` and `"self_attention"`, the layer that is shown.
        has_steps: whether there are `steps`.
        gates_of_input: whether the gates are those of the input, element by element or joint by joint.

    Raises:
        UserError: for a `layer` that is none of them, or a model of which nothing is known.
    """

    def __init__(self, model: keras.Model, spec: ModelSpec, layer: str | None = None) -> None:
        self._spec = spec
        (self._source,) = (each for each in model.inputs if each.name != "mask")
        self._pool = _last_pooling(model)
        self.shown = _shown(model, layer)
        self.gates_of_input = False
        self._of_joints: list[Tensor] = []  # the input, and what mixes no joint with another
        self._front = self._make_front(model)
        self._relating: FrameRelations | None = None
        self._found: dict[str, Tensor] = {}
        self._both: Tensor | None = None  # the answer to all steps, then those to each
        self._head, self._by = self._make_head(model)
        self.has_steps = self._both is not None
        if not (self._found or self._by or self.has_steps):
            raise UserError(
                f"`{model.name}` has nothing to explain: no attention, gates, feature maps or answers at "
                "each step by the names that models of keras_actrec.zoo give to their layers"
            )

    def __call__(self, inputs: Any, *, evidence: bool = True) -> dict[str, Any]:
        """What a batch of the model's inputs, an array or a dict of them by name, makes the layers do."""
        given = dict(inputs) if isinstance(inputs, Mapping) else {self._source.name: inputs}
        found: dict[str, Any] = {}
        if self._front is not None:
            seen: Any = _backend.predictor(self._front)(inputs)
            seen = {name: np.asarray(x, "float32") for name, x in seen.items()}  # of any precision
            found["maps"] = given["maps"] = seen.pop("maps")
            given[self._source.name] = np.zeros((*found["maps"].shape[:2], 1, 1, 3), "float32")
            if evidence:
                found |= {kind: self._asked(kind, x, given.get("mask")) for kind, x in seen.items()}
        elif self._by is not None:
            found["maps"] = given[self._by]
        if self._by is None or not evidence:
            answers: Any = _backend.predictor(self._head)(given)
            found |= answers
        else:
            answers, found["slopes"] = _backend.gradient(self._head, given, self._by, "evidence")
            found |= answers
        found = {name: np.asarray(x, "float32") for name, x in found.items() if name != "evidence"}
        if self._relating is not None:
            relations = self._relating.relations(ops.convert_to_tensor(found["relations"]))
            found["relations"] = [(frames, ops.convert_to_numpy(logits)) for frames, logits in relations]
        return found

    def _asked(self, kind: str, x: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """What a layer in front of the maps does with its input."""
        layer = self.shown[kind]
        ask = layer.gates if kind == "shifts" else layer.scores
        mask = None if mask is None else ops.convert_to_tensor(mask)
        found = ops.convert_to_numpy(ask(ops.convert_to_tensor(x), mask))
        if kind == "shifts" or layer.over == "time":
            return found
        outer, grid = (x.shape[:2], x.shape[2:4]) if layer.over == "frame" else (x.shape[:1], x.shape[1:4])
        return found.reshape(*outer, *grid, *grid)

    def _make_front(self, model: keras.Model) -> keras.Model | None:
        """Up to the last feature maps; none where these are the model's input, or where there are none."""
        if self._spec.backbone:
            maps = backbone(model).output
            if len(maps.shape) != 5:
                return None
        elif self._spec.input == "clip" and self._pool is not None:
            maps = UnfoldTime(name="explained_maps")([self._pool.input, self._source])
        else:
            return None
        seen = {kind: keras.tree.flatten(layer.input)[0] for kind, layer in self.shown.items()}
        return keras.Model(model.input, {"maps": maps, **seen})

    def _make_head(self, model: keras.Model) -> tuple[keras.Model, str | None]:
        """Behind the maps, and the name of the input that these are."""
        source, by = self._source, None
        extra: dict[str, keras.KerasTensor] = {}
        shape = source.shape[1:]
        if self._front is not None:
            maps = self._front.output["maps"].shape[1:]
            extra = {"maps": keras.Input((source.shape[1], *maps[1:]), name="maps")}
            shape, by = (source.shape[1], 1, 1, 3), "maps"  # of the clip only its steps are asked for
        elif self._spec.input != "clip" and not self._spec.backbone and len(source.shape) == 5:
            by = source.name
        inputs = {
            each.name: keras.Input(
                shape if each is source else each.shape[1:], dtype=each.dtype, name=each.name
            )
            for each in model.inputs
        } | extra
        # Keras wants the inputs of a copy to be those of the original, which has no maps.
        given = [*model.inputs, *(keras.Input(each.shape[1:]) for each in extra.values())]
        copy = keras.models.clone_model(
            keras.Model(given, model.output),
            input_tensors=list(inputs.values()),
            clone_function=lambda layer: layer,
            call_function=self._calling(extra.get("maps"), inputs[source.name]),
        )
        scores = copy.output
        if self._both is not None:
            answers = UnfoldTime(name="explained_answers")([scores, self._both])
            scores, self._found["steps"] = _Apart(name="explained_steps")(answers)
        evidence = _Evidence(name="explained_evidence")(scores)
        outputs = {"scores": scores, "evidence": evidence, **self._found}
        return keras.Model(inputs, outputs, name=model.name), by

    def _calling(self, maps: Tensor | None, source: Tensor) -> Any:
        """The function that calls each layer on what is behind the maps, and keeps what it shows."""
        front = set() if self._front is None else {layer.name for layer in self._front.layers}
        pool: Any = self._pool

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if layer.name == "backbone" and maps is not None:
                return maps
            if layer.name in front:
                return layer.output  # which nothing sees any more
            if layer is pool and maps is not None:
                return pool(FoldTime(name="explained_frames")(maps))
            if layer.name == "average" or isinstance(layer, LastStep):
                return self._with_steps(layer(*args, **kwargs), args[0])
            if isinstance(layer, keras.layers.RNN) and not layer.return_sequences:
                options = {"name": f"explained_{layer.name}", "dtype": layer.dtype_policy}
                twin = AttentiveRNN(layer.cell, return_sequences=True, return_state=True, **options)
                steps, last, *_ = twin(args[0], mask=kwargs.get("mask"))
                return self._with_steps(last, steps)
            result = layer(*args, **kwargs)
            self._keep(layer, args[0], result, source)
            if isinstance(layer, _JOINT_BY_JOINT) and (args[0] is source or self._is_of_joints(args[0])):
                self._of_joints.append(result)
            return result

        return call

    def _with_steps(self, one: Tensor, steps: Tensor) -> Tensor:
        """What all steps gave, `(B, D)`, and before it each of them: what follows sees a batch of both."""
        self._both = _Together(name="explained_together")(one, steps)
        return FoldTime(name="explained_batch")(self._both)

    def _keep(self, layer: Any, x: Any, result: Any, source: Tensor) -> None:
        """Keeps the trace of a layer, where its builder says that there is one."""
        if isinstance(layer, FrameRelations):
            self._relating, self._found["relations"] = layer, x
        if not getattr(layer, "return_trace", False) or layer.go_backwards:
            return
        trace = result[0] if layer.return_state else result
        names = set(self._spec.trace) & set(trace) - set(self._found)
        self._found |= {name: trace[name] for name in sorted(names)}
        if "gates" in names:
            self.gates_of_input = x is source or self._is_of_joints(x)

    def _is_of_joints(self, x: Any) -> bool:
        return any(x is each for each in self._of_joints)


# As layers with names of their own: Keras numbers operations anew in each process, and one in a file may have
# the name that the first operation after it gets.


class _Together(keras.layers.Layer):
    """`(B, D)` and `(B, T, D)` -> `(B, 1 + T, D)`, float32."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)

    def call(self, one: Tensor, steps: Tensor) -> Tensor:
        return ops.concatenate([ops.expand_dims(one, 1), steps], axis=1)

    def compute_output_shape(self, one_shape: Shape, steps_shape: Shape) -> Shape:
        time = steps_shape[1]
        return (steps_shape[0], None if time is None else time + 1, steps_shape[2])


class _Apart(keras.layers.Layer):
    """The inverse."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)

    def call(self, answers: Tensor) -> tuple[Tensor, Tensor]:
        return answers[:, 0], answers[:, 1:]

    def compute_output_shape(self, shape: Shape) -> tuple[Shape, Shape]:
        time = shape[1]
        return (shape[0], shape[2]), (shape[0], None if time is None else time - 1, shape[2])


class _Evidence(keras.layers.Layer):
    """The largest logit against the mean of all, `(B,)`, from probabilities `(B, C)`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)

    def call(self, scores: Tensor) -> Tensor:
        logs = ops.log(ops.maximum(scores, _LEAST))
        return ops.max(logs, axis=-1) - ops.mean(logs, axis=-1)

    def compute_output_shape(self, shape: Shape) -> Shape:
        return shape[:1]


def _last_pooling(model: keras.Model) -> keras.layers.Layer | None:
    """What pools the maps of frames that are a batch."""
    if not any(isinstance(layer, FoldTime) for layer in model.layers):
        return None
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    return pools[-1] if pools else None


def _shown(model: keras.Model, name: str | None) -> dict[str, Any]:
    """By kind the layer of that name, else the last one."""
    kinds: dict[str, Any] = {"shifts": GateShift, "self_attention": SelfAttention2D}
    found = {kind: [each for each in model.layers if isinstance(each, of)] for kind, of in kinds.items()}
    names = [each.name for layers in found.values() for each in layers]
    if name is not None and name not in names:
        hint = did_you_mean(name, names) if names else f"{model.name} has none"
        raise UserError(f"`layer` must be one with gates or self-attention; {hint}. Received: layer={name!r}")
    return {
        kind: next((each for each in layers if each.name == name), layers[-1])
        for kind, layers in found.items()
        if layers
    }
