"""Keep model files and recipes of a release, which every later version must open: tests/test_releases.py.

    KERAS_BACKEND=torch python tests/keep_release.py

Run once, when a version is about to be published; tests/releases/VERSION is never written again. The models
are small, untrained, and between them have every kind of input and each of the cells and gates that files
hold; `answers.json` has what they answered to inputs that no library draws.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

import keras_actrec
from keras_actrec import Recognizer, training, zoo
from keras_actrec.data import ClipPreprocessor, ClipTransform, FeaturePreprocessor, Sampling

FOLDER = Path(__file__).with_name("releases")
CLASSES = ("clap", "jump", "wave")
FEATURES = FeaturePreprocessor(Sampling(5, short="mask"))
CLIPS = ClipPreprocessor(Sampling(4), ClipTransform(32))
MODELS = {
    "hman": (
        {"input_shape": (None, 2, 2, 3), "units": 4, "num_layers": 2, "hidden": 0, "masked": True},
        FEATURES,
    ),
    "eleatt_rnn": ({"input_shape": (None, 6), "units": 4, "num_layers": 2, "masked": True}, FEATURES),
    "sa_gsm": (
        {"input_shape": (4, 32, 32, 3), "width": 0.125, "backbone": "bn_inception:inception_3a_output"},
        CLIPS,
    ),
}
RECIPES = ("hman/own", "eleatt_rnn/own", "stacked_rnn/features", "sa_gsm/own")


def inputs_of(shape, masked):
    """Two samples: clips of waves from 0 to 255, or features from -1 to 1, of the second a step padding."""
    shape = (2, shape[1] or 5, *shape[2:])
    waves = np.sin(np.arange(np.prod(shape), dtype="float64") * 0.7).reshape(shape)
    if not masked:
        return (127.5 + 127.5 * waves).astype("float32")
    mask = np.ones(shape[:2], bool)
    mask[1, -1] = False
    return {"features": waves.astype("float32"), "mask": mask}


def answers_of(recognizer):
    """What a recognizer says of `inputs_of` its shape."""
    model, masked = recognizer.model, recognizer.spec.masked
    shape = next(tensor.shape for tensor in model.inputs if tensor.name != "mask")
    return np.asarray(model.predict(inputs_of(shape, masked), verbose=0))


def main():
    """Write the folder of this version."""
    folder = FOLDER / keras_actrec.__version__
    if folder.exists():
        sys.exit(f"{folder} is there: what was released is not written again")
    folder.mkdir(parents=True)
    answers = {}
    for name, (arguments, preprocessor) in MODELS.items():
        model = zoo.build(name, len(CLASSES), **arguments)
        if preprocessor is FEATURES:  # or all classes are as probable, whatever the other weights are
            head = model.get_layer("classifier").kernel
            head.assign(8 * head)
        recognizer = Recognizer(model, CLASSES, preprocessor, {"made": "for tests/test_releases.py"})
        recognizer.save(folder / f"{name}.keras")
        answers[name] = answers_of(recognizer).astype(float).round(6).tolist()
    for name in RECIPES:
        shutil.copy(training.list_recipes()[name], folder / f"{name.replace('/', '-')}.toml")
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
