"""The trained model that a run starts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_actrec import checkpoints, hub
from keras_actrec._files import file_sha256
from keras_actrec._types import PathLike
from keras_actrec.checkpoints import LoadReport
from keras_actrec.checkpoints.keras_file import load_keras
from keras_actrec.checkpoints.load import check_kind
from keras_actrec.data.preprocessors import Preprocessor
from keras_actrec.errors import UserError
from keras_actrec.recognizer import read_about
from keras_actrec.zoo import ModelSpec


@dataclass(frozen=True)
class Start:
    """A file with the weights that a run starts from.

    Attributes:
        file: the file.
        sha256: of its content.
        class_names: of its model, None where the file does not say.
        layer: the only layer of it that is taken: `"backbone"` where its model is of another builder.
    """

    file: Path
    sha256: str
    class_names: tuple[str, ...] | None
    layer: str | None = None

    @classmethod
    def find(cls, path: PathLike, spec: ModelSpec, preprocessor: Preprocessor | None = None) -> "Start":
        """Look at a `.keras` file, a run directory that holds one, or another file of weights.

        Args:
            path: the file or folder, or the name or address of a `.keras` file, see `load`.
            spec: of the model that is to start.
            preprocessor: how that one looks at files.

        Raises:
            UserError: where there is none, or one of another builder, unless both have a backbone; or one of
                a body with other joints.
        """
        file = hub.local(path)
        if file.is_dir():
            file = file / "model.keras"
        if not file.is_file():
            raise UserError(
                f"{file} does not exist: start from a model.keras, its run directory, or a torch file"
            )
        check_kind(file)
        if file.suffix != ".keras":
            return cls(file, file_sha256(file), None)
        about = read_about(file)
        found, names = about["spec"]["name"], tuple(about["class_names"])
        if found == spec.name:
            _check_body(file, about["preprocessor"], preprocessor)
            return cls(file, file_sha256(file), names)
        if spec.backbone and (about["spec"]["backbone"] or about["spec"]["input"] == "clip"):
            return cls(file, file_sha256(file), names, "backbone")
        raise UserError(
            f"{file} is of {found}, and the recipe trains {spec.name}: start from a file of {spec.name}, or, "
            "where this one has a backbone, of a model with one or a network over clips"
        )

    def load(self, model: keras.Model, class_names: Sequence[str]) -> LoadReport:
        """Load what fits into a model of these classes, which has a new classifier if they are others.

        Raises:
            UserError: for a file that cannot be read, or of which nothing fits.
        """
        head = self.class_names in (None, tuple(class_names))
        if self.layer is not None:
            return load_keras(model, self.file, partial=True, layer=self.layer)
        return checkpoints.load_weights(model, self.file, partial=True, head=head)

    def record(self, report: LoadReport) -> dict[str, Any]:
        """What a run's record says of it."""
        return {
            "file": "/".join(self.file.resolve().parts[-2:]),
            "sha256": self.sha256,
            "loaded": len(report.loaded),
            "not_taken": list(report.lines),
        }


def _check_body(file: Path, theirs: Mapping[str, Any], ours: Preprocessor | None) -> None:
    """Refuse a model of one body as the start of one of another: its first layer means other joints."""
    if ours is None or ours.body is None:
        return
    name, own = theirs.get("shown_as") or theirs.get("layout"), ours.body.name
    if name not in (None, own):
        raise UserError(
            f"{file} sees joints as {name}, and this recipe as {own}: set skeleton.shown_as={name!r}, or "
            f"train the one it starts from with skeleton.shown_as={own!r}"
        )
