"""All clips and crops of a file, in parts and ahead of who takes them, in memory that does not grow."""

import itertools
import threading
import time
import tracemalloc

import numpy as np
import pytest

import hostile
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    Record,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
    VideoError,
    _ahead,
    decode,
    index_videos,
    probe,
    read_frames,
)
from keras_actrec.data._ahead import one_ahead, read_ahead
from keras_actrec.data._batches import Clips, Skeletons
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

WHOLE = ClipTransform(48, crop="none")
SAMPLINGS = [
    Sampling(4),
    Sampling(4, num_clips=3),
    Sampling(6, "tsn", num_clips=2),
    Sampling(4, "contiguous", 3, num_clips=4),
    Sampling(4, "contiguous", 3, num_clips=4, short="loop"),
    Sampling(3, "contiguous", 8, num_clips=3, short="loop"),
    Sampling(4, "dense", 2, num_clips=3),
    Sampling(8, "dense", 8, num_clips=3),
    Sampling(4, "stride", 5, frame_step=2),
    Sampling(4, "sequences"),
    Sampling(4, "sequences", 2, hop=1),
    Sampling(3, "sequences", 4, hop=5, frame_step=2),
    Sampling(40, "sequences"),
    Sampling(40, "sequences", short="stretch"),
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Videos of 20 frames that show their numbers, but for the second one, of 7."""
    folder = tmp_path_factory.mktemp("videos")
    records = []
    for number in range(6):
        frames = [hostile.barcode(place) for place in range(7 if number == 1 else 20)]
        path = hostile.write(folder / f"{number}.mp4", frames)
        records.append(Record(path, path.name, number))
    return index_videos(records)[0]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_the_views_are_all_clips_in_order_with_their_masks(videos, sampling, known):
    for record, video in videos[:2]:
        indices, masks = sampling.clips(video.frames)
        views = list(Clips(sampling, WHOLE).views((record, video if known else None)))
        assert [hostile.numbers(clip) for clip, _ in views] == indices.tolist()
        np.testing.assert_array_equal([mask for _, mask in views], masks)


@pytest.mark.parametrize("num_crops", [1, 3, 10])
def test_the_views_of_a_clip_are_its_crops(videos, num_crops):
    transform = ClipTransform(32, 40, num_crops=num_crops)
    views = list(Clips(Sampling(4, num_clips=2), transform).views(videos[0]))
    frames = read_frames(videos[0][0].file)
    indices, _ = Sampling(4, num_clips=2).clips(20)
    expected = np.concatenate([transform.crops(frames[clip]) for clip in indices])
    np.testing.assert_array_equal([clip for clip, _ in views], expected)


def test_a_part_of_a_video_has_the_views_of_that_part(videos):
    record = Record(videos[0][0].file, "part", 0, start=5, stop=14)
    ((_, info),) = index_videos([record])[0]
    views = Clips(Sampling(4, "sequences"), WHOLE).views((record, info))
    assert [hostile.numbers(clip) for clip, _ in views] == [[5, 6, 7, 8], [9, 10, 11, 12]]


def test_a_clip_is_that_of_its_frames_whether_the_length_is_known_or_not(videos):
    for record, info in videos[:2]:
        for sampling in SAMPLINGS:
            known, unknown = (Clips(sampling, WHOLE).load((record, video), None) for video in (info, None))
            np.testing.assert_array_equal(known[0], unknown[0])
            np.testing.assert_array_equal(known[1], unknown[1])
            assert hostile.numbers(known[0]) == sampling.indices(info.frames)[0].tolist()


# ---- frames that are taken while they are counted


@pytest.mark.parametrize("name", ["edit_list", "half_a_matroska", "one_frame", "huge_claim", "zero_bytes"])
def test_a_scan_says_what_a_probe_says(tmp_path, name):
    make, suffix = hostile.KINDS[name][:2]
    path = tmp_path / f"{name}{suffix}"
    make(path)
    try:
        expected = probe(path)
    except VideoError as error:
        with pytest.raises(VideoError) as caught:
            decode.scan(path, lambda frames: [0, frames - 1])
        assert str(caught.value) == str(error)
    else:
        info, found = decode.scan(path, lambda frames: [0, frames - 1], lambda frame: frame[:8])
        assert info == expected and 0 in found and set(found) <= {0, info.claimed_frames - 1}
        assert all(frame.shape == (8, info.width, 3) for frame in found.values())


def test_a_header_that_is_wrong_changes_no_frame(tmp_path):
    path = tmp_path / "edited.mp4"
    hostile.edit_list(path)  # 40 frames of the 60 that the header claims
    assert (probe(path).frames, probe(path).claimed_frames) == (40, 60)
    for sampling in (Sampling(4), Sampling(4, "dense", 2, num_clips=3), Sampling(16, "sequences")):
        expected = read_frames(path)[sampling.clips(40)[0]]
        found = Clips(sampling, WHOLE).views((Record(path, "x", 0), None))
        for (clip, _), frames in zip(found, expected, strict=True):
            np.testing.assert_array_equal(clip, WHOLE(frames))


def test_a_video_with_an_honest_header_is_opened_once(videos, monkeypatch):
    opened, original = [], decode.open_video
    monkeypatch.setattr(decode, "open_video", lambda *arguments: opened.append(1) or original(*arguments))
    list(Clips(Sampling(4, num_clips=2), WHOLE).views((videos[0][0], None)))
    assert len(opened) == 1
    list(Clips(Sampling(4, "sequences"), WHOLE).views((videos[0][0], None)))
    assert len(opened) == 3  # counted, then read


@pytest.mark.parametrize("sampling", [Sampling(4, "sequences", hop=2), Sampling(4, num_clips=2)], ids=str)
def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path, sampling):
    peaks = []
    for count in (60, 600):
        path = tmp_path / f"{count}.avi"
        hostile.write(path, [hostile.barcode(0)] * count, codec="MJPG")
        views = Clips(sampling, WHOLE).views((Record(path, "x", 0), None))
        next(views)
        tracemalloc.start()
        for _ in views:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    frame = 48 * 48 * 3
    assert peaks[1] < peaks[0] + 2 * frame and peaks[1] < 30 * frame


# ---- reading ahead


def numbers(parts):
    return [(part.number, len(part.views), part.last) for part in parts if part is not None]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_parts_come_in_order_whatever_the_threads(videos, workers):
    source = Clips(Sampling(4, "sequences"), WHOLE)
    parts = list(read_ahead(source, videos[:3], size=3, ahead=2, workers=workers))
    assert numbers(parts) == [(0, 3, False), (0, 2, True), (1, 1, True), (2, 3, False), (2, 2, True)]
    seen = [hostile.numbers(clip) for part in parts for clip, _ in part.views]
    assert seen[:5] == [list(range(start, start + 4)) for start in range(0, 20, 4)]
    assert [part.record.path for part in parts[2:4]] == ["1.mp4", "2.mp4"]
    assert all(part.seconds > 0 and part.error is None for part in parts)


class Counted:
    """A source that tells how many views were made."""

    def __init__(self, views=1, wait=None):
        self.number, self.wait, self.made = views, wait, 0
        self.threads = set()

    def views(self, item):
        for _ in range(self.number):
            self.threads.add(threading.current_thread())
            if self.wait is not None:
                self.wait.wait(10)
            self.made += 1
            yield np.zeros(1), np.ones(1, bool)


ITEMS = [(Record(f"/made/up/{number}", str(number), 0), None) for number in range(2000)]


def settled(source):
    """What a source has made when it makes no more."""
    before = -1
    while source.made != before:
        before = source.made
        time.sleep(0.05)
    return before


def test_no_more_is_read_ahead_than_was_asked_for():
    source = Counted()
    parts = read_ahead(source, iter(ITEMS), size=8, ahead=5, workers=2)
    next(parts)
    assert settled(source) <= 6
    assert len(list(parts)) == len(ITEMS) - 1 and source.made == len(ITEMS)
    source = Counted(views=1000)
    parts = read_ahead(source, ITEMS, size=8, ahead=3, workers=2)
    next(parts)
    assert settled(source) <= 8 * 4
    parts.close()
    assert settled(source) <= 8 * 5


def test_without_threads_nothing_is_read_before_it_is_asked_for():
    source = Counted()
    parts = read_ahead(source, ITEMS, size=8, ahead=1, workers=0)
    assert source.made == 0
    next(parts)
    assert source.made == 1 and source.threads == {threading.current_thread()}


def test_a_thread_makes_one_item_ahead_and_no_more():
    source = Counted(views=5)
    items = one_ahead(source.views(None))
    next(items)
    until = time.monotonic() + 10
    while source.made < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert settled(source) == 2 and threading.current_thread() not in source.threads
    assert len(list(items)) == 4 and source.made == 5
    source = Counted(views=5)
    items = one_ahead(source.views(None))
    next(items)
    items.close()  # waits for the one that is being made
    assert source.made == settled(source) == 2


def test_an_error_of_an_item_ahead_comes_when_its_turn_is():
    def failing():
        yield 1
        raise UserError("the second one")

    items = one_ahead(failing())
    assert next(items) == 1
    with pytest.raises(UserError, match="^the second one$"):
        next(items)


def test_who_waits_is_told(monkeypatch):
    monkeypatch.setattr(_ahead, "_PATIENCE", 0.01)
    ready = threading.Event()
    parts = read_ahead(Counted(wait=ready), ITEMS[:1], size=8, ahead=1, workers=1)
    assert list(itertools.islice(parts, 2)) == [None, None]
    ready.set()
    assert numbers(parts) == [(0, 1, True)]


class Failing:
    def __init__(self, error):
        self.error = error

    def views(self, item):
        yield np.zeros(1), np.ones(1, bool)
        if item[0].path == "1":
            raise self.error


@pytest.mark.parametrize(
    "error, message",
    [
        (VideoError("/made/up/1", "truncated", "cut"), "/made/up/1: cut"),
        (UserError("no such joint"), "/made/up/1: no such joint"),
        (MemoryError("too\nmuch"), "/made/up/1: MemoryError: too much"),
    ],
)
def test_an_error_is_the_last_part_of_its_file_and_stops_no_other(error, message):
    parts = list(read_ahead(Failing(error), ITEMS[:3], size=8, ahead=3, workers=2))
    assert [(part.number, part.last, part.error is not None) for part in parts] == [
        (0, True, False),
        (1, True, True),
        (2, True, False),
    ]
    assert isinstance(parts[1].error, UserError) and str(parts[1].error) == message


def test_a_skeleton_sequence_has_one_view_and_is_read_when_its_turn_comes():
    joints = np.random.default_rng(0).normal(size=(5, 1, 3, 3))
    transform = SkeletonTransform(8, center=None)
    for known in (joints, lambda record: joints):
        ((sequence, mask),) = Skeletons(transform).views((Record("x", "x", 0), known))
        np.testing.assert_array_equal(sequence, transform(joints)[0])
        assert mask.sum() == 5


def test_a_skeleton_sequence_is_seen_as_it_is_and_as_training_draws_it():
    joints = np.random.default_rng(0).normal(size=(40, 1, 3, 3))
    drawn = {"view": 30.0, "crop": 0.5, "speed": 0.5}
    transform = SkeletonTransform(8, "resample", center=0, num_views=4, **drawn)
    views = list(transform.views(joints))
    assert len(views) == SkeletonPreprocessor("x", transform).num_views == 4
    np.testing.assert_array_equal(views[0][0], transform(joints)[0])
    for number in (1, 2, 3):
        seen = transform(joints, np.random.default_rng(number))[0]
        np.testing.assert_array_equal(views[number][0], seen)
        assert np.abs(seen - views[0][0]).max() > 0.1
    again = Skeletons(transform).views((Record("x", "x", 0), joints))
    np.testing.assert_array_equal([view for view, _ in again], [view for view, _ in views])


def test_no_view_of_a_skeleton_is_in_a_mirror_or_lacks_a_joint():
    joints = np.random.default_rng(0).uniform(1, 2, (6, 1, 3, 3))
    transform = SkeletonTransform(
        6, "resample", center=None, mirror=((1, 2),), drop=0.9, scale=0.5, num_views=30
    )
    for view, _ in transform.views(joints):  # each a multiple of the sequence
        share = view.reshape(6, 1, 3, 3) / joints
        np.testing.assert_allclose(share, share[0, 0, 0, 0], rtol=1e-5)
        assert 0.5 <= share[0, 0, 0, 0] <= 1.5


def test_views_of_skeletons_that_are_all_alike_are_refused():
    with pytest.raises(UserError, match="leave `num_views` out. Received: num_views=3"):
        SkeletonTransform(8, num_views=3)
    with pytest.raises(UserError, match="`num_views` must be"):
        SkeletonTransform(8, num_views=0, view=30)


@pytest.mark.parametrize(
    "sampling, transform, views",
    [
        (Sampling(4), WHOLE, 1),
        (Sampling(4, num_clips=2), ClipTransform(32, num_crops=3), 6),
        (Sampling(4, "stride"), ClipTransform(32, num_crops=10), 10),
        (Sampling(4, "sequences"), WHOLE, None),
    ],
)
def test_a_preprocessor_knows_how_often_it_looks(sampling, transform, views):
    seen = ClipPreprocessor(sampling, transform)
    assert seen.num_views == views and seen.has_views == (views != 1)
