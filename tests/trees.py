"""Small sets in the layouts of the official ones, with something to learn in them."""

import json

import numpy as np

from keras_actrec.data import Record, VideoInfo
from keras_actrec.data.cache import fill

NORTHWESTERN_UCLA_ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)  # the numbers of the set's ten


def northwestern_ucla(root, subjects=4, episodes=2):
    """In each action another one of 20 joints moves; 9 + subject frames; views 1 and 2."""
    (root / "all_sqe").mkdir()
    rng = np.random.default_rng(0)
    for action in NORTHWESTERN_UCLA_ACTIONS:
        for subject in range(1, subjects + 1):
            for episode in range(episodes):
                for view in (1, 2):
                    joints = rng.normal(0, 0.1, (1, 20, 3)) + np.zeros((9 + subject, 1, 1))
                    joints[:, action, action % 3] += np.linspace(0, 5, len(joints))
                    name = f"a{action:02}_s{subject:02}_e{episode:02}_v{view:02}"
                    content = json.dumps({"file_name": name, "skeletons": joints.tolist()})
                    (root / "all_sqe" / f"{name}.json").write_text(content)
    return root


def cached_features(folder, arrays, labels):
    """Pairs `(Record, CachedVideo)` of float16 arrays `(steps, ...)`, as `extract_features` gives them."""
    pairs = []
    for place, (array, label) in enumerate(zip(arrays, labels, strict=True)):
        file = folder / f"{place}.avi"
        file.write_bytes(str(place).encode())  # entries are found by the content of the video
        pairs.append((Record(file, file.name, label), VideoInfo(len(array), 0, 0.0, 1, 1)))

    def make(record, info):
        array = arrays[int(record.file.stem)].astype("float16")
        return array, [0.0] * len(array)

    options = {"audit": None, "workers": 1, "index": None, "progress": None}
    return fill(pairs, make, out=folder / "out", name="features", about=(), **options)
