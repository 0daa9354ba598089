"""Which files a file, a folder, a pattern, a CSV file and standard input stand for."""

import io
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
)
from keras_actrec.data import expand_sources as expand
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(sources, **options):
    return [record.file.as_posix() for record in expand(sources, **options)]


def test_a_file_is_itself_whatever_it_is_called_and_wherever_it_is():
    touch("clip", "notes.txt", "ä b\n動画.mp4")
    files = ["clip", "no.mp4", "notes.txt", "ä b\n動画.mp4", "no/folder/x.MOV"]
    assert names(files) == files
    assert names("clip") == names(Path("clip")) == ["clip"]
    assert names([]) == []


def test_the_order_is_that_of_the_sources_and_what_is_named_twice_is_there_twice():
    touch("b/2.mp4", "b/1.mp4", "a.mp4")
    assert names(["b", "a.mp4", "b/1.mp4", "a.mp4"]) == ["b/1.mp4", "b/2.mp4", "a.mp4", "b/1.mp4", "a.mp4"]


def test_a_folder_is_searched_with_its_folders_for_videos():
    touch("v/b.mp4", "v/a.AVI", "v/notes.txt", "v/c/deep/x.Mp4", "v/.hidden.mp4", "v/.git/y.mp4", "v/npz.npz")
    assert names("v") == ["v/a.AVI", "v/b.mp4", "v/c/deep/x.Mp4"]
    assert names(str(Path("v").absolute()))[0] == (Path("v").absolute() / "a.AVI").as_posix()
    assert names(".") == names("v")


def test_what_a_folder_has_beside_is_told_once_by_suffix():
    touch("clips/a.mp4", "clips/b.GIFV", "clips/c/d.gifv", "clips/c/notes", "clips/c/e.avi", "clips/.hidden")
    told = []
    assert names("clips", tell=told.append) == ["clips/a.mp4", "clips/c/e.avi"]
    assert told == ["3 files passed over: 2 .gifv, 1 notes"]
    told.clear()
    names(["clips/a.mp4", "clips/c/*.avi"], tell=told.append)
    assert told == []


def test_a_folder_whose_links_lead_back_to_it_ends():
    touch("v/a.mp4")
    os.symlink("..", "v/up")
    assert names("v") == ["v/a.mp4"]


def test_a_folder_of_numbered_images_is_one_video():
    touch(*(f"clip/{number:03d}.jpg" for number in range(3)), "clip/readme.txt")
    assert names("clip") == names(["clip/"]) == ["clip"]
    os.chdir("clip")
    assert names(".") == ["."]


def test_folders_of_images_are_found_between_videos():
    touch("v/a.mp4", "v/one/1.png", "v/one/2.png", "v/two/img_7.JPEG", "v/none/cover.jpg")
    assert names("v") == ["v/a.mp4", "v/one", "v/two"]


def test_images_beside_or_above_videos_are_no_video():
    touch("v/thumbnail_1.jpg", "v/a.mp4", "w/cover1.jpg", "w/in/b.mp4")
    assert names("v") == ["v/a.mp4"] and names("w") == ["w/in/b.mp4"]


def test_images_in_a_folder_of_frames_are_no_video_of_their_own():
    touch("clip/1.jpg", "clip/masks/1.png", "clip/masks/more/1.png", "other/1.jpg")
    assert names(["clip", "other"]) == names(".") == ["clip", "other"]


@pytest.mark.parametrize(
    ("make", "instead"),
    [
        (lambda: os.mkdir("v"), ""),
        (
            lambda: touch("v/a.txt", "v/w/cover.jpg", "v/.b.mp4"),
            "; 2 files passed over: 1 .jpg, 1 .txt",
        ),
    ],
)
def test_a_folder_without_videos_is_refused_with_what_was_looked_for(make, instead):
    make()
    with pytest.raises(UserError) as caught:
        expand("v")
    message = str(caught.value)
    assert message.startswith("v: no videos found (looked for *.avi ") and "\n" not in message
    assert "*.mp4" in message and message.endswith(f" and numbered images in its folders){instead}")


def test_patterns_of_names_take_the_place_of_videos():
    touch("p/b.NPZ", "p/a.json", "p/1.jpg", "p/c.mp4")
    assert names("p", patterns=("*.npz", "*.json")) == ["p/a.json", "p/b.NPZ"]
    with pytest.raises(UserError, match=r"^p: no files found \(looked for \*.skeleton in its folders\); 4 "):
        expand("p", patterns=("*.skeleton",))


def test_a_pattern_stands_for_what_it_fits_sorted():
    touch("v/b.mp4", "v/a.mp4", "v/deep/c.mp4", "v/x.txt")
    assert names("v/*.mp4") == ["v/a.mp4", "v/b.mp4"]
    assert names("v/**/*.mp4") == ["v/a.mp4", "v/b.mp4", "v/deep/c.mp4"]
    assert names("v/?.txt") == ["v/x.txt"]  # named, so it is tried
    assert names("v/d*") == ["v/deep/c.mp4"]  # a folder


def test_a_file_with_the_signs_of_a_pattern_in_its_name_is_itself():
    touch("clip[1].mp4", "clip1.mp4", "-")
    assert names("clip[1].mp4") == ["clip[1].mp4"]
    assert names("[-]") == ["-"]  # not standard input


def test_a_pattern_that_fits_nothing_is_refused():
    with pytest.raises(UserError, match=r"^v/\*.mp4: no file or folder fits this pattern; "):
        expand(["a.mp4", "v/*.mp4"])


def test_a_csv_file_lists_files_relative_to_itself():
    touch("lists/x.mp4")
    absolute = Path("y.mp4").absolute()
    Path("lists/some.CSV").write_text(
        f"label,path,more\na,x.mp4,1\nb,../z z/ü.mp4,2\nb,frames,\n\nc,{absolute},\nd,x.mp4,\n",
        encoding="utf-8-sig",
    )
    assert names("lists/some.CSV") == [
        "lists/x.mp4",
        "lists/../z z/ü.mp4",
        "lists/frames",
        absolute.as_posix(),
        "lists/x.mp4",
    ]
    assert names("lists/*.CSV") == names("lists/some.CSV")


@pytest.mark.parametrize(
    "content, message",
    [
        (
            b"file,label\na.mp4,x\n",
            "must name path (optionally start,stop,end). Received: 'file,label'",
        ),
        (b"", "the column `path` is missing"),
        (b"path\n", "the file lists no videos; add rows of path"),
        (b"path,label\na.mp4,x\n,y\n", "list.csv, line 3: `path` is blank; fill it in or remove the row"),
        (b"path\n\xff\xfe.mp4\n", "list.csv: not a CSV file in UTF-8"),
    ],
)
def test_a_csv_file_that_lists_nothing_is_refused(content, message):
    Path("list.csv").write_bytes(content)
    with pytest.raises(UserError) as caught:
        expand("list.csv")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_csv_file_that_is_not_there_is_a_file_like_others():
    assert names("no.csv") == ["no.csv"]


def piped(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_standard_input_has_a_path_a_line_and_blank_lines_count_for_nothing(monkeypatch):
    touch("v/a.mp4", "x*.mp4")
    piped(monkeypatch, "a b.mp4\n\n  \nü.mp4\r\nv\nx*.mp4\n no.mp4\n-".encode())
    assert names(["first.mp4", "-", "last.mp4"]) == [
        "first.mp4",
        "a b.mp4",
        "ü.mp4",
        "v",  # as it stands: a line a path
        "x*.mp4",
        " no.mp4",
        "-",
        "last.mp4",
    ]


def test_names_on_standard_input_need_not_be_text(monkeypatch):
    piped(monkeypatch, b"bad \xff.mp4\n")
    (record,) = expand("-")
    assert os.fsencode(record.file) == b"bad \xff.mp4"


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_standard_input_without_a_path_is_refused(monkeypatch, content):
    piped(monkeypatch, content)
    with pytest.raises(UserError, match="^-: standard input names no files; write one path a line$"):
        expand("-")


def test_thousands_of_files_take_time_by_their_number(monkeypatch):
    touch(*(f"v/{number % 100}/{number}.mp4" for number in range(3000)))
    start = time.perf_counter()
    files = names("v")
    piped(monkeypatch, "\n".join(files * 10).encode())
    assert len(files) == 3000 and len(expand("-")) == 30_000
    assert time.perf_counter() - start < 5  # measured: 0.3 s


@pytest.mark.parametrize(
    "dataset, file, other",
    [
        ("poses", "a.NPZ", "a.txt"),
        ("ntu_rgbd", "S001.skeleton", "list.txt"),
        ("utkinect", "joints_s01_e01.txt", "actionLabel.txt"),
        ("msr_action3d", "a01_s01_e01_skeleton3D.txt", "list.txt"),
        ("northwestern_ucla", "a01.json", "a.npz"),
        ("sysu_3d_hoi", "sklWorld.mat", "a.txt"),
        ("jhmdb", "joint_positions.mat", "a.avi"),
        ("basic_motions", "basic_motions.npz", "a.txt"),
    ],
)
def test_a_recognizer_of_skeletons_looks_for_files_of_its_set(dataset, file, other):
    touch(f"set/{file}", f"set/{other}")
    seen = SkeletonPreprocessor(dataset, SkeletonTransform())
    assert names("set", patterns=seen.patterns) == [f"set/{file}"]


def test_a_recognizer_of_clips_looks_for_videos():
    touch("v/a.mp4", "v/b/1.jpg", "v/c.npz")
    assert names("v", patterns=ClipPreprocessor(Sampling(), ClipTransform()).patterns) == ["v/a.mp4", "v/b"]
