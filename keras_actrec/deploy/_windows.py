"""A model that sees windows of a stream or of a long file, of which the frames are computed once."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_actrec import zoo
from keras_actrec.backbones import folded
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer


class Windows:
    """The networks behind a window, and what they take.

    Attributes:
        step: shape of a step as the model takes it.
        length: T, steps of a window.
        frames: from steps `(1, N, ...)` to what `head` takes of each, `(1, N, ...)`; None where frames mix in
            the inside of the model, so that a step in two windows is computed in both.
        head: from windows to probabilities `(B, C)`.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        model, spec = recognizer.model, recognizer.spec
        self._recognizer = recognizer
        self._name, self.step = step_of(recognizer)
        fixed = next(tensor.shape[1] for tensor in model.inputs if tensor.name == self._name)
        self.length: int = fixed or recognizer.preprocessor.steps
        self.frames: keras.Model | None = None
        self.head = model
        if apart := zoo.frames_apart(model, spec, self.step):
            self.frames, self.head = apart
            self.frames = folded(self.frames)
        else:
            self.head = folded(model)
        if spec.masked:
            (self._name,) = set(self.head.input) - {"mask"}
        self._shape = (self.head.input[self._name] if spec.masked else self.head.input).shape[1:]

    def inputs(self, windows: Sequence[Sequence[np.ndarray]], size: int | None = None) -> Any:
        """What `head` takes of windows, each the steps that it has; the last one fills up to `size`.

        Raises:
            UserError: for steps of another shape.
        """
        pairs = [self._recognizer.preprocessor.window(steps) for steps in windows]
        for clip, _ in pairs:
            same = [ours in (None, its) for ours, its in zip(self._shape, clip.shape, strict=False)]
            if len(self._shape) != clip.ndim or not all(same):
                takes = f"it gives {clip.shape} and the model takes {self._shape}"
                raise UserError(f"{takes}; use files as in its training")
        pairs += [pairs[-1]] * ((size or len(pairs)) - len(pairs))
        clips, masks = map(np.stack, zip(*pairs, strict=True))
        return {self._name: clips, "mask": masks} if self._recognizer.spec.masked else clips


def step_of(recognizer: Recognizer) -> tuple[str, tuple[int, ...]]:
    """Name of the model's input, and the shape of a step of it."""
    (tensor,) = (each for each in recognizer.model.inputs if each.name != "mask")
    preprocessor = recognizer.preprocessor
    if preprocessor.name == "clip":  # of which the model may take any size
        return tensor.name, (preprocessor.transform.size, preprocessor.transform.size, 3)
    return tensor.name, tuple(tensor.shape[2:])


def check_step(steps: np.ndarray, step: tuple[int, ...]) -> None:
    """Refuse steps `(N, ...)` of another shape than the model takes.

    Raises:
        UserError: for these.
    """
    if steps.shape[1:] != step:
        raise UserError(
            f"the stream gives {steps.shape[1:]} and the model takes {step}: use frames as in its training"
        )
