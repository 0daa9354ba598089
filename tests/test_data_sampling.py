import numpy as np
import pytest

from keras_actrec.data import Sampling, clip_rng
from keras_actrec.errors import UserError

METHODS = ("segments", "contiguous", "stride")


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
def test_contiguous_is_centred_and_repeats_the_last_frame_masked(frames, stride, num_frames, expected, mask):
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
        ({"frames": 0}, "`frames` must be at least 1. Received: frames=0"),
        (
            {"method": "dense"},
            "`method` must be one of segments, contiguous, stride. Received: method='dense'",
        ),
        ({"method": "stride", "stride": 0}, "`stride` must be at least 1. Received: stride=0"),
        ({"stride": 2}, '`stride` must be 1 with method="segments"'),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        Sampling(**arguments)


def test_an_empty_video_is_refused():
    with pytest.raises(UserError, match="`num_frames` must be at least 1. Received: num_frames=0"):
        Sampling().indices(0)
