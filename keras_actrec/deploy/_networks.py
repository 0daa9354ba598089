"""A recognizer's network as a file has it, and what it is tried with."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_actrec import _backend, zoo
from keras_actrec._numbers import whole
from keras_actrec.deploy._windows import step_of
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

# From inputs by name, in the order of the network's, to outputs by name.
Run: TypeAlias = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]

_STEPS = 5  # of a stream to compare
_BATCHES, _STREAMS = {False: (1, 5), True: (1, 5, 5, 5, 4)}, {False: 1, True: 4}  # by whether to compare many


class WholeClip:
    """From a clip or a sequence, and its mask where the model has one, to `scores`.

    Args:
        recognizer: the model.
        frames: T, where the model takes any number; by default as many as it looks at.
        any_batch: whether the number of clips is free, otherwise it is one.
        any_length: whether T is free, where the model takes any number and `frames` is not given.

    Attributes:
        model: with a dict of outputs.
        inputs: tensors that only have a name, a type and a shape, in which None is free.
        steps: T, or as many as the model looks at where it is free.

    Raises:
        UserError: for `frames` that the model does not take.
    """

    def __init__(
        self, recognizer: Recognizer, frames: int | None, *, any_batch: bool, any_length: bool
    ) -> None:
        model = recognizer.model
        self.model = keras.Model(model.input, {"scores": model.output}, name=model.name)
        self._recognizer = recognizer
        self._steps = recognizer.preprocessor.steps
        if frames is not None:
            self._steps = whole("frames", frames)
        free = any_length and frames is None
        self.inputs = [self._input(part, None if any_batch else 1, free) for part in model.inputs]
        if frames is not None and self.inputs[0].shape[1] != frames:
            raise UserError(f"{model.name} takes {self.inputs[0].shape[1]} frames: leave `frames` out")
        self.steps = self.inputs[0].shape[1] or self._steps

    def _input(self, part: keras.KerasTensor, batch: int | None, free: bool) -> keras.KerasTensor:
        steps, *sides = part.shape[1:]
        if None in sides:
            _, *sides = self._recognizer.preprocessor.shape(())
        steps = steps or (None if free else self._steps)
        return keras.KerasTensor((batch, steps, *sides), _dtype(part), name=part.name)

    def compared(self, run: Run, many: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The model's answers and those of a file: to batches of 1 and more, or of 1 where it takes no other.

        They are 6, or 20 if `many`. Where T is free all batches but the first are longer.
        """
        answer = _backend.predictor(self._recognizer.model)
        batches = _BATCHES[many]
        if self.inputs[0].shape[0] is not None:
            batches = (1,) * sum(batches)
        for number, batch in enumerate(batches):
            rng = np.random.default_rng(number)
            steps = self._steps + (3 if number else 0)
            inputs = {part.name: self._example(part, batch, steps, rng) for part in self.inputs}
            values = list(inputs.values())
            yield answer(keras.tree.pack_sequence_as(self.model.input, values)), run(inputs)["scores"]

    def _example(
        self, part: keras.KerasTensor, batch: int, steps: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Pictures, or normal numbers; in a mask the last step is padding."""
        shape = (batch, part.shape[1] or steps, *part.shape[2:])
        if part.dtype == "bool":
            return np.broadcast_to(np.arange(shape[1]) < max(1, shape[1] - 1), shape).copy()
        return _values(self._recognizer, shape, rng)

    def about(self) -> dict[str, Any]:
        """Names and shapes, plain values; null is free."""
        batch = self.inputs[0].shape[0]
        return {
            "inputs": _described(self.inputs),
            "outputs": [{"name": "scores", "shape": [batch, len(self._recognizer.class_names)]}],
        }


def _able() -> Iterator[str]:
    """The models that stream, each with the arguments that it needs for it."""
    for name in zoo.list_models():
        if zoo.spec(name).causal:
            given = [f"{key}={value}" for key, value in zoo.spec(name).causal_with.items()]
            yield f"{name} ({', '.join(given)})" if given else name


class OneStep:
    """From one step of one stream, and the states before it, to `scores`, `steps` and the states after it.

    `scores (1, 1, C)` is what the model answers to all steps so far, `steps` what this step alone gives; the
    state that goes in as `NAME` comes out as `next_NAME`.

    Args:
        recognizer: a causal model.

    Attributes:
        model: with a dict of outputs.
        inputs: as those of `WholeClip`; nothing is free.
        steps: as many as the model looks at.

    Raises:
        UserError: for a model that needs the whole clip.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        if not recognizer.spec.causal:
            raise UserError(
                f"{recognizer.model.name} needs the whole clip for each answer, so it has no single step: "
                f"leave `stream` out, or train one of {', '.join(_able())}, else with its defaults"
            )
        if not recognizer.preprocessor.causal:
            raise UserError(
                "this model's steps depend on the whole sequence: leave `stream` out, or train with "
                "skeleton.length='pad' and without skeleton.unit_size"
            )
        self._recognizer = recognizer
        self.steps = recognizer.preprocessor.steps
        self._name, step = step_of(recognizer)
        self._view = zoo.streaming_view(recognizer.model, recognizer.spec, step)
        outputs = dict(self._view.model.output)
        outputs |= {f"next_{name}": outputs.pop(name) for name in self._view.start}
        self.model = keras.Model(self._view.model.input, outputs, name=recognizer.model.name)
        self.inputs = [
            keras.KerasTensor((1, *(side or 1 for side in part.shape[1:])), _dtype(part), name=part.name)
            for part in self.model.inputs
        ]

    def compared(self, run: Run, many: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The model's answers and those of a file, which gets its own states back, step by step.

        They are those to one stream, or to four if `many`; the last is the model's to the whole clip.
        """
        for number in range(_STREAMS[many]):
            yield from self._compared(run, np.random.default_rng(number))

    def _compared(self, run: Run, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        model = self._recognizer.model
        tensor = next(part for part in model.inputs if part.name == self._name)
        (shape,) = (part.shape for part in self.inputs if part.name == self._name)
        clip = _values(self._recognizer, (1, tensor.shape[1] or _STEPS, *shape[2:]), rng)
        own, states, theirs = _backend.predictor(self._view.model), self._view.start, self._view.start
        for number in range(clip.shape[1]):
            step = clip[:, number : number + 1]
            expected = own({self._name: step, **states})
            given = {self._name: step, **theirs}
            found = run({part.name: given[part.name] for part in self.inputs})
            states = {name: expected[name] for name in states}
            theirs = {name: found[f"next_{name}"] for name in theirs}
            for name in ("scores", "steps"):
                yield expected[name], found[name]
        given = {self._name: clip, "mask": np.ones(clip.shape[:2], bool)}
        values = [given[part.name] for part in model.inputs]
        whole = _backend.predictor(model)(keras.tree.pack_sequence_as(model.input, values))
        yield whole, found["scores"][:, -1]

    def about(self) -> dict[str, Any]:
        """Names and shapes, and of each state its value before the first step: a number, or a nested list."""
        return {
            "inputs": _described(self.inputs),
            "outputs": [
                {"name": name, "shape": [1, *(side or 1 for side in self.model.output[name].shape[1:])]}
                for name in sorted(self.model.output)
            ],
            "states": [
                {"input": name, "output": f"next_{name}", "start": _plain(value)}
                for name, value in self._view.start.items()
            ],
        }


def _dtype(part: keras.KerasTensor) -> str:
    return "bool" if part.dtype == "bool" else "float32"


def _values(recognizer: Recognizer, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    clips = recognizer.spec.input_name == "clip"
    return (_pictures(shape, rng) if clips else rng.normal(size=shape)).astype("float32")


def _pictures(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Clips of a color each with soft spots of others that move; noise of pixels is all alike to a network.

    Random colors at the corners of a grid of 2 x 4 x 4, T x H x W, linear between them.
    """
    batch, *sides, channels = shape
    colors = rng.uniform(0, 255, (batch, 1, 1, 1, channels))
    colors = colors + rng.normal(0, 64, (batch, 2, 4, 4, channels))
    weights = [
        np.stack([np.interp(np.linspace(0, count - 1, side), range(count), row) for row in np.eye(count)])
        for count, side in zip(colors.shape[1:-1], sides, strict=True)
    ]
    clips = np.einsum("bthwc,tT,hH,wW->bTHWc", colors, *weights, optimize=True)
    return np.clip(clips, 0, 255).round()


def _described(inputs: list[keras.KerasTensor]) -> list[dict[str, Any]]:
    return [{"name": part.name, "shape": list(part.shape), "dtype": part.dtype} for part in inputs]


def _plain(value: np.ndarray) -> Any:
    return value.tolist() if np.ptp(value) else float(value.flat[0])
