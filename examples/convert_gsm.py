"""An official PyTorch checkpoint of GSM becomes one `.keras` file. PyTorch is not needed.

    python examples/convert_gsm.py something-v1_gsm_bninception_8.pth.tar gsm.keras

On the command line: keras-actrec convert gsm.pth.tar --to gsm.keras --classes names.txt
"""

import sys
from pathlib import Path

import numpy as np

import keras_actrec

checkpoint, out = map(Path, sys.argv[1:3])

# The file's own names of weights tell the model, the backbone and the number of classes; it cannot tell how
# many frames the network was trained on.
recognizer, report = keras_actrec.from_torch(checkpoint, frames=8)
print(
    f"{recognizer.model.name}: {len(report.loaded)} weights loaded, not used: {list(report.unused) or 'none'}"
)
recognizer.save(out)

# The file knows how a video is sampled and sized, and opens on every backend.
recognizer = keras_actrec.load(out)
print(recognizer.preprocessor.protocol)
frames = np.zeros(
    (8, recognizer.preprocessor.transform.size, recognizer.preprocessor.transform.size, 3), "uint8"
)
scores = recognizer.model.predict(recognizer.batch(frames), verbose=0)[0]
best = int(scores.argmax())
print(
    f"black frames are most like {recognizer.class_names[best]} ({scores[best]:.3f} of {len(scores)} classes)"
)
