"""Measure what an answer of each model costs: time, memory, size of the file; into docs/choosing.md.

    OMP_NUM_THREADS=1 KERAS_BACKEND=torch python benchmarks/costs.py
    python benchmarks/costs.py --page

The models are those of benchmarks/accuracy.py that were compared on one set, as their recipes say, with ten
classes and random weights, on one core. Each is a process of its own, forked after the backend is loaded:
the memory is what its peak has grown by when it has been built and has answered. Times are medians of
answers to one clip, without reading the file, in CPU seconds. The table joins them with the accuracy and the
training times that stand in zoo/*/results.csv; --page writes it and measures nothing.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from side_by_side import machine

from keras_actrec import Recognizer, evaluation, training
from keras_actrec._files import write_block
from keras_actrec.data import Record
from keras_actrec.training import prepare

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "costs.json"
PAGE = ROOT / "docs" / "choosing.md"
REPEATS = 7
CLASSES = tuple(f"class {number}" for number in range(10))
JOINTS = np.random.default_rng(0).normal(size=(60, 1, 20, 3))  # of Kinect, as in UTKinect-Action3D


@dataclass(frozen=True)
class Compared:
    """Models that were compared on a set.

    Attributes:
        title: of the table.
        experiment: in results.csv.
        fold: that all of them have; empty where there is one split.
        models: recipe in results.csv, and changes, to the words for it.
    """

    title: str
    experiment: str
    fold: str
    models: dict[tuple[str, str], str]


BEST = (
    "data.dataset=utkinect data.split=odd_even data.options= "
    "train.batch_size=16 train.epochs=100 model.units=64"
)
TABLES = (
    Compared(
        "Videos: ten ego gestures, the first of four folds by scene, {chance}",
        "ego_gestures",
        "0",
        {
            ("stacked_rnn/chosen", ""): "GRU in both directions, as `train` chooses",
            ("eleatt_rnn/videos", ""): "EleAtt-GRU in both directions",
            ("hman/own", ""): "HM-AN, soft attention",
            ("lstm_attention/own", ""): "attention LSTM",
            ("frame_gru/own", ""): "GRU over frames",
            ("softmax_regression/own", ""): "softmax regression",
            ("frame_pool/own", ""): "frame average",
            ("gsm/own", ""): "GSM",
            ("sa_gsm/own", ""): "SA-GSM",
            ("tsm/own", ""): "TSM",
            ("trn/own", ""): "TRN",
            ("tsn/own", ""): "TSN",
            ("strn/own", ""): "STRN",
        },
    ),
    Compared(
        "Skeletons: UTKinect-Action3D, odd subjects train, even ones test, {chance}",
        "utkinect",
        "",
        {
            ("stacked_rnn/utkinect", ""): "GRU",
            ("eleatt_rnn/utkinect", ""): "EleAtt-GRU",
            ("eleatt_rnn/best", BEST): "EleAtt-GRU with what helps",
        },
    ),
)
FILES = {"stacked_rnn/chosen": "stacked_rnn/videos"}  # the recipe that a choice starts from


def built(name, changes):
    """The recognizer of a recipe, and an input of one clip, as often as a test looks at it."""
    recipe = training.read_recipe(FILES.get(name, name), changes.split())
    indexed = [(Record(Path("a.npz"), "a", 0), JOINTS)] if recipe.skeleton else ()
    model, spec = prepare.build_model(recipe, len(CLASSES), indexed)
    shape = recipe.preprocessor.shape(indexed)
    steps = np.random.default_rng(0).integers(0, 255, shape).astype("float32")
    recognizer = Recognizer(model, CLASSES, recipe.preprocessor, spec=spec)
    views = np.stack([steps] * (recipe.preprocessor.num_views or 1))
    inputs = {recipe.preprocessor.name: views}
    return recognizer, inputs | {"mask": np.ones(views.shape[:2], bool)} if spec.masked else views


def peak():
    """Megabytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def measure(key, answers):
    """Build one model, let it answer, and send what that has cost."""
    before = peak()
    recognizer, inputs = built(*key)
    seconds = []
    for _ in range(REPEATS + 1):
        began = time.process_time()
        recognizer.model.predict_on_batch(inputs)
        seconds.append(time.process_time() - began)
    grown = peak() - before
    with tempfile.TemporaryDirectory() as folder:
        recognizer.model.save(Path(folder) / "model.keras")
        size = (Path(folder) / "model.keras").stat().st_size
    steps = next(iter(inputs.values())) if isinstance(inputs, dict) else inputs
    clip = 1000 * statistics.median(seconds[1:])
    answers.put({"ms": round(clip, 1), "frames": steps.shape[1], "memory": round(grown), "file": size})


def measure_all():
    """What each model costs."""
    fork = multiprocessing.get_context("fork")
    found = {}
    for key in dict.fromkeys(key for table in TABLES for key in table.models):
        answers = fork.Queue()
        process = fork.Process(target=measure, args=(key, answers))
        process.start()
        found[" ".join(key).strip()] = answers.get(timeout=600)
        process.join()
        print(*key, found[" ".join(key).strip()], flush=True)
    return {"date": f"{datetime.date.today()}", "machine": machine(), "models": found}


def rows_of(table, key):
    """The rows of results.csv of a model on the fold that all have."""
    recipe, changes = key
    rows = evaluation.read_results(ROOT / "zoo" / recipe.split("/")[0] / "results.csv")
    return [
        row
        for row in rows
        if (row["experiment"], row["recipe"], row["set"], row["fold"])
        == (table.experiment, recipe, changes, table.fold)
        and "+" not in row["seed"]  # models that answer together
    ]


def table_of(table, measured):
    """One table in Markdown, the most accurate first."""
    lines = []
    for key, words in table.models.items():
        rows, cost = rows_of(table, key), measured["models"][" ".join(key).strip()]
        top1 = statistics.mean(float(row["top1"]) for row in rows)
        minutes = statistics.median(float(row["seconds"]) for row in rows) / 60
        name = key[0].split("/")[0]
        lines.append(
            (
                -top1,
                f"| [{words}](../zoo/{name}/README.md) | {top1:.3f} | {len(rows)} | {minutes:.1f} | "
                f"{cost['ms']:.0f} / {cost['ms'] / cost['frames']:.1f} | {cost['memory']} / "
                f"{cost['file'] / 1e6:.1f} |",
            )
        )
    videos = rows[0]["videos"]
    return "\n".join(
        [
            f"{table.title.format(chance=f'{videos} test clips')}.",
            "",
            "| model | top-1 | seeds | minutes to train | ms a clip / a frame | MB of memory / of file |",
            "|---|---|---|---|---|---|",
            *(line for _, line in sorted(lines)),
        ]
    )


def main():
    """Measure unless the page alone is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", action="store_true", help="write the page from the results there are")
    if not parser.parse_args().page:
        if os.environ.get("OMP_NUM_THREADS") != "1" or os.environ.get("KERAS_BACKEND") != "torch":
            parser.error("one core, and PyTorch: OMP_NUM_THREADS=1 KERAS_BACKEND=torch")
        RESULTS.write_text(json.dumps(measure_all(), indent=1) + "\n", encoding="utf-8")
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    about = measured["machine"]
    foot = (
        f"Costs: `benchmarks/costs.py`, {measured['date']}, PyTorch {about['versions']['torch']} on one core "
        f"of {about['processor']}, CPU milliseconds of one answer without reading the file, load "
        f"{about['load']}. Minutes to train: on the machine that the rows of `zoo/*/results.csv` name."
    )
    text = "\n\n".join([*(table_of(table, measured) for table in TABLES), foot])
    write_block(PAGE, "costs", text)


if __name__ == "__main__":
    main()
