import pytest

from keras_actrec.data import read_manifest
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
        ("path,label\n1.mp4,a\n2.mp4,a\n", "only one class, 'a'"),
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
        (("a/1.txt",), "no videos found"),
        (("a/1.mp4", "a/2.mp4"), "only one class, 'a'"),
        (("1.mp4", "a/2.mp4"), "1.mp4: the video is in no class folder"),
        (("train/1.mp4", "test/b/2.mp4"), "the video is in no class folder"),
    ],
)
def test_a_bad_folder_is_refused(tmp_path, paths, message):
    make(tmp_path, *paths)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path)


def test_what_is_not_there_is_named_with_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match="nowhere: not found; looked for a CSV file or a folder of videos"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(UserError, match="index.csv: not found"):
        read_manifest(tmp_path, manifest="index.csv")
