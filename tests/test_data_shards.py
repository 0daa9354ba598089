"""Videos in tar files: the same frames as from files, labels from what lies beside, order, hostile ones."""

import hashlib
import io
import json
import os
import tarfile
from importlib.util import find_spec

import numpy as np
import pytest

import hostile
from keras_actrec.data import (
    ClipDataset,
    ClipTransform,
    Manifest,
    Record,
    Sampling,
    VideoError,
    VideoInfo,
    audit_videos,
    expand_sources,
    index_videos,
    kind_of,
    pack_videos,
    probe,
    read_frames,
    read_manifest,
    read_whole,
    split_manifest,
)
from keras_actrec.data import _batches as batches_module
from keras_actrec.data._readers import content_hash, stamp
from keras_actrec.data._samples import shards_of
from keras_actrec.data._shards import is_there, members, opened
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend
NO_PYAV = pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV: pip install 'keras_actrec[pyav]'")
DECODERS = ["opencv", pytest.param("pyav", marks=NO_PYAV)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four videos of two classes: frames show the numbers from 0, 10, 20 and 30 on."""
    root = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(("run/a", "run/b", "walk/c", "walk/d")):
        path = root / f"{name}.mp4"
        path.parent.mkdir(exist_ok=True)
        hostile.write(path, [hostile.barcode(10 * number + frame) for frame in range(8)])
    return root


def write_tar(path, contents):
    """A tar file of members by name: bytes, or text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in contents.items():
            content = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def rows(manifest):
    return [(r.path, manifest.class_names[r.label], r.split, r.group) for r in manifest.records]


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_video_in_a_tar_file_is_what_it_is_as_a_file(videos, tmp_path, decoder):
    names = ("run/b.mp4", "walk/c.mp4")
    shard = write_tar(tmp_path / "s.tar", {name: (videos / name).read_bytes() for name in names})
    for name, first in zip(names, (10, 20), strict=True):
        inside = shard / name
        assert probe(inside, decoder=decoder) == probe(videos / name, decoder=decoder)
        frames = read_frames(inside, decoder=decoder)
        assert hostile.numbers(frames) == list(range(first, first + 8))
        np.testing.assert_array_equal(frames, read_frames(videos / name, decoder=decoder))
        assert content_hash(inside) == hashlib.sha256((videos / name).read_bytes()).hexdigest()
        assert stamp(inside) == ((videos / name).stat().st_size, shard.stat().st_mtime_ns)


def test_a_member_ends_where_it_ends(tmp_path):
    shard = write_tar(tmp_path / "s.tar", {"a.bin": b"0123456789", "b.bin": b"x" * 600})
    with opened(shard / "a.bin") as file:
        assert file.seek(0, 2) == 10 and file.read() == b""
        file.seek(8)
        assert file.read(100) == b"89"


def test_other_containers_are_read_in_place_too(tmp_path):
    for suffix, codec in ((".avi", "MJPG"), (".mkv", "MJPG"), (".ts", "mp4v")):
        file = hostile.write(tmp_path / f"v{suffix}", [hostile.barcode(n) for n in range(9)], codec)
        shard = write_tar(tmp_path / f"{suffix}.tar", {"x.txt": "0", f"v{suffix}": file.read_bytes()})
        assert hostile.numbers(read_frames(shard / f"v{suffix}")) == list(range(9))


def test_damage_inside_of_a_tar_file_is_that_of_the_video(videos, tmp_path):
    half = (videos / "run/a.mp4").read_bytes()[:500]
    shard = write_tar(tmp_path / "s.tar", {"half.mp4": half, "none.mp4": b""})
    for name, what in (("half", "cannot open it"), ("none", "zero bytes"), ("other", "no such file")):
        with pytest.raises(VideoError, match=what) as raised:
            probe(shard / f"{name}.mp4")
        assert raised.value.status == "unreadable" and str(shard / f"{name}.mp4") in str(raised.value)


def test_labels_are_what_lies_beside_the_video(tmp_path):
    write_tar(
        tmp_path / "s-1.tar",
        {
            "1.mp4": b"", "1.cls": "walk\n", "1.json": '{"label": "not this"}',
            "2.left.mp4": b"", "2.right.mp4": b"", "2.json": '{"label": "run", "group": 7, "more": [1]}',
            "sit/3.mp4": b"",
            "sit/4.mp4": b"", "sit/4.txt": "stand",
            ".hidden.mp4": b"", "readme.md": "",
        },
    )  # fmt: skip
    found = read_manifest(tmp_path)
    assert rows(found) == [
        ("s-1.tar/1.mp4", "walk", "", ""),
        ("s-1.tar/2.left.mp4", "run", "", "7"),
        ("s-1.tar/2.right.mp4", "run", "", "7"),
        ("s-1.tar/sit/3.mp4", "sit", "", ""),
        ("s-1.tar/sit/4.mp4", "stand", "", ""),
    ]
    assert found.class_names == ("run", "sit", "stand", "walk") and found.passed_over == {".md": 1}


def test_labels_that_are_numbers_are_classes_by_their_value(tmp_path):
    write_tar(tmp_path / "s.tar", {"a.mp4": b"", "a.cls": "10", "b.mp4": b"", "b.cls": "9"})
    assert read_manifest(tmp_path / "s.tar").class_names == ("9", "10")


def test_splits_are_folders_names_of_tar_files_or_said(tmp_path):
    for name, folder in (("train/0.tar", "a"), ("val/0.tar", "b"), ("test/0.tar", "a")):
        write_tar(tmp_path / "folders" / name, {f"{folder}/x.mp4": b""})
    assert rows(read_manifest(tmp_path / "folders")) == [
        ("test/0.tar/a/x.mp4", "a", "test", ""),
        ("train/0.tar/a/x.mp4", "a", "train", ""),
        ("val/0.tar/b/x.mp4", "b", "validation", ""),
    ]
    for name in ("train-00.tar", "train-01.tar", "test-00.tar"):
        write_tar(tmp_path / "names" / name, {"a/x.mp4": b""})
    assert [row[2] for row in rows(read_manifest(tmp_path / "names"))] == ["test", "train", "train"]
    said = {"a/x.mp4": b"", "a/x.json": '{"split": "Valid"}', "b/y.mp4": b"", "b/y.json": '{"split": "test"}'}
    write_tar(tmp_path / "said.tar", said)
    assert [row[2] for row in rows(read_manifest(tmp_path / "said.tar"))] == ["validation", "test"]


def test_splits_that_only_some_have_are_refused(tmp_path):
    for name in ("train/0.tar", "more/0.tar"):
        write_tar(tmp_path / name, {"a/x.mp4": b""})
    with pytest.raises(UserError, match="in no folder that is named as a split"):
        read_manifest(tmp_path)


def test_the_name_of_a_tar_file_has_a_split_among_other_words(tmp_path):
    for name in ("ucf-train-0.tar", "ucf_train_1.tar", "ucf-Valid-0.tar", "test.tar"):
        write_tar(tmp_path / name, {"a/x.mp4": b""})
    splits = {row[0].split("/")[0]: row[2] for row in rows(read_manifest(tmp_path))}
    assert splits == {
        "test.tar": "test",
        "ucf-Valid-0.tar": "validation",
        "ucf-train-0.tar": "train",
        "ucf_train_1.tar": "train",
    }
    write_tar(tmp_path / "train-and-test.tar", {"a/x.mp4": b""})
    assert {row[2] for row in rows(read_manifest(tmp_path))} == {""}


def test_splits_that_json_says_need_no_folders(tmp_path):
    about = {name: json.dumps({"label": "x", "split": "train"}) for name in ("train/a.json", "b/c/d.json")}
    write_tar(tmp_path / "s.tar", {"train/a.mp4": b"", "b/c/d.mp4": b"", **about})
    assert {row[2] for row in rows(read_manifest(tmp_path))} == {"train"}


def test_a_folder_that_is_called_as_a_tar_file_may_hold_them(tmp_path):
    write_tar(tmp_path / "walk.tar" / "s.tar", {"a.mp4": b""})
    write_tar(tmp_path / "run.tar" / "s.tar", {"b.mp4": b""})
    assert read_manifest(tmp_path).class_names == ("run.tar", "walk.tar")


def test_numbers_in_json_are_written_as_a_table_has_them(tmp_path):
    about = {"a.json": '{"label": 1.0, "group": NaN}', "b.json": '{"label": 1, "group": 2.0}', "c.cls": "1"}
    large = {"d.mp4": b"", "d.json": '{"label": 1, "group": 1%s}' % ("0" * 400)}
    write_tar(tmp_path / "s.tar", {"a.mp4": b"", "b.mp4": b"", "c.mp4": b"", **about, **large})
    found = read_manifest(tmp_path)
    assert found.class_names == ("1",) and not found.remarks
    assert [record.group for record in found.records] == ["", "2", "", "1" + "0" * 400]


def test_numbers_and_names_of_classes_are_told_of(tmp_path):
    write_tar(tmp_path / "0.tar", {"a.mp4": b"", "a.cls": "0", "b.mp4": b"", "b.cls": "1"})
    write_tar(tmp_path / "1.tar", {"a.mp4": b"", "a.json": '{"label": "run"}'})
    (line,) = read_manifest(tmp_path).notes
    assert "numbers, '0', '1', others names, 'run'" in line


def test_parts_of_videos_are_said_in_json(videos, tmp_path):
    content = (videos / "run/a.mp4").read_bytes()
    about = {"label": "run", "start": 0.2, "end": 0.5}
    write_tar(tmp_path / "s.tar", {"a.mp4": content, "a.json": json.dumps(about)})
    (record,) = read_manifest(tmp_path / "s.tar").records
    assert (record.start, record.stop) == (2, 5)  # at 10 frames a second
    assert hostile.numbers(read_frames(record.file, start=record.start, stop=record.stop)) == [2, 3, 4]


@pytest.mark.parametrize(
    ("beside", "what"),
    [
        ({"a.json": "[1]"}, "a.json: it cannot be read .it is no JSON object"),
        ({"a.json": "{"}, "a.json: it cannot be read"),
        ({"a.json": "[" * 60_000}, "a.json: it cannot be read"),
        ({"a.json": '{"label": [1]}'}, "`label` must be a text or a number"),
        ({"a.json": '{"label": "x", "split": "other"}'}, "a.mp4: `split` must be train"),
        ({"a.json": '{"label": "x", "start": 5, "stop": 2}'}, "`stop` must be behind"),
        ({"a.cls": b"\xff\xfe"}, "a.cls: it cannot be read"),
        ({"a.cls": "x" * 2000}, "a.mp4: `label` has 2000 letters"),
        ({"a.txt": "x" * 100_000}, "a.txt: it has 100000 bytes"),
        ({"a.cls": " "}, "a.mp4: nothing tells its class"),
        ({}, "a.mp4: nothing tells its class .1 of 1 videos.: put a .cls"),
    ],
)
def test_what_lies_beside_a_video_and_is_damaged_is_named(tmp_path, beside, what):
    write_tar(tmp_path / "s.tar", {"a.mp4": b"", **beside})
    with pytest.raises(UserError, match=what) as raised:
        read_manifest(tmp_path)
    assert "\n" not in str(raised.value) and "s.tar/a." in str(raised.value)


def test_a_range_of_tar_files_is_a_set(tmp_path):
    for number in range(8, 12):
        write_tar(tmp_path / f"s-{number:03d}.tar", {"c/x.mp4": b""})
    data = tmp_path / "s-{009..011}.tar"
    assert [record.path for record in read_manifest(data).records] == [
        f"s-{number}.tar/c/x.mp4" for number in ("009", "010", "011")
    ]
    assert kind_of(data) == kind_of(tmp_path) == kind_of(tmp_path / "s-008.tar") == "videos"
    assert [record.file for record in expand_sources(data)] == [
        tmp_path / f"s-{number}.tar/c/x.mp4" for number in ("009", "010", "011")
    ]
    for wrong, what in (("s-{009..012}.tar", "s-012.tar: not found"), ("s-{9..1}.tar", "must ascend")):
        with pytest.raises(UserError, match=what):
            shards_of(tmp_path / wrong)


def test_a_table_goes_with_a_folder_and_not_with_tar_files(tmp_path):
    write_tar(tmp_path / "s-0.tar", {"c/x.mp4": b""})
    for data in (tmp_path / "s-0.tar", tmp_path / "s-{0..0}.tar"):
        with pytest.raises(UserError, match="`manifest` goes with a folder"):
            read_manifest(data, manifest="manifest.csv")


def test_tar_files_fit_patterns_and_are_found_in_folders(tmp_path):
    for name in ("in/s-0.tar", "in/more/s-1.tar"):
        write_tar(tmp_path / name, {"c/x.mp4": b""})
    (tmp_path / "in/more/notes.md").write_text("")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "c").symlink_to(tmp_path / "in")
    said = []
    for source in (tmp_path / "in", tmp_path / "links"):
        found = [record.file.relative_to(source) for record in expand_sources(source, tell=said.append)]
        assert [path.name for path in found] == ["x.mp4"] * 2
        assert sorted(map(str, found)) == sorted(record.path for record in read_manifest(source).records)
        assert read_manifest(source).passed_over == {".md": 1}
    assert said == ["1 file passed over: 1 .md"] * 2
    found = expand_sources(tmp_path / "in" / "**" / "s-?.tar")
    assert [record.file.relative_to(tmp_path).as_posix() for record in found] == [
        "in/more/s-1.tar/c/x.mp4",
        "in/s-0.tar/c/x.mp4",
    ]
    with pytest.raises(UserError, match="no file or folder fits this pattern"):
        expand_sources(tmp_path / "t-*.tar")


def test_what_is_there_is_a_file_or_in_a_tar_file(tmp_path):
    shard = write_tar(tmp_path / "s.tar", {"c/x.mp4": b""})
    names = ("s.tar", "s.tar/c/x.mp4", "s.tar/c", "s.tar/x.mp4", "t.tar/x.mp4")
    assert [is_there(shard.parent / name) for name in names] == [True, True, False, False, False]


def test_a_tar_file_is_called_as_it_was_named(tmp_path, monkeypatch):
    write_tar(tmp_path / "s.tar", {"/a.mp4": b""})
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with pytest.raises(VideoError) as raised:
            members("s.tar")
        assert str(raised.value).startswith("s.tar: not a tar file to read from ('/a.mp4' leads out of it)")


def test_tar_files_without_videos_are_named(tmp_path):
    for number in range(3):
        write_tar(tmp_path / f"{number}.tar", {"a.txt": ""})
    for read in (read_manifest, expand_sources):
        with pytest.raises(UserError, match=r"0\.tar and 2 more: no videos found"):
            read(tmp_path)


def test_compressed_tar_files_are_refused(tmp_path):
    (tmp_path / "s.tar.gz").write_bytes(b"")
    for data in (tmp_path, tmp_path / "s.tar.gz"):
        with pytest.raises(UserError, match=r"s\.tar\.gz: no video can be found in a compressed tar"):
            read_manifest(data)


def test_tar_files_beside_videos_are_passed_over(videos, tmp_path):
    (tmp_path / "run").symlink_to(videos / "run")
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "c.mp4").write_bytes(b"x")
    write_tar(tmp_path / "walk" / "old.tar", {"d.mp4": b""})
    found = read_manifest(tmp_path)
    assert len(found.records) == 3 and found.passed_over == {".tar": 1}


def test_a_folder_that_is_called_as_a_tar_file_is_a_folder(videos, tmp_path):
    (tmp_path / "x.tar").symlink_to(videos)
    assert len(read_manifest(tmp_path / "x.tar").records) == 4
    assert hostile.numbers(read_frames(tmp_path / "x.tar" / "run" / "b.mp4"))[0] == 10


def test_tables_name_videos_in_tar_files(videos, tmp_path):
    content = (videos / "walk/d.mp4").read_bytes()
    write_tar(tmp_path / "s.tar", {"walk/d.mp4": content, "e.mp4": content})
    table = tmp_path / "list.csv"
    table.write_text("path,label,start,stop\ns.tar/walk/d.mp4,x,1,3\ns.tar/e.mp4,y,,\n")
    first, second = read_manifest(table).records
    assert (first.path, second.path) == ("s.tar/walk/d.mp4#1-3", "s.tar/e.mp4")
    indexed, _ = index_videos([first, second])
    assert [info.frames for _, info in indexed] == [2, 8]
    assert [record.file for record in expand_sources(table)] == [first.file, second.file]
    table.write_text("path,label\ns.tar/walk/d.mp4,x\ns.tar/walk/e.mp4,y\n")
    with pytest.raises(UserError, match=r"1 of 2 listed files are missing, the first is 's.tar/walk/e.mp4'"):
        read_manifest(table)


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars")
    for name, content in hostile.TARS.items():
        (folder / f"{name}.tar").write_bytes(content)
    return folder


@pytest.mark.parametrize("name", hostile.TARS)
def test_hostile_tar_files_are_refused_in_a_line(tars, name):
    shard = tars / f"{name}.tar"
    with hostile.limits(2**29):
        if name.startswith("good"):
            for inside in members(shard):
                with opened(shard / inside) as file:
                    assert file.read() == b"x" * 700
            return
        with pytest.raises(VideoError) as raised:
            members(shard)
    line = str(raised.value)
    assert line.startswith(f"{shard}: ") and line.isprintable() and len(line) < 500


def test_names_in_good_tar_files(tars):
    assert [*members(tars / "good.tar")] == ["a.mp4", "b/c.mp4"]
    assert [*members(tars / "good_pax.tar")] == ["x.mp4"]
    assert [*members(tars / "good_long.tar")] == ["deep/" * 60 + "a.mp4"]


def test_predict_answers_a_damaged_tar_file_in_its_place(tars, tmp_path):
    for name in ("good", "link"):
        os.link(tars / f"{name}.tar", tmp_path / f"{name}.tar")
    found = [record.file for record in expand_sources(tmp_path)]
    assert found == [tmp_path / "good.tar/a.mp4", tmp_path / "good.tar/b/c.mp4", tmp_path / "link.tar"]
    with pytest.raises(VideoError, match="'a.mp4' in it is a link"):
        probe(found[-1])
    with pytest.raises(VideoError, match="a tar file of 2 files, and no video"):
        probe(tmp_path / "good.tar")


def test_a_tar_file_that_changes_is_read_again(tmp_path):
    shard = write_tar(tmp_path / "s.tar", {"a.mp4": b"1"})
    assert [*members(shard)] == ["a.mp4"]
    write_tar(shard, {"b.mp4": b"22"})
    os.utime(shard, ns=(1, 1))
    assert [*members(shard)] == ["b.mp4"]


@pytest.fixture
def sharded(tmp_path):
    """Items in four tar files of ten each, which are never read."""
    items = []
    for number in range(4):
        shard = write_tar(tmp_path / f"{number}.tar", {f"{name}.mp4": b"" for name in range(10)})
        items += [
            (Record(shard / name, f"{number}.tar/{name}", 0), VideoInfo(9, 9, 1, 8, 8))
            for name in members(shard)
        ]
    return items


def dataset(items, **options):
    return ClipDataset(items, Sampling(2), ClipTransform(size=8), batch_size=4, training=True, **options)


def order_of(made, epoch):
    made.epoch = epoch
    return [item for batch in range(len(made)) for item in made.item_indices(batch)]


def test_tar_files_are_drawn_one_after_the_other_and_videos_within_windows(sharded, monkeypatch):
    monkeypatch.setattr(batches_module, "_WINDOW", 10)
    made = dataset(sharded)
    shards, inside = set(), set()
    for epoch in range(6):
        order = np.array(order_of(made, epoch))
        assert sorted(order) == list(range(40))
        runs = (order // 10).reshape(4, 10)
        assert (runs == runs[:, :1]).all()  # a window is a tar file here
        shards.add(tuple(runs[:, 0]))
        inside.add(tuple(order[:10] % 10))
    assert len(shards) > 1 and len(inside) > 1


def test_a_window_goes_over_several_tar_files(sharded, monkeypatch):
    monkeypatch.setattr(batches_module, "_WINDOW", 20)
    order = np.array(order_of(dataset(sharded), 0)).reshape(2, 20) // 10
    assert [len(set(window)) for window in order.tolist()] == [2, 2]
    assert (np.diff(order[0]) != 0).sum() > 1


def test_the_order_of_an_epoch_is_that_of_a_run_that_was_resumed(sharded):
    whole = dataset(sharded, seed=3)
    orders = [order_of(whole, epoch) for epoch in range(3)]
    assert orders[2] == order_of(dataset(sharded, seed=3), 2)
    assert orders[0] != orders[1] and orders[2] != order_of(dataset(sharded, seed=4), 2)


def test_buckets_of_tar_files_keep_what_is_read_together(sharded, monkeypatch):
    monkeypatch.setattr(batches_module, "_WINDOW", 10)
    items = [(record, VideoInfo(2 + 2 * (n % 2), 9, 1, 8, 8)) for n, (record, _) in enumerate(sharded)]
    order = order_of(dataset(items, buckets=(2, 4)), 0)
    assert sorted(order) == list(range(40))
    windows = [len({item // 10 for item in order[at : at + 8]}) for at in range(0, 40, 8)]
    assert max(windows) <= 3  # of 4, where batches of everywhere would follow each other


def test_videos_that_lie_in_folders_keep_their_order(sharded):
    """As runs that are older than tar files had it: a permutation by the seed, the epoch and the count."""
    plain = [
        (Record(record.file.with_suffix("").parent.with_suffix("") / "x.mp4", record.path, 0), info)
        for record, info in sharded
    ]
    expected = np.random.default_rng([0, 2, 40]).permutation(40)
    assert order_of(dataset(plain), 2) == expected.tolist()


def said(found):
    """What a set says of each video, whatever its file is called."""
    names = found.class_names
    return sorted((content_hash(r.file), names[r.label], r.split, r.group) for r in found.records)


def test_a_packed_set_is_the_set(videos, tmp_path):
    table = tmp_path / "set" / "manifest.csv"
    table.parent.mkdir()
    files = zip(sorted(videos.rglob("*.mp4")), ("train", "test") * 2, strict=True)
    lines = [
        f"{os.path.relpath(file, table.parent)},{file.parent.name},{split},g{number}"
        for number, (file, split) in enumerate(files)
    ]
    table.write_text("path,label,split,group\n" + "\n".join(lines))
    found = read_whole(table.parent)
    one = (videos / "run/a.mp4").stat().st_size
    made = pack_videos(found, tmp_path / "shards", size=int(1.5 * one))
    assert [path.relative_to(tmp_path / "shards").as_posix() for path in made] == [
        f"{split}/shard-00000{number}.tar" for split in ("train", "test") for number in range(2)
    ]
    packed = read_manifest(tmp_path / "shards")
    assert said(packed) == said(found)
    again = pack_videos(found, tmp_path / "again", size=int(1.5 * one))
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in again]
    parts = split_manifest(packed)
    assert len(parts["train"]) == len(parts["test"]) == 2
    assert audit_videos(packed).counts["ok"] == 4
    for taken in (tmp_path / "shards", videos, tmp_path):
        with pytest.raises(UserError, match="is in it: name one without videos and tar files"):
            pack_videos(found, taken)


def test_a_set_without_splits_has_none_when_it_is_packed(videos, tmp_path):
    records = (
        Record(videos / "run/a.mp4", "train/a.mp4", 0),
        Record(videos / "walk/c.mp4", "other/in/c.mp4", 1),
        Record(videos / "walk/d.mp4", "d.MP4", 1),
    )
    found = Manifest(records, ("run", "walk"), videos)
    pack_videos(found, tmp_path)
    assert said(read_manifest(tmp_path)) == said(found)


def test_what_cannot_be_packed_is_named(videos, tmp_path):
    record = Record(videos / "run/a.mp4", "run/a.mp4", 0)
    twin = Record(videos / "run/b.mp4", "run/a.avi", 0)
    part = Record(videos / "run/a.mp4", "run/a.mp4#1-2", 0, start=1, stop=2)
    folder = Record(videos / "run", "run", 0)
    gone = Record(videos / "run/z.mp4", "run/z.mp4", 0)
    bare = Record(videos / "run/a.mp4", "run/a", 0)
    for records, what in (
        ((record, twin), "have one name"),
        ((part,), "in parts"),
        ((folder,), "a folder of frames"),
        ((record, gone), "No such file"),
        ((record, bare), "its name does not end as a video's"),
    ):
        with pytest.raises(UserError, match=what):
            pack_videos(Manifest(records, ("run",), videos), tmp_path / "out")
    with pytest.raises(UserError, match="`size` must be bytes, such as 200MB"):
        pack_videos(Manifest((record,), ("run",), videos), tmp_path / "out", size="many")
    assert not list(tmp_path.rglob("*.tar"))
