"""Train on one backend, answer on another: the numbers are the same.

KERAS_BACKEND chooses the backend when Keras is imported, so each runs in a process of its own.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

TRAIN = """
import sys, keras, numpy as np, keras_actrec
from keras_actrec import Recognizer
from keras_actrec.data import ClipPreprocessor, ClipTransform, Sampling

keras.utils.set_random_seed(0)
model = keras_actrec.zoo.tsn(
    2, input_shape=(4, 32, 32, 3), backbone="bn_inception:inception_3a_output", width=0.25
)
model.compile("adam", "sparse_categorical_crossentropy")
rng = np.random.default_rng(0)
model.fit(rng.integers(0, 256, (8, 4, 32, 32, 3)), np.arange(8) % 2, epochs=1, verbose=0)
Recognizer(model, ("clap", "wave"), ClipPreprocessor(Sampling(4), ClipTransform(32))).save(sys.argv[1])
"""
ANSWER = """
import sys, keras, numpy as np, keras_actrec

recognizer = keras_actrec.load(sys.argv[1])
clip = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3))
scores = recognizer.model.predict(recognizer.batch(clip), verbose=0)[0]
print(keras.backend.backend(), dict(zip(recognizer.class_names, scores.round(5).tolist())))
"""


def run(backend, program, file):
    """Run a program on a backend."""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run([sys.executable, "-c", program, str(file)], env=environment, check=True)


backends = [name for name in ("jax", "torch", "tensorflow") if find_spec(name)]
model = Path(mkdtemp(prefix="keras_actrec-")) / "model.keras"
run(backends[0], TRAIN, model)
print(f"trained on {backends[0]}; the answers of each backend:")
for backend in backends:
    run(backend, ANSWER, model)
