"""Exported files, run by the programs that they are for."""

import errno
import importlib.util
import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from checks import close
from keras_actrec import _backend, _formats, data, deploy, zoo
from keras_actrec._formats import MOST_DIFFERENT
from keras_actrec.cli.export import export as command
from keras_actrec.deploy._networks import WholeClip
from keras_actrec.deploy._preprocessing import preprocessing
from keras_actrec.errors import UserError
from keras_actrec.layers import GateShift, LastStep
from keras_actrec.recognizer import Recognizer

NAMES = ("run", "sit", "walk")
WRITES = {"torch": ("onnx", "openvino", "torch"), "tensorflow": ("saved_model", "litert"), "jax": ()}[
    _backend.name
]
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert"}


def opened(format, path):
    """A function from named inputs to named outputs, by a file's own runtime as its documentation says."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        names = [part.name for part in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))
    if format == "openvino":
        import openvino

        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        names = [name for part in compiled.outputs for name in part.names]

        def infer(inputs):
            answer = compiled(inputs)
            return {name: answer[name].copy() for name in names}

        return infer
    if format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(str(path)).get_signature_runner("serve")
        return lambda inputs: runner(**inputs)
    if format == "torch":
        import torch

        program = torch.export.load(path).module()
        return lambda inputs: {
            name: tensor.detach().numpy()
            for name, tensor in program(*map(torch.tensor, inputs.values())).items()
        }
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda inputs: {name: tensor.numpy() for name, tensor in loaded.serve(*inputs.values()).items()}


def exported(recognizer, folder, format, **options):
    """The path of the file, and what is said of it."""
    if format in PACKAGES and not importlib.util.find_spec(PACKAGES[format]):
        pytest.skip("needs the extra `export`")
    out = folder / f"model{deploy.FORMATS[format].suffix}"
    return out, deploy.export(recognizer, out, format, **options)


def skeletons(format="onnx"):
    """By our loop, by Keras' own, or by the last step."""
    if format == "openvino":
        steps, mask = keras.Input((None, 6), name="features"), keras.Input((None,), dtype="bool", name="mask")
        answer = keras.layers.Dense(3, "softmax")(LastStep()(steps, mask=mask))
        model = keras.Model({"features": steps, "mask": mask}, answer, name="last")
    else:
        name, layers = "stacked_rnn", {"num_layers": 1}
        if format in ("torch", "litert"):
            name, layers = "frame_gru", {}
        model = zoo.build(name, 3, input_shape=(None, 6), units=3, masked=True, **layers)
    return Recognizer(model, NAMES, data.SkeletonPreprocessor("poses", data.SkeletonTransform(frames=3)))


def clips(format="onnx"):
    clip = keras.Input((2, None, None, 3), name="clip")
    maps = keras.layers.Rescaling(1 / 127.5, -1)(clip)
    pairs = keras.ops.take(shifted(maps), np.array([[1, 0], [0, 1]]), axis=1)
    maps = keras.layers.GlobalAveragePooling3D()(keras.ops.max(pairs, axis=1))
    model = keras.Model(clip, keras.layers.Dense(3, "softmax", name="classifier")(maps), name="small")
    look = data.ClipPreprocessor(data.Sampling(2), data.ClipTransform(8))
    return Recognizer(model, NAMES, look, spec=zoo.spec("tsm"))


def shifted(maps):
    return GateShift()(keras.layers.Dense(8, "relu")(maps))


def changed(recognizer):
    """With other weights: gates and biases that start at zero would hide what is lost."""
    rng = np.random.default_rng(0)
    for weight in recognizer.model.weights:
        weight.assign(keras.ops.convert_to_numpy(weight) + rng.uniform(0, 0.3, weight.shape))
    return recognizer


MODELS = {"skeletons": skeletons, "clips": clips}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("format", WRITES)
def test_a_file_answers_as_the_model_in_its_own_runtime(tmp_path, format, kind):
    recognizer = changed(MODELS[kind](format))
    out, about = exported(recognizer, tmp_path, format)
    batch = 4 if deploy.FORMATS[format].any_batch else 1
    rng = np.random.default_rng(7)
    if kind == "clips":
        inputs = {"clip": rng.integers(0, 256, (batch, 2, 8, 8, 3)).astype("float32")}
        expected = recognizer.model(inputs["clip"], training=False)
    else:
        length = 5 if format == "saved_model" else 3  # any, where it may be
        steps, mask = rng.normal(size=(batch, length, 6)).astype("float32"), np.ones((batch, length), bool)
        mask[0, 1:] = False
        inputs = {"features": steps, "mask": mask}
        expected = recognizer.model(inputs, training=False)
    expected = keras.ops.convert_to_numpy(expected)
    assert np.ptp(expected) > 0.01
    close(opened(format, out)(inputs)["scores"], expected, 1e-4)

    assert json.loads(json.dumps(about)) == json.loads(out.with_name(out.name + ".json").read_text())
    assert about["class_names"] == list(NAMES)
    assert [part["name"] for part in about["inputs"]] == list(inputs)
    for part, x in zip(about["inputs"], inputs.values(), strict=True):
        shape = [None if deploy.FORMATS[format].any_batch else 1, *x.shape[1:]]
        if kind == "skeletons" and format == "saved_model":
            shape[1] = None
        assert part["shape"] == shape
    assert about["same_answers"] == 1 and about["numbers"] == "float32"
    assert 0 <= about["largest_difference"] <= 1e-4
    assert about["preprocessing"] == preprocessing(recognizer.preprocessor, recognizer.preprocessor.steps)
    assert ("normalization" in about) == (kind == "clips")


def test_how_files_are_read_is_said_without_what_is_drawn_or_left_to_a_default():
    drawn = {"flip": True, "brightness": 0.5, "rand_augment": 2, "erasing": 0.1, "swap": ((0, 1),)}
    look = data.ClipPreprocessor(
        data.Sampling(3, "tsn", speed=(0.5, 2)),
        data.ClipTransform(14, crop="multiscale", num_crops=3, **drawn),
    )
    of_clips = preprocessing(look, 4)
    rule = {"frames": 4, "method": "tsn", "stride": 1, "frame_step": 1, "short": "stretch"}
    assert of_clips["sampling"] == {**rule, "num_clips": 1, "hop": None}
    how = {"fewer pixels": "area", "more pixels": "linear"}
    size = {"size": 14, "short_side": 16, "crop": "center", "num_crops": 3, "shrink": None}
    assert of_clips["transform"] == {**size, "interpolation": how}
    whole = data.ClipPreprocessor(
        data.Sampling(3, "sequences", 2), data.ClipTransform(14, crop="none", shrink=20)
    )
    said = preprocessing(whole, 4)
    assert said["sampling"]["hop"] == 8 and said["sampling"]["short"] == "mask"
    assert said["transform"]["short_side"] is None and said["transform"]["shrink"] == 20
    drawn = {"rotation": 9.0, "scale": 0.1, "view": 9.0, "shear": 0.1, "crop": 0.5, "speed": 0.5, "drop": 0.1}
    joints = data.SkeletonTransform(frames=3, mirror=((0, 1),), velocity=True, num_views=2, **drawn)
    said = preprocessing(data.SkeletonPreprocessor("poses", joints), 4)["transform"]
    moved = {"center", "align", "unit_size", "torso", "upright"}
    assert {*said} == {"frames", "length", "velocity", "streams", "bones", "hands", *moved}
    assert said["frames"] == 4 and said["streams"] == ("joints", "velocities")


@pytest.mark.parametrize("format", WRITES[:1])
def test_with_other_frames_than_in_training_files_are_read_with_these(tmp_path, format):
    model = zoo.build("softmax_regression", 3, input_shape=(None, 2, 2, 4))
    recognizer = Recognizer(model, NAMES, data.FeaturePreprocessor(data.Sampling(3), (2, 2, 4)))
    _, about = exported(recognizer, tmp_path, format, frames=4)
    assert about["inputs"][0]["shape"][1] == about["preprocessing"]["sampling"]["frames"] == 4


def streaming(name="eleatt_rnn"):
    """Remembers the frame before, a state of a cell, and the mean so far."""
    arguments = {"units": 2, "num_layers": 2, "motion": True, "masked": True}
    arguments |= {"hidden": 0} if name == "hman" else {"normalize": True}
    model = zoo.build(name, 3, input_shape=(None, 2, 2, 4), **arguments)
    return Recognizer(model, NAMES, data.FeaturePreprocessor(data.Sampling(4, "contiguous"), (2, 2, 4)))


@pytest.mark.parametrize("format", WRITES)
def test_a_stream_gives_what_the_clip_so_far_gives(tmp_path, format):
    recognizer = changed(streaming("hman" if format in ("onnx", "litert") else "eleatt_rnn"))
    out, about = exported(recognizer, tmp_path, format, stream=True)
    run = opened(format, out)
    assert json.loads(out.with_name(out.name + ".json").read_text()) == about and about["every"] == 1
    assert all(part["shape"][0] == 1 for part in about["inputs"] + about["outputs"])
    named = {part["name"]: tuple(part["shape"]) for part in about["inputs"]}
    states = {
        each["input"]: np.full(named[each["input"]], each["start"], "float32") for each in about["states"]
    }
    assert len(states) > 3 and {*named} == {"features", *states}
    clip = np.random.default_rng(7).normal(size=(1, 6, 2, 2, 4)).astype("float32")
    scores = []
    for number in range(6):
        inputs = {"features": clip[:, number : number + 1], **states}
        answer = run({name: inputs[name] for name in named})
        for part in about["outputs"]:
            assert answer[part["name"]].shape == tuple(part["shape"])
        states = {each["input"]: answer[each["output"]] for each in about["states"]}
        scores.append(answer["scores"][0, 0])
    for count in (1, 4, 6):
        whole = {"features": clip[:, :count], "mask": np.ones((1, count), bool)}
        close(scores[count - 1], keras.ops.convert_to_numpy(recognizer.model(whole, training=False))[0], 1e-4)
    assert np.ptp(scores, axis=0).max() > 1e-3
    assert 0 <= about["largest_difference"] <= 1e-4


def test_what_is_no_stream_is_said(tmp_path):
    first = WRITES[0] if WRITES else None
    if first is None:
        pytest.skip("no format is written by this backend")
    out = tmp_path / f"x{deploy.FORMATS[first].suffix}"
    whole = zoo.lstm_attention(3, input_shape=(None, 2, 2, 4), units=2)
    look = data.FeaturePreprocessor(data.Sampling(4), (2, 2, 4))
    with pytest.raises(
        UserError, match="^lstm_attention needs the whole clip .* one of .*hman, .*stacked_rnn"
    ):
        deploy.export(Recognizer(whole, NAMES, look), out, first, stream=True)
    resampled = data.SkeletonPreprocessor("poses", data.SkeletonTransform(frames=3, length="resample"))
    with pytest.raises(UserError, match="skeleton.length='pad'"):
        deploy.export(Recognizer(skeletons().model, NAMES, resampled), out, first, stream=True)
    with pytest.raises(UserError, match="`frames` is of whole clips"):
        deploy.export(streaming(), out, first, stream=True, frames=3)
    assert not any(tmp_path.iterdir())


def wide():
    """A layer of which smaller numbers save something."""
    steps = keras.Input((4, 96), name="features")
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Dense(160, "tanh")(steps))
    model = keras.Model(steps, keras.layers.Dense(3, "softmax")(x), name="wide")
    return Recognizer(model, NAMES, data.FeaturePreprocessor(data.Sampling(4), (96,)))


SMALLER = {"int8": (0.5, 0.05), "float16": (0.7, 5e-3)}  # share of the bytes, and of a probability
QUANTIZED = [(each, numbers) for each in WRITES for numbers in deploy.FORMATS[each].quantized]


@pytest.mark.parametrize(("format", "numbers"), QUANTIZED)
def test_a_file_of_smaller_numbers_is_smaller_and_says_what_it_costs(tmp_path, format, numbers):
    keras.utils.set_random_seed(1)
    recognizer = wide()
    out, about = exported(recognizer, tmp_path, format, quantize=numbers)
    share, most = SMALLER[numbers]
    sizes = [path.stat().st_size for path in tmp_path.iterdir() if path.suffix != ".json"]
    assert sum(sizes) < share * 4 * recognizer.model.count_params()
    steps = np.random.default_rng(7).normal(size=(1, 4, 96)).astype("float32")
    expected = keras.ops.convert_to_numpy(recognizer.model(steps, training=False))
    assert np.abs(opened(format, out)({"features": steps})["scores"] - expected).max() < most
    assert about["numbers"] == numbers and 0 < about["largest_difference"] < most
    assert 0.5 < about["same_answers"] <= 1
    assert about["compared"] == "20 answers to made-up inputs" and about["largest_range"] > 0.01


def test_what_a_file_is_compared_on_has_many_answers():
    clip = keras.Input((2, 32, 32, 3), name="clip")
    means = keras.layers.GlobalAveragePooling3D()(clip / 127.5 - 1.0)  # those of noise are all alike
    model = keras.Model(clip, keras.layers.Dense(3, "softmax", kernel_initializer="orthogonal")(8 * means))
    look = data.ClipPreprocessor(data.Sampling(2), data.ClipTransform(32))
    network = WholeClip(
        Recognizer(model, NAMES, look, spec=zoo.spec("tsm")), None, any_batch=True, any_length=False
    )
    seen = []
    answers = [own for own, _ in network.compared(lambda inputs: seen.append(inputs) or {"scores": 0}, True)]
    answers, clips = np.concatenate(answers), np.concatenate([each["clip"] for each in seen])
    assert answers.shape == (20, 3) and {*answers.argmax(-1)} == {0, 1, 2}
    assert np.ptp(clips.mean((1, 2, 3, 4))) > 60 and np.abs(clips[:, 0] - clips[:, 1]).max() > 60  # it moves
    assert clips.min() >= 0 and clips.max() <= 255 and (clips == clips.round()).all()


@pytest.mark.parametrize(("format", "numbers"), QUANTIZED[:1])
def test_a_file_of_smaller_numbers_that_answers_otherwise_is_not_kept(tmp_path, format, numbers, monkeypatch):
    monkeypatch.setitem(MOST_DIFFERENT, numbers, 1e-9)
    with pytest.raises(
        UserError, match=rf"{format} in {numbers}: its answers differ by .*leave `quantize` out"
    ):
        exported(wide(), tmp_path, format, quantize=numbers)
    assert not any(tmp_path.iterdir())


def test_numbers_that_a_format_has_not_are_answered_with_one_that_has(tmp_path):
    with pytest.raises(UserError, match="^openvino has no int8: .* choose onnx or litert$"):
        deploy.export(wide(), tmp_path / "x.xml", "openvino", quantize="int8")
    with pytest.raises(UserError, match="^torch has no float16: .* choose openvino or litert$"):
        deploy.export(wide(), tmp_path / "x.pt2", "torch", quantize="float16")
    with pytest.raises(UserError, match="`quantize` must be one of float16, int8. Received: quantize='int4'"):
        deploy.export(wide(), tmp_path / "x.onnx", "onnx", quantize="int4")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("format", WRITES[-1:])
def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, format, monkeypatch):
    write, read = _backend.EXPORTS[format]

    def write_another(model, *more):
        write(keras.models.clone_model(model), *more)

    monkeypatch.setitem(_backend.EXPORTS, format, (write_another, read))
    out = tmp_path / f"model{deploy.FORMATS[format].suffix}"
    with pytest.raises(UserError, match="its answers differ by"):
        deploy.export(clips(), out, format)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("format", WRITES[:1])
def test_a_model_that_cannot_be_written_names_other_formats(tmp_path, format, monkeypatch):
    def fails(*given):
        raise RuntimeError("no such\noperation")

    monkeypatch.setitem(_backend.EXPORTS, format, (fails, None))
    out, kind = tmp_path / f"x{deploy.FORMATS[format].suffix}", deploy.FORMATS[format]
    others = ", ".join(name for name in deploy.FORMATS if name != format)
    with pytest.raises(UserError, match=rf"RuntimeError: no such operation.*one of {others}$"):
        deploy.export(clips(), out, format)
    for numbers in kind.quantized:
        finer = ", or take float16" if numbers == "int8" and "float16" in kind.quantized else ""
        with pytest.raises(UserError, match=f": leave `quantize` out{finer}$"):
            deploy.export(clips(), out, format, quantize=numbers)
    assert not any(tmp_path.iterdir())


@pytest.mark.no_backend
def test_the_command_asks_nothing_of_a_backend_before_its_options_are_right(monkeypatch):
    def told(format, quantize=None):
        with pytest.raises(UserError) as error:
            command(Path("no.keras"), format, Path("x.onnx"), quantize=quantize)
        return str(error.value)

    monkeypatch.setenv("KERAS_BACKEND", "mine")
    assert told("onxx").endswith("Received: format='onxx'")
    assert told("onnx", "float16").startswith("onnx has no float16")
    absent = {"torch", "tensorflow", "onnx", "onnxscript"}
    monkeypatch.setattr(_formats, "find_spec", lambda name: None if name in absent else name)
    assert told("onnx") == "onnx needs torch, onnx, onnxscript: pip install 'keras_actrec[torch,export]'"
    assert told("saved_model") == "saved_model needs tensorflow: pip install 'keras_actrec[tensorflow]'"
    absent.remove("torch")
    assert told("openvino") == "openvino needs onnx, onnxscript: pip install 'keras_actrec[export]'"
    assert os.environ["KERAS_BACKEND"] == "mine"


def test_what_cannot_be_exported_is_said(tmp_path):
    recognizer = clips()
    with pytest.raises(UserError, match=r"`format` must be one of onnx, .*'pickle'"):
        deploy.export(recognizer, tmp_path / "x.onnx", "pickle")
    with pytest.raises(UserError, match=r"must end in \.onnx"):
        deploy.export(recognizer, tmp_path / "x.tflite", "onnx")
    foreign = next(name for name, kind in deploy.FORMATS.items() if kind.backend != _backend.name)
    with pytest.raises(UserError, match="KERAS_BACKEND="):
        deploy.export(recognizer, tmp_path / f"x{deploy.FORMATS[foreign].suffix}", foreign)
    for own in WRITES[:1]:
        with pytest.raises(UserError, match="takes 2 frames"):
            deploy.export(recognizer, tmp_path / f"x{deploy.FORMATS[own].suffix}", own, frames=3)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("format", WRITES)
def test_a_folder_with_something_in_it_is_never_replaced(tmp_path, format):
    out = tmp_path / f"mine{deploy.FORMATS[format].suffix}"
    out.mkdir()
    for name in ("notes.txt", "saved_model.pb"):
        (out / name).write_text("x")
    with pytest.raises(UserError, match="something in it: remove it, or choose another"):
        deploy.export(clips(), out, format)
    assert {path.name for path in out.iterdir()} == {"notes.txt", "saved_model.pb"}


@pytest.mark.skipif("openvino" not in WRITES, reason="it is written by torch")
def test_other_files_beside_it_are_never_replaced(tmp_path):
    pytest.importorskip("openvino")
    (tmp_path / "a.bin").write_text("x")
    with pytest.raises(UserError, match=r"a\.bin is there, and .*a\.xml comes with such a file"):
        deploy.export(clips(), tmp_path / "a.xml", "openvino")
    (tmp_path / "b.xml.json").mkdir()
    with pytest.raises(UserError, match=r"b\.xml\.json is a folder"):
        deploy.export(clips(), tmp_path / "b.xml", "openvino")
    assert (tmp_path / "a.bin").read_text() == "x" and len([*tmp_path.iterdir()]) == 2


@pytest.mark.parametrize("format", WRITES[:1])
def test_no_file_comes_without_what_is_said_of_it(tmp_path, format, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys.modules["keras_actrec.deploy.export"], "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        exported(skeletons(format), tmp_path, format)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("format", WRITES[:1])
def test_a_full_disk_is_no_fault_of_the_format(tmp_path, format, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(_backend.EXPORTS, format, (full, None))
    with pytest.raises(OSError, match="No space left"):
        deploy.export(clips(), tmp_path / f"x{deploy.FORMATS[format].suffix}", format)
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(_backend.name != "jax", reason="it starts another backend than this one, once")
def test_the_command_chooses_the_backend_that_writes_the_format(tmp_path, run_python):
    model = zoo.build("softmax_regression", 3, input_shape=(None, 2, 2, 4))
    look = data.FeaturePreprocessor(data.Sampling(3), (2, 2, 4))
    Recognizer(model, NAMES, look).save(tmp_path / "model.keras")
    command = ("-m", "keras_actrec", "export", "model.keras", "--format", "onnx", "--out", "new/model.onnx")
    done = run_python(*command)
    if importlib.util.find_spec("torch") and importlib.util.find_spec("onnxscript"):
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[1].startswith(
            "wrote new/model.onnx and new/model.onnx.json: its answers differ by at most"
        )
        assert {path.name for path in (tmp_path / "new").iterdir()} == {"model.onnx", "model.onnx.json"}
    else:
        assert done.returncode == 1
        assert "pip install" in done.stderr


@pytest.mark.skipif(_backend.name != "torch", reason="PyTorch alone writes ONNX")
def test_kernels_that_fit_are_not_padded():
    # ONNX Runtime 1.32 refuses whole networks in which a kernel is padded by nothing.
    import torch

    kernel = np.zeros((5, 5, 4, 1), "float32")
    for stride, pads in ((1, 0), (2, 1)):  # of 8 pixels, a stride of 2 leaves three rows over
        module = torch.nn.Module()
        module.forward = lambda x, stride=stride: _backend.depthwise_conv2d(x, kernel, stride)
        nodes = torch.export.export(module, (torch.zeros(1, 8, 8, 4),)).graph.nodes
        assert sum("pad" in str(node.target) for node in nodes) == pads
