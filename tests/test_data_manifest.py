import numpy as np
import pytest

import hostile
from keras_actrec.data import expand_sources, probe, read_manifest, split_manifest
from keras_actrec.data.decode import iter_timed
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def table(root, text, name="manifest.csv"):
    (root / name).write_text(text)
    return root / name


def rows(manifest):
    return [(r.path, manifest.class_names[r.label], r.split, r.group, r.fold) for r in manifest.records]


def test_a_csv_file_is_read_with_paths_relative_to_it(tmp_path):
    make(tmp_path, "b/2.mp4", "1.mp4")
    file = table(tmp_path, "path,extra,label,group\nb/2.mp4,?,walk,g1\n 1.mp4 ,?, run,\n")
    manifest = read_manifest(file)
    assert rows(manifest) == [("b/2.mp4", "walk", "", "g1", ""), ("1.mp4", "run", "", "", "")]
    assert manifest.class_names == ("run", "walk")
    assert [record.label for record in manifest.records] == [1, 0]
    assert manifest.records[0].file == tmp_path / "b" / "2.mp4"
    assert manifest.root == tmp_path


def test_classes_stand_in_sorted_order_whatever_the_order_of_the_rows(tmp_path):
    make(tmp_path, "1.mp4", "2.mp4", "3.mp4")
    file = table(tmp_path, "path,label\n1.mp4,c\n2.mp4,a\n3.mp4,b\n")
    assert read_manifest(file).class_names == ("a", "b", "c")


def test_a_folder_with_a_manifest_csv_is_read_from_it(tmp_path):
    make(tmp_path, "x/1.mp4", "x/2.mp4", "y/3.mp4")
    table(tmp_path, "path,label\nx/1.mp4,left\nx/2.mp4,right\n")
    assert rows(read_manifest(tmp_path)) == [
        ("x/1.mp4", "left", "", "", ""),
        ("x/2.mp4", "right", "", "", ""),
    ]


def test_a_named_csv_file_in_a_folder_goes_before_manifest_csv(tmp_path):
    make(tmp_path, "1.mp4", "2.mp4")
    table(tmp_path, "path,label\n1.mp4,a\n2.mp4,b\n")
    table(tmp_path, "path,label\n1.mp4,c\n2.mp4,d\n", "index.csv")
    assert read_manifest(tmp_path, manifest="index.csv").class_names == ("c", "d")


def test_a_folder_of_class_folders_is_read_sorted(tmp_path):
    make(
        tmp_path,
        "walk/2.AVI",
        "walk/1.mp4",
        "run/deep/3.webm",
        "run/notes.txt",
        "run/.part_4.mp4",
        "readme.md",
    )
    assert rows(read_manifest(tmp_path)) == [
        ("run/deep/3.webm", "run", "", "", ""),
        ("walk/1.mp4", "walk", "", "", ""),
        ("walk/2.AVI", "walk", "", "", ""),
    ]


def test_split_folders_that_hold_class_folders_give_splits(tmp_path):
    make(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "test/b/4.mp4")
    assert rows(read_manifest(tmp_path)) == [
        ("test/b/4.mp4", "b", "test", "", ""),
        ("train/a/1.mp4", "a", "train", "", ""),
        ("train/b/2.mp4", "b", "train", "", ""),
        ("val/a/3.mp4", "a", "validation", "", ""),
    ]


def test_a_class_folder_may_be_a_link(tmp_path):
    make(tmp_path, "elsewhere/1.mp4", "set/b/2.mp4")
    (tmp_path / "set" / "a").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [row[:2] for row in rows(read_manifest(tmp_path / "set"))] == [("a/1.mp4", "a"), ("b/2.mp4", "b")]


def test_a_class_may_be_called_like_a_split(tmp_path):
    make(tmp_path, "train/1.mp4", "plane/2.mp4")
    assert read_manifest(tmp_path).class_names == ("plane", "train")


def test_the_hash_is_that_of_the_set_and_not_of_its_order(tmp_path):
    make(tmp_path, "1.mp4", "2.mp4")
    first = read_manifest(table(tmp_path, "path,label,split\n1.mp4,a,train\n2.mp4,b,test\n"))
    same = read_manifest(table(tmp_path, "label,path,split\nb,2.mp4,test\na,1.mp4,train\n", "same.csv"))
    other = read_manifest(table(tmp_path, "path,label,split\n1.mp4,a,train\n2.mp4,b,train\n", "other.csv"))
    assert first.sha256 == same.sha256 != other.sha256
    assert len(first.sha256) == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the column `path` is missing"),
        ("path,class\n1.mp4,a\n", "the column `label` is missing.* Received: 'path,class'"),
        ("path,label\n", "the file lists no videos"),
        ("path,label\n1.mp4,a\n2.mp4,\n", "line 3: `label` is blank"),
        ("path,label\n1.mp4,a\n2.mp4\n", "line 3: `label` is blank"),
        ("path,label\n,a\n2.mp4,b\n", "line 2: `path` is blank"),
        ("path,label\n1.mp4,a\n3.mp4,b\n4.mp4,b\n", "2 of 3 listed files are missing, the first is '3.mp4'"),
        ("path,label\n1.mp4,a\n./1.mp4,b\n", r"'\./1.mp4' is listed twice"),
        ("path,label,split\n1.mp4,a,train\n2.mp4,b,dev\n", "line 3: `split` must be .* Received: 'dev'"),
        ("path,label,split\n1.mp4,a,train\n2.mp4,b,\n", "`split` is blank for '2.mp4'"),
        ("path,label,fold\n1.mp4,a,\n2.mp4,b,1\n", "`fold` is blank for '1.mp4'"),
        (
            "path,label,split,group\n1.mp4,a,train,g\n2.mp4,b,test,g\n",
            "the group 'g' is in the splits 'train' and 'test'",
        ),
    ],
)
def test_a_bad_csv_file_is_refused_in_one_line(tmp_path, text, message):
    make(tmp_path, "1.mp4", "2.mp4")
    with pytest.raises(UserError, match=message) as caught:
        read_manifest(table(tmp_path, text))
    assert "\n" not in str(caught.value) and str(tmp_path / "manifest.csv") in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"\x80\xff\x00" * 100)
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        read_manifest(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ((), r"no videos found \(looked for \.avi \.m4v"),
        (("a/1.txt", "b/2.rmvb"), r"no videos found \(.*\); 2 files passed over: 1 .rmvb, 1 .txt$"),
        (
            ("a/1.npz",),
            r"; 1 file passed over: 1 .npz; joints and features need `dataset`, poses or features$",
        ),
        (("1.mp4", "a/2.mp4"), "1.mp4: the video is in no class folder"),
        (("train/1.mp4", "test/b/2.mp4"), "the video is in no class folder"),
    ],
)
def test_a_bad_folder_is_refused(tmp_path, paths, message):
    make(tmp_path, *paths)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path)


def test_what_is_not_there_is_named_with_what_was_looked_for(tmp_path):
    with pytest.raises(
        UserError, match="nowhere: not found; looked for a table, tar files or a folder of videos"
    ):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(UserError, match="index.csv: not found"):
        read_manifest(tmp_path, manifest="index.csv")


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "valid", "test"),  # Roboflow, fastai
        ("Train", "Val", "Test"),
        ("TRAIN", "VALIDATION", "TEST"),
        ("training", "validating", "testing"),
        ("trainset", "validset", "testset"),
        ("train_set", "valid-set", "test set"),
        ("train_data", "val_data", "test_data"),
        ("train_256", "val_256", "test_256"),  # Kinetics, resized
        ("videos_train", "videos_val", "videos_test"),
        ("1 train", "2 valid", "3 test"),
    ],
)
def test_splits_may_be_spelled_as_people_spell_them(tmp_path, train, validation, test):
    make(tmp_path, f"{train}/a/1.mp4", f"{train}/b/2.mp4", f"{validation}/a/3.mp4", f"{test}/b/4.mp4")
    manifest = read_manifest(tmp_path)
    assert manifest.class_names == ("a", "b")
    splits = {record.path.partition("/")[0]: record.split for record in manifest.records}
    assert splits == {train: "train", validation: "validation", test: "test"}
    file = table(tmp_path, f"path,label,split\n{train}/a/1.mp4,a,{train}\n{test}/b/4.mp4,b,{test}\n")
    assert [record.split for record in read_manifest(file).records] == ["train", "test"]


@pytest.mark.parametrize("other", ["extra", "unlabeled", "dev", "holdout", "plane"])
def test_a_folder_that_is_no_split_beside_splits_is_refused(tmp_path, other):
    make(tmp_path, "Train/a/1.mp4", "Train/b/2.mp4", "valid/a/3.mp4", f"{other}/b/4.mp4")
    with pytest.raises(UserError) as caught:
        read_manifest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: the folder 'Train' holds folders as a split does, and {other!r} is named as no split: "
        "name all of them train, validation or test, or list the videos in manifest.csv"
    )


def test_splits_inside_class_folders_are_refused(tmp_path):
    make(tmp_path, "a/train/1.mp4", "a/test/2.mp4", "b/Train/3.mp4", "b/valid/4.mp4")
    with pytest.raises(UserError, match="splits are inside of other folders, such as 'a/test': put"):
        read_manifest(tmp_path)


def test_classes_named_as_splits_are_classes_where_they_hold_videos(tmp_path):
    make(tmp_path, "valid/1.mp4", "invalid/2.mp4")
    assert read_manifest(tmp_path).class_names == ("invalid", "valid")


def test_what_is_passed_over_is_told(tmp_path):
    make(tmp_path, "a/1.mp4", "a/2.xyz", "b/3.mp4", "b/4.xyz", "b/deep/5.XYZ", "b/.hidden", "a/notes")
    make(tmp_path, "c/6.rmvb", "readme.md")
    manifest = read_manifest(tmp_path)
    assert manifest.class_names == ("a", "b")
    assert manifest.passed_over == {".xyz": 3, ".rmvb": 1, "notes": 1} and manifest.empty == ("c",)
    assert manifest.notes == ["5 files passed over: 1 .rmvb, 3 .xyz, 1 notes", "nothing to read in 'c'"]


def test_empty_class_folders_are_told_below_splits_too(tmp_path):
    make(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "test/a/3.mp4", "test/b/4.xyz")
    assert read_manifest(tmp_path).notes == ["1 file passed over: 1 .xyz", "nothing to read in 'test/b'"]


@pytest.mark.parametrize("tops", [("fold1", "fold2"), ("holdout", "learn"), ("a", "b", "c", "d", "e")])
def test_folders_in_those_of_classes_that_may_be_the_classes_are_told(tmp_path, tops):
    make(tmp_path, *(f"{top}/{name}/{top}.mp4" for top in tops for name in ("jump", "run")))
    manifest = read_manifest(tmp_path)
    assert manifest.class_names == tops
    some = ", ".join(map(repr, tops)) if len(tops) < 5 else "'a', 'b', 'c', 'd', ..."
    assert manifest.notes == [
        f"the classes are the folders on top, {some}, and not those in them, such as '{tops[0]}/jump': "
        "splits are named train, validation and test"
    ]


def test_folders_in_those_of_classes_of_which_each_has_its_own_are_not_told(tmp_path):
    make(tmp_path, "jump/g1/1.mp4", "jump/g2/2.mp4", "run/g1/3.mp4", "run/g3/4.mp4")
    assert read_manifest(tmp_path).notes == []
    make(tmp_path, "run/g2/5.mp4", "run/6.mp4")
    assert read_manifest(tmp_path).notes == []


def test_a_set_of_which_nothing_is_left_out_has_no_notes(tmp_path):
    make(tmp_path, "a/1.mp4", "b/2.gif", "b/v/0001.jpg", "b/v/0002.jpg", "b/v/notes.txt")
    assert read_manifest(tmp_path).notes == []
    assert read_manifest(table(tmp_path, "path,label\na/1.mp4,a\nb/2.gif,b\n")).notes == []


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("split", ["", "train/"])
def test_videos_in_class_folders_may_be_folders_of_frames(tmp_path, suffix, split):
    frames = [f"img_{number:05d}{suffix}" for number in (1, 2)]
    for video in ("run/v1", "run/v2", "walk/v3"):
        make(tmp_path, *[f"{split}{video}/{frame}" for frame in frames])
    manifest = read_manifest(tmp_path)
    assert [record.path for record in manifest.records] == [
        f"{split}{video}" for video in ("run/v1", "run/v2", "walk/v3")
    ]
    assert manifest.class_names == ("run", "walk")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["0", "1", "10", "11", "2"], ("0", "1", "2", "10", "11")),
        (["10.0", "2.0", "0.0"], ("0.0", "2.0", "10.0")),
        (["10", "-1", "9"], ("-1", "9", "10")),
        (["10", "9", "none"], ("10", "9", "none")),  # names, of which some are numbers
    ],
)
def test_labels_that_are_numbers_stand_in_the_order_of_numbers(tmp_path, labels, names):
    make(tmp_path / "set", *[f"{label}/clip.mp4" for label in labels])
    file = table(tmp_path, "path,label\n" + "".join(f"set/{each}/clip.mp4,{each}\n" for each in labels))
    assert read_manifest(file).class_names == read_manifest(tmp_path / "set").class_names == names


def test_a_set_of_one_class_can_be_read_but_not_split_for_training(tmp_path):
    make(tmp_path, "set/test/a/1.mp4", "set/test/a/2.mp4", "1.mp4", "2.mp4")
    for data in (tmp_path / "set", table(tmp_path, "path,label\n1.mp4,a\n2.mp4,a\n")):
        manifest = read_manifest(data)
        assert manifest.class_names == ("a",)
        with pytest.raises(UserError, match="only one class, 'a'; at least two are needed to train"):
            split_manifest(manifest)


def test_frames_of_a_file_are_cut_out_by_columns(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").touch()
    table = tmp_path / "list.csv"
    table.write_text("path,label,start,stop\na.mp4,walk,0,30\na.mp4,sit,30,\nb.mp4,sit,,\nb.mp4,walk,,12\n")
    found = read_manifest(table)
    cut = [(record.path, record.start, record.stop, record.group) for record in found.records]
    assert cut == [
        ("a.mp4#0-30", 0, 30, "a.mp4"),  # both of a file stay in one part
        ("a.mp4#30-", 30, None, "a.mp4"),
        ("b.mp4", None, None, "b.mp4"),
        ("b.mp4#0-12", None, 12, "b.mp4"),
    ]
    assert [record.file.name for record in found.records] == ["a.mp4", "a.mp4", "b.mp4", "b.mp4"]
    table.write_text("path,label,split,start,stop\na.mp4,walk,train,0,30\na.mp4,sit,test,30,60\n")
    assert [(record.split, record.group) for record in read_manifest(table).records] == [
        ("train", ""),
        ("test", ""),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.mp4,x,-1,3", "line 2: `start` must be the number of a frame. Received: '-1'"),
        ("a.mp4,x,1,3.5", "line 2: `stop` must be the number of a frame. Received: '3.5'"),
        ("a.mp4,x,4,4", "line 2: `stop` must be behind `start`. Received: '4'"),
        ("a.mp4,x,,0", "line 2: `stop` must be behind `start`. Received: '0'"),
        ("a.mp4,x,99999999999,", "line 2: `start` must be the number of a frame"),
        ("a.mp4,x,1,2\na.mp4,y,1,2", "the path 'a.mp4#1-2' is listed twice"),
    ],
)
def test_a_frame_that_is_none_is_named(row, message, tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "list.csv").write_text(f"path,label,start,stop\n{row}\n")
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path / "list.csv")


def test_start_and_end_are_seconds_by_the_rate_of_the_file(tmp_path):
    hostile.write(tmp_path / "a.mp4", [np.zeros((16, 16, 3), "uint8")] * 4)  # 10 frames a second
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    table = tmp_path / "list.csv"
    rows = ["a.mp4,0,1.249,walk", "a.mp4,1.25,,sit", "a.mp4,,2,walk", "a.mp4,3.01,3.02,sit", "a.mp4,,,sit"]
    table.write_text("\n".join(["path,start,end,label,score", *[f"{row},.9" for row in rows]]) + "\n")
    cut = [(record.path, record.start, record.stop) for record in read_manifest(table).records]
    assert cut == [
        ("a.mp4#0-12", 0, 12),
        ("a.mp4#13-", 13, None),
        ("a.mp4#0-20", 0, 20),
        ("a.mp4#30-31", 30, 31),  # not less than a frame
        ("a.mp4", None, None),
    ]
    # What cannot be read is named when it is read, and must not keep the others from being listed.
    table.write_text("path,start,end,label\nbroken.mp4,1,2,x\na.mp4,0,1,y\n")
    assert [record.file.name for record in read_manifest(table).records] == ["broken.mp4", "a.mp4"]


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("start,end", "1,1", "line 2: `end` must be behind `start`. Received: '1'"),
        ("start,end", ",0", "line 2: `end` must be behind `start`. Received: '0'"),
        ("start,end", "-1,2", "line 2: `start` must be seconds, 0 or more. Received: '-1'"),
        ("start,end", "1,nan", "line 2: `end` must be seconds, 0 or more. Received: 'nan'"),
        ("start,end", "1,inf", "line 2: `end` must be seconds, 0 or more. Received: 'inf'"),
        ("start,end", "0:01,2", "line 2: `start` must be seconds, 0 or more. Received: '0:01'"),
        ("start,stop,end", "1,2,3", "`stop` is a frame and `end` a second: keep one of the columns"),
    ],
)
def test_seconds_that_are_none_are_named(header, row, message, tmp_path):
    hostile.write(tmp_path / "a.mp4", [np.zeros((16, 16, 3), "uint8")] * 4)
    (tmp_path / "list.csv").write_text(f"path,label,{header}\na.mp4,x,{row}\n")
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path / "list.csv")


def test_seconds_and_columns_are_taken_as_people_and_programs_write_them(tmp_path):
    hostile.write(tmp_path / "a.mp4", [np.zeros((16, 16, 3), "uint8")] * 4)
    (tmp_path / "list.csv").write_text("path, Start, End , LABEL\na.mp4, .5, 1e0, walk\n")
    (record,) = read_manifest(tmp_path / "list.csv").records
    assert (record.path, record.file.name) == ("a.mp4#5-10", "a.mp4")
    assert [each.start for each in expand_sources(tmp_path / "list.csv")] == [5]


def test_seconds_of_frames_that_come_unevenly_go_by_their_times(tmp_path):
    hostile.variable_rate(tmp_path / "a.mp4")
    times = [seconds for seconds, _ in iter_timed(tmp_path / "a.mp4")]
    last = times[-1] + times[-1] - times[-2]  # as long as the one before
    rows = [(times[7], times[20]), (times[20], times[-1]), (times[40] + 0.001, last)]
    text = [f"a.mp4,{start:.3f},{end:.3f},x" for start, end in rows]
    (tmp_path / "list.csv").write_text("\n".join(["path,start,end,label", *text]))
    cut = [(record.start, record.stop) for record in read_manifest(tmp_path / "list.csv").records]
    assert cut == [(7, 20), (20, 59), (40, 60)]
    rate = probe(tmp_path / "a.mp4").fps
    (tmp_path / "list.csv").write_text(f"path,start,end,label\na.mp4,0,{last + 10 / rate},x\n")
    assert read_manifest(tmp_path / "list.csv").records[0].stop == 70  # which are not there


def test_seconds_of_what_has_no_rate_are_refused(tmp_path):
    hostile.images(tmp_path / "frames", 3)
    (tmp_path / "a.json").write_text("[]")
    for name in ("frames", "a.json"):
        (tmp_path / "list.csv").write_text(f"path,label,start,end\n{name},x,1,2\n")
        with pytest.raises(UserError, match=f"{name} tells no frames a second: give `start` and `stop`"):
            read_manifest(tmp_path / "list.csv")
        (record,) = read_manifest(tmp_path / "list.csv", fps=4).records
        assert (record.start, record.stop) == (4, 8)
