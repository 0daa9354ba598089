import numpy as np
import pytest

from keras_actrec.data import ClipTransform
from keras_actrec.errors import UserError


def ramp(height, width, frames=2):
    """Frames whose red is the row, green the column and blue the number of the frame."""
    y, x = np.mgrid[:height, :width]
    return np.stack([np.stack([y, x, np.full_like(y, t)], axis=-1) for t in range(frames)]).astype("uint8")


class Last:
    """A generator that draws the largest whole number and a chosen fraction."""

    def __init__(self, fraction):
        self.fraction = fraction

    def integers(self, high):
        return high - 1

    def random(self):
        return self.fraction


def test_a_crop_without_resizing_cuts_the_middle_out():
    clip = ClipTransform(8, short_side=20)(ramp(20, 31))
    np.testing.assert_array_equal(clip, ramp(20, 31)[:, 6:14, 11:19])  # (20 - 8) // 2, (31 - 8) // 2
    assert clip.dtype == np.uint8 and clip.flags["C_CONTIGUOUS"]


def test_the_default_short_side_keeps_224_of_256():
    clip = ClipTransform(28)(ramp(32, 40))  # 28 * 256 // 224 = 32: nothing to resize
    np.testing.assert_array_equal(clip, ramp(32, 40)[:, 2:30, 6:34])


@pytest.mark.parametrize(("height", "width"), [(20, 60), (60, 20), (7, 9), (240, 320)])
@pytest.mark.parametrize("crop", ["center", "random", "none"])
def test_any_size_becomes_the_size_asked_for(height, width, crop):
    clip = ClipTransform(16, crop=crop)(ramp(height, width), np.random.default_rng(0))
    assert clip.shape == (2, 16, 16, 3)


def test_the_short_side_is_resized_and_the_aspect_kept():
    frames = np.zeros((1, 40, 80, 3), "uint8")
    frames[:, :, 40:] = 200  # the right half
    clip = ClipTransform(16, short_side=20)(frames)  # 20 x 40, of which columns 12 to 28 are kept
    np.testing.assert_array_equal(clip[0, :, :8], 0)
    np.testing.assert_array_equal(clip[0, :, 8:], 200)


def test_shrinking_averages_over_areas():
    frames = np.zeros((1, 16, 16, 3), "uint8")
    frames[:, ::4, ::4] = 160  # one pixel in every 4 x 4
    np.testing.assert_array_equal(ClipTransform(4, short_side=4)(frames), np.full((1, 4, 4, 3), 10))


def test_crop_none_uses_the_whole_frame_whatever_its_aspect():
    frames = np.zeros((1, 8, 32, 3), "uint8")
    frames[:, :, 16:] = 200
    clip = ClipTransform(8, crop="none")(frames)
    np.testing.assert_array_equal(clip[0, :, :4], 0)
    np.testing.assert_array_equal(clip[0, :, 4:], 200)


def test_a_random_crop_reaches_both_corners_and_is_the_same_for_all_frames():
    rng = np.random.default_rng(0)
    transform = ClipTransform(8, short_side=10, crop="random")
    corners = set()
    for _ in range(200):
        clip = transform(ramp(10, 12, frames=3), rng)
        np.testing.assert_array_equal(clip[0, ..., :2], clip[2, ..., :2])
        assert clip[:, 0, 0, 2].tolist() == [0, 1, 2]
        corners.add(tuple(clip[0, 0, 0, :2].tolist()))
    assert corners == {(top, left) for top in range(3) for left in range(5)}


def test_a_flip_mirrors_columns_and_happens_half_of_the_time():
    transform = ClipTransform(8, short_side=8, flip=True)
    frames = ramp(8, 8)
    np.testing.assert_array_equal(transform(frames, Last(0.4999)), frames[:, :, ::-1])
    np.testing.assert_array_equal(transform(frames, Last(0.5)), frames)


def test_without_a_generator_nothing_is_drawn():
    frames = ramp(20, 30)
    drawn = ClipTransform(8, short_side=12, crop="random", flip=True)
    np.testing.assert_array_equal(drawn(frames), ClipTransform(8, short_side=12)(frames))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "`size` must be at least 1. Received: size=0"),
        ({"crop": "five"}, "`crop` must be one of center, random, none. Received: crop='five'"),
        ({"size": 64, "short_side": 60}, "`short_side` must be at least `size`, 64. Received: short_side=60"),
        ({"crop": "none", "short_side": 300}, "must be left out"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        ClipTransform(**arguments)


@pytest.mark.parametrize("frames", [np.zeros((4, 8, 8, 3)), np.zeros((8, 8, 3), "uint8")])
def test_bad_frames_are_refused(frames):
    with pytest.raises(UserError, match=r"`frames` must be a uint8 array \(T, H, W, 3\)"):
        ClipTransform(4)(frames)
