"""The networks of `keras.applications` as backbones, each with its own input scaling inside."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_actrec._types import PathLike, Shape, Tensor
from keras_actrec.backbones._weights import downloading, load_keras
from keras_actrec.errors import UserError

# Name -> (class in keras.applications, input scaling). Left out: EfficientNet B0 to B7, whose graph scales
# its input differently with and without weights="imagenet", so that weights saved from the one and loaded
# into the other would silently see other inputs.
APPLICATIONS = {
    "densenet121": ("DenseNet121", "torch"),
    "densenet169": ("DenseNet169", "torch"),
    "densenet201": ("DenseNet201", "torch"),
    "efficientnet_v2_b0": ("EfficientNetV2B0", "none"),
    "efficientnet_v2_b1": ("EfficientNetV2B1", "none"),
    "efficientnet_v2_b2": ("EfficientNetV2B2", "none"),
    "efficientnet_v2_b3": ("EfficientNetV2B3", "none"),
    "efficientnet_v2_s": ("EfficientNetV2S", "none"),
    "inception_resnet_v2": ("InceptionResNetV2", "tf"),
    "mobilenet": ("MobileNet", "tf"),
    "mobilenet_v2": ("MobileNetV2", "tf"),
    "mobilenet_v3_large": ("MobileNetV3Large", "none"),
    "mobilenet_v3_small": ("MobileNetV3Small", "none"),
    "resnet50": ("ResNet50", "caffe"),
    "resnet101": ("ResNet101", "caffe"),
    "resnet152": ("ResNet152", "caffe"),
    "resnet50_v2": ("ResNet50V2", "tf"),
    "resnet101_v2": ("ResNet101V2", "tf"),
    "resnet152_v2": ("ResNet152V2", "tf"),
    "xception": ("Xception", "tf"),
}


@keras.saving.register_keras_serializable(package="keras_actrec")
class InputScaling(keras.layers.Layer):
    """Scale RGB frames of 0-255 as the ImageNet networks of `keras.applications` expect them.

    | mode | output |
    |---|---|
    | `"tf"` | `x / 127.5 - 1` |
    | `"torch"` | `(x / 255 - (.485, .456, .406)) / (.229, .224, .225)` |
    | `"caffe"` | `x - (123.68, 116.779, 103.939)`, channels reversed to BGR |
    | `"bgr"` | `x - (128, 117, 104)`, channels reversed to BGR: the Inception networks of TSN |
    | `"none"` | `x`: the network scales for itself |

    Computed in float32 whatever the policy: bfloat16 would round the pixels before they are centered.

    Args:
        mode: one of the above.

    Input and output: `(..., 3)`; the input has any dtype.

    Raises:
        UserError: for another mode.
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if mode not in ("tf", "torch", "caffe", "bgr", "none"):
            raise UserError(f"`mode` must be tf, torch, caffe, bgr or none. Received: mode={mode!r}")
        self.mode = mode

    def build(self, input_shape: Shape) -> None:
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = ops.cast(inputs, self.compute_dtype)
        if self.mode == "tf":
            return x / 127.5 - 1.0
        if self.mode == "torch":
            mean = ops.array([0.485, 0.456, 0.406], x.dtype)
            std = ops.array([0.229, 0.224, 0.225], x.dtype)
            return (x / 255.0 - mean) / std
        if self.mode == "caffe":
            return ops.flip(x, axis=-1) - ops.array([103.939, 116.779, 123.68], x.dtype)
        if self.mode == "bgr":
            return ops.flip(x, axis=-1) - ops.array([104.0, 117.0, 128.0], x.dtype)
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}


def application(name: str) -> Callable[..., keras.Model]:
    """The builder `(*, weights, input_shape) -> keras.Model` of a network in `APPLICATIONS`."""
    attribute, mode = APPLICATIONS[name]

    def builder(
        *, weights: PathLike | None = "imagenet", input_shape: Shape = (None, None, 3)
    ) -> keras.Model:
        network = getattr(keras.applications, attribute)
        inputs = keras.Input(input_shape, name="frames")
        scaled = InputScaling(mode, name="input_scaling")(inputs)
        from_hub = weights == "imagenet"
        with downloading(name):
            x = network(
                include_top=False,
                weights="imagenet" if from_hub else None,
                input_tensor=scaled,
                input_shape=input_shape,
            ).output
        model = keras.Model(inputs, x, name=name)
        if weights is not None and not from_hub:
            load_keras(model, weights)
        return model

    return builder
