"""Export every model to every format from every backend, and write down what came of it.

    python benchmarks/exports.py

Each backend has a process of its own. Models are small, their weights random; each file is run in its own
runtime, and the largest difference of a probability is what the table shows. Writes `exports.json`, each cell
with its message where it is refused, and the tables of `exports.md`, both beside this program.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
BACKENDS = ("torch", "tensorflow", "jax")
KINDS = {
    "whole": ("Whole clips", {}),
    "stream": ("One step of a stream, `--stream`", {"stream": True}),
    "float16": ("`--quantize float16`", {"quantize": "float16"}),
    "int8": ("`--quantize int8`", {"quantize": "int8"}),
}
CLASSES = ("fall", "run", "sit", "walk")
CLIP, MAPS, VECTORS, JOINTS = (4, 32, 32, 3), (2, 2, 8), (12,), (17 * 2,)
# What makes a model small, of the arguments that it has.
SMALL = {"units": 16, "num_layers": 2, "filters": 4, "hidden": 16, "width": 0.125}
FIRST = {"backbone": "bn_inception:inception_3b_output"}  # the first blocks of a network are enough
OWN = {
    **dict.fromkeys(("gsm", "sa_gsm", "tsn"), FIRST),
    "st_gcn": {"layout": "coco17", "bodies": 1},
    "trn": {**FIRST, "units": 8},
    "tsm": {"backbone": "resnet50_v1_5:conv2_block2_out"},
}


def recognizer(name, **form):
    """A small model of the zoo, with a mask where it has one, and each weight and statistic moved."""
    import keras
    import numpy as np

    from keras_actrec import data, zoo
    from keras_actrec.recognizer import Recognizer

    keras.utils.set_random_seed(0)
    spec = zoo.spec(name)
    arguments = {key: value for key, value in SMALL.items() if key in spec.arguments}
    arguments |= OWN.get(name, {}) | form
    if spec.masked:
        arguments["masked"] = True
    sampling = data.Sampling(CLIP[0])
    if spec.input == "clip":
        shape = CLIP if name == "trn" else (None, *CLIP[1:])
        look = data.ClipPreprocessor(sampling, data.ClipTransform(CLIP[1]))
    else:
        vectors = JOINTS if name == "st_gcn" else VECTORS
        shape = (None, *(vectors if spec.input == "sequence" else MAPS))
        look = data.FeaturePreprocessor(sampling, shape[1:])
    model = zoo.build(name, len(CLASSES), input_shape=shape, **arguments)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        value = keras.ops.convert_to_numpy(weight)
        if weight.dtype == "float32":
            weight.assign(value + 0.1 * np.abs(value).mean() * rng.uniform(-1, 1, value.shape))
    made = Recognizer(model, CLASSES, look)
    while factor := of_classifier(made):
        for weight in model.get_layer("classifier").weights:
            weight.assign(weight * factor)
    return made


def of_classifier(recognizer):
    """What to multiply its weights with where scores hardly vary, or are 0 and 1: files could not differ."""
    import numpy as np

    from keras_actrec.deploy._networks import WholeClip

    network = WholeClip(recognizer, None, any_batch=True, any_length=False)
    compared = network.compared(lambda inputs: {"scores": None}, many=False)
    answers = np.concatenate([own for own, _ in compared])
    if answers.max() > 0.95:
        return 0.25
    return 2.0 if np.ptp(answers, axis=0).max() < 0.01 else None


def cell(model, kind, format, folder):
    """What came of one export."""
    from keras_actrec import deploy
    from keras_actrec.errors import UserError

    begin = time.perf_counter()
    try:
        about = deploy.export(model, folder / f"x{deploy.FORMATS[format].suffix}", format, **KINDS[kind][1])
        found = {key: about[key] for key in ("largest_difference", "same_answers")}
    except UserError as error:
        found = {"refused": str(error)}
    return {"kind": kind, "format": format, **found, "seconds": round(time.perf_counter() - begin, 1)}


def of_this_backend(out, only, kinds):
    """Writes the cells of the backend that runs."""
    import keras

    from keras_actrec import deploy, zoo

    rows = []
    for name in only or zoo.list_models():
        model = recognizer(name)
        for kind in kinds:
            if kind == "stream" and zoo.spec(name).causal_with:
                model = recognizer(name, **zoo.spec(name).causal_with)
            for format in deploy.FORMATS:
                with tempfile.TemporaryDirectory() as folder:
                    row = {"model": name, "backend": keras.backend.backend()}
                    rows.append(row | cell(model, kind, format, Path(folder)))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        keras.backend.clear_session()
    out.write_text(json.dumps(rows))


def cells_of(rows, kind):
    """Of each model and format of a kind the cell of the backend that writes it."""
    return {
        (row["model"], row["format"]): row
        for row in rows
        if row["kind"] == kind and "is written by" not in row.get("refused", "")
    }


def tables(rows):
    """The page: a table of each kind, in which a refused cell has the number of its message."""
    messages = []
    formats = list(dict.fromkeys(row["format"] for row in rows))
    models = sorted({row["model"] for row in rows})

    def text(row):
        if "refused" not in row:
            share = "" if row["kind"] in ("whole", "stream") else f", {row['same_answers']:.0%}"
            return f"{row['largest_difference'] or 0:.0e}{share}".replace("0e+00", "0")
        message = re.sub(rf"^{row['model']}\b", "MODEL", row["refused"]).replace("|", "\\|")
        if message not in messages:
            messages.append(message)
        return f"refused ({messages.index(message) + 1})"

    lines = []
    for kind, (title, _) in KINDS.items():
        cells = cells_of(rows, kind)
        if not cells:
            continue
        lines += [f"## {title}", "", f"| model | {' | '.join(formats)} |", "|---" * (len(formats) + 1) + "|"]
        for model in models:
            words = (text(cells[model, format]) for format in formats)
            lines.append(f"| `{model}` | {' | '.join(words)} |")
        lines.append("")
    lines += ["## What is refused", ""]
    return "\n".join([*lines, *(f"{number}. {text}" for number, text in enumerate(messages, 1))])


def by_backend(rows):
    """The table of formats x backends: whole clips of how many models, or what the message says to do."""
    formats = list(dict.fromkeys(row["format"] for row in rows))
    lines = [f"| format | {' | '.join(BACKENDS)} |", "|---" * (len(BACKENDS) + 1) + "|"]
    for format in formats:
        cells = []
        for backend in BACKENDS:
            here = [
                row
                for row in rows
                if (row["kind"], row["format"], row["backend"]) == ("whole", format, backend)
            ]
            done = sum("refused" not in row for row in here)
            words = {row["refused"].rpartition(": ")[2] for row in here if "refused" in row}
            cells.append(f"{done} of {len(here)}" if done else "; ".join(sorted(words)))
        lines.append(f"| {format} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(rows, folder):
    """The file and the page of what came of all exports."""
    packages = ("keras", "torch", "tensorflow", "onnx", "onnxruntime", "openvino", "ai-edge-litert")
    versions = {name: version(name) for name in packages}
    about = json.dumps({"python": platform.python_version(), "versions": versions})
    cells = ",\n".join(map(json.dumps, rows))  # a line each
    text = f'{about[:-1]}, "cells": [\n{cells}\n]}}\n'
    (folder / "exports.json").write_text(text, encoding="utf-8")
    words = ", ".join(f"{name} {number}" for name, number in versions.items())
    from keras_actrec._formats import MOST_DIFFERENT

    smaller = [f"{kind}: {most}" for kind, most in MOST_DIFFERENT.items() if kind and cells_of(rows, kind)]
    others = f" ({', '.join(smaller)})" if smaller else ""
    share = ", and of quantized files the share of answers with the same best class" if smaller else ""
    page = [
        "# Exports",
        "",
        "What `keras-actrec export` makes of a small model of each builder, with a mask where it takes one,",
        f"run in the file's own runtime: the largest difference of a probability{share}.",
        f"More than {MOST_DIFFERENT[None]:.0e}{others} is refused.",
        f"Written by `benchmarks/exports.py`, with {words}.",
        "",
        "## Formats and backends",
        "",
        "Models of which whole clips are written, or what to do.",
        "",
        by_backend(rows),
        "",
        tables(rows),
        "",
    ]
    (folder / "exports.md").write_text("\n".join(page), encoding="utf-8")


def main():
    """Run all backends, or the one of this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=Path, help="only this process' backend, into this file")
    parser.add_argument("--models", nargs="*", help="only these")
    kinds = ["whole", "stream"]  # those of smaller numbers take as long again
    parser.add_argument("--kinds", nargs="*", default=kinds, choices=KINDS, help="by default the first two")
    arguments = parser.parse_args()
    if arguments.cells:
        of_this_backend(arguments.cells, arguments.models, arguments.kinds)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for backend in BACKENDS:
            command = [sys.executable, __file__, "--cells", f"{folder}/rows.json"]
            command += ["--models", *(arguments.models or []), "--kinds", *arguments.kinds]
            subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": backend})
            rows += json.loads(Path(folder, "rows.json").read_text())
    write(rows, HERE)


if __name__ == "__main__":
    main()
