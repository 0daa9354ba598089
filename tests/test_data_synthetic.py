import csv

import numpy as np
import pytest

from keras_actrec.data import SYNTHETIC_PAIRS, read_frames, synthetic_clip, write_synthetic
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

KINDS = [kind for pair in SYNTHETIC_PAIRS for kind in pair]
TWINS = range(6)


def sprite(clip):
    """(T, H, W) bool: the sprite, which is on the other side of mid gray than the background."""
    light = clip.mean(axis=-1) > 117
    return ~light if light.mean() > 0.5 else light


def course(clip):
    """Center x, center y and area of the sprite over time, in frame sizes."""
    mask = sprite(clip).astype(float)
    y, x = np.mgrid[: clip.shape[1], : clip.shape[2]] / clip.shape[1]
    area = mask.sum(axis=(1, 2))
    return (mask * x).sum(axis=(1, 2)) / area, (mask * y).sum(axis=(1, 2)) / area, area / mask[0].size


def turn_match(before, after, degrees):
    """Share of the sprite that lies on the next frame's sprite after a turn by `degrees`, clockwise."""
    y, x = np.nonzero(before)
    center_y, center_x = y.mean(), x.mean()
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    new_x = center_x + cos * (x - center_x) - sin * (y - center_y)  # y points down: this is clockwise
    new_y = center_y + sin * (x - center_x) + cos * (y - center_y)
    height, width = after.shape
    return after[
        new_y.round().astype(int).clip(0, height - 1), new_x.round().astype(int).clip(0, width - 1)
    ].mean()


@pytest.mark.parametrize("pair", SYNTHETIC_PAIRS)
@pytest.mark.parametrize("frames", [8, 24, 25])
def test_twins_are_the_same_frames_in_another_order(pair, frames):
    for twin in TWINS:
        first, second = (synthetic_clip(kind, twin=twin, size=64, frames=frames) for kind in pair)
        assert sorted(frame.tobytes() for frame in first) == sorted(frame.tobytes() for frame in second)
        assert np.any(first != second)


@pytest.mark.parametrize("pair", SYNTHETIC_PAIRS[:4])
def test_the_twin_of_a_motion_is_its_frames_reversed(pair):
    first, second = (synthetic_clip(kind, twin=2, size=64) for kind in pair)
    np.testing.assert_array_equal(first[::-1], second)


def test_the_two_phases_are_closed_loops():
    clip = synthetic_clip("pulse_then_shake", size=64, frames=24)
    np.testing.assert_array_equal(clip[0], clip[12])  # both phases set out from the same rest
    swapped = synthetic_clip("shake_then_pulse", size=64, frames=24)
    np.testing.assert_array_equal(swapped, np.concatenate([clip[12:], clip[:12]]))


def test_moving_clips_move_the_way_their_name_says():
    for twin in TWINS:
        x, y, _ = course(synthetic_clip("move_right", twin=twin))
        assert np.all(np.diff(x) > 0) and x[-1] - x[0] > 0.35 and np.ptp(y) < 0.02
        x, y, _ = course(synthetic_clip("move_up", twin=twin))
        assert np.all(np.diff(y) < 0) and y[0] - y[-1] > 0.35 and np.ptp(x) < 0.02


def test_growing_clips_grow_to_about_twice_the_size():
    for twin in TWINS:
        _, _, area = course(synthetic_clip("grow", twin=twin))
        assert 1.7**2 < area[-1] / area[0] < 2.6**2
        assert np.all(np.diff(area) > 0)


def test_turning_clips_turn_clockwise_on_the_screen():
    for twin in TWINS:
        mask = sprite(synthetic_clip("turn_clockwise", twin=twin))
        for before, after in ((0, 1), (12, 13)):
            steps = {degrees: turn_match(mask[before], mask[after], degrees) for degrees in range(-20, 21)}
            best = max(steps, key=steps.get)
            assert 3 <= best <= 20, (twin, best)


def test_the_two_phase_clips_pulse_first_and_shake_second():
    for twin in TWINS:
        x, y, area = course(synthetic_clip("pulse_then_shake", twin=twin, frames=24))
        assert area[:12].max() / area[:12].min() > 1.8 and np.ptp(x[12:]) > 0.2
        assert area[12:].max() / area[12:].min() < 1.15 and np.ptp(x[:12]) < 0.06


def test_a_clip_depends_on_its_arguments_only():
    clip = synthetic_clip("grow", twin=1, size=32, frames=8, seed=3)
    np.testing.assert_array_equal(clip, synthetic_clip("grow", twin=1, size=32, frames=8, seed=3))
    assert clip.shape == (8, 32, 32, 3) and clip.dtype == np.uint8
    for other in ({"twin": 2}, {"seed": 4}):
        assert np.any(clip != synthetic_clip("grow", size=32, frames=8, **{"twin": 1, "seed": 3, **other}))


def test_the_written_set_is_what_its_manifest_says(tmp_path):
    seen = []
    manifest = write_synthetic(
        tmp_path / "set", clips_per_class=4, size=48, frames=8, seed=5, progress=lambda *p: seen.append(p)
    )
    with open(manifest, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "split", "group"]
    assert sorted({row["label"] for row in rows}) == sorted(KINDS)
    assert len(rows) == 40 and seen == [(done, 40) for done in range(1, 41)]
    assert sorted(
        path.relative_to(manifest.parent).as_posix() for path in manifest.parent.rglob("*.mp4")
    ) == sorted(row["path"] for row in rows)
    assert {path.name for path in manifest.parent.iterdir() if path.is_file()} == {"manifest.csv"}
    for kind in KINDS:
        assert [row["split"] for row in rows if row["label"] == kind] == ["train"] * 3 + ["test"]
    clip = read_frames(manifest.parent / "turn_clockwise" / "turn_clockwise_002.mp4")
    drawn = synthetic_clip("turn_clockwise", twin=2, size=48, frames=8, seed=5)
    assert np.abs(clip.astype(int) - drawn).mean() < 8  # what the codec loses


def test_a_group_is_a_pair_of_twins_in_one_split(tmp_path):
    with open(write_synthetic(tmp_path, clips_per_class=2, size=32, frames=8), newline="") as file:
        rows = list(csv.DictReader(file))
    groups = {}
    for row in rows:
        groups.setdefault(row["group"], []).append((row["label"], row["split"]))
    assert len(groups) == 10
    for members in groups.values():
        (first, split), (second, other_split) = members
        assert (first, second) in SYNTHETIC_PAIRS and split == other_split


def test_an_interrupted_call_leaves_no_manifest_and_no_half_file(tmp_path):
    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path, clips_per_class=4, size=32, frames=8, progress=stop)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        f"move_right_00{number}.mp4" for number in range(3)
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"clips_per_class": 0},
            "`clips_per_class` must be a whole number from 1 to 65536. Received: clips_per_class=0",
        ),
        ({"test_fraction": 1}, r"`test_fraction` must be in \[0, 1\). Received: test_fraction=1"),
        ({"fps": 0}, "`fps` must be above 0. Received: fps=0"),
        ({"size": 33}, "`size` must be even. Received: size=33"),
        ({"frames": 7}, "`frames` must be a whole number from 8 to 65536. Received: frames=7"),
    ],
)
def test_a_bad_argument_is_named(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        write_synthetic(tmp_path, **{"clips_per_class": 1, **arguments})


def test_an_unknown_kind_is_named():
    with pytest.raises(UserError, match="`kind` must be one of move_right, .* Received: kind='wave'"):
        synthetic_clip("wave")
