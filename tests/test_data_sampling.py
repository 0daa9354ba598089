import json
from dataclasses import asdict

import numpy as np
import pytest

from keras_actrec.data import Sampling, clip_rng
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

METHODS = ("segments", "contiguous", "stride")
ALL = ("segments", "tsn", "contiguous", "dense", "stride", "sequences")
SHORT = ("stretch", "first", "repeat", "loop", "mask")


def picked(sampling, num_frames, rng=None):
    indices, mask = sampling.indices(num_frames, rng)
    return indices.tolist(), mask.astype(int).tolist()


@pytest.mark.parametrize(
    ("frames", "num_frames", "expected"),
    [
        (4, 16, [2, 6, 10, 14]),
        (3, 10, [1, 5, 8]),  # floor of 10/6, 30/6, 50/6
        (8, 8, list(range(8))),
        (8, 4, [0, 0, 1, 1, 2, 2, 3, 3]),
        (4, 1, [0, 0, 0, 0]),
        (1, 9, [4]),
    ],
)
def test_segments_takes_the_middle_of_each(frames, num_frames, expected):
    assert picked(Sampling(frames), num_frames) == (expected, [1] * frames)


@pytest.mark.parametrize(
    ("frames", "stride", "num_frames", "expected", "mask"),
    [
        (4, 1, 10, [3, 4, 5, 6], [1, 1, 1, 1]),
        (4, 2, 10, [1, 3, 5, 7], [1, 1, 1, 1]),
        (4, 2, 7, [0, 2, 4, 6], [1, 1, 1, 1]),
        (4, 2, 6, [0, 2, 4, 4], [1, 1, 1, 0]),
        (4, 3, 6, [1, 4, 4, 4], [1, 1, 0, 0]),  # two fit with two frames to spare, one on each side
        (4, 1, 1, [0, 0, 0, 0], [1, 0, 0, 0]),
    ],
)
def test_contiguous_is_centered_and_repeats_the_last_frame_masked(frames, stride, num_frames, expected, mask):
    assert picked(Sampling(frames, "contiguous", stride), num_frames) == (expected, mask)


@pytest.mark.parametrize(
    ("frames", "stride", "num_frames", "expected", "mask"),
    [
        (4, 3, 100, [0, 3, 6, 9], [1, 1, 1, 1]),
        (4, 3, 7, [0, 3, 6, 6], [1, 1, 1, 0]),
        (4, 5, 3, [0, 0, 0, 0], [1, 0, 0, 0]),
    ],
)
def test_stride_starts_at_the_first_frame(frames, stride, num_frames, expected, mask):
    assert picked(Sampling(frames, "stride", stride), num_frames) == (expected, mask)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("drawn", [False, True])
def test_indices_are_in_range_rising_where_they_count_and_still_where_they_do_not(method, drawn):
    rng = np.random.default_rng(0) if drawn else None
    for num_frames in range(1, 40):
        for frames in (1, 2, 5, 8, 16):
            for stride in (1,) if method == "segments" else (1, 2, 3, 7):
                indices, mask = Sampling(frames, method, stride).indices(num_frames, rng)
                assert indices.shape == mask.shape == (frames,)
                assert indices.dtype == np.int64 and mask.dtype == bool
                assert indices.min() >= 0 and indices.max() < num_frames
                if method != "segments":
                    valid = indices[mask]
                    assert len(valid) >= 1 and np.all(np.diff(valid) == stride)
                    assert mask.tolist() == sorted(mask.tolist(), reverse=True)
                    assert np.all(indices[~mask] == valid[-1])
                else:
                    assert mask.all() and np.all(np.diff(indices) >= 0)
                    if num_frames >= frames:
                        assert np.all(np.diff(indices) > 0)


def test_every_segment_is_represented_and_every_frame_can_be_drawn():
    rng = np.random.default_rng(0)
    for num_frames, frames in ((16, 4), (17, 4), (90, 16), (5, 5), (3, 8)):
        bounds = [i * num_frames // frames for i in range(frames + 1)]
        seen = set()
        for _ in range(400):
            indices, _ = Sampling(frames).indices(num_frames, rng)
            for i, index in enumerate(indices):
                assert bounds[i] <= index < max(bounds[i + 1], bounds[i] + 1)
            seen.update(indices.tolist())
        assert seen == set(range(num_frames))


@pytest.mark.parametrize("method", ["contiguous", "segments"])
def test_both_ends_are_drawn_as_often_as_the_middle(method):
    # 21 frames, 3 of them: 19 starts, or 3 segments of 7. Each start (frame) has an even chance.
    choices = 19 if method == "contiguous" else 7
    rng = np.random.default_rng(1)
    draws = [Sampling(3, method).indices(21, rng)[0][0] for _ in range(3800)]
    counts = np.bincount(draws, minlength=choices)
    assert len(counts) == choices
    expected = 3800 / choices
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))


def test_a_drawn_stride_only_moves_within_one_step():
    rng = np.random.default_rng(2)
    starts = {Sampling(4, "stride", 3).indices(30, rng)[0][0] for _ in range(100)}
    assert starts == {0, 1, 2}


@pytest.mark.parametrize("method", ["segments", "contiguous"])
def test_a_clip_is_a_function_of_seed_epoch_and_index(method):
    def draw(*key):
        return tuple(Sampling(6, method).indices(1_000_000, clip_rng(*key))[0].tolist())

    keys = [(seed, epoch, index) for seed in (0, 1) for epoch in (0, 1) for index in (0, 1)]
    assert len({draw(*key) for key in keys}) == 8
    assert [draw(*key) for key in reversed(keys)] == [draw(*key) for key in keys][::-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "`frames` must be a whole number from 1 to 65536. Received: frames=0"),
        (
            {"method": "middle"},
            "`method` must be one of segments, tsn, contiguous, dense, stride, sequences. "
            "Received: method='middle'",
        ),
        (
            {"short": "pad"},
            "`short` must be one of stretch, first, repeat, loop, mask. Received: short='pad'",
        ),
        (
            {"method": "stride", "stride": 0},
            "`stride` must be a whole number from 1 to 65536. Received: stride=0",
        ),
        ({"stride": 2}, '`stride` must be 1 with method="segments"'),
        ({"method": "tsn", "stride": 2}, '`stride` must be 1 with method="tsn"'),
        ({"num_clips": 0}, "`num_clips` must be a whole number from 1 to 65536. Received: num_clips=0"),
        ({"method": "stride", "num_clips": 2}, '`num_clips` must be 1 with method="stride"'),
        ({"method": "sequences", "num_clips": 2}, '`num_clips` must be 1 with method="sequences"'),
        ({"method": "sequences", "hop": 0}, "`hop` must be a whole number from 1 to 65536. Received: hop=0"),
        ({"hop": 2}, '`hop` goes with method="sequences". Received: hop=2'),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        Sampling(**arguments)


def test_an_empty_video_is_refused():
    for pick in (Sampling().indices, Sampling().clips):
        with pytest.raises(UserError, match="`num_frames` must be at least 1. Received: num_frames=0"):
            pick(0)


def cases(most=40):
    """Samplings of every method and rule with lengths around those at which they change."""
    for method in ALL:
        for short in (None, *SHORT):
            for frames in (1, 2, 5, 8):
                for stride in (1,) if method in ("segments", "tsn") else (1, 2, 7):
                    for extra in extras(method):
                        sampling = Sampling(frames, method, stride, short=short, **extra)
                        for num_frames in (*range(1, 13), 35, most):
                            yield sampling, num_frames


def extras(method):
    if method == "sequences":
        return ({}, {"hop": 1}, {"hop": 3})
    return ({},) if method == "stride" else ({}, {"num_clips": 2}, {"num_clips": 3})


def test_every_method_and_rule_picks_frames_that_are_there():
    rng = np.random.default_rng(0)
    for sampling, num_frames in cases():
        for drawn in (None, rng):
            indices, mask = sampling.indices(num_frames, drawn)
            assert indices.shape == mask.shape == (sampling.frames,)
            assert indices.dtype == np.int64 and mask.dtype == bool
            assert indices.min() >= 0 and indices.max() < num_frames
            loops = sampling.short == "loop" or (sampling.method, sampling.short) == ("dense", None)
            assert loops or np.all(np.diff(indices) >= 0)
            assert mask[0] and (sampling.masks or mask.all())


def test_clips_are_of_the_same_kind_and_never_drawn():
    for sampling, num_frames in cases():
        indices, masks = sampling.clips(num_frames)
        assert indices.ndim == 2 and indices.shape == masks.shape == (len(indices), sampling.frames)
        assert indices.dtype == np.int64 and masks.dtype == bool
        assert indices.min() >= 0 and indices.max() < num_frames
        assert np.all(np.diff(indices[:, 0]) >= 0) and masks[:, 0].all()
        assert sampling.masks or masks.all()
        if sampling.method != "sequences":
            assert len(indices) == sampling.num_clips
        one, mask = sampling.indices(num_frames)
        if len(indices) == 1:
            np.testing.assert_array_equal(indices[0], one)
            np.testing.assert_array_equal(masks[0], mask)


def test_a_video_that_is_long_enough_does_not_ask_for_the_rule_of_short_ones():
    for method in ALL:
        stride = 1 if method in ("segments", "tsn") else 3
        for num_frames in (15, 16, 31, 90):
            chosen = [
                Sampling(5, method, stride, short=short).indices(num_frames, np.random.default_rng(4))
                for short in SHORT
                if not (method == "stride" and short == "loop")  # a drawn start may leave it short of frames
            ]
            for indices, mask in chosen:
                np.testing.assert_array_equal(indices, chosen[0][0])
                assert method == "stride" or mask.all()


@pytest.mark.parametrize(
    ("short", "expected", "mask"),
    [
        ("stretch", [0, 0, 0, 1, 1, 2, 2, 2], [1] * 8),  # floor of (2 i + 1) 3 / 16
        ("first", [0, 0, 0, 1, 1, 2, 2, 2], [1] * 8),
        ("repeat", [0, 1, 2, 2, 2, 2, 2, 2], [1] * 8),
        ("loop", [0, 1, 2, 0, 1, 2, 0, 1], [1] * 8),
        ("mask", [0, 1, 2, 2, 2, 2, 2, 2], [1] * 3 + [0] * 5),
    ],
)
@pytest.mark.parametrize("method", ALL)
def test_three_frames_for_a_clip_of_eight(method, short, expected, mask):
    sampling = Sampling(8, method, short=short)
    assert picked(sampling, 3) == (expected, mask)
    assert sampling.masks == (short == "mask")


def test_a_drawn_clip_of_a_short_video_is_its_first_frame_as_in_the_released_training_code():
    for method in ALL:
        assert picked(Sampling(4, method, short="first"), 3, np.random.default_rng(0)) == ([0] * 4, [1] * 4)


@pytest.mark.parametrize(
    ("method", "short"),
    [
        ("segments", "stretch"),
        ("tsn", "stretch"),
        ("contiguous", "mask"),
        ("dense", "loop"),
        ("stride", "mask"),
        ("sequences", "mask"),
    ],
)
def test_each_method_has_a_rule_for_short_videos_of_its_own(method, short):
    for num_frames in (1, 2, 5, 6):
        assert picked(Sampling(8, method), num_frames) == picked(Sampling(8, method, short=short), num_frames)


def test_tsn_draws_from_segments_of_equal_length_and_leaves_the_rest_out():
    rng = np.random.default_rng(0)
    for num_frames, frames in ((16, 4), (19, 4), (90, 16), (5, 5), (47, 8)):
        length = num_frames // frames
        seen = [set() for _ in range(frames)]
        for _ in range(60 * length):
            indices, mask = Sampling(frames, "tsn").indices(num_frames, rng)
            assert mask.all()
            for place, index in enumerate(indices.tolist()):
                seen[place].add(index)
        assert seen == [set(range(i * length, (i + 1) * length)) for i in range(frames)]


def test_tsn_validates_and_tests_on_the_middles():
    # 0-based; tick = 10 / 4: floor of 1.25, 3.75, 6.25, 8.75
    assert picked(Sampling(4, "tsn"), 10) == ([1, 3, 6, 8], [1] * 4)
    for num_frames in range(1, 200):
        for frames in (3, 8, 16):
            assert picked(Sampling(frames, "tsn"), num_frames) == picked(Sampling(frames), num_frames)


def test_twice_takes_the_starts_and_the_middles_of_the_segments():
    clips, masks = Sampling(4, "tsn", num_clips=2).clips(10)
    assert clips.tolist() == [[0, 2, 5, 7], [1, 3, 6, 8]]  # floor of 2.5 i, and of 2.5 i + 1.25
    assert masks.all()
    clips, _ = Sampling(8, "segments", num_clips=2).clips(48)
    assert clips.tolist() == [list(range(0, 48, 6)), list(range(3, 48, 6))]
    # a short video is stretched: tick = 3 / 4
    assert Sampling(4, "tsn", num_clips=2).clips(3)[0].tolist() == [[0, 0, 1, 2], [0, 1, 1, 2]]


def test_dense_takes_every_eighth_frame_of_64_from_ten_starts():
    sampling = Sampling(8, "dense", 8, num_clips=10)
    clips, masks = sampling.clips(300)
    assert masks.all()
    # 300 - 64 = 236 in nine steps: 0, 26.2, 52.4, ...
    assert clips[:, 0].tolist() == [0, 26, 52, 78, 104, 131, 157, 183, 209, 236]
    assert np.all(np.diff(clips, axis=1) == 8)
    assert picked(sampling, 300)[0] == list(range(118, 118 + 64, 8))
    starts = {sampling.indices(66, np.random.default_rng(seed))[0][0] for seed in range(60)}
    assert starts == {0, 1, 2}


def test_dense_starts_a_short_video_over():
    # 20 frames: 0, 8, 16, 24 - 20, ...
    expected = [0, 8, 16, 4, 12, 0, 8, 16]
    clips, masks = Sampling(8, "dense", 8, num_clips=10).clips(20)
    assert clips.tolist() == [expected] * 10 and masks.all()
    assert picked(Sampling(8, "dense", 8), 20, np.random.default_rng(0)) == (expected, [1] * 8)


def test_several_contiguous_clips_reach_from_the_first_frame_to_the_last():
    clips, _ = Sampling(4, "contiguous", 2, num_clips=3).clips(20)
    assert clips.tolist() == [[0, 2, 4, 6], [6, 8, 10, 12], [13, 15, 17, 19]]


def test_a_video_is_cut_into_sequences_end_to_end():
    clips, masks = Sampling(3, "sequences").clips(11)
    assert clips.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]] and masks.all()
    clips, _ = Sampling(3, "sequences", frame_step=10).clips(95)  # the thesis' every tenth frame
    assert clips.tolist() == [[0, 10, 20], [30, 40, 50], [60, 70, 80]]
    assert picked(Sampling(3, "sequences"), 11)[0] == [3, 4, 5]
    clips, masks = Sampling(3, "sequences").clips(2)
    assert clips.tolist() == [[0, 1, 1]] and masks.tolist() == [[True, True, False]]


def test_a_smaller_hop_makes_sliding_windows():
    clips, _ = Sampling(3, "sequences", hop=1).clips(6)
    assert clips.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    clips, _ = Sampling(3, "sequences", 2, hop=2).clips(9)
    assert clips.tolist() == [[0, 2, 4], [2, 4, 6], [4, 6, 8]]


def test_sequences_are_all_that_fit_and_each_can_be_drawn():
    rng = np.random.default_rng(0)
    for num_frames in range(1, 30):
        for frames, stride, hop in ((1, 1, 1), (3, 1, None), (4, 2, 3), (5, 1, 1)):
            sampling = Sampling(frames, "sequences", stride, hop=hop)
            clips, _ = sampling.clips(num_frames)
            span, hop = (frames - 1) * stride + 1, hop or frames * stride
            fitting = [start for start in range(0, num_frames, hop) if start + span <= num_frames]
            assert clips[:, 0].tolist() == (fitting or [0])
            drawn = {tuple(sampling.indices(num_frames, rng)[0]) for _ in range(12 * len(clips))}
            assert drawn == {tuple(clip) for clip in clips}


def test_every_leaves_the_frames_between_out_of_clips():
    for method in ALL:
        for extra in extras(method):
            for num_frames in (1, 7, 30, 100):
                kept = Sampling(4, method, **extra)
                indices, masks = Sampling(4, method, frame_step=3, **extra).clips(num_frames)
                expected, expected_masks = kept.clips(-(-num_frames // 3))
                np.testing.assert_array_equal(indices, 3 * expected)
                np.testing.assert_array_equal(masks, expected_masks)
                assert Sampling(4, method, frame_step=3, **extra).of_kept() == kept


def test_indices_of_long_videos_are_exact():
    # in floating point the middle of segment 0 of 1 is off from 2 ** 53 frames on
    number = 2**60 + 3
    assert Sampling(1).indices(number)[0].tolist() == [2**59 + 1]


@pytest.mark.parametrize("method", ["contiguous", "dense", "stride", "sequences"])
@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_played_video_is_sampled_as_one_of_the_frames_that_it_then_has(method, rate):
    """A video of 40 frames at twice the speed has the frames 0, 2, 4, ...; at half of it each one twice."""
    shown = np.arange(0, 40, 2) if rate == 2 else np.repeat(np.arange(40), 2)
    for seed in range(20):
        indices, mask = Sampling(8, method, 2, speed=(rate, rate)).indices(40, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        rng.uniform()  # the rate
        expected, counts = Sampling(8, method, 2).indices(len(shown), rng)
        np.testing.assert_array_equal(indices, shown[expected])
        np.testing.assert_array_equal(mask, counts)


@pytest.mark.parametrize("method", ["segments", "tsn"])
def test_a_slow_video_of_segments_shows_a_part_and_a_fast_one_all(method):
    rng = np.random.default_rng(0)
    slow = [Sampling(10, method, speed=(0.5, 0.5)).indices(100, rng)[0] for _ in range(300)]
    assert all(np.ptp(clip) < 50 for clip in slow)
    assert min(clip[0] for clip in slow) < 3 and max(clip[-1] for clip in slow) > 96
    for clip in (Sampling(10, method, speed=(2, 2)).indices(100, rng)[0] for _ in range(20)):
        np.testing.assert_array_equal(clip // 10, np.arange(10))  # a frame of each segment of all of it


def test_speeds_are_drawn_evenly_in_their_logarithm_and_only_with_a_generator():
    sampling = Sampling(2, "stride", 50, speed=(0.5, 2))
    rng = np.random.default_rng(0)
    steps = [np.diff(sampling.indices(1000, rng)[0])[0] for _ in range(2000)]
    assert min(steps) in (25, 26) and max(steps) in (99, 100)
    assert abs(np.mean(np.array(steps) < 50) - 0.5) < 0.05  # as often slower as faster
    assert np.array_equal(sampling.indices(1000)[0], Sampling(2, "stride", 50).indices(1000)[0])
    assert np.array_equal(sampling.clips(1000)[0], Sampling(2, "stride", 50).clips(1000)[0])


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("short", SHORT)
def test_played_frames_are_frames_of_the_video(method, short):
    rng = np.random.default_rng(0)
    for number in range(1, 30):
        sampling = Sampling(5, method, frame_step=2, short=short, speed=(0.4, 2.5))
        indices, mask = sampling.indices(number, rng)
        assert indices.min() >= 0 and indices.max() < number and not np.any(indices % 2) and mask.any()


def test_a_speed_is_the_same_after_json_and_for_features_of_kept_frames():
    sampling = Sampling(4, "stride", 2, frame_step=3, speed=(0.8, 1.25))
    assert Sampling(**json.loads(json.dumps(asdict(sampling)))) == sampling
    assert sampling.of_kept() == Sampling(4, "stride", 2, speed=[0.8, 1.25])


@pytest.mark.parametrize("speed", [[0.8], [1.25, 0.8], [0, 1], [-1, 1]])
def test_speeds_that_are_none_are_refused(speed):
    with pytest.raises(UserError, match="`speed` must be two rates from 0.01 to 100, the slower one first"):
        Sampling(speed=speed)
