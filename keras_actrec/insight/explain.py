"""Why a model answered as it did: where it looked, and when it decided."""

import math
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import keras
import numpy as np

from keras_actrec import zoo
from keras_actrec._types import PathLike
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a model saw in one clip, step by step. Steps where `mask` is false are padding.

    Attributes:
        path: the video file.
        frames: uint8 `(T, H, W, 3)`, RGB, as the model got them.
        mask: bool `(T,)`, true where the frame counts.
        attention: share of each of K x K cells of the frame in what the model looked at, `(T, K, K)`, adding
            up to 1 in every step; hard attention has a single 1. None for a model without attention.
        boundaries: share of each layer's detectors that saw a segment end, `(T, L)`, lowest layer first; 0
            or 1 where a layer has one detector. None for a model without boundaries.
        temperature: of the attention, `(T,)`. None for an attention without one.
        steps: probabilities at every step `(T, C)`.
        scores: the answer `(C,)`.
        class_names: name of every class id.
        true_label: what the clip shows, where that is known.
        model_name: name of the model.

    Raises:
        UserError: for a `true_label` that is no class.
    """

    path: Path
    frames: np.ndarray
    mask: np.ndarray
    attention: np.ndarray | None
    boundaries: np.ndarray | None
    temperature: np.ndarray | None
    steps: np.ndarray
    scores: np.ndarray
    class_names: tuple[str, ...]
    true_label: str | None = None
    model_name: str = "model"

    def __post_init__(self) -> None:
        if self.true_label is not None and self.true_label not in self.class_names:
            raise UserError(
                f"`true_label` must be a class of the model, one of {', '.join(self.class_names)}. "
                f"Received: true_label={self.true_label!r}"
            )

    @property
    def label(self) -> str:
        """The class with the highest score."""
        return self.class_names[int(np.argmax(self.scores))]

    @property
    def score(self) -> float:
        """The score of `label`."""
        return float(np.max(self.scores))


def explain(recognizer: Recognizer, path: PathLike, true_label: str | None = None) -> Explanation:
    """Run a model on one video and keep what its layers did.

    What a model can show is in its `spec.trace`: `hman`, `lstm_attention`, `conv_attention` and `cham`.

    Args:
        recognizer: the model, as `keras_actrec.load` returns it.
        path: video file.
        true_label: name of the class that the video shows, if known.

    Returns:
        What the model saw, step by step.

    Raises:
        UserError: for a model without a trace, with an attention that is not on a square of cells, or that
            was not trained on videos, or a `true_label` that is no class.
        VideoError: for a video that cannot be used.
    """
    tracer = _tracer(recognizer)
    if recognizer.preprocessor.files != "videos":
        raise UserError(
            f"explain draws on the frames of videos, and {recognizer.model.name} was trained on "
            f"{recognizer.preprocessor.files}: train it on videos, with a backbone"
        )
    frames, mask = recognizer.read(path)
    seen = tracer.predict_on_batch(recognizer.batch(frames, mask))
    seen = {name: np.asarray(value[0], "float32") for name, value in seen.items()}
    if "attention" in seen:
        side = math.isqrt(seen["attention"].shape[-1])
        seen["attention"] = seen["attention"].reshape(-1, side, side)
    if "temperature" in seen:
        seen["temperature"] = seen["temperature"][:, 0]
    return Explanation(
        path=Path(path),
        frames=np.asarray(frames),
        mask=np.asarray(mask, bool),
        attention=seen.get("attention"),
        boundaries=seen.get("boundaries"),
        temperature=seen.get("temperature"),
        steps=seen["steps"],
        scores=seen["scores"],
        class_names=tuple(recognizer.class_names),
        true_label=true_label,
        model_name=recognizer.model.name,
    )


# A model of the same layers with more outputs, compiled by the backend once and not for every clip.
_TRACERS: WeakKeyDictionary[keras.Model, keras.Model] = WeakKeyDictionary()


def _tracer(recognizer: Recognizer) -> keras.Model:
    model = recognizer.model
    if model not in _TRACERS:
        _TRACERS[model] = zoo.traced(model, recognizer.spec)
    return _TRACERS[model]
