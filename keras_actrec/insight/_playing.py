"""What a page's script is told of clips: answers of models, pictures, and what was seen when."""

import base64
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from keras_actrec._text import printable
from keras_actrec._types import StageProgress
from keras_actrec.data import VIDEO_SUFFIXES, Record, VideoError
from keras_actrec.data._readers import is_frame
from keras_actrec.data._shards import is_there
from keras_actrec.errors import UserError
from keras_actrec.insight._media import SmallClip, small_clip
from keras_actrec.insight.explain import explain, view_of

if TYPE_CHECKING:
    from keras_actrec.evaluation import Evaluation
    from keras_actrec.recognizer import Recognizer

_TOP = 5  # classes that are told of each clip
_AT_ONCE = 64  # clips in memory
_BYTES, _BYTES_OF_ALL = 60_000, 9_500_000  # of a clip, and of all in one page, at most
_TRACED = 60  # clips that models are asked about again: each takes some tenths of a second
_WORKERS = 2

Model: TypeAlias = "tuple[str, Evaluation, Recognizer | None]"  # with what it is called
# Of the content of a small clip, its name and its type: the address that the page has for it.
Place: TypeAlias = Callable[[bytes, str, str], str]


class Clips:
    """The clips of some models, each once.

    Args:
        models: those that were scored.
        most: how many clips play. Mistakes come first, the surest before, then what was right, the least sure
            before.

    Attributes:
        playing: number of clips that play.
        traced: of how many of them it is told what was seen when.
        notes: what could not be shown.
    """

    def __init__(self, models: Sequence[Model], most: int) -> None:
        self._models = models
        self._notes: dict[str, None] = {}  # in order, and each once
        numbers: dict[tuple[str, int | None, int | None], int] = {}
        self._records: list[Record] = []
        self._rows: list[dict[int, int]] = []  # of each model: the row of a clip, by number
        urgency = dict[int, tuple[bool, float]]()  # of what may play
        for _, evaluation, recognizer in models:
            videos = recognizer is None or recognizer.preprocessor.name == "clip"
            right, score = evaluation.predicted == evaluation.labels, evaluation.scores.max(axis=1)
            rows = {}
            for row, record in enumerate(evaluation.records):
                key = str(record.file), record.start, record.stop
                number = numbers.setdefault(key, len(numbers))
                if number == len(self._records):
                    self._records.append(record)
                rows[number] = row
                if not videos:
                    continue
                mine = bool(right[row]), float(score[row] if right[row] else -score[row])
                urgency[number] = min(mine, urgency.get(number, mine))
            self._rows.append(rows)
        play = [number for number in urgency if _is_video(self._records[number])]
        self._played = sorted(play, key=lambda number: urgency[number])[:most]
        self.playing, self.traced = 0, 0

    @property
    def notes(self) -> list[str]:
        return list(self._notes)

    def told(self, place: Place, progress: StageProgress, *, bounded: bool) -> dict[str, Any]:
        """Plain values for the script.

        Args:
            place: where a small clip or a picture is put.
            progress: called with the stage `clips`.
            bounded: whether all clips share what a page can carry.
        """
        budget = min(_BYTES, _BYTES_OF_ALL // max(1, len(self._played))) if bounded else _BYTES
        small = functools.partial(self._small, budget=budget)
        files: list[dict[str, Any]] = [{"path": printable(record.path)} for record in self._records]
        traces: list[dict[int, dict[str, Any]]] = [{} for _ in self._models]
        telling = [self._telling(at) for at in range(len(traces))]
        with ThreadPoolExecutor(_WORKERS) as pool:
            for start in range(0, len(self._played), _AT_ONCE):
                some = self._played[start : start + _AT_ONCE]
                for done, clip in enumerate(pool.map(small, some), start + 1):
                    number = self._played[done - 1]
                    progress("clips", done, len(self._played), self._records[number].path)
                    if clip is None:
                        continue
                    self.playing += 1
                    files[number] |= _file(clip, f"{number:05d}", place)
                    if done > _TRACED:
                        continue
                    for at, traced in enumerate(traces):
                        if (trace := self._trace(at, telling[at], number, clip)) is not None:
                            traced[number] = trace
                    self.traced += any(number in traced for traced in traces)
        return {
            "files": files,
            "models": [self._model(at, traced) for at, traced in enumerate(traces)],
        }

    def _small(self, number: int, budget: int) -> SmallClip | None:
        try:
            return small_clip(self._records[number], budget)
        except VideoError as error:
            self._notes[str(error)] = None
            return None

    def _trace(
        self, at: int, recognizer: "Recognizer | None", number: int, clip: SmallClip
    ) -> dict[str, Any] | None:
        """What a model saw in a clip step by step; None where it was not asked or cannot tell."""
        name, evaluation, _ = self._models[at]
        record, row = self._records[number], self._rows[at].get(number)
        if recognizer is None or row is None or record.start is not None or record.stop is not None:
            return None
        try:
            return _traced(recognizer, record, clip, [evaluation.labels[row], evaluation.predicted[row]])
        except UserError as error:
            self._notes[f"{name}: {error}"] = None
            return None

    def _telling(self, at: int) -> "Recognizer | None":
        """A model that answers at each step of videos; None where there is none."""
        name, _, recognizer = self._models[at]
        if recognizer is None or recognizer.preprocessor.name != "clip":
            return None
        try:
            return recognizer if view_of(recognizer).has_steps else None
        except UserError as error:
            self._notes[f"{name}: {error}"] = None
            return None

    def _model(self, at: int, traced: dict[int, dict[str, Any]]) -> dict[str, Any]:
        name, evaluation, _ = self._models[at]
        clips = []
        for number, row in self._rows[at].items():
            label, scores = int(evaluation.labels[row]), evaluation.scores[row]
            best = np.argsort(-scores, kind="stable")[:_TOP].tolist()
            clip: dict[str, Any] = {"file": number, "label": label, "true": _short(scores[label])}
            clip["top"] = [[each, _short(scores[each])] for each in best]
            if number in traced:
                clip["trace"] = traced[number]
            clips.append(clip)
        classes = [printable(each) for each in evaluation.class_names]
        return {"name": printable(name), "classes": classes, "clips": clips}


def _is_video(record: Record) -> bool:
    """Whether there is a video, or a folder of numbered images: a file of scores does not promise it."""
    if record.file.is_dir():
        return any(is_frame(each.name) for each in record.file.iterdir())
    return record.file.suffix.lower() in VIDEO_SUFFIXES and is_there(record.file)


def _file(clip: SmallClip, name: str, place: Place) -> dict[str, Any]:
    """What the script is told of a small clip, beside its path."""
    told: dict[str, Any] = {"seconds": _short(clip.seconds)}
    if clip.video is not None:
        return told | {"video": place(clip.video, f"{name}.mp4", "video/mp4")}
    names = [f"{name}_{still:02d}.webp" for still in range(len(clip.stills))]
    pictures = zip(clip.stills, names, strict=True)
    return told | {"stills": [place(still, name, "image/webp") for still, name in pictures]}


def _traced(
    recognizer: "Recognizer", record: Record, clip: SmallClip, classes: Sequence[int]
) -> dict[str, Any]:
    """What `explain` tells of a clip, with the time of each step in seconds.

    A frame that a short clip repeats is one step. `steps` has the probabilities of some classes, `attention`
    the bytes of `_brightness` in base64 and `cells` its rows and columns, and `region` the left, top, width
    and height of what the model saw, as shares of the frame.
    """
    seen = explain(recognizer, record.file, evidence=False)
    assert recognizer.preprocessor.files == "videos" and seen.steps is not None
    # The clip's times and not the file's, which may not move.
    indices, _ = recognizer.preprocessor.sampling.indices(len(clip.times))
    there = np.flatnonzero(seen.mask)
    times, first = np.unique(clip.times[indices[there]], return_index=True)
    mask = there[first]
    told: dict[str, Any] = {
        "times": _shorts(times),
        "steps": {int(label): _shorts(seen.steps[mask, label]) for label in classes},
    }
    if seen.boundaries is not None:
        told["boundaries"] = [_shorts(layer) for layer in seen.boundaries[mask].T]
    if seen.temperature is not None:
        told["temperature"] = _shorts(seen.temperature[mask])
    if seen.attention is not None:
        told["attention"] = _base64(_brightness(seen.attention[mask]).tobytes())
        told["cells"] = list(seen.attention.shape[1:])
        assert seen.frames is not None and seen.region is not None
        (height, width), region = seen.frames.shape[1:3], seen.region
        across, down = region.right - region.left, region.bottom - region.top
        told["region"] = _shorts([region.left / width, region.top / height, across / width, down / height])
    return told


def _brightness(shares: np.ndarray) -> np.ndarray:
    """Bytes `(T, K, K)` of attention `(T, K, K)`: 0 where it is even or less, 255 where it is most.

    Of a step that looks everywhere alike, with less than twice the even share anywhere, nothing is bright.
    """
    even = 1 / (shares.shape[1] * shares.shape[2])
    most = np.maximum(shares.max(axis=(1, 2), keepdims=True), 2 * even)
    return np.round(255 * np.clip((shares - even) / (most - even), 0, 1)).astype("uint8")


def data_uri(content: bytes, _: str, kind: str) -> str:
    """A `Place` in the page itself."""
    return f"data:{kind};base64,{_base64(content)}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _short(value: float) -> float:
    return round(float(value), 3)


def _shorts(values: Sequence[float] | np.ndarray) -> list[float]:
    return [_short(value) for value in values]
