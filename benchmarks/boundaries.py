"""Whether HM-AN's boundaries fire where the action changes: clips of two phases, whose change is known.

    python benchmarks/boundaries.py --seeds 3

Trains the recipe hman/synthetic on the synthetic set, and looks at the test clips of `pulse_then_shake` and
`shake_then_pulse`, which change in the middle. The model sees 8 of their 12 steps, from each of 5 starts, so
that the change comes at its step 2 to 6; boundaries at a step are compared with those at the same step of the
same clip where the change comes at least two steps earlier or later. What a step does to boundaries by its
number alone is then the same on both sides. Writes zoo/hman/boundaries.csv and the table of its page.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_actrec import evaluation, training, zoo
from keras_actrec._files import read_csv, write_block, write_csv
from keras_actrec.data import SYNTHETIC_PAIRS, write_synthetic
from keras_actrec.recognizer import Recognizer

FOLDER = Path(__file__).parents[1] / "zoo" / "hman"
TABLE = FOLDER / "boundaries.csv"
COLUMNS = ("seed", "layer", "at", "elsewhere", "auc", "top1", "files", "videos", "backend", "commit")
TWO_PHASES = SYNTHETIC_PAIRS[-1]
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


def run(data: Path, work: Path, seed: int) -> list[dict[str, str]]:
    """Train, and compare: a row a layer."""
    recipe = training.read_recipe("hman/synthetic", [f"train.seed={seed}"])
    trained = training.train(recipe, data, work / f"0-{seed}", cache=work / "cache")
    result = evaluation.evaluate(trained.recognizer, data, floors=False, cache=work / "cache")
    two = np.isin(np.array(result.class_names)[result.labels], TWO_PHASES)
    files = [record.file for record, is_one in zip(result.records, two, strict=True) if is_one]
    about = {
        "seed": str(seed),
        "top1": f"{(result.predicted == result.labels)[two].mean():.4f}",
        "files": str(len(files)),
        "videos": str(len(read_csv(data / "manifest.csv"))),
        "backend": f"{trained.record['backend']} {trained.record['versions'][trained.record['backend']]}",
        "commit": trained.record["commit"] or "unknown",
    }
    found = compare(*boundaries_of(trained.recognizer, files))
    return [
        {
            **about,
            "layer": str(layer),
            "at": f"{each.at:.4f}",
            "elsewhere": f"{each.elsewhere:.4f}",
            "auc": f"{each.auc:.4f}",
        }
        for layer, each in enumerate(found, start=1)
    ]


def verdict(layer: str, mean: float, half: float) -> str:
    """What the seeds show, in words."""
    low, high = mean - half, mean + half
    if low > 0.5:
        says = "fire more at the change than elsewhere"
    elif high < 0.5:
        says = "fire less at the change than elsewhere"
    else:
        says = "tell the change no better than chance, as far as these seeds show"
    return f"- Layer {layer}: boundaries {says} ({mean:.3f}, {low:.3f} to {high:.3f}; chance .500)."


def table(rows: Sequence[dict[str, str]]) -> str:
    """The block of the card: a row a layer, and a sentence for each."""
    lines = [
        "| layer | at a change | elsewhere | higher at a change | 95 % | seeds |",
        "|---|---|---|---|---|---|",
    ]
    said = []
    for layer in dict.fromkeys(row["layer"] for row in rows):
        of_layer = [row for row in rows if row["layer"] == layer]
        found = [float(row["auc"]) for row in of_layer]
        mean, half = evaluation.student_interval(found)
        at, elsewhere = (np.mean([float(row[key]) for row in of_layer]) for key in ("at", "elsewhere"))
        seeds = ", ".join(f"{each:.3f}" for each in found)
        interval = f"{mean - half:.3f} to {mean + half:.3f}"
        lines.append(f"| {layer} | {at:.3f} | {elsewhere:.3f} | {mean:.3f} | {interval} | {seeds} |")
        said.append(verdict(layer, mean, half))
    runs = [row for row in rows if row["layer"] == rows[0]["layer"]]
    made = "; ".join(dict.fromkeys(f"{row['backend']}, commit {row['commit']}" for row in runs))
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
            f"{rows[0]['files']} test clips of {rows[0]['videos']} a seed, top-1 on them "
            f"{', '.join(row['top1'] for row in runs)}. Mean of {len(runs)} seeds and its interval over",
            f"them (Student). hman/synthetic, written by `benchmarks/boundaries.py`, {made}.",
        ]
    )


def main() -> None:
    """Train all, and write the rows and the card's block."""
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
        rows = [row for seed in range(arguments.seeds) for row in run(data, work, seed)]
    write_csv(TABLE, rows, COLUMNS)
    write_block(FOLDER / "README.md", "boundaries", table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
