"""Does switching off the joints that a gate lets through most hurt more than switching off others?

    python benchmarks/gates.py utkinect --data FOLDER
    python benchmarks/gates.py northwestern_ucla --data FOLDER

Trains the recipe of EleAtt-GRU with five seeds (a run that is in --out already is not repeated), switches
joints off in the files of the test part, see `insight.delete_joints`, and writes the curves into
zoo/eleatt_rnn/deletion.csv and the table of its page. Nothing is chosen by them, and they are printed
whichever way they fall.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from keras_actrec import data, evaluation, insight, load, training
from keras_actrec._files import read_csv, write_block, write_csv

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "zoo" / "eleatt_rnn" / "README.md"
TABLE = ROOT / "zoo" / "eleatt_rnn" / "deletion.csv"
COLUMNS = ("experiment", "recipe", "set", "seed", "files", "backend", "order", *map(str, range(21)))
# Recipe and what it changes; and what a table calls it.
EXPERIMENTS = {
    "utkinect": ("eleatt_rnn/utkinect", (), "UTKinect-Action3D, odd to even subjects"),
    "northwestern_ucla": (
        "eleatt_rnn/northwestern_ucla",
        ("data.split=view1_view2",),
        "Northwestern-UCLA, view 1 to view 2",
    ),
}
SEEDS, DRAWS = 5, 10
SHOWN = (0, 1, 2, 4, 6, 8, 12, 16)  # counts of joints in the table


def of_seed(experiment: str, folder: Path, out: Path, seed: int) -> list[dict[str, str]]:
    """The curves of one seed, a row an order."""
    recipe, changes, _ = EXPERIMENTS[experiment]
    overrides, run = (*changes, f"train.seed={seed}"), out / f"{experiment}-{seed}"
    if not (run / "model.keras").exists():
        training.train(training.read_recipe(recipe, overrides), folder, run, name=recipe, overrides=overrides)
    values, recognizer = training.read_recipe(run / "recipe.toml"), load(run / "model.keras")
    table = values.data
    manifest = data.read_set(folder, dataset=table.dataset, split=table.split, options=table.options)
    records = [record for record in manifest.records if record.split == "test"]
    items, _ = recognizer.preprocessor.index(records)
    found = insight.delete_joints(recognizer, items, draws=DRAWS, seed=seed)
    common = {
        "experiment": experiment,
        "recipe": recipe,
        "set": " ".join(changes),
        "seed": str(seed),
        "files": str(len(items)),
        "backend": keras.backend.backend(),
    }
    curves = {"largest": found.largest, "smallest": found.smallest, "random": found.random.mean(axis=0)}
    keras.backend.clear_session()
    return [
        {
            **common,
            "order": order,
            **{str(n): f"{value:.4f}" for n, value in zip(found.counts, curve, strict=True)},
        }
        for order, curve in curves.items()
    ]


def table(experiment: str, rows: list[dict[str, str]]) -> str:
    """What is left of the accuracy, the mean of the seeds, and how both orders differ from chance."""
    ours = [row for row in rows if row["experiment"] == experiment]
    curves = {
        order: np.array([[float(row[str(n)]) for n in range(21)] for row in ours if row["order"] == order])
        for order in ("largest", "random", "smallest")
    }
    names = {"largest": "largest response", "random": "at random", "smallest": "smallest response"}
    lines = [
        f"{EXPERIMENTS[experiment][2]}: top-1 where so many of 20 joints are switched off, mean of "
        f"{len(curves['random'])} seeds.",
        "",
        f"| off first | {' | '.join(map(str, SHOWN))} | mean over all counts |",
        "|---" * (len(SHOWN) + 2) + "|",
    ]
    for order, curve in curves.items():
        cells = [f"{value:.3f}" for value in curve.mean(axis=0)[list(SHOWN)]]
        lines.append(f"| {names[order]} | {' | '.join(cells)} | {curve.mean():.3f} |")
    lines.append("")
    for order in ("largest", "smallest"):
        mean, half = evaluation.student_interval((curves["random"] - curves[order]).mean(axis=1).tolist())
        low, high = mean - half, mean + half
        verdict = (
            "hurts more" if low > 0 else "hurts less" if high < 0 else "does not differ, as far as seeds show"
        )
        lines.append(
            f"- At random minus {names[order]} first: {mean:+.3f} ({low:+.3f} to {high:+.3f}): switching the "
            f"joints with the {names[order]} off {verdict}."
        )
    recipe = f"{ours[0]['recipe']} {ours[0]['set']}".strip()
    return "\n".join([*lines, "", f"{recipe}, {ours[0]['files']} test files, {ours[0]['backend']}."])


def tables(rows: list[dict[str, str]]) -> str:
    """The tables of all experiments of which there are rows."""
    done = [name for name in EXPERIMENTS if any(row["experiment"] == name for row in rows)]
    return "\n\n".join(table(name, rows) for name in done)


def main() -> None:
    """Run one experiment and write its curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the set")
    parser.add_argument("--out", type=Path, default=Path("runs/gates"), help="default runs/gates")
    arguments = parser.parse_args()
    rows = [
        row
        for seed in range(SEEDS)
        for row in of_seed(arguments.experiment, arguments.data, arguments.out, seed)
    ]
    kept = read_csv(TABLE) if TABLE.exists() else []
    rows = [*(row for row in kept if row["experiment"] != arguments.experiment), *rows]
    write_csv(TABLE, rows, COLUMNS)
    write_block(PAGE, "deletion", tables(rows))
    print(table(arguments.experiment, rows))


if __name__ == "__main__":
    main()
