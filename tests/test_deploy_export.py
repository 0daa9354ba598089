"""Exported files, run by the programs that they are for."""

import errno
import importlib.util
import json

import keras
import numpy as np
import pytest

from checks import close
from keras_actrec import _backend, data, deploy, zoo
from keras_actrec.errors import UserError
from keras_actrec.layers import GateShift
from keras_actrec.recognizer import Recognizer

NAMES = ("run", "sit", "walk")
WRITES = {"torch": ("onnx", "openvino", "torch"), "tensorflow": ("saved_model", "litert"), "jax": ()}[
    _backend.name
]
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert"}


def run(format, path, inputs):
    """The scores of a file to named inputs, by its own runtime as its documentation says."""
    values = list(inputs.values())
    if format == "onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(path).run(None, inputs)[0]
    if format == "openvino":
        import openvino

        return openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(values)[0]
    if format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        reader = Interpreter(str(path))
        reader.allocate_tensors()
        for part in reader.get_input_details():
            name = next(name for name in inputs if name in part["name"])
            reader.set_tensor(part["index"], inputs[name])
        reader.invoke()
        return reader.get_tensor(reader.get_output_details()[0]["index"])
    if format == "torch":
        import torch

        return torch.export.load(path).module()(*map(torch.tensor, values)).detach().numpy()
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return loaded.serve(*values).numpy()


def skeletons():
    model = zoo.build("stacked_rnn", 3, input_shape=(None, 6), units=3, num_layers=1, masked=True)
    return Recognizer(model, NAMES, data.SkeletonPreprocessor("poses", data.SkeletonTransform(frames=3)))


def clips():
    clip = keras.Input((2, None, None, 3), name="clip")
    maps = keras.layers.Rescaling(1 / 127.5, -1)(clip)
    maps = keras.layers.GlobalAveragePooling3D()(shifted(maps))
    model = keras.Model(clip, keras.layers.Dense(3, "softmax", name="classifier")(maps), name="small")
    look = data.ClipPreprocessor(data.Sampling(2), data.ClipTransform(8))
    return Recognizer(model, NAMES, look, spec=zoo.spec("tsm"))


def shifted(maps):
    return GateShift()(keras.layers.Dense(8, "relu")(maps))


MODELS = {"skeletons": skeletons, "clips": clips}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("format", WRITES)
def test_a_file_answers_as_the_model_in_its_own_runtime(tmp_path, format, kind):
    if format in PACKAGES and not importlib.util.find_spec(PACKAGES[format]):
        pytest.skip("needs the extra `export`")
    keras.utils.set_random_seed(3)
    recognizer = MODELS[kind]()
    for weight in recognizer.model.weights:  # gates and biases that start at zero would hide what is lost
        weight.assign(np.asarray(weight) + np.random.default_rng(0).uniform(0, 0.3, weight.shape))
    out = tmp_path / f"model{deploy.FORMATS[format].suffix}"
    about = deploy.export(recognizer, out, format)
    batch = 4 if deploy.FORMATS[format].any_batch else 1
    rng = np.random.default_rng(7)
    if kind == "clips":
        inputs = {"clip": rng.integers(0, 256, (batch, 2, 8, 8, 3)).astype("float32")}
        expected = recognizer.model(inputs["clip"], training=False)
    else:
        steps, mask = rng.normal(size=(batch, 3, 6)).astype("float32"), np.ones((batch, 3), bool)
        mask[0, 1:] = False
        inputs = {"features": steps, "mask": mask}
        expected = recognizer.model(inputs, training=False)
    expected = keras.ops.convert_to_numpy(expected)
    assert np.ptp(expected) > 0.01
    close(run(format, out, inputs), expected, 1e-4)

    assert json.loads(json.dumps(about)) == json.loads(out.with_name(out.name + ".json").read_text())
    assert about["class_names"] == list(NAMES)
    assert [part["name"] for part in about["inputs"]] == list(inputs)
    assert [tuple(part["shape"][1:]) for part in about["inputs"]] == [x.shape[1:] for x in inputs.values()]
    assert about["inputs"][0]["shape"][0] == (None if deploy.FORMATS[format].any_batch else 1)
    assert 0 <= about["largest_difference"] <= 1e-4
    assert about["preprocessing"] == recognizer.preprocessor.to_json()


@pytest.mark.parametrize("format", WRITES[-1:])
def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, format, monkeypatch):
    write, read = _backend.EXPORTS[format]

    def write_another(model, path, inputs):
        other = keras.models.clone_model(model)
        write(other, path, inputs)

    monkeypatch.setitem(_backend.EXPORTS, format, (write_another, read))
    out = tmp_path / f"model{deploy.FORMATS[format].suffix}"
    with pytest.raises(UserError, match="its answers differ by"):
        deploy.export(clips(), out, format)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("format", WRITES[:1])
def test_a_model_that_cannot_be_written_names_other_formats(tmp_path, format, monkeypatch):
    def fails(model, path, inputs):
        raise RuntimeError("no such\noperation")

    monkeypatch.setitem(_backend.EXPORTS, format, (fails, None))
    with pytest.raises(UserError, match=r"RuntimeError: no such operation.*one of onnx"):
        deploy.export(clips(), tmp_path / f"x{deploy.FORMATS[format].suffix}", format)
    assert not any(tmp_path.iterdir())


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


@pytest.mark.parametrize("format", WRITES[:1])
def test_a_full_disk_is_no_fault_of_the_format(tmp_path, format, monkeypatch):
    def full(model, path, inputs):
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
        assert done.stdout.startswith(
            "wrote new/model.onnx and new/model.onnx.json: its answers differ by at most"
        )
        assert {path.name for path in (tmp_path / "new").iterdir()} == {"model.onnx", "model.onnx.json"}
    else:
        assert done.returncode == 1
        assert "pip install" in done.stderr
