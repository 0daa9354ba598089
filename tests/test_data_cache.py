import csv
import json
import os
import threading
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

import trees
from keras_actrec._files import replacing
from keras_actrec.data import (
    CachedVideo,
    ClipDataset,
    ClipTransform,
    Manifest,
    Record,
    Sampling,
    VideoError,
    audit_videos,
    cache,
    cache_frames,
    index_videos,
    iter_frames,
    read_frames,
    read_manifest,
    shard,
)
from keras_actrec.data._batches import Clips
from keras_actrec.data.cache import fill
from keras_actrec.data.decode import iter_timed
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

CROPS = ("center", "random", "multiscale", "resized", "none")
METHODS = ("segments", "tsn", "contiguous", "dense", "stride", "sequences")
PLAIN = ClipTransform(24, 28)


def write_video(path, frames=14, seed=0, height=36, width=48, codec="MJPG"):
    """A video of blurred noise that moves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (height + frames, width + frames, 3), dtype="uint8")
    noise = cv2.blur(noise, (3, 3))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (width, height))
    for step in range(frames):
        writer.write(np.ascontiguousarray(noise[step : step + height, step : step + width]))
    writer.release()


def records_of(folder, count=4):
    records = []
    for number in range(count):
        write_video(folder / f"{number}.avi", frames=10 + 3 * number, seed=number)
        records.append(Record(folder / f"{number}.avi", f"{number}.avi", number))
    return records


@pytest.fixture
def indexed(tmp_path):
    """Videos of 10, 13, 16 and 19 frames, 36 x 48."""
    return index_videos(records_of(tmp_path / "set"))[0]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Two videos, two sequences of a third one, and a folder of frames whose size changes."""
    folder = tmp_path_factory.mktemp("odd")
    records = records_of(folder, 3)
    records += [replace(records.pop(), start=start, stop=stop) for start, stop in ((3, 12), (5, None))]
    (folder / "frames").mkdir()
    for number in range(9):
        frame = np.random.default_rng(number).integers(0, 256, (20 + 4 * (number // 3), 32, 3), dtype="uint8")
        cv2.imwrite(str(folder / "frames" / f"{number:03}.png"), frame)
    records.append(Record(folder / "frames", "frames", 0))
    return index_videos(records)[0]


def entries(folder):
    """Time of change of every entry's files."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*/*/*") if path.parts[-3] != "sources"}


def tree(folder):
    """Bytes of every file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same(dataset, other):
    assert len(dataset) == len(other)
    for epoch in range(2):
        dataset.epoch = other.epoch = epoch
        for index in range(len(dataset)):
            (x, y), (other_x, other_y) = dataset[index], other[index]
            np.testing.assert_array_equal(x["clip"], other_x["clip"])
            np.testing.assert_array_equal(x["mask"], other_x["mask"])
            np.testing.assert_array_equal(y, other_y)


def test_frames_that_change_size_get_the_size_asked_for(odd):
    (record, info) = odd[-1]
    assert (info.height, info.width) == (20, 32)
    assert read_frames(record.file, [8, 0]).shape == (2, 28, 32, 3)
    frames = read_frames(record.file, [8, 0], size=(20, 32))
    np.testing.assert_array_equal(frames[1], read_frames(record.file, [0])[0])
    np.testing.assert_array_equal(frames, read_frames(record.file)[[8, 0]])  # that of the first frame


@pytest.mark.parametrize("frame_step", [1, 3])
@pytest.mark.parametrize("shrink", [None, 28])
@pytest.mark.parametrize("crop", CROPS)
def test_a_cache_changes_no_number(odd, tmp_path, crop, shrink, frame_step):
    colors = {"flip": True, "swap": ((0, 1),), "brightness": 0.3, "contrast": 0.3, "saturation": 0.3}
    transform = ClipTransform(24, crop=crop, shrink=shrink, **colors)
    cached = cache_frames(odd, transform, tmp_path / "out", frame_step=frame_step)
    for method in METHODS:
        sampling = Sampling(4, method, frame_step=frame_step)
        arguments = {"batch_size": 2, "seed": 1, "masked": True}
        for training in (True, False):
            assert_same(
                ClipDataset(odd, sampling, transform, training=training, **arguments),
                ClipDataset(cached, sampling.of_kept(), transform, training=training, **arguments),
            )
        views = transform if crop == "none" else replace(transform, num_crops=3)
        if method not in ("stride", "sequences"):
            sampling = replace(sampling, num_clips=3)
        for decoded, kept in zip(odd, cached, strict=True):
            expected = list(Clips(sampling, views).views(decoded))
            found = list(Clips(sampling.of_kept(), views).views(kept))
            for ours, theirs in zip(found, expected, strict=True):
                for array, other in zip(ours, theirs, strict=True):
                    np.testing.assert_array_equal(array, other, strict=True)


def test_threads_read_the_same_from_a_cache(indexed, tmp_path):
    cached = cache_frames(indexed, PLAIN, tmp_path / "out")
    arguments = {"batch_size": 1, "training": True, "masked": True}
    assert_same(
        ClipDataset(cached, Sampling(4), PLAIN, **arguments),
        ClipDataset(cached, Sampling(4), PLAIN, workers=4, **arguments),
    )


def test_frames_are_stored_as_far_as_they_can_be_prepared(indexed, tmp_path):
    for transform, shape in (
        (ClipTransform(24, 28), (28, 37, 3)),  # 48 * 28 / 36 = 37.3
        (ClipTransform(24, crop="random"), (27, 36, 3)),  # 24 * 256 // 224 = 27
        (ClipTransform(24, crop="none"), (24, 24, 3)),
        (ClipTransform(24, crop="multiscale"), (36, 48, 3)),
        (ClipTransform(24, crop="resized", shrink=30), (30, 40, 3)),
    ):
        cached = cache_frames(indexed, transform, tmp_path / "out", frame_step=3)
        for (record, video), (expected, info) in zip(cached, indexed, strict=True):
            stored = np.load(video.file, allow_pickle=False)
            assert record == expected and video.frames == len(stored) == -(-info.frames // 3)
            assert stored.shape == video.shape == (video.frames, *shape) and stored.dtype == np.uint8
            np.testing.assert_array_equal(stored, transform.prepare(read_frames(record.file)[::3]))


def test_what_does_not_change_the_stored_bytes_reads_the_same_entries(indexed, tmp_path):
    first = cache_frames(indexed, PLAIN, tmp_path / "out")
    drawn = ClipTransform(20, 28, "random", True, ((0, 1),), 0.1, 0.1, 0.1, num_crops=3)
    before = entries(tmp_path / "out")
    assert cache_frames(indexed, drawn, tmp_path / "out") == first
    assert entries(tmp_path / "out") == before


@pytest.mark.parametrize(
    "change", [{"short_side": 30}, {"crop": "multiscale"}, {"shrink": 28}, {"frame_step": 2}]
)
def test_a_changed_option_never_reads_an_old_entry(indexed, tmp_path, change):
    options = {"frame_step": change.pop("frame_step", 1)}
    (_, before), *_ = cache_frames(indexed, PLAIN, tmp_path / "out")
    (_, after), *_ = cache_frames(indexed, replace(PLAIN, **change), tmp_path / "out", **options)
    assert before.file.parent.parent != after.file.parent.parent and before.file.name == after.file.name


def test_an_entry_is_found_by_the_content_of_its_video(indexed, tmp_path):
    first = cache_frames(indexed, PLAIN, tmp_path / "out")
    before = entries(tmp_path / "out")
    os.renames(tmp_path / "set", tmp_path / "elsewhere" / "moved")
    records = [
        replace(record, file=tmp_path / "elsewhere/moved" / record.path, path=f"x/{record.path}")
        for record, _ in indexed
    ]
    moved = cache_frames(index_videos(records)[0], PLAIN, tmp_path / "out")
    assert [video for _, video in moved] == [video for _, video in first]
    assert entries(tmp_path / "out") == before
    write_video(records[0].file, frames=12, seed=9)
    (_, video), *others = cache_frames(index_videos(records)[0], PLAIN, tmp_path / "out")
    assert video.frames == 12 and video.source == "x/0.avi"
    assert [video for _, video in others] == [video for _, video in first[1:]]
    assert before.items() <= entries(tmp_path / "out").items()


def test_a_copy_of_a_video_is_stored_once(indexed, tmp_path):
    record, info = indexed[0]
    copy = replace(record, file=tmp_path / "copy.avi", path="copy.avi")
    copy.file.write_bytes(record.file.read_bytes())
    seen = []
    cached = cache_frames(
        [(record, info), (copy, info)], PLAIN, tmp_path / "out", progress=lambda *p: seen.append(p)
    )
    assert cached[0][1] == cached[1][1] and len(list((tmp_path / "out").rglob("*.npy"))) == 1
    assert seen == [(0, 2), (2, 2)]


def test_a_folder_of_frames_is_known_by_its_frames(odd, tmp_path):
    (_, video), (_, again) = (cache_frames([odd[-1]], PLAIN, tmp_path / "out")[0] for _ in range(2))
    assert video == again and video.frames == 9 and video.seconds is None


def hashed(monkeypatch):
    paths = []
    real = cache_frames.__globals__["content_hash"]
    monkeypatch.setitem(
        cache_frames.__globals__, "content_hash", lambda path: paths.append(path) or real(path)
    )
    return paths


def test_a_hash_is_remembered_until_size_or_time_of_change_differ(indexed, tmp_path, monkeypatch):
    paths = hashed(monkeypatch)
    first = cache_frames(indexed, PLAIN, tmp_path / "out", workers=1)
    assert paths == [record.file for record, _ in indexed]
    cache_frames(indexed, replace(PLAIN, short_side=32), tmp_path / "out")
    assert len(paths) == 4
    times = indexed[2][0].file.stat()
    os.utime(indexed[2][0].file, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert cache_frames(indexed, PLAIN, tmp_path / "out") == first  # the content is the same
    assert paths[4:] == [indexed[2][0].file]


@pytest.mark.parametrize("audited", [False, True])
def test_a_video_in_the_place_of_another_with_its_size_and_time_is_found_by_verifying(
    indexed, tmp_path, audited
):
    (record, info), *_ = indexed
    about = record.file.stat()
    audit = audit_videos(Manifest((record,), ("a",), tmp_path)) if audited else None

    def cached(**options):
        ((_, video),) = cache_frames([(record, info)], PLAIN, tmp_path / "out", audit=audit, **options)
        return video.file

    first = cached()
    record.file.write_bytes(record.file.read_bytes()[:-1] + b"?")
    os.utime(record.file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert cached() == first  # as README says
    assert cached(verify=True) != first


def test_the_hashes_of_an_audit_are_taken(indexed, tmp_path, monkeypatch):
    for label in ("a", "b"):
        write_video(tmp_path / "classes" / label / "0.avi", seed=len(label) + ord(label))
    manifest = read_manifest(tmp_path / "classes")
    audit, pairs = audit_videos(manifest), index_videos(manifest.records)[0]
    paths = hashed(monkeypatch)
    audited = cache_frames(pairs, PLAIN, tmp_path / "out", audit=audit)
    assert paths == [] and not (tmp_path / "out" / "sources").exists()
    assert cache_frames(pairs, PLAIN, tmp_path / "out") == audited
    write_video(manifest.records[0].file, frames=12, seed=77)  # the audit is stale
    assert cache_frames(pairs, PLAIN, tmp_path / "out", audit=audit)[0][1].frames == 12


def test_steps_are_read_in_any_order_and_with_repeats(indexed, tmp_path):
    (_, video), *_ = cache_frames(indexed, PLAIN, tmp_path / "out")
    stored = np.load(video.file)
    for indices in ([0], range(10), [9, 0], [3, 3, 4, 5, 5, 2], np.array([7, 8, 1])):
        steps = video.read(indices)
        np.testing.assert_array_equal(steps, stored[np.asarray(indices)])
        assert steps.dtype == np.uint8


@pytest.mark.parametrize("indices", [[], [10], [-1], [[1, 2]]])
def test_steps_that_are_not_there_are_refused(indexed, tmp_path, indices):
    (_, video), *_ = cache_frames(indexed, PLAIN, tmp_path / "out")
    with pytest.raises(UserError, match="`indices` must be numbers of steps from 0 to 9, one or more"):
        video.read(indices)


def test_every_flipped_bit_is_found_and_named(indexed, tmp_path):
    (_, video), *_ = cache_frames(indexed, PLAIN, tmp_path / "out")
    whole, header = video.file.read_bytes(), video.file.stat().st_size - np.load(video.file).nbytes
    step = np.load(video.file)[0].nbytes
    for number in (0, 4, 9):
        for place in (0, step // 2, step - 1):
            damaged = bytearray(whole)
            damaged[header + number * step + place] ^= 1
            video.file.write_bytes(damaged)
            with pytest.raises(UserError) as caught:
                video.read(range(10))
            assert str(caught.value) == (
                f"{video.file} (of 0.avi): damaged (step {number}); remove it and run again"
            )
            video.read([1, 2, 3])  # steps that are whole


@pytest.mark.parametrize("change", ["pages change places", "one bit", "last byte", "a page is zero"])
def test_damage_inside_a_large_step_is_noticed(tmp_path, change):
    steps = np.random.default_rng(0).normal(size=(2, 5001)).astype("float16")  # 2.4 pages of 4 KiB
    ((_, video),) = trees.cached_features(tmp_path, [steps], [0])
    np.testing.assert_array_equal(video.read([1, 0]), steps[::-1])
    data = np.fromfile(video.file, "uint8")
    second = data[-10002:]
    if change == "pages change places":
        second[:8192] = np.roll(second[:8192], 4096)
    elif change == "one bit":
        second[5000] ^= 1
    elif change == "last byte":
        second[-1] ^= 128
    else:
        second[4096:8192] = 0
    data.tofile(video.file)
    np.testing.assert_array_equal(video.read([0]), steps[:1])
    with pytest.raises(UserError, match=r"damaged \(step 1\); remove it and run again"):
        video.read([0, 1])


def test_a_cut_file_is_named_and_made_again(indexed, tmp_path):
    (_, video), *_ = first = cache_frames(indexed, PLAIN, tmp_path / "out")
    whole = video.file.read_bytes()
    video.read(range(10))  # so that what is missing may still lie in memory
    video.file.write_bytes(whole[: -int(2.5 * np.load(video.file)[0].nbytes)])
    with pytest.raises(UserError, match=r"\.npy \(of 0.avi\): cut off at step 7; remove it and run again"):
        video.read(range(10))
    assert cache_frames(indexed, PLAIN, tmp_path / "out") == first and video.file.read_bytes() == whole
    video.file.unlink()
    with pytest.raises(UserError, match=r"\(of 0.avi\): it cannot be read \(No such file or directory\)"):
        video.read([0])
    assert cache_frames(indexed, PLAIN, tmp_path / "out") == first and video.file.read_bytes() == whole


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"shape": [1]}'])
def test_an_entry_without_its_json_is_not_there(indexed, tmp_path, text):
    (_, video), *_ = cache_frames(indexed, PLAIN, tmp_path / "out")
    about, before = video.file.with_suffix(".json"), video.file.stat().st_mtime_ns
    good = about.read_text()
    about.unlink() if text is None else about.write_text(text)
    cache_frames(indexed, PLAIN, tmp_path / "out")
    assert about.read_text() == good and video.file.stat().st_mtime_ns > before


@pytest.mark.parametrize("name", ["shape", "offset", "checksums", "seconds", "dtype", "source"])
def test_an_entry_with_a_value_of_another_kind_is_made_again(indexed, tmp_path, name):
    (_, video), *_ = first = cache_frames(indexed, PLAIN, tmp_path / "out")
    about = video.file.with_suffix(".json")
    values = json.loads(about.read_text())
    for wrong in (None, -1, 1e300, "x" * 4, [], {}, [None] * 4, [-1] * 4, [[1]] * 4, ["a"] * 4, [2**70] * 4):
        if (name, wrong) in (("seconds", None), ("seconds", [-1] * 4), ("source", "xxxx")):  # which it may be
            continue
        about.write_text(json.dumps({**values, name: wrong}))
        assert cache_frames(indexed, PLAIN, tmp_path / "out") == first
        assert json.loads(about.read_text()) == values


def test_a_type_that_could_hold_code_is_not_read(indexed, tmp_path):
    (_, video), *_ = first = cache_frames(indexed, PLAIN, tmp_path / "out")
    about = video.file.with_suffix(".json")
    values = json.loads(about.read_text())
    hostile = {"dtype": "object", "offset": video.file.stat().st_size}
    about.write_text(json.dumps({**values, **hostile}))
    assert cache_frames(indexed, PLAIN, tmp_path / "out") == first  # made again
    assert json.loads(about.read_text()) == values


def test_a_note_of_a_hash_that_is_damaged_is_made_again(indexed, tmp_path):
    first = cache_frames(indexed, PLAIN, tmp_path / "out")
    notes = list((tmp_path / "out" / "sources").rglob("*.json"))
    before = [note.read_text() for note in notes]
    for note, text in zip(notes, ("", "{", "[1]", '{"size": 1}'), strict=True):
        note.write_text(text)
    assert cache_frames(indexed, PLAIN, tmp_path / "out") == first
    assert [note.read_text() for note in notes] == before
    for note, wrong in zip(notes, (None, 5, "../../x", ["a"]), strict=True):
        note.write_text(json.dumps({**json.loads(note.read_text()), "sha256": wrong}))
    assert cache_frames(indexed, PLAIN, tmp_path / "out") == first
    assert [note.read_text() for note in notes] == before


def test_frames_that_another_transform_needs_are_refused(indexed, tmp_path):
    cached = cache_frames(indexed, PLAIN, tmp_path / "out")
    dataset = ClipDataset(cached, Sampling(2), ClipTransform(24, crop="none"))
    with pytest.raises(UserError, match=r"\(of 0.avi\): it holds short side 28, and .* takes square 24"):
        dataset[0]


def test_times_are_those_of_the_frames(indexed, tmp_path):
    for _, video in cache_frames(indexed, PLAIN, tmp_path / "out", frame_step=4):
        assert video.seconds.dtype == np.float64
        np.testing.assert_allclose(video.seconds, 0.4 * np.arange(video.frames), rtol=0, atol=1e-6)
    record, _ = indexed[3]
    pairs = index_videos([replace(record, start=5, stop=12)])[0]
    ((_, video),) = cache_frames(pairs, PLAIN, tmp_path / "out", frame_step=2)
    np.testing.assert_allclose(video.seconds, [0.5, 0.7, 0.9, 1.1], atol=1e-6)


def test_times_of_a_variable_rate_are_exact_and_begin_at_0(tmp_path):
    av = pytest.importorskip("av", reason="needs the extra pyav")
    stamps = [7, 10, 11, 30, 31, 50]  # hundredths of a second; the first frame is not at 0
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 36, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((36, 48, 3), 30 * number, "uint8"), format="rgb24")
            frame.pts, frame.time_base = 10 * stamp, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    ((_, video),) = cache_frames(
        index_videos([Record(tmp_path / "a.mkv", "a.mkv", 0)])[0], PLAIN, tmp_path / "out"
    )
    expected = (np.array(stamps) - 7) / 100
    np.testing.assert_allclose(video.seconds, expected, rtol=0, atol=1e-6)
    for decoder in ("opencv", "pyav"):
        seconds = [second for second, _ in iter_timed(tmp_path / "a.mkv", 2, start=1, decoder=decoder)]
        np.testing.assert_allclose(seconds, expected[1::2], rtol=0, atol=1e-6)


def test_the_list_says_which_file_belongs_to_which_video(indexed, tmp_path):
    cached = cache_frames(indexed, PLAIN, tmp_path / "out")
    folder = cached[0][1].file.parent.parent
    with open(folder / "index.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], int(row["label"]), int(row["steps"])) for row in rows] == [
        (record.path, record.label, video.frames) for record, video in cached
    ]
    assert [folder / row["file"] for row in rows] == [video.file for _, video in cached]
    cache_frames(indexed[:1], PLAIN, tmp_path / "out", index=None)
    assert len((folder / "index.csv").read_text().splitlines()) == 5


def test_a_bad_video_is_named_and_the_others_stay(indexed, tmp_path):
    indexed[2][0].file.write_bytes(b"")
    with pytest.raises(VideoError, match="2.avi: the file has zero bytes"):
        cache_frames(indexed, PLAIN, tmp_path / "out", workers=1)
    assert len(list((tmp_path / "out").rglob("*.npy"))) >= 2
    indexed[2][0].file.unlink()
    with pytest.raises(VideoError, match=r"2.avi: it cannot be read \(No such file"):
        cache_frames(indexed, PLAIN, tmp_path / "out", workers=1)


def test_a_video_that_changes_while_it_is_read_is_not_stored(indexed, tmp_path, monkeypatch):
    prepare, (record, _) = ClipTransform.prepare, indexed[0]

    def changing(self, frames):
        write_video(record.file, seed=50)
        return prepare(self, frames)

    monkeypatch.setattr(ClipTransform, "prepare", changing)
    with pytest.raises(VideoError, match="0.avi: it changed while it was read; index it again"):
        cache_frames(indexed[:1], PLAIN, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.npy"))


def test_an_entry_that_is_removed_once_it_is_written_is_named(indexed, tmp_path, monkeypatch):
    def write_and_remove(file, *rest):
        write(file, *rest)
        file.unlink()

    write = cache._write
    monkeypatch.setattr(cache, "_write", write_and_remove)
    with pytest.raises(UserError, match=r"\.npy: it was removed or changed .*; run again"):
        cache_frames(indexed, PLAIN, tmp_path / "out")


@pytest.mark.parametrize("name", ["frame_step", "workers"])
def test_a_bad_argument_is_named(tmp_path, name):
    with pytest.raises(UserError, match=f"`{name}` must be a whole number from 1 to .*. Received: {name}=0"):
        cache_frames([], PLAIN, tmp_path, **{name: 0})


def test_shards_are_the_whole_and_share_no_file(tmp_path):
    records = [Record(tmp_path / f"{n // 3}.avi", f"{n}", n, start=n % 3, stop=9) for n in range(31)]
    for count in (1, 2, 4, 11, 15):
        parts = [shard(records, f"{number}/{count}") for number in range(1, count + 1)]
        assert sorted(sum(parts, []), key=lambda record: record.label) == records
        files = [{record.file for record in part} for part in parts]
        assert sum(len(each) for each in files) == len(set().union(*files)) == 11
        assert max(map(len, files)) - min(map(len, files)) <= 1
        assert all([r.label for r in part] == sorted(r.label for r in part) for part in parts)


@pytest.mark.parametrize("part", ["0/8", "9/8", "1", "1/0", "-1/2", "1/2/3", "a/b", "", None, " 1/2"])
def test_a_shard_that_is_none_is_named(part):
    with pytest.raises(UserError) as caught:
        shard([], part)
    assert str(caught.value).endswith(f"Received: shard={part!r}") and '"2/8"' in str(caught.value)


def test_shards_fill_one_cache(indexed, tmp_path):
    whole = cache_frames(indexed, PLAIN, tmp_path / "whole", index=None)
    for part in ("1/2", "2/2"):
        pairs = index_videos(shard([record for record, _ in indexed], part))[0]
        cache_frames(pairs, PLAIN, tmp_path / "parts", index=f"index-{part[0]}-of-2.csv")
    folder = next((tmp_path / "parts").glob("frames-*"))
    lines = [(folder / f"index-{n}-of-2.csv").read_text().splitlines()[1:] for n in (1, 2)]
    assert [len(each) for each in lines] == [2, 2]
    for part in (1, 2):
        (folder / f"index-{part}-of-2.csv").unlink()
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole") and len(whole) == 4


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    texts, barrier = ["a" * 100_000, "b" * 100_000], threading.Barrier(2)

    def write(text):
        for _ in range(20):
            with replacing(tmp_path / "file.txt") as beside:
                barrier.wait(10)
                beside.write_text(text)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file.txt").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file.txt") as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_no_fault_of_a_video(indexed, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(UserError, match="cache cannot be a folder, there is a file: choose another place$"):
        cache_frames(indexed, transform=PLAIN, out=tmp_path / "cache")


def test_two_processes_worth_of_threads_fill_one_folder(indexed, tmp_path):
    results = []

    def run():
        results.append(cache_frames(indexed * 3, PLAIN, tmp_path / "out", workers=2))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1] == results[2]
    cache_frames(indexed * 3, PLAIN, tmp_path / "alone")
    assert tree(tmp_path / "out") == tree(tmp_path / "alone")
    for _, video in results[0]:
        video.read(range(video.frames))


DRILL = """
import sys, time
from pathlib import Path
from keras_actrec.data import ClipTransform, Record, cache_frames, index_videos

prepare = ClipTransform.prepare
def slowly(self, frames):
    time.sleep(0.01)
    return prepare(self, frames)
ClipTransform.prepare = slowly

files = [Path(sys.argv[1]) / f"{n}.avi" for n in range(8)]
indexed = index_videos([Record(file, file.name, 0) for file in files])[0]

def report(done, total):
    print(done, flush=True)

cache_frames(indexed, ClipTransform(24, 28), sys.argv[2], workers=1, progress=report)
"""


def test_a_killed_call_goes_on_and_ends_with_the_same_bytes(tmp_path, kill_at):
    records = [replace(record, label=0) for record in records_of(tmp_path / "set", 8)]
    kill_at("3", DRILL, tmp_path / "set", tmp_path / "out")
    done = entries(tmp_path / "out")
    whole = [path for path in done if path.suffix == ".json"]
    assert 3 <= len(whole) <= 4  # the fourth may have been ended

    indexed = index_videos(records)[0]
    seen = []
    cached = cache_frames(indexed, PLAIN, tmp_path / "out", progress=lambda *p: seen.append(p[0]))
    assert seen == list(range(len(whole), 9))
    now = entries(tmp_path / "out")
    kept = {path.with_suffix(suffix) for path in whole for suffix in (".npy", ".json")}
    assert all(now[path] == done[path] for path in kept)
    cache_frames(indexed, PLAIN, tmp_path / "once")
    left = {name: data for name, data in tree(tmp_path / "out").items() if ".part-" not in name}
    assert left == tree(tmp_path / "once")
    assert all(isinstance(video, CachedVideo) for _, video in cached)
    assert sum(1 for _ in iter_frames(records[0].file)) == cached[0][1].frames


def test_of_two_processes_that_make_an_entry_the_first_ones_is_kept(indexed, tmp_path):
    """They may differ by rounding, and an entry is two files: those of two makers would not fit together."""

    def made(value, before=lambda: None):
        def make(record, info):
            before()
            return np.full((2, 3), value, "float16"), [0.0, 1.0]

        how = {"name": "x", "about": (), "audit": None, "workers": 1, "index": None, "progress": None}
        return fill(indexed[:1], make, out=tmp_path, **how)

    ((_, entry),) = made(1.0, before=lambda: made(2.0))
    assert (entry.read([0, 1]) == 2.0).all()
