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
standing = rng.normal(0, 0.3, (33, 3))  # in meters, from the middle of the hips
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
choice = training.choose(facts)
choice.values["train"]["epochs"] = 120
print(choice.summary)
training.train(training.parse_recipe(choice.values), poses, out)

recognizer = keras_actrec.load(out / "model.keras")
found = evaluation.evaluate(recognizer, poses)
print(f"top-1 on {found.videos} clips that it has not seen: {found.top1:.2f} (chance is 0.33)")
explanation = insight.explain(recognizer, poses / "kick" / "0.npy")
print(insight.draw_explanation(explanation, work / "kick.png"))
