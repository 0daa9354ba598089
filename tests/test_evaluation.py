"""Scores: against numbers by hand, and on videos of one color that a model by hand names."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from keras import ops

from keras_actrec import zoo
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    Sampling,
    VideoError,
    read_manifest,
    split_manifest,
)
from keras_actrec.errors import UserError
from keras_actrec.evaluation import (
    Evaluation,
    confusion_matrix,
    evaluate,
    mean_class_accuracy,
    top_k_accuracy,
)
from keras_actrec.recognizer import Recognizer

SIZE = 32
COLORS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}  # RGB
CLASSES = ("red", "green", "blue")  # in another order than a manifest's, which is sorted

SCORES = np.array(
    [
        [0.5, 0.3, 0.2],
        [0.1, 0.2, 0.7],
        [0.2, 0.5, 0.3],
        [0.4, 0.4, 0.2],
        [0.0, 0.3, 0.7],
    ]
)
LABELS = np.array([0, 1, 1, 1, 0])


def test_top_k_counts_rows_whose_label_is_among_the_k_best():
    assert top_k_accuracy(SCORES, LABELS) == 2 / 5  # rows 0 and 2
    assert top_k_accuracy(SCORES, LABELS, 2) == 4 / 5  # rows 1 and 3 have theirs second, row 4 third
    assert top_k_accuracy(SCORES, LABELS, 3) == 1


def test_of_equal_scores_the_lower_class_id_comes_first():
    tie = np.full((1, 6), 1 / 6)
    assert [top_k_accuracy(tie, [label], 1) for label in range(6)] == [1, 0, 0, 0, 0, 0]
    assert [top_k_accuracy(tie, [label], 5) for label in range(6)] == [1, 1, 1, 1, 1, 0]


def test_confusion_counts_true_classes_in_rows():
    matrix = confusion_matrix([0, 0, 0, 2], [0, 1, 1, 0], 3)
    assert matrix.tolist() == [[1, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_mean_class_accuracy_is_the_mean_over_the_classes_that_occur():
    matrix = confusion_matrix([0, 0, 0, 0, 2, 2], [0, 0, 0, 1, 2, 0], 3)  # 3 of 4, none, 1 of 2
    assert mean_class_accuracy(matrix) == (3 / 4 + 1 / 2) / 2


def test_an_evaluation_adds_its_scores_up():
    result = Evaluation("hman", CLASSES, (None,) * 5, LABELS, SCORES, ("x.mp4: bad",), "1 clip", "test")
    assert result.predicted.tolist() == [0, 2, 1, 0, 2]
    assert (result.top1, result.top5, result.videos) == (2 / 5, 1, 5)
    assert result.confusion.tolist() == [[1, 0, 1], [1, 1, 1], [0, 0, 0]]
    assert result.mean_class == pytest.approx((1 / 2 + 1 / 3) / 2)


def write(path, *colors):
    """A video with a frame of each color, given by name; encoded without loss worth mentioning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (SIZE, SIZE))
    assert writer.isOpened()
    for name in colors:
        writer.write(np.full((SIZE, SIZE, 3), COLORS[name][::-1], "uint8"))
    writer.release()
    return path


@keras.saving.register_keras_serializable("tests")
class MeanColor(keras.layers.Layer):
    """Clips and perhaps a mask to the mean RGB of the frames that count, 0-1."""

    def call(self, clip, mask=None):
        color = ops.mean(ops.cast(clip, "float32"), axis=(2, 3)) / 255  # (B, T, 3)
        weights = ops.ones_like(color[..., :1]) if mask is None else ops.cast(mask, "float32")[..., None]
        return ops.sum(color * weights, axis=1) / ops.sum(weights, axis=1)


def recognizer(classes=CLASSES, masked=False, about=None, sampling=None):
    """Names a video's color: the softmax of ten times its mean RGB."""
    clip = keras.Input((None, SIZE, SIZE, 3), name="clip")
    mask = keras.Input((None,), dtype="bool", name="mask")
    color = MeanColor()(clip, mask) if masked else MeanColor()(clip)
    dense = keras.layers.Dense(len(classes), activation="softmax", use_bias=False)
    model = keras.Model({"clip": clip, "mask": mask} if masked else clip, dense(color), name="colors")
    kernel = np.zeros((3, len(classes)), "float32")
    for place, name in enumerate(classes):
        if name in CLASSES:
            kernel[CLASSES.index(name), place] = 10
    dense.set_weights([kernel])
    return Recognizer(
        model,
        tuple(classes),
        ClipPreprocessor(sampling or Sampling(4), ClipTransform(SIZE, crop="none")),
        about or {},
    )


def trained_on(data, **table):
    """What the file of a model says that was trained on `data`."""
    return {"recipe": {"data": table}, "data": {"sha256": read_manifest(data).sha256}}


@pytest.fixture
def data(tmp_path):
    """Seven videos, of which five are for testing; one of these shows another color than its label."""
    rows = [
        ("red_1.mp4", "red", "train"),
        ("green_1.mp4", "green", "train"),
        ("blue_1.mp4", "blue", "train"),
        ("test/red_2.mp4", "red", "test"),
        ("test/red_3.mp4", "red", "test"),
        ("test/green_2.mp4", "green", "test"),
        ("test/blue_2.mp4", "blue", "test"),
        ("test/not_red.mp4", "red", "test"),
    ]
    for path, label, _ in rows:
        write(tmp_path / path, *["blue" if "not" in path else label] * 5)
    write_csv(tmp_path / "videos.csv", rows)
    return tmp_path / "videos.csv"


def write_csv(path, rows, header="path,label,split"):
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def test_labels_are_matched_by_name_where_the_models_order_is_another(data):
    result = evaluate(recognizer(about=trained_on(data)), data)
    names = [record.path for record in result.records]
    assert names == [
        "test/red_2.mp4",
        "test/red_3.mp4",
        "test/green_2.mp4",
        "test/blue_2.mp4",
        "test/not_red.mp4",
    ]
    assert [CLASSES[label] for label in result.labels] == ["red", "red", "green", "blue", "red"]
    assert [CLASSES[label] for label in result.predicted] == ["red", "red", "green", "blue", "blue"]
    assert result.top1 == 4 / 5
    assert result.mean_class == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert result.confusion.tolist() == [[2, 0, 1], [0, 1, 0], [0, 0, 1]]  # rows and columns as CLASSES


def test_the_scores_are_the_models_probabilities(data):
    result = evaluate(recognizer(about=trained_on(data)), data)
    color = np.array([COLORS["red"]]) / 255
    expected = np.exp(10 * color) / np.exp(10 * color).sum()
    np.testing.assert_allclose(result.scores[:1], expected, atol=5e-3)  # the codec moves colors by 2 of 255


def test_every_video_counts_once_whatever_the_batch_size(data):
    model = recognizer(about=trained_on(data))
    whole, parts = (evaluate(model, data, batch_size=size) for size in (5, 2))
    assert parts.videos == 5
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-6)


def test_the_json_file_has_what_the_contract_names(data, tmp_path):
    result = evaluate(recognizer(about=trained_on(data)), data)
    result.write_json(tmp_path / "made" / "result.json")
    written = json.loads((tmp_path / "made" / "result.json").read_text(encoding="utf-8"))
    assert {"top1", "top5", "mean_class", "videos", "skipped", "official", "protocol"} <= set(written)
    assert (written["top1"], written["top5"], written["videos"]) == (0.8, 1.0, 5)
    assert (written["skipped"], written["official"]) == ([], None)
    assert (written["model"], written["part"]) == ("colors", "test")
    assert written["class_names"] == list(CLASSES)
    assert written["confusion"] == [[2, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert list((tmp_path / "made").iterdir()) == [tmp_path / "made" / "result.json"]


def test_the_predictions_have_a_row_for_every_video(data, tmp_path):
    result = evaluate(recognizer(about=trained_on(data)), data)
    result.write_predictions(tmp_path / "predictions.csv")
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "label", "predicted", "score"]
    assert [row[:3] for row in rows] == [
        ["test/red_2.mp4", "red", "red"],
        ["test/red_3.mp4", "red", "red"],
        ["test/green_2.mp4", "green", "green"],
        ["test/blue_2.mp4", "blue", "blue"],
        ["test/not_red.mp4", "red", "blue"],
    ]
    np.testing.assert_allclose([float(row[3]) for row in rows], result.scores.max(axis=1), atol=1e-6)


def test_results_and_skipped_videos_add_up_to_the_part(data):
    model = recognizer(about=trained_on(data))
    (data.parent / "test/red_3.mp4").write_bytes(b"")
    (data.parent / "test/blue_2.mp4").write_bytes(b"no video" * 999)
    with pytest.raises(VideoError, match="red_3.mp4: the file has zero bytes.*--on-error skip"):
        evaluate(model, data)
    with pytest.raises(UserError, match="2 of 5 videos cannot be used, .* `--max-skipped 0.4`"):
        evaluate(model, data, on_error="skip")
    result = evaluate(model, data, on_error="skip", max_skipped=0.4)
    part = [record for record in read_manifest(data).records if record.split == "test"]
    assert result.videos + len(result.skipped) == len(part) == 5
    assert [Path(line.split(": ")[0]).name for line in result.skipped] == ["red_3.mp4", "blue_2.mp4"]
    assert result.top1 == 2 / 3  # red_2 and green_2 of red_2, green_2 and not_red
    assert result.to_json()["skipped"] == list(result.skipped)


def test_a_part_of_which_nothing_can_be_read_is_refused(data):
    for path in (data.parent / "test").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"part 'test' has no video that can be scored \(5 skipped\)"):
        evaluate(recognizer(about=trained_on(data)), data, on_error="skip", max_skipped=1)


def test_padding_is_masked_where_the_model_takes_a_mask(tmp_path):
    write(tmp_path / "a/clip.mp4", "red", "red", "red", "green")  # of 8 steps, 4 are the green frame again
    write(tmp_path / "b/clip.mp4", *["blue"] * 8)
    classes, sampling = ("a", "b", *CLASSES), Sampling(8, "contiguous")
    masked, plain = (
        evaluate(recognizer(classes, masked, sampling=sampling), tmp_path, part="all")
        for masked in (True, False)
    )
    assert [classes[label] for label in masked.predicted] == ["red", "blue"]
    assert [classes[label] for label in plain.predicted] == ["green", "blue"]


def test_all_clips_of_a_video_are_averaged(tmp_path):
    # sequences of 2: red red, red blue, blue blue, and a rest; the middle one alone is red and blue
    write(tmp_path / "red/clip.mp4", *["red"] * 3, *["blue"] * 4)
    write(tmp_path / "blue/clip.mp4", *["blue"] * 9)
    for batch_size in (2, 8):
        result = evaluate(
            recognizer(("blue", "red", "green"), masked=True, sampling=Sampling(2, "sequences")),
            tmp_path,
            part="all",
            batch_size=batch_size,
        )
        expected = np.mean([answer("red"), answer("red", "blue"), answer("blue")], axis=0)
        np.testing.assert_allclose(result.scores[1], expected, atol=0.02)
        np.testing.assert_allclose(result.scores[0], answer("blue"), atol=0.02)
    assert result.protocol == (
        "all clips of 2 frames (sequences), whole frame 32, mean of the views' probabilities"
    )


def answer(*colors):
    """What the model with the classes blue, red, green gives for frames of these colors."""
    red, green, blue = np.mean([COLORS[name] for name in colors], axis=0) / 25.5
    return np.exp([blue, red, green]) / np.exp([blue, red, green]).sum()


def test_all_crops_of_a_video_are_averaged(tmp_path):
    for name, row in (("red", [*["red"] * 3, "blue"]), ("blue", ["blue"] * 4)):
        (tmp_path / name).mkdir()
        picture = np.repeat([[COLORS[color][::-1] for color in row]], SIZE, axis=1)  # (1, 4 * SIZE, 3)
        picture = np.repeat(picture, SIZE, axis=0).astype("uint8")
        file = str(tmp_path / name / "clip.mp4")
        writer = cv2.VideoWriter(file, cv2.VideoWriter_fourcc(*"mp4v"), 10, (4 * SIZE, SIZE))
        for _ in range(4):
            writer.write(picture)
        writer.release()
    model = recognizer(("blue", "red", "green"), sampling=Sampling(2, num_clips=2))
    model = replace(
        model, preprocessor=replace(model.preprocessor, transform=ClipTransform(SIZE, SIZE, num_crops=3))
    )
    result = evaluate(model, tmp_path, part="all")
    # left and center are red, the right end is blue
    expected = np.mean([answer("red"), answer("red"), answer("blue")], axis=0)
    np.testing.assert_allclose(result.scores[1], expected, atol=0.02)
    assert result.protocol == ("2 clips of 2 frames (segments), 3 crops 32, mean of the views' probabilities")
    found = dict(model.predict_video(tmp_path / "red" / "clip.mp4"))
    np.testing.assert_allclose([found[name] for name in model.class_names], result.scores[1], atol=1e-6)


def test_each_part_of_data_with_splits_can_be_scored(data):
    model = recognizer(about=trained_on(data))
    assert evaluate(model, data, part="train").videos == 3
    assert evaluate(model, data, part="all").videos == 8
    with pytest.raises(UserError, match="no videos in part 'validation'"):
        evaluate(model, data, part="validation")
    with pytest.raises(
        UserError, match="`part` must be one of train, validation, test, all. Received: part='x'"
    ):
        evaluate(model, data, part="x")


def test_other_data_may_be_a_test_part_alone(data, tmp_path):
    other = write_csv(tmp_path / "other.csv", [("red_1.mp4", "red", "test"), ("blue_1.mp4", "blue", "test")])
    # what the recipe says about splitting its own data is no matter here
    model = recognizer(about=trained_on(data, test_fold=1, validation_fraction=0.5))
    result = evaluate(model, other)
    assert [record.path for record in result.records] == ["red_1.mp4", "blue_1.mp4"]
    assert result.top1 == 1
    with pytest.raises(UserError, match="no videos in part 'train'"):
        evaluate(model, other, part="train")


@pytest.fixture
def folders(tmp_path):
    """Four videos of each color in a folder for each."""
    for name in CLASSES:
        for number in range(4):
            write(tmp_path / "folders" / name / f"{number}.mp4", *[name] * 4)
    return tmp_path / "folders"


@pytest.mark.parametrize("seed", [0, 3])
def test_the_parts_are_those_of_the_training(folders, seed):
    table = {"test_fraction": 0.5, "validation_fraction": 0.5, "split_seed": seed}
    model = recognizer(about=trained_on(folders, **table))
    parts = split_manifest(read_manifest(folders), test_fraction=0.5, validation_fraction=0.5, seed=seed)
    found = {part: evaluate(model, folders, part=part).records for part in ("train", "validation", "test")}
    for part, records in parts.items():
        assert [record.path for record in found[part]] == [record.path for record in records]
    assert sum(map(len, found.values())) == 12
    few = recognizer(about=trained_on(folders, **table, per_class=1))
    assert evaluate(few, folders, part="train").videos == 3


def test_the_test_fold_is_that_of_the_training(data, tmp_path):
    rows = [(f"{name}_1.mp4", name, "a") for name in CLASSES]
    rows += [(f"test/{name}_2.mp4", name, "b") for name in CLASSES]
    folds = write_csv(tmp_path / "folds.csv", rows, "path,label,fold")
    result = evaluate(recognizer(about=trained_on(folds, test_fold="a")), folds)
    assert [record.path for record in result.records] == ["red_1.mp4", "green_1.mp4", "blue_1.mp4"]


@pytest.mark.parametrize("about", [{}, {"recipe": {"data": {}}, "data": {"sha256": "another"}}])
def test_data_without_splits_that_was_not_trained_on_needs_part_all(folders, about):
    with pytest.raises(UserError, match="cannot be told from others: use --part all"):
        evaluate(recognizer(about=about), folders)
    result = evaluate(recognizer(about=about), folders, part="all")
    assert (result.videos, result.top1, result.part) == (12, 1, "all")


def test_the_manifest_that_the_recipe_names_is_read(data):
    model = recognizer(about=trained_on(data, manifest="videos.csv"))
    assert evaluate(model, data.parent).videos == 5


def test_a_label_that_the_model_does_not_know_is_refused_with_the_video(data):
    with pytest.raises(UserError) as caught:
        evaluate(recognizer(("red", "green"), about=trained_on(data)), data)
    message = "test/blue_2.mp4: its label 'blue' is not one of the model's classes: red, green"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "sampling, transform, protocol",
    [
        (
            Sampling(12, frame_step=2),
            ClipTransform(32, crop="none"),
            "12 frames (segments, 1 frame in 2), whole frame 32",
        ),
        (Sampling(8, "contiguous", 3), ClipTransform(32), "8 frames (contiguous, stride 3), center crop 32"),
    ],
)
@pytest.mark.parametrize("steps", [False, True])
def test_the_protocol_says_which_frames_and_how_answers_become_one(
    sampling, transform, protocol, steps, data
):
    clip = keras.Input((None, SIZE, SIZE, 3), name="clip")
    x = keras.layers.Lambda(lambda x: ops.mean(ops.cast(x, "float32"), axis=(2, 3)) / 765)(clip)
    if steps:
        x = keras.layers.GlobalAveragePooling1D()(x)
    else:
        x = keras.layers.GlobalAveragePooling1D()(x)
        x = keras.layers.Dense(3, activation="softmax", name="classifier")(x)
    spec = zoo.ModelSpec("mine", "clip", per_step=steps)
    seen = ClipPreprocessor(sampling, transform)
    model = Recognizer(keras.Model(clip, x), CLASSES, seen, trained_on(data), spec)
    ending = ", mean of the steps' probabilities" if steps else ""
    assert evaluate(model, data, part="train").protocol == f"1 clip of {protocol}{ending}"


def test_progress_is_reported_to_the_end_of_every_stage(data):
    seen = []
    evaluate(recognizer(about=trained_on(data)), data, batch_size=2, progress=lambda *step: seen.append(step))
    assert [step[1:3] for step in seen if step[0] == "videos"] == [(n, 5) for n in range(1, 6)]
    assert [step[1:3] for step in seen if step[0] == "scoring"] == [(n, 5) for n in range(1, 6)]
