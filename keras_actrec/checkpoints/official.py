"""Torch checkpoints of the official codes into Keras models, layer by layer by name."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import keras
import numpy as np

from keras_actrec._types import PathLike
from keras_actrec.checkpoints.report import CLASSIFIER, Loading, LoadReport
from keras_actrec.checkpoints.torch_file import read_torch, without_wrappers
from keras_actrec.errors import UserError
from keras_actrec.layers import GateShift, SelfAttention2D

# What the codes put in front of their networks' names, and not of their classifiers'.
_NETWORK = "base_model."
# Which of our layers a tensor belongs to, by its name in the file. The last group is what the tensor is to
# the layer; the first rule that fits counts. TSM puts `.net` between a convolution's name and its tensors.
_LAYERS = (
    (r"(?:new_fc|fc|top_cls_fc)\.(\w+)", lambda: CLASSIFIER),
    (r"gsm_(.+)\.attn\.(.+)", lambda conv: f"{conv}_attention"),
    (r"gsm_(.+)\.((?:conv3D|bn)\.\w+)", lambda conv: f"{conv}_gsm"),
    (r"(conv\d|inception\w+\.branch\d(?:\.\d)?)\.(conv|bn)\.(\w+)", lambda *at: _unit(*at)),
    (r"conv1(?:\.net)?\.(\w+)", lambda: "conv1_conv"),
    (r"bn1\.(\w+)", lambda: "conv1_bn"),
    (r"layer(\d)\.(\d+)\.conv(\d)(?:\.net)?\.(\w+)", lambda *at: f"{_block(*at[:2])}_{at[2]}_conv"),
    (r"layer(\d)\.(\d+)\.bn(\d)\.(\w+)", lambda *at: f"{_block(*at[:2])}_{at[2]}_bn"),
    (r"layer(\d)\.(\d+)\.downsample\.0\.(\w+)", lambda *at: f"{_block(*at)}_0_conv"),
    (r"layer(\d)\.(\d+)\.downsample\.1\.(\w+)", lambda *at: f"{_block(*at)}_0_bn"),
    (r"(\w+)\.(\w+)", lambda name: name),
)
# The weight of a layer that takes a tensor, and which axes of the tensor are the weight's.
_Takes: TypeAlias = dict[str | None, tuple[str | None, tuple[int, ...]]]
_NORM: _Takes = {
    "weight": ("gamma", (0,)),
    "bias": ("beta", (0,)),
    "running_mean": ("moving_mean", (0,)),
    "running_var": ("moving_variance", (0,)),
}
_WEIGHTS: tuple[tuple[type[keras.layers.Layer], _Takes], ...] = (
    (keras.layers.Conv2D, {"weight": ("kernel", (2, 3, 1, 0)), "bias": ("bias", (0,))}),
    (keras.layers.Dense, {"weight": ("kernel", (1, 0)), "bias": ("bias", (0,))}),
    (keras.layers.BatchNormalization, _NORM),
    (
        GateShift,
        {
            "conv3D.weight": ("gate_kernel", (2, 3, 4, 1, 0)),
            "conv3D.bias": ("gate_bias", (0,)),
            **{f"bn.{tensor}": weight for tensor, weight in _NORM.items()},
        },
    ),
    (
        SelfAttention2D,
        {
            "gamma": ("gamma", ()),
            **{f"{part}_conv.weight": (f"{part}_kernel", (2, 3, 1, 0)) for part in ("query", "key", "value")},
            **{f"{part}_conv.bias": (f"{part}_bias", (0,)) for part in ("query", "key", "value")},
        },
    ),
)


def _block(stage: str, block: str) -> str:
    return f"conv{int(stage) + 1}_block{int(block) + 1}"


def _unit(place: str, kind: str) -> str:
    return f"{place.replace('.', '_')}_{kind}"


def load_torch(
    model: keras.Model,
    path: PathLike,
    *,
    complete: bool = False,
    partial: bool = False,
    head: bool = True,
) -> LoadReport:
    """Load a torch checkpoint of the official codes into the layers of the same name.

    | code | networks |
    |---|---|
    | GSM, SA-GSM | BN-Inception and InceptionV3, plain, gated, and gated with attention |
    | TSN, TSM | BN-Inception, ResNet-50 |
    | torchvision | ResNet-50, GoogLeNet |

    The gate of the convolution `x` is the layer `x_gsm`, its attention `x_attention`; ResNet-50's layers are
    called as in `keras.applications`; the head is the layer `classifier`, which is left as it was if the
    file's has another number of classes. What programs put in front of all names (`module.`, `_orig_mod.`,
    `model.`, also one in another) is passed over where the names fit without it; so are counters of batches.
    Kernels are transposed, and leading axes of length one dropped, as the oldest files need it.

    Args:
        model: its own layers are filled; layers inside other models are not looked for.
        path: the file, see `read_torch`.
        complete: whether to refuse a file that has nothing for a weight of the model.
        partial: whether tensors of another shape are left; else they are an error.
        head: whether the classifier is loaded.

    Returns:
        A `LoadReport`.

    Raises:
        UserError: for a file that cannot be read, of which nothing fits, or one of whose tensors has another
            shape than the layer of its name; then nothing is changed.
    """
    path = os.fspath(path)
    state = _without_counters(read_torch(path))
    targets: dict[str | None, tuple[_Takes, dict[str | None, keras.Variable]]] = {}
    for layer in model.layers:
        for kind, weights in _WEIGHTS:
            if isinstance(layer, kind):
                targets[layer.name] = weights, {weight.name: weight for weight in layer.weights}

    def fits(name: str) -> bool:
        layer, part = _target(name)
        return part in targets.get(layer, ({}, {}))[0]

    loading = Loading(path, model, partial=partial, head=head)
    for (name, value), own in zip(state.items(), without_wrappers(state, fits), strict=True):
        layer, part = _target(own)
        weights, variables = targets.get(layer, ({}, {}))
        weight, axes = weights.get(part, (None, ()))
        if weight not in variables or loading.takes(variables[weight].path):
            loading.leave(name)
            continue
        variable = variables[weight]
        array = _drop_leading(value, len(axes))
        if array.ndim == len(axes):
            array = _drop_leading(np.transpose(array, axes), len(variable.shape))
        loading.offer(name, array, variable.path, variable)
    return loading.finish([weight.path for weight in model.weights], complete=complete)


def _without_counters(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _target(name: str) -> tuple[str | None, str | None]:
    """The layer that a tensor belongs to, and what it is in that layer."""
    name = name.removeprefix(_NETWORK)
    for pattern, layer in _LAYERS:
        match = re.fullmatch(pattern, name)
        if match:
            *groups, part = match.groups()
            return layer(*groups), part
    return None, None


def _drop_leading(array: np.ndarray, dims: int) -> np.ndarray:
    while array.ndim > dims and array.shape[0] == 1:
        array = array[0]
    return array


@dataclass(frozen=True)
class CheckpointIdentity:
    """Which model of the zoo a checkpoint is for: arguments of `zoo.build`."""

    model: str
    backbone: str
    num_classes: int


def identify_checkpoint(path: PathLike) -> CheckpointIdentity:
    """Tell from the names of its tensors which model a checkpoint of the official codes is for.

    | tensors | say |
    |---|---|
    | `gsm_x.attn` | sa_gsm |
    | `gsm_x` | gsm |
    | ResNet-50's convolutions with `.net` | tsm |
    | none of these | tsn |
    | `inception_3a_1x1` | bn_inception |
    | `mixed_conv_Conv2D` | inception_v3 |
    | `layer1.0.conv1` | resnet50_v1_5 |

    TSM on BN-Inception shifts without a name in the file: such a file is taken for a tsn.

    Raises:
        UserError: for a file that cannot be read, is of another network, or has no classifier.
    """
    path = os.fspath(path)
    state = without_wrappers(read_torch(path), lambda name: _target(name) != (None, None))
    state = {name.removeprefix(_NETWORK): value for name, value in state.items()}
    head = [value for name, value in state.items() if _target(name) == (CLASSIFIER, "weight")]
    backbone = _backbone(state)
    if backbone is None:
        raise UserError(f"{path} holds none of BN-Inception, InceptionV3 and ResNet-50 of the official codes")
    if any(name.startswith("consensus.") for name in state):
        raise UserError(f"{path} has a head over the frames, as TRN has it: only averages are converted")
    if len(head) != 1:
        raise UserError(f"{path} has no classifier: give it to backbones.build({backbone!r}) as weights")
    if any(".attn." in name for name in state):
        model = "sa_gsm"
    elif any(name.startswith("gsm_") for name in state):
        model = "gsm"
    else:
        model = "tsm" if any(".net." in name for name in state) else "tsn"
    return CheckpointIdentity(model, backbone, _drop_leading(head[0], 2).shape[0])


def _backbone(state: Mapping[str, np.ndarray]) -> str | None:
    if "inception_3a_1x1.weight" in state:
        return "bn_inception"
    if "mixed_conv_Conv2D.weight" in state:
        return "inception_v3"
    blocks = {match.groups() for match in map(re.compile(r"layer(\d)\.(\d+)\.conv3\.").match, state) if match}
    if Counter(stage for stage, _ in blocks) == {"1": 3, "2": 4, "3": 6, "4": 3}:
        return "resnet50_v1_5"
    return None
