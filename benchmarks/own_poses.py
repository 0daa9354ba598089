"""Write a set of Kinect's joints as a pose estimator would have seen it: flat, in pixels, with other joints.

    python benchmarks/own_poses.py northwestern_ucla --data FOLDER --out OUT
    python benchmarks/accuracy.py own_poses_northwestern_ucla --data OUT/index.csv

It stands in for poses of one's own, of which no set may be shipped: what `train` chooses for them is measured
on it. A joint is where a camera at Kinect's place sees it, give or take two pixels; one of thirty is off by
forty and has a low score, as one that an estimator had to guess. Eyes, ears and nose, which Kinect does not
have, are drawn around its head; a joint that Kinect missed lies in the middle of the picture.
"""

import argparse
from pathlib import Path

import numpy as np

from keras_actrec import data
from keras_actrec._files import write_csv
from keras_actrec.bodies import body

# The split of each set, from which a sequence has its fold or part.
SPLITS = {"northwestern_ucla": "five_folds", "utkinect": "odd_even"}
KINECT, COCO = body("kinect20"), body("coco17")
FOCAL, MIDDLE = 1000, (640, 360)  # of the camera, in pixels
NOISE, LOST, OFF = 2, 1 / 30, 40  # pixels, share of the joints, pixels
FACE = {"nose": 0, "eye": 0.06, "ear": 0.12}  # from the middle of the head, in shoulders' widths per side
SIDES = {"left": 1, "right": -1, "": 0}


def seen(joints: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Joints of COCO in pixels, `(T, M, 17, 2)`, and their scores, of joints of Kinect in meters."""
    depth = np.maximum(joints[..., 2:], 0.5)
    flat = MIDDLE + FOCAL * joints[..., :2] * [1, -1] / depth  # y is up in a room and down in a picture
    places = {name: flat[..., number, :] for number, name in enumerate(KINECT.joints)}
    across = places["left_shoulder"] - places["right_shoulder"]
    for name in set(COCO.joints) - set(places):
        side, _, part = name.rpartition("_")
        places[name] = places["head"] + SIDES[side] * FACE[part] * across
    found = np.stack([places[name] for name in COCO.joints], axis=-2)
    found = found + rng.normal(0, NOISE, found.shape)
    scores = np.clip(rng.normal(0.85, 0.1, found.shape[:-1]), 0.5, 1)
    lost = rng.random(scores.shape) < LOST
    found[lost] += rng.normal(0, OFF, (lost.sum(), 2))
    scores[lost] = 0.1
    nobody = ~joints.any(axis=(-2, -1))
    found[nobody], scores[nobody] = 0, 0
    return found, scores


def main() -> None:
    """Write the files, and index.csv with their labels, subjects and folds or parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SPLITS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the set")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} is there already: choose another --out, or remove it")
    manifest = data.read_set(arguments.data, dataset=arguments.set, split=SPLITS[arguments.set])
    rng, rows = np.random.default_rng(0), []
    for number, record in enumerate(manifest.records):
        joints, scores = seen(data.read_skeleton(arguments.set, record)[..., :3], rng)
        name = f"{number:04}.npz"
        data.write_pose(arguments.out / name, joints, scores=scores, layout=COCO.name)
        parts = {column: getattr(record, column) for column in ("group", "fold", "split")}
        rows.append({"path": name, "label": manifest.class_names[record.label], **parts})
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    write_csv(arguments.out / "index.csv", [{name: row[name] for name in columns} for row in rows])
    print(f"{arguments.out / 'index.csv'}: {len(rows)} sequences")


if __name__ == "__main__":
    main()
