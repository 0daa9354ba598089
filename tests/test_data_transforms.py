import json
from dataclasses import asdict

import numpy as np
import pytest

from keras_actrec.data import ClipTransform
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend


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


class Given:
    """A generator that gives chosen whole numbers, one after the other, and notes what it was asked."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)
        self.asked = []

    def integers(self, high):
        self.asked.append(high)
        return self.numbers.pop(0)


def test_a_crop_without_resizing_cuts_the_middle_out():
    clip = ClipTransform(8, short_side=20)(ramp(20, 31))
    np.testing.assert_array_equal(clip, ramp(20, 31)[:, 6:14, 11:19])  # (20 - 8) // 2, (31 - 8) // 2
    assert clip.dtype == np.uint8 and clip.flags["C_CONTIGUOUS"]


def test_the_default_short_side_keeps_224_of_256():
    clip = ClipTransform(28)(ramp(32, 40))  # 28 * 256 // 224 = 32: nothing to resize
    np.testing.assert_array_equal(clip, ramp(32, 40)[:, 2:30, 6:34])


@pytest.mark.parametrize(("height", "width"), [(20, 60), (60, 20), (7, 9), (240, 320)])
@pytest.mark.parametrize("crop", ["center", "random", "multiscale", "resized", "none"])
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
    frames, plain = ramp(20, 30), ClipTransform(8, short_side=12)
    for crop in ("random", "multiscale", "resized"):
        drawn = ClipTransform(8, 12, crop, True, ((0, 1),), 0.5, 0.5, 0.5)
        clip, label = drawn.labeled(frames, 1)
        np.testing.assert_array_equal(clip, plain(frames))
        assert label == 1 and drawn.drawn
    assert not plain.drawn and not ClipTransform(8, crop="none").drawn


def test_the_same_generator_draws_the_same():
    frames = ramp(40, 60)
    for crop in ("random", "multiscale", "resized"):
        transform = ClipTransform(16, None, crop, True, (), 0.4, 0.4, 0.4)
        one, same, other = (transform(frames, np.random.default_rng(seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()


# TSN's GroupMultiScaleCrop on frames of 200 x 232, written out. Sides: 200, 175, 150, 132.
PAIRS = [  # (height, width)
    (200, 200), (200, 175),
    (175, 200), (175, 175), (175, 150),
    (150, 175), (150, 150), (150, 132),
    (132, 150), (132, 132),
]  # fmt: skip
# A crop of 132 leaves 68 rows and 100 columns: quarter steps of 17 and 25.
PLACES = [  # (top, left)
    (0, 0), (0, 100), (68, 0), (68, 100), (34, 50),
    (34, 0), (34, 100), (68, 50), (0, 50),
    (17, 25), (17, 75), (51, 25), (51, 75),
]  # fmt: skip


def test_multi_scale_crops_have_the_published_sides():
    for number, (high, wide) in enumerate(PAIRS):
        rng = Given(number, 0)
        clip = ClipTransform(16, crop="multiscale")(ramp(200, 232), rng)
        assert rng.asked == [10, 13]
        # the mean of a ramp over `side` pixels from 0 on
        np.testing.assert_allclose(clip[0, ..., 0].mean(), (high - 1) / 2, atol=0.6)
        np.testing.assert_allclose(clip[0, ..., 1].mean(), (wide - 1) / 2, atol=0.6)


def test_multi_scale_crops_have_the_published_places():
    for number, (top, left) in enumerate(PLACES):
        clip = ClipTransform(132, crop="multiscale")(ramp(200, 232), Given(9, number))
        np.testing.assert_array_equal(clip, ramp(200, 232)[:, top : top + 132, left : left + 132])


def test_a_side_within_two_pixels_of_the_size_is_cut_without_resizing():
    for size in (130, 131, 133, 134):  # the smallest side is 132
        clip = ClipTransform(size, crop="multiscale")(ramp(200, 232), Given(9, 0))
        np.testing.assert_array_equal(clip, ramp(200, 232)[:, :size, :size])
    for size in (129, 135):
        clip = ClipTransform(size, crop="multiscale")(ramp(200, 232), Given(9, 0))
        assert (clip != ramp(200, 232)[:, :size, :size]).any()


def test_a_multi_scale_crop_never_reaches_over_the_edge():
    # the short side, 222, would become 224
    clip = ClipTransform(224, crop="multiscale")(ramp(222, 230), Given(0, 3))
    assert clip.shape == (2, 224, 224, 3)
    np.testing.assert_array_equal(clip[0, 0, :, 0], 0)
    np.testing.assert_array_equal(clip[0, -1, :, 0], 221)


def test_a_resized_crop_has_the_areas_and_aspects_of_the_inception_networks():
    rng = np.random.default_rng(0)
    transform = ClipTransform(64, crop="resized")
    areas, aspects = [], []
    for _ in range(300):
        clip = transform(ramp(160, 200, frames=1), rng)[0]
        # a ramp of one a pixel, sampled 64 times over a side of n pixels, climbs n / 64 a step
        high, wide = (np.diff(clip[..., axis].mean(axis=1 - axis)).mean() * 64 for axis in (0, 1))
        areas.append(high * wide / (160 * 200))
        aspects.append(wide / high)
    assert 0.07 < min(areas) < 0.15 and 0.8 < max(areas) < 1.02
    assert 0.72 < min(aspects) < 0.8 and 1.25 < max(aspects) < 1.38


def test_a_resized_crop_of_a_sliver_is_its_middle():
    clip = ClipTransform(8, crop="resized")(ramp(4, 240), np.random.default_rng(0))
    assert clip.shape == (2, 8, 8, 3)
    # hardly any draw fits; the fallback is 5 columns wide, 4 * 4 // 3, from column 117 on
    clips = [
        ClipTransform(5, crop="resized")(ramp(4, 240), np.random.default_rng(seed)) for seed in range(50)
    ]
    assert sum(clip[0, 0, :, 1].tolist() == [117, 118, 119, 120, 121] for clip in clips) > 40


def test_a_mirrored_clip_swaps_its_label():
    swap = ((86, 87), (93, 94), (166, 167))  # Something-Something V1: left and right
    transform = ClipTransform(8, short_side=8, flip=True, swap=swap)
    pairs = {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}
    for label in range(174):
        clip, mirrored = transform.labeled(ramp(8, 8), label, Last(0.4999))
        assert mirrored == pairs.get(label, label)
        assert clip[0, 0, 0, 1] == 7
        clip, kept = transform.labeled(ramp(8, 8), label, Last(0.5))
        assert kept == label and clip[0, 0, 0, 1] == 0


def test_a_transform_is_the_same_after_json():
    transform = ClipTransform(8, flip=True, swap=((1, 2), (3, 4)), contrast=0.2)
    again = ClipTransform(**json.loads(json.dumps(asdict(transform))))
    assert again == transform and hash(again) == hash(transform)


class Factors(Given):
    def uniform(self, low, high):
        self.asked.append((low, high))
        return self.numbers.pop(0)


def recolored(frames, *factors):
    """The definition, step by step."""
    brightness, contrast, saturation = factors
    weights = np.array([0.299, 0.587, 0.114])
    x = frames * brightness
    x = contrast * x + (1 - contrast) * (x @ weights).mean()
    x = saturation * x + (1 - saturation) * (x @ weights)[..., None]
    return np.clip(x, 0, 255)


@pytest.mark.parametrize(
    "factors", [(1, 1, 1), (0.6, 1, 1), (1.4, 1, 1), (1, 0.6, 1), (1, 1.4, 1), (1, 1, 0), (1.2, 0.7, 1.3)]
)
def test_colors_change_as_their_formula_says(factors):
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), "uint8")
    rng = Factors(*factors)
    clip = ClipTransform(8, crop="none", brightness=0.4, contrast=0.5, saturation=1)(frames, rng)
    assert rng.asked == [(0.6, 1.4), (0.5, 1.5), (0, 2)]
    assert clip.dtype == np.uint8 and clip.shape == frames.shape
    np.testing.assert_allclose(clip, recolored(frames, *factors), atol=1)


def test_all_frames_are_recolored_alike():
    frames = np.repeat(ramp(8, 8, frames=1), 3, axis=0)
    frames[1] //= 2
    transform = ClipTransform(8, crop="none", brightness=0.5, contrast=0.5, saturation=0.5)
    clip = transform(frames, np.random.default_rng(3))
    np.testing.assert_array_equal(clip[0], clip[2])
    assert (clip[0] != frames[0]).any()


def test_three_crops_lie_along_the_long_side():
    transform = ClipTransform(8, short_side=10, num_crops=3)
    for height, width, corners in (
        (10, 29, [(1, 0), (1, 10), (1, 21)]),
        (29, 10, [(0, 1), (10, 1), (21, 1)]),
    ):
        crops = transform.crops(ramp(height, width))
        assert crops.shape == (3, 2, 8, 8, 3)
        for crop, (top, left) in zip(crops, corners, strict=True):
            np.testing.assert_array_equal(crop, ramp(height, width)[:, top : top + 8, left : left + 8])


def test_ten_crops_are_corners_and_center_and_their_mirror_images():
    frames = ramp(16, 32)
    crops = ClipTransform(8, short_side=16, num_crops=10).crops(frames)
    corners = [(0, 0), (0, 24), (8, 0), (8, 24), (4, 12)]
    for place, (top, left) in enumerate(corners):
        crop = frames[:, top : top + 8, left : left + 8]
        np.testing.assert_array_equal(crops[place], crop)
        np.testing.assert_array_equal(crops[place + 5], crop[:, :, ::-1])
    assert len(crops) == 10


@pytest.mark.parametrize("options", [{}, {"crop": "none"}, {"num_crops": 6}, {"num_crops": 10}])
def test_mirrored_crops_come_behind_the_others(options):
    transform = ClipTransform(8, **{"num_crops": 2, **options})
    frames = ramp(20, 30)
    crops = transform.crops(frames)
    half = transform.num_crops // 2
    assert len(crops) == transform.num_crops
    np.testing.assert_array_equal(crops[half:], crops[:half, :, :, ::-1])
    if half < 5:
        others = ClipTransform(8, **{**options, "num_crops": half})
        np.testing.assert_array_equal(crops[:half], others.crops(frames))


@pytest.mark.parametrize("crop", ["center", "random", "multiscale", "resized", "none"])
def test_one_crop_is_what_a_call_gives(crop):
    transform = ClipTransform(8, crop=crop, flip=True)
    np.testing.assert_array_equal(transform.crops(ramp(20, 30)), transform(ramp(20, 30))[None])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "`size` must be a whole number from 1 to 8192. Received: size=0"),
        (
            {"crop": "five"},
            "`crop` must be one of center, random, multiscale, resized, none. Received: crop='five'",
        ),
        ({"size": 64, "short_side": 60}, "`short_side` must be at least `size`, 64. Received: short_side=60"),
        ({"crop": "none", "short_side": 300}, "must be left out"),
        ({"brightness": -0.1}, "`brightness` must be from 0 to 1. Received: brightness=-0.1"),
        ({"saturation": 1.5}, "`saturation` must be from 0 to 1. Received: saturation=1.5"),
        ({"erasing": 1.5}, "`erasing` must be from 0 to 1. Received: erasing=1.5"),
        (
            {"rand_augment": -1},
            "`rand_augment` must be a whole number from 0 to 100. Received: rand_augment=-1",
        ),
        ({"rand_augment": 1, "magnitude": 2}, "`magnitude` must be from 0 to 1. Received: magnitude=2"),
        ({"magnitude": 0.5}, "`magnitude` goes with `rand_augment`. Received: magnitude=0.5"),
        ({"swap": [[1, 2, 3]]}, "`swap` must be pairs of class ids, each id once."),
        ({"swap": [[1, 2], [2, 3]]}, "`swap` must be pairs of class ids, each id once."),
        ({"swap": [[-1, 2]]}, "`swap` must be pairs of class ids, each id once."),
        (
            {"size": 64, "shrink": 72},
            "`shrink` must be at least the side that the frames are resized to, 73. Received: shrink=72",
        ),
        ({"size": 64, "crop": "none", "shrink": 63}, "resized to, 64. Received: shrink=63"),
        ({"num_crops": 5}, "`num_crops` must be 1, 2, 3, 6 or 10. Received: num_crops=5"),
        ({"num_crops": 3, "crop": "none"}, '`num_crops` must be 1 or 2 with crop="none"'),
        ({"num_crops": 10, "swap": [[1, 2]]}, "`num_crops` must be 1 or 3 with `swap`"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        ClipTransform(**arguments)


@pytest.mark.parametrize("frames", [np.zeros((4, 8, 8, 3)), np.zeros((8, 8, 3), "uint8")])
def test_bad_frames_are_refused(frames):
    with pytest.raises(UserError, match=r"`frames` must be a uint8 array \(T, H, W, 3\)"):
        ClipTransform(4)(frames)


@pytest.mark.parametrize("crop", ["center", "random", "multiscale", "resized", "none"])
@pytest.mark.parametrize("shrink", [None, 18, 25])
@pytest.mark.parametrize(("height", "width"), [(20, 31), (60, 41), (17, 17)])
def test_prepared_frames_may_stand_in_for_the_frames(crop, shrink, height, width):
    transform = ClipTransform(16, None, crop, True, ((0, 1),), 0.3, 0.3, 0.3, shrink=shrink)
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), "uint8")
    prepared = transform.prepare(frames)
    np.testing.assert_array_equal(transform.prepare(prepared), prepared)
    for frame, alone in zip(prepared, frames, strict=True):
        np.testing.assert_array_equal(transform.prepare(alone[None])[0], frame)
    for seed in range(10):
        clip, label = transform.labeled(frames, 1, np.random.default_rng(seed))
        again, same = transform.labeled(prepared, 1, np.random.default_rng(seed))
        np.testing.assert_array_equal(clip, again)
        assert label == same
    np.testing.assert_array_equal(transform(frames), transform(prepared))
    np.testing.assert_array_equal(transform.deterministic(frames), transform(frames))
    for num_crops in (1,) if crop == "none" else (1, 3, 10):
        views = ClipTransform(16, crop=crop, shrink=shrink, num_crops=num_crops)
        np.testing.assert_array_equal(views.crops(frames), views.crops(prepared))


def test_frames_are_prepared_as_the_crop_says():
    for arguments, shape, words in (
        ({"short_side": 24}, (24, 48), "short side 24"),
        ({"crop": "random"}, (18, 36), "short side 18"),
        ({"crop": "none"}, (16, 16), "square 16"),
        ({"crop": "multiscale"}, (40, 80), "as decoded"),
        ({"crop": "resized", "shrink": 30}, (30, 60), "shrunk to 30, as decoded"),
        ({"shrink": 30}, (18, 36), "shrunk to 30, short side 18"),
    ):
        transform = ClipTransform(16, **arguments)
        assert transform.prepare(ramp(40, 80)).shape == (2, *shape, 3)
        assert transform.preparation == words


def test_shrink_averages_over_areas_and_leaves_smaller_frames_alone():
    transform = ClipTransform(4, short_side=4, crop="multiscale", shrink=4)
    frames = np.zeros((1, 16, 32, 3), "uint8")
    frames[:, ::4, ::4] = 160  # one pixel in every 4 x 4
    np.testing.assert_array_equal(transform.prepare(frames), np.full((1, 4, 8, 3), 10))
    np.testing.assert_array_equal(transform.prepare(ramp(3, 9)), ramp(3, 9))


def test_a_multi_scale_crop_is_cut_from_the_shrunk_frames():
    rng = Given(0, 0)  # the whole short side, at the top left
    clip = ClipTransform(16, crop="multiscale", shrink=22)(ramp(44, 88), rng)
    assert clip.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(clip[0, ..., 1].mean(), (44 - 1) / 2, atol=0.6)  # 22 of 44 columns
