"""Files of pose estimators, each written here as the tool writes it: joints land on the right names."""

import collections
import csv
import io
import json
import pickle

import numpy as np
import pytest

from keras_actrec.data import (
    VideoError,
    body,
    expand_sources,
    kind_of,
    list_bodies,
    map_joints,
    read_dataset,
    read_pose,
    read_skeleton,
)
from keras_actrec.data.sources import POSE_PATTERNS
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

# Orders as their makers publish them.
COCO = """nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow
left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle""".split()
OPENPOSE_COCO = """Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist RHip RKnee RAnkle LHip LKnee
LAnkle REye LEye REar LEar""".split()
BODY_25 = """Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee
LAnkle REye LEye REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel""".split()
HALPE = """Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee
LAnkle RAnkle Head Neck Hip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel""".split()
MEDIAPIPE = """NOSE LEFT_EYE_INNER LEFT_EYE LEFT_EYE_OUTER RIGHT_EYE_INNER RIGHT_EYE RIGHT_EYE_OUTER LEFT_EAR
RIGHT_EAR MOUTH_LEFT MOUTH_RIGHT LEFT_SHOULDER RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW LEFT_WRIST RIGHT_WRIST
LEFT_PINKY RIGHT_PINKY LEFT_INDEX RIGHT_INDEX LEFT_THUMB RIGHT_THUMB LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE
LEFT_ANKLE RIGHT_ANKLE LEFT_HEEL RIGHT_HEEL LEFT_FOOT_INDEX RIGHT_FOOT_INDEX""".split()
KINECT_2 = """SpineBase SpineMid Neck Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight ElbowRight
WristRight HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight AnkleRight FootRight SpineShoulder
HandTipLeft ThumbLeft HandTipRight ThumbRight""".split()

FRAMES = 6
# Heights in pixels from above, and how far from the middle of the body, of a joint on either side.
PARTS = {
    "nose": (60, 0),
    "eye": (50, 6),
    "ear": (52, 12),
    "shoulder": (90, 25),
    "elbow": (120, 35),
    "wrist": (150, 40),
    "hip": (160, 15),
    "knee": (210, 16),
    "ankle": (260, 17),
}


def where(name, frame, x=200.0):
    """Where somebody who looks at us has a joint: the left is on our right, and the left hand rises."""
    lowered = name.lower()
    part = next((part for part in PARTS if part in lowered), None)
    height, aside = PARTS.get(part, (100, 0))
    is_left = "left" in lowered or name[0] == "L" and name[1].isupper()
    is_right = "right" in lowered or name[0] == "R" and name[1].isupper()
    if part == "wrist" and is_left:
        height = 150 - 24 * frame
    return x + (aside if is_left else -aside if is_right else 0), float(height)


def flat(order, frame, x=200.0, score=0.9):
    """x, y, score of all joints in one list."""
    return [value for name in order for value in (*where(name, frame, x), score)]


def is_the_raised_hand(pose, layout, person=0):
    """By our names: the left wrist rises above the nose, the right one stays below, the sides are right."""
    assert pose.layout == layout
    places = {name: pose.joints[:, person, number] for name, number in body(layout).numbers.items()}
    assert len(pose.joints) == FRAMES
    assert places["left_wrist"][-1, 1] == 30 < places["nose"][-1, 1] == 60
    assert (places["right_wrist"][:, 1] == 150).all()
    for name, (_, aside) in PARTS.items():
        if aside and f"left_{name}" in places:
            np.testing.assert_allclose(
                places[f"left_{name}"][:, 0] - places[f"right_{name}"][:, 0], 2 * aside, atol=1e-4
            )
    for name in ("shoulder", "hip", "knee", "ankle"):
        assert (places[f"left_{name}"][:, 1] == PARTS[name][0]).all()


def openpose(folder, order, people=1, name="clip"):
    folder.mkdir(parents=True)
    for frame in range(FRAMES):
        # The order of persons changes from frame to frame: nobody says who is who.
        persons = [
            {
                "person_id": [-1],
                "pose_keypoints_2d": flat(order, frame * (x == 200), x),
                "face_keypoints_2d": [],
                "hand_left_keypoints_2d": [],
                "pose_keypoints_3d": [],
            }
            for x in (200.0, 600.0)[:people][:: 1 if frame % 2 else -1]
        ]
        file = folder / f"{name}_{frame:012}_keypoints.json"
        file.write_text(json.dumps({"version": 1.3, "people": persons}))
    return folder


@pytest.mark.parametrize(
    ("order", "layout"), [(BODY_25, "openpose25"), (OPENPOSE_COCO, "openpose18")], ids=["25", "18"]
)
def test_openpose_writes_a_folder_of_a_file_a_frame(order, layout, tmp_path):
    pose = read_pose(openpose(tmp_path / "clip", order))
    is_the_raised_hand(pose, layout)
    assert pose.joints.shape == (FRAMES, 1, len(order), 2)
    np.testing.assert_allclose(pose.scores, 0.9)


def test_persons_without_a_track_are_followed_by_where_they_are(tmp_path):
    pose = read_pose(openpose(tmp_path / "clip", BODY_25, people=2))
    assert pose.joints.shape[1] == 2
    raised = int(np.argmin(pose.joints[:, :, 0, 0].mean(axis=0)))
    is_the_raised_hand(pose, "openpose25", raised)
    other = pose.joints[:, 1 - raised]
    assert (other[:, 0, 0] == 600).all() and np.ptp(other[..., 1], axis=0).max() == 0


def test_what_openpose_did_not_find_is_missing(tmp_path):
    folder = openpose(tmp_path / "clip", BODY_25)
    file = folder / "clip_000000000002_keypoints.json"
    content = json.loads(file.read_text())
    content["people"][0]["pose_keypoints_2d"][3 * 7 : 3 * 8] = [0, 0, 0]
    file.write_text(json.dumps(content))
    empty = folder / "clip_000000000003_keypoints.json"
    empty.write_text('{"version": 1.3, "people": []}')
    joints = read_pose(folder).joints
    assert (
        len(joints) == FRAMES and not joints[3].any() and not joints[2, 0, 7].any() and joints[2, 0, 6].any()
    )


def alphapose(order, tracks=None, names="{}.jpg", step=1):
    entries = []
    for frame in range(FRAMES):
        for number, x in enumerate((200.0, 600.0)[: 1 if tracks is None else 2][:: 1 if frame % 2 else -1]):
            keypoints = flat(order, frame * (x == 200), x)
            entry = {"image_id": names.format(frame * step), "category_id": 1, "keypoints": keypoints}
            entry |= {"score": 2.9, "box": [1.0, 2.0, 3.0, 4.0]}
            if tracks is not None:
                entry["idx"] = tracks(int(x == 600))
            entries.append(entry)
            assert number < 2
    return entries


WHOLE = [f"face {number}" for number in range(110)]


@pytest.mark.parametrize(
    ("order", "layout"),
    [
        (COCO, "coco17"),
        (HALPE, "halpe26"),
        (HALPE + WHOLE, "halpe26"),
        (COCO + WHOLE[:106] + WHOLE[:10], "coco17"),
    ],
    ids=["17", "26", "136", "133"],
)
def test_alphapose_and_coco_write_a_list_of_persons(order, layout, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(alphapose(order)))
    pose = read_pose(tmp_path / "a.json")
    is_the_raised_hand(pose, layout)
    assert pose.joints.shape[2] == len(body(layout).joints)


@pytest.mark.parametrize("tracks", [int, lambda t: [float(t)], lambda t: [[float(t)], [0.0]]])
def test_a_track_of_alphapose_is_followed(tracks, tmp_path):
    entries = alphapose(COCO, tracks)
    (tmp_path / "a.json").write_text(json.dumps(entries))
    pose = read_pose(tmp_path / "a.json")
    raised = int(np.argmin(pose.joints[:, :, 0, 0].mean(axis=0)))
    is_the_raised_hand(pose, "coco17", raised)


def test_alphapose_without_tracking_gives_all_the_track_0(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(alphapose(COCO, lambda t: [0.0])))
    pose = read_pose(tmp_path / "a.json")
    assert pose.joints.shape[1] == 2
    is_the_raised_hand(pose, "coco17", int(np.argmin(pose.joints[0, :, 0, 0])))


@pytest.mark.parametrize("names", ["frame_{:06}.png", "out7/{}.jpg"])
def test_frames_are_in_the_order_of_their_numbers_and_some_are_without_anybody(names, tmp_path):
    entries = alphapose(COCO, names=names, step=5)  # every fifth frame of a video
    kept = [entry for entry in entries if entry["image_id"] != names.format(10)][::-1]
    (tmp_path / "a.json").write_text(json.dumps(kept))
    joints = read_pose(tmp_path / "a.json").joints
    assert joints.shape == (FRAMES, 1, 17, 2) and not joints[2].any()
    np.testing.assert_allclose(joints[:, 0, 9, 1], [150, 126, 0, 78, 54, 30])


def test_coco_numbers_images(tmp_path):
    entries = [entry | {"image_id": 900 + place} for place, entry in enumerate(alphapose(COCO))]
    (tmp_path / "a.json").write_text(json.dumps(entries))
    is_the_raised_hand(read_pose(tmp_path / "a.json"), "coco17")


def mmpose(order, meta=True, first=1, names=None):
    frames = []
    for frame in range(FRAMES):
        person = {
            "keypoints": [list(where(name, frame)) for name in order],
            "keypoint_scores": [0.8] * len(order),
            "bbox": [[1.0, 2.0, 3.0, 4.0]],
            "bbox_score": 0.99,
        }
        frames.append({"frame_id": frame + first, "instances": [person]})
    if not meta:
        return frames
    named = {str(number): name for number, name in enumerate(names or order)}
    weights = {"__ndarray__": [1.0] * len(order), "dtype": "float32", "shape": [len(order)]}
    about = {"dataset_name": "coco", "num_keypoints": len(order), "keypoint_id2name": named}
    return {"meta_info": about | {"dataset_keypoint_weights": weights}, "instance_info": frames}


HALPE_NAMES = (
    COCO
    + """head neck hip left_big_toe right_big_toe left_small_toe right_small_toe left_heel
right_heel""".split()
)


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        (mmpose(COCO), "coco17"),
        (mmpose(COCO, meta=False, first=0), "coco17"),
        (mmpose(HALPE_NAMES), "halpe26"),
        (mmpose(COCO + WHOLE + WHOLE[:6]), "coco17"),
    ],
    ids=["demo", "inferencer", "halpe", "whole body"],
)
def test_mmpose_writes_frames_of_instances(content, layout, tmp_path):
    (tmp_path / "results_clip.json").write_text(json.dumps(content))
    pose = read_pose(tmp_path / "results_clip.json")
    is_the_raised_hand(pose, layout)
    np.testing.assert_allclose(pose.scores, 0.8)


@pytest.mark.parametrize(("key", "inner"), [("people", "pose_keypoints_2d"), ("bodies", "joints")])
def test_alphapose_writes_as_openpose_does_for_all_images_in_one_file(key, inner, tmp_path):
    content = {
        f"{frame}.jpg": {"version": "AlphaPose v0.3", key: [{inner: flat(OPENPOSE_COCO, frame)}]}
        for frame in reversed(range(FRAMES))
    }
    (tmp_path / "alphapose-results.json").write_text(json.dumps(content))
    is_the_raised_hand(read_pose(tmp_path / "alphapose-results.json"), "openpose18")


def test_joints_that_mmpose_names_and_nobody_knows_keep_their_names(tmp_path):
    animal = ["tail" if name == "nose" else name for name in COCO]
    (tmp_path / "a.json").write_text(json.dumps(mmpose(COCO, names=animal)))
    pose = read_pose(tmp_path / "a.json")
    assert pose.layout is None and pose.names == tuple(animal) and pose.joints.shape == (FRAMES, 1, 17, 2)


def landmarks(numbers=4):
    """(T, 33, 3 or 4), shares of a picture of 400 x 300 pixels, z and visibility."""
    rows = [[(*where(name, frame), -0.1, 0.7)[:numbers] for name in MEDIAPIPE] for frame in range(FRAMES)]
    return np.array(rows, "float32")


@pytest.mark.parametrize("numbers", [3, 4])
def test_mediapipe_gives_arrays(numbers, tmp_path):
    np.save(tmp_path / "a.npy", landmarks(numbers))
    pose = read_pose(tmp_path / "a.npy")
    is_the_raised_hand(pose, "mediapipe33")
    assert pose.joints.shape == (FRAMES, 1, 33, 3)
    assert (pose.scores is None) == (numbers == 3)
    np.savez(tmp_path / "b.npz", landmarks=landmarks(numbers))
    is_the_raised_hand(read_pose(tmp_path / "b.npz"), "mediapipe33")


AXES = ("x", "y", "z", "visibility")
HEADERS = {
    "x1": ["class", *(f"{axis[0]}{number}" for number in range(1, 34) for axis in AXES)],
    "landmark_0_x": ["frame", *(f"landmark_{number}_{axis}" for number in range(33) for axis in AXES)],
    "LEFT_WRIST_x": ["frame", "time", *(f"{name}_{axis}" for name in MEDIAPIPE for axis in AXES)],
    "none": None,
}


@pytest.mark.parametrize("form", [*HEADERS, "long", "long names", "no z"])
def test_tables_of_mediapipe_in_the_forms_that_people_write(form, tmp_path):
    rows, values = [], landmarks()
    if form.startswith("long"):
        rows.append(["frame", "landmark", "x", "y", "z", "visibility"])
        for frame, person in enumerate(values):
            named = MEDIAPIPE if form == "long names" else range(33)
            rows += [[frame, name, *place] for name, place in zip(named, person.tolist(), strict=True)]
    elif form == "no z":
        rows.append([f"{axis}_{number}" for number in range(33) for axis in "xy"])
        rows += values[..., :2].reshape(FRAMES, -1).tolist()
    else:
        header = HEADERS[form]
        before = ["clip.mp4"] if header is None else ["word"] * (len(header) - 4 * 33)
        rows += [] if header is None else [header]
        rows += [[*before, *person] for person in values.reshape(FRAMES, -1).tolist()]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    (tmp_path / "a.csv").write_text(text.getvalue())
    pose = read_pose(tmp_path / "a.csv")
    is_the_raised_hand(pose, "mediapipe33")
    assert pose.joints.shape == (FRAMES, 1, 33, 2 if form == "no z" else 3)
    assert form == "no z" or np.allclose(pose.scores, 0.7)


@pytest.mark.parametrize("before", [[], [""]], ids=["bare", "index"])
def test_columns_that_pandas_numbered_are_no_frame(before, tmp_path):
    rows = [[*before, *range(132)]]
    for frame, person in enumerate(landmarks().reshape(FRAMES, -1).tolist()):
        rows.append([frame] * len(before) + person)
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    is_the_raised_hand(read_pose(tmp_path / "a.csv"), "mediapipe33")


def long_rows(frames=(0, 1), names=range(33), header="frame,landmark,x,y,z"):
    rows = [f"{frame},{name},{frame + 1},2,3" for frame in frames for name in names]
    return "\n".join([header, *rows])


def test_frames_that_a_table_leaves_out_were_not_seen(tmp_path):
    (tmp_path / "long.csv").write_text(long_rows((7, 3, 4)))
    values = landmarks()[:3].reshape(3, -1).tolist()
    rows = [f"{frame},{','.join(map(str, row))}" for frame, row in zip((3, 4, 7), values, strict=True)]
    header = ",".join(["frame", *HEADERS["x1"][1:]])
    (tmp_path / "wide.csv").write_text("\n".join([header, *rows]))
    for name in ("long.csv", "wide.csv"):
        pose = read_pose(tmp_path / name)
        assert pose.joints.any(axis=(1, 2, 3)).tolist() == [True, True, False, False, True]
        assert pose.frames == range(3, 8)
    assert read_pose(tmp_path / "long.csv").joints[:, 0, 32, 0].tolist() == [4, 5, 0, 0, 8]


def test_frames_that_openpose_left_out_were_not_seen(tmp_path):
    folder = openpose(tmp_path / "clip", BODY_25)
    (folder / "clip_000000000002_keypoints.json").unlink()
    joints = read_pose(folder).joints
    assert len(joints) == FRAMES and not joints[2].any() and joints[3].any()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (long_rows((0, 1, 0)), "row 68 has landmark 0 of frame 0 again: write a file for each person"),
        (long_rows(names=range(21)), "it numbers 21 landmarks, and a body has 33: write rows for all"),
        (long_rows((0.033, 0.066)), "row 2 names no frame, a whole number, or none of 33 landmarks"),
        (
            "\n".join(
                ["frame" + ",".join(HEADERS["x1"][:1] + HEADERS["x1"][1:])[5:], *["4" + ",1" * 132] * 2]
            ),
            "the column `frame` has a number twice: write a file for each person",
        ),
    ],
    ids=["persons", "hand", "seconds", "wide"],
)
def test_tables_of_something_else_are_refused(text, reason, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(VideoError, match=reason) as caught:
        read_pose(tmp_path / "a.csv")
    assert "\n" not in str(caught.value)


def of_frame(kind, frame):
    """Somebody whose joints are at x = 1000 + the number of the frame."""
    numbers = [value for joint in range(17) for value in (1000.0 + frame, 5.0 + 9 * joint, 0.9)]
    if kind == "coco":
        return {"image_id": f"{frame}.jpg", "keypoints": numbers}
    person = {"keypoints": [[1000.0 + frame, 5.0 + 9 * joint] for joint in range(17)]}
    return {"frame_id": frame + (kind == "demo"), "instances": [person]}


@pytest.mark.parametrize("kind", ["coco", "demo", "inferencer"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_cut_is_by_the_numbers_of_frames(kind, step, tmp_path):
    content = [of_frame(kind, frame) for frame in range(40, 200, step)]
    content = {"meta_info": {}, "instance_info": content} if kind == "demo" else content
    (tmp_path / "v.json").write_text(json.dumps(content))
    spans = [(50, 100), (0, 60), (101, ""), (190, 300), (0, 30)]
    rows = [f"v.json,a,{start},{stop}" for start, stop in spans]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,start,stop", *rows]))
    records = read_dataset("poses", tmp_path / "list.csv").records
    for record, (first, stop) in zip(records, ((50, 100), (40, 60), (101 + step // 2, 200)), strict=False):
        found = read_skeleton("poses", record)[:, 0, 0, 0] - 1000
        assert found.tolist() == list(range(first, stop, step))
    told = f"frames, numbered 40 to {200 - step}, the sequence is from frame"
    for record in records[3:]:
        with pytest.raises(VideoError, match=told):
            read_skeleton("poses", record)


def test_a_cell_that_is_empty_was_not_seen(tmp_path):
    values = landmarks().reshape(FRAMES, -1).tolist()
    rows = [",".join(HEADERS["x1"][1:]), *(",".join(map(str, row)) for row in values)]
    rows[2] = "," * (4 * 33 - 1)  # nobody in the second frame
    (tmp_path / "a.csv").write_text("\n".join(rows))
    pose = read_pose(tmp_path / "a.csv")
    assert not pose.joints[1].any() and pose.joints[2].all() and not pose.scores[1].any()


def annotation(order, persons=1, depth=False, score=True, dtype="float16", **about):
    values = np.array([[where(name, frame) for name in order] for frame in range(FRAMES)])
    values = np.stack([values + 0.5 * person for person in range(persons)]).astype(dtype)
    if depth:
        values = np.concatenate([values, np.full_like(values[..., :1], 2)], axis=-1)
    made = {"frame_dir": "S001", "label": 3, "img_shape": (300, 400), "original_shape": (300, 400)}
    made |= {"total_frames": FRAMES, "keypoint": values} | about
    return made | ({"keypoint_score": np.full(values.shape[:3], 0.5, dtype)} if score else {})


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_of_pyskl_is_read_in_every_protocol_that_python_and_mmcv_write(protocol, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(annotation(COCO), protocol))
    pose = read_pose(tmp_path / "a.pkl")
    is_the_raised_hand(pose, "coco17")
    np.testing.assert_array_equal(pose.scores, 0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", "int32"])
def test_arrays_in_pickles_keep_their_numbers(dtype, tmp_path):
    made = annotation(COCO, persons=2, dtype=dtype, score=False)
    made["keypoint"] = np.asfortranarray(made["keypoint"])
    (tmp_path / "a.pickle").write_bytes(pickle.dumps([made]))
    joints = read_pose(tmp_path / "a.pickle").joints
    np.testing.assert_allclose(joints, made["keypoint"].swapaxes(0, 1).astype("float32"))


def test_kinect_2_and_openpose_are_told_by_the_number_of_joints(tmp_path):
    for order, layout in ((KINECT_2, "ntu25"), (OPENPOSE_COCO, "openpose18")):
        made = annotation(order, depth=layout == "ntu25", score=False, dtype="float32")
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(made))
        pose = read_pose(tmp_path / "a.pkl")
        assert pose.layout == layout and pose.joints.shape[2:] == (len(order), 3 if layout == "ntu25" else 2)
        if layout == "ntu25":
            assert pose.joints[-1, 0, 6, 1] == 30 and (pose.joints[:, 0, 10, 1] == 150).all()


def test_a_score_behind_pixels_is_no_depth(tmp_path):
    made = annotation(COCO, score=False, dtype="float32")
    made["keypoint"] = np.concatenate([made["keypoint"], np.full((1, FRAMES, 17, 1), 0.25)], axis=-1)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(made))
    pose = read_pose(tmp_path / "a.pkl")
    is_the_raised_hand(pose, "coco17")
    assert pose.joints.shape[3] == 2 and (pose.scores == 0.25).all()
    made["keypoint"][..., 2] = 3.5
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(made))
    pose = read_pose(tmp_path / "b.pkl")
    assert pose.layout is None and (pose.joints[..., 2] == 3.5).all() and pose.scores is None


def a_set(split):
    names = [f"S{number:03}" for number in range(6)]
    listed = [
        annotation(COCO, label=np.int64(number % 2), frame_dir=name) for number, name in enumerate(names)
    ]
    return {"split": split, "annotations": listed}


def test_a_whole_set_of_pyskl_has_its_labels_and_its_splits(tmp_path):
    names = [f"S{number:03}" for number in range(6)]
    split = {"xsub_train": names[:4], "xsub_val": names[4:], "xview_train": names[2:], "xview_val": names[:2]}
    file = tmp_path / "ntu60_hrnet.pkl"
    file.write_bytes(pickle.dumps(a_set(split)))
    assert kind_of(file) == "poses"
    found = read_dataset("poses", file)
    assert found.found == {"train": 4, "test": 2} and found.class_names == ("0", "1")
    assert [record.label for record in found.records] == [0, 1] * 3
    assert found.records[4].path == "ntu60_hrnet.pkl#S004"
    assert read_dataset("poses", file, split="xview").records[0].split == "test"
    assert read_skeleton("poses", found.records[1]).shape == (FRAMES, 1, 17, 3)
    with pytest.raises(UserError, match="`split` must be one of xsub, xview. Received: split='xset'"):
        read_dataset("poses", file, split="xset")
    with pytest.raises(VideoError, match="it holds 6 sequences"):
        read_skeleton("poses", found.records[1].__class__(file, file.name, 0))
    file.write_bytes(pickle.dumps(a_set({"train": names[:2], "val": names[2:4], "test": names[4:]})))
    assert read_dataset("poses", file).found == {"train": 2, "validation": 2, "test": 2}


def test_names_of_a_split_without_a_sequence_are_counted(tmp_path):
    names, file = [f"S{number:03}" for number in range(6)], tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(a_set({"train": [*names[:3], "gone", "away"], "val": names[3:5]})))
    found = read_dataset("poses", file)
    assert found.found == {"train": 3, "test": 2}
    lost, spare = found.notes
    assert lost == "names of the split without a sequence: 2, such as 'gone'"
    assert spare == "in no part of the split and passed over: 1 of 6 sequences"
    file.write_bytes(pickle.dumps(a_set({"train": names, "val": ["gone"]})))
    with pytest.raises(UserError, match="no sequence of the part test of its split is in it, such as 'gone'"):
        read_dataset("poses", file)
    file.write_bytes(pickle.dumps(a_set({"train": names[:4], "val": names[3:]})))
    with pytest.raises(UserError, match="'S003' is in the parts train and test of its split; take it out"):
        read_dataset("poses", file)
    file.write_bytes(pickle.dumps(a_set({"train": names[:4], "val": names[4:], "test": []})))
    assert read_dataset("poses", file).found == {"train": 4, "test": 2} and not found.passed_over
    assert read_dataset("poses", file).notes == []


def test_several_sequences_in_a_pickle_of_a_class_are_told_apart(tmp_path):
    for name in ("run", "wave"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.pkl").write_bytes(pickle.dumps(a_set({})))
    found = read_dataset("poses", tmp_path)
    assert len(found.records) == 12 and found.records[0].path == "run/a.pkl#S000"
    (tmp_path / "list.csv").write_text("path,label,start,stop\nrun/a.pkl,a,0,3\nrun/a.pkl,b,3,6\n")
    with pytest.raises(UserError, match="`start` and `stop` cut one sequence, it holds 6; leave them out"):
        read_dataset("poses", tmp_path / "list.csv")
    assert [record.label for record in found.records] == [0] * 6 + [1] * 6


def test_a_skeleton_file_of_kinect_2_is_read_outside_of_its_set_too(tmp_path):
    lines = [str(FRAMES)]
    for frame in range(FRAMES):
        lines += ["1", "72057594037931101 0 1 1 0 0 0 -0.1 0.2 2", "25"]
        for name in KINECT_2:
            height = 150 - 24 * frame if name == "WristLeft" else 150
            lines.append(f"1.5 {height} 2.5 0 0 0 0 0 0 0 0 2")
    (tmp_path / "a.skeleton").write_text("\n".join(lines))
    pose = read_pose(tmp_path / "a.skeleton")
    assert pose.layout == "ntu25" and pose.joints.shape == (FRAMES, 1, 25, 3)
    hands = pose.joints[:, 0, list(body("ntu25").place(("left_wrist", "right_wrist"))), 1]
    assert hands[-1].tolist() == [30, 150]


ARRAYS = np.stack([np.array([where(name, frame) for name in COCO], "float32") for frame in range(FRAMES)])


@pytest.mark.parametrize(
    ("array", "declared"),
    [
        (ARRAYS, 'layout = "coco17"'),
        (ARRAYS.transpose(2, 0, 1), 'layout = "coco17"\naxes = "CTV"'),
        (ARRAYS[None], 'layout = "coco17"\naxes = "MTVC"'),
        (ARRAYS[:, None], 'layout = "coco17"\naxes = "TMVC"'),
        (ARRAYS.transpose(2, 0, 1)[..., None], 'layout = "coco17"'),
        (np.concatenate([ARRAYS, np.full_like(ARRAYS[..., :1], 0.4)], axis=-1), 'layout = "coco17"'),
    ],
    ids=["TVC", "CTV", "MTVC", "TMVC", "CTVM", "score"],
)
def test_plain_arrays_are_read_with_what_the_set_says(array, declared, tmp_path):
    (tmp_path / "poses.toml").write_text(declared)
    (tmp_path / "wave").mkdir()
    np.save(tmp_path / "wave/a.npy", array)
    np.savez(tmp_path / "wave/b.npz", keypoints=array)
    for name in ("a.npy", "b.npz"):
        pose = read_pose(tmp_path / "wave" / name)
        is_the_raised_hand(pose, "coco17")
        assert pose.joints.shape == (FRAMES, 1, 17, 2)
    assert kind_of(tmp_path) == "poses"


def test_the_third_number_is_a_score_where_the_set_says_so(tmp_path):
    array = np.random.default_rng(0).random((9, 17, 3)).astype("float32")
    np.save(tmp_path / "a.npy", array)
    for channels, size in (("xys", 2), ("xyz", 3)):
        (tmp_path / "poses.toml").write_text(f'channels = "{channels}"')
        pose = read_pose(tmp_path / "a.npy")
        np.testing.assert_array_equal(pose.joints, array[:, None, :, :size])
        assert (pose.scores is None) == (size == 3)
    pose = map_joints(pose.joints, "coco17", "halpe26")
    assert pose.shape == (9, 1, 26, 3)


def with_third(low, high):
    third = np.random.default_rng(0).uniform(low, high, ARRAYS.shape[:2]).astype("float32")
    third[0, 0] = high
    return np.concatenate([ARRAYS, third[..., None]], axis=-1)


@pytest.mark.parametrize("form", ["npz", "json", "pkl", "npy"])
@pytest.mark.parametrize("high", [0.9, 1.02], ids=["score", "a bit above 1"])
def test_a_third_number_that_may_be_a_score_is_never_taken_for_depth(form, high, tmp_path):
    array, file = with_third(0, high), tmp_path / f"a.{form}"
    if form == "npz":
        np.savez(file, joints=array)
    elif form == "npy":
        np.save(file, array)
    elif form == "json":
        file.write_text(json.dumps({"joints": array.tolist()}))
    else:
        file.write_bytes(pickle.dumps({"frame_dir": "a", "label": 0, "keypoint": array[None]}))
    if form in ("npz", "json") or high > 1:  # ours have z there by their form
        with pytest.raises(VideoError, match='z or a score is not certain: write channels = "xyz" or "xys"'):
            read_pose(file)
    else:
        assert read_pose(file).joints.shape[3] == 2
    for channels, size in (("xys", 2), ("xyz", 3)):
        axes = 'axes = "MTVC"' if form == "pkl" else 'axes = "TVC"'
        (tmp_path / "poses.toml").write_text(f'channels = "{channels}"\n{axes if form != "npz" else ""}')
        pose = read_pose(file)
        np.testing.assert_array_equal(pose.joints, array[:, None, :, :size])
        assert (pose.scores is None) == (size == 3)
        assert size == 3 or (pose.scores[:, 0] == array[..., 2]).all()


def test_channels_are_taken_apart_in_any_order_of_axes(tmp_path):
    array = with_third(0, 0.9)
    np.savez(tmp_path / "a.npz", joints=array[None], axes="MTVC")
    (tmp_path / "poses.toml").write_text('channels = "xys"')
    pose = read_pose(tmp_path / "a.npz")
    np.testing.assert_array_equal(pose.joints[:, 0], array[..., :2])
    np.testing.assert_array_equal(pose.scores[:, 0], array[..., 2])
    (tmp_path / "poses.toml").write_text('channels = "xyzs"')
    with pytest.raises(VideoError, match="`channels` 'xyzs' are 4, a joint has 3 numbers"):
        read_pose(tmp_path / "a.npz")


def test_a_layout_is_advised_where_one_has_as_many_joints_and_then_it_works(tmp_path):
    folder = openpose(tmp_path / "clip", COCO)
    with pytest.raises(VideoError, match="if they are coco17, write that as layout into poses.toml, else wr"):
        read_pose(folder)
    (tmp_path / "poses.toml").write_text('layout = "coco17"')
    is_the_raised_hand(read_pose(folder), "coco17")


@pytest.mark.parametrize("form", ["npz", "json", "pkl"])
def test_axes_are_declared_for_every_form_of_arrays(form, tmp_path):
    ours = np.random.default_rng(0).random((9, 8, 17, 2)).astype("float32")
    (tmp_path / "poses.toml").write_text('axes = "VTMC"')
    given = ours.transpose(2, 0, 1, 3)
    if form == "npz":
        np.savez(tmp_path / "a.npz", joints=given)
    elif form == "json":
        (tmp_path / "a.json").write_text(json.dumps({"joints": given.tolist()}))
    else:
        values = {"keypoint": given, "keypoint_score": given[..., 0], "label": 0}
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(values))
    pose = read_pose(tmp_path / f"a.{form}")
    np.testing.assert_array_equal(pose.joints, ours)
    assert form != "pkl" or (pose.scores == ours[..., 0]).all()


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.ones((3, 60, 25, 2)), r"`joints` are \(3, 60, 25, 2\), which would be 3 .*: write axes into"),
        (np.random.default_rng(0).random((9, 17, 3)), r'channels = "xyz" or "xys" into poses.toml'),
        (np.ones((9, 3)), r"joints must be \(T, V, C\) or \(T, M, V, C\)"),
        (np.full((9, 17, 2), np.inf), "`joints` has numbers that are not finite"),
        (np.array([[["a"] * 2] * 17]), "`joints` must be numbers"),
    ],
)
def test_an_array_of_which_it_is_not_certain_says_what_to_write(array, reason, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(VideoError, match=reason) as caught:
        read_pose(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('layout = "coco"', "poses.toml: `layout` must be the name of a body; did you mean 'coco17'"),
        ('lyout = "coco17"', "poses.toml: unknown key 'lyout'; did you mean 'layout'"),
        ("axes = 3", "poses.toml: axes must be a text"),
        (
            'axes = "XYZ"',
            "poses.toml: `axes` must be the letters T, V and C in an order. Received: axes='XYZ'",
        ),
        ('axes = "TMVC"', "`axes` must be the letters T, V and C in an order. Received: axes='TMVC'"),
        ('channels = "xyzw"', "`channels` must be one of xy, xyz, xys, xyzs, s the score. Received: 'xyzw'"),
        ("axes = ", "poses.toml is not TOML"),
    ],
)
def test_a_wrong_word_in_poses_toml_is_named(text, reason, tmp_path):
    (tmp_path / "poses.toml").write_text(text)
    np.save(tmp_path / "a.npy", ARRAYS)
    with pytest.raises(UserError, match=reason):
        read_pose(tmp_path / "a.npy")


def test_joints_of_another_layout_than_is_said_are_refused(tmp_path):
    (tmp_path / "poses.toml").write_text('layout = "halpe26"')
    (tmp_path / "a.json").write_text(json.dumps(alphapose(COCO)))
    with pytest.raises(VideoError, match="it has coco17, and the layout is to be halpe26"):
        read_pose(tmp_path / "a.json")


# ---- what is no such file, or asks for too much: one line that names the file


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


def in_space():
    """Of the inferencer, which does not name joints: 17 in three dimensions are not COCO's."""
    frames = mmpose(COCO, meta=False)
    for frame in frames:
        frame["instances"][0]["keypoints"] = [[*place, 1.0] for place in frame["instances"][0]["keypoints"]]
    return json.dumps(frames)


def nested(text):
    return json.dumps({"meta_info": {}, "instance_info": text})


def claiming(shape):
    """The header of an array of so many numbers, and none of them."""
    header = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, about)
    return header.getvalue()


HOSTILE = {
    "cut.json": json.dumps(alphapose(COCO))[:-40],
    "deep.json": "[" * 100_000,
    "odd.json": json.dumps([{"image_id": 1, "keypoints": [1.0] * 50}]),
    "counts.json": json.dumps([{"image_id": 1, "keypoints": [1.0] * 63}]),
    "words.json": json.dumps([{"image_id": 1, "keypoints": ["1"] * 51}]),
    "infinite.json": json.dumps([{"image_id": 1, "keypoints": [1e300] * 51}]),
    "nobody.json": json.dumps([]),
    "images.json": json.dumps([{"image_id": n, "keypoints": [1.0] * 51} for n in (1, 7, 10**9)]),
    "no image.json": json.dumps([{"keypoints": [1.0] * 51}]),
    "letters.json": json.dumps([{"image_id": [1], "keypoints": [1.0] * 51}]),
    "frames.json": nested([{"frame_id": n, "instances": []} for n in (0, 10**12)]),
    "twice.json": nested([{"frame_id": 1, "instances": []}] * 2),
    "instances.json": nested([{"frame_id": 1, "instances": [{"keypoints": [[1, 2, 3, 4]]}]}]),
    "scores.json": nested([{"instances": [{"keypoints": [[1, 2]], "keypoint_scores": [1, 2]}]}]),
    "lists.json": nested(5),
    "space.json": in_space(),
    "people.json": json.dumps({"people": [{"face_keypoints_2d": []}]}),
    "mixed.json": json.dumps([{"image_id": n, "keypoints": [1.0] * (51 + 27 * n)} for n in (0, 1)]),
    "table.csv": "a,b\n1,2\n",
    "empty.csv": "\n\n",
    "short.csv": ",".join(HEADERS["x1"]) + "\nword,1,2\n",
    "cell.csv": ",".join(HEADERS["x1"]) + "\nword" + ",x" * 132,
    "large.csv": "c" + ",1e999" * 132 + "\n",
    "other.csv": ",".join(f"{a}{n}" for n in range(1, 70) for a in "xyz") + "\n" + "1," * 206 + "1",
    "call.pkl": pickle.dumps(annotation(COCO, bad=Calls(print, "run"))),
    "system.pkl": b"cos\nsystem\n(S'true'\ntR.",
    "eval.pkl": pickle.dumps(Calls(eval, "1")),
    "objects.pkl": pickle.dumps(annotation(COCO, keypoint=np.array([[1], None], object))),
    "text.pkl": pickle.dumps(annotation(COCO, keypoint="x")),
    "axes.pkl": pickle.dumps(annotation(COCO, keypoint=np.ones((2, 17, 2)))),
    "few.pkl": pickle.dumps(annotation(COCO, score=False, keypoint_score=np.ones((1, 2, 17)))),
    "label.pkl": pickle.dumps(annotation(COCO, label="x")),
    "list.pkl": pickle.dumps([1, 2]),
    "nothing.pkl": pickle.dumps({"annotations": []}),
    "half.pkl": pickle.dumps(annotation(COCO))[:-60],
    "self.pkl": b"]q\x00h\x00a.",
    "array.pkl": pickle.dumps(np.ones(3)),
    "bytes.npy": claiming((1_000_000_000, 33, 4)),
    "pickled.npy": pickle.dumps([1]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_file_of_joints_is_one_line_and_runs_nothing(name, tmp_path, capsys):
    content = HOSTILE[name]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(VideoError) as caught:
        read_pose(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)
    assert len(str(caught.value)) < 600
    assert caught.value.status == ("empty" if name in ("nobody.json", "frames.json") else "unreadable")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "call.pkl",
            "it names 'builtins.print', which arrays of numbers do not need and which could run code",
        ),
        ("objects.pkl", "its arrays are of the type 'O8'; save numbers"),
        (
            "counts.json",
            r"21 joints a person are none of AlphaPose and COCO's that are known \(17, 26, 133, 136\); "
            "write them, with their names, with keras_actrec.data.write_pose",
        ),
        (
            "space.json",
            r"17 joints a person are none of MMPose's that are known \(none in three dimensions\); write",
        ),
        ("images.json", "3 frames are numbered from 1 to 1000000000, so they are not of one video"),
        ("bytes.npy", "its array claims 528000000000 bytes, 0 are there"),
        ("short.csv", "row 2 has 3 cells, the header has 133"),
        ("half.pkl", "pickle|truncated|expected"),
    ],
)
def test_the_line_says_what_is_wrong(name, reason, tmp_path):
    test = HOSTILE[name]
    (tmp_path / name).write_bytes(test.encode() if isinstance(test, str) else test)
    with pytest.raises(VideoError, match=reason):
        read_pose(tmp_path / name)


def test_a_folder_that_openpose_did_not_write_alone_is_refused(tmp_path):
    folder = openpose(tmp_path / "clip", BODY_25)
    openpose(tmp_path / "other", BODY_25, name="other")
    (tmp_path / "other/other_000000000001_keypoints.json").rename(
        folder / "other_000000000001_keypoints.json"
    )
    with pytest.raises(VideoError, match="have the same number; keep the files of one recording only"):
        read_pose(folder)
    (folder / "other_000000000001_keypoints.json").unlink()
    (folder / "clip_000000000002_keypoints.json").write_text("{")
    with pytest.raises(VideoError, match="clip_000000000002_keypoints.json: Expecting"):
        read_pose(folder)
    (tmp_path / "bare").mkdir()
    with pytest.raises(VideoError, match="there is no <recording>_<frame>_keypoints.json in it"):
        read_pose(tmp_path / "bare")


def test_folders_of_openpose_are_sequences_for_every_command(tmp_path):
    for name in ("run", "wave"):
        for clip in range(2):
            openpose(tmp_path / name / f"clip{clip}", BODY_25)
    assert kind_of(tmp_path) == "poses"
    found = read_dataset("poses", tmp_path)
    assert [record.path for record in found.records] == ["run/clip0", "run/clip1", "wave/clip0", "wave/clip1"]
    sources = expand_sources(tmp_path, POSE_PATTERNS)
    assert [each.file.relative_to(tmp_path).as_posix() for each in sources] == [r.path for r in found.records]
    (one,) = expand_sources(tmp_path / "run/clip0", POSE_PATTERNS)
    assert one.file == tmp_path / "run/clip0"
    (tmp_path / "list.csv").write_text("path,label\nrun/clip0,a\nwave/clip1,b\n")
    assert kind_of(tmp_path / "list.csv") == "poses"
    assert len(read_dataset("poses", tmp_path / "list.csv").records) == 2


def test_a_table_of_landmarks_is_a_source_and_a_table_of_paths_lists_them(tmp_path):
    rows = [",".join(map(str, row)) for row in landmarks().reshape(FRAMES, -1).tolist()]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    (tmp_path / "list.csv").write_text("path\na.csv\n")
    for name in ("a.csv", "list.csv"):
        (one,) = expand_sources(tmp_path / name, POSE_PATTERNS)
        assert one.file == tmp_path / "a.csv"


def test_features_are_not_taken_for_joints(tmp_path):
    for shape, kind in (
        ((9, 17, 3), "poses"),
        ((9, 512), "features"),
        ((9, 7, 7, 512), "features"),
        ((9, 2, 25, 3), "poses"),
    ):
        np.save(tmp_path / "a.npy", np.ones(shape, "float32"))
        assert kind_of(tmp_path) == kind


def test_each_body_can_be_mapped_to_each_other():
    for one in list_bodies():
        for other in list_bodies():
            joints = np.random.default_rng(0).random((2, len(body(one).joints), 3))
            mapped = map_joints(joints, one, other)
            shared = collections.Counter(body(one).joints) & collections.Counter(body(other).joints)
            assert np.any(mapped, axis=(0, 2)).sum() >= len(shared) >= 12
