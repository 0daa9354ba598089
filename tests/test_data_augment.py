"""RandAugment and random erasing of clips: each operation against its formula in NumPy."""

import numpy as np
import pytest

from keras_actrec.data import ClipTransform
from keras_actrec.data._augment import OPERATIONS, erase, rand_augment, warped

pytestmark = pytest.mark.no_backend

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 12, 16, 3), "uint8")
# A ramp, which bilinear sampling keeps.
SMOOTH = (np.add.outer(4 * np.arange(32), 3 * np.arange(40))[None, :, :, None] + [0, 1, 2]).astype("uint8")


def warped_in_numpy(frames, matrix, shift=(0, 0)):
    """Bilinear, every pixel by itself; what lies outside is 128."""
    count, height, width, _ = frames.shape
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    result = np.zeros(frames.shape)
    padded = np.pad(frames.astype(float), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=128)
    for row in range(height):
        for column in range(width):
            x, y = np.linalg.solve(matrix, np.array([column, row]) - center - shift) + center
            if not (-1 < x < width and -1 < y < height):
                result[:, row, column] = 128
                continue
            left, top = int(np.floor(x)), int(np.floor(y))
            a, b = x - left, y - top
            near = padded[:, top + 1 : top + 3, left + 1 : left + 3]  # (T, 2, 2, 3)
            share = np.outer([1 - b, b], [1 - a, a])
            result[:, row, column] = (near * share[None, :, :, None]).sum((1, 2))
    return result


def turn(degrees):
    angle = np.radians(degrees)
    return [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]


@pytest.mark.parametrize(
    "name, matrix, shift",
    [
        ("turn", turn(30 * 0.5), (0, 0)),
        ("shear rows", [[1, 0.15], [0, 1]], (0, 0)),
        ("shear columns", [[1, 0], [0.15, 1]], (0, 0)),
        ("shift across", np.eye(2), (0.225 * 40, 0)),
        ("shift down", np.eye(2), (0, 0.225 * 32)),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_clip_is_turned_sheared_and_shifted_about_its_center(name, matrix, shift, sign):
    if sign < 0:
        matrix, shift = np.linalg.inv(matrix), -np.array(shift)  # of these matrices, that of the other sign
    expected = warped_in_numpy(SMOOTH, matrix, shift)
    found = OPERATIONS[name](SMOOTH, 0.5 * sign)
    # OpenCV has positions in 1/32 of a pixel; an edge to gray is steep.
    assert np.abs(found - expected).mean() < 1 and np.mean(np.abs(found - expected) > 5) < 0.02
    assert np.abs(found - SMOOTH.astype(float)).mean() > 3


def test_a_quarter_turn_is_that_of_numpy():
    square = FRAMES[:, :, :12]
    np.testing.assert_array_equal(warped(square, [[0, 1], [-1, 0]]), np.rot90(square, axes=(1, 2)))


def gray(frames):
    return frames @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("amount", [0.5, -0.5])
def test_colors_are_moved_by_factors(amount):
    factor = 1 + 0.9 * amount
    x = FRAMES.astype(float)
    for name, expected in {
        "brightness": factor * x,
        "contrast": factor * x + (1 - factor) * gray(x).mean(),
        "color": factor * x + (1 - factor) * gray(x)[..., None],
    }.items():
        np.testing.assert_allclose(OPERATIONS[name](FRAMES, amount), np.clip(expected, 0, 255), atol=1)


@pytest.mark.parametrize("amount", [0.5, -0.5])
def test_sharpness_moves_pixels_from_or_to_the_mean_of_their_neighbors(amount):
    factor = 1 + 0.9 * amount
    x = np.pad(FRAMES.astype(float), ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    weights = {(i, j): (5 if i == j == 1 else 1) / 13 for i in range(3) for j in range(3)}
    smooth = sum(share * x[:, i : i + 12, j : j + 16] for (i, j), share in weights.items())
    expected = np.clip(smooth + factor * (FRAMES - smooth), 0, 255)
    np.testing.assert_allclose(OPERATIONS["sharpness"](FRAMES, amount), expected, atol=1)


def test_bits_and_lights():
    np.testing.assert_array_equal(OPERATIONS["bits"](FRAMES, -0.5), FRAMES // 4 * 4)
    np.testing.assert_array_equal(OPERATIONS["bits"](FRAMES, 1), FRAMES // 16 * 16)
    lights = FRAMES > 127
    np.testing.assert_array_equal(
        OPERATIONS["lights"](FRAMES, 0.5), np.where(lights, 255 - FRAMES.astype(int), FRAMES)
    )
    np.testing.assert_array_equal(OPERATIONS["lights"](FRAMES, 0), FRAMES)


def test_the_histogram_and_the_range_are_those_of_the_whole_clip():
    dark = FRAMES // 4 + 20
    found = OPERATIONS["range"](dark, 0.5)
    np.testing.assert_allclose(found, (dark - 20.0) * 255 / 63, atol=0.51)
    found = OPERATIONS["histogram"](dark, 0.5)
    for color in range(3):
        flat = dark[..., color].ravel()
        ranks = np.array([np.sum(flat <= value) for value in flat])
        expected = 255 * (ranks - ranks.min()) / (len(flat) - ranks.min())
        np.testing.assert_allclose(found[..., color].ravel(), expected, atol=0.51)
    plain = np.full((2, 4, 4, 3), 9, "uint8")
    np.testing.assert_array_equal(OPERATIONS["range"](plain, 0.5), plain)
    assert OPERATIONS["histogram"](plain, 0.5).std() == 0


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_does_the_same_to_all_frames_and_leaves_the_clip_it_was_given(name):
    still = np.repeat(FRAMES[:1], 3, axis=0)
    before = still.copy()
    found = OPERATIONS[name](still, 0.7)
    assert found.dtype == np.uint8 and found.shape == still.shape
    np.testing.assert_array_equal(found, np.repeat(found[:1], 3, axis=0))
    np.testing.assert_array_equal(still, before)
    assert np.any(found != still) == (name != "none")


def test_a_magnitude_of_0_is_nearly_nothing():
    for name in OPERATIONS.keys() - {"histogram", "range"}:
        np.testing.assert_allclose(OPERATIONS[name](FRAMES, 0), FRAMES, atol=1)


def test_so_many_operations_are_drawn_evenly_and_both_ways(monkeypatch):
    done = []

    def noting(name):
        def operation(frames, amount):
            done.append((name, amount))
            return frames

        return operation

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, noting(name))
    for seed in range(700):
        rand_augment(FRAMES, 2, 0.25, np.random.default_rng(seed))
    assert len(done) == 1400
    counts = [sum(name == other for other, _ in done) for name in OPERATIONS]
    assert len(counts) == 14 and 60 < min(counts) and max(counts) < 140  # 100 each
    assert {amount for _, amount in done} == {0.25, -0.25}
    assert 600 < sum(amount > 0 for _, amount in done) < 800


def test_a_box_of_all_frames_is_erased_with_one_noise():
    areas, aspects = [], []
    clip = np.zeros((2, 40, 50, 3), "uint8")
    for seed in range(300):
        found = erase(clip, np.random.default_rng(seed))
        np.testing.assert_array_equal(found[0], found[1])
        rows, columns = np.nonzero(found[0].any(-1))
        high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert found[0].any(-1).sum() == high * wide  # black in the noise is one in 16 million
        areas.append(high * wide / 2000)
        aspects.append(wide / high)
    assert not clip.any()
    assert 0.015 < min(areas) < 0.04 and 0.3 < max(areas) < 0.36
    assert 0.25 < min(aspects) < 0.4 and 2.5 < max(aspects) < 4


def test_a_transform_augments_and_erases_where_a_generator_is_given():
    plain = ClipTransform(12, crop="none")
    frames = FRAMES[:, :, :12]
    for options in ({"rand_augment": 3, "magnitude": 1.0}, {"rand_augment": 3}, {"erasing": 1.0}):
        transform = ClipTransform(12, crop="none", **options)
        np.testing.assert_array_equal(transform(frames), plain(frames))
        found = [transform(frames, np.random.default_rng(seed)) for seed in (0, 0, 1)]
        np.testing.assert_array_equal(found[0], found[1])
        assert np.any(found[0] != plain(frames)) and np.any(found[0] != found[2])
        assert transform.drawn == (next(iter(options)),) and not transform.deterministic.drawn
    some = ClipTransform(12, crop="none", erasing=0.25)
    erased = [np.any(some(frames, np.random.default_rng(seed)) != frames) for seed in range(400)]
    assert 0.19 < np.mean(erased) < 0.31
