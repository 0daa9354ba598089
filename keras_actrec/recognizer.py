"""One `.keras` file in and out: the model, its class names, and how it looks at a file."""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_actrec import layers, zoo  # noqa: F401  (registers what a file may hold)
from keras_actrec._files import replacing
from keras_actrec.checkpoints import identify_checkpoint, load_torch
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    Record,
    Sampling,
    SkeletonPreprocessor,
    preprocessor_of,
)
from keras_actrec.errors import UserError
from keras_actrec.zoo import ModelSpec

_ENTRY = "keras_actrec.json"  # beside Keras' own entries in the archive, which ignore it
_FORMAT = 2


@dataclass(frozen=True)
class Recognizer:
    """A model that knows its classes and how to look at a video.

    Attributes:
        model: `keras.Model`, clips `(B, T, H, W, 3)`, RGB, 0-255, or sequences `(B, T, D)`, to probabilities
            `(B, C)`.
        class_names: name of every class id.
        preprocessor: a `ClipPreprocessor` or a `SkeletonPreprocessor`: what of a file the model sees, and
            in which form.
        about: what else the file says: the recipe, versions, the training data's hash.
        spec: what the model is; by default what `zoo.spec` knows of it.
    """

    model: keras.Model
    class_names: tuple
    preprocessor: ClipPreprocessor | SkeletonPreprocessor
    about: dict[str, Any] = field(default_factory=dict)
    spec: ModelSpec | None = None

    def __post_init__(self) -> None:
        if self.spec is None:
            object.__setattr__(self, "spec", zoo.spec(self.model))

    def read(self, path):
        """Read a file as the model wants it: frames uint8 `(T, H, W, 3)`, or steps, and mask bool `(T,)`.

        Raises:
            VideoError: a file that cannot be used.
        """
        return self.preprocessor.read(path)

    def batch(self, steps, mask=None):
        """Model inputs from the frames `(T, H, W, 3)` or steps `(T, D)` of one clip, as `read` gives them.

        Raises:
            UserError: for frames of another size.
        """
        steps = np.asarray(steps)
        self.preprocessor.check(steps)
        if not self.spec.masked:
            return steps[None]
        mask = np.ones(len(steps), bool) if mask is None else np.asarray(mask)
        return {self.preprocessor.name: steps[None], "mask": mask[None]}

    def predict_video(self, path, top=None):
        """Name what a video shows: with several clips or crops, by the mean of what they show.

        Args:
            path: video file, or the file of a skeleton sequence.
            top: how many classes to return, default all.

        Returns:
            list of `(class name, score)`, best first; the scores of all classes add up to 1.

        Raises:
            VideoError: a video that does not decode.
        """
        if self.preprocessor.has_views:
            indexed, _ = self.preprocessor.index([Record(Path(path), str(path), 0)])
            views, _ = self.preprocessor.views(indexed, masked=self.spec.masked)[0]
        else:
            views = self.batch(*self.read(path))
        scores = np.mean(self.model.predict_on_batch(views), axis=0)
        order = np.argsort(-scores, kind="stable")[:top]
        return [(self.class_names[place], float(scores[place])) for place in order]

    def save(self, path):
        """Write everything into one `.keras` file, which appears only when it is complete."""
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
        with replacing(path) as beside:
            self.model.save(beside)
            with zipfile.ZipFile(beside, "a") as archive:
                archive.writestr(_ENTRY, json.dumps(about, indent=2))


def load(path):
    """Open a `.keras` file written by `Recognizer.save`, on any backend.

    Args:
        path: the file.

    Returns:
        A `Recognizer`.

    Raises:
        UserError: where the file is missing, broken, or a Keras model without class names.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no model file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read(_ENTRY))
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{path} is not a .keras file, or not a whole one ({error}): copy or train it again"
        ) from error
    except KeyError as error:
        raise UserError(
            f"{path} is a Keras model without class names and sampling: "
            "save it with keras_actrec's Recognizer.save"
        ) from error
    if about["format"] > _FORMAT:
        raise UserError(
            f"{path} was written by a newer keras_actrec: upgrade with pip install -U keras_actrec"
        )
    if about["format"] < _FORMAT:
        raise UserError(f"{path} was written by a keras_actrec before 0.1.0: train or convert it again")
    try:
        model = keras.saving.load_model(path, compile=False)
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is damaged ({error}): copy or train it again") from error
    return Recognizer(
        model=model,
        class_names=tuple(about["class_names"]),
        preprocessor=preprocessor_of(about["preprocessor"]),
        spec=ModelSpec.from_json(about["spec"]),
        about=about["about"],
    )


def from_torch(path, *, frames=8, size=None, class_names=None):
    """Make a recognizer of a torch checkpoint of the official GSM, SA-GSM, TSM or TSN code.

    Args:
        path: the checkpoint; see `checkpoints.identify_checkpoint` for what tells its model.
        frames: frames of a clip, one from each of as many segments; the file does not say.
        size: side of the frames in pixels, default 229 for InceptionV3 and 224 for the others.
        class_names: a name for every class, default "class 0", "class 1", ...

    Returns:
        A `Recognizer` and the `checkpoints.LoadReport`.

    Raises:
        UserError: for a file that cannot be read, is of another network or lacks a weight of its model, and
            for another number of names than classes.
    """
    path = Path(path)
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
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    about = {
        "checkpoint": {**asdict(found), "file": path.name, "sha256": sha256, "unused": list(report.unused)}
    }
    recognizer = Recognizer(
        model, names, ClipPreprocessor(Sampling(frames), ClipTransform(size)), about=about
    )
    return recognizer, report
