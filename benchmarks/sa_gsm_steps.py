"""What a model loses when it is validated as SA-GSM's code does, taken back step by step to how it tests.

    keras-actrec train sa_gsm/something_something_v1 --data SSV1 --out runs/sa_gsm
    python benchmarks/sa_gsm_steps.py runs/sa_gsm/model.keras --data SSV1

The paper reports .14 on its validation part during training and .32 with its test program. Its validation
draws frames, multi-scale crops and mirrors as training does, under the clip's own label, and does not
subtract the mean pixel; its test program scales frames, subtracts it, and takes middle frames and crops.
On small data: `keras-actrec synth clips --clips-per-class 120`, and the recipe gsm/synthetic with
`--set clip.crop=multiscale`. Prints the table; what is drawn is drawn `--draws` times and averaged.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_actrec import evaluation, load, training
from keras_actrec.data import ClipPreprocessor
from keras_actrec.recognizer import Recognizer
from keras_actrec.training.prepare import read_data

MEAN = (128.0, 117.0, 104.0)  # RGB, which the Inception networks of TSN subtract inside


@dataclass(frozen=True)
class Step:
    """A way to look at a test part: at one scale or many, pixels centered or not, frames and crops fixed."""

    name: str
    scaled: bool = False
    centered: bool = False
    fixed: bool = False


STEPS = (
    Step("as its code validates"),
    Step("and one scale, that of its test, of which a crop is drawn", scaled=True),
    Step("and the mean pixel subtracted", scaled=True, centered=True),
    Step("and center crop of middle frames, not mirrored: as its code tests", True, True, True),
)


def preprocessor_of(recognizer: Recognizer, step: Step) -> ClipPreprocessor:
    """How a step looks at videos."""
    crop = "center" if step.fixed else "random" if step.scaled else "multiscale"
    changes = {"crop": crop, "flip": not step.fixed, "swap": (), "short_side": None, "num_crops": 1}
    sampling = {"method": "segments" if step.fixed else "tsn", "short": "stretch", "num_clips": 1}
    return recognizer.preprocessor.changed(sampling, changes)


def draws(
    recognizer: Recognizer, indexed: Sequence, step: Step, count: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scores `(N, C)` and labels `(N,)` of each draw of a step; of one that draws nothing, of one."""
    seen = preprocessor_of(recognizer, step)
    batches = seen.batches(indexed, training=not step.fixed, batch_size=batch_size, seed=0, workers=0)
    for epoch in range(1 if step.fixed else count):
        batches.epoch = epoch
        scores, labels = [], []
        for index in range(len(batches)):
            clips, label = batches[index]
            # The model subtracts the mean: on pixels that have it in addition, it sees them as they were.
            shown = clips.astype("float32") + (0.0 if step.centered else np.array(MEAN, "float32"))
            scores.append(recognizer.model.predict_on_batch(shown))
            labels.append(label)
        yield np.concatenate(scores), np.concatenate(labels)


def table(recognizer: Recognizer, indexed: Sequence, *, count: int = 3, batch_size: int = 8) -> list[dict]:
    """A row a step: its name, top-1, top-5 and mean class accuracy, means over the draws."""
    rows = []
    for step in STEPS:
        found = []
        for scores, labels in draws(recognizer, indexed, step, count, batch_size):
            matrix = evaluation.confusion_matrix(labels, scores.argmax(axis=1), scores.shape[1])
            tops = [evaluation.top_k_accuracy(scores, labels, k) for k in (1, 5)]
            found.append([*tops, evaluation.mean_class_accuracy(matrix)])
        values = dict(zip(("top1", "top5", "mean_class"), np.mean(found, axis=0), strict=True))
        rows.append({"step": step.name, **values})
    return rows


def main() -> None:
    """Print the table of a trained model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=3)
    arguments = parser.parse_args()
    recognizer = load(arguments.model)
    recipe = training.parse_recipe(recognizer.about["recipe"])
    backbone = recipe.model.arguments.get("backbone", "bn_inception")
    if not backbone.startswith(("bn_inception", "inception_v3")):
        parser.error(f"the mean pixel is that of bn_inception and inception_v3; this model has {backbone}")
    records = read_data(recipe.data, arguments.data)[1]["test"]
    indexed, _ = recognizer.preprocessor.index(records)
    print("| test | top-1 | top-5 | mean class |\n|---|---|---|---|")
    for row in table(recognizer, indexed, count=arguments.draws):
        print(f"| {row['step']} | {row['top1']:.3f} | {row['top5']:.3f} | {row['mean_class']:.3f} |")
    print(f"\n{len(indexed)} test clips, {arguments.draws} draws.")


if __name__ == "__main__":
    main()
