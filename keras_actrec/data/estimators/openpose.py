"""OpenPose: a folder for each recording, in it a JSON file for each frame (`--write_json`).

A file is named `<recording>_<frame>_keypoints.json` and holds
`{"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, score, ...], ...}]}`. The model
BODY_25 has 25 joints, COCO 18; what was not found is zeros.

AlphaPose writes the same for all images in one file, with `--format open`, or under other names with `cmu`:
`{"0.jpg": {"people": [{"pose_keypoints_2d": [...]}]}, ...}`, `{"0.jpg": {"bodies": [{"joints": [...]}]}}`.
"""

import json
from pathlib import Path
from typing import Any

from keras_actrec.data._pose import Pose
from keras_actrec.data._readers import is_pose_frame, numbered_files
from keras_actrec.data.estimators._found import numbered, pose_of, triples
from keras_actrec.data.persons import Seen

_LAYOUTS = {25: "openpose25", 18: "openpose18"}
_KEYS = {"people": "pose_keypoints_2d", "bodies": "joints"}


def read_folder(folder: Path, layout: str | None = None) -> Pose:
    """The persons in the frames of a folder; in one that it lacks nobody was seen.

    Raises:
        ValueError: for a file that is none of OpenPose, or no person in any.
        VideoError: for frames of several recordings.
    """
    frames = {}
    for number, file in numbered_files(folder, is_pose_frame).items():
        try:
            frames[number] = _persons(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file.name}: {error}") from error
    if not frames:
        raise ValueError("there is no <recording>_<frame>_keypoints.json in it")
    return pose_of(frames, _LAYOUTS, layout, "OpenPose")


def read(content: dict[str, Any], layout: str | None = None) -> Pose:
    """The persons in one frame.

    Raises:
        ValueError: as `read_folder`.
    """
    return pose_of({0: _persons(content)}, _LAYOUTS, layout, "OpenPose")


def fits_images(content: Any) -> bool:
    """Whether a JSON file may be one of AlphaPose for all images."""
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(each, dict) and each.keys() & _KEYS.keys() for each in content.values())
    )


def read_images(content: dict[str, Any], layout: str | None = None) -> Pose:
    """The persons in the images of one file, by the numbers in their names.

    Raises:
        ValueError: as `read_folder`.
    """
    number_of = numbered(list(content))
    frames = {number_of[name]: _persons(each) for name, each in content.items()}
    return pose_of(frames, _LAYOUTS, layout, "OpenPose")


def _persons(content: Any) -> list[Seen]:
    key = next((key for key in _KEYS if isinstance(content, dict) and key in content), "people")
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise ValueError("it holds no list of `people`")
    found = []
    for person in content[key]:
        if not isinstance(person, dict) or _KEYS[key] not in person:
            raise ValueError(f"one of the `{key}` has no {_KEYS[key]}")
        if person[_KEYS[key]]:  # empty where only hands or a face were found
            found.append(triples(person[_KEYS[key]], person.get("person_id", person.get("idx"))))
    return found
