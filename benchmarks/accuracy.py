"""Train recipes over folds and seeds; write zoo/*/results.csv and the tables on the pages.

    python benchmarks/accuracy.py synthetic
    python benchmarks/accuracy.py fight --data FOLDER

The synthetic set is made here. FOLDER holds the set in its official layout, or the fight clips and index.csv
(`path,label,group,fold`). Nothing is chosen by the scores. A run that is in --out already is not repeated.
"""

import argparse
import math
import statistics
from pathlib import Path

import keras

from keras_actrec import artefact, data, evaluation, training
from keras_actrec._files import replacing

# For each experiment: rows of the table as (words, what it sees, recipe, overrides), the folds, the number of
# seeds, which rows are compared, what chance gives, and the models whose pages have the table, as README.md.
DIFFERENCES, FRAMES, CLIPS = "differences of frames", "frames", "clips, from random weights"
TURNED, STILL = "joints, turned and scaled in training", "joints as they are"
AS_THEY_ARE = ("skeleton.rotation=0.0", "skeleton.scale=0.0")
EXPERIMENTS = {
    "synthetic": {
        "title": "Synthetic set: 10 classes in 5 pairs that differ in the order of their frames only",
        "lines": (
            ("HM-AN", DIFFERENCES, "hman/synthetic", ()),
            ("HM-AN, attention on location alone", DIFFERENCES, "hman/synthetic", ("model.content=false",)),
            ("EleAtt-GRU", DIFFERENCES, "eleatt_rnn/synthetic", ()),
            ("GSM", CLIPS, "gsm/synthetic", ()),
            ("TSM", CLIPS, "tsm/synthetic", ()),
            ("STRN, context 3", CLIPS, "strn/synthetic", ()),
            ("TSN, which sees no order", CLIPS, "tsn/synthetic", ()),
            ("frame average, which sees no order", FRAMES, "frame_pool/synthetic", ()),
        ),
        "folds": (None,),
        "seeds": 3,
        "chance": ".10; .50 for a model that sees all but the order",
        "pages": ("hman",),
    },
    "fight": {
        "title": "Fight clips: `fight` / `noFight`, three group-wise folds",
        "lines": (
            ("HM-AN", DIFFERENCES, "hman/fight", ()),
            ("attention LSTM", DIFFERENCES, "lstm_attention/fight", ()),
            ("softmax regression", DIFFERENCES, "softmax_regression/fight", ()),
            ("HM-AN", FRAMES, "hman/fight", ("model.motion=false",)),
            ("attention LSTM", FRAMES, "lstm_attention/fight", ("model.motion=false",)),
            ("softmax regression", FRAMES, "softmax_regression/fight", ("model.motion=false",)),
        ),
        "folds": (0, 1, 2),
        "seeds": 3,
        "chance": ".50",
        "pages": ("hman",),
    },
    "utkinect": {
        "title": "UTKinect-Action3D: skeletons of 10 actions, odd subjects train, even ones test",
        "lines": (
            ("GRU", TURNED, "stacked_rnn/utkinect", ()),
            ("EleAtt-GRU", TURNED, "eleatt_rnn/utkinect", ()),
            ("GRU", STILL, "stacked_rnn/utkinect", AS_THEY_ARE),
            ("EleAtt-GRU", STILL, "eleatt_rnn/utkinect", AS_THEY_ARE),
        ),
        "folds": (None,),
        "seeds": 5,
        "compare": ((1, 0), (3, 2)),
        "chance": ".10",
        "pages": ("eleatt_rnn",),
    },
    "basic_motions": {
        "title": "BasicMotions: accelerometer and gyroscope of a watch, 4 actions",
        "lines": (
            ("GRU", "both sensors", "stacked_rnn/basic_motions", ()),
            ("EleAtt-GRU", "both sensors", "eleatt_rnn/basic_motions", ()),
        ),
        "folds": (None,),
        "seeds": 5,
        "compare": ((1, 0),),
        "chance": ".25",
        "pages": ("eleatt_rnn",),
    },
    "northwestern_ucla": {
        "title": "Northwestern-UCLA: skeletons of 10 actions, view 1 trains, view 2 tests",
        "lines": (
            ("GRU", TURNED, "stacked_rnn/northwestern_ucla", ("data.split=view1_view2",)),
            ("EleAtt-GRU", TURNED, "eleatt_rnn/northwestern_ucla", ("data.split=view1_view2",)),
        ),
        "folds": (None,),
        "seeds": 5,
        "compare": ((1, 0),),
        "chance": ".10",
        "pages": ("eleatt_rnn",),
    },
}
ROOT = Path(__file__).parents[1]
STUDENT = {3: 4.303, 5: 2.776}  # for a mean of so many seeds, 95 %


def run_one(folder, out, line, fold, seed):
    """Train and score one model; its row of results.csv."""
    _, _, recipe, changes = line
    overrides = (*changes, *([] if fold is None else [f"data.test_fold={fold}"]), f"train.seed={seed}")
    run = out / "-".join([recipe.replace("/", "-"), *(change.replace("=", "_") for change in overrides)])
    if not (run / "model.keras").exists():
        values = training.read_recipe(recipe, overrides)
        training.train(values, folder, run, name=recipe, overrides=overrides, cache=out / "cache")
    if not (run / "test.json").exists():
        evaluation.evaluate(artefact.load(run / "model.keras"), folder).write_json(run / "test.json")
    keras.backend.clear_session()
    return evaluation.result_row(run)


def table(experiment, rows):
    """The experiment's table in Markdown, from rows of results.csv."""
    about = EXPERIMENTS[experiment]
    rows = [row for row in rows if row["experiment"] == experiment]
    found = []
    lines = [f"{about['title']}.", "", "| model | sees | top-1 | 95 % | seeds |", "|---|---|---|---|---|"]
    for words, sees, recipe, changes in about["lines"]:
        ours = [row for row in rows if (row["recipe"], row["set"]) == (recipe, " ".join(changes))]
        seeds = [pooled([row for row in ours if int(row["seed"]) == seed]) for seed in range(about["seeds"])]
        each = ", ".join(f"{value:.3f}" for value in seeds)
        found.append(seeds)
        mean, low, high = interval(seeds)
        lines.append(
            f"| {words} ({recipe}) | {sees} | {mean:.3f} | {max(low, 0):.3f} to {min(high, 1):.3f} | {each} |"
        )
    for one, other in about.get("compare", ()):
        mean, low, high = interval([a - b for a, b in zip(found[one], found[other], strict=True)])
        names = [f"{about['lines'][place][0]}" for place in (one, other)]
        verdict = "helps" if low > 0 else "harms" if high < 0 else "makes no difference that these seeds show"
        lines += [
            "",
            f"{names[0]} minus {names[1]}, {about['lines'][one][1]}, seed by seed: {mean:+.3f} "
            f"({low:+.3f} to {high:+.3f}): the gate {verdict}.",
        ]
    means = [statistics.mean(seeds) for seeds in found]
    first = rows[0]
    clips = sum(int(row["videos"]) for row in rows) // (len(found) * about["seeds"])
    error = max(math.sqrt(mean * (1 - mean) / clips) for mean in means)

    def listed(column):
        return "; ".join(sorted({row[column] for row in rows}))

    lines += [
        "",
        f"Mean of {about['seeds']} seeds and its interval over them (Student), each over {clips} test clips "
        f"({first['found']} found), whose own standard error is at most {error:.3f}; "
        f"chance {about['chance']}. "
        f"Protocol{'s' if '; ' in listed('protocol') else ''}: {listed('protocol')}. "
        f"{listed('backend')}, commit {listed('commit')}.",
    ]
    return "\n".join(lines)


def interval(values):
    """Mean of some seeds and the bounds within which it lies at 95 %, by Student's t."""
    mean = statistics.mean(values)
    half = STUDENT[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def pooled(rows):
    """Share of all videos of these rows that are right."""
    return sum(float(row["top1"]) * int(row["videos"]) for row in rows) / sum(
        int(row["videos"]) for row in rows
    )


def results():
    """All rows of zoo/*/results.csv."""
    files = sorted((ROOT / "zoo").glob("*/results.csv"))
    return [row for file in files for row in evaluation.read_results(file)]


def write(experiment, rows):
    """Put the rows into the results.csv of their models and the table of what stands there into the pages."""
    for model in sorted({row["recipe"].split("/")[0] for row in rows}):
        ours = [row for row in rows if row["recipe"].startswith(f"{model}/")]
        evaluation.write_results(ROOT / "zoo" / model / "results.csv", ours)
    write_pages(experiment)


def write_pages(experiment):
    """Put the table of what stands in zoo/*/results.csv into the pages."""
    begin, end = f"<!-- {experiment}:begin -->", f"<!-- {experiment}:end -->"
    pages = [ROOT / "zoo" / model / "README.md" for model in EXPERIMENTS[experiment]["pages"]]
    for page in (*pages, ROOT / "README.md"):
        before, rest = page.read_text(encoding="utf-8").split(begin)
        after = rest.split(end)[1]
        text = f"{before}{begin}\n{table(experiment, results())}\n{end}{after}"
        with replacing(page) as beside:
            beside.write_text(text, encoding="utf-8")


def main():
    """Run one experiment and write its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--data", type=Path, help="folder of the set")
    parser.add_argument("--out", type=Path, help="default runs/EXPERIMENT")
    arguments = parser.parse_args()
    out = arguments.out or Path("runs") / arguments.experiment
    if arguments.experiment == "synthetic":
        folder = out / "videos"
        if not (folder / "manifest.csv").exists():
            data.write_synthetic(folder, clips_per_class=120, test_share=0.2)
    elif arguments.data is None:
        parser.error(f"{arguments.experiment} needs --data FOLDER")
    else:
        folder = arguments.data
    rows, about = [], EXPERIMENTS[arguments.experiment]
    for line in about["lines"]:
        for fold in about["folds"]:
            for seed in range(about["seeds"]):
                rows.append(run_one(folder, out, line, fold, seed))
                last = rows[-1]
                print(
                    last["recipe"], last["set"], "fold", fold, "seed", seed, "top-1", last["top1"], flush=True
                )
    write(arguments.experiment, rows)
    print(table(arguments.experiment, rows))


if __name__ == "__main__":
    main()
