"""Explanations of every model: properties, NumPy references, and overlays on the frames of files."""

import base64
import math
from dataclasses import replace
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
from keras import ops
from matplotlib.figure import Figure

import trees
from browser import NEEDS_CHROMIUM, browsing
from checks import batch_of, close, numpy, spread
from keras_actrec import _backend, insight, zoo
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    FeaturePreprocessor,
    Record,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
)
from keras_actrec.data.skeletons import SkeletonForm
from keras_actrec.data.sources import POSE_PATTERNS
from keras_actrec.data.transforms import Region
from keras_actrec.errors import UserError
from keras_actrec.evaluation import Evaluation
from keras_actrec.insight import _overlay, _pictures, _playing
from keras_actrec.insight._skeleton import response_of
from keras_actrec.insight._timeline import Timeline
from keras_actrec.insight.explain import Relation, grad_cam, labeled_files
from keras_actrec.insight.gates import mean_of
from keras_actrec.layers import (
    AttentiveRNN,
    Conv2D,
    FoldTime,
    GateShift,
    SelfAttention2D,
    UnfoldTime,
)
from keras_actrec.recognizer import Recognizer
from test_zoo import sized, small

RNG = np.random.default_rng(0)
NAMES = ("run", "jump", "fall")


def log_softmax(x):
    return x - x.max(-1, keepdims=True) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))


def seen_by(name, **arguments):
    """A view of a small model, what it shows of two clips, and what it shows by the name of each."""
    masked = {"masked": True} if zoo.spec(name).masked else {}
    model = spread(small(name, **masked, **arguments))
    inputs = batch_of(name, sized(name, **arguments), count=2, masked=bool(masked))
    view = zoo.ExplainingView(model, zoo.spec(model))
    return model, view, inputs, view(inputs)


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_model_shows_its_trace_its_steps_and_its_evidence(name, monkeypatch):
    model, view, inputs, found = seen_by(name)
    spec, scores = zoo.spec(model), model.predict_on_batch(inputs)
    close(found["scores"], scores, 1e-5)
    assert set(spec.trace) <= set(found)
    if name == "st_gcn":  # as its card says
        assert set(found) == {"scores", "steps"}
        found["maps"] = found["slopes"] = np.ones((2, 4, 1, 1, 1))
    assert found["maps"].shape == found["slopes"].shape and found["maps"].shape[:2] == (2, 4)
    assert np.any(found["slopes"])
    cams = [grad_cam(*each) for each in zip(found["maps"], found["slopes"], strict=True)]
    assert all(cam.min() >= 0 and cam.max() in (0, 1) for cam in cams)
    if name in ("hman", "sa_gsm", "trn"):
        monkeypatch.setattr(_backend, "gradient", None)
        short = view(inputs, evidence=False)
        assert set(found) - set(short) == {"slopes", "shifts", "self_attention"} & set(found)
        close(short["scores"], scores, 1e-5)
    assert view.has_steps == (name != "trn")
    if name == "trn":
        for_answer = sum(logits.sum(axis=1) for _, logits in found["relations"])
        close(log_softmax(for_answer), np.log(scores), 1e-4)
        return
    mask = inputs["mask"][..., None]
    assert found["steps"].shape == (2, 4, 3)
    close(found["steps"].sum(-1), np.ones((2, 4)), 1e-5)
    if spec.consensus == "probabilities":
        close((found["steps"] * mask).sum(1) / mask.sum(1), scores, 1e-5)
    elif spec.consensus == "last":
        last = mask[..., 0].sum(1) - 1
        close(found["steps"][[0, 1], last], scores, 1e-5)
    else:  # a softmax of means of logits, which are logarithms but for a number a step
        logits = (np.log(found["steps"]) * mask).sum(1) / mask.sum(1)
        close(log_softmax(logits), np.log(scores), 1e-4)


def test_a_model_that_was_explained_is_saved_as_before(tmp_path):
    model, _, inputs, found = seen_by("hman", attention="reinforce")
    model.save(tmp_path / "model.keras")
    close(keras.saving.load_model(tmp_path / "model.keras").predict_on_batch(inputs), found["scores"], 1e-6)


def test_a_model_from_a_file_is_explained_whatever_its_operations_are_called(tmp_path):
    model, _, inputs, found = seen_by("hman", embedding=2, motion=True)
    model.save(tmp_path / "model.keras")
    spec = zoo.spec(model)
    keras.utils.clear_session(free_memory=False)  # operations are counted from the start, as in a new process
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    close(zoo.ExplainingView(loaded, spec)(inputs)["steps"], found["steps"], 1e-6)


def test_a_model_in_mixed_precision_is_explained_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model, _, inputs, found = seen_by("sa_gsm", backbone="bn_inception:inception_3a_output")
        close(found["scores"], model.predict_on_batch(inputs), 1e-2)
    finally:
        keras.config.set_dtype_policy("float32")
    for name in ("scores", "steps", "maps", "slopes", "shifts", "self_attention"):
        assert found[name].dtype == "float32" and np.isfinite(found[name]).all(), name


# Grad-CAM of a network whose evidence is known: 1 x 1 convolution, ReLU, the mean over places, a linear
# classifier, the mean over the frames.


def linear_network(kernel, weights, masked):
    clip = keras.Input((None, 3, 4, 3), name="clip")
    mask = keras.Input((None,), dtype="bool", name="mask") if masked else None
    conv = Conv2D(kernel.shape[1], 1, use_bias=False, activation="relu")
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(conv(FoldTime()(clip)))
    x = keras.layers.Dense(3, name="classifier")(UnfoldTime(name="features")([x, clip]))
    x = keras.layers.GlobalAveragePooling1D(name="average")(x, mask=mask)
    x = keras.layers.Activation("softmax", name="answer")(x)
    model = keras.Model({"clip": clip, "mask": mask} if masked else clip, x, name="linear")
    conv.set_weights([kernel[None, None]])
    model.get_layer("classifier").set_weights([weights, np.zeros(3)])
    return model


@pytest.mark.parametrize("masked", [False, True])
def test_grad_cam_is_that_of_numpy(masked):
    kernel = RNG.normal(size=(3, 5)).astype("float32")
    weights = RNG.normal(size=(5, 3)).astype("float32")
    clips = RNG.normal(size=(2, 4, 3, 4, 3)).astype("float32")
    mask = np.array([[True] * 4, [True, True, False, False]]) if masked else np.ones((2, 4), bool)
    spec = zoo.ModelSpec("linear", "clip", masked=masked, consensus="logits")
    view = zoo.ExplainingView(linear_network(kernel, weights, masked), spec)
    found = view({"clip": clips, "mask": mask} if masked else clips)

    maps = np.maximum(clips @ kernel, 0)
    logits = (maps.mean((2, 3)) @ weights * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    against = weights - weights.mean(axis=1, keepdims=True)
    for each, label in enumerate(logits.argmax(-1)):
        expected = np.maximum(maps[each] @ against[:, label], 0) * mask[each, :, None, None]
        close(found["maps"][each], maps[each], 1e-5)
        cam = grad_cam(found["maps"][each], found["slopes"][each])
        close(cam, expected / expected.max(), 1e-4)
    close(np.log(found["scores"]), log_softmax(logits), 1e-5)


def test_a_confident_answer_has_evidence():
    weights = np.array([[60.0, 0, 0], [0, 60, 0], [0, 0, 60]], "float32")  # probabilities of 1 and 1e-26
    view = zoo.ExplainingView(
        linear_network(np.eye(3, dtype="float32"), weights, False), zoo.ModelSpec("linear", "clip")
    )
    clip = np.zeros((1, 2, 3, 4, 3), "float32")
    clip[0, 1, 2, 3, 1] = 12.0
    found = view(clip)
    assert found["scores"].max() > 0.999
    cam = grad_cam(found["maps"][0], found["slopes"][0])
    assert np.argwhere(cam).tolist() == [[1, 2, 3]] and cam.max() == 1


def test_nothing_that_speaks_for_the_answer_is_no_evidence():
    maps, slopes = np.ones((2, 3, 3, 4)), -np.ones((2, 3, 3, 4))
    np.testing.assert_array_equal(grad_cam(maps, slopes), np.zeros((2, 3, 3)))


def test_the_gates_are_what_the_layer_multiplies_with():
    layer = GateShift(shuffle=False)
    x = RNG.normal(size=(1, 3, 2, 2, 4)).astype("float32")
    layer.build(x.shape)
    layer.gate_bias.assign([0.5, -1.0])
    gates = numpy(layer.gates(ops.convert_to_tensor(x)))
    close(gates, np.broadcast_to(np.tanh([0.5, -1.0]), (1, 3, 2, 2, 2)), 1e-6)
    moved = x * np.repeat(gates, 2, axis=-1)
    expected = x - moved
    expected[:, :-1, ..., :2] += moved[:, 1:, ..., :2]
    expected[:, 1:, ..., 2:] += moved[:, :-1, ..., 2:]
    close(layer(x), expected, 1e-5)


@pytest.mark.parametrize("over", ["frame", "time", "clip"])
def test_the_self_attention_of_a_cell_is_its_row_of_the_scores(over):
    first = "bn_inception:inception_3a_output"
    model, view, inputs, found = seen_by("sa_gsm", attention=over, backbone=first)
    layer = view.shown["self_attention"]
    assert isinstance(layer, SelfAttention2D) and layer is model.layers[model.layers.index(layer)]
    x = keras.Model(model.input, keras.tree.flatten(layer.input)[0]).predict_on_batch(inputs)
    query, key = (x @ ops.convert_to_numpy(getattr(layer, f"{name}_kernel")) for name in ("query", "key"))
    query, key = query + numpy(layer.query_bias), key + numpy(layer.key_bias)
    mask, scores = inputs["mask"], found["self_attention"]
    at = query[0, 1, 2, 3]  # of the first clip, whose last step is padding
    if over == "frame":
        row, energies = scores[0, 1, 2, 3], key[0, 1] @ at
    elif over == "time":
        row, energies = scores[0, 2, 3, 1], np.where(mask[0], key[0, :, 2, 3] @ at, -1e9)
    else:
        row, energies = scores[0, 1, 2, 3], np.where(mask[0][:, None, None], key[0] @ at, -1e9)
    expected = np.exp(log_softmax(energies.reshape(-1)))
    close(row.reshape(-1), expected, 1e-4)


# Overlays: a square of known place in the file, a model that looks at the brightest cell.


def bright(height, width, row, column, side):
    frame = np.full((height, width, 3), 40, "uint8")
    frame[row : row + side, column : column + side] = 255
    return frame


CROPS = [
    (ClipTransform(32, crop="none"), None),
    (ClipTransform(32), None),
    (ClipTransform(32, short_side=48), None),
    (ClipTransform(32, shrink=40, short_side=33), None),
    (ClipTransform(32, crop="none", num_crops=2), 1),
    (ClipTransform(32, num_crops=2), 1),
    *[(ClipTransform(32, short_side=32, num_crops=3), crop) for crop in range(3)],
    *[(ClipTransform(32, short_side=32, num_crops=6), crop) for crop in (3, 5)],
    *[(ClipTransform(32, short_side=44, num_crops=10), crop) for crop in (0, 3, 6, 9)],
]


@pytest.mark.no_backend
@pytest.mark.parametrize("size", [(120, 160), (91, 53), (37, 71), (65, 64)])
@pytest.mark.parametrize("transform, crop", CROPS)
def test_the_region_of_a_crop_is_where_its_pixels_come_from(transform, crop, size):
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    place = np.stack([255 * rows / height, 255 * columns / width, 0 * rows], -1).astype("uint8")
    shown = transform.crops(place[None]) if crop is not None else transform(place[None])[None]
    image = shown[crop or 0, 0].astype(float)
    region = transform.regions(*size)[crop or 0]
    at = (np.arange(32) + 0.5) / 32
    down = region.top + at * (region.bottom - region.top)
    across = region.left + (at[::-1] if region.mirrored else at) * (region.right - region.left)
    # A pixel's middle is half a pixel below its edge; two values of 255 are rounding.
    near = 2 + 255 / min(size)
    assert np.abs(image[:, :, 0] - 255 * (down[:, None] - 0.5) / height).max() < near
    assert np.abs(image[:, :, 1] - 255 * (across - 0.5) / width).max() < near
    assert region.mirrored == (
        crop is not None
        and crop >= (transform.num_crops + 1) // 2
        and crop > 0
        and transform.has_mirrored_crops
    )


@pytest.mark.no_backend
def test_a_map_is_spread_over_its_region_alone():
    values = np.array([[1.0, 2, 3], [4, 5, 6]])
    found = _overlay.spread(values, Region(2, 3, 6, 9), 8, 10)
    expected = np.zeros((8, 10))
    expected[2:6, 3:9] = np.kron(values, np.ones((2, 2)))
    np.testing.assert_array_equal(found, expected)
    mirrored = _overlay.spread(values, Region(2, 3, 6, 9, mirrored=True), 8, 10)
    np.testing.assert_array_equal(mirrored[2:6, 3:9], expected[2:6, 3:9][:, ::-1])
    smooth = _overlay.spread(values, Region(2, 3, 6, 9), 8, 10, smooth=True)
    assert np.unravel_index(smooth.argmax(), smooth.shape) == (5, 8)
    np.testing.assert_allclose(smooth[2, 3:9], [1, 1.25, 1.75, 2.25, 2.75, 3])


class BrightestCell(keras.layers.Layer):
    """Looks at the brightest of its 64 locations, and nothing else matters."""

    state_size = output_size = 1
    trace_sizes = {"attention": 64}

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, 1))]

    def step(self, inputs, states, noise=None, training=False):
        scores = ops.softmax(50 * ops.mean(inputs, axis=-1), axis=-1)
        output = ops.sum(scores, axis=-1, keepdims=True)
        return output, [output], {"attention": scores}

    def call(self, inputs, states, training=False):
        output, states, _ = self.step(inputs, states)
        return output, states


def looking_at_the_brightest():
    """Frames of 32 x 32 pixels in 8 x 8 cells."""
    clip = keras.Input((None, 32, 32, 3), name="clip")
    x = keras.layers.Rescaling(1 / 255)(clip)
    x = ops.mean(ops.reshape(x, (-1, 2, 8, 4, 8, 4, 3)), axis=(3, 5))
    x = ops.reshape(x, (-1, 2, 64, 3))
    x = AttentiveRNN(BrightestCell(), return_sequences=True, return_trace=True, name="temporal")(x)["output"]
    x = keras.layers.Dense(3, activation="softmax", name="classifier")(x)
    x = keras.layers.GlobalAveragePooling1D(name="average")(x)
    return keras.Model(clip, x, name="brightest")


LOOKING = zoo.ModelSpec("brightest", "clip", per_step=True, trace=("attention",))


@pytest.fixture(scope="module")
def brightest():
    return looking_at_the_brightest()


def write_video(path, frames, fps=8):
    """Without loss, so that squares stay where they are."""
    size = frames[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), fps, size)
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


@NEEDS_CHROMIUM
@pytest.mark.once
def test_axe_finds_no_serious_fault_in_explanations(brightest, skeletons, tmp_path):
    frames = [bright(66, 131, 5, 20 * number, 9) for number in range(4)]
    video = write_video(tmp_path / "a.avi", frames)
    recognizer = Recognizer(brightest, NAMES, ClipPreprocessor(Sampling(2), ClipTransform(32)), spec=LOOKING)
    found = [insight.explain(recognizer, video, "jump"), insight.explain(skeletons[1], skeletons[0], "fall")]
    page = insight.write_report(tmp_path / "page.html", title="Two files", explanations=found)
    with browsing(tmp_path / "profile") as browser:
        browser.open(page.as_uri())
        assert browser.faults() == [] and browser.complaints == []


@pytest.mark.parametrize(
    "transform, crop, size, place",
    [
        (ClipTransform(32, crop="none"), None, (90, 150), (70, 10)),
        (ClipTransform(32, short_side=36), None, (90, 151), (20, 60)),
        (ClipTransform(32, short_side=32, num_crops=3), 2, (66, 131), (5, 112)),
        (ClipTransform(32, num_crops=2), 1, (77, 91), (40, 20)),
        (ClipTransform(32, short_side=40, num_crops=10), 5, (121, 83), (8, 4)),
    ],
)
def test_the_brightest_pixels_lie_where_the_model_looked(brightest, tmp_path, transform, crop, size, place):
    side = 9
    for number in range(3):  # videos have even sides
        cv2.imwrite(str(tmp_path / f"{number}.png"), bright(*size, *place, side))
    recognizer = Recognizer(brightest, NAMES, ClipPreprocessor(Sampling(2), transform), spec=LOOKING)
    found = insight.explain(recognizer, tmp_path, "jump", crop=crop)
    assert found.frames.shape == (2, *size, 3)  # the file's own
    assert found.seconds is None  # images have no times
    assert found.views == transform.num_crops
    (layer,) = _overlay.layers_of(found)
    heat = _overlay.spread(layer.shares[0], found.region, *size)
    rows, columns = np.nonzero(heat == heat.max())
    assert rows.min() < place[0] + side and rows.max() >= place[0]
    assert columns.min() < place[1] + side and columns.max() >= place[1]
    # The picture: what was looked at has another color, and the outline is around it.
    image = _overlay.draw_on(found, layer, 0).astype(int)
    pink = np.argwhere((np.abs(image - (255, 43, 214)) < 12).all(-1))
    assert np.abs(pink.min(0) - (rows.min(), columns.min())).max() <= 3
    assert np.abs(pink.max(0) - (rows.max(), columns.max())).max() <= 3


def test_what_is_explained_is_what_predict_sees(brightest, tmp_path):
    frames = [bright(60, 80, 5 + 3 * number, 20, 9) for number in range(7)]
    path = write_video(tmp_path / "a.avi", frames)
    recognizer = Recognizer(brightest, NAMES, ClipPreprocessor(Sampling(2), ClipTransform(32)), spec=LOOKING)
    original, (clip, mask) = recognizer.preprocessor.original(path), recognizer.read(path)
    np.testing.assert_array_equal(original.clip, clip)
    np.testing.assert_array_equal(original.mask, mask)
    np.testing.assert_array_equal(original.frames, [frames[1], frames[5]])
    found = insight.explain(recognizer, path)
    np.testing.assert_allclose(found.seconds, [1 / 8, 5 / 8], atol=1e-6)
    best = recognizer.predict_video(path, top=3)
    assert [name for name, _ in found.best(3)] == [name for name, _ in best]
    close(np.array([score for _, score in found.best(3)]), np.array([score for _, score in best]), 1e-5)
    with pytest.raises(UserError, match="^`crop` must be a whole number from 0 to 0"):
        insight.explain(recognizer, path, crop=1)
    with pytest.raises(
        UserError, match="^`layer` must be one with gates or self-attention; brightest has no"
    ):
        insight.explain(recognizer, path, layer="temporal")
    with pytest.raises(UserError, match="^`cell` is one of a self-attention, which this model does not have"):
        insight.explain(recognizer, path, cell=(0, 0))


def scored(recognizer, files):
    """Answers to files, all wrong."""
    records = tuple(Record(file, file.name, 0) for file in files)
    scores = np.tile([0.1, 0.8, 0.1], (len(files), 1))
    labels = np.zeros(len(files), int)
    return Evaluation("m", NAMES, records, labels, scores, skipped=(), protocol="p", part="test"), recognizer


def told_of(recognizer, files):
    clips = _playing.Clips([("m", *scored(recognizer, files))], 9)
    told = clips.told(_playing.data_uri, lambda *_: None, bounded=True)
    return clips, [clip.get("trace") for clip in told["models"][0]["clips"]]


def test_a_playing_clip_is_traced_without_a_gradient(brightest, tmp_path, monkeypatch):
    asked = []

    def explain(*arguments, **named):
        asked.append(named)
        return insight.explain(*arguments, **named)

    monkeypatch.setattr(_playing, "explain", explain)
    monkeypatch.setattr(_playing, "_TRACED", 1)
    # The short side of 90 becomes 36, of which 32 are seen: 80 of 90 and of 160.
    frames = [bright(90, 160, 5 + 3 * number, 60, 9) for number in range(4)]
    files = [write_video(tmp_path / name, frames) for name in ("a.avi", "b.avi")]
    recognizer = Recognizer(
        brightest, NAMES, ClipPreprocessor(Sampling(2), ClipTransform(32, 36)), spec=LOOKING
    )
    clips, (trace, other) = told_of(recognizer, files)
    assert (clips.playing, clips.traced, other, asked) == (2, 1, None, [{"evidence": False}])
    np.testing.assert_allclose(trace["times"], [1 / 8, 3 / 8], atol=2e-3)
    seen = insight.explain(recognizer, files[0], evidence=False)
    assert seen.evidence is None and trace["cells"] == [8, 8]
    np.testing.assert_allclose(trace["steps"][1], seen.steps[:, 1], atol=1e-3)
    np.testing.assert_allclose(trace["region"], [0.25, 1 / 18, 0.5, 8 / 9], atol=1e-3)


def test_a_frame_that_a_short_clip_repeats_is_one_step(brightest, tmp_path):
    file = write_video(tmp_path / "a.avi", [bright(32, 32, 5, 5, 9)])
    preprocessor = ClipPreprocessor(Sampling(2, short="stretch"), ClipTransform(32))
    _, (trace,) = told_of(Recognizer(brightest, NAMES, preprocessor, spec=LOOKING), [file])
    assert trace["times"] == [0] and len(trace["steps"][1]) == 1
    assert len(base64.b64decode(trace["attention"])) == 64


def test_a_model_without_answers_at_each_step_is_not_asked_for_them(tmp_path, monkeypatch):
    monkeypatch.setattr(_playing, "explain", None)
    file = write_video(tmp_path / "a.avi", [bright(32, 32, 5, 5, 9)] * 4)
    model = small("trn")
    size = model.inputs[0].shape[2]
    preprocessor = ClipPreprocessor(Sampling(4), ClipTransform(size))
    clips, traces = told_of(Recognizer(model, NAMES, preprocessor), [file])
    assert (clips.playing, clips.traced, traces) == (1, 0, [None])


def test_files_are_labeled_by_the_option_the_list_or_their_folder(brightest, tmp_path):
    recognizer = Recognizer(brightest, NAMES, ClipPreprocessor(Sampling(2), ClipTransform(32)), spec=LOOKING)
    for folder in ("jump", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").touch()
    (tmp_path / "list.csv").write_text("path,label\nother/a.mp4,fall\njump/a.mp4,\n", encoding="utf-8")
    files = [tmp_path / "jump" / "a.mp4", tmp_path / "other" / "a.mp4"]
    assert labeled_files(recognizer, [tmp_path]) == list(zip(files, ["jump", None], strict=True))
    assert labeled_files(recognizer, [tmp_path / "list.csv"]) == [(files[1], "fall"), (files[0], None)]
    assert labeled_files(recognizer, files, "run") == [(file, "run") for file in files]
    with pytest.raises(UserError, match="a.mp4: the model has no class 'jmup'; did you mean 'jump'"):
        labeled_files(recognizer, files, "jmup")
    (tmp_path / "list.csv").write_text("path,label,stop\njump/a.mp4,,\njump/a.mp4,,9\n", encoding="utf-8")
    for label in (None, "run"):
        with pytest.raises(UserError, match=r"list.csv, line 3: whole files .* frames 0 to 9 of jump/a.mp4:"):
            labeled_files(recognizer, [tmp_path / "list.csv"], label)


def test_a_csv_file_of_joints_is_a_file_and_no_list(tmp_path):
    recognizer = SimpleNamespace(class_names=NAMES, preprocessor=SimpleNamespace(patterns=POSE_PATTERNS))
    joints, listed = tmp_path / "run.csv", tmp_path / "list.csv"
    joints.write_text("frame,x,y\n0,1,2\n", encoding="utf-8")
    listed.write_text("path,label\nrun.csv,run\n", encoding="utf-8")
    assert labeled_files(recognizer, [joints]) == [(joints, None)]
    assert labeled_files(recognizer, [listed]) == [(joints, "run")]


def test_sa_gsm_shows_the_chosen_cell_of_the_chosen_layer(tmp_path):
    model = spread(small("sa_gsm", masked=True))
    names = [layer.name for layer in model.layers if isinstance(layer, SelfAttention2D)]
    path = write_video(tmp_path / "a.avi", [bright(40, 60, 5, 20, 9)] * 6)
    recognizer = Recognizer(model, NAMES, ClipPreprocessor(Sampling(2), ClipTransform(32)))
    found = insight.explain(recognizer, path, layer=names[0], cell=(1, 2))
    assert found.self_attention.layer == names[0] and found.self_attention.cell == (1, 2)
    close(found.self_attention.shares.sum((1, 2)), np.ones(2), 1e-5)
    last = insight.explain(recognizer, path)
    assert last.self_attention.layer == names[-1] and last.shifts.gates.shape == (2, 4, 4, 2)
    assert math.isclose(
        last.self_attention.gamma, float(numpy(model.get_layer(names[-1]).gamma)), rel_tol=1e-6
    )
    with pytest.raises(
        UserError, match=r"^`cell` must be a row and a column of 4 x 4 cells. Received: cell=\(4"
    ):
        insight.explain(recognizer, path, cell=(4, 0))
    with pytest.raises(UserError, match="did you mean"):
        insight.explain(recognizer, path, layer=names[0][:-1])


def test_the_relations_of_trn_add_up_to_its_answer(tmp_path):
    model = spread(small("trn"))
    path = write_video(tmp_path / "a.avi", [bright(40, 60, 5, 5 * number, 9) for number in range(8)])
    recognizer = Recognizer(model, NAMES, ClipPreprocessor(Sampling(4), ClipTransform(32)))
    found = insight.explain(recognizer, path)
    assert found.steps is None
    assert [len(each.frames) for each in found.relations] == [2, 2, 2, 3, 3, 3, 4]
    logs = np.log(found.scores)
    total = sum(each.evidence for each in found.relations)
    assert math.isclose(total, logs.max() - logs.mean(), rel_tol=1e-3, abs_tol=1e-4)


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory):
    """A file of joints, and a model of skeletons with gates."""
    root = trees.northwestern_ucla(tmp_path_factory.mktemp("ucla"))
    file = next(root.rglob("*.json"))
    transform = SkeletonTransform(6, "pad", 0, velocity=True)
    preprocessor = SkeletonPreprocessor("northwestern_ucla", transform, SkeletonForm(1, 20, True), "kinect20")
    model = spread(zoo.eleatt_rnn(3, input_shape=(None, 120), units=3, num_layers=2, masked=True))
    return file, Recognizer(model, NAMES, preprocessor)


def test_a_skeleton_is_explained_by_the_gates_of_its_joints(skeletons):
    file, recognizer = skeletons
    found = insight.explain(recognizer, file, "fall")
    sequence, mask = recognizer.read(file)
    np.testing.assert_array_equal(found.mask, mask)
    np.testing.assert_array_equal(found.joints, sequence.reshape(6, 1, 20, 6)[..., :3])
    seen, gates = np.moveaxis(
        zoo.gates_view(recognizer.model).predict_on_batch(recognizer.batch(sequence, mask))[0], 1, 0
    )
    close(found.gates, gates, 1e-6)
    close(seen, sequence, 1e-6)
    shares = gates[mask] / gates[mask].mean(axis=0)
    close(response_of(found)[mask][:, 3], shares[:, 18:24].mean(axis=1), 1e-5)  # of the head
    assert found.body.joints[3] == "head" and found.frames is None and found.evidence is None
    assert found.steps.shape == (6, 3)


def test_gates_are_drawn_for_a_class_by_its_first_file_or_by_the_mean_of_all(skeletons, tmp_path):
    file, recognizer = skeletons
    files = sorted(file.parent.glob("a01*.json"))[:3]
    items = [recognizer.preprocessor.item(each) for each in files]  # all of the first class
    for mean in (False, True):
        path = tmp_path / f"{mean}.svg"
        insight.draw_gates(recognizer, items, path, classes=["run"], mean=mean, title="t")
        assert path.read_text(encoding="utf-8").startswith("<?xml")
    with pytest.raises(UserError, match="^no file here shows 'fall': choose from run, jump, fall$"):
        insight.draw_gates(recognizer, items, path, classes=["fall"])


def test_joints_are_drawn_where_the_gate_sees_them_normalized_and_embedded(skeletons, tmp_path):
    file, recognizer = skeletons
    streams = replace(recognizer.preprocessor.transform, velocity=False, streams=("velocities", "joints"))
    look = replace(recognizer.preprocessor, transform=streams)
    options = {"normalize": True, "embedding": 2, "joints": 20, "units": 3, "num_layers": 1, "masked": True}
    model = spread(zoo.eleatt_rnn(3, input_shape=(None, 120), **options))
    found = insight.explain(Recognizer(model, NAMES, look), file)
    joints = look.read(file)[0].reshape(6, 1, 20, 6)[..., 3:]
    np.testing.assert_array_equal(found.joints, joints)
    assert found.gates.shape == (6, 40) and response_of(found).shape == (6, 20)
    path, items = tmp_path / "gates.svg", [look.item(file)]
    assert insight.draw_gates(Recognizer(model, NAMES, look), items, path, classes=["run"]).is_file()
    bare = replace(look, transform=replace(streams, streams=("velocities",)))
    model = spread(zoo.eleatt_rnn(3, input_shape=(None, 60), units=3, num_layers=1, masked=True))
    assert insight.explain(Recognizer(model, NAMES, bare), file).joints is None
    with pytest.raises(UserError, match="sees no joints to draw on: skeleton.streams has none"):
        insight.draw_gates(Recognizer(model, NAMES, bare), items, path, classes=["run"])


@pytest.mark.no_backend
def test_the_mean_of_a_class_is_at_even_shares_of_each_length():
    # Two joints of one coordinate; the second one is missing in most of the sequences.
    one = np.arange(1.0, 6)[:, None] * [1, 0]
    two = np.repeat(np.arange(1.0, 6), 2)[:9, None] * [3, 0]  # nine steps, every second is drawn
    three = np.arange(1.0, 6)[:, None] * [5, 7]
    x, a = mean_of([(each, each / 10) for each in (one, two, three)], joints=2)
    np.testing.assert_allclose(x, np.arange(1.0, 6)[:, None] * [3, 0])
    np.testing.assert_allclose(a, np.arange(1.0, 6)[:, None] * [0.3, 7 / 30])


def test_a_page_shows_skeletons_and_relations_and_features(skeletons, tmp_path):
    file, recognizer = skeletons
    found = [insight.explain(recognizer, file, "fall")]
    maps = tmp_path / "maps.npy"
    np.save(maps, RNG.normal(size=(4, 2, 2, 3)).astype("float32"))
    model = spread(zoo.eleatt_rnn(3, input_shape=(None, 2, 2, 3), units=3, num_layers=1))
    features = Recognizer(model, NAMES, FeaturePreprocessor(Sampling(4), (2, 2, 3)))
    found.append(insight.explain(features, maps))
    assert found[1].gates.shape == (4, 3) and found[1].joints is None and found[1].evidence.shape == (4, 2, 2)
    found.append(replace(found[1], relations=(Relation((0, 2), 0.5), Relation((0, 1, 3), -0.25)), steps=None))
    page = insight.write_report(tmp_path / "page.html", title="t", explanations=found)
    html = page.read_text(encoding="utf-8")
    assert "<h4>Skeletons</h4>" in html and "data:image/gif;base64," in html
    assert "Frames 1 3: +0.50. Frames 1 2 4: -0.25." in html
    assert html.count("<figure") == 4 + 4  # of the features' evidence, on gray
    insight.draw_explanation(found[2], tmp_path / "a.png")
    # The panel of relations: their frames' places, and what both say together by their number.
    figure, shown = Figure(), Timeline(found[2])
    shown.draw(figure, _pictures.THEMES["dark"])
    relations = figure.axes[shown.titles.index("relations among frames")]
    assert [line.get_xdata().tolist() for line in relations.lines] == [[1, 3], [1, 2, 4]]
    assert [label.get_text() for label in relations.get_yticklabels()] == ["2: +0.50", "3: -0.25"]
