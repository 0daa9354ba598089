"""One `.keras` file in and out: the model, its class names, and how it looks at a file."""

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pydantic
from numpy.typing import ArrayLike

from keras_actrec import hub, layers, zoo  # noqa: F401  (layers: registers what a file may hold)
from keras_actrec._files import file_sha256, is_disk_full, replacing
from keras_actrec._numbers import MOST_PIXELS, whole
from keras_actrec._suggest import did_you_mean
from keras_actrec._text import printable
from keras_actrec._types import PathLike, StageProgress, silent
from keras_actrec.checkpoints import LoadReport, identify_checkpoint, load_torch
from keras_actrec.checkpoints.keras_file import load_model, read_parts
from keras_actrec.cluster import Cluster
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    Record,
    Sampling,
    expand_sources,
    preprocessor_of,
)
from keras_actrec.data.preprocessors import Preprocessor
from keras_actrec.errors import DiskFullError, UserError
from keras_actrec.prediction import Prediction
from keras_actrec.scoring import Scored, score
from keras_actrec.zoo import ModelSpec

_ENTRY = "keras_actrec.json"  # next to Keras's own entries in the archive; Keras ignores it
_FORMAT = 2
_OTHERS = "give a .keras file, or a name that keras-actrec models --trained lists"


@dataclass(frozen=True)
class Recognizer:
    """A model that knows its classes and how to look at a video.

    Attributes:
        model: from clips `(B, T, H, W, 3)`, RGB, 0-255, or from sequences `(B, T, D)` or features
            `(B, T, H, W, D)`, to probabilities `(B, C)`.
        class_names: name of every class id.
        preprocessor: what of a file the model sees, and in which form.
        about: what else the file says: the recipe, versions, the training data's hash.
        spec: what the model is; by default what `zoo.spec` knows of it.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    preprocessor: Preprocessor
    about: dict[str, Any] = field(default_factory=dict)
    spec: ModelSpec = None  # type: ignore[assignment]  # settled below

    def __post_init__(self) -> None:
        if self.spec is None:
            object.__setattr__(self, "spec", zoo.spec(self.model))

    def read(self, path: PathLike) -> tuple[np.ndarray, np.ndarray]:
        """Read a file as the model wants it.

        Returns:
            frames uint8 `(T, H, W, 3)` of a video, or float32 steps of a skeleton sequence, `(T, D)`, or of
            features, `(T, D)` or `(T, H, W, D)`; and the mask, bool `(T,)`.

        Raises:
            VideoError: for a file that cannot be used.
        """
        return self.preprocessor.read(path)

    def batch(self, steps: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray | dict[str, np.ndarray]:
        """The model's inputs from one clip or sequence, as `read` gives it.

        Args:
            steps: frames `(T, H, W, 3)`, or steps `(T, D)` or `(T, H, W, D)`.
            mask: bool `(T,)`, False at padding; by default all count. A model without a mask leaves it out.

        Returns:
            A batch of one: an array, or with a mask a dict of the input's name and `mask`.

        Raises:
            UserError: for frames or steps of another size, or another number of them than the mask has.
        """
        steps = np.asarray(steps)
        self.preprocessor.check(steps)
        if not self.spec.masked:
            return steps[None]
        mask = np.ones(len(steps), bool) if mask is None else np.asarray(mask)
        if mask.shape != steps.shape[:1]:
            raise UserError(
                f"`mask` must be ({len(steps)},), as there are steps. Received: shape {mask.shape}"
            )
        return {self.preprocessor.name: steps[None], "mask": mask[None]}

    def predict_video(self, path: PathLike, top: int | None = None) -> list[tuple[str, float]]:
        """Name what a video shows: with several clips or crops, by the mean of what they show.

        Args:
            path: video file, or the file of a skeleton sequence or of features.
            top: how many classes to return, default all.

        Returns:
            Pairs of class name and score, best first; the scores of all classes add up to 1.

        Raises:
            VideoError: for a file that cannot be used.
        """
        (file,) = self._score([Record(Path(path), str(path), 0)])
        return list(zip(*self._best(file.scores, top), strict=True))

    def predict(
        self,
        sources: PathLike | Iterable[PathLike | Record],
        *,
        top: int | None = 5,
        batch_size: int | None = None,
        workers: int = 2,
        cluster: Cluster | None = None,
        tell: Callable[[str], Any] | None = None,
        progress: StageProgress | None = None,
    ) -> Iterator[Prediction]:
        """Name what many files show, each as `predict_video` does, and pass over none.

        Files are read by threads ahead of the model, which sees several at a time. Memory grows neither with
        the number of files nor with the length of one.

            for prediction in recognizer.predict("clips"):
                print(prediction.path, prediction.status, prediction.labels[:1])

        Args:
            sources: files, folders, patterns and CSV files, see `data.expand_sources`.
            top: how many classes to name; `None` is all.
            batch_size: clips, or sequences, of a batch; by default what suits the device.
            workers: threads that read; 0 reads when asked.
            cluster: reads and answers in place of this machine.
            tell: called with a line where folders have files that do not count as videos, or what it takes.
            progress: called as `progress("predicting", done, total, path)` at the start and after every file.

        Returns:
            An iterator of a `Prediction` for each file, in the order of the sources; that of a bad file says
            what is wrong with it.

        Raises:
            UserError: for an argument out of range, or a source in which there is no file.
        """
        if top is not None:
            top = whole("top", top)
        records = expand_sources(sources, self.preprocessor.patterns, tell=tell)
        scored = self._score(records, batch_size, workers, cluster)
        return self._predictions(scored, len(records), top, progress or silent)

    def _score(
        self,
        records: Iterable[Record],
        batch_size: int | None = None,
        workers: int = 0,
        cluster: Cluster | None = None,
    ) -> Iterator[Scored]:
        return score(
            self.model,
            self.preprocessor,
            [(record, self.preprocessor.item(record.file)[1]) for record in records],
            masked=self.spec.masked,
            batch_size=batch_size,
            workers=workers,
            cluster=cluster,
        )

    def _predictions(
        self, scored: Iterator[Scored], total: int, top: int | None, progress: StageProgress
    ) -> Iterator[Prediction]:
        progress("predicting", 0, total, "")
        for done, file in enumerate(scored, start=1):
            path = Path(file.record.path)
            if file.error is None:
                prediction = Prediction(path, "ok", *self._best(file.scores, top), file.seconds)
            else:
                prediction = Prediction.of_error(path, file.error, file.seconds, file.record.file)
            progress("predicting", done, total, file.record.path)
            yield prediction

    def _best(self, scores: np.ndarray, top: int | None) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """Names and scores of the most probable classes."""
        order = np.argsort(-scores, kind="stable")[:top]
        return tuple(self.class_names[label] for label in order), tuple(scores[order].tolist())

    def save(self, path: PathLike) -> None:
        """Write everything into one `.keras` file, which appears only when it is complete.

        Raises:
            UserError: for another suffix.
        """
        path = Path(path)
        if path.suffix != ".keras":
            raise UserError(f"`path` must end in .keras. Received: path={path}")
        about = {
            "format": _FORMAT,
            "class_names": list(self.class_names),
            "spec": self.spec.to_json(),
            "preprocessor": self.preprocessor.to_json(),
            "about": self.about,
        }
        with replacing(path, durable=True) as part:
            self.model.save(part)
            with zipfile.ZipFile(part, "a") as archive:
                archive.writestr(_ENTRY, json.dumps(about, indent=2))

    def push(self, address: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload everything to the Hugging Face Hub (extra `hub`), with a page where the repository has none.

        Args:
            address: what `load` will be given: `hf://user/name`, or with another file than `model.keras`; the
                repository is made if missing.
            private: whether a new repository can be seen by its owner alone.
            token: the user's, by default that of `hf auth login`.

        Returns:
            The page's address for a browser.

        Raises:
            UserError: for another address, no access, or where the extra is missing.
        """
        return hub.push(address, self.save, self._page(address), private=private, token=token)

    def _page(self, address: str) -> str:
        """What the model is and how to use it, as a page of the hub."""
        return f"""---
library_name: keras_actrec
tags: [action-recognition, video-classification, keras]
---

`{self.spec.name}` of keras_actrec. It sees {self.preprocessor.protocol}.

```python
import keras_actrec

recognizer = keras_actrec.load("{address}")
print(recognizer.predict_video("clip.mp4"))
```

{len(self.class_names)} classes: {", ".join(self.class_names)}
"""


def read_about(path: PathLike) -> dict[str, Any]:
    """What a `.keras` file says of its model, without loading it: `class_names`, `spec`, `about` and others.

    Raises:
        UserError: as `load`.
    """
    path = Path(path)
    if not path.is_file():
        hint = did_you_mean(path.as_posix(), hub.trained_files(), otherwise=_OTHERS)
        raise UserError(f"model file {path} does not exist: {hint}")
    with _whole(path):
        try:
            about = json.loads(*read_parts(path, _ENTRY))
        except zipfile.BadZipFile as error:
            raise _Refused(
                f"{path} is not a .keras file, or not a whole one ({error}): copy or train it again"
            ) from error
        except KeyError as error:
            raise _Refused(
                f"{path} is a Keras model without class names and sampling: "
                "save it with keras_actrec's Recognizer.save"
            ) from error
        if about["format"] > _FORMAT:
            raise _Refused(
                f"{path} was written by a newer keras_actrec: upgrade with pip install -U keras_actrec"
            )
        if about["format"] < _FORMAT:
            raise _Refused(f"{path} was written by a keras_actrec before 0.1.0: train or convert it again")
        _About.model_validate(about)
    return about


class _About(pydantic.BaseModel):
    """What a `.keras` file says beside what Keras reads."""

    class_names: list[str]
    spec: ModelSpec
    preprocessor: dict[str, Any]
    about: dict[str, Any]


class _Refused(UserError):
    """What is wrong is said already."""


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Says of a file that it is damaged, whatever zip, zlib, JSON, HDF5 or Keras met first."""
    try:
        yield
    except _Refused:
        raise
    except PermissionError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): mend that") from error
    except Exception as error:
        if is_disk_full(error):  # Keras unpacks the weights before it reads them
            raise DiskFullError(tempfile.gettempdir()) from error
        first = " ".join(str(error).split())[:300] or "no more is known"
        reason = first if isinstance(error, UserError) else f"{type(error).__name__}: {first}"
        if "Lambda" in first and "safe_mode" in first:
            reason = "it has a Lambda layer, whose code would be run"
        raise UserError(f"{path} is damaged: {printable(reason)}; copy or train it again") from error


def load(path: PathLike) -> Recognizer:
    """Open a `.keras` file written by `Recognizer.save`, on any backend.

    Args:
        path: the file; or the name of a model that comes along, such as `hman/synthetic` (`list_trained`); or
            an address on the Hugging Face Hub (extra `hub`): `hf://user/name`, and if need be
            `hf://user/name@revision` or `hf://user/name/file.keras`; by default `model.keras`.

    Returns:
        What was saved.

    Raises:
        UserError: where the file is missing or broken, a Keras model without class names, or of another
            version of the library.
    """
    path = hub.local(path)
    about = read_about(path)
    with _whole(path):
        names, spec = tuple(about["class_names"]), ModelSpec.from_json(about["spec"])
        preprocessor = preprocessor_of(about["preprocessor"])
        model = load_model(path)
        _check_ends(model, names, spec)
    return Recognizer(model, names, preprocessor, about["about"], spec)


def _check_ends(model: keras.Model, class_names: tuple[str, ...], spec: ModelSpec) -> None:
    """Refuse names and inputs that do not go with a model."""
    if not isinstance(model, keras.Model) or isinstance(model.output, (list, tuple, dict)):
        raise ValueError("it holds no model with one answer")
    if len(class_names) != model.output.shape[-1]:
        raise ValueError(f"it names {len(class_names)} classes, and its model has {model.output.shape[-1]}")
    if len(set(class_names)) < len(class_names):
        raise ValueError("it names a class twice")
    inputs = set(model.input) if isinstance(model.input, dict) else None
    if inputs != ({spec.input_name, "mask"} if spec.masked else None) or len(model.inputs) > 2:
        raise ValueError(f"its model takes {', '.join(tensor.name for tensor in model.inputs)}")


def from_torch(
    path: PathLike,
    *,
    frames: int = 8,
    size: int | None = None,
    class_names: Iterable[str] | None = None,
) -> tuple[Recognizer, LoadReport]:
    """Make a recognizer of a torch checkpoint of the official GSM, SA-GSM, TSM or TSN code.

    Args:
        path: the checkpoint; see `checkpoints.identify_checkpoint` for what tells its model.
        frames: frames of a clip, one from each of as many segments; the file does not say.
        size: side of the frames in pixels, default 229 for InceptionV3 and 224 for the others.
        class_names: a name for every class, default "class 0", "class 1", ...

    Returns:
        The recognizer, and what was loaded of the file.

    Raises:
        UserError: for a file that cannot be read, is of another network or lacks a weight of its model, and
            for another number of names than classes.
    """
    path, frames = Path(path), whole("frames", frames)
    if size is not None:
        size = whole("size", size, high=MOST_PIXELS)
    found = identify_checkpoint(path)
    if size is None:
        size = 229 if found.backbone == "inception_v3" else 224
    if class_names is None:
        class_names = [f"class {label}" for label in range(found.num_classes)]
    names = tuple(class_names)
    if len(names) != found.num_classes:
        raise UserError(f"{path} has {found.num_classes} classes, but {len(names)} names were given")
    model = zoo.build(
        found.model, found.num_classes, backbone=found.backbone, input_shape=(frames, size, size, 3)
    )
    report = load_torch(model, path, complete=True)
    checkpoint = {**asdict(found), "file": path.name, "sha256": file_sha256(path)}
    about = {"checkpoint": {**checkpoint, "unused": list(report.unused)}}
    recognizer = Recognizer(
        model, names, ClipPreprocessor(Sampling(frames), ClipTransform(size)), about=about
    )
    return recognizer, report
