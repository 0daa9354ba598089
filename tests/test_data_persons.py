"""Persons of a sequence: which are taken, in which order, and what becomes of joints that were not seen."""

import numpy as np
import pytest

from keras_actrec.data import Pose, SkeletonTransform, preprocessor_of, write_pose
from keras_actrec.data.persons import Persons, Seen, movement, sequence_of
from keras_actrec.data.preprocessors import SkeletonPreprocessor
from keras_actrec.data.skeletons import SkeletonSteps
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend


def crowd(steps, frames=5, joints=3):
    """A person for each step, who stands at 10, 20, ... and moves so far along x from frame to frame."""
    places = np.ones((frames, len(steps), joints, 2), "float32")
    for person, step in enumerate(steps):
        places[:, person, :, 0] = 10 * (person + 1) + step * np.arange(frames)[:, None]
    return places


def test_a_person_moves_as_far_as_its_joints_in_the_mean():
    joints = crowd([0, 2, 0.5])
    np.testing.assert_allclose(movement(joints), [0, 8, 2])
    joints[:, 1, 0] += 1000 * np.arange(5)[:, None] ** 2  # one of three joints
    joints[2, 1, 0] = 0  # missing: neither the way there nor back counts
    # 0-1: (|(1002, 1000)| + 2 + 2) / 3, 1-2 and 2-3: 2, 3-4: (|(7002, 7000)| + 2 + 2) / 3
    expected = (np.hypot(1002, 1000) + 4) / 3 + 4 + (np.hypot(7002, 7000) + 4) / 3
    np.testing.assert_allclose(movement(joints)[1], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("steps", "bodies", "order"),
    [
        ([0, 3, 1], 2, [1, 2]),
        ([0, 3, 1], 1, [1]),
        ([1, 1, 2], 3, [2, 0, 1]),  # of equal ones the file's first
        ([5], 2, [0, None]),
        ([1, 2], None, [0, 1]),
    ],
)
def test_those_who_move_most_are_taken_and_absent_ones_are_zeros(steps, bodies, order):
    joints = crowd(steps)
    made = Persons(bodies)(Pose(joints))
    assert made.shape == (5, bodies or len(steps), 3, 3) and made.dtype == np.float32
    for place, person in enumerate(order):
        expected = 0 if person is None else joints[:, person]
        np.testing.assert_array_equal(made[:, place, :, :2], expected)
    assert not made[..., 2].any()


def test_gaps_are_bridged_up_to_a_limit_and_what_is_longer_stays_missing():
    joints = np.zeros((9, 1, 2, 2), "float32")
    joints[:, 0, :, 0] = np.arange(1, 10)[:, None]
    joints[:, 0, :, 1] = 5
    joints[2:4, 0, 0] = 0  # two frames
    joints[1:4, 0, 1] = 0  # three
    joints[8, 0, 0] = 0  # nothing comes after it
    made = Persons(gap=2)(Pose(joints))[:, 0]
    np.testing.assert_allclose(made[:, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8, 0])
    np.testing.assert_allclose(made[:, 1, 0], [1, 0, 0, 0, 5, 6, 7, 8, 9])
    assert (made[2:4, 0, 1] == 5).all()
    np.testing.assert_array_equal(Persons()(Pose(joints))[..., :2], joints)
    np.testing.assert_allclose(Persons(gap=3)(Pose(joints))[:, 0, 1, 0], np.arange(1, 10))


def test_somebody_who_is_seen_every_other_frame_has_moved_too():
    joints = crowd([10, 1])
    joints[1::2, 0] = 0
    assert (Persons(bodies=1, gap=1)(Pose(joints))[:, 0, 0, 0] == [10, 20, 30, 40, 50]).all()
    assert Persons(bodies=1)(Pose(joints))[0, 0, 0, 0] == 20  # who is not bridged has not


def test_a_low_score_was_not_seen_and_may_be_bridged():
    joints = crowd([1], frames=4)
    joints[1, 0, 0] = 900
    scores = np.ones((4, 1, 3), "float32")
    scores[1, 0, 0] = 0.1
    pose = Pose(joints, scores)
    assert (Persons()(pose)[1, 0, 0, :2] == 900).all()
    assert not Persons(min_score=0.3)(pose)[1, 0, 0].any()
    np.testing.assert_allclose(Persons(min_score=0.3, gap=1)(pose)[:, 0, 0, 0], [10, 11, 12, 13])
    np.testing.assert_array_equal(
        Persons(min_score=0.3)(Pose(joints))[..., :2], joints
    )  # no scores, no limit


def test_scores_are_a_fourth_coordinate_that_nothing_moves():
    rng = np.random.default_rng(0)
    joints, scores = rng.normal(5, 1, (6, 1, 17, 3)), rng.random((6, 1, 17))
    joints[2, 0, 4] = 0
    made = Persons(scores=True)(Pose(joints.astype("float32"), scores.astype("float32")))
    assert made.shape == (6, 1, 17, 4) and made[2, 0, 4, 3] == 0
    plain = Persons()(Pose(joints.astype("float32")))
    transform = SkeletonTransform(
        6, center=(11, 12), align=(12, 11), rotation=30, velocity=True, unit_size=True
    )
    seen = transform(made, np.random.default_rng(1))[0].reshape(6, 17, 7)
    without = transform(plain, np.random.default_rng(1))[0].reshape(6, 17, 6)
    np.testing.assert_allclose(np.delete(seen, 3, axis=-1), without, atol=1e-6)
    np.testing.assert_allclose(seen[..., 3], made[:, 0, :, 3], atol=1e-7)
    steps = SkeletonTransform(6, center=1, velocity=True)
    np.testing.assert_allclose(
        SkeletonSteps(steps)(made).reshape(6, 17, 7), steps(made)[0].reshape(6, 17, 7), atol=1e-6
    )
    swapped = SkeletonTransform(6, center=None, mirror=((0, 1),))
    for seed in (1, 3):
        mirrored = swapped(made, np.random.default_rng(seed))[0].reshape(6, 17, 4)
        is_swapped = np.random.default_rng(seed).random() < 0.5
        np.testing.assert_allclose(mirrored[:, 0, 3], made[:, 0, int(is_swapped), 3])
    assert Persons(scores=True)(Pose(joints.astype("float32")))[..., 3].sum() == 6 * 17 - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bodies": 0}, "`bodies` must be a whole number from 1 to 64. Received: bodies=0"),
        ({"bodies": 65}, "`bodies` must be a whole number from 1 to 64"),
        ({"gap": -1}, "`gap` must be a whole number from 0 to 10000"),
        ({"min_score": -0.1}, "`min_score` must be 0 or more. Received: min_score=-0.1"),
        ({"min_score": float("nan")}, "`min_score` must be 0 or more"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        Persons(**arguments)


def seen(x, y=0.0, track=None, score=1.0):
    joints = np.array([[0, 0], [10, 0], [0, 20], [10, 20]], "float32") + np.float32([x, y]) + 100
    return Seen(joints, np.full(4, score, "float32"), track)


def test_two_who_pass_each_other_are_told_apart_by_their_tracks_alone():
    frames = {
        t: [seen(10 * t, track="a"), seen(100 - 10 * t, track="b")][:: 1 if t % 2 else -1] for t in range(11)
    }
    joints, scores = sequence_of(frames)
    assert joints.shape == (11, 2, 4, 2) and (scores == 1).all()
    rising = int(joints[0, 0, 0, 0] != 100)
    np.testing.assert_allclose(joints[:, rising, 0, 0], 100 + 10 * np.arange(11))
    np.testing.assert_allclose(joints[:, 1 - rising, 0, 0], 200 - 10 * np.arange(11))


def test_somebody_who_is_lost_for_a_while_comes_back_and_a_stranger_far_away_is_another():
    frames = {t: [seen(t)] for t in range(20) if not 5 <= t < 12}
    joints, _ = sequence_of(frames)
    assert joints.shape[:2] == (20, 1) and not joints[5:12].any()
    frames |= {t: [*frames.get(t, []), seen(500 + t)] for t in range(8, 20)}
    joints, _ = sequence_of(frames)
    assert joints.shape[:2] == (20, 2) and not joints[:8, 1].any() and (joints[8:, 1, 0, 0] >= 600).all()


def test_a_track_that_two_have_in_one_frame_tells_nothing():
    frames = {t: [seen(t, track=0), seen(500, track=0)][:: 1 if t % 2 else -1] for t in range(9)}
    frames[9] = [seen(9, track=0)]
    joints, _ = sequence_of(frames)
    assert joints.shape[:2] == (10, 2)
    moving = int(np.argmin(joints[0, :, 0, 0]))
    np.testing.assert_allclose(joints[:, moving, 0, 0], 100 + np.arange(10))
    assert (joints[:9, 1 - moving, 0, 0] == 600).all() and not joints[9, 1 - moving].any()


@pytest.mark.parametrize("first", [0, 2], ids=["all of it first", "one joint first"])
def test_a_sighting_of_one_joint_is_of_the_person_that_it_belongs_to(first):
    frames = {t: [seen(t)] for t in range(12)}
    for t in range(first, 12, 4):
        frames[(t + 2) % 12][0].joints[1:] = 0  # only the first joint
    joints, _ = sequence_of(frames)
    assert joints.shape[:2] == (12, 1)
    np.testing.assert_allclose(joints[:, 0, 0, 0], 100 + np.arange(12))


def test_of_many_the_eight_that_move_most_are_kept():
    frames = {t: [seen(1000 * n + n * t / 10) for n in range(12)] for t in range(4)}
    joints, _ = sequence_of(frames)
    assert joints.shape[1] == 8
    assert sorted(joints[0, :, 0, 0].tolist()) == [1000 * n + 100 for n in range(4, 12)]


def test_a_crowd_takes_neither_time_nor_memory():
    frames = {t: [seen(97 * n % 5000, 31 * n % 5000) for n in range(2000)] for t in range(3)}
    joints, _ = sequence_of(frames)
    assert joints.shape == (3, 8, 4, 2)
    joints, _ = sequence_of({t: [seen(0, track=t)] for t in range(3000)})
    assert joints.shape == (3000, 8, 4, 2)


def test_a_preprocessor_keeps_its_persons_and_one_of_an_older_file_has_none(tmp_path):
    persons = Persons(bodies=2, min_score=0.2, gap=3, scores=True)
    made = SkeletonPreprocessor("poses", SkeletonTransform(5, center=0), layout="coco17", persons=persons)
    values = made.to_json()
    assert preprocessor_of(values) == made
    for name in ("persons", "layout"):
        del values[name]
    assert preprocessor_of(values) == SkeletonPreprocessor("poses", SkeletonTransform(5, center=0))
    write_pose(tmp_path / "a.npz", crowd([1, 3, 2], joints=17), scores=np.ones((5, 3, 17)))
    steps, _ = made.read(tmp_path / "a.npz")
    assert steps.shape == (5, 2 * 17 * 4)
    np.testing.assert_allclose(steps.reshape(5, 2, 17, 4)[:, 0, 0, 0], 3 * np.arange(5))
    write_pose(tmp_path / "b.npz", crowd([1], joints=18), layout="openpose18")
    with pytest.raises(
        UserError, match="it has openpose18, and skeleton.layout is coco17 with 17 joints; wr"
    ):
        made.read(tmp_path / "b.npz")
    write_pose(tmp_path / "c.npz", crowd([1], joints=5))
    with pytest.raises(UserError, match="it has 5 joints, and skeleton.layout is coco17 with 17 joints"):
        made.read(tmp_path / "c.npz")
