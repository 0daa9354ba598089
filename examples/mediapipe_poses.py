"""Landmarks of MediaPipe Pose, an array (T, 33, 4) a clip: train on them, see which joints gates let through.

On the command line: keras-actrec train --data poses --out runs/poses
"""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import keras_actrec
from keras_actrec import data, evaluation, insight, training

work = Path(mkdtemp(prefix="keras_actrec-"))
poses, out = work / "poses", work / "run"
body = data.body("mediapipe33")

# Put your own files here, poses/<class>/<any name>.npy; MediaPipe is not needed for this example. Of a clip:
#   landmarks = [[(p.x, p.y, p.z, p.visibility) for p in frame.pose_world_landmarks[0]] for frame in results]
#   np.save("poses/wave/1.npy", np.float32(landmarks))
rng = np.random.default_rng(0)
PARTS = {  # meters to the side of the middle of the hips, and below it
    **{"nose": (0, -0.65), "eye": (0.04, -0.7), "ear": (0.08, -0.68), "mouth": (0.03, -0.6)},
    **{"shoulder": (0.18, -0.5), "elbow": (0.25, -0.25), "wrist": (0.28, 0), "thumb": (0.25, 0.04)},
    **{"index": (0.27, 0.08), "pinky": (0.3, 0.07), "hip": (0.1, 0), "knee": (0.11, 0.4)},
    **{"ankle": (0.11, 0.8), "heel": (0.1, 0.84), "foot": (0.14, 0.88)},
}
standing = np.zeros((33, 3))
for number, joint in enumerate(body.joints):
    side, below = next(place for part, place in PARTS.items() if part in joint)
    standing[number, :2] = (-side if "right" in joint else side), below
for name, joint in {"wave left": "left_wrist", "wave right": "right_wrist", "kick": "left_ankle"}.items():
    (poses / name).mkdir(parents=True)
    for clip in range(16):
        frames = int(rng.integers(30, 60))
        landmarks = np.ones((frames, 33, 4), "float32")  # the last number is how visible a joint is
        landmarks[..., :3] = rng.normal(standing, 0.01, (frames, 33, 3))
        swing = np.sin(np.linspace(0, rng.uniform(6, 12), frames))
        landmarks[:, body.joints.index(joint), 0] += 0.2 * swing
        np.save(poses / name / f"{clip}.npy", landmarks)

facts = training.look(poses)  # it sees by itself that 33 joints of 4 numbers are MediaPipe's
choice = training.choose(facts, model="eleatt_rnn")  # without a name, a plain GRU in both directions
choice.values["train"]["epochs"] = 20
print(choice.summary)
training.train(training.parse_recipe(choice.values), poses, out)

recognizer = keras_actrec.load(out / "model.keras")
found = evaluation.evaluate(recognizer, poses)
print(f"top-1 on {found.videos} clips that it has not seen: {found.top1:.2f} (chance is 0.33)")
explanation = insight.explain(recognizer, poses / "kick" / "0.npy")
print(insight.draw_explanation(explanation, work / "kick.png"))
