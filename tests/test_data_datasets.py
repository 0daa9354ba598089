import importlib
import inspect
import json
from collections import Counter

import pytest

import trees
from keras_actrec.data import (
    holds_skeletons,
    list_datasets,
    read_dataset,
    read_manifest,
    read_skeleton,
    read_whole,
    split_manifest,
)
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def write(root, path, *lines):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("\n".join(lines) + "\n")


def write_json(root, path, content):
    write(root, path, json.dumps(content))


def rows(manifest):
    return [(r.path, manifest.class_names[r.label], r.split, r.group) for r in manifest.records]


# the table


def test_the_sets_are_listed_sorted():
    assert list_datasets() == tuple(sorted(list_datasets()))
    assert {"ucf101", "hmdb51", "ntu_rgbd", "folder", "csv", "poses"} < {*list_datasets()}


def test_an_unknown_set_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(
        UserError, match=r"of basic_motions, .*; did you mean 'ucf101'\? Received: name='ucf11'$"
    ):
        read_dataset("ucf11", tmp_path)
    with pytest.raises(UserError, match=r"of basic_motions, .*, utkinect\. Received: name='zzz'$"):
        read_dataset("zzz", tmp_path)


def test_an_unknown_option_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(UserError, match="ucf101 has no option `fold`; its options are split"):
        read_dataset("ucf101", tmp_path, fold=1)
    with pytest.raises(UserError, match="csv has no option `split`; it has none"):
        read_dataset("csv", tmp_path, split=1)


@pytest.mark.parametrize("name", list_datasets())
def test_every_reader_is_documented_and_refuses_a_folder_that_is_not_the_set(name, tmp_path):
    make(tmp_path, "notes/readme.md")
    with pytest.raises(UserError) as error:
        read_dataset(name, tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
    if name not in ("csv", "features", "folder", "poses"):
        assert "looked for" in str(error.value)
        with pytest.raises(UserError, match="no such folder"):
            read_dataset(name, tmp_path / "nowhere")


def test_folder_and_csv_read_as_read_manifest_does(tmp_path):
    make(tmp_path, "run/1.mp4", "walk/2.mp4")
    write(tmp_path, "list.csv", "path,label", "run/1.mp4,b", "walk/2.mp4,a")
    assert read_dataset("folder", tmp_path).records == read_manifest(tmp_path).records
    manifest = read_dataset("csv", tmp_path / "list.csv")
    assert (manifest.dataset, manifest.class_names, manifest.found) == ("csv", ("a", "b"), {"": 2})


# UCF101


@pytest.fixture
def ucf101(tmp_path):
    write(tmp_path, "ucfTrainTestlist/classInd.txt", "1 Zebra", "2 HandstandPushups")
    write(
        tmp_path,
        "ucfTrainTestlist/trainlist01.txt",
        "Zebra/v_Zebra_g08_c01.avi 1",
        "HandstandPushups/v_HandStandPushups_g08_c02.avi 2",
        "HandstandPushups/v_HandStandPushups_g09_c01.avi 2",
    )
    write(tmp_path, "ucfTrainTestlist/testlist01.txt", "Zebra/v_Zebra_g01_c01.avi")
    make(tmp_path, "UCF-101/Zebra/v_Zebra_g08_c01.avi", "UCF-101/Zebra/v_Zebra_g01_c01.avi")
    make(tmp_path, "UCF-101/HandstandPushups/v_HandstandPushups_g08_c02.mp4", "UCF-101/Zebra/._x.avi")
    return tmp_path


def test_ucf101_has_the_classes_of_its_file_and_a_group_for_each_source(ucf101):
    manifest = read_dataset("ucf101", ucf101)
    assert manifest.class_names == ("Zebra", "HandstandPushups")
    assert rows(manifest) == [
        ("UCF-101/Zebra/v_Zebra_g08_c01.avi", "Zebra", "train", "Zebra_g08"),
        (
            "UCF-101/HandstandPushups/v_HandstandPushups_g08_c02.mp4",
            "HandstandPushups",
            "train",
            "HandstandPushups_g08",
        ),
        ("UCF-101/Zebra/v_Zebra_g01_c01.avi", "Zebra", "test", "Zebra_g01"),
    ]
    assert manifest.found == {"train": 2, "test": 1}  # one listed clip is not there
    assert manifest.dataset == "ucf101"


@pytest.mark.parametrize("split, train, test", [(1, 9537, 3783), ("2", 9586, 3734), (3, 9624, 3696)])
def test_ucf101_knows_the_official_counts_of_its_splits(ucf101, split, train, test):
    for number in (2, 3):
        for part in ("train", "test"):
            source = ucf101 / f"ucfTrainTestlist/{part}list01.txt"
            write(ucf101, f"ucfTrainTestlist/{part}list0{number}.txt", source.read_text())
    assert train + test == 13320
    assert read_dataset("ucf101", ucf101, split=split).official == {"train": train, "test": test}


def test_ucf101_lists_may_lie_next_to_the_class_folders(tmp_path):
    write(tmp_path, "classInd.txt", "1 A", "2 B")
    write(tmp_path, "trainlist01.txt", "A/v_A_g02_c01.avi 1", "B/v_B_g02_c01.avi 2")
    write(tmp_path, "testlist01.txt", "A/v_A_g01_c01.avi")
    make(tmp_path, "A/v_A_g02_c01.avi", "A/v_A_g01_c01.avi", "B/v_B_g02_c01.avi")
    assert read_dataset("ucf101", tmp_path).found == {"train": 2, "test": 1}


@pytest.mark.parametrize(
    "line, message",
    [
        ("Zebra/v_Zebra_g08_c03.avi", "the group 'Zebra_g08' is in the splits 'train' and 'test'"),
        ("Zebra/v_Zebra_g08_c01.avi", "is in train and in test"),
        ("Lion/v_Lion_g08_c01.avi", "with a class of classInd.txt. Received: 'Lion/"),
        ("v_Zebra_g08_c01.avi", "each line must read Class/"),
    ],
)
def test_ucf101_refuses_damaged_lists(ucf101, line, message):
    make(ucf101, "UCF-101/Zebra/v_Zebra_g08_c03.avi")
    write(ucf101, "ucfTrainTestlist/testlist01.txt", line)
    with pytest.raises(UserError, match=message):
        read_dataset("ucf101", ucf101)


def test_a_second_copy_of_a_video_is_refused(ucf101):
    make(ucf101, "small/Zebra/v_Zebra_g08_c01.avi")
    with pytest.raises(UserError, match="also found as .*keep one copy"):
        read_dataset("ucf101", ucf101)


def test_a_set_without_any_of_its_videos_is_refused(ucf101):
    for file in (ucf101 / "UCF-101").rglob("*.*"):
        file.unlink()
    with pytest.raises(UserError, match="none of the files that ucf101 lists were found"):
        read_dataset("ucf101", ucf101)


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "jhmdb"])
def test_a_split_that_is_not_there_is_refused_with_those_that_are(name, tmp_path):
    with pytest.raises(UserError, match="`split` must be one of 1, 2, 3, all. Received: split=4"):
        read_dataset(name, tmp_path, split=4)


# HMDB51 and J-HMDB


def hmdb_lists(root, folder, split=1):
    write(
        root,
        f"{folder}/wave_test_split{split}.txt",
        "a!_(x)_wave_0.avi 1 ",
        "b_wave_0.avi 2 ",
        "c_wave_0.avi 0 ",
    )
    write(root, f"{folder}/brush_hair_test_split{split}.txt", "#1_b_0.avi 2", "d_0.avi 1")


def test_hmdb51_takes_1_for_train_2_for_test_and_leaves_0_out(tmp_path):
    hmdb_lists(tmp_path, "testTrainMulti_7030_splits", split=2)
    videos = ("wave/a!_(x)_wave_0", "wave/b_wave_0", "wave/c_wave_0", "brush_hair/#1_b_0", "brush_hair/d_0")
    make(tmp_path, *(f"videos/{name}.avi" for name in videos))
    manifest = read_dataset("hmdb51", tmp_path, split=2)
    assert manifest.class_names == ("brush_hair", "wave")
    assert rows(manifest) == [
        ("videos/brush_hair/#1_b_0.avi", "brush_hair", "test", ""),
        ("videos/brush_hair/d_0.avi", "brush_hair", "train", ""),
        ("videos/wave/a!_(x)_wave_0.avi", "wave", "train", ""),
        ("videos/wave/b_wave_0.avi", "wave", "test", ""),
    ]
    assert manifest.official == {"train": 51 * 70, "test": 51 * 30}


def test_hmdb51_refuses_another_number_and_a_clip_in_both_parts(tmp_path):
    make(tmp_path, "wave/a.avi")
    write(tmp_path, "splits/wave_test_split1.txt", "a.avi 3")
    with pytest.raises(UserError, match="each line must read `name.avi 0`, 1 or 2. Received: 'a.avi 3'"):
        read_dataset("hmdb51", tmp_path)
    write(tmp_path, "splits/wave_test_split1.txt", "a.avi 1", "a.avi 2")
    with pytest.raises(UserError, match="'wave/a.avi' is in train and in test"):
        read_dataset("hmdb51", tmp_path)


def test_jhmdb_reads_videos(tmp_path):
    hmdb_lists(tmp_path, "splits")
    make(tmp_path, "ReCompress_Videos/wave/a!_(x)_wave_0.avi", "ReCompress_Videos/brush_hair/#1_b_0.avi")
    manifest = read_dataset("jhmdb", tmp_path)
    assert [(r.file.name, r.split) for r in manifest.records] == [
        ("#1_b_0.avi", "test"),
        ("a!_(x)_wave_0.avi", "train"),
    ]
    assert sum(manifest.official.values()) == 928


# UCF Sports

UCF_SPORTS = {
    "Diving-Side": 14,
    "Golf-Swing-Back": 5,
    "Golf-Swing-Front": 8,
    "Golf-Swing-Side": 5,
    "Kicking-Front": 10,
    "Kicking-Side": 10,
    "Lifting": 6,
    "Riding-Horse": 12,
    "Run-Side": 13,
    "SkateBoarding-Front": 12,
    "Swing-Bench": 20,
    "Swing-SideAngle": 13,
    "Walk-Front": 22,
}


@pytest.fixture
def ucf_sports(tmp_path):
    for view, count in UCF_SPORTS.items():
        for number in range(1, count + 1):
            make(tmp_path, f"ucf action/{view}/{number:03d}/{number}.avi")
    return tmp_path


def test_ucf_sports_has_ten_classes_of_thirteen_folders(ucf_sports):
    manifest = read_dataset("ucf_sports", ucf_sports, split="leave_one_out")
    counts = Counter(manifest.class_names[record.label] for record in manifest.records)
    assert list(counts.values()) == [14, 18, 20, 6, 12, 13, 12, 20, 13, 22]
    assert manifest.found == manifest.official == {"": 150}


def test_ucf_sports_of_hm_an_is_a_seeded_draw_of_three_quarters_of_every_class(ucf_sports):
    first, again, other = (read_dataset("ucf_sports", ucf_sports, seed=seed) for seed in (0, 0, 1))
    assert first.found == first.official == {"train": 112, "test": 38}
    assert first.sha256 == again.sha256 != other.sha256
    assert {record.label for record in first.records if record.split == "test"} == {*range(10)}


def test_ucf_sports_of_lan_tests_on_the_first_third_of_every_class(ucf_sports):
    manifest = read_dataset("ucf_sports", ucf_sports, split="lan")
    assert manifest.found == manifest.official == {"train": 103, "test": 47}
    test = [record.path.split("/")[1:3] for record in manifest.records if record.split == "test"]
    # places in the list of all 150 sequences, as this split is written down in public code
    starts, place = {}, 1
    for view, count in UCF_SPORTS.items():
        starts[view], place = place, place + count
    runs = [
        (1, 4),
        (15, 20),
        (33, 38),
        (53, 54),
        (59, 62),
        (71, 74),
        (84, 87),
        (96, 101),
        (116, 119),
        (129, 135),
    ]
    expected = [place for first, last in runs for place in range(first, last + 1)]
    assert [starts[view] + int(number) - 1 for view, number in test] == expected


def test_ucf_sports_of_lan_stays_the_same_when_a_sequence_is_missing(ucf_sports):
    (ucf_sports / "ucf action/Diving-Side/002/2.avi").unlink()
    manifest = read_dataset("ucf_sports", ucf_sports, split="lan")
    assert manifest.found == {"train": 103, "test": 46}


def test_ucf_sports_takes_the_folder_of_images_where_there_is_no_video(ucf_sports):
    (ucf_sports / "ucf action/Diving-Side/008/8.avi").unlink()
    make(ucf_sports, "ucf action/Diving-Side/008/jpeg/1.jpg", "ucf action/Diving-Side/008/gt/1.txt")
    manifest = read_dataset("ucf_sports", ucf_sports)
    assert len(manifest.records) == 150
    assert "ucf action/Diving-Side/008/jpeg" in {record.path for record in manifest.records}


def test_ucf_sports_leaves_one_out_by_its_fold(ucf_sports):
    manifest = read_dataset("ucf_sports", ucf_sports, split="leave_one_out")
    parts = split_manifest(manifest, test_fold="ucf action/Lifting/003/3.avi")
    assert [record.path for record in parts["test"]] == ["ucf action/Lifting/003/3.avi"]
    assert len(parts["train"]) == 149


# Olympic Sports


@pytest.fixture
def olympic_sports(tmp_path):
    make(tmp_path, "bowling/b1.seq", "bowling/b2.avi", "diving_platform_10m/p1.seq", "high_jump/h1.seq")
    write(tmp_path, "train_test_split/train/bowling.txt", "b1", "gone", "")
    write(tmp_path, "train_test_split/train/high jump.txt", "h1")
    write(tmp_path, "train_test_split/test/bowling.txt", "b2")
    write(tmp_path, "train_test_split/test/platform 10m.txt", "p1")
    return tmp_path


def test_olympic_sports_joins_lists_and_folders_that_are_named_differently(olympic_sports):
    manifest = read_dataset("olympic_sports", olympic_sports)
    assert manifest.class_names == ("bowling", "diving_platform_10m", "high_jump")
    assert rows(manifest) == [
        ("bowling/b1.seq", "bowling", "train", ""),
        ("high_jump/h1.seq", "high_jump", "train", ""),
        ("bowling/b2.avi", "bowling", "test", ""),
        ("diving_platform_10m/p1.seq", "diving_platform_10m", "test", ""),
    ]
    assert manifest.official == {"train": 649, "test": 134}


def test_olympic_sports_refuses_a_list_without_a_folder_and_an_overlap(olympic_sports):
    write(olympic_sports, "train_test_split/test/vault.txt", "v1")
    with pytest.raises(UserError, match="there is no folder vault with sequences"):
        read_dataset("olympic_sports", olympic_sports)
    (olympic_sports / "train_test_split/test/vault.txt").unlink()
    write(olympic_sports, "train_test_split/test/bowling.txt", "b1")
    with pytest.raises(UserError, match="'bowling/b1.seq' is in train and in test"):
        read_dataset("olympic_sports", olympic_sports)


# Something-Something


@pytest.fixture
def something_v1(tmp_path):
    start = "labels/something-something-v1"
    write(tmp_path, f"{start}-labels.csv", "Turning something", "Holding something, then letting go")
    write(tmp_path, f"{start}-train.csv", "1;Turning something", "2;Holding something, then letting go")
    write(tmp_path, f"{start}-validation.csv", "3;Turning something", "4;Turning something")
    make(tmp_path, *(f"20bn-something-something-v1/{clip}/00001.jpg" for clip in (1, 2, 3)))
    return tmp_path


def test_something_something_v1_has_folders_of_frames_and_tests_on_its_validation_part(something_v1):
    manifest = read_dataset("something_something_v1", something_v1)
    holding, turning = "Holding something, then letting go", "Turning something"
    assert manifest.class_names == (turning, holding)
    assert rows(manifest) == [
        ("20bn-something-something-v1/1", turning, "train", ""),
        ("20bn-something-something-v1/2", holding, "train", ""),
        ("20bn-something-something-v1/3", turning, "test", ""),
    ]
    assert manifest.records[0].file.is_dir()
    assert manifest.official == {"train": 86017, "test": 11522}


def test_something_something_v1_can_have_its_classes_sorted(something_v1):
    manifest = read_dataset("something_something_v1", something_v1, class_order="sorted")
    assert manifest.class_names == ("Holding something, then letting go", "Turning something")
    assert [record.label for record in manifest.records] == [1, 0, 1]


def test_something_something_v1_refuses_an_unknown_label_and_an_overlap(something_v1):
    path = "labels/something-something-v1-validation.csv"
    write(something_v1, path, "3;Dancing")
    with pytest.raises(UserError, match="'Dancing' is not a class of something-something-v1-labels.csv"):
        read_dataset("something_something_v1", something_v1)
    write(something_v1, path, "1;Turning something")
    with pytest.raises(UserError, match="v1/1' is in train and in test"):
        read_dataset("something_something_v1", something_v1)


def test_something_something_v2_finds_the_class_by_its_template(tmp_path):
    start = "something-something-v2"
    write_json(tmp_path, f"{start}-labels.json", {"Putting something": "1", "Holding something": "0"})
    entry = {"label": "holding a cup", "template": "Holding [something]", "placeholders": ["a cup"]}
    write_json(tmp_path, f"{start}-train.json", [entry | {"id": "7"}, entry | {"id": "8"}])
    write_json(tmp_path, f"{start}-validation.json", [{"id": "9", "template": "Putting [something]"}])
    make(tmp_path, "20bn-something-something-v2/7.webm", "20bn-something-something-v2/9.webm")
    manifest = read_dataset("something_something_v2", tmp_path)
    assert manifest.class_names == ("Holding something", "Putting something")
    assert [(r.path, r.label, r.split) for r in manifest.records] == [
        ("20bn-something-something-v2/7.webm", 0, "train"),
        ("20bn-something-something-v2/9.webm", 1, "test"),
    ]
    assert manifest.official == {"train": 168913, "test": 24777}


@pytest.mark.parametrize(
    "labels, train, message",
    [
        ({"a": "0", "b": "2"}, [], "the numbers of the classes must be 0 to 1"),
        ({"a": "0", "b": "x"}, [], "must map class names to numbers"),
        ([], [], "must hold a JSON object"),
        ({"a": "0", "b": "1"}, {}, "must hold a JSON list"),
        ({"a": "0", "b": "1"}, [{"id": "1", "template": "[c]"}], "needs `id` and a `template`"),
        ({"a": "0", "b": "1"}, ["a"], "needs `id` and a `template`"),
    ],
)
def test_something_something_v2_refuses_damaged_lists(tmp_path, labels, train, message):
    write_json(tmp_path, "labels/labels.json", labels)
    write_json(tmp_path, "labels/train.json", train)
    with pytest.raises(UserError, match=message):
        read_dataset("something_something_v2", tmp_path)


def test_a_list_that_is_not_json_or_not_text_is_refused_in_one_line(tmp_path):
    write(tmp_path, "labels.json", "<html>")
    with pytest.raises(UserError, match="labels.json: not a JSON file"):
        read_dataset("something_something_v2", tmp_path)
    (tmp_path / "labels.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="labels.json: cannot be read as text in UTF-8"):
        read_dataset("something_something_v2", tmp_path)


# Diving48


@pytest.mark.parametrize("version, name, train, test", [("v1", "", 16067, 2337), ("v2", "V2_", 15027, 1970)])
def test_diving48_reads_the_labels_of_its_version(tmp_path, version, name, train, test):
    write_json(
        tmp_path, "Diving48_vocab.json", [["Back", "15som", "05Twis", "FREE"], ["Forward", "1", "2", "PIKE"]]
    )
    for list_name in ("Diving48_V2_train.json", "Diving48_train.json"):
        write_json(tmp_path, list_name, [])
    clip = {"start_frame": 0, "end_frame": 90}
    write_json(tmp_path, f"Diving48_{name}train.json", [clip | {"vid_name": "-aB_00001", "label": 1}])
    write_json(tmp_path, f"Diving48_{name}test.json", [clip | {"vid_name": "cD_00002", "label": 0}])
    make(tmp_path, "rgb/-aB_00001.mp4", "rgb/cD_00002.mp4")
    manifest = read_dataset("diving48", tmp_path, version=version)
    assert manifest.class_names == ("Back-15som-05Twis-FREE", "Forward-1-2-PIKE")
    assert [(r.path, r.label, r.split, r.start) for r in manifest.records] == [
        ("rgb/-aB_00001.mp4", 1, "train", None),
        ("rgb/cD_00002.mp4", 0, "test", None),
    ]
    assert manifest.official == {"train": train, "test": test}


@pytest.mark.parametrize(
    "entry", [{"vid_name": "a", "label": 2}, {"label": 0}, {"vid_name": "a", "label": "0"}, 3]
)
def test_diving48_refuses_an_entry_without_a_name_and_a_label_in_range(tmp_path, entry):
    write_json(tmp_path, "Diving48_vocab.json", [["A"], ["B"]])
    write_json(tmp_path, "Diving48_V2_train.json", [entry])
    with pytest.raises(UserError, match="needs `vid_name` and a `label` from 0 to 1"):
        read_dataset("diving48", tmp_path)


# Kinetics


@pytest.fixture
def kinetics(tmp_path):
    head = "label,youtube_id,time_start,time_end,split"
    train = (head, "yoga,-_abcdefghi,5,15,train", '"cooking, on campfire",bbbbbbbbbbb,0,10,train')
    write(tmp_path, "annotations/train.csv", *train)
    write(tmp_path, "annotations/val.csv", head, "yoga,ccccccccccc,100,110,val", "yoga,gggggggggg,1,11,val")
    write(tmp_path, "annotations/test.csv", head, "yoga,ddddddddddd,1,11,test")
    make(tmp_path, "train/yoga/-_abcdefghi_000005_000015.mp4", "train/bbbbbbbbbbb.mkv")
    make(tmp_path, "val/ccccccccccc_000100_000110.mp4", "test/ddddddddddd_000001_000011.mp4")
    return tmp_path


def test_kinetics_finds_clips_by_id_and_times_and_counts_the_rows(kinetics):
    manifest = read_dataset("kinetics", kinetics)
    assert rows(manifest) == [
        ("train/yoga/-_abcdefghi_000005_000015.mp4", "yoga", "train", ""),
        ("train/bbbbbbbbbbb.mkv", "cooking, on campfire", "train", ""),
        ("val/ccccccccccc_000100_000110.mp4", "yoga", "test", ""),
    ]
    assert manifest.official == {"train": 2, "test": 2}
    assert manifest.found == {"train": 2, "test": 1}
    manifest = read_dataset("kinetics", kinetics, test_part="test")
    assert manifest.found == {"train": 2, "validation": 1, "test": 1}


def test_kinetics_takes_a_clip_once_and_refuses_it_in_two_parts(kinetics):
    table = kinetics / "annotations/train.csv"
    table.write_text(table.read_text() + "yoga,bbbbbbbbbbb,0,10,train\n")
    assert read_dataset("kinetics", kinetics).official == {"train": 2, "test": 2}
    table.write_text(table.read_text() + "yoga,ccccccccccc,100,110,train\n")
    with pytest.raises(UserError, match="'val/ccccccccccc_000100_000110.mp4' is in train and in test"):
        read_dataset("kinetics", kinetics)


@pytest.mark.parametrize(
    "row, message",
    [
        ("youtube_id,label", "must name label,youtube_id,time_start,time_end"),
        ("label,youtube_id,time_start,time_end\n,ddddddddddd,1,11", "line 2: there is no label"),
        ("label,youtube_id,time_start,time_end\nyoga,ddddddddddd,1,x", "line 2: times must be seconds"),
    ],
)
def test_kinetics_refuses_a_table_it_cannot_use(kinetics, row, message):
    write(kinetics, "annotations/test.csv", row)
    with pytest.raises(UserError, match=message):
        read_dataset("kinetics", kinetics, test_part="test")


# All of a set, without a split

# What the generated sets hold.
WHOLE = {
    "basic_motions": 12,
    "diving48": 15,
    "hmdb51": 18,
    "jhmdb": 18,
    "kinetics": 9,
    "msr_action3d": 40,
    "northwestern_ucla": 160,
    "ntu_rgbd": 180,
    "olympic_sports": 15,
    "something_something_v1": 179,
    "sysu_3d_hoi": 48,
    "ucf101": 15,
    "ucf_sports": 40,
    "utkinect": 40,
}


def made(dataset, folder):
    getattr(trees, dataset)(folder)
    return folder


@pytest.mark.parametrize("dataset", WHOLE)
def test_the_whole_of_a_set_is_every_file_once(dataset, tmp_path):
    manifest = read_whole(made(dataset, tmp_path), dataset=dataset)
    paths = [record.path for record in manifest.records]
    assert len(paths) == len(set(paths)) == WHOLE[dataset]
    assert manifest.dataset == dataset
    if "split" in inspect.signature(getattr(module_of(dataset), dataset)).parameters:
        assert set(manifest.found) == {""} and set(manifest.official) == {""}
        assert {record.fold for record in manifest.records} == {""}
    parts = read_dataset(dataset, tmp_path, **({"split": "subject"} if "ucla" in dataset else {}))
    assert parts.class_names == manifest.class_names
    labels = {record.path: record.label for record in manifest.records}
    assert {record.path: record.label for record in parts.records}.items() <= labels.items()


def module_of(dataset):
    return importlib.import_module(f"keras_actrec.data.datasets.{dataset}")


def test_a_missing_view_a_missing_split_and_a_missing_list_do_not_matter(tmp_path):
    for name in ("ucla", "ucf", "hmdb", "msr"):
        (tmp_path / name).mkdir()
    trees.northwestern_ucla(tmp_path / "ucla", subjects=1, episodes=1, views=(2,))
    trees.ucf101(tmp_path / "ucf")
    trees.hmdb51(tmp_path / "hmdb")
    trees.msr_action3d(tmp_path / "msr")
    for list_ in [*(tmp_path / "ucf").rglob("*list01.txt"), *(tmp_path / "hmdb").rglob("*_split1.txt")]:
        list_.unlink()
    (tmp_path / "msr" / "JiangExperimentFileList.txt").unlink()
    sets = {"ucla": "northwestern_ucla", "ucf": "ucf101", "hmdb": "hmdb51", "msr": "msr_action3d"}
    for folder, dataset in sets.items():
        with pytest.raises(UserError):
            read_dataset(dataset, tmp_path / folder)
        found = len(read_whole(tmp_path / folder, dataset=dataset).records)
        assert found == {"ucla": 10, "ucf": 15, "hmdb": 18, "msr": 40}[folder]


def test_copies_of_a_view_are_listed(tmp_path):
    trees.northwestern_ucla(tmp_path, subjects=1, episodes=1, views=(1, 3))
    for file in sorted((tmp_path / "all_sqe").glob("*_v03.json")):
        (tmp_path / "all_sqe" / file.name.replace("v03", "v02")).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="train files have the content of test files"):
        read_dataset("northwestern_ucla", tmp_path)
    assert len(read_whole(tmp_path, dataset="northwestern_ucla").records) == 30


def test_the_whole_of_ntu_has_the_classes_of_its_edition(tmp_path):
    make(tmp_path, "S001C001P001R001A001.skeleton")
    manifest = read_whole(tmp_path, dataset="ntu_rgbd")
    assert len(manifest.class_names) == 60 and manifest.official == {"": 56880}
    assert [record.group for record in manifest.records] == ["P001"]
    make(tmp_path, "S018C001P041R001A061.skeleton")
    manifest = read_whole(tmp_path, dataset="ntu_rgbd")
    assert len(manifest.class_names) == 120 and len(manifest.records) == 2 and manifest.official == {}


def test_the_whole_of_a_set_of_ones_own_keeps_its_parts(tmp_path):
    trees.splits(tmp_path)
    assert read_whole(tmp_path) == read_manifest(tmp_path)
    with pytest.raises(UserError, match="did you mean 'ucf101'"):
        read_whole(tmp_path, dataset="ucf10")


@pytest.mark.parametrize("dataset", list_datasets())
def test_what_a_set_is_said_to_hold_is_what_its_reader_can_read(dataset, tmp_path):
    readable = hasattr(module_of(dataset), "read_skeleton")
    assert readable or not holds_skeletons(dataset)
    assert holds_skeletons(dataset) == (readable and dataset != "jhmdb")
    if not readable:
        with pytest.raises(
            UserError, match="`dataset` must be one of basic_motions, jhmdb, msr_action3d, nor"
        ):
            read_skeleton(dataset, None)


def test_a_split_of_all_can_be_drawn_without_a_person_in_two_parts(tmp_path):
    trees.northwestern_ucla(tmp_path, episodes=1)
    parts = split_manifest(read_dataset("northwestern_ucla", tmp_path, split="all"), test_fraction=0.25)
    people = {part: {record.group for record in records} for part, records in parts.items()}
    assert len(people["test"]) == 1 and len(people["train"]) == 3
    assert not people["test"] & people["train"]
