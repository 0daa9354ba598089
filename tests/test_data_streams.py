"""What is seen of joints beside their places, and what training changes of time, view and joints."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from keras_actrec import training
from keras_actrec.data import SkeletonTransform
from keras_actrec.data.skeletons import STREAMS, SkeletonSteps
from keras_actrec.errors import UserError
from keras_actrec.training.tables import SkeletonTable

pytestmark = pytest.mark.no_backend

BONES = ((0, 1), (1, 2), (1, 3), (0, 3))  # joint 3 hangs on two: the first counts; 4 on none


def walk(frames=8, bodies=2, seed=0):
    return np.random.default_rng(seed).normal(1, 1, (frames, bodies, 5, 3))


def rng(seed=0):
    return np.random.default_rng(seed)


def apart(sequence, channels, bodies=2):
    return sequence.reshape(len(sequence), bodies, 5, channels)


def test_streams_are_joints_bones_steps_and_the_posture_one_behind_the_other():
    joints = walk()
    joints[4, 0, 1] = 0  # a joint that is missing once
    transform = SkeletonTransform(8, center=0, streams=STREAMS, bones=BONES, hands=(4, 1))
    seen = apart(transform(joints)[0], 18).astype("float64")
    places = joints - joints[0, 0, 0]
    places[4, 0, 1] = places[0, 0, 0] = 0  # which is the origin, and known
    known = np.ones((8, 2, 5), bool)
    known[4, 0, 1] = False
    np.testing.assert_allclose(seen[..., :3], places, atol=1e-6)
    bones, parents = np.zeros_like(places), {1: 0, 2: 1, 3: 1}
    for joint, parent in parents.items():
        both = known[:, :, joint] & known[:, :, parent]
        bones[:, :, joint] = np.where(both[..., None], places[:, :, joint] - places[:, :, parent], 0)
    np.testing.assert_allclose(seen[..., 3:6], bones, atol=1e-6)
    steps = np.diff(places, axis=0, prepend=places[:1])
    steps[4:6, 0, 1] = 0
    np.testing.assert_allclose(seen[..., 6:9], steps, atol=1e-6)
    turns = np.diff(bones, axis=0, prepend=bones[:1])
    turns[4:6, 0, 1:4] = 0
    np.testing.assert_allclose(seen[..., 9:12], turns, atol=1e-6)
    posture = (places - places[:, :, :1]) * known[..., None]
    np.testing.assert_allclose(seen[..., 12:15], posture, atol=1e-6)
    for channel, end in enumerate((4, 1, 0)):  # the hands, and the center
        away = np.sqrt(((places - places[:, :, end : end + 1]) ** 2).sum(axis=-1))
        both = known & known[:, :, end : end + 1]
        np.testing.assert_allclose(seen[..., 15 + channel], away * both, atol=1e-6)


def test_no_turn_changes_a_distance():
    transform = SkeletonTransform(8, center=(0, 1), streams=("distances",), hands=(2, 3))
    turned = replace(transform, view=180, rotation=180)
    np.testing.assert_allclose(turned(walk(), rng(3))[0], transform(walk())[0], atol=1e-5)


def test_a_score_stands_behind_the_first_stream_and_velocity_is_a_stream():
    joints = np.concatenate([walk(), np.full((8, 2, 5, 1), 0.5)], axis=-1)
    seen = apart(SkeletonTransform(8, streams=("velocities", "joints"))(joints)[0], 7)
    np.testing.assert_array_equal(seen[..., 3], 0.5)
    assert SkeletonTransform(velocity=True).streams == ("joints", "velocities")
    assert SkeletonTransform(velocity=True, streams=("velocities",)).streams == ("velocities",)


def test_a_stream_of_frames_gives_the_same_streams():
    joints = walk()
    joints[4, 0, 1] = 0
    ends = ((2, 3), (0,))
    transform = SkeletonTransform(
        8, center=0, align=(1, 4), upright=ends, streams=STREAMS, bones=BONES, hands=(1, 4)
    )
    steps = SkeletonSteps(transform)
    found = np.concatenate([steps(part) for part in (joints[:3], joints[3:4], joints[4:])])
    np.testing.assert_allclose(found, transform(joints)[0], atol=1e-6)


@pytest.mark.parametrize("trunk", [(0, 2, 0), (0, -2, 0), (1, 1, 1), (-3, -0.5, 2)])
def test_the_trunk_of_the_first_frame_points_up_and_the_body_keeps_its_form(trunk):
    joints = walk(bodies=1)
    joints[0, 0, 1] = joints[0, 0, 0] + trunk
    transform = SkeletonTransform(8, center=0, upright=((1,), (0,)))
    seen = apart(transform(joints)[0], 3, bodies=1)
    np.testing.assert_allclose(seen[0, 0, 1], [0, np.linalg.norm(trunk), 0], atol=1e-5)
    moved = (joints - joints[0, 0, 0]).reshape(-1, 3)
    turn, *_ = np.linalg.lstsq(moved, seen.reshape(-1, 3), rcond=None)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(turn), 1, atol=1e-5)
    cosine = trunk[1] / np.linalg.norm(trunk)
    np.testing.assert_allclose(np.trace(turn), 1 + 2 * cosine, atol=1e-5)  # no longer than it must be


def test_a_trunk_of_a_picture_straight_down_is_turned_as_one_that_nearly_is():
    joints = np.zeros((1, 1, 5, 3))
    joints[0, 0, :3, :2] = [100, 300], [100, 100], [160, 120]  # rows count from the top
    transform, seen = SkeletonTransform(1, center=0, upright=((1,), (0,))), []
    for aside in (0, 1):
        joints[0, 0, 1, 0] = 100 + aside
        seen.append(apart(transform(joints)[0], 3, bodies=1)[0, 0, :3])
    np.testing.assert_allclose(seen[0], [[0, 0, 0], [0, 200, 0], [-60, 180, 0]], atol=1e-4)
    np.testing.assert_allclose(seen[1], seen[0], atol=1.5)


def test_joints_in_two_dimensions_stay_so_whatever_turns_them():
    joints = walk(bodies=1) * [1, 1, 0]
    for name, value in (("view", 60), ("rotation", 40), ("shear", 0.3)):
        transform = SkeletonTransform(8, center=None, **{name: value})
        seen = apart(transform(joints, rng(0))[0], 3, bodies=1)
        assert np.abs(seen - joints).max() > 0.05 and not seen[..., 2].any()


def test_a_camera_that_was_tilted_or_went_around_sees_the_same():
    joints, tilt = walk(), np.linalg.qr(rng().normal(size=(3, 3)))[0]
    tilt *= np.linalg.det(tilt)  # a turn, no mirror
    transform = SkeletonTransform(8, center=0, align=(3, 4), upright=((1,), (0,)))
    np.testing.assert_allclose(transform(joints @ tilt.T)[0], transform(joints)[0], atol=1e-5)


def test_a_drawn_view_turns_about_the_vertical_axis_alone():
    joints, angles = walk(bodies=1), []
    for seed in range(40):
        seen = apart(SkeletonTransform(8, center=None, view=60)(joints, rng(seed))[0], 3, bodies=1)
        np.testing.assert_allclose(seen[..., 1], joints[..., 1], atol=1e-6)
        before, after = (np.arctan2(each[0, 0, 0, 2], each[0, 0, 0, 0]) for each in (joints, seen))
        angles.append(np.degrees((before - after + np.pi) % (2 * np.pi) - np.pi))
    assert -60 <= min(angles) < -50 and 50 < max(angles) <= 60


def test_a_drawn_shear_adds_a_share_of_each_coordinate_to_the_others():
    joints, drawn = walk(), []
    for seed in range(20):
        seen = SkeletonTransform(8, center=None, shear=0.3)(joints, rng(seed))[0].reshape(-1, 3)
        matrix, *_ = np.linalg.lstsq(joints.reshape(-1, 3), seen, rcond=None)
        np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-5)
        drawn.append(matrix[~np.eye(3, dtype=bool)])
    assert -0.3 <= np.min(drawn) < -0.25 and 0.25 < np.max(drawn) <= 0.3


def test_a_stretch_of_time_is_cut_out_of_training():
    joints = np.arange(1, 11.0)[:, None, None, None] * np.ones((1, 1, 5, 3))
    lengths, starts = set(), set()
    for seed in range(200):
        sequence, mask = SkeletonTransform(10, center=None, crop=0.5)(joints, rng(seed))
        times = sequence[mask][:, 0]
        np.testing.assert_array_equal(np.diff(times), 1)
        lengths.add(len(times))
        starts.add(times[0])
    assert lengths == {5, 6, 7, 8, 9, 10} and starts == {1, 2, 3, 4, 5, 6}
    assert SkeletonTransform(10, crop=0.5)(joints)[1].all()  # not at test


def test_a_drawn_speed_makes_padded_sequences_longer_or_shorter_and_others_uneven():
    joints = np.linspace(1, 2, 20)[:, None, None, None] * np.ones((1, 1, 5, 3))
    lengths = [
        int(SkeletonTransform(50, center=None, speed=1.0)(joints, rng(seed))[1].sum()) for seed in range(99)
    ]
    assert 10 <= min(lengths) < 12 and 36 < max(lengths) <= 40
    paces = []
    for seed in range(99):
        made = SkeletonTransform(21, "resample", center=None, speed=1.0)(joints, rng(seed))[0][:, 0]
        shares = (made - 1).astype("float64")
        np.testing.assert_allclose(shares[[0, -1]], [0, 1], atol=1e-6)
        pace = np.log(shares[10]) / np.log(0.5)
        np.testing.assert_allclose(shares, np.linspace(0, 1, 21) ** pace, atol=1e-5)
        paces.append(pace)
    assert 0.5 <= min(paces) < 0.55 and 1.8 < max(paces) <= 2.0
    assert 30 < sum(pace > 1 for pace in paces) < 70


def test_a_joint_that_drops_out_is_missing_throughout_with_its_bones():
    joints, gone = walk(bodies=1), 0
    for seed in range(100):
        transform = SkeletonTransform(8, center=None, drop=0.2, streams=("joints", "bones"), bones=BONES)
        seen = apart(transform(joints, rng(seed))[0], 6, bodies=1)[:, 0]
        missing = ~seen[..., :3].any(axis=(0, 2))
        np.testing.assert_array_equal(seen[:, missing], 0)
        assert seen[:, ~missing, :3].any(axis=-1).all()
        for joint, parent in ((1, 0), (2, 1), (3, 1)):
            assert seen[:, joint, 3:].any() == (not missing[joint] and not missing[parent])
        gone += missing.sum()
    assert 70 < gone < 130  # of 500
    seen = apart(
        SkeletonTransform(8, center=1, drop=0.99, streams=("posture", "joints"))(joints, rng())[0], 6, 1
    )
    assert seen[1:, 0, 1, 3:].any(axis=-1).all()  # the center stays


def test_a_transform_with_streams_is_the_same_after_json():
    transform = SkeletonTransform(
        upright=((1,), (0,)), streams=STREAMS, bones=BONES, hands=(1, 4), speed=0.5, drop=0.1
    )
    assert SkeletonTransform(**json.loads(json.dumps(asdict(transform)))) == transform


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"view": 181}, "`view` must be from 0 to 180. Received: view=181"),
        ({"shear": 1.0}, "`shear` must be at least 0 and below 1. Received: shear=1.0"),
        ({"drop": -0.1}, "`drop` must be at least 0 and below 1. Received: drop=-0.1"),
        ({"crop": 0}, "`crop` must be above 0 and at most 1. Received: crop=0"),
        ({"speed": -1}, "`speed` must be from 0 to 9.0. Received: speed=-1"),
        ({"upright": ((1,),)}, "`upright` must be joints at two ends. Received: upright=((1,),)"),
        ({"streams": ("bone",)}, "`streams` must be some of joints, bones, velocities, bone_velo"),
        ({"streams": ()}, "`streams` must be some of joints, bones"),
        ({"streams": ("joints", "joints")}, "each once. Received: streams=('joints', 'joints')"),
        ({"streams": ("bones",)}, "the stream 'bones' needs `bones`"),
        ({"streams": ("posture",), "center": None}, "the stream 'posture' needs a `center`"),
        ({"streams": ("distances",)}, "the stream 'distances' needs `hands`"),
        ({"streams": ("distances",), "hands": (1, 2), "center": None}, "needs a `center`"),
        ({"hands": (1, 2, 3)}, "`hands` must be two joints. Received: hands=(1, 2, 3)"),
        ({"bones": ((0, 1, 2),)}, "`bones` must be pairs of joints. Received: bones=((0, 1, 2),)"),
    ],
)
def test_what_cannot_be_is_named(arguments, message):
    with pytest.raises(UserError) as caught:
        SkeletonTransform(**arguments)
    assert message in str(caught.value)


def test_bones_of_joints_that_are_not_there_are_refused():
    with pytest.raises(UserError, match="`bones` names joint 7, but the joints are 0 to 4"):
        SkeletonTransform(8, streams=("bones",), bones=((0, 7),))(walk())
    with pytest.raises(UserError, match="`hands` names joint 5, but the joints are 0 to 4"):
        SkeletonTransform(8, streams=("distances",), hands=(0, 5))(walk())


def test_a_recipe_takes_bones_and_trunk_from_the_layout():
    table = SkeletonTable(layout="kinect20", upright=True, streams=["joints", "bones"])
    transform = table.transform
    assert transform.upright == ((2,), (0,)) and len(transform.bones) == 19
    assert (0, 1) in transform.bones and (4, 5) in transform.bones  # spine on pelvis, elbow on shoulder
    assert transform.hands is None
    assert SkeletonTable(layout="kinect20", streams=["distances"]).transform.hands == (7, 11)
    assert SkeletonTable(layout="coco17", streams=["distances"]).transform.hands == (9, 10)  # its wrists
    for values in ({"upright": True}, {"streams": ["bones"]}, {"streams": ["distances"]}):
        recipe = {"model": {"name": "stacked_rnn"}, "data": {"dataset": "poses"}, "skeleton": values}
        with pytest.raises(UserError, match="names joints, so `layout` must name the body: ntu25"):
            training.parse_recipe(recipe)
