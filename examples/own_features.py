"""Features that another network has computed: one .npy file a clip, vectors (T, D) or maps (T, H, W, D).

On the command line: keras-actrec train --data features --out runs/features
"""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from keras_actrec import evaluation, training

CLASSES = ("rise", "fall", "blink")
work = Path(mkdtemp(prefix="keras_actrec-"))
features, out = work / "features", work / "run"

# Put your own files here, features/<class>/<any name>.npy, made by I3D, TSN or any other network.
rng = np.random.default_rng(0)
for name in CLASSES:
    (features / name).mkdir(parents=True)
    for clip in range(20):
        steps = int(rng.integers(12, 20))
        time = np.linspace(0, 1, steps)
        course = {"rise": time, "fall": 1 - time, "blink": np.cos(8 * np.pi * time)}[name]
        array = rng.normal(size=(steps, 64))
        array[:, :8] += 2 * course[:, None]
        np.save(features / name / f"{clip}.npy", array.astype("float16"))

facts = training.look(features)
for model in ("frame_pool", "eleatt_rnn"):  # the mean of the steps sees no order; a gated GRU does
    choice = training.choose(facts, model=model)
    choice.values["train"]["epochs"] = 40
    run = training.train(training.parse_recipe(choice.values), features, out / model)
    result = evaluation.evaluate(run.recognizer, features)
    print(f"{model}: top-1 on {result.videos} files that it has not seen {result.top1:.2f} (chance is 0.33)")

for label, score in run.recognizer.predict_video(features / "rise" / "0.npy"):
    print(f"{label} {score:.3f}")
