"""One `.keras` file: what travels in it, on every backend, and what is refused."""

import importlib.util
import io
import json
import re
import shutil
import tracemalloc
import zipfile
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest

import hostile
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
from keras_actrec.layers import FrameWise
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


def test_nothing_is_drawn_for_weights_that_the_file_has(file, hman, monkeypatch):
    def draw(*args, **named):
        raise AssertionError("drawn")

    for name in ("VarianceScaling", "Orthogonal", "Zeros", "Ones"):
        monkeypatch.setattr(getattr(keras.initializers, name), "__call__", draw)
    with pytest.raises(AssertionError, match="drawn"):
        keras.layers.Dense(2).build((1, 2))
    assert keras_actrec.load(file).model.count_params() == hman.model.count_params()


@keras.saving.register_keras_serializable("test_recognizer")
class Unsaved(keras.layers.Layer):
    """Has weights that no file holds, and a random state."""

    def build(self, input_shape):
        for name in ("zeros", "ones", "half"):
            initializer = keras.initializers.Constant(0.5) if name == "half" else name
            setattr(self, name, self.add_weight(shape=(3,), initializer=initializer, trainable=False))
        self.generator = keras.random.SeedGenerator(7)

    def call(self, x):
        return x * self.half + self.zeros

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass


def test_constants_that_no_file_holds_are_what_they_were(small, tmp_path):
    model = keras.Model(small.model.input, Unsaved(name="unsaved")(small.model.output))
    Recognizer(model, CLASSES, INPUT).save(tmp_path / "model.keras")
    layer = keras_actrec.load(tmp_path / "model.keras").model.get_layer("unsaved")
    for weight, expected in ((layer.zeros, 0), (layer.ones, 1), (layer.half, 0.5)):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), [expected] * 3)
        assert weight.dtype == "float32"
    state = keras.ops.convert_to_numpy(layer.generator.state)
    np.testing.assert_array_equal(state, keras.ops.convert_to_numpy(keras.random.SeedGenerator(7).state))


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
    hint = ": give a .keras file, or a name that keras-actrec models --trained lists"
    assert refusal(tmp_path / "no.keras").endswith(f"no.keras does not exist{hint}")
    assert refusal(tmp_path).endswith(f"does not exist{hint}")


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
    assert "damaged.keras is damaged: " in refusal(tmp_path / "damaged.keras")


def rewritten(file, path, **entries):
    """A copy with other content of some entries, by their name without the suffix."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            change = entries.get(info.filename.partition(".")[0])
            data = old.read(info.filename)
            if change is not None:
                data = change(data)
            if data is not None:
                new.writestr(info.filename, data)
    return path


def of_json(change):
    def changed(data):
        values = json.loads(data)
        found = change(values)
        return json.dumps(values if found is None else found)

    return changed


def without(name):
    return of_json(lambda values: values.pop(name) and None)


def setting(*names, value):
    def change(values):
        for name in names[:-1]:
            values = values[name]
        values[names[-1]] = value

    return of_json(change)


def with_layer(**changes):
    """The configuration with something else in its last layer."""
    return of_json(lambda values: values["config"]["layers"][-1].update(changes))


def with_units(number):
    return of_json(lambda values: values["config"]["layers"][-1]["config"].update(units=number))


def squared(data):
    """The configuration with a layer of many weights, none of whose sizes says so."""
    values = json.loads(data)
    first, *_, last = values["config"]["layers"]
    first["config"]["batch_shape"][-1] = last["config"]["units"] = 20_000
    for layer in values["config"]["layers"]:
        layer.pop("build_config", None)
    return json.dumps(values)


def with_many_layers(data):
    values = json.loads(data)
    layer = {"module": "keras.layers", "class_name": "Flatten", "config": {}, "inbound_nodes": []}
    values["config"]["layers"] += [layer] * 2501
    return json.dumps(values)


def linked(data):
    """Weights that are a link into another file."""
    held = io.BytesIO(data)
    with h5py.File(held, "a") as file:
        file["layers/other"] = h5py.ExternalLink("/etc/other.h5", "/vars")
    return held.getvalue()


def in_pieces(data):
    """Weights of which a single one must be unpacked with 10^9 others."""
    held = io.BytesIO(data)
    with h5py.File(held, "a") as file:
        options = {"maxshape": (None,), "chunks": (10**9,), "compression": "gzip", "dtype": "f4"}
        file["layers"].create_dataset("more", shape=(1,), **options)
    return held.getvalue()


def sparse(data):
    """Weights of which one claims to have 10^9 numbers, which take no room in the file."""
    held = io.BytesIO(data)
    with h5py.File(held, "a") as file:
        file["layers"].create_dataset("more", shape=(10**9,), dtype="f4")
    return held.getvalue()


def without_a_weight(data):
    held = io.BytesIO(data)
    with h5py.File(held, "a") as file:
        del file["layers/dense/vars/0"]
    return held.getvalue()


def with_text(number, *, at=24):
    """Weights whose first heap of texts has this number in the place of a length, of a text or its own."""

    def changed(data):
        start = data.index(b"GCOL") + at
        return data[:start] + number.to_bytes(8, "little") + data[start + 8 :]

    return changed


LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None}
DAMAGE = {
    "a list": ({"keras_actrec": of_json(lambda values: [values])}, "TypeError"),
    "no JSON": ({"keras_actrec": lambda data: b"{"}, "JSONDecodeError"),
    "no UTF-8": ({"keras_actrec": lambda data: b"\xff\xfe\x80"}, "UnicodeDecodeError"),
    "deep": ({"keras_actrec": lambda data: b"[" * 200_000}, "RecursionError"),
    "without a format": ({"keras_actrec": without("format")}, "KeyError"),
    "without names": ({"keras_actrec": without("class_names")}, "class_names"),
    "without a spec": ({"keras_actrec": without("spec")}, "spec"),
    "without a preprocessor": ({"keras_actrec": without("preprocessor")}, "preprocessor"),
    "without a record": ({"keras_actrec": without("about")}, "about"),
    "a format of text": ({"keras_actrec": setting("format", value="2")}, "TypeError"),
    "names that are numbers": ({"keras_actrec": setting("class_names", value=[1, 2, 3])}, "class_names"),
    "a spec with more": ({"keras_actrec": setting("spec", "more", value=1)}, "more"),
    "a spec of another input": ({"keras_actrec": setting("spec", "input", value="sound")}, "input"),
    "a transform with more": (
        {"keras_actrec": setting("preprocessor", "transform", "more", value=1)},
        "more",
    ),
    "a sampling of no frames": (
        {"keras_actrec": setting("preprocessor", "sampling", "frames", value=0)},
        "`frames`",
    ),
    "too few names": (
        {"keras_actrec": setting("class_names", value=["a"])},
        "names 1 classes, and its model has 3",
    ),
    "too many names": (
        {"keras_actrec": setting("class_names", value=list("abcd"))},
        "names 4 classes, and its model has 3",
    ),
    "a name twice": ({"keras_actrec": setting("class_names", value=list("aab"))}, "names a class twice"),
    "a mask that is none": ({"keras_actrec": setting("spec", "masked", value=True)}, "its model takes clip"),
    "no configuration": ({"config": lambda data: None}, "config.json"),
    "a configuration that is a list": ({"config": of_json(lambda values: [values])}, "holds no object"),
    "a deep configuration": ({"config": lambda data: b'{"a":' * 200_000}, "RecursionError"),
    "a huge configuration": ({"config": lambda data: b" " * (1 << 25) + data}, "config.json claims 335"),
    "an empty configuration": ({"config": lambda data: b"{}"}, ""),
    "an unknown layer": ({"config": with_layer(class_name="Nothing", module="keras.layers")}, "Nothing"),
    "a Lambda layer": ({"config": with_layer(**LAMBDA)}, ""),
    "a layer of a foreign module": ({"config": with_layer(module="os", class_name="system")}, ""),
    "many units": ({"config": with_units(10**9)}, "its layers need more weights than it has"),
    "large layers of few units": ({"config": squared}, "its layers need more weights than it has"),
    "many layers": ({"config": with_many_layers}, "its model has more than 2500 layers"),
    "weights that are elsewhere": ({"model": linked}, "'layers/other' is in another file"),
    "weights in large pieces": ({"model": in_pieces}, "its weights claim 4000"),
    "no weights": ({"model": lambda data: None}, "model.weights.h5"),
    "cut weights": ({"model": lambda data: data[: len(data) // 2]}, ""),
    "a weight less": ({"model": without_a_weight}, ""),
    "weights that claim more": ({"model": sparse}, "its weights claim 4000"),
    "a text that ends beyond its heap": ({"model": with_text(2**64 - 1)}, "its texts are damaged"),
    "a text of more than the heap": ({"model": with_text(5000)}, "its texts are damaged"),
    "a heap that ends beyond the file": ({"model": with_text(1 << 40, at=8)}, ""),
    "weights that grow": ({"model": lambda data: data + bytes(1 << 28)}, "model.weights.h5 claims"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_damage_is_one_line_and_takes_no_memory(small, kind, tmp_path):
    small.save(tmp_path / "whole.keras")
    entries, words = DAMAGE[kind]
    path = rewritten(tmp_path / "whole.keras", tmp_path / "damaged.keras", **entries)
    tracemalloc.start()
    with hostile.limits(seconds=60):
        message = refusal(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert message.startswith(f"{path} is damaged: ") and words in message
    assert message.endswith("; copy or train it again") and len(message) < 600 + len(str(path))
    assert most < 300 * 2**20


def test_a_file_that_was_packed_again_is_read(small, tmp_path):
    small.save(tmp_path / "whole.keras")
    path = rewritten(tmp_path / "whole.keras", tmp_path / "packed.keras")
    assert keras_actrec.load(path).class_names == CLASSES


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


@pytest.mark.parametrize("frame_wise", [False, True])
def test_a_layer_without_weights_that_makes_more_than_memory_holds_is_refused(frame_wise, tmp_path):
    clip = keras.Input((None, 32, 32, 3), name="clip")
    layers = keras.layers
    if frame_wise:
        frame = keras.Input((32, 32, 3))
        network = keras.Model(frame, layers.GlobalAveragePooling2D()(layers.ZeroPadding2D(1)(frame)))
        x = layers.GlobalAveragePooling1D()(FrameWise(network)(clip))
    else:
        x = layers.GlobalAveragePooling3D()(layers.ZeroPadding3D(1)(clip))
    x = layers.Dense(3, activation="softmax")(x)
    Recognizer(keras.Model(clip, x), CLASSES, INPUT).save(tmp_path / "whole.keras")
    assert keras_actrec.load(tmp_path / "whole.keras").class_names == CLASSES

    def larger(data):
        return re.sub(
            rb'"padding": (\[\[1, 1\].*?\]\])', lambda found: found[0].replace(b"1", b"99999"), data
        )

    path = rewritten(tmp_path / "whole.keras", tmp_path / "damaged.keras", config=larger)
    assert re.search(r"its zero_padding.* makes [0-9]{11,} numbers of a clip", refusal(path))
