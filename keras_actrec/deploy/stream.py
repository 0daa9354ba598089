"""A recognizer that takes frames one at a time."""

from collections import deque
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from keras_actrec import _backend, zoo
from keras_actrec._numbers import whole
from keras_actrec.backbones import folded
from keras_actrec.deploy._windows import Windows, check_step, step_of
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

_Found: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # as in an `Answer`


@dataclass(frozen=True)
class Answer:
    """What a model says at a frame of a stream.

    Attributes:
        frame: number of the frame, from 0.
        scores: probabilities `(C,)` of the stream so far, or of the window up to this frame.
        step: probabilities `(C,)` of this step alone, where the model averages over steps; else the scores.
        attention: share of each of N places of what the model sees of this frame, `(N,)`, row by row; None of
            a model without attention.
    """

    frame: int
    scores: np.ndarray
    step: np.ndarray
    attention: np.ndarray | None = None


class Stream:
    """Answers while frames come. Memory does not grow with their number.

        stream = Stream(keras_actrec.load("model.keras"))
        for frame in frames:  # uint8 (H, W, 3), RGB
            for answer in stream.push(frame):
                print(answer.frame, answer.scores)

    A causal model (`ModelSpec.causal`) carries its states from step to step: its `scores` are what the model
    answers to a clip of all steps so far. Any other one looks at the last T steps, as at a file that has only
    these. Of several crops or clips that a recognizer sees of a file, a stream has one.

    Args:
        recognizer: the model, and how it looks at frames.
        every: frames from one step to the next, by default as in the recognizer's sampling; where that
            spreads T steps over the whole video, such as `segments`, every frame is a step.
        hop: steps from one answer to the next of a model that is not causal, by default a quarter of T.

    Attributes:
        recognizer: as given.
        causal: whether states are carried, and no window is needed.
        every: as given.
        window: T of the window; None of a causal model.

    Raises:
        UserError: for an argument out of range.
    """

    def __init__(self, recognizer: Recognizer, *, every: int | None = None, hop: int | None = None) -> None:
        preprocessor = recognizer.preprocessor
        self.recognizer = recognizer
        self.every = whole("every", preprocessor.every if every is None else every)
        self.causal = recognizer.spec.causal and preprocessor.causal
        if self.causal and hop is not None:
            raise UserError(f"`hop` is of a window, and this model answers at each step. Received: hop={hop}")
        self.window: int | None = None
        self._see: _States | _Window
        if self.causal:
            self._see = _States(recognizer)
        else:
            self._see = _Window(recognizer, hop)
            self.window = self._see.length
        self.reset()

    def __str__(self) -> str:
        """How it looks at the stream, in one line."""
        name, each = self.recognizer.spec.name, "" if self.every == 1 else f"1 frame in {self.every}, "
        if self.causal:
            return f"{name} is causal: {each}its states are carried from step to step"
        form = " ".join(
            f"model.{key}={str(value).lower()}" for key, value in self.recognizer.spec.causal_with.items()
        )
        other = f"; trained with `--set {form}` it carries its states" if form else ""
        window = f"a sliding window of {self.window} steps"
        return f"{name} needs a whole clip: {each}it looks through {window}{other}"

    def reset(self) -> None:
        """Forget what was seen: the next frame is the first one."""
        self._count = 0
        self._following = self.recognizer.preprocessor.following(carried=self.causal)
        self._see.reset()

    def push(self, frames: ArrayLike) -> list[Answer]:
        """Take the next frame, or several.

        Args:
            frames: a frame as the recognizer reads it from a file: uint8 `(H, W, 3)`, RGB, of any size;
                joints `(bodies, joints, 3)`; or a step of features. Or `(N, ...)`, N of them.

        Returns:
            An answer for each step of a causal model, and for each `hop`-th of another; none for frames that
            are passed over.

        Raises:
            UserError: for frames of another form, or where the model's answer is no number.
        """
        frames = np.asarray(frames)
        axes = 3 if self.recognizer.preprocessor.files != "features" else len(self._see.step)
        if frames.ndim not in (axes, axes + 1):
            raise UserError(f"a frame has {axes} axes. Received: shape {frames.shape}")
        frames = frames[None] if frames.ndim == axes else frames
        numbers = np.arange(self._count, self._count + len(frames))
        taken = numbers % self.every == 0
        self._count += len(frames)
        if not taken.any():
            return []
        found = self._see(self._following(frames[taken]))
        answers = [
            Answer(int(number), *each)
            for number, each in zip(numbers[taken], found, strict=True)
            if each is not None
        ]
        if not all(np.isfinite(answer.scores).all() for answer in answers):
            raise UserError("the model's answer is no number: train it again, slower, or mend the stream")
        return answers


class _States:
    """A causal model, which remembers by its states."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._name, self.step = step_of(recognizer)
        self._view = zoo.streaming_view(recognizer.model, recognizer.spec, self.step)
        self._model = zoo.attending_view(folded(self._view.model))  # which a predictor does not keep alive
        self._run = _backend.predictor(self._model)

    def reset(self) -> None:
        self._states: dict[str, np.ndarray] = self._view.start

    def __call__(self, steps: np.ndarray) -> list[_Found | None]:
        check_step(steps, self.step)
        answers = self._run({self._name: steps[None], **self._states})
        self._states = {name: answers[name] for name in self._view.start}
        attention = answers["attention"][0] if "attention" in answers else [None] * len(steps)
        return list(zip(answers["scores"][0], answers["steps"][0], attention, strict=True))


class _Window:
    """A model of whole clips, which sees the last steps. A backbone sees each frame once."""

    def __init__(self, recognizer: Recognizer, hop: int | None) -> None:
        self._recognizer = recognizer
        self._windows = Windows(recognizer)  # keeps the models alive, as a predictor does not
        self.step, self.length = self._windows.step, self._windows.length
        self.hop = max(1, self.length // 4) if hop is None else whole("hop", hop)
        frames = self._windows.frames
        self._features = None if frames is None else _backend.predictor(frames)
        self._head = zoo.attending_view(self._windows.head)
        self._run = _backend.predictor(self._head)

    def reset(self) -> None:
        self._steps: deque[np.ndarray] = deque(maxlen=self.length)
        self._seen = 0

    def __call__(self, steps: np.ndarray) -> list[_Found | None]:
        if self._recognizer.preprocessor.files != "skeletons":  # whose joints `window` turns into steps
            check_step(steps, self.step)
        if self._features is not None:
            steps = self._features(steps[None])[0]
        return [self._next(step) for step in steps]

    def _next(self, step: np.ndarray) -> _Found | None:
        self._steps.append(step)
        self._seen += 1
        if (self._seen - 1) % self.hop:
            return None
        inputs = self._windows.inputs([self._steps])
        answers: Any = self._run(inputs)
        (scores,) = answers["scores"]
        if "attention" not in answers:
            return scores, scores, None
        last = int(inputs["mask"][0].sum()) - 1 if isinstance(inputs, dict) else -1
        return scores, scores, answers["attention"][0, last]
