"""One `.keras` file: what travels in it, on every backend, and what is refused."""

import importlib.util
import json
import shutil
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_actrec
from keras_actrec import recognizer as module
from keras_actrec import zoo
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    Sampling,
    VideoError,
    probe,
    read_frames,
    write_synthetic,
)
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

CLASSES = ("grow", "shrink", "Füße")
SAMPLING = Sampling(6, "contiguous", 1, 2)
TRANSFORM = ClipTransform(32, crop="none")
INPUT = ClipPreprocessor(SAMPLING, TRANSFORM)
ABOUT = {"recipe": {"data": {"test_fraction": 0.5}}, "data": {"sha256": "abc"}, "seconds": 1.5}
OTHERS = sorted({"jax", "torch", "tensorflow"} - {keras.backend.backend()})

ANSWERS = """
import sys
import numpy as np
import keras_actrec

recognizer = keras_actrec.load(sys.argv[1])
inputs = dict(np.load(sys.argv[2]))
np.save(sys.argv[3], recognizer.model.predict(inputs, verbose=0))
print(recognizer.class_names)
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A clip of 8 frames, of which the sampling sees 4 and pads 2."""
    folder = tmp_path_factory.mktemp("videos")
    write_synthetic(folder, clips_per_class=1, size=32, frames=8, test_fraction=0)
    return folder


@pytest.fixture(scope="module")
def hman():
    """HM-AN on clips, with masks, motion and weights that make its answers differ from clip to clip."""
    model = zoo.build(
        "hman",
        len(CLASSES),
        backbone="efficientnet_lite0:block2_output",
        input_shape=(None, 32, 32, 3),
        content=True,
        motion=True,
        masked=True,
        units=8,
        num_layers=2,
    )
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    for weight in model.get_layer("motion_scale").weights:  # the moving mean and variance
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return Recognizer(model, CLASSES, INPUT, ABOUT)


@pytest.fixture(scope="module")
def file(hman, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    hman.save(path)
    return path


@pytest.fixture
def small():
    """A recognizer without a mask, quick to build."""
    clip = keras.Input((None, 32, 32, 3), name="clip")
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.Rescaling(1 / 255)(clip))
    x = keras.layers.Dense(3, activation="softmax")(x)
    return Recognizer(
        keras.Model(clip, x, name="small"), CLASSES, ClipPreprocessor(Sampling(4), TRANSFORM), ABOUT
    )


def inputs(recognizer, videos):
    read = [
        recognizer.read(videos / kind / f"{kind}_000.mp4") for kind in ("grow", "move_left", "turn_clockwise")
    ]
    clips, masks = zip(*read, strict=True)
    return {"clip": np.stack(clips), "mask": np.stack(masks)}


@pytest.mark.parametrize("backend", OTHERS)
def test_a_file_gives_the_same_probabilities_in_a_fresh_process_on_another_backend(
    hman, file, videos, backend, run_python, tmp_path
):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    batch = inputs(hman, videos)
    assert batch["mask"].tolist() == [[True] * 4 + [False] * 2] * 3
    expected = hman.model.predict(batch, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.02  # the clips' answers differ, so that the inputs matter
    np.savez(tmp_path / "inputs.npz", **batch)
    done = run_python("-c", ANSWERS, file, "inputs.npz", "answers.npy", KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), expected, rtol=0, atol=1e-5)
    assert done.stdout.strip().splitlines()[-1] == repr(CLASSES)


def test_names_sampling_transform_and_record_travel(file):
    loaded = keras_actrec.load(file)
    assert loaded.class_names == CLASSES
    assert loaded.preprocessor == INPUT
    assert loaded.about == ABOUT
    assert loaded.spec == zoo.spec("hman").built({"masked": True, "backbone": "efficientnet_lite0"})


def test_every_weight_travels_exactly(hman, file):
    loaded = keras_actrec.load(file).model
    for ours, theirs in zip(hman.model.weights, loaded.weights, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))


def test_a_file_that_was_loaded_can_be_saved_again(file, tmp_path, videos):
    loaded = keras_actrec.load(str(file))
    loaded.save(tmp_path / "again.keras")
    again = keras_actrec.load(tmp_path / "again.keras")
    batch = inputs(loaded, videos)
    np.testing.assert_array_equal(again.model.predict_on_batch(batch), loaded.model.predict_on_batch(batch))
    assert replace(again, model=None) == replace(loaded, model=None)


def test_a_saved_file_is_alone_in_its_folder(file):
    assert list(file.parent.iterdir()) == [file]


def test_a_video_is_read_as_the_sampling_and_the_transform_say(hman, videos):
    path = videos / "grow" / "grow_000.mp4"
    frames, mask = hman.read(path)
    # of frames 0, 2, 4, 6 all four, then the last one again
    np.testing.assert_array_equal(frames, read_frames(path, [0, 2, 4, 6, 6, 6]))
    assert mask.tolist() == [True] * 4 + [False] * 2
    assert probe(path).frames == 8


@pytest.mark.parametrize("masked", [True, False])
def test_the_answer_to_a_video_is_every_class_best_first(hman, small, masked, videos):
    recognizer, path = (hman if masked else small), videos / "grow" / "grow_000.mp4"
    answers = recognizer.predict_video(path)
    frames, mask = recognizer.read(path)
    batch = {"clip": frames[None], "mask": mask[None]} if masked else frames[None]
    expected = dict(zip(CLASSES, recognizer.model.predict_on_batch(batch)[0], strict=True))
    assert [score for _, score in answers] == sorted((float(x) for x in expected.values()), reverse=True)
    assert all(score == pytest.approx(float(expected[name])) for name, score in answers)
    assert sum(score for _, score in answers) == pytest.approx(1, abs=1e-5)
    assert recognizer.predict_video(path, top=2) == answers[:2]


def test_padding_changes_nothing_where_the_model_takes_a_mask(hman, videos):
    frames, mask = hman.read(videos / "grow" / "grow_000.mp4")
    noise = np.random.default_rng(0).integers(0, 256, frames.shape, "uint8")
    other = np.where(mask[:, None, None, None], frames, noise)
    answers = [hman.model.predict_on_batch(hman.batch(clip, mask)) for clip in (frames, other)]
    np.testing.assert_allclose(*answers, atol=1e-6)


def test_without_a_mask_every_frame_counts(hman):
    batch = hman.batch(np.zeros((5, 32, 32, 3), "uint8"))
    assert batch["clip"].shape == (1, 5, 32, 32, 3) and batch["mask"].tolist() == [[True] * 5]
    with pytest.raises(UserError, match=r"`mask` must be \(5,\), as there are steps. Received: shape \(4,\)"):
        hman.batch(np.zeros((5, 32, 32, 3), "uint8"), np.ones(4, bool))


@pytest.mark.parametrize(
    "shape", [(6, 64, 64, 3), (6, 32, 48, 3), (6, 32, 32), (6, 32, 32, 1), (1, 6, 32, 32, 3)]
)
def test_frames_of_another_size_are_refused_with_the_models_size(small, shape):
    with pytest.raises(UserError, match="takes frames of 32 x 32 pixels") as caught:
        small.batch(np.zeros(shape, "uint8"))
    assert str(shape) in str(caught.value) and "`read(path)` sizes them" in str(caught.value)


def test_a_bad_video_is_named_and_no_option_is_promised_that_is_not_there(small, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 99)
    with pytest.raises(VideoError, match="bad.mp4: OpenCV cannot open it") as caught:
        small.predict_video(tmp_path / "bad.mp4")
    assert "--on-error" not in str(caught.value)


def refusal(path):
    with pytest.raises(UserError) as caught:
        keras_actrec.load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_a_missing_file_is_refused(tmp_path):
    assert refusal(tmp_path / "no.keras").endswith("does not exist")
    assert refusal(tmp_path).endswith("does not exist")


def test_a_plain_keras_file_is_refused_with_what_it_lacks(small, tmp_path):
    small.model.save(tmp_path / "plain.keras")
    assert "without class names and sampling: save it with" in refusal(tmp_path / "plain.keras")


@pytest.mark.parametrize("share", [0, 0.3, 0.95])
def test_a_truncated_file_is_refused(file, tmp_path, share):
    data = file.read_bytes()
    (tmp_path / "cut.keras").write_bytes(data[: int(share * len(data))])
    assert "not a .keras file, or not a whole one" in refusal(tmp_path / "cut.keras")


def test_a_file_with_flipped_bytes_is_refused(file, tmp_path):
    data = bytearray(file.read_bytes())
    middle = len(data) // 2  # among the weights
    data[middle : middle + 100] = bytes(255 - byte for byte in data[middle : middle + 100])
    (tmp_path / "damaged.keras").write_bytes(data)
    assert "damaged.keras is damaged (" in refusal(tmp_path / "damaged.keras")


@pytest.mark.parametrize(
    "step, words",
    [
        (1, "written by a newer keras_actrec: upgrade with pip install -U"),
        (-1, "written by a keras_actrec before 0.1.0: train or convert it again"),
    ],
)
def test_a_file_of_another_format_says_what_to_do(step, words, file, tmp_path):
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "other.keras", "w") as other:
        for name in old.namelist():
            data = old.read(name)
            if name == "keras_actrec.json":
                about = json.loads(data)
                data = json.dumps({"format": about["format"] + step, "classes": []})
            other.writestr(name, data)
    assert words in refusal(tmp_path / "other.keras")


def test_only_a_keras_file_can_be_saved(small, tmp_path):
    with pytest.raises(UserError, match=r"`path` must end in .keras. Received: path=.*model.h5"):
        small.save(tmp_path / "model.h5")
    assert list(tmp_path.iterdir()) == []


class Interrupt:
    """Stands for a module whose function is interrupted."""

    def dumps(self, *args, **kwargs):
        raise KeyboardInterrupt


def test_an_interrupted_save_leaves_the_old_file(small, file, tmp_path, monkeypatch):
    path = shutil.copy(file, tmp_path / "model.keras")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "json", Interrupt())  # after the model, before the names
        small.save(path)
    assert path.read_bytes() == file.read_bytes()
    small.save(path)  # the next one is not disturbed by what was left
    assert keras_actrec.load(path).model.name == "small"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_first_save_leaves_no_file_of_that_name(small, tmp_path, monkeypatch):
    def stop(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(small.model, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        small.save(tmp_path / "model.keras")
    assert not (tmp_path / "model.keras").exists()
