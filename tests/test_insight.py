"""The trace of a clip against NumPy, and the report page."""

import base64
import io
import os
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from keras_actrec import zoo
from keras_actrec.data.preprocessors import Original
from keras_actrec.data.transforms import Region
from keras_actrec.errors import UserError
from keras_actrec.insight import Explanation, _overlay, _pictures, explain, write_report
from keras_actrec.insight._clips import films
from keras_actrec.insight._timeline import Timeline, times_of
from keras_actrec.layers import AttentionCell, AttentiveRNN, GumbelHardAttention, HMRNNCell, SoftAttention
from pages import Page


class FakeRecognizer:
    """Has what `explain` asks of a recognizer, and frames instead of a file."""

    def __init__(self, model, frames, mask=None, class_names=("run", "jump", "fall")):
        self.model, self.frames, self.class_names = model, frames, class_names
        self.spec = TINY if model.name == "tiny" else zoo.spec(model)
        self.mask = np.ones(len(frames), bool) if mask is None else np.array(mask)
        self.preprocessor = SimpleNamespace(files="videos", name="clip", original=self.original, num_views=1)

    def original(self, path, crop):
        return Original(self.frames, Region(0, 0, *self.frames.shape[1:3]), None, self.frames, self.mask)

    def batch(self, frames, mask):
        if not isinstance(self.model.input, dict):
            return frames[None]
        return {"clip": frames[None], "mask": mask[None]}


# Of `tiny_model`, which is none of the zoo's.
TINY = zoo.ModelSpec("tiny", "clip", per_step=True, trace=("attention", "boundaries", "temperature"))


def clip(frames, size=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, size, size, 3), dtype="uint8")


def tiny_model(masked=False, cell=None, width=2):
    """Frames of 2 x 2 pixels -> soft attention over the pixels -> a tanh cell of 5 units -> 3 classes."""
    inputs = keras.Input((None, 2, width, 3), name="clip")
    mask = keras.Input((None,), dtype="bool", name="mask") if masked else None
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Reshape((-1, 2 * width, 3))(x)
    if cell is None:
        cell = AttentionCell(SoftAttention(), keras.layers.SimpleRNNCell(5, bias_initializer="random_normal"))
    x = AttentiveRNN(cell, return_sequences=True, return_trace=True, name="temporal")(x, mask=mask)["output"]
    x = keras.layers.Dense(3, activation="softmax", name="classifier")(x)
    x = keras.layers.GlobalAveragePooling1D(name="average")(x, mask=mask)
    return keras.Model({"clip": inputs, "mask": mask} if masked else inputs, x, name="tiny")


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def by_hand(model, frames):
    """Attention (T, 4) and probabilities (T, 3) of `tiny_model`, step by step."""
    values = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
    logits = next(v for v in values.values() if v.shape == (5, 4))
    kernel, recurrent = (next(v for v in values.values() if v.shape == shape) for shape in ((3, 5), (5, 5)))
    bias = next(v for v in values.values() if v.shape == (5,))
    dense, offset = model.get_layer("classifier").get_weights()
    h, attention, steps = np.zeros(5), [], []
    for pixels in frames.reshape(-1, 4, 3) / 255:
        attention.append(softmax(h @ logits))
        h = np.tanh(attention[-1] @ pixels @ kernel + h @ recurrent + bias)
        steps.append(softmax(h @ dense + offset))
    return np.array(attention), np.array(steps)


def test_attention_and_probabilities_are_those_of_numpy():
    model, frames = tiny_model(), clip(6)
    attention, steps = by_hand(model, frames)
    assert np.ptp(attention) > 1e-3
    found = explain(FakeRecognizer(model, frames), "a.mp4")
    np.testing.assert_allclose(found.attention[:, 0, 1], attention[:, 1], atol=1e-5)  # row 0, column 1
    np.testing.assert_allclose(found.attention.reshape(6, 4), attention, atol=1e-5)
    np.testing.assert_allclose(found.steps, steps, atol=1e-5)
    np.testing.assert_allclose(found.scores, steps.mean(0), atol=1e-5)


def test_the_label_is_the_class_with_the_highest_score():
    model, frames = tiny_model(), clip(6)
    scores = by_hand(model, frames)[1].mean(0)
    found = explain(FakeRecognizer(model, frames), "a.mp4")
    assert found.label == ("run", "jump", "fall")[scores.argmax()]
    assert found.score == pytest.approx(scores.max(), abs=1e-5)


def test_padding_changes_nothing_of_what_counts():
    model, frames = tiny_model(masked=True), clip(6)
    attention, steps = by_hand(model, frames[:4])
    found = explain(FakeRecognizer(model, frames, mask=[True] * 4 + [False] * 2), "a.mp4")
    np.testing.assert_array_equal(found.mask, [1, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(found.attention.reshape(6, 4)[:4], attention, atol=1e-5)
    np.testing.assert_allclose(found.steps[:4], steps, atol=1e-5)
    np.testing.assert_allclose(found.scores, steps.mean(0), atol=1e-5)


def test_boundaries_and_temperature_are_those_of_the_layers():
    # Without kernels the biases decide: a detector fires at bias >= 0, tau = 1 / (softplus(bias) + 1).
    cell = HMRNNCell(4, num_layers=2, boundary="units")
    model = tiny_model(cell=AttentionCell(GumbelHardAttention(), cell))
    for weight in model.get_layer("temporal").weights:
        weight.assign(np.zeros(weight.shape))
        if weight.name.startswith("bias_"):
            detectors = {"bias_1": [1, 1, 1, -1], "bias_2": [-1, 1, -1, -1]}[weight.name]
            weight.assign(np.array([0] * 16 + detectors))
        if weight.name == "temperature_bias":
            weight.assign(np.array([0.5]))
        if weight.name == "temperature":  # the boundaries'
            weight.assign(0.3)
    found = explain(FakeRecognizer(model, clip(5)), "a.mp4")
    np.testing.assert_allclose(found.boundaries, [[0.75, 0.25]] * 5)
    np.testing.assert_allclose(found.temperature, [1 / (np.log(1 + np.exp(0.5)) + 1)] * 5, atol=1e-6)
    np.testing.assert_array_equal(np.sort(found.attention.reshape(5, 4)), [[0, 0, 0, 1]] * 5)


def test_what_a_model_does_not_have_is_none():
    found = explain(FakeRecognizer(tiny_model(), clip(3)), "a.mp4")
    assert found.boundaries is None and found.temperature is None


def test_a_model_is_explained_with_the_weights_it_has_now():
    model, frames = tiny_model(), clip(3)
    explain(FakeRecognizer(model, frames), "a.mp4")
    classifier = model.get_layer("classifier")
    classifier.set_weights([np.zeros((5, 3)), np.log([0.2, 0.5, 0.3])])
    found = explain(FakeRecognizer(model, frames), "a.mp4")
    np.testing.assert_allclose(found.steps, [[0.2, 0.5, 0.3]] * 3, atol=1e-6)


def test_a_model_of_ones_own_with_nothing_to_show_is_refused():
    inputs = keras.Input((None, 2, 2, 3), name="clip")
    x = keras.layers.GlobalAveragePooling3D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x), name="silent")
    with pytest.raises(UserError, match="`silent` has nothing to explain: no attention, gates, feature maps"):
        explain(FakeRecognizer(model, clip(4)), "a.mp4")


def test_locations_that_are_no_square_are_refused():
    with pytest.raises(UserError, match="`tiny` looks at 6 locations, which are no square"):
        explain(FakeRecognizer(tiny_model(width=3), np.zeros((4, 2, 3, 3), "uint8")), "a.mp4")


def test_a_true_label_that_is_no_class_is_refused():
    with pytest.raises(UserError, match="one of run, jump, fall. Received: true_label='swim'"):
        explain(FakeRecognizer(tiny_model(), clip(3)), "a.mp4", true_label="swim")


# The page. Its examples are made here: 3 classes, T steps, hard attention on one cell of 4 x 4.


def example(steps=8, cell=(1, 2), path="jump/a.mp4", true_label="jump", label="jump", padding=0, names=None):
    names = names or ("run", "jump", "fall")
    attention = np.zeros((steps, 4, 4))
    attention[:, cell[0], cell[1]] = 1
    probabilities = np.full((steps, len(names)), 0.2)
    probabilities[:, names.index(label)] = 0.6
    return Explanation(
        path=path,
        frames=np.zeros((steps, 32, 32, 3), "uint8"),
        mask=np.arange(steps) < steps - padding,
        attention=attention,
        boundaries=np.linspace(0, 1, 2 * steps).reshape(steps, 2),
        temperature=np.linspace(0.4, 0.6, steps),
        steps=probabilities,
        scores=probabilities.mean(0),
        class_names=names,
        true_label=true_label,
        model_name="hman",
    )


def test_where_no_place_spoke_the_frames_are_there_as_they_are():
    clip = example(steps=3)
    silent = replace(clip, attention=None, evidence=np.zeros((3, 4, 4)))
    names = [(film.name, len(film.frames)) for film in films(silent)]
    assert names == [("frames", 3), ("evidence: no place spoke for the answer", 0)]
    looked = replace(clip, evidence=np.zeros((3, 4, 4)))
    names = [(film.name, len(film.frames)) for film in films(looked)]
    assert names == [("attention", 3), ("evidence: no place spoke for the answer", 0)]


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Writes a report and reads it as `Page`. Drawing takes long, so most tests see one picture for all."""
    small = _pictures._png(Figure(figsize=(1, 1)))

    def write(title="Report", drawn=False, **what):
        if not drawn:
            monkeypatch.setattr(_pictures, "_png", lambda figure, **how: small)
        path = write_report(tmp_path / "report.html", title=title, **what)
        return Page(path.read_text(encoding="utf-8"))

    return write


def pixels(uri):
    assert uri.startswith("data:image/png;base64,")
    return imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])), format="png")


def test_the_page_needs_nothing_from_outside(page, tmp_path):
    found = page(drawn=True, explanations=[example()])
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        assert "href" not in attributes
        for name in {"src", "srcset"} & set(attributes):
            assert re.match("data:image/(png|jpeg);base64,", attributes[name])
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import", html)
    assert [policy["content"] for policy in found.of("meta") if "http-equiv" in policy] == [
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    ]


def test_the_page_is_well_formed(page):
    found = page(explanations=[example(), example(label="run"), example(true_label=None)])
    assert found.broken == [] and found.open == []


def test_every_picture_has_a_text(page):
    pictures = page(explanations=[example()]).of("img")
    assert len(pictures) == 1 + 8
    assert all(picture["alt"] for picture in pictures)
    assert "Probability of jump: 0.60 0.60" in pictures[0]["alt"]
    assert pictures[1]["alt"] == "Frame at step 1. Most attention in row/column 2/3 of 4 x 4 cells."


def test_what_others_wrote_is_escaped(page):
    evil = "<script>alert(1)</script>"
    names = (evil, "a & b", "$\\frac{$")
    found = page(
        title=evil,
        drawn=True,  # pictures must not take $ for a formula
        explanations=[example(path=f"{evil[:8]}.mp4", names=names, true_label=evil, label="a & b")],
    )
    assert found.of("script") == []
    assert found.broken == [] and found.open == []
    assert found.text.count(evil) >= 4 and "<script>.mp4" in found.text


def test_a_file_name_that_is_no_text_does_not_stop_the_page(page):
    name = os.fsdecode(b"\xff.mp4")
    assert "\\udcff.mp4" in page(explanations=[example(path=name)]).text


@pytest.mark.parametrize(
    "label, words",
    [
        ("jump", "✓ Right true label jump, predicted jump, score 60.0%"),
        ("fall", "✗ Wrong true label jump, predicted fall, score 60.0%"),
    ],
)
def test_the_title_of_a_clip_says_in_words_whether_it_was_right(page, label, words):
    assert words in " ".join(page(explanations=[example(label=label)]).text.split())


def test_a_clip_of_unknown_class_is_neither_right_nor_wrong(page):
    text = page(explanations=[example(true_label=None)]).text
    assert "Predicted jump, score 60.0%" in text
    assert "Right" not in text and "Wrong" not in text


@pytest.mark.parametrize("steps, shown", [(1, 1), (24, 24), (60, 24)])
def test_a_film_has_at_most_24_frames_from_the_first_to_the_last(page, steps, shown):
    found = page(explanations=[example(steps)])
    numbers = [int(number) for number in re.findall(r"step (\d+) ", found.text)]
    assert len(numbers) == shown and numbers[0] == 1 and numbers[-1] == steps
    assert numbers == sorted(set(numbers))


def test_frames_have_their_times_and_the_page_names_the_five_best_classes(page):
    names = tuple("abcdefgh")
    scores = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.04, 0.03])
    explanation = replace(
        example(3, names=names, label="a", true_label="h"), scores=scores, seconds=np.array([0.0, 0.5, 1.25])
    )
    found = page(explanations=[explanation])
    text = " ".join(found.text.split())
    assert "0.00 s 0.50 s 1.25 s" in text
    assert "● a 30.0%" in text and "▼ e 10.0%" in text and "✚ h (true, rank 8) 3.0%" in text
    assert "f" not in [name for name, _ in explanation.best()] and "6.0%" not in text


def test_the_legend_says_times_where_there_are_some(page):
    timed, still = (replace(example(), seconds=seconds) for seconds in (np.arange(8.0), np.zeros(8)))
    for shown, words in (
        ([timed], "with their times."),
        ([still], "with their numbers."),
        ([timed, still], "with their times or their numbers."),
    ):
        assert f"As they are in the video, {words}" in page(explanations=shown).text


def test_the_outline_leaves_what_lies_around_a_cell_of_a_small_frame():
    shown = example()  # a cell of 8 x 8 pixels in 32 x 32
    (layer,) = _overlay.layers_of(shown)
    image = _overlay.draw_on(shown, layer, 0).astype(int)
    pink = (np.abs(image - (255, 43, 214)) < 12).all(-1)
    assert pink.sum() == 4 * 7 and pink[8, 16:24].all() and pink[15, 16:24].all()


def test_a_small_frame_is_enlarged_pixel_by_pixel():
    image = np.random.default_rng(0).integers(0, 256, (30, 48, 3), dtype="uint8")
    uri, width, height = _overlay.jpeg(image)
    assert (width, height) == (240, 150)
    content = np.frombuffer(base64.b64decode(uri.partition(",")[2]), "uint8")
    assert cv2.imdecode(content, 1).shape == (150, 240, 3)
    assert _overlay.jpeg(np.zeros((90, 201, 3), "uint8"))[1:] == (201, 90)


@pytest.mark.parametrize("views, words", [(1, None), (6, "averages 6 views"), (None, "averages several")])
def test_an_answer_to_one_of_several_views_says_so(page, views, words):
    text = " ".join(page(explanations=[replace(example(), views=views)]).text.split())
    assert ("to this view alone; predict " + words in text) if words else ("view alone" not in text)


def test_padding_is_not_drawn(page):
    found = page(explanations=[example(6, padding=2)])
    assert [image["alt"][:16] for image in found.of("img")[1:]] == [
        f"Frame at step {number}." for number in (1, 2, 3, 4)
    ]
    assert "in 4 steps; 2 more of padding are left out." in found.text


def test_the_time_line_draws_the_numbers_of_the_explanation():
    explanation = replace(example(8, label="fall"), seconds=np.linspace(0.25, 2, 8))
    figure, shown = Figure(), Timeline(explanation)
    shown.draw(figure, _pictures.THEMES["light"])
    boundaries, temperature, probability = figure.axes
    heights = [patch.get_data().values for patch in boundaries.patches]
    np.testing.assert_allclose(heights[0], 0.85 * explanation.boundaries[:, 0])
    np.testing.assert_allclose(heights[1], 1 + 0.85 * explanation.boundaries[:, 1])
    np.testing.assert_array_equal(temperature.lines[0].get_ydata(), explanation.temperature)
    lines = {line.get_label(): line for line in probability.lines[1:]}
    assert set(lines) == {"run", "jump", "fall"}
    np.testing.assert_array_equal(lines["fall"].get_ydata(), explanation.steps[:, 2])
    np.testing.assert_array_equal(lines["fall"].get_xdata(), explanation.seconds)
    assert probability.get_xlim() == (0.125, 2.125) and probability.get_xlabel() == "seconds"


def test_each_layer_has_the_share_of_its_units_that_did_each_thing():
    boundaries = np.array([[1, 0.5], [0, 0.25], [0.5, 0]])
    updates = np.array([[1, 0.75], [0, 0.25], [1, 0.5]])
    explanation = replace(
        example(3), boundaries=boundaries, updates=updates, mask=np.ones(3, bool), temperature=None
    )
    # FLUSH is the boundary of the step before, COPY what is left.
    expected = [[[1, 0, 0], [0.75, 0.25, 0]], [[0, 0, 1], [0.25, 0.25, 0.5]], [[1, 0, 0], [0.5, 0.25, 0.25]]]
    np.testing.assert_allclose(explanation.operations, expected)
    figure, shown = Figure(), Timeline(explanation)
    shown.draw(figure, _pictures.THEMES["light"])
    assert shown.titles == ["what each layer did", "probability"]
    tops = [patch.get_data().values for patch in figure.axes[0].patches]
    np.testing.assert_allclose(tops[4], 1 + 0.85 * (explanation.operations[:, 1, :2].sum(-1)))
    assert replace(explanation, updates=None).operations is None


def test_times_that_do_not_rise_are_no_axis():
    looped = replace(example(4), seconds=np.array([0.0, 1.0, 0.0, 1.0]))
    at, unit = times_of(looped)
    assert unit == "step" and at.tolist() == [1, 2, 3, 4]


def test_an_interrupted_write_leaves_the_old_page(tmp_path, monkeypatch):
    path = tmp_path / "new" / "report.html"
    write_report(path, title="old", explanations=[example()])
    before = path.read_bytes()

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_report(path, title="new", explanations=[example()])
    assert path.read_bytes() == before


def test_nothing_to_report_is_refused(tmp_path):
    with pytest.raises(UserError, match="a report needs `evaluations`, `explanations` or both"):
        write_report(tmp_path / "report.html", title="empty")


@pytest.mark.parametrize("name", ["matplotlib", "jinja2"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"needs the extra `viz`: pip install 'keras_actrec\[viz\]'"):
        write_report(tmp_path / "report.html", title="no", explanations=[example()])
    assert list(tmp_path.iterdir()) == []
