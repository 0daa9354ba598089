"""How a program without this library is to read files."""

from dataclasses import replace
from typing import Any

from keras_actrec.data.preprocessors import Preprocessor

# Of skeletons what only a generator does; `ClipTransform.deterministic` has nothing of it.
_DRAWN = ("rotation", "scale", "mirror", "swap", "view", "shear", "crop", "speed", "drop", "num_views")
_OF_CLIPS = ("size", "short_side", "crop", "num_crops", "shrink")


def preprocessing(look: Preprocessor, steps: int) -> dict[str, Any]:
    """What a preprocessor does with a file that is not for training, as plain values, none left to a default.

    Args:
        look: the model's.
        steps: T, in place of its own.
    """
    if look.files == "skeletons":
        values = replace(look, transform=replace(look.transform, frames=steps)).to_json()
        values["transform"] = {
            name: value for name, value in values["transform"].items() if name not in _DRAWN
        }
        return values
    look = replace(look, sampling=replace(look.sampling, frames=steps).deterministic)
    values = look.to_json()
    del values["sampling"]["speed"]
    if look.files == "videos":
        transform = replace(look.transform.deterministic, num_crops=look.transform.num_crops)
        values["transform"] = {name: getattr(transform, name) for name in _OF_CLIPS}
        values["transform"]["interpolation"] = {"fewer pixels": "area", "more pixels": "linear"}
    return values
