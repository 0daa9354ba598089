"""What simple classifiers reach: by figures that can be told in advance."""

import keras
import numpy as np
import pytest

import hostile
from keras_actrec import insight
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    FeaturePreprocessor,
    Record,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
    VideoError,
)
from keras_actrec.data.summaries import few, summary_of_features, summary_of_frames, summary_of_joints
from keras_actrec.evaluation import (
    evaluate,
    floor_line,
    floors,
    floors_of_part,
    read_scores,
    write_scores,
)
from keras_actrec.evaluation.floors import drawn
from keras_actrec.recognizer import Recognizer

RNG = np.random.default_rng(0)
CLIPS = ClipPreprocessor(Sampling(4), ClipTransform(16))


@pytest.mark.no_backend
def test_a_video_is_its_middle_and_mean_frame_and_its_changes():
    frames = np.zeros((5, 24, 32, 3), "uint8")
    frames[2] = 100
    frames[3:, :2, :2] = 200  # a cell of the grid
    found = summary_of_frames(frames)
    np.testing.assert_allclose(found["one frame"], 100)
    mean = np.full((12, 16), 20.0)
    mean[0, 0] = (100 + 200 + 200) / 5
    np.testing.assert_allclose(found["mean frame"], mean.ravel(), rtol=1e-6)
    grid = found["frame differences"].reshape(8, 12, 16)
    # Four changes over eight segments: each is in two. Nothing, everything, back but for a cell, nothing.
    assert np.expm1(grid[:, 5, 5]).round(3).tolist() == [0, 0, 100, 100, 100, 100, 0, 0]
    assert np.expm1(grid[:, 0, 0]).round(3).tolist() == [0, 0, 100, 100, 100, 100, 0, 0]


@pytest.mark.no_backend
def test_one_frame_has_no_changes():
    found = summary_of_frames(np.full((1, 24, 32, 3), 7, "uint8"))
    assert not found["frame differences"].any() and found["frame differences"].shape == (8 * 12 * 16,)


@pytest.mark.no_backend
def test_joints_are_their_mean_spread_and_range():
    joints = RNG.normal(size=(9, 1, 2, 3)).astype("float32")
    (vector,) = summary_of_joints(joints).values()
    rows = joints.reshape(9, 6)
    expected = [*rows.mean(0), *rows.std(0), *(rows.max(0) - rows.min(0))]
    np.testing.assert_allclose(vector, expected, rtol=1e-5)


@pytest.mark.no_backend
def test_features_are_the_means_of_four_segments():
    steps = np.arange(8, dtype="float32")[:, None] * [1, 10]
    (vector,) = summary_of_features(steps).values()
    np.testing.assert_allclose(vector.reshape(4, 2), np.array([0.5, 2.5, 4.5, 6.5])[:, None] * [1, 10])
    maps = np.broadcast_to(steps[:, None, None], (8, 3, 3, 2))
    np.testing.assert_allclose(summary_of_features(maps)["means of segments"], vector)


@pytest.mark.no_backend
@pytest.mark.parametrize("count", [1, 7, 512, 513, 5000])
def test_few_steps_are_looked_at_evenly(count):
    steps = few(count)
    assert 0 < len(steps) <= 512 and steps[0] == 0 and steps[-1] >= count - steps.step


def moving(folder, count):
    """Videos of a square that moves left or right: their middle and mean frames are alike."""
    items = []
    for number in range(count):
        right = number % 2
        frames = RNG.integers(0, 40, (13, 48, 64, 3), "uint8")
        for step in range(13):
            at = 4 * (step if right else 12 - step)
            frames[step, 16:32, at : at + 12] = 255
        hostile.write(folder / f"{number}.avi", list(frames))
        items.append(Record(folder / f"{number}.avi", f"{number}.avi", right))
    return items


def test_motion_is_told_by_differences_and_not_by_one_frame(tmp_path):
    indexed, _ = CLIPS.index(moving(tmp_path, 24))
    told = []
    found = floors(CLIPS, indexed[:16], indexed[16:], progress=lambda *step: told.append(step))
    assert list(found) == ["majority class", "one frame", "mean frame", "frame differences"]
    assert found["majority class"] == 0.5 and found["frame differences"] == 1.0
    assert found["one frame"] < 1.0
    assert told[-1] == (24, 24)


@pytest.mark.no_backend
def test_the_majority_is_that_of_the_training_part():
    items = [(Record("x", "x", label), RNG.normal(size=(5, 1, 2, 3))) for label in [0, 1, 1, 1, 0, 0, 0, 1]]
    preprocessor = SkeletonPreprocessor("poses", SkeletonTransform(frames=4))
    assert floors(preprocessor, items[:4], items[4:])["majority class"] == 0.25
    assert floors(preprocessor, items[1:4], items[4:]) == {"majority class": 0.25}  # one class alone


@pytest.mark.no_backend
def test_features_that_differ_in_their_mean_are_told_apart(tmp_path):
    records = []
    for number in range(20):
        np.save(tmp_path / f"{number}.npy", RNG.normal(3 * (number % 2), 1, (6, 8)).astype("float32"))
        records.append(Record(tmp_path / f"{number}.npy", f"{number}.npy", number % 2))
    preprocessor = FeaturePreprocessor(Sampling(4))
    indexed, _ = preprocessor.index(records)
    assert floors(preprocessor, indexed[:12], indexed[12:])["means of segments"] == 1.0


@pytest.mark.no_backend
def test_a_file_that_cannot_be_read_any_more_is_named(tmp_path):
    indexed, _ = CLIPS.index(moving(tmp_path, 4))
    (tmp_path / "3.avi").unlink()
    with pytest.raises(VideoError, match="3.avi"):
        floors(CLIPS, indexed[:2], indexed[2:])


@pytest.mark.no_backend
def test_the_line_has_the_highest_floor_first_and_says_who_is_below():
    found = {"majority class": 0.1, "frame differences": 0.9}
    line = "floor 0.9000 frame differences, 0.1000 majority class"
    assert floor_line(found, 0.95) == floor_line(found, None) == line
    assert floor_line(found, 0.5).startswith(line + "; the model is below it: ")


def network():
    frames = keras.Input((4, 16, 16, 3), name="clip")
    x = keras.layers.Dense(2, activation="softmax")(keras.ops.mean(frames, axis=(1, 2, 3)))
    return keras.Model(frames, x, name="small")


def test_an_evaluation_tells_the_floors_of_a_set_with_a_training_part(tmp_path):
    records = moving(tmp_path, 24)
    rows = [f"{each.path},{each.label},{'train' if n < 16 else 'test'}" for n, each in enumerate(records)]
    data = tmp_path / "index.csv"
    data.write_text("\n".join(["path,label,split", *rows]), encoding="utf-8")
    recognizer = Recognizer(network(), ("0", "1"), CLIPS)
    assert evaluate(recognizer, data).floors is None
    result = evaluate(recognizer, data, floors=True)
    assert result.floors["frame differences"] == 1.0
    assert result.to_json()["floors"] == result.floors == floors_of_part(recognizer, data, part="test")
    assert floors_of_part(recognizer, data, part="train") is None
    kept = evaluate(recognizer, data, floors=True, cache=tmp_path / "cache")
    assert kept.floors == result.floors  # both parts are seen alike, whatever a cache holds
    write_scores(result, tmp_path / "scores.npz")
    assert read_scores(tmp_path / "scores.npz").floors == result.floors
    assert evaluate(recognizer, data, part="all", floors=True).floors is None
    pytest.importorskip("jinja2")
    page = insight.write_report(tmp_path / "page.html", title="Scores", evaluations=[result]).read_text(
        "utf-8"
    )
    assert page.index("floor: frame differences") < page.index(">small")


@pytest.mark.no_backend
def test_of_many_files_as_many_are_drawn_and_always_the_same():
    assert drawn(range(2000)) == range(2000)
    some = drawn(range(5000))
    assert len(some) == 2000 and sorted(set(some)) == some == drawn(range(5000))
    assert 2400 < np.mean(some) < 2600  # from everywhere


@pytest.mark.no_backend
def test_without_a_training_file_that_can_be_read_there_is_no_floor():
    assert floors(CLIPS, [], [(Record("x", "x", 0), None)]) == {}
