"""Write what a release leaves to all later ones: small models, a run that was stopped, and their answers.

    KERAS_BACKEND=torch python tests/keep.py models     # once
    KERAS_BACKEND=torch python tests/keep.py run        # on each backend: no other goes on with it

It lies in tests/kept/VERSION, with copies of some recipes. It is written when the version is released, and
not changed afterwards; `tests/test_kept.py` opens all of it.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from zipfile import ZIP_LZMA, ZipFile

import keras
import numpy as np

import keras_actrec
from keras_actrec import training, zoo
from keras_actrec.data import ClipPreprocessor, ClipTransform, FeaturePreprocessor, Sampling
from keras_actrec.recognizer import Recognizer

KEPT = Path(__file__).with_name("kept")
NAMES = ("swing", "throw", "catch")
CHANGED = 1_700_000_000  # when the files of the run were, in seconds, by which it knows them
STEPS, MAP, JOINTS, SIZE = 4, (2, 2, 3), (34,), 32
# Arguments that make each model small: those of them that it has.
SMALL = {"units": 3, "filters": 2, "num_layers": 2, "joints": None}
LITE = {
    "gsm": "efficientnet_lite0:block2_output",
    "sa_gsm": "efficientnet_lite0:block2_output",
    "trn": "efficientnet_lite0:block1_output",
    "tsm": "efficientnet_lite0:block2_output",
    "tsn": "efficientnet_lite0:block1_output",
}
MODELS = [name for name in zoo.list_models() if name != "strn"]  # which has 16 blocks at any width
RECIPE = {
    "model": {"name": "stacked_rnn", "units": 3, "num_layers": 1, "dropout": 0.0},
    "data": {"dataset": "features"},
    "features": {"frames": STEPS},
    "train": {
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 0.01,
        "workers": 0,
        "schedule": "warmup_cosine",
        "warmup_epochs": 1,
    },
}


def shape_of(name):
    """Of a step or a frame that the model sees."""
    if zoo.spec(name).input == "clip":
        return (SIZE, SIZE, 3)
    return JOINTS if name == "st_gcn" else MAP


def small(name):
    """The model of that name, small, with weights of no meaning."""
    shape = shape_of(name)
    options = {key: value for key, value in SMALL.items() if key in zoo.spec(name).arguments}
    options |= {"backbone": LITE[name]} if name in LITE else {}
    options |= {"layout": "coco17", "bodies": 1} if name == "st_gcn" else {}
    model = zoo.build(name, len(NAMES), input_shape=(STEPS, *shape), **options)
    for place, weight in enumerate(model.trainable_weights):
        drawn = np.random.default_rng(place).normal(0, 0.3, weight.shape)
        weight.assign(np.round(8 * drawn) / 8)  # few different numbers make a small archive
    if name in LITE:
        look = ClipPreprocessor(Sampling(STEPS), ClipTransform(SIZE))
    else:
        look = FeaturePreprocessor(Sampling(STEPS), shape)
    return Recognizer(model, NAMES, look)


def steps_of(name):
    """What is shown to the model: `(T, ...)`, by a formula, as random numbers may be others one day."""
    shape = (STEPS, *shape_of(name))
    wave = np.sin(0.7 * np.arange(np.prod(shape)) ** 1.1).reshape(shape)
    return np.round(127.5 + 127.5 * wave).astype("uint8") if name in LITE else wave.astype("float32")


def answers_of(recognizer, steps):
    """Probabilities of the classes."""
    return recognizer.model.predict(recognizer.batch(steps), verbose=0)[0].tolist()


def write_data(root):
    """Features of two classes in class folders: one channel rises, or the other."""
    for place, name in enumerate(NAMES[:2]):
        for clip in range(4):
            array = np.full((STEPS, 2), 0.125 * clip, "float32")
            array[:, place] += np.arange(STEPS)
            file = root / name / f"{clip}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, array)
            os.utime(file, (CHANGED, CHANGED))


def write_models(out):
    """A file for each model in `models.zip`, and `answers.json`."""
    answers = {}
    with tempfile.TemporaryDirectory() as folder, ZipFile(out / "models.zip", "w", ZIP_LZMA) as archive:
        for name in MODELS:
            recognizer = small(name)
            recognizer.save(f"{folder}/{name}.keras")
            archive.write(f"{folder}/{name}.keras", f"{name}.keras")
            answers[name] = answers_of(recognizer, steps_of(name))
    (out / "answers.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")


def stop_in_the_second_epoch(stage, done, total, text=""):
    """Asks the process to end, as a machine does that is needed elsewhere."""
    if stage == "epochs" and done == 1:
        os.kill(os.getpid(), signal.SIGTERM)


def write_run(out):
    """A run that was stopped in its second epoch, and how it ended, in `ended.json`."""
    recipe, stopped = training.parse_recipe(RECIPE), out / f"run_{keras.backend.backend()}"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_data(data)
        with contextlib.suppress(SystemExit):
            training.train(recipe, data, stopped, progress=stop_in_the_second_epoch)
        run = training.train(recipe, data, shutil.copytree(stopped, data.with_name("run")))
    ended = {"loss": run.record["last_epoch"]["loss"], "answers": answers_of(run.recognizer, rising())}
    (stopped / "ended.json").write_text(json.dumps(ended, indent=1) + "\n", encoding="utf-8")
    record = json.loads((stopped / "run.json").read_text(encoding="utf-8"))
    (stopped / "run.json").write_text(
        json.dumps(record | {"root": "data", "recipe_name": "recipe.toml"}, indent=1) + "\n", encoding="utf-8"
    )


def rising():
    """Steps for the model of the run."""
    return np.stack([np.arange(STEPS), np.zeros(STEPS)], axis=1).astype("float32")


if __name__ == "__main__":
    out = KEPT / keras_actrec.__version__
    out.mkdir(parents=True, exist_ok=True)
    {"models": write_models, "run": write_run}[sys.argv[1]](out)
