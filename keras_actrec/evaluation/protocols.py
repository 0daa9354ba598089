"""How a test looks at a video, by the name of the paper that tests so."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras

from keras_actrec import zoo
from keras_actrec._suggest import did_you_mean
from keras_actrec.data.preprocessors import Preprocessor
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

_AVERAGES = {
    "probabilities": "mean of the views' probabilities",
    "logits": "mean of the views' logits",
    "votes": "majority vote of the views",
}


@dataclass(frozen=True)
class Protocol:
    """How a test looks at a video: which clips and crops, and how their answers become one.

    What is not changed is the recognizer's own; `Protocol()` changes nothing and averages probabilities.

    Attributes:
        name: stamped into results, in front of what is seen of a video in words.
        sampling: changes to the `Sampling`, by name.
        transform: changes to the `ClipTransform`, by name.
        full_resolution: whether the side of a crop is the short side that frames have before a center crop,
            `size * 256 // 224`, so that three crops hold the whole frame.
        average: how the views become one answer, see `fuse`: `"probabilities"`, `"logits"` (before the
            softmax; models that end in one are taken at the logarithm of their probabilities, which differs
            from their logits by a number that no softmax sees) or `"votes"`.
        steps: whether the model must answer with the mean of its steps' probabilities.

    Raises:
        UserError: for another `average`.
    """

    name: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    transform: Mapping[str, Any] = field(default_factory=dict)
    full_resolution: bool = False
    average: str = "probabilities"
    steps: bool = False

    def __post_init__(self) -> None:
        if self.average not in _AVERAGES:
            raise UserError(f"`average` must be one of {', '.join(_AVERAGES)}. Received: {self.average!r}")

    def of(self, recognizer: Recognizer) -> Recognizer:
        """The recognizer that looks at files as the protocol says.

        Where the frames of a clip become more or larger, the model's layers take them on another input.

        Raises:
            UserError: for a model that cannot be tested so.
        """
        if self.steps and not recognizer.spec.per_step:
            raise UserError(
                f"protocol {self.name} averages the answers of all steps, and {recognizer.model.name} "
                "gives one answer a clip: choose another protocol"
            )
        if not (self.sampling or self.transform or self.full_resolution):
            return recognizer
        try:
            seen = recognizer.preprocessor.changed(
                self.sampling, self.transform, full_resolution=self.full_resolution
            )
        except UserError as error:
            raise UserError(f"protocol {self.name}: {error}") from error
        return replace(recognizer, model=_resized(recognizer.model, seen, self.name), preprocessor=seen)

    def words(self, recognizer: Recognizer) -> str:
        """What is stamped into a result of `recognizer`, which is what `of` has returned."""
        name = f"{self.name}: " if self.name else ""
        # As the zoo's models end that answer at every step; others, such as `frame_pool`, average features.
        steps = ", mean of the steps' probabilities" if recognizer.spec.per_step else ""
        views = f", {_AVERAGES[self.average]}" if recognizer.preprocessor.has_views else ""
        return f"{name}{recognizer.preprocessor.protocol}{steps}{views}"


# All of the video, stretched where it is short, and a crop from the middle of frames with a short side of 256
# where crops have 224.
_SEGMENTS = {
    "method": "segments",
    "stride": 1,
    "frame_step": 1,
    "short": "stretch",
    "hop": None,
    "num_clips": 1,
}
_SEQUENCES = {"method": "sequences", "hop": None, "short": "repeat", "num_clips": 1}
_CENTER = {"crop": "center", "short_side": None, "num_crops": 1}

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # Released code of GSM, SA-GSM (its test script), TSM, TRN and TSN: logits are averaged.
        Protocol("gsm_1_clip", _SEGMENTS, _CENTER, average="logits"),
        Protocol("gsm_2_clips", {**_SEGMENTS, "num_clips": 2}, _CENTER, average="logits"),
        Protocol("sa_gsm", _SEGMENTS, _CENTER, average="logits"),
        Protocol("tsm_1_clip", _SEGMENTS, _CENTER, average="logits"),
        Protocol(
            "tsm_2_clips",
            {**_SEGMENTS, "num_clips": 2},
            {**_CENTER, "num_crops": 3},
            full_resolution=True,
            average="logits",
        ),
        Protocol("trn", _SEGMENTS, {**_CENTER, "num_crops": 10}, average="logits"),
        Protocol("tsn", {**_SEGMENTS, "frames": 25}, {**_CENTER, "num_crops": 10}, average="logits"),
        # STRN: all sequences of T frames, end to end.
        Protocol("strn", _SEQUENCES),
        # HM-AN: the mean of T steps; for the sequence accuracy of its table 8 (`Evaluation.view_accuracy`)
        # all sequences of T frames, end to end, as it does not say how they lie. Attention LSTM (Sharma):
        # all blocks of T frames, one from every frame on, each with the mean of its steps, and the class that
        # most of them name.
        Protocol("hman", {"num_clips": 1}, {"num_crops": 1}, steps=True),
        Protocol("hman_sequences", {**_SEQUENCES, "stride": 1}, {"num_crops": 1}, steps=True),
        Protocol("sharma", {**_SEQUENCES, "stride": 1, "hop": 1}, average="votes", steps=True),
    )
}


def find_protocol(protocol: Protocol | str | None) -> Protocol:
    """A `Protocol` by its name; None is `Protocol()`, and a `Protocol` is returned as it is.

    Raises:
        UserError: for another name, with the nearest one.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol is None:
        return Protocol()
    if protocol not in PROTOCOLS:
        raise UserError(f"unknown protocol {protocol!r}: {did_you_mean(protocol, PROTOCOLS)}")
    return PROTOCOLS[protocol]


def _resized(model: keras.Model, seen: Preprocessor, name: str) -> keras.Model:
    """The model for other clips; an error where its weights depend on them."""
    shape = seen.shape(())
    try:
        return zoo.resized(model, shape)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"protocol {name} shows clips of {' x '.join(map(str, shape[:3]))}, and {model.name} takes only "
            "those it was built for: choose another protocol"
        ) from error
