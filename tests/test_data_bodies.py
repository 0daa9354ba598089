"""Bodies by name, and what recipes make of their names."""

import numpy as np
import pytest

from keras_actrec import training
from keras_actrec.data import SkeletonTransform, body, list_bodies, map_joints
from keras_actrec.errors import UserError
from keras_actrec.training.tables import SkeletonTable

pytestmark = pytest.mark.no_backend

# By hand from what the makers publish: the enumerations of Kinect's SDK (SpineShoulder, ShoulderCenter:
# `shoulder_center`; SpineBase, HipCenter: `pelvis`), COCO's categories, OpenPose's parameters, MediaPipe's
# and Halpe's lists.
ORDERS = {
    "ntu25": "pelvis 0 spine 1 neck 2 head 3 left_shoulder 4 left_elbow 5 left_wrist 6 left_hand 7 "
    "right_shoulder 8 right_wrist 10 left_hip 12 left_foot 15 right_hip 16 right_knee 17 right_foot 19 "
    "shoulder_center 20 left_hand_tip 21 left_thumb 22 right_hand_tip 23 right_thumb 24",
    "kinect20": "pelvis 0 spine 1 shoulder_center 2 head 3 left_shoulder 4 left_hand 7 right_shoulder 8 "
    "right_hand 11 left_hip 12 left_knee 13 left_ankle 14 left_foot 15 right_hip 16 right_foot 19",
    "coco17": "nose 0 left_eye 1 right_eye 2 left_ear 3 right_ear 4 left_shoulder 5 right_shoulder 6 "
    "left_elbow 7 right_elbow 8 left_wrist 9 right_wrist 10 left_hip 11 right_hip 12 left_knee 13 "
    "right_knee 14 left_ankle 15 right_ankle 16",
    "openpose18": "nose 0 neck 1 right_shoulder 2 right_elbow 3 right_wrist 4 left_shoulder 5 left_elbow 6 "
    "left_wrist 7 right_hip 8 right_knee 9 right_ankle 10 left_hip 11 left_knee 12 left_ankle 13 "
    "right_eye 14 left_eye 15 right_ear 16 left_ear 17",
    "openpose25": "nose 0 neck 1 right_shoulder 2 right_wrist 4 left_shoulder 5 left_wrist 7 pelvis 8 "
    "right_hip 9 right_ankle 11 left_hip 12 left_ankle 14 right_eye 15 left_eye 16 right_ear 17 left_ear 18 "
    "left_big_toe 19 left_small_toe 20 left_heel 21 right_big_toe 22 right_small_toe 23 right_heel 24",
    "mediapipe33": "nose 0 left_eye_inner 1 left_eye 2 left_eye_outer 3 right_eye_inner 4 right_eye 5 "
    "left_ear 7 right_ear 8 left_mouth 9 right_mouth 10 left_shoulder 11 right_shoulder 12 left_elbow 13 "
    "left_wrist 15 right_wrist 16 left_pinky 17 left_index 19 left_thumb 21 right_thumb 22 left_hip 23 "
    "right_hip 24 left_knee 25 left_ankle 27 left_heel 29 right_heel 30 left_foot_index 31 "
    "right_foot_index 32",
    "halpe26": "nose 0 left_eye 1 right_ear 4 left_shoulder 5 left_wrist 9 right_wrist 10 right_ankle 16 "
    "head 17 neck 18 pelvis 19 left_big_toe 20 right_big_toe 21 left_small_toe 22 right_small_toe 23 "
    "left_heel 24 right_heel 25",
}


@pytest.mark.parametrize("name", ORDERS)
def test_joints_are_in_the_published_order(name):
    words = ORDERS[name].split()
    assert set(ORDERS) == set(list_bodies())
    assert len(body(name).joints) == int(name[-2:])
    for joint, number in zip(words[::2], words[1::2], strict=True):
        assert body(name).numbers[joint] == int(number)


@pytest.mark.parametrize("name", ORDERS)
def test_bones_connect_all_joints_and_the_two_sides_are_alike(name):
    made = body(name)
    reached, lines = {0}, [set(line) for line in made.lines]
    assert len({frozenset(line) for line in lines}) == len(lines)
    for _ in made.joints:
        reached |= {joint for line in lines if line & reached for joint in line}
    assert len(reached) == len(made.joints)
    swapped = dict(made.pairs) | {right: left for left, right in made.pairs}
    mirrored = {frozenset(swapped.get(joint, joint) for joint in line) for line in lines}
    assert mirrored == {frozenset(line) for line in lines}
    middle = {made.joints[number] for number in range(len(made.joints)) if number not in swapped}
    assert middle <= {"nose", "neck", "head", "pelvis", "spine", "shoulder_center"}


def test_recipes_by_name_have_the_numbers_that_they_had():
    # What stood in the recipes before bodies had names.
    sides = ((4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19))
    common = {"frames": 60, "length": "resample", "rotation": 35}
    kinect = {**common, "center": 0, "align": (16, 12), "scale": 0.2, "velocity": True}
    expected = {
        "ntu_rgbd": {"frames": 300, "center": 1, "rotation": 35},
        "northwestern_ucla": kinect,
        "utkinect": kinect,
        "sysu_3d_hoi": {**common, "center": 1},
    }
    for model in ("eleatt_rnn", "stacked_rnn"):
        for name, arguments in expected.items():
            table = training.read_recipe(f"{model}/{name}").skeleton
            assert table.transform == SkeletonTransform(**arguments)
            assert table.preprocessor(name).layout == table.layout
    mirrored = training.read_recipe("eleatt_rnn/utkinect", ["skeleton.mirror=true"]).skeleton
    assert mirrored.transform.mirror == sides


def test_what_follows_from_a_layout():
    table = SkeletonTable(layout="coco17", align=True, mirror=True, unit_size="torso")
    transform = table.transform
    assert transform.center == (11, 12) and transform.align == (12, 11)
    assert transform.torso == ((5, 6), (11, 12)) and transform.unit_size
    assert transform.mirror == ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
    assert SkeletonTable(layout="coco17", center="nose").transform.center == 0
    assert SkeletonTable(layout="coco17", center=["nose", "left_ear"]).transform.center == (0, 3)
    assert SkeletonTable(layout="coco17", center="none").transform.center is None
    assert SkeletonTable(layout="coco17", center=4).transform.center == 4
    assert SkeletonTable().transform == SkeletonTransform()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"layout": "coco18"},
            r"^x: \[skeleton\] `layout` must be the name of a body; did you mean 'coco17'",
        ),
        ({"layout": "coco17", "center": "pelvis"}, "coco17 has no joint 'pelvis'; there are: nose, left_eye"),
        ({"layout": "coco17", "center": "left_wirst"}, "no joint 'left_wirst'; did you mean 'left_wrist'"),
        ({"center": "nose"}, "`center` names joints, so `layout` must name the body: ntu25, kinect20,"),
        ({"align": True}, "`align` names joints, so `layout` must name the body"),
        ({"mirror": True}, "`mirror` names joints, so `layout` must name the body"),
        ({"unit_size": "torso"}, "`unit_size` names joints, so `layout` must name the body"),
        ({"swap": [[0, 1], [1, 2]]}, "`swap` must be pairs of class ids, each id once. Received: swap="),
    ],
)
def test_names_that_nobody_has_are_refused(values, message):
    recipe = {"model": {"name": "stacked_rnn"}, "data": {"dataset": "poses"}, "skeleton": values}
    with pytest.raises(UserError, match=message) as caught:
        training.parse_recipe(recipe, "x")
    assert "\n" not in str(caught.value)


def test_a_trunk_is_one_long_whatever_the_arms_do():
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(9, 1, 17, 3))
    transform = SkeletonTable(layout="coco17", unit_size="torso", frames=9, length="resample").transform
    made = transform(joints)[0].reshape(9, 17, 3)
    trunks = made[:, [5, 6]].mean(axis=1) - made[:, [11, 12]].mean(axis=1)
    assert np.median(np.linalg.norm(trunks, axis=-1)) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(made[0, [11, 12]].mean(axis=0), 0, atol=1e-6)
    raised = joints.copy()
    raised[:, :, [7, 8, 9, 10]] += 50
    np.testing.assert_allclose(transform(raised)[0].reshape(9, 17, 3)[:, :7], made[:, :7], atol=1e-6)
    np.testing.assert_allclose(transform(7 * joints)[0].reshape(9, 17, 3), made, atol=1e-5)
    assert np.isfinite(transform(np.zeros((3, 1, 17, 3)))[0]).all()


@pytest.mark.parametrize("seed", [1, 3])
def test_a_mirrored_sequence_changes_its_class(seed):
    joints = np.random.default_rng(0).normal(size=(4, 1, 17, 3))
    transform = SkeletonTable(layout="coco17", mirror=True, swap=[[0, 2]], frames=4, center="none").transform
    is_mirrored = np.random.default_rng(seed).random() < 0.5
    for label, other in ((0, 2), (2, 0), (1, 1)):
        made, _, given = transform.labeled(joints, label, np.random.default_rng(seed))
        assert given == (other if is_mirrored else label)
        wrist = made.reshape(4, 17, 3)[:, 9]
        expected = joints[:, 0, 10] * [-1, 1, 1] if is_mirrored else joints[:, 0, 9]
        np.testing.assert_allclose(wrist, expected, atol=1e-6)


def test_a_map_takes_joints_to_their_names():
    names = body("ntu25").joints
    joints = np.arange(1, 2 * 25 * 3 + 1, dtype="float32").reshape(2, 25, 3)
    mapped = map_joints(joints, "ntu25", "kinect20")
    assert mapped.shape == (2, 20, 3) and mapped.dtype == np.float32
    for number, name in enumerate(body("kinect20").joints):
        np.testing.assert_array_equal(mapped[:, number], joints[:, names.index(name)])
    np.testing.assert_array_equal(mapped[:, 2], joints[:, 20])  # ShoulderCenter is SpineShoulder
    np.testing.assert_array_equal(map_joints(joints, "ntu25", "ntu25"), joints)


def test_a_map_makes_what_lies_between_others_and_leaves_the_rest_missing():
    joints = np.arange(1, 17 * 2 + 1, dtype="float64").reshape(1, 17, 2)
    mapped = map_joints(joints, "coco17", "openpose25")[0]
    np.testing.assert_array_equal(mapped[1], (joints[0, 5] + joints[0, 6]) / 2)
    np.testing.assert_array_equal(mapped[8], (joints[0, 11] + joints[0, 12]) / 2)
    np.testing.assert_array_equal(mapped[7], joints[0, 9])
    assert not mapped[19:].any()
    joints[:, 6] = 0
    assert not map_joints(joints, "coco17", "openpose25")[0, 1].any()
    with pytest.raises(UserError, match=r"coco17 has 17 joints: \(..., 17, C\). Received: \(2, 18, 3\)"):
        map_joints(np.zeros((2, 18, 3)), "coco17", "ntu25")
