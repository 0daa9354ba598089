"""Whether HM-AN's boundaries fire where the action changes: clips of two phases, whose change is known.

    python benchmarks/boundaries.py --seeds 3

Trains the recipe hman/synthetic on the synthetic set, and looks at the test clips of `pulse_then_shake` and
`shake_then_pulse`, which change in the middle. The model sees 8 of their 12 steps, from each of 5 starts, so
that the change comes at its step 2 to 6; boundaries at a step are compared with those at the same step of the
same clip where the change comes at least two steps earlier or later. What a step does to boundaries by its
number alone is then the same on both sides. Writes the table to zoo/hman/README.md.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_actrec import _backend, evaluation, training, zoo
from keras_actrec._files import write_block
from keras_actrec.data import SYNTHETIC_PAIRS, write_synthetic
from keras_actrec.recognizer import Recognizer

CARD = Path(__file__).parents[1] / "zoo/hman/README.md"
TWO_PHASES = SYNTHETIC_PAIRS[-1]
VARIANTS: dict[str, Sequence[str]] = {"hman/synthetic": ()}  # what is changed, by name
SEEN = 8  # steps of a clip
_APART = 2  # steps


@dataclass(frozen=True)
class Found:
    """Of one run and layer.

    Attributes:
        at: share of the detectors that fire at a change, at its first step or the one after it.
        elsewhere: the same at the same steps where no change is.
        auc: how often it is higher at a change, ties by half: .5 is chance.
    """

    at: float
    elsewhere: float
    auc: float


def compare(boundaries: np.ndarray, change: int) -> list[Found]:
    """Compare boundaries at a change with those elsewhere, layer by layer.

    Args:
        boundaries: shares of detectors `(N, starts, steps, L)`, of N clips seen from step 0, 1, ... on.
        change: number of the step, seen from step 0 on, at which the second phase begins.
    """
    strength = (boundaries[:, :, :-1] + boundaries[:, :, 1:]) / 2  # of a step and the next
    starts, steps = strength.shape[1:3]
    found = []
    for layer in range(strength.shape[-1]):
        at, elsewhere, wins = [], [], []
        for start in range(starts):
            step = change - start
            others = [other for other in range(starts) if abs(other - start) >= _APART]
            if not 0 <= step < steps or not others:
                continue
            here, there = strength[:, start, step, layer], strength[:, others, step, layer]
            at.append(here.mean())
            elsewhere.append(there.mean())
            wins.append(((here[:, None] > there) + 0.5 * (here[:, None] == there)).mean())
        found.append(Found(float(np.mean(at)), float(np.mean(elsewhere)), float(np.mean(wins))))
    return found


def boundaries_of(recognizer: Recognizer, files: Sequence[Path]) -> tuple[np.ndarray, int]:
    """`(N, starts, steps, L)` of files of two phases, and the step at which they change."""
    clips = np.stack([recognizer.read(file)[0] for file in files])
    indices, _ = recognizer.preprocessor.sampling.indices(24)  # frames of a clip of the set
    change = int(np.argmax(indices >= 12))
    view = zoo.ExplainingView(recognizer.model, recognizer.spec)
    starts = range(clips.shape[1] - SEEN + 1)
    seen = [
        np.concatenate(
            [
                view(clips[at : at + 8, start : start + SEEN], evidence=False)["boundaries"]
                for at in range(0, len(clips), 8)
            ]
        )
        for start in starts
    ]
    return np.stack(seen, axis=1), change


def run(data: Path, out: Path, changes: Sequence[str], seed: int) -> tuple[list[Found], float, int]:
    """Train, and compare: a `Found` a layer, the accuracy on the clips of two phases, and their number."""
    recipe = training.read_recipe("hman/synthetic", [*changes, f"train.seed={seed}"])
    recognizer = training.train(recipe, data, out, cache=data.parent / "cache").recognizer
    result = evaluation.evaluate(recognizer, data, floors=False, cache=data.parent / "cache")
    names = np.array(result.class_names)[result.labels]
    two = np.isin(names, TWO_PHASES)
    files = [record.file for record, is_one in zip(result.records, two, strict=True) if is_one]
    accuracy = float((result.predicted == result.labels)[two].mean())
    return compare(*boundaries_of(recognizer, files)), accuracy, len(files)


def verdict(name: str, layer: int, mean: float, half: float) -> str:
    """What the seeds show, in words."""
    low, high = mean - half, mean + half
    if low > 0.5:
        says = "fire more at the change than elsewhere"
    elif high < 0.5:
        says = "fire less at the change than elsewhere"
    else:
        says = "tell the change no better than chance, as far as these seeds show"
    return f"- {name}, layer {layer}: boundaries {says} ({mean:.3f}, {low:.3f} to {high:.3f}; chance .500)."


def table(runs: dict[str, list[tuple[list[Found], float, int]]], setting: str) -> str:
    """The block of the card: a row a variant and layer, and a sentence for each."""
    lines = [
        "| HM-AN | layer | at a change | elsewhere | higher at a change | 95 % | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    said, told = [], []
    for name, of_seeds in runs.items():
        for layer in range(len(of_seeds[0][0])):
            found = [layers[layer] for layers, _, _ in of_seeds]
            mean, half = evaluation.student_interval([each.auc for each in found])
            at, elsewhere = (np.mean([getattr(each, key) for each in found]) for key in ("at", "elsewhere"))
            seeds = ", ".join(f"{each.auc:.3f}" for each in found)
            interval = f"{mean - half:.3f} to {mean + half:.3f}"
            lines.append(
                f"| {name} | {layer + 1} | {at:.3f} | {elsewhere:.3f} | {mean:.3f} | {interval} | {seeds} |"
            )
            said.append(verdict(name, layer + 1, mean, half))
        accuracies = ", ".join(f"{accuracy:.3f}" for _, accuracy, _ in of_seeds)
        told.append(f"{name} {accuracies}")
    clips = next(iter(runs.values()))[0][2]
    return "\n".join(
        [
            "Whether boundaries are where the action changes: clips of two phases, `pulse_then_shake` and",
            "`shake_then_pulse`, seen so that the change comes at each of five steps. Share of a layer's",
            "detectors that fire at a change, and at the same step where it comes earlier or later; and how",
            "often the first is higher, .5 by chance.",
            "",
            *lines,
            "",
            *said,
            "",
            f"{clips} test clips a seed, top-1 on them: {'; '.join(told)}. Mean of {len(of_seeds)} seeds and",
            f"its interval over them (Student). Written by `benchmarks/boundaries.py`, {setting}.",
        ]
    )


def main() -> None:
    """Train all, and write the card's block."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clips-per-class", type=int, default=120)
    parser.add_argument("--work", type=Path, help="folder of clips and runs, by default one that is removed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        data = work / "clips"
        if not (data / "manifest.csv").is_file():
            write_synthetic(data, clips_per_class=arguments.clips_per_class)
        runs: dict[str, list[tuple[list[Found], float, int]]] = {}
        for number, (name, changes) in enumerate(VARIANTS.items()):
            for seed in range(arguments.seeds):
                runs.setdefault(name, []).append(run(data, work / f"{number}-{seed}", changes, seed))
                print(name, seed, runs[name][-1], flush=True)
    versions = f"{_backend.name}, Keras {keras.__version__}, {arguments.clips_per_class} clips a class"
    write_block(CARD, "boundaries", table(runs, versions))
    print(f"wrote {CARD}")


if __name__ == "__main__":
    main()
