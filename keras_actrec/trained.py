"""Trained models that come along, with their cards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_actrec import hub
from keras_actrec._files import file_sha256
from keras_actrec.recognizer import read_about


@dataclass(frozen=True)
class TrainedModel:
    """A trained model that comes along.

    Attributes:
        name: what `load` and every command that takes a model know it by, such as `"hman/synthetic"`.
        file: its `.keras` file.
        class_names: name of every class id.
        card: what it `shows`, the `data` and the `terms` they are under, `limits`; `top1` and `mean_class` on
            `videos` test videos of `found` by `protocol`, and the `floor`, what a simple classifier reaches
            (`floor_of`); `recipe`, `changes`, `commit`, `backend`, `machine`, `seconds` of its training
            and the hash of its `manifest`. Where the set has `folds`, the model is that of `fold`, and
            `folds_top1` is what as many reach on `folds_videos`, each on the fold that it has not seen.
    """

    name: str
    file: Path
    class_names: tuple[str, ...]
    card: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.stat().st_size

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return file_sha256(self.file)

    def lines(self) -> list[tuple[str, str]]:
        """The card in words: pairs of what is told and what is said of it."""
        card = self.card
        score = f"top-1 {card['top1']:.3f} on {card['videos']} test videos of {card['found']}"
        if "fold" in card:
            score += (
                f", fold {card['fold']}; {card['folds']} models, each on the fold that it has not seen, "
                f"reach {card['folds_top1']:.3f} on {card['folds_videos']}"
            )
        return [
            ("classes", ", ".join(self.class_names)),
            ("data", card["data"]),
            ("terms", card["terms"]),
            ("limits", card["limits"]),
            ("reaches", score),
            ("floor", f"{card['floor']:.3f}, {card['floor_of']}" if "floor" in card else "none"),
            ("protocol", card["protocol"]),
            ("recipe", " --set ".join([card["recipe"], *card["changes"]])),
            ("trained", f"commit {card['commit']}, {card['backend']}, {card['machine']}"),
            ("size", f"{self.size / 1e6:.2f} MB"),
            ("SHA-256", self.sha256),
        ]


def list_trained() -> list[TrainedModel]:
    """The trained models that come along, by name.

        for model in keras_actrec.list_trained():
            print(model.name, model.card["shows"], model.card["top1"])

    Raises:
        UserError: for a file that is damaged.
    """
    found = []
    for name, file in hub.trained_files().items():
        about = read_about(file)
        found.append(TrainedModel(name, file, tuple(about["class_names"]), about["about"]["card"]))
    return found
