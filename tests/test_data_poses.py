import json

import numpy as np
import pytest

from keras_actrec.data import VideoError, body, read_dataset, read_pose, read_skeleton, write_pose
from keras_actrec.data.datasets import read_persons
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

JOINTS = np.arange(4 * 2 * 3 * 2, dtype="float32").reshape(4, 2, 3, 2) / 4


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_a_pose_comes_back_as_it_was_written(suffix, tmp_path):
    file = tmp_path / f"deep/a{suffix}"
    scores = JOINTS[..., 0] / 100
    write_pose(file, JOINTS, scores=scores, fps=12.5, names=["hip", "knee", "ankle é"])
    pose = read_pose(file)
    np.testing.assert_array_equal(pose.joints, JOINTS)
    np.testing.assert_array_equal(pose.scores, scores)
    assert pose.joints.dtype == pose.scores.dtype == np.float32
    assert (pose.fps, pose.names) == (12.5, ("hip", "knee", "ankle é"))
    write_pose(file, JOINTS)
    assert read_pose(file).scores is read_pose(file).fps is read_pose(file).names is None
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_layout_is_that_of_the_documentation(tmp_path):
    np.savez(tmp_path / "a.npz", joints=JOINTS, scores=JOINTS[..., 0], fps=np.array(30), extra=1)
    (tmp_path / "a.json").write_text(json.dumps({"joints": [[[[1, 2, 3]]]], "names": ["nose"], "extra": {}}))
    assert read_pose(tmp_path / "a.npz").fps == 30
    assert read_pose(tmp_path / "a.json").joints.tolist() == [[[[1, 2, 3]]]]
    assert read_pose(tmp_path / "a.json").names == ("nose",)


@pytest.mark.parametrize(
    "content, message",
    [
        ({}, "`joints` is missing"),
        ({"joints": [[[1, 2]]]}, r"`joints` must be \(T, bodies, joints, 2 or 3\)"),
        ({"joints": [[[[1]]]]}, r"`joints` must be \(T, bodies, joints, 2 or 3\)"),
        ({"joints": []}, r"`joints` must be \(T, bodies, joints, 2 or 3\)"),
        ({"joints": [[[[1, 2]], [[1]]]]}, "inhomogeneous"),
        ({"joints": [[[["a", 2]]]]}, "`joints` must be numbers. Received: <U"),
        ({"joints": [[[["1", "2"]]]]}, "`joints` must be numbers. Received: <U"),
        ({"joints": [[[[True, False]]]]}, "`joints` must be numbers. Received: bool"),
        ({"joints": [[[[1, 2]]]], "layout": "coco17"}, "coco17 has 17 joints, and these are 1"),
        ({"joints": [[[[1, 2]]]], "layout": "coco"}, "`layout` must be the name of a body; did you mean"),
        ({"joints": [[[[1e300, 2]]]]}, "`joints` has numbers that are not finite"),
        ({"joints": [[[[1, 2]]]], "scores": [[["1"]]]}, "`scores` must be numbers. Received: <U"),
        ({"joints": [[[[float("inf"), 2]]]]}, "`joints` has numbers that are not finite; write zeros"),
        ({"joints": [[[[1, 2]]]], "scores": [[[float("inf")]]]}, "`scores` has numbers that are not finite"),
        ({"joints": [[[[1, 2]]]], "scores": [[1]]}, r"`scores` must be \(1, 1, 1\)"),
        ({"joints": [[[[1, 2]]]], "fps": 0}, "`fps` must be above 0"),
        ({"joints": [[[[1, 2]]]], "names": ["a", "b"]}, "`names` must name 1 joints"),
        (7, "must hold an object"),
    ],
)
def test_a_pose_that_does_not_fit_together_is_refused(content, message, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(VideoError, match=message) as error:
        read_pose(tmp_path / "a.json")
    assert error.value.status == "unreadable"
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_what_is_not_a_number_was_not_seen(suffix, tmp_path):
    joints, scores = JOINTS + 1, JOINTS[..., 0] + 1
    joints[1, 0, 2, 1] = scores[3, 1, 0] = np.nan
    write_pose(tmp_path / f"a{suffix}", joints, scores=scores, layout=None)
    pose = read_pose(tmp_path / f"a{suffix}")
    assert pose.joints[1, 0, 2].tolist() == [0, 0] and pose.scores[1, 0, 2] == pose.scores[3, 1, 0] == 0
    assert np.count_nonzero(pose.joints) == joints.size - 2
    (tmp_path / "b.json").write_text(json.dumps({"joints": [[[[1, 2], [None, 5]]]]}))
    assert read_pose(tmp_path / "b.json").joints.tolist() == [[[[1, 2], [0, 0]]]]


def test_a_layout_is_written_or_follows_from_the_names(tmp_path):
    joints = np.ones((2, 1, 17, 2))
    write_pose(tmp_path / "a.json", joints, layout="coco17")
    assert read_pose(tmp_path / "a.json").layout == "coco17"
    names = [name.replace("_", " ").title() for name in body("coco17").joints]
    write_pose(tmp_path / "b.npz", joints, names=names)
    assert read_pose(tmp_path / "b.npz").layout == "coco17"
    write_pose(tmp_path / "c.npz", joints)
    assert read_pose(tmp_path / "c.npz").layout is None


def test_complex_numbers_are_no_joints(tmp_path):
    np.savez(tmp_path / "a.npz", joints=JOINTS * 1j)
    with pytest.raises(VideoError, match="`joints` must be numbers. Received: complex"):
        read_pose(tmp_path / "a.npz")


def test_a_pickled_object_is_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", joints=np.array([[1], [2, 3]], dtype=object))
    with pytest.raises(VideoError, match="pickled objects and records are never loaded"):
        read_pose(tmp_path / "a.npz")


@pytest.mark.parametrize("suffix", [".npz", ".json"])
@pytest.mark.parametrize(
    "content", [None, b"", b"\x00\xff" * 50, b"PK\x03\x04" + b"\x00" * 60, b"[" * 100_000]
)
def test_what_is_no_pose_file_is_unreadable(suffix, content, tmp_path):
    file = tmp_path / f"a{suffix}"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(VideoError) as error:
        read_pose(file)
    assert error.value.status == "unreadable" and str(file) in str(error.value)


def test_a_pose_file_cut_in_half_is_unreadable(tmp_path):
    write_pose(tmp_path / "a.npz", JOINTS)
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError):
        read_pose(tmp_path / "a.npz")


def test_writing_refuses_another_suffix_and_wrong_shapes(tmp_path):
    with pytest.raises(UserError, match="must end with .json or .npz"):
        write_pose(tmp_path / "a.npy", JOINTS)
    with pytest.raises(UserError, match="`scores` must be"):
        write_pose(tmp_path / "a.npz", JOINTS, scores=JOINTS)
    assert list(tmp_path.iterdir()) == []


def test_poses_are_read_from_class_folders_and_from_a_table(tmp_path):
    write_pose(tmp_path / "wave/1.npz", JOINTS)
    write_pose(tmp_path / "run/2.json", np.pad(JOINTS, [(0, 0)] * 3 + [(0, 1)], constant_values=5))
    manifest = read_dataset("poses", tmp_path)
    assert [(r.path, r.label) for r in manifest.records] == [("run/2.json", 0), ("wave/1.npz", 1)]
    flat, deep = (read_skeleton(manifest.dataset, record) for record in manifest.records[::-1])
    assert flat.shape == (4, 2, 3, 3)
    np.testing.assert_array_equal(flat[..., :2], JOINTS)
    assert not flat[..., 2].any() and (deep[..., 2] == 5).all()
    (tmp_path / "list.csv").write_text(
        "path,label,split,group\nwave/1.npz,b,train,g1\nrun/2.json,a,test,g2\n"
    )
    manifest = read_dataset("poses", tmp_path, manifest="list.csv")
    assert [(r.path, r.split, r.group) for r in manifest.records] == [
        ("wave/1.npz", "train", "g1"),
        ("run/2.json", "test", "g2"),
    ]


def test_a_table_of_poses_that_lists_another_file_is_refused(tmp_path):
    write_pose(tmp_path / "1.npz", JOINTS)
    (tmp_path / "2.mp4").write_bytes(b"x")
    (tmp_path / "list.csv").write_text("path,label\n1.npz,a\n2.mp4,b\n")
    with pytest.raises(UserError, match="2.mp4: joints are read from .csv, .json, .npy, "):
        read_dataset("poses", tmp_path / "list.csv")


def shaped(axes, persons, frames=60, joints=17, coordinates=2):
    """Joints whose values tell where they are in our order, and the same in another order of axes."""
    ours = np.arange(frames * persons * joints * coordinates, dtype="float32")
    ours = ours.reshape(frames, persons, joints, coordinates)
    return ours, ours.transpose(["TMVC".index(axis) for axis in axes])


@pytest.mark.parametrize(
    ("axes", "persons", "coordinates"),
    [
        ("TMVC", 2, 3),
        ("TMVC", 1, 2),
        ("TMVC", 12, 2),  # a crowd in many frames
        ("CTVM", 1, 3),  # ST-GCN
        ("CTVM", 1, 2),
        ("CTVM", 4, 3),
        ("MTVC", 1, 3),  # PYSKL
        ("MTVC", 1, 2),
    ],
)
def test_an_order_of_axes_that_can_be_no_other_is_taken(tmp_path, axes, persons, coordinates):
    ours, given = shaped(axes, persons, coordinates=coordinates)
    scores = given[..., 0] if axes != "CTVM" else given[0]
    np.savez(tmp_path / "a.npz", joints=given, scores=scores)
    pose = read_pose(tmp_path / "a.npz")
    np.testing.assert_array_equal(pose.joints, ours)
    np.testing.assert_array_equal(pose.scores, ours[..., 0])


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 60, 25, 2), "3 frames of 60 persons x 25 joints"),  # ST-GCN of two persons, or PYSKL of three
        ((2, 60, 17, 3), "2 frames of 60 persons x 17 joints"),
        ((2, 60, 17, 2), "2 frames of 60 persons x 17 joints"),
        ((3, 300, 18, 2), "3 frames of 300 persons x 18 joints"),
        ((60, 25, 2, 3), "60 frames of 25 persons x 2 joints"),
        ((60, 25, 3, 2), "60 frames of 25 persons x 3 joints"),
        ((8, 12, 17, 3), "8 frames of 12 persons x 17 joints"),
        ((1, 6, 17, 2), "1 frames of 6 persons x 17 joints"),  # or PYSKL's 6 frames
        ((2, 3, 25, 3), "2 frames of 3 persons x 25 joints"),
    ],
)
def test_an_order_that_is_not_certain_is_refused_until_the_file_says_it(tmp_path, shape, words):
    joints = np.random.default_rng(0).normal(size=shape).astype("float32")
    np.savez(tmp_path / "a.npz", joints=joints)
    with pytest.raises(VideoError) as caught:
        read_pose(tmp_path / "a.npz")
    assert f"`joints` are {shape}, which would be {words}: write `axes` into the file" in str(caught.value)
    np.savez(tmp_path / "a.npz", joints=joints, axes="TMVC")
    np.testing.assert_array_equal(read_pose(tmp_path / "a.npz").joints, joints)


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_a_crowd_that_was_written_is_read(tmp_path, suffix):
    crowd = np.ones((3, 60, 17, 2), "float32")
    write_pose(tmp_path / f"a{suffix}", crowd)
    np.testing.assert_array_equal(read_pose(tmp_path / f"a{suffix}").joints, crowd)


def test_axes_that_are_none_are_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"joints": [[[[1, 2]]]], "axes": "TVC"}))
    with pytest.raises(VideoError, match="`axes` must be the letters T, M, V and C.*Received: axes='TVC'"):
        read_pose(tmp_path / "a.json")


def test_sequences_of_one_recording_are_cut_by_frames(tmp_path):
    write_pose(tmp_path / "a.npz", JOINTS + 1, scores=JOINTS[..., 0])
    (tmp_path / "list.csv").write_text("path,label,start,stop\na.npz,x,0,1\na.npz,y,1,4\na.npz,x,2,9\n")
    records = read_dataset("poses", tmp_path / "list.csv").records
    for record, part in zip(records[:2], (slice(0, 1), slice(1, 4)), strict=True):
        np.testing.assert_array_equal(read_skeleton("poses", record)[..., :2], JOINTS[part] + 1)
        np.testing.assert_array_equal(read_persons("poses", record).scores, JOINTS[part][..., 0])
    with pytest.raises(VideoError, match="it has 4 frames, the sequence is from frame 2 to 9; mend the list"):
        read_skeleton("poses", records[2])
