"""Cross-validate recipes on the fight clips and write zoo/hman/results.csv and the table in its card.

    python benchmarks/fight.py --data FOLDER --out runs/fight

FOLDER holds index.csv (`path,label,group,fold`) and the clips. Every recipe is trained for each fold and seed
and scored on the fold it has not seen; nothing is chosen by these scores. A run that is there is not
repeated.
"""

import argparse
import csv
import json
import statistics
from pathlib import Path

import keras

from keras_actrec import artefact, evaluation, training
from keras_actrec._files import replacing

RECIPES = ("hman/fight", "lstm_attention/fight", "softmax_regression/fight")
# The same with the features of the frames themselves instead of their differences.
VARIANTS = {"differences": (), "frames": ("model.motion=false",)}
FOLDS = (0, 1, 2)
SEEDS = (0, 1, 2)
CARD = Path(__file__).parents[1] / "zoo" / "hman"
BEGIN, END = "<!-- fight:begin -->", "<!-- fight:end -->"


def run_one(data, out, recipe, variant, fold, seed):
    """Train and score one model; the row for results.csv."""
    folder = out / f"{recipe.replace('/', '-')}-{variant}-fold{fold}-seed{seed}"
    overrides = (*VARIANTS[variant], f"data.test_fold={fold}", f"train.seed={seed}")
    if not (folder / "model.keras").exists():
        training.train(training.read_recipe(recipe, overrides), data, folder, features=out / "features")
    if not (folder / "test.json").exists():
        evaluation.evaluate(artefact.load(folder / "model.keras"), data).write_json(folder / "test.json")
    keras.backend.clear_session()
    record = json.loads((folder / "run.json").read_text())
    scores = json.loads((folder / "test.json").read_text())
    return {
        "recipe": recipe,
        "input": variant,
        "set": " ".join(overrides),
        "fold": fold,
        "seed": seed,
        "top1": f"{scores['top1']:.4f}",
        "mean_class": f"{scores['mean_class']:.4f}",
        "videos": scores["videos"],
        "skipped": len(scores["skipped"]),
        "found": record["data"]["found"],
        "protocol": scores["protocol"],
        "commit": record["commit"],
        "backend": f"{record['backend']} {record['versions'][record['backend']]}",
        "machine": record["machine"],
        "manifest": record["data"]["sha256"][:12],
        "seconds": record["seconds"],
    }


def table(rows):
    """The card's table: for each recipe and input the mean over folds, then mean and spread over seeds."""
    lines = ["| recipe | input | top-1, mean of the seeds | seeds | folds |", "|---|---|---|---|---|"]
    for recipe in RECIPES:
        for variant in VARIANTS:
            ours = [row for row in rows if (row["recipe"], row["input"]) == (recipe, variant)]
            by_seed = [pooled([row for row in ours if row["seed"] == seed]) for seed in SEEDS]
            by_fold = [pooled([row for row in ours if row["fold"] == fold]) for fold in FOLDS]
            seeds, folds = (" ".join(f"{value:.2f}" for value in values) for values in (by_seed, by_fold))
            lines.append(f"| {recipe} | {variant} | {statistics.mean(by_seed):.3f} | {seeds} | {folds} |")
    first = rows[0]
    lines += ["", f"{first['found']} clips, 3 group-wise folds, seeds {', '.join(map(str, SEEDS))}; "]
    lines[-1] += f"{first['protocol']}; {first['backend']}, commit {first['commit']}."
    return "\n".join(lines)


def pooled(rows):
    """Share of all videos of these rows that are right."""
    return sum(float(row["top1"]) * int(row["videos"]) for row in rows) / sum(
        int(row["videos"]) for row in rows
    )


def main():
    """Run everything and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/fight"))
    arguments = parser.parse_args()
    rows = []
    for recipe in RECIPES:
        for variant in VARIANTS:
            for fold in FOLDS:
                for seed in SEEDS:
                    rows.append(run_one(arguments.data, arguments.out, recipe, variant, fold, seed))
                    print(recipe, variant, f"fold {fold} seed {seed}: top-1 {rows[-1]['top1']}", flush=True)
    with replacing(CARD / "results.csv") as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    card = (CARD / "README.md").read_text(encoding="utf-8")
    before, rest = card.split(BEGIN)
    _, after = rest.split(END)
    with replacing(CARD / "README.md") as beside:
        beside.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
