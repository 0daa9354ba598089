import json
from dataclasses import asdict

import keras
import numpy as np
import pytest

from keras_actrec.data import FollowEpoch, Record, SkeletonDataset, SkeletonTransform, clip_rng
from keras_actrec.errors import UserError

BODIES, JOINTS = 2, 5


def walk(frames=12, seed=0, bodies=BODIES):
    return np.random.default_rng(seed).normal(1, 1, (frames, bodies, JOINTS, 3)).astype("float32")


def apart(sequence, frames, channels=3):
    """From `(T, D)` to `(T, bodies, joints, channels)`."""
    return sequence.reshape(frames, -1, JOINTS, channels)


def distances(joints):
    """Between all joints of all bodies of a frame."""
    points = joints.reshape(len(joints), -1, 3)
    return np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)


class Angles:
    """A generator that gives chosen numbers for each call and notes the ranges."""

    def __init__(self, *given):
        self.given = list(given)
        self.asked = []

    def uniform(self, low, high, size=None):
        self.asked.append((low, high, size))
        return np.array(self.given.pop(0), "float64")

    def integers(self, high):
        return 0


def test_the_joint_of_the_first_frame_of_body_0_is_the_origin_for_all():
    joints = walk()
    sequence, mask = SkeletonTransform(12, center=2)(joints)
    np.testing.assert_allclose(apart(sequence, 12), joints - joints[0, 0, 2], atol=1e-6)
    np.testing.assert_array_equal(apart(sequence, 12)[0, 0, 2], 0)
    assert mask.all() and sequence.dtype == np.float32 and mask.dtype == bool


def test_without_a_center_nothing_moves():
    joints = walk()
    np.testing.assert_array_equal(SkeletonTransform(12, center=None)(joints)[0], joints.reshape(12, -1))


def test_the_result_is_flat_with_bodies_then_joints_then_channels():
    joints = np.arange(2 * 2 * 5 * 3, dtype="float32").reshape(2, 2, 5, 3) + 1
    sequence, _ = SkeletonTransform(2, center=None)(joints)
    assert sequence.shape == (2, 30) and sequence[0].tolist() == list(range(1, 31))
    assert SkeletonTransform()(np.ones((10, 2, 25, 3)))[0].shape == (300, 150)  # EleAttG on NTU RGB+D


def test_padding_is_zero_and_masked():
    joints = walk(4)
    sequence, mask = SkeletonTransform(6, velocity=True)(joints)
    assert mask.tolist() == [True] * 4 + [False] * 2
    np.testing.assert_array_equal(sequence[4:], 0)
    np.testing.assert_allclose(apart(sequence, 6, 6)[:4, ..., :3], joints - joints[0, 0, 1], atol=1e-6)


def test_a_longer_sequence_gives_a_window_that_is_drawn_or_centered():
    joints = walk(12)
    transform = SkeletonTransform(4, center=None)
    sequence, mask = transform(joints)
    np.testing.assert_array_equal(apart(sequence, 4), joints[4:8])
    assert mask.all()
    starts = set()
    for seed in range(80):
        sequence, _ = transform(joints, np.random.default_rng(seed))
        (start,) = [n for n in range(9) if np.array_equal(apart(sequence, 4), joints[n : n + 4])]
        starts.add(start)
    assert starts == set(range(9))


def test_resampling_is_linear_in_time():
    joints = np.ones((4, 1, JOINTS, 3)) * np.array([1, 2, 4, 8])[:, None, None, None]
    sequence, mask = SkeletonTransform(7, "resample", center=None)(joints)
    np.testing.assert_allclose(sequence[:, 0], [1, 1.5, 2, 3, 4, 6, 8])
    assert mask.all()
    np.testing.assert_allclose(
        SkeletonTransform(3, "resample", center=None)(joints)[0][:, 0], [1, 3, 8]
    )  # 0, 1.5, 3


def test_resampling_keeps_both_ends_and_what_is_linear():
    for frames in range(1, 20):
        line = np.linspace(3, 7, frames)[:, None, None, None] * np.ones((1, JOINTS, 3))
        for length in range(2, 25):
            sequence, _ = SkeletonTransform(length, "resample", center=None)(line)
            expected = np.linspace(3, 7, length) if frames > 1 else np.full(length, 3)
            np.testing.assert_allclose(sequence[:, 0], expected, atol=1e-6)
    assert SkeletonTransform(1, "resample", center=None)(walk(5))[0].tolist() == [walk(5)[2].ravel().tolist()]


def test_resampling_to_the_same_length_changes_nothing():
    np.testing.assert_allclose(
        SkeletonTransform(12, "resample", center=None)(walk())[0], walk().reshape(12, -1), atol=1e-7
    )


def test_the_line_of_two_joints_of_the_first_frame_turns_along_x():
    for seed in range(20):
        joints = walk(seed=seed)
        sequence, _ = SkeletonTransform(12, align=(3, 4))(joints)
        placed = apart(sequence, 12)
        line, before = placed[0, 0, 4] - placed[0, 0, 3], joints[0, 0, 4] - joints[0, 0, 3]
        np.testing.assert_allclose(line, [np.hypot(before[0], before[2]), before[1], 0], atol=1e-5)
        np.testing.assert_allclose(placed[..., 1], (joints - joints[0, 0, 1])[..., 1], atol=1e-5)
        np.testing.assert_allclose(distances(placed), distances(joints), atol=1e-5)


def test_a_quarter_turn_by_hand():
    joints = np.zeros((1, 1, JOINTS, 3))
    joints[0, 0, :3] = [[1, 1, 1], [1, 6, 3], [2, 1, 1]]  # the line from 0 to 1 points along z
    sequence, _ = SkeletonTransform(1, center=0, align=(0, 1))(joints)
    np.testing.assert_allclose(apart(sequence, 1)[0, 0, :3], [[0, 0, 0], [2, 5, 0], [0, 0, -1]], atol=1e-6)


def test_a_view_that_was_turned_gives_the_same_sequence():
    joints = walk().astype("float64")
    c, s = np.cos(2.1), np.sin(2.1)
    turned = joints @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + [3, -1, 2]
    transform = SkeletonTransform(12, align=(0, 4))
    np.testing.assert_allclose(transform(turned)[0], transform(joints)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        # right-handed quarter turns of (1, 2, 3)
        ((90, 0, 0), (1, -3, 2)),
        ((0, 90, 0), (3, 2, -1)),
        ((0, 0, 90), (-2, 1, 3)),
        # first about x, (1, -3, 2), then about z, (3, 1, 2)
        ((90, 0, 90), (3, 1, 2)),
        # about x, (1, -3, 2), y, (2, -3, -1), and z, (3, 2, -1)
        ((90, 90, 90), (3, 2, -1)),
    ],
)
def test_a_rotation_turns_about_x_then_y_then_z(angles, expected):
    joints = np.zeros((1, 1, JOINTS, 3))
    joints[0, 0, 2] = [1, 2, 3]
    rng = Angles(angles)
    sequence, _ = SkeletonTransform(1, center=0, rotation=90)(joints, rng)
    assert rng.asked == [(-90, 90, 3)]
    np.testing.assert_allclose(apart(sequence, 1)[0, 0, 2], expected, atol=1e-6)


def test_a_drawn_rotation_keeps_all_distances_and_is_one_for_the_sequence():
    joints = walk()
    transform = SkeletonTransform(12, rotation=35)
    for seed in range(10):
        turned = apart(transform(joints, np.random.default_rng(seed))[0], 12)
        np.testing.assert_allclose(distances(turned), distances(joints), atol=1e-5)
        np.testing.assert_array_equal(turned[0, 0, 1], 0)
        # one linear map explains all frames and bodies, and it does not mirror
        before = (joints - joints[0, 0, 1]).reshape(-1, 3)
        matrix, *_ = np.linalg.lstsq(before, turned.reshape(-1, 3), rcond=None)
        np.testing.assert_allclose(before @ matrix, turned.reshape(-1, 3), atol=1e-5)
        np.testing.assert_allclose(np.linalg.det(matrix), 1, atol=1e-5)
        # the angles of Rz Ry Rx
        rotation = matrix.T
        x, z = np.arctan2(rotation[2, 1], rotation[2, 2]), np.arctan2(rotation[1, 0], rotation[0, 0])
        y = -np.arcsin(rotation[2, 0])
        assert np.all(np.abs(np.degrees([x, y, z])) <= 35 + 1e-3)
        assert np.abs(np.degrees([x, y, z])).max() > 3


def test_a_drawn_scale_changes_all_distances_alike():
    joints = walk()
    factors = []
    for seed in range(50):
        sequence, _ = SkeletonTransform(12, scale=0.2)(joints, np.random.default_rng(seed))
        ratio = distances(apart(sequence, 12))[:, 0, 1:] / distances(joints)[:, 0, 1:]
        np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)
        factors.append(ratio[0, 0])
    assert 0.8 <= min(factors) < 0.85 and 1.15 < max(factors) <= 1.2


class Coin:
    """A generator whose next draw from 0 to 1 is known."""

    def __init__(self, value):
        self.value = value

    def random(self):
        return self.value

    def integers(self, high):
        return 0


@pytest.mark.parametrize(("coin", "turned"), [(0.49, True), (0.5, False)])
def test_a_mirror_changes_sides_and_the_sign_of_x(coin, turned):
    joints = walk(3)
    transform = SkeletonTransform(3, center=None, mirror=[[0, 3]])
    placed = apart(transform(joints, Coin(coin))[0], 3)
    if turned:
        np.testing.assert_array_equal(placed[:, :, 0], joints[:, :, 3] * [-1, 1, 1])
        np.testing.assert_array_equal(placed[:, :, 3], joints[:, :, 0] * [-1, 1, 1])
        np.testing.assert_array_equal(placed[:, :, 4], joints[:, :, 4] * [-1, 1, 1])
    else:
        np.testing.assert_array_equal(placed, joints)
    np.testing.assert_array_equal(apart(transform(joints)[0], 3), joints)  # without a generator


def test_in_the_mirror_the_aligned_joints_keep_their_sides():
    joints = walk()
    transform = SkeletonTransform(12, align=(3, 4), mirror=((3, 4), (0, 2)))
    placed, straight = (apart(transform(joints, Coin(value))[0], 12) for value in (0, 1))
    # Where the center is on no side, the whole body is the other one's picture.
    np.testing.assert_allclose(placed[:, :, [2, 1, 0, 4, 3]], straight * [-1, 1, 1], atol=1e-5)


def test_half_of_the_sequences_are_mirrored():
    joints, transform = walk(1), SkeletonTransform(1, center=None, mirror=((0, 1),))
    placed = [transform(joints, clip_rng(0, epoch, 0))[0][0, 6] for epoch in range(400)]
    signs = [float(np.sign(value / joints[0, 0, 2, 0])) for value in placed]
    assert 160 < signs.count(-1) < 240 and signs.count(-1) + signs.count(1) == 400


def test_velocity_is_the_step_from_the_frame_before():
    joints = walk(4)
    sequence, _ = SkeletonTransform(4, center=None, velocity=True)(joints)
    assert sequence.shape == (4, BODIES * JOINTS * 6)
    channels = apart(sequence, 4, 6)
    np.testing.assert_array_equal(channels[..., :3], joints)
    np.testing.assert_array_equal(channels[0, ..., 3:], 0)
    np.testing.assert_allclose(channels[1:, ..., 3:], joints[1:] - joints[:-1], atol=1e-6)


@pytest.mark.parametrize("length", ["pad", "resample"])
def test_a_missing_body_stays_zero(length):
    joints = walk()
    joints[:, 1] = 0
    transform = SkeletonTransform(9, length, align=(2, 3), rotation=35, scale=0.1, velocity=True)
    for rng in (None, np.random.default_rng(0)):
        channels = apart(transform(joints, rng)[0], 9, 6)
        np.testing.assert_array_equal(channels[:, 1], 0)
        assert channels[1:, 0].all()


def test_a_body_that_comes_and_goes_is_zero_where_it_is_missing_and_makes_no_step():
    joints = walk(5)
    joints[2, 1] = 0
    channels = apart(
        SkeletonTransform(5, rotation=35, velocity=True)(joints, np.random.default_rng(0))[0], 5, 6
    )
    np.testing.assert_array_equal(channels[2, 1], 0)
    assert channels[[1, 3, 4], 1, :, :3].all()
    np.testing.assert_array_equal(channels[[2, 3], 1, :, 3:], 0)
    assert channels[[1, 4], 1, :, 3:].all()


def test_nothing_is_interpolated_between_a_body_and_its_absence():
    joints = np.ones((3, 2, JOINTS, 3)) * np.array([2, 4, 6])[:, None, None, None]
    joints[1:, 1] = 0
    sequence, _ = SkeletonTransform(9, "resample", center=None, velocity=True)(joints)
    channels = apart(sequence, 9, 6)
    np.testing.assert_allclose(channels[:, 0, 0, 0], np.linspace(2, 6, 9))
    assert channels[:, 1, 0, 0].tolist() == [2, 2, 0, 0, 0, 0, 0, 0, 0]  # at .5 the later frame counts
    np.testing.assert_array_equal(channels[:, 1, :, 3:], 0)


def test_the_first_frame_is_the_first_that_shows_body_0():
    joints = walk()
    joints[:3, 0] = 0
    placed = apart(SkeletonTransform(12)(joints)[0], 12)
    np.testing.assert_array_equal(placed[3, 0, 1], 0)
    np.testing.assert_allclose(placed[0, 1], joints[0, 1] - joints[3, 0, 1], atol=1e-6)


def test_where_body_0_is_never_there_the_next_one_is_the_measure():
    joints = walk()
    joints[:, 0] = 0
    joints[0, 1] = 0
    placed = apart(SkeletonTransform(12)(joints)[0], 12)
    np.testing.assert_array_equal(placed[1, 1, 1], 0)
    np.testing.assert_array_equal(placed[:, 0], 0)


def test_a_missing_joint_stays_zero_and_is_not_the_measure():
    joints = walk()
    joints[:2, 0, 1] = joints[4, 1, 3] = 0  # the center in two frames, another joint in one
    placed = apart(
        SkeletonTransform(12, rotation=35, velocity=True)(joints, np.random.default_rng(0))[0], 12, 6
    )
    np.testing.assert_array_equal(placed[:2, 0, 1], 0)
    np.testing.assert_array_equal(placed[4, 1, 3], 0)
    np.testing.assert_array_equal(placed[5, 1, 3, 3:], 0)
    assert placed[5, 1, 2, 3:].all() and placed[6, 1, 3].all()
    np.testing.assert_array_equal(placed[2, 0, 1, :3], 0)  # the first frame that has the center
    np.testing.assert_allclose(
        np.linalg.norm(placed[0, 0, 2, :3]), np.linalg.norm(joints[0, 0, 2] - joints[2, 0, 1]), rtol=1e-5
    )


def test_where_the_joints_in_question_are_never_there_nothing_is_moved():
    joints = walk()
    joints[:, :, 1] = 0
    sequence, _ = SkeletonTransform(12, align=(1, 2))(joints)
    np.testing.assert_allclose(sequence, joints.reshape(12, -1), atol=1e-6)


def test_a_sequence_of_nothing_is_nothing():
    transform = SkeletonTransform(5, align=(0, 1), rotation=35, velocity=True)
    sequence, mask = transform(np.zeros((3, 2, JOINTS, 3)), np.random.default_rng(0))
    assert not sequence.any() and mask.tolist() == [True] * 3 + [False] * 2


def test_without_a_generator_nothing_is_drawn_and_the_input_is_left_alone():
    joints = walk()
    before = joints.copy()
    plain, drawn = SkeletonTransform(12), SkeletonTransform(12, rotation=35, scale=0.1)
    np.testing.assert_array_equal(drawn(joints)[0], plain(joints)[0])
    drawn(joints, np.random.default_rng(0))
    np.testing.assert_array_equal(joints, before)


def test_a_transform_is_the_same_after_json():
    transform = SkeletonTransform(8, "resample", align=(12, 16), rotation=35.0, mirror=((4, 8), (5, 9)))
    again = SkeletonTransform(**json.loads(json.dumps(asdict(transform))))
    assert again == transform and hash(again) == hash(transform)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "`frames` must be a whole number from 1 to 65536. Received: frames=0"),
        ({"length": "cut"}, "`length` must be one of pad, resample. Received: length='cut'"),
        ({"center": -1}, "`center` must be a joint, 0 or more. Received: center=-1"),
        ({"align": (1,)}, "`align` must be two joints."),
        ({"align": (1, 1)}, "`align` must be two joints."),
        ({"mirror": ((1, 2, 3),)}, "`mirror` must be pairs of joints, each joint once. Received: mirror="),
        ({"mirror": ((1, 2), (2, 3))}, "`mirror` must be pairs of joints, each joint once."),
        ({"mirror": ((1, -2),)}, "`mirror` must be pairs of joints, each joint once."),
        ({"rotation": 181}, "`rotation` must be from 0 to 180. Received: rotation=181"),
        ({"scale": 1.0}, "`scale` must be at least 0 and below 1. Received: scale=1.0"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        SkeletonTransform(**arguments)


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (np.zeros((4, 25, 3)), r"must have the shape \(N, bodies, joints, 3\). Received: \(4, 25, 3\)"),
        (np.zeros((4, 1, 25, 2)), r"must have the shape .* Received: \(4, 1, 25, 2\)"),
        (np.zeros((0, 1, 25, 3)), r"must have the shape .* Received: \(0, 1, 25, 3\)"),
        (np.full((4, 1, 25, 3), np.nan), "`joints` must be numbers; a missing joint is zero. Frame 0"),
        (np.zeros((4, 1, 16, 3)), "`align` names joint 16, but the joints are 0 to 15"),
        (np.zeros((4, 1, 1, 3)), "`center` names joint 1, but the joints are 0 to 0"),
    ],
)
def test_bad_joints_are_refused(joints, message):
    with pytest.raises(UserError, match=message):
        SkeletonTransform(align=(12, 16))(joints)


def test_a_mirror_of_joints_that_are_not_there_is_refused():
    with pytest.raises(UserError, match="`mirror` names joint 19, but the joints are 0 to 15"):
        SkeletonTransform(mirror=((15, 19),))(np.zeros((4, 1, 16, 3)))


# ---- SkeletonDataset

COUNT = 7


def read(record):
    number = int(record.path)
    return walk(5 + number, seed=number)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skeletons")
    return [(Record(folder / str(number), str(number), number % 3), read) for number in range(COUNT)]


def epochs(dataset, count=3):
    batches = []
    for _ in range(count):
        batches += [dataset[index] for index in range(len(dataset))]
        dataset.on_epoch_end()
    return batches


def test_a_batch_has_the_sequences_and_masks_in_order(items):
    batches = epochs(SkeletonDataset(items, SkeletonTransform(8), batch_size=4, masked=True), 1)
    assert [list(x) for x, _ in batches] == [["features", "mask"]] * 2
    x, y = batches[0]
    assert x["features"].shape == (4, 8, BODIES * JOINTS * 3) and x["features"].dtype == np.float32
    assert x["mask"].dtype == bool and x["mask"].sum(axis=1).tolist() == [5, 6, 7, 8]
    assert y.dtype == np.int32 and [*y, *batches[1][1]] == [0, 1, 2, 0, 1, 2, 0]
    np.testing.assert_array_equal(x["features"][2], SkeletonTransform(8)(walk(7, seed=2))[0])
    plain, _ = SkeletonDataset(items, SkeletonTransform(8))[0]
    np.testing.assert_array_equal(plain[:4], x["features"])


def test_a_sequence_is_a_function_of_seed_epoch_and_place(items):
    transform = SkeletonTransform(6, rotation=35, scale=0.1)
    dataset = SkeletonDataset(items, transform, batch_size=3, seed=7, training=True)
    dataset.epoch = 5
    found = np.concatenate([dataset[index][0] for index in range(len(dataset))])
    expected = [transform(read(record), clip_rng(7, 5, place))[0] for place, (record, _) in enumerate(items)]
    order = [next(p for p in range(COUNT) if np.array_equal(sequence, expected[p])) for sequence in found]
    assert sorted(order) == list(range(COUNT)) and order != list(range(COUNT))


@pytest.mark.parametrize("workers", [1, 4])
def test_threads_change_no_batch(items, workers):
    transform = SkeletonTransform(6, rotation=35)
    arguments = {"batch_size": 2, "seed": 3, "training": True, "masked": True}
    one = epochs(SkeletonDataset(items, transform, **arguments))
    many = epochs(SkeletonDataset(items, transform, workers=workers, **arguments))
    for (x, y), (other, labels) in zip(one, many, strict=True):
        np.testing.assert_array_equal(y, labels)
        for name in x:
            np.testing.assert_array_equal(x[name], other[name])


def test_joints_that_are_refused_are_named(items):
    bad = (items[0][0], lambda record: np.zeros((3, 25)))
    with pytest.raises(UserError, match=r"skeletons.*/0: `joints` must have the shape"):
        SkeletonDataset([bad], SkeletonTransform(4))[0]


def test_a_network_is_trained_on_it(items):
    dataset = SkeletonDataset(
        items, SkeletonTransform(8, rotation=35), batch_size=4, training=True, masked=True, workers=2
    )
    features, mask = keras.Input((8, 30), name="features"), keras.Input((8,), dtype="bool", name="mask")
    steps = keras.layers.Dense(4)(features)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(steps, mask=mask))
    model = keras.Model({"features": features, "mask": mask}, outputs)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(dataset, epochs=2, shuffle=False, verbose=0, callbacks=[FollowEpoch(dataset)]).history
    assert np.isfinite(history["loss"]).all()
