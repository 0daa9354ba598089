"""What the benchmarks keep and tell: ratios of releases, what got slower, and SA-GSM's way of validating."""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from unittest import mock

import cv2
import keras
import numpy as np
import pytest
from keras import ops

from keras_actrec import deploy, zoo
from keras_actrec._formats import MOST_DIFFERENT
from keras_actrec.data import ClipPreprocessor, ClipTransform, Record, Sampling, index_videos
from keras_actrec.recognizer import Recognizer

FOLDER = Path(__file__).parents[1] / "benchmarks"


def program(name, monkeypatch):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ratios(monkeypatch):
    return program("ratios", monkeypatch)


def found(tmp_path, backend, **named):
    rows = [
        {"what": what, "ours": "ours", "peer": "plain torch", "ratio": ratio} for what, ratio in named.items()
    ]
    rows.append({"what": "growth", "exponent": 1.0})  # no ratio
    rows.append({"what": "gru", "ours": "ours, XLA", "peer": "plain torch", "ratio": 0.1})
    path = tmp_path / f"{backend}.json"
    path.write_text(json.dumps({"backend": backend, "machine": {"cores": 2}, "rows": rows}))
    return path


@pytest.mark.no_backend
def test_what_got_slower_is_told_and_noise_is_not(ratios, tmp_path):
    kept = tmp_path / "kept.json"
    ratios.add("0.1", [found(tmp_path, "jax", gru=0.5, hman=0.8, gsm=1.0)], kept)
    ratios.add("0.2", [found(tmp_path, "jax", gru=0.54, hman=1.0, gsm=0.7, lite=3.0)], kept)
    ratios.add("0.2", [found(tmp_path, "torch", gru=9.0)], kept)
    releases = ratios.read(kept)
    assert list(releases) == ["0.1", "0.2"] and set(releases["0.2"]) == {"jax", "torch"}
    assert ratios.slower(releases["0.1"], releases["0.2"]) == ["slower: jax hman / plain torch: 0.80 -> 1.00"]
    assert releases["0.2"]["jax"]["ratios"]["gru, ours, XLA / plain torch"] == 0.1


@pytest.mark.no_backend
def test_the_chart_is_drawn(ratios, tmp_path):
    kept = tmp_path / "kept.json"
    files = [found(tmp_path, name, gru=0.5, hman=0.8) for name in ("jax", "torch", "tensorflow")]
    ratios.add("0.2", files, kept)
    ratios.draw(ratios.read(kept)["0.2"], "0.2", tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@keras.saving.register_keras_serializable("tests")
class Brightness(keras.layers.Layer):
    """Clips to the logits of dark and bright: a mean above 125 is bright."""

    def call(self, clip):
        mean = ops.mean(ops.cast(clip, "float32"), axis=(1, 2, 3, 4))
        return ops.stack([125 - mean, mean - 125], axis=1)


def test_sa_gsms_validation_is_undone_step_by_step(monkeypatch, tmp_path):
    steps = program("sa_gsm_steps", monkeypatch)
    records = []
    for label, (name, middle) in enumerate([("dark", 40), ("bright", 210)]):
        for number in range(4):
            frame = np.full((32, 96, 3), 250 - middle, "uint8")  # the sides are the other class
            frame[:, 32:64] = middle
            file = tmp_path / f"{name}_{number}"
            file.mkdir()
            for at in range(1, 5):
                cv2.imwrite(str(file / f"{at:05d}.png"), frame)
            records.append(Record(file, file.name, label))
    clip = keras.Input((None, 16, 16, 3), name="clip")
    seen = ClipPreprocessor(Sampling(2), ClipTransform(16, crop="multiscale"))
    recognizer = Recognizer(keras.Model(clip, Brightness()(clip)), ("dark", "bright"), seen)
    indexed, _ = index_videos(records)
    rows = steps.table(recognizer, indexed, count=4, batch_size=3)
    validated, scaled, centered, tested = [row["top1"] for row in rows]
    # A mean of 116 on top makes the darkest frame bright: chance, wherever the crop is.
    assert validated == scaled == 0.5
    assert 0 < centered < 1 and tested == 1  # a crop that is drawn is beside the middle at times
    assert [row["mean_class"] for row in rows] == [row["top1"] for row in rows]
    crops = [steps.preprocessor_of(recognizer, step).transform for step in steps.STEPS]
    assert [(each.crop, each.flip) for each in crops] == [
        ("multiscale", True),
        ("random", True),
        ("random", True),
        ("center", False),
    ]


@pytest.mark.no_backend
def test_the_tables_of_exports_have_each_cell_and_each_refusal_once(monkeypatch, tmp_path):
    exports = program("exports", monkeypatch)
    elsewhere = {"refused": "FORMAT is written by another: set KERAS_BACKEND=another first"}
    rows = [
        {"model": model, "backend": backend, "kind": kind, "format": format, **elsewhere}
        for model in ("gsm", "hman")
        for kind in ("whole", "int8")
        for backend in ("torch", "tensorflow", "jax")
        for format in ("onnx", "litert")
    ]
    for row in rows:
        if (row["format"], row["backend"]) in (("onnx", "torch"), ("litert", "tensorflow")):
            row |= {"largest_difference": 3e-8, "same_answers": 0.75}
            del row["refused"]
            if (row["format"], row["model"]) == ("litert", "hman"):
                row["refused"] = "hman has | no litert: choose onnx"
    exports.write(rows, tmp_path)
    page = (tmp_path / "exports.md").read_text()
    assert "| onnx | 2 of 2 | set KERAS_BACKEND=another first | set KERAS_BACKEND=another first |" in page
    assert "| litert | set KERAS_BACKEND=another first | 1 of 2 |" in page
    assert (
        page.count("| `hman` | 3e-08 | refused (1) |") == 1
        and "| `hman` | 3e-08, 75% | refused (1) |" in page
    )
    assert "| `gsm` | 3e-08 | 3e-08 |" in page and "| `gsm` | 3e-08, 75% | 3e-08, 75% |" in page
    assert page.endswith("1. MODEL has \\| no litert: choose onnx\n")
    assert "of quantized files the share" in page and "More than 1e-04 (int8: 0.1) is refused." in page
    assert json.loads((tmp_path / "exports.json").read_text())["cells"] == rows
    (tmp_path / "one").mkdir()
    exports.write([row for row in rows if row["kind"] == "whole"], tmp_path / "one")
    page = (tmp_path / "one/exports.md").read_text()
    assert "quantized" not in page and "More than 1e-04 is refused." in page


@pytest.mark.no_backend
def test_every_model_is_exported_to_onnx_and_every_causal_one_as_a_stream():
    cells = json.loads((FOLDER / "exports.json").read_text(encoding="utf-8"))["cells"]
    done = {
        (row["kind"], row["format"], row["model"])
        for row in cells
        if "refused" not in row and row["largest_difference"] <= MOST_DIFFERENT[None]
    }
    causal = {name for name in zoo.list_models() if zoo.spec(name).causal}
    for format in deploy.FORMATS:
        assert {model for kind, *place, model in done if [kind, *place] == ["whole", format]} == set(
            zoo.list_models()
        )
        assert {model for kind, *place, model in done if [kind, *place] == ["stream", format]} == causal
    for row in cells:  # what is refused names what can be done
        assert "refused" not in row or re.search(r"set KERAS_BACKEND=|leave .* out, or", row["refused"])


@pytest.mark.no_backend
def test_boundaries_at_a_change_are_compared_with_the_same_step_of_the_clip_elsewhere(monkeypatch):
    program_ = program("boundaries", monkeypatch)
    # Of two clips of 8 steps that change at step 4, seen from 5 starts, 4 steps at a time.
    whole = np.zeros((2, 8, 2))
    whole[:, 4, 0] = 1  # a layer whose detectors all fire at the change, and one that fires by the step
    seen = np.stack([whole[:, start : start + 4] for start in range(5)], axis=1)
    seen[..., 1] = [0, 1, 0, 1]
    at_change, by_step = program_.compare(seen, 4)
    # The change is at step 3 to 0; the next step is there for 2, 1 and 0, the strengths are halves.
    assert (at_change.at, at_change.elsewhere, at_change.auc) == (0.5, 0.0, 1.0)
    assert (by_step.auc, by_step.at) == (0.5, by_step.elsewhere)
    about = {"top1": "0.7500", "files": "2", "videos": "40", "backend": "torch 2", "commit": "abc"}
    rows = [
        {"seed": str(seed), "layer": str(layer), "at": "0.5", "elsewhere": "0", "auc": f"{auc:.4f}", **about}
        for seed in range(2)
        for layer, auc in enumerate((at_change.auc, by_step.auc), start=1)
    ]
    block = program_.table(rows)
    assert "| 1 | 0.500 | 0.000 | 1.000 | 1.000 to 1.000 | 1.000, 1.000 |" in block
    assert "- Layer 1: boundaries fire more at the change than elsewhere (1.000" in block
    assert "- Layer 2: boundaries tell the change no better than chance" in block
    assert "fire less" in program_.verdict("1", 0.3, 0.1)


def test_the_boundaries_of_files_of_two_phases_are_read(monkeypatch, tmp_path):
    from keras_actrec.data import write_synthetic

    program_ = program("boundaries", monkeypatch)
    data = write_synthetic(tmp_path, clips_per_class=1, size=32, test_fraction=0).parent
    files = sorted(data.glob("*then*/*.mp4"))
    model = zoo.hman(
        2, input_shape=(None, 8, 8, 3), backbone=keras.Sequential([keras.Input((8, 8, 3))]), units=2
    )
    seen = ClipPreprocessor(Sampling(12, frame_step=2), ClipTransform(8, crop="none"))
    boundaries, change = program_.boundaries_of(Recognizer(model, ("a", "b"), seen), files)
    assert (boundaries.shape, change) == ((2, 5, 8, 3), 6)
    assert len(program_.compare(boundaries, change)) == 3


@pytest.mark.no_backend
def test_the_curves_of_joints_that_are_off_say_which_order_hurts(monkeypatch):
    gates = program("gates", monkeypatch)
    falls = {"largest": 0.4, "random": 0.6, "smallest": 0.6}  # of the accuracy with any joint off

    def row(seed, order):
        curve = {str(count): f"{1.0 if not count else falls[order] + seed / 100:.4f}" for count in range(21)}
        common = {"experiment": "utkinect", "recipe": "eleatt_rnn/utkinect", "set": "", "files": "99"}
        return {**common, "seed": str(seed), "backend": "jax", "order": order, **curve}

    rows = [row(seed, order) for seed in range(5) for order in falls]
    page = gates.table("utkinect", rows)
    cells = " | ".join(["0.420"] * (len(gates.SHOWN) - 1))
    assert f"| largest response | 1.000 | {cells} | {(1 + 20 * 0.42) / 21:.3f} |" in page
    assert "- At random minus largest response first: +0.190 (+0.190 to +0.190): switching" in page
    assert "the joints with the largest response off hurts more." in page
    assert "smallest response off does not differ, as far as seeds show." in page


def test_layers_are_timed_next_to_pytorch_and_their_operations_are_counted(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(FOLDER)
    with mock.patch.dict(os.environ, XLA_FLAGS=""):
        accelerator = program("accelerator", monkeypatch)
    monkeypatch.setattr(accelerator, "DEVICE", "cpu")
    monkeypatch.setitem(accelerator.SIZES, "s", (2, 3, 4))
    row = accelerator.compare("EleAttGRU", "s", "float32", 1)
    assert row["ms"] > 0 and row["peer"] == "plain torch"
    assert row["ratio"] == pytest.approx(row["ms"] / row["peer_ms"], abs=0.01)
    model, x, peer = accelerator.CASES["EleAttGRU"][0]("s")
    assert model.output.shape == (None, 1) and x.shape == (2, 3, 4) and isinstance(peer, torch.nn.Module)
    _, step = accelerator.training(model, x, peer, "float32")
    # Of products of 2 rows: 8 kernels of 4 x 4 a step and one of 4 x 1, forward and for the kernels; for what
    # goes in, not the gate's own of the clip, and at the first step not those of the state, which is zero.
    forward = 3 * 8 * 16 + 4
    inputs = 2 * 7 * 16 + 4 * 16 + 4
    assert accelerator.operations_of(step) == 2 * 2 * (2 * forward + inputs)


@pytest.mark.no_backend
def test_poses_of_ones_own_are_where_a_camera_sees_the_joints(monkeypatch):
    own_poses = program("own_poses", monkeypatch)
    kinect, coco = own_poses.KINECT.joints, own_poses.COCO.joints
    joints = np.zeros((4000, 1, 20, 3))
    joints[..., 2] = 2.0  # meters in front of the camera
    joints[:, 0, kinect.index("left_wrist")] = 0.4, 0.2, 2.0  # to the right of its axis, above it
    joints[:, 0, kinect.index("head")] = 0.0, 0.6, 2.0
    joints[:, 0, kinect.index("left_shoulder"), 0] = 0.2
    joints[:, 0, kinect.index("right_shoulder"), 0] = -0.2
    joints[-1] = 0  # nobody
    found, scores = own_poses.seen(joints, np.random.default_rng(0))
    assert found.shape == (4000, 1, 17, 2) and not found[-1].any() and not scores[-1].any()

    def middle(name):
        return np.median(found[:-1, 0, coco.index(name)], axis=0)

    # 1000 pixels of focal length: 0.4 m at 2 m are 200 pixels; shoulders are 200 pixels apart.
    np.testing.assert_allclose(middle("left_wrist"), [840, 260], atol=0.3)
    np.testing.assert_allclose(middle("nose"), [640, 60], atol=0.3)
    np.testing.assert_allclose(middle("left_eye"), [652, 60], atol=0.3)
    np.testing.assert_allclose(middle("right_ear"), [616, 60], atol=0.3)
    off = np.abs(found[:-1, 0, coco.index("nose")] - [640, 60]).max(axis=1) > 15
    assert np.mean(scores[:-1] < 0.2) == pytest.approx(1 / 30, abs=0.002)
    assert np.all(scores[:-1, 0, coco.index("nose")][off] == 0.1)
