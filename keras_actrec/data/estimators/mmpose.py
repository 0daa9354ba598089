"""MMPose: a JSON file for each video, written by its demos or by its inferencer.

The demos write `{"meta_info": {...}, "instance_info": [frame, ...]}`, the inferencer the frames alone, each
`{"frame_id": 1, "instances": [{"keypoints": [[x, y], ...], "keypoint_scores": [...], "bbox": ...}]}`.
`meta_info` names the joints, in `keypoint_id2name`; without it 17, 26, 133 and 136 joints in two dimensions
are those of COCO and Halpe.
"""

from typing import Any

import numpy as np

from keras_actrec.bodies import body
from keras_actrec.data._pose import Pose, layout_of
from keras_actrec.data.estimators._found import COCO_LAYOUTS, numbers, pose_of, seen, whole_body
from keras_actrec.data.persons import Seen, numbers_of, sequence_of


def fits(content: Any) -> bool:
    """Whether a JSON file may be one of MMPose."""
    if isinstance(content, dict):
        return "instance_info" in content
    return isinstance(content, list) and all(isinstance(e, dict) and "instances" in e for e in content[:1])


def read(content: dict[str, Any] | list[Any], layout: str | None = None) -> Pose:
    """The persons in the frames of a video.

    Raises:
        ValueError: for another file, or no person in any frame.
    """
    meta = content.get("meta_info") if isinstance(content, dict) else None
    listed = content["instance_info"] if isinstance(content, dict) else content
    if not isinstance(listed, list):
        raise ValueError("`instance_info` must be a list of frames")
    frames = {}
    for place, frame in enumerate(listed):
        if not isinstance(frame, dict) or not isinstance(frame.get("instances"), list):
            raise ValueError("each frame must have a list of `instances`")
        number = frame.get("frame_id", place)
        if type(number) is not int or number in frames:
            raise ValueError(f"`frame_id` must be a number, each once. Received: {str(number)[:40]}")
        frames[number] = [_person(each) for each in frame["instances"]]
    if isinstance(content, dict) and 0 not in frames:  # the demos count from 1
        frames = {number - 1: persons for number, persons in frames.items()}
    names = _names(meta)
    if names is None or layout is not None:
        flat = all(each.joints.shape[1] == 2 for persons in frames.values() for each in persons)
        return pose_of(frames, COCO_LAYOUTS if flat else {}, layout, "MMPose")  # 17 in space are Human3.6M's
    joints, scores = sequence_of(frames)
    found = layout_of(names)
    if len(names) != joints.shape[2]:
        raise ValueError(f"`meta_info` names {len(names)} joints, and persons have {joints.shape[2]}")
    if found is None:
        return Pose(joints, scores, names=names, frames=numbers_of(frames))
    joints, scores = whole_body(joints, scores, found)
    names = names[: len(body(found).joints)]
    return Pose(joints, scores, names=names, layout=found, frames=numbers_of(frames))


def _person(values: Any) -> Seen:
    if not isinstance(values, dict) or "keypoints" not in values:
        raise ValueError("each of the `instances` must have keypoints")
    joints = numbers(values["keypoints"])
    if joints.ndim != 2 or joints.shape[1] not in (2, 3) or not len(joints):
        raise ValueError(f"keypoints must be (V, 2 or 3). Received: {joints.shape}")
    scores = numbers(values.get("keypoint_scores", np.ones(len(joints))))
    if scores.shape != joints.shape[:1]:
        raise ValueError(f"keypoint_scores must be ({len(joints)},). Received: {scores.shape}")
    return seen(joints, scores, values.get("track_id"))


def _names(meta: Any) -> tuple[str, ...] | None:
    """The names of the joints in order, where they are told."""
    named = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(named, dict) or not named or any(not isinstance(each, str) for each in named.values()):
        return None
    return tuple(named.get(str(number), "") for number in range(len(named)))
