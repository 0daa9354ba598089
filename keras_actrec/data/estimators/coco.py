"""COCO results, and AlphaPose, which writes them: a JSON list with an entry for each person in each frame.

`[{"image_id": "0.jpg", "category_id": 1, "keypoints": [x, y, score, ...], "score": 2.9, "idx": 1}, ...]`;
`image_id` is a number or the name of an image, `idx` (AlphaPose with tracking) or `track_id` says who it is.
17 joints are COCO's; AlphaPose on Halpe has 26, with face and hands 136; whole bodies of COCO have 133.
"""

from collections import defaultdict
from typing import Any

from keras_actrec.data._pose import Pose
from keras_actrec.data.estimators._found import COCO_LAYOUTS, numbered, pose_of, triples


def fits(content: Any) -> bool:
    """Whether a JSON file may be such a list."""
    return isinstance(content, list) and all(isinstance(e, dict) and "keypoints" in e for e in content[:1])


def read(content: list[Any], layout: str | None = None) -> Pose:
    """The persons in a list, by frame.

    Raises:
        ValueError: for another list, or one of several videos.
    """
    for entry in content:
        if not isinstance(entry, dict) or not {"image_id", "keypoints"} <= entry.keys():
            raise ValueError("each entry must be a person with image_id and keypoints")
    number_of = numbered([entry["image_id"] for entry in content])
    frames = defaultdict(list)
    for entry in content:
        person = triples(entry["keypoints"], entry.get("track_id", entry.get("idx")))
        frames[number_of[entry["image_id"]]].append(person)
    return pose_of(frames, COCO_LAYOUTS, layout, "AlphaPose and COCO")
