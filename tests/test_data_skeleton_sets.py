import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import hostile
from keras_actrec.data import Record, VideoError, read_dataset, read_skeleton
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

scipy_io = pytest.importorskip("scipy.io", reason="SciPy is in the extras `skeletons` and `tune`")
scipy_sparse = pytest.importorskip("scipy.sparse")


def write(root, path, *lines):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("\n".join(lines) + "\n")


def rows(manifest):
    return [(r.path, r.label, r.split, r.group, r.fold) for r in manifest.records]


def status_of(dataset, file, **record):
    with pytest.raises(VideoError) as error:
        read_skeleton(dataset, Record(file, file.name, 0, **record))
    assert str(file) in str(error.value) and "\n" not in str(error.value)
    return error.value.status


def test_a_set_without_joints_is_refused_with_those_that_have_them(tmp_path):
    with pytest.raises(UserError, match="`dataset` must be one of basic_motions, jhmdb, .*'ucf101'"):
        read_skeleton("ucf101", Record(tmp_path / "a.avi", "a.avi", 0))


@pytest.mark.parametrize(
    "dataset",
    ["jhmdb", "msr_action3d", "northwestern_ucla", "ntu_rgbd", "poses", "sysu_3d_hoi", "utkinect"],
)
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff" * 400, b"<html>", b"1 2 x", None],
    ids=["empty", "noise", "html", "text", "missing"],
)
def test_a_file_that_is_no_skeleton_file_is_named_with_its_status(dataset, content, tmp_path):
    file = tmp_path / "a.mat"
    if content is not None:
        file.write_bytes(content)
    assert status_of(dataset, file) in ("unreadable", "truncated")


# NTU RGB+D


def ntu_text(*frames):
    """Text of a skeleton file: each frame a list of (body number, joint function of the joint's place)."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for number, joint in bodies:
            lines += [f"{number} 0 1 1 0 0 0 -0.1 0.2 2", "25"]
            lines += [" ".join(map(str, (*joint(place), 1, 2, 3, 4, 5, 6, 7, 8, 2))) for place in range(25)]
    return "\n".join(lines) + "\n"


STILL, MOVING = "72057594037931101", "72057594037931102"  # neighbors: one number in floating point


def test_ntu_skeletons_follow_bodies_by_number_and_put_the_most_moving_one_first(tmp_path):
    text = ntu_text(
        [(STILL, lambda j: (j, 0, 3)), (MOVING, lambda j: (0.5, j, 2))],
        [],
        [(MOVING, lambda j: (9.5, j, 2))],
    )
    (tmp_path / "a.skeleton").write_text(text)
    joints = read_skeleton("ntu_rgbd", Record(tmp_path / "a.skeleton", "a", 0))
    assert joints.shape == (3, 2, 25, 3) and joints.dtype == np.float32
    expected = np.zeros((3, 2, 25, 3))
    place = np.arange(25)
    expected[0, 0] = np.stack([np.full(25, 0.5), place, np.full(25, 2)], axis=1)
    expected[2, 0] = np.stack([np.full(25, 9.5), place, np.full(25, 2)], axis=1)
    expected[0, 1] = np.stack([place, np.zeros(25), np.full(25, 3)], axis=1)
    np.testing.assert_array_equal(joints, expected)


def test_ntu_skeletons_keep_two_bodies_of_three(tmp_path):
    frames = [[(number, lambda j, n=number, t=t: (n * t, 0, 1)) for number in (1, 3, 2)] for t in range(2)]
    (tmp_path / "a.skeleton").write_text(ntu_text(*frames))
    joints = read_skeleton("ntu_rgbd", Record(tmp_path / "a.skeleton", "a", 0))
    assert joints[1, :, 0, 0].tolist() == [3, 2]


@pytest.mark.parametrize(
    "text, status",
    [
        (ntu_text([], []), "empty"),
        ("0\n", "empty"),
        (ntu_text([("1", lambda j: (0, 0, 1))])[:400], "truncated"),
        (ntu_text([("1", lambda j: (0, 0, 1))]).replace("1", "2", 1), "truncated"),
        ("999999999999\n", "truncated"),
        (ntu_text([("1", lambda j: (0, 0, "x"))]), "unreadable"),
        (ntu_text([("1", lambda j: (0, 0, "nan"))]), "unreadable"),
        (ntu_text([("1", lambda j: (0, 0, 1))], []).replace("\n25\n", "\n24\n"), "unreadable"),
    ],
    ids=["no body", "no frame", "cut", "one frame too few", "huge count", "no number", "nan", "24 joints"],
)
def test_a_damaged_ntu_skeleton_has_its_status(text, status, tmp_path):
    (tmp_path / "a.skeleton").write_text(text)
    assert status_of("ntu_rgbd", tmp_path / "a.skeleton") == status


@pytest.fixture
def ntu(tmp_path):
    body = ntu_text([("1", lambda j: (j, 0, 1))])
    for name in ("S001C001P001R001A001", "S001C002P003R001A060", "S017C003P002R002A010"):
        write(tmp_path, f"nturgb+d_skeletons/{name}.skeleton", body)
    for name in ("S018C001P045R001A061", "S019C001P044R001A120"):
        write(tmp_path, f"nturgb+d_skeletons120/{name}.skeleton", body)
    write(tmp_path, "nturgb+d_skeletons/S002C001P008R001A005.skeleton", "1", "0")
    return tmp_path


def parts(manifest):
    return {(r.file.stem, r.label, r.split, r.group) for r in manifest.records}


def test_ntu_cross_subject_and_cross_view_have_the_sixty_classes(ntu):
    manifest = read_dataset("ntu_rgbd", ntu, split="cs")
    assert parts(manifest) == {
        ("S001C001P001R001A001", 0, "train", "P001"),
        ("S001C002P003R001A060", 59, "test", "P003"),
        ("S017C003P002R002A010", 9, "train", "P002"),
        ("S002C001P008R001A005", 4, "train", "P008"),
    }
    assert len(manifest.class_names) == 60
    assert manifest.official == {"train": 40320, "test": 16560}
    manifest = read_dataset("ntu_rgbd", ntu, split="cv")
    assert {(stem[4:8], split) for stem, _, split, _ in parts(manifest)} == {
        ("C001", "test"),
        ("C002", "train"),
        ("C003", "train"),
    }
    assert manifest.official == {"train": 37920, "test": 18960}


def test_ntu_120_splits_by_subject_and_by_setup(ntu):
    manifest = read_dataset("ntu_rgbd", ntu, split="csub")
    assert ("S018C001P045R001A061", 60, "train", "P045") in parts(manifest)
    assert ("S019C001P044R001A120", 119, "test", "P044") in parts(manifest)
    assert len(set(manifest.class_names)) == 120
    assert manifest.class_names[119].startswith("finger-guessing")
    assert manifest.official == {}
    splits = {stem[:4]: split for stem, _, split, _ in parts(read_dataset("ntu_rgbd", ntu, split="cset"))}
    assert splits == {"S001": "test", "S017": "test", "S018": "train", "S019": "test", "S002": "train"}


def test_ntu_leaves_out_what_the_official_list_names(ntu):
    text = ("NTU RGB+D has samples without skeletons:", "S002C001P008R001A005", "")
    write(ntu, "lists/missing.txt", *text)
    manifest = read_dataset("ntu_rgbd", ntu, missing=ntu / "lists/missing.txt")
    assert len(manifest.records) == 3
    assert manifest.official == {"train": 40091, "test": 16487}
    assert len(read_dataset("ntu_rgbd", ntu).records) == 4
    write(ntu, "NTU_RGBD120_samples_with_missing_skeletons.txt", *text)
    assert len(read_dataset("ntu_rgbd", ntu).records) == 3
    assert sum(read_dataset("ntu_rgbd", ntu, split="csub").official.values()) == 114480 - 535
    assert sum(read_dataset("ntu_rgbd", ntu, split="cset").official.values()) == 114480 - 535
    assert sum(read_dataset("ntu_rgbd", ntu, split="cv").official.values()) == 56880 - 302


def test_ntu_can_leave_out_what_has_no_body(ntu):
    assert "S002C001P008R001A005" not in {
        record.file.stem for record in read_dataset("ntu_rgbd", ntu, missing="empty").records
    }


def test_ntu_refuses_a_list_that_is_not_there_and_an_unknown_split(ntu):
    with pytest.raises(UserError, match="nolist.txt: cannot be read"):
        read_dataset("ntu_rgbd", ntu, missing=ntu / "nolist.txt")
    with pytest.raises(
        UserError, match="`split` must be one of cs, cv, csub, cset, all. Received: split='xsub'"
    ):
        read_dataset("ntu_rgbd", ntu, split="xsub")


# Northwestern-UCLA


def ucla(root, name, first=0.0):
    joints = [[[first + t, j, 3] for j in range(20)] for t in range(2)]
    content = {"file_name": name, "skeletons": joints, "label": 1}
    write(root, f"all_sqe/{name}.json", json.dumps(content))


@pytest.fixture
def northwestern(tmp_path):
    for number, name in enumerate(
        ("a01_s01_e00_v01", "a02_s01_e00_v02", "a12_s02_e03_v01", "a08_s02_e01_v02")
    ):
        ucla(tmp_path, name, number)
    return tmp_path


def test_northwestern_ucla_numbers_its_ten_classes_from_zero(northwestern):
    ucla(northwestern, "a01_s01_e00_v03", 9)
    manifest = read_dataset("northwestern_ucla", northwestern)
    assert rows(manifest) == [
        ("all_sqe/a01_s01_e00_v01.json", 0, "train", "", ""),
        ("all_sqe/a01_s01_e00_v03.json", 0, "test", "", ""),
        ("all_sqe/a02_s01_e00_v02.json", 1, "train", "", ""),
        ("all_sqe/a08_s02_e01_v02.json", 6, "train", "", ""),
        ("all_sqe/a12_s02_e03_v01.json", 9, "train", "", ""),
    ]
    assert len(manifest.class_names) == 10 and manifest.class_names[9] == "carry"
    assert manifest.official == {"train": 1020, "test": 464}


def test_northwestern_ucla_without_view_3_names_the_other_protocols(northwestern):
    with pytest.raises(UserError, match="needs view 3 to test.*use split='view1_view2' or split='subject'"):
        read_dataset("northwestern_ucla", northwestern)
    manifest = read_dataset("northwestern_ucla", northwestern, split="view1_view2")
    assert manifest.found == {"train": 2, "test": 2}
    manifest = read_dataset("northwestern_ucla", northwestern, split="subject")
    assert [(r.group, r.fold, r.split) for r in manifest.records] == [("s01", "s01", "")] * 2 + [
        ("s02", "s02", "")
    ] * 2


def test_northwestern_ucla_refuses_view_2_files_with_the_content_of_view_3(northwestern):
    ucla(northwestern, "a02_s01_e00_v03", 1)  # the joints of view 2, under another name
    with pytest.raises(
        UserError, match="1 train files have the content of test files.*v02.json = .*v03.json"
    ):
        read_dataset("northwestern_ucla", northwestern)
    dropped = read_dataset("northwestern_ucla", northwestern, duplicates="drop")
    assert dropped.found == {"train": 3, "test": 1}
    assert read_dataset("northwestern_ucla", northwestern, duplicates="keep").found == {"train": 4, "test": 1}


def test_northwestern_ucla_folds_hold_two_subjects_each(tmp_path):
    for subject in (1, 2, 3, 10):
        ucla(tmp_path, f"a01_s{subject:02}_e00_v01")
        ucla(tmp_path, f"a02_s{subject:02}_e00_v02")
    records = read_dataset("northwestern_ucla", tmp_path, split="five_folds").records
    assert {(r.group, r.fold) for r in records} == {("s01", "0"), ("s02", "0"), ("s03", "1"), ("s10", "4")}
    assert {r.split for r in records} == {""} and len(records) == 8


def test_northwestern_ucla_refuses_an_action_that_it_does_not_have(northwestern):
    ucla(northwestern, "a07_s01_e00_v01")
    with pytest.raises(UserError, match="action 7 is none of 1, 2, 3, 4, 5, 6, 8, 9, 11, 12"):
        read_dataset("northwestern_ucla", northwestern, split="subject")


def test_northwestern_ucla_joints_are_those_of_the_file(northwestern):
    manifest = read_dataset("northwestern_ucla", northwestern, split="view1_view2")
    joints = read_skeleton(manifest.dataset, manifest.records[-1])
    assert joints.shape == (2, 1, 20, 3) and joints.dtype == np.float32
    assert joints[1, 0, 7].tolist() == [3, 7, 3]


@pytest.mark.parametrize(
    "skeletons, status",
    [
        ([], "unreadable"),
        ([[[0, 0, 1]] * 19], "unreadable"),
        ([[[0, 0, None]] * 20], "unreadable"),
        (None, "unreadable"),
    ],
)
def test_a_damaged_northwestern_ucla_file_has_its_status(skeletons, status, tmp_path):
    write(tmp_path, "a.json", json.dumps({"skeletons": skeletons}))
    assert status_of("northwestern_ucla", tmp_path / "a.json") == status


# UTKinect


def utkinect_row(frame, first):
    return "  ".join([str(frame), *(f"{first + value / 100:.6f}" for value in range(60))])


@pytest.fixture
def utkinect(tmp_path):
    write(tmp_path, "joints/actionLabel.txt", "s01_e01", "walk: 1 2")
    write(
        tmp_path,
        "joints/actionLabel_modified.txt",
        "s01_e01",
        "walk: 10 14",
        "sitDown: 20 22 ",
        "s02_e01",
        "walk: 3 4",
        "carry:  NaN NaN",
        "s03_e01",
        "walk: 3 4",
    )
    frames = ((8, 0), (10, 1), (12, 2), (12, 3), (14, 4), (15, 5), (20, 6))
    write(tmp_path, "joints/joints_s01_e01.txt", *(utkinect_row(*frame) for frame in frames))
    write(tmp_path, "joints/joints_s02_e01.txt", utkinect_row(3, 7), utkinect_row(4, 8))
    return tmp_path


def test_utkinect_cuts_sequences_by_frame_numbers_and_leaves_nan_out(utkinect):
    manifest = read_dataset("utkinect", utkinect)
    assert manifest.class_names == ("walk", "sitDown", "carry")
    assert [(r.path, r.label, r.split, r.group, r.start, r.stop) for r in manifest.records] == [
        ("joints/joints_s01_e01.txt#walk", 0, "train", "s01", 10, 15),
        ("joints/joints_s01_e01.txt#sitDown", 1, "train", "s01", 20, 23),
        ("joints/joints_s02_e01.txt#walk", 0, "test", "s02", 3, 5),
    ]
    assert manifest.official == {"train": 100, "test": 99}


def test_utkinect_joints_are_the_rows_whose_frame_number_is_in_the_range(utkinect):
    walk, sit, _ = read_dataset("utkinect", utkinect).records
    joints = read_skeleton("utkinect", walk)
    assert joints.shape == (4, 1, 20, 3)
    np.testing.assert_allclose(joints[:, 0, 0, 0], [1, 2, 3, 4])
    np.testing.assert_allclose(joints[0, 0, 19], [1.57, 1.58, 1.59], rtol=1e-6)
    assert read_skeleton("utkinect", sit).shape == (1, 1, 20, 3)
    assert status_of("utkinect", walk.file, start=16, stop=19) == "empty"


def test_a_utkinect_recording_is_one_sequence_only_if_no_labels_say_otherwise(utkinect, tmp_path_factory):
    several, single = (utkinect / f"joints/joints_s0{number}_e01.txt" for number in (1, 2))
    with pytest.raises(VideoError) as caught:
        read_skeleton("utkinect", Record(several, several.name, 0))
    assert caught.value.status == "unreadable"
    assert caught.value.reason == (
        "it holds 2 actions by actionLabel_modified.txt (walk, sitDown), and an answer is for one; score "
        f"each with `keras-actrec evaluate MODEL --data {utkinect / 'joints'} --part all`"
    )
    assert len(read_dataset("utkinect", utkinect / "joints").records) == 3
    assert len(read_skeleton("utkinect", Record(single, single.name, 0))) == 2
    alone = tmp_path_factory.mktemp("mine") / several.name
    alone.write_bytes(several.read_bytes())
    assert len(read_skeleton("utkinect", Record(alone, alone.name, 0))) == 7


def test_utkinect_finds_the_labels_in_the_folder_above_too(utkinect, monkeypatch):
    for name in ("actionLabel.txt", "actionLabel_modified.txt"):
        (utkinect / "joints" / name).rename(utkinect / name)
    monkeypatch.chdir(utkinect / "joints")
    file = Path("joints_s01_e01.txt")
    with pytest.raises(VideoError, match=f"--data {re.escape(str(utkinect))} --part all"):
        read_skeleton("utkinect", Record(file, file.name, 0))
    assert len(read_dataset("utkinect", utkinect).records) == 3


def test_utkinect_leaves_one_sequence_out_by_its_fold(utkinect):
    manifest = read_dataset("utkinect", utkinect, split="leave_one_sequence_out")
    assert [(record.fold, record.split) for record in manifest.records] == [
        ("joints/joints_s01_e01.txt#walk", ""),
        ("joints/joints_s01_e01.txt#sitDown", ""),
        ("joints/joints_s02_e01.txt#walk", ""),
    ]
    assert manifest.official == {"": 199}


def test_the_hash_of_a_set_knows_the_frames_of_its_sequences(utkinect):
    before = read_dataset("utkinect", utkinect).sha256
    table = utkinect / "joints/actionLabel_modified.txt"
    table.write_text(table.read_text().replace("10 14", "10 13"))
    assert read_dataset("utkinect", utkinect).sha256 != before


@pytest.mark.parametrize("line", ["walk: 10", "walk 10 12", "walk: a b"])
def test_utkinect_refuses_a_line_of_labels_that_it_cannot_read(utkinect, line):
    write(utkinect, "joints/actionLabel_modified.txt", "s01_e01", line)
    with pytest.raises(UserError, match=f"needs lines such as .* Received: '{line}'"):
        read_dataset("utkinect", utkinect)


# MSR-Action3D


@pytest.fixture
def msr(tmp_path):
    for number, name in enumerate(
        ("a01_s01_e01", "a02_s02_e01", "a20_s10_e02", "a13_s09_e02", "a06_s03_e01")
    ):
        lines = [f"{number} {joint} 2.5 {joint % 2}.000000" for _ in range(2) for joint in range(20)]
        write(tmp_path, f"skeleton/{name}_skeleton3D.txt", *lines)
    write(
        tmp_path,
        "files_used_in_cvpr12_paper.txt",
        "a01_s01_e01",
        "a02_s02_e01",
        '"a20_s10_e02"',
        "a06_s03_e01",
    )
    return tmp_path


def test_msr_action3d_trains_on_odd_subjects_and_reads_what_is_on_the_list(msr):
    manifest = read_dataset("msr_action3d", msr)
    assert rows(manifest) == [
        ("skeleton/a01_s01_e01_skeleton3D.txt", 0, "train", "s01", ""),
        ("skeleton/a02_s02_e01_skeleton3D.txt", 1, "test", "s02", ""),
        ("skeleton/a06_s03_e01_skeleton3D.txt", 5, "train", "s03", ""),
        ("skeleton/a20_s10_e02_skeleton3D.txt", 19, "test", "s10", ""),
    ]
    assert sum(manifest.official.values()) == 557
    everything = read_dataset("msr_action3d", msr, files="all")
    assert len(everything.records) == 5 and everything.official == {}


@pytest.mark.parametrize(
    "subset, labels, names",
    [
        ("AS1", [0, 7], ("horizontal arm wave", "pick up & throw")),
        ("AS2", [0], ("high arm wave", "forward kick")),
        ("AS3", [0, 7], ("high throw", "pick up & throw")),
    ],
)
def test_msr_action3d_numbers_the_eight_classes_of_an_action_set(msr, subset, labels, names):
    manifest = read_dataset("msr_action3d", msr, subset=subset)
    labels_of_test = [record.label for record in manifest.records if record.label in (0, 7)]
    assert labels_of_test == labels
    assert (manifest.class_names[0], manifest.class_names[7]) == names and len(manifest.class_names) == 8


def test_msr_action3d_without_the_list_says_what_to_do(msr):
    (msr / "files_used_in_cvpr12_paper.txt").unlink()
    with pytest.raises(
        UserError, match="looked for files_used_in_cvpr12_paper.txt or .*; or pass files='all'"
    ):
        read_dataset("msr_action3d", msr)


def test_msr_action3d_joints_leave_the_confidence_out(msr):
    record = read_dataset("msr_action3d", msr).records[1]
    joints = read_skeleton("msr_action3d", record)
    assert joints.shape == (2, 1, 20, 3)
    assert joints[1, 0, 19].tolist() == [1, 19, 2.5]


def test_an_msr_action3d_file_that_ends_inside_a_frame_is_truncated(msr):
    file = msr / "skeleton/a01_s01_e01_skeleton3D.txt"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    assert status_of("msr_action3d", file) == "truncated"


# J-HMDB and SYSU 3D HOI


def save_mat(root, path, **arrays):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    scipy_io.savemat(root / path, arrays)


@pytest.mark.parametrize(
    "value, how",
    [
        (np.zeros((20, 3, 200_000)), {"do_compression": True}),  # 96 MB, of which zip makes 100 kB
        (scipy_sparse.coo_matrix(np.eye(20)), {}),
        (np.array([[1, "a"]], object), {}),
        ({"a": 1}, {}),
        ("text", {}),
    ],
)
def test_a_mat_file_that_holds_something_else_or_a_bomb_is_refused(value, how, tmp_path):
    path = tmp_path / "a.mat"
    scipy_io.savemat(path, {"SW": value}, **how)
    with hostile.limits(2**28), pytest.raises(VideoError):
        read_skeleton("sysu_3d_hoi", Record(path, "a", 0))


def test_jhmdb_joints_are_in_pixels_with_zero_depth(tmp_path):
    write(tmp_path, "splits/wave_test_split1.txt", "a_b.avi 2")
    write(tmp_path, "splits/catch_test_split1.txt", "c_d.avi 1")
    places = np.arange(2 * 15 * 4).reshape(2, 15, 4) + 0.5
    save_mat(tmp_path, "joint_positions/wave/a_b/joint_positions.mat", pos_img=places, scale=np.ones(4))
    save_mat(tmp_path, "joint_positions/catch/c_d/joint_positions.mat", pos_img=places[..., :1])
    manifest = read_dataset("jhmdb", tmp_path, modality="skeleton")
    assert rows(manifest) == [
        ("joint_positions/catch/c_d/joint_positions.mat", 0, "train", "", ""),
        ("joint_positions/wave/a_b/joint_positions.mat", 1, "test", "", ""),
    ]
    joints = read_skeleton("jhmdb", manifest.records[1])
    assert joints.shape == (4, 1, 15, 3) and joints.dtype == np.float32
    assert joints[3, 0, 2].tolist() == [places[0, 2, 3], places[1, 2, 3], 0]
    assert read_skeleton("jhmdb", manifest.records[0]).shape == (1, 1, 15, 3)
    with pytest.raises(UserError, match="looked for joint_positions"):
        (tmp_path / "joint_positions").rename(tmp_path / "other")
        read_dataset("jhmdb", tmp_path, modality="skeleton")


@pytest.fixture
def sysu(tmp_path):
    joints = np.arange(20 * 3 * 2).reshape(20, 3, 2) / 10
    for person in range(6):
        for video in (1, 2, 12):
            save_mat(
                tmp_path,
                f"SYSU3DAction/3DvideoNorm/person{person}/video{video}/sklWorld.mat",
                SW=joints + person,
            )
    return tmp_path


def test_sysu_cross_subject_folds_have_half_of_the_people_in_each_part(sysu):
    manifests = [read_dataset("sysu_3d_hoi", sysu, fold=fold) for fold in range(1, 31)]
    for manifest in manifests:
        assert manifest.found == {"train": 9, "test": 9}
        train, test = ({r.group for r in manifest.records if r.split == part} for part in ("train", "test"))
        assert len(train) == len(test) == 3 and not train & test
    assert len({manifest.sha256 for manifest in manifests}) > 10  # of 20 possible draws
    assert {record.label for record in manifests[0].records} == {0, 1, 11}
    assert manifests[0].official == {"train": 240, "test": 240}
    assert read_dataset("sysu_3d_hoi", sysu, fold="7").sha256 == manifests[6].sha256


def test_sysu_same_subject_folds_have_half_of_every_activity_in_each_part(sysu):
    first, second = (read_dataset("sysu_3d_hoi", sysu, split="ss", fold=fold) for fold in (1, 2))
    for label in (0, 1, 11):
        assert [r.split for r in first.records if r.label == label].count("train") == 3
    assert first.sha256 != second.sha256
    assert {record.group for record in first.records} == {""}


def test_sysu_refuses_a_fold_and_a_folder_that_are_not_of_the_set(sysu):
    with pytest.raises(UserError, match="`fold` must be one of 1, 2, .*30. Received: fold=31"):
        read_dataset("sysu_3d_hoi", sysu, fold=31)
    save_mat(sysu, "SYSU3DAction/3DvideoNorm/person0/video13/sklWorld.mat", SW=np.zeros((20, 3, 2)))
    with pytest.raises(UserError, match="its folder must be video1 to video12"):
        read_dataset("sysu_3d_hoi", sysu)


def test_sysu_joints_have_time_first(sysu):
    record = read_dataset("sysu_3d_hoi", sysu).records[0]
    joints = read_skeleton("sysu_3d_hoi", record)
    assert joints.shape == (2, 1, 20, 3)
    np.testing.assert_allclose(joints[1, 0, 4], np.array([25, 27, 29]) / 10, rtol=1e-6)


def test_a_matlab_file_without_the_joints_is_unreadable(tmp_path):
    save_mat(tmp_path, "a.mat", other=np.zeros(3))
    assert status_of("sysu_3d_hoi", tmp_path / "a.mat") == "unreadable"
    save_mat(tmp_path, "a.mat", SW=np.zeros((25, 3, 4)))
    assert status_of("sysu_3d_hoi", tmp_path / "a.mat") == "unreadable"
    save_mat(tmp_path, "a.mat", pos_img=np.zeros((3, 15, 4)))
    assert status_of("jhmdb", tmp_path / "a.mat") == "unreadable"


def test_matlab_files_without_scipy_name_the_extra(sysu, monkeypatch):
    record = read_dataset("sysu_3d_hoi", sysu).records[0]
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UserError, match=r"pip install 'keras_actrec\[skeletons\]'"):
        read_skeleton("sysu_3d_hoi", record)
