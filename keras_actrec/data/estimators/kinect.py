"""Kinect v2 as NTU RGB+D has recorded it: a `.skeleton` file for each recording."""

from pathlib import Path

import numpy as np

from keras_actrec.data._pose import Pose
from keras_actrec.data._video_error import VideoError, readable


def read(path: Path) -> Pose:
    """Joints `(T, 1 or 2, 25, 3)` in meters: the body that moves most, and the next one.

    Bodies are followed by the number that Kinect gave them and ranked by the variance of their coordinates,
    the authors' own rule. Frames in which a body is missing are zeros.

    Raises:
        VideoError: for another file, or one without a body.
    """
    frames, bodies = bodies_of(path)
    if not bodies:
        raise VideoError(path, "empty", "there is no body in any frame; leave it out")
    ranked = sorted(bodies.values(), key=lambda seen: -np.stack(list(seen.values())).var(axis=0).sum())[:2]
    joints = np.zeros((frames, len(ranked), 25, 3), "float32")
    for body, seen in enumerate(ranked):
        joints[list(seen), body] = np.stack(list(seen.values()))
    return Pose(joints, layout="ntu25")


def bodies_of(path: Path) -> tuple[int, dict[str, dict[int, np.ndarray]]]:
    """Number of frames, and a dict of body numbers to dicts of frames to joints `(25, 3)`.

    The file is text: the number of frames; for each frame the number of bodies; for each body a line of ten
    values, the first its number, the number of joints, and a line of twelve values a joint, the first three
    its coordinates in meters.

    Raises:
        VideoError: for another file.
    """
    path = readable(path)
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(path, "unreadable", "not a text file of skeletons; get it again") from error
    bodies: dict[str, dict[int, np.ndarray]] = {}
    at = 1
    try:
        frames = int(words[0])
        for frame in range(frames):
            count, at = int(words[at]), at + 1
            for _ in range(count):
                body, joints = words[at], int(words[at + 10])
                values = np.array(words[at + 11 : at + 11 + 12 * joints], "float32").reshape(25, 12)
                bodies.setdefault(body, {})[frame] = values[:, :3]
                at += 11 + 12 * joints
    except IndexError as error:
        raise VideoError(path, "truncated", "the file ends inside a frame; get it again") from error
    except ValueError as error:
        status = "truncated" if at + 311 > len(words) else "unreadable"
        raise VideoError(path, status, "not a .skeleton file with 25 joints a body; get it again") from error
    if not frames:
        raise VideoError(path, "empty", "there are no frames in it; leave it out")
    return frames, bodies
