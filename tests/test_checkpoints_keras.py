"""Files of weights that Keras wrote: what fits by name and shape is loaded, the rest is named by layer."""

import zipfile

import keras
import numpy as np
import pytest

import hostile
from keras_actrec import zoo
from keras_actrec.backbones import build
from keras_actrec.checkpoints import load_keras, load_weights
from keras_actrec.errors import UserError


def small(name="hman", classes=3, **arguments):
    return zoo.build(
        name, classes, **{"input_shape": (None, 3, 3, 4), "units": 4, "num_layers": 2, **arguments}
    )


def numbered(model):
    """The model, with the number of the weight in each weight."""
    for number, weight in enumerate(model.weights, 1):
        weight.assign(np.full(weight.shape, number, weight.dtype))
    return model


def save(model, path):
    model.save(path) if path.suffix == ".keras" else model.save_weights(path)
    return path


def values(model):
    return [keras.ops.convert_to_numpy(weight).copy() for weight in model.weights]


@pytest.fixture(params=["model.keras", "model.weights.h5"])
def file(request, tmp_path):
    """A file of `hman`, of each kind."""
    return save(numbered(small()), tmp_path / request.param)


def test_all_is_loaded_into_the_same_model_in_whatever_form_it_was_built(file, tmp_path):
    built = small()
    small().save(tmp_path / "other.keras")
    for model in (built, keras.saving.load_model(tmp_path / "other.keras", compile=False)):
        report = load_keras(model, file)
        for weight, value in zip(model.weights, values(numbered(small())), strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)
        assert (len(report.loaded), report.unused, report.missing, report.lines) == (15, (), (), ())


# Keras numbers the cells of these, and the layers of that backbone, as a process makes them.
@pytest.mark.parametrize(
    "make",
    [
        lambda: small("lstm_attention"),
        lambda: zoo.build("frame_gru", 3, input_shape=(None, 3, 3, 4), units=4),
        lambda: zoo.build(
            "softmax_regression",
            3,
            input_shape=(None, 71, 71, 3),
            backbone=build("xception", weights=None, input_shape=(71, 71, 3), layer="block3_pool"),
        ),
    ],
)
def test_layers_without_a_name_are_found_by_their_order(make, tmp_path):
    numbers = numbered(make())
    model = make()
    report = load_keras(model, save(numbers, tmp_path / "model.keras"))
    assert (report.unused, report.missing) == ((), ())
    for one, other in zip(values(model), values(numbers), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_classifier_of_other_classes_is_left(file):
    model = small(classes=5)
    before = values(model)
    report = load_weights(model, file)
    assert report.classes == (3, 5) and report.lines == ("not taken: classifier (3 classes there, 5 here)",)
    assert report.unused == report.missing == ("classifier/kernel", "classifier/bias")
    for number, (old, new) in enumerate(zip(before, values(model), strict=True), 1):
        np.testing.assert_array_equal(new, old if number > 13 else np.full(old.shape, number))


def test_the_classifier_is_left_where_it_is_not_wanted(file):
    report = load_weights(small(), file, head=False)
    assert report.lines == ("not taken: classifier (3 other classes)",) and len(report.loaded) == 13


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            {"units": 8},
            (
                "not taken, of another shape: temporal/cell/attention/kernel (4x9 there, 8x9 here), "
                "hidden/kernel (8x1024 there, 16x1024 here)",
            ),
        ),
        (
            {"num_layers": 3},
            (
                "not taken, of another shape: temporal/hm_rnn (8 weights there, 12 here), "
                "hidden/kernel (8x1024 there, 12x1024 here)",
            ),
        ),
        (
            {"motion": True},
            (
                "not taken, of another shape: temporal/cell/hm_rnn/kernel_1 (4x20 there, 10x20 here)",
                "not in the file, as it was: motion_scale",
            ),
        ),
        (
            {"attention": "gumbel_constant"},
            ("not taken, of another shape: temporal/attention (3 weights there, 2 here)",),
        ),
    ],
)
def test_another_shape_is_refused_or_left_and_named(file, arguments, lines):
    model = small(**arguments)
    before = values(model)
    with pytest.raises(UserError, match=r"^\S+ does not fit hman: temporal/\S+ is .* there, .* here$"):
        load_weights(model, file)
    for old, new in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(new, old)
    report = load_weights(model, file, partial=True)
    assert report.lines == lines
    assert len(report.loaded) + len(report.missing) == len(before)


def test_layers_of_one_of_the_two_are_left_and_named(file, tmp_path):
    backbone = "efficientnet_lite0:block1_output"
    clips = {"backbone": backbone, "input_shape": (None, 32, 32, 3)}
    features = zoo.build("softmax_regression", 3, input_shape=(None, 16, 16, 16))
    on_clips = zoo.build("softmax_regression", 3, **clips)
    report = load_keras(on_clips, save(features, tmp_path / "features.keras"))
    assert report.lines == ("not in the file, as it was: backbone",) and len(report.missing) == 15
    report = load_keras(features, save(on_clips, tmp_path / "clips.keras"))
    assert report.lines == ("not taken, with no place here: backbone",) and len(report.unused) == 15
    deeper = zoo.build("softmax_regression", 3, **{**clips, "backbone": "efficientnet_lite0:block2_output"})
    (line, *_), most = load_keras(deeper, tmp_path / "clips.keras", partial=True).lines[::-1], 6
    assert line.startswith("not in the file, as it was: backbone/block2a_") and line.count(",") == most
    assert line.endswith(" more")


def test_a_model_of_another_name_is_refused(file):
    with pytest.raises(
        UserError, match="is of hman, whose weights mean something else than those of lstm_at"
    ):
        load_weights(small("lstm_attention"), file)


def test_a_file_of_which_nothing_fits_is_refused_and_changes_nothing(tmp_path):
    file = save(zoo.build("softmax_regression", 3, input_shape=(None, 4)), tmp_path / "model.weights.h5")
    model = zoo.build("softmax_regression", 5, input_shape=(None, 6))
    before = values(model)
    with pytest.raises(UserError, match="does not fit softmax_regression: no layer of the model takes any"):
        load_weights(model, file, partial=True)
    for old, new in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_file_that_is_damaged_or_something_else_is_refused(file, tmp_path):
    half, text = tmp_path / f"half-{file.name}", tmp_path / f"text-{file.name}"
    half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    text.write_text("nothing")
    empty = tmp_path / "empty.keras"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("other", "")
    for path in (half, text, empty):
        with pytest.raises(UserError, match="holds no weights of Keras, or not all of them") as caught:
            load_weights(small(), path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "open_it", [lambda path: load_weights(small(), path), lambda path: build("resnet50", weights=path)]
)
def test_a_text_that_ends_beyond_its_heap_is_refused_and_not_followed(open_it, tmp_path):
    path = save(small(), tmp_path / "a.weights.h5")
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 24 : heap + 32] = b"\xff" * 8  # of its first text: HDF5 never ends
    path.write_bytes(content)
    with hostile.limits(), pytest.raises(UserError, match="its texts are damaged"):
        open_it(path)


def test_a_builder_takes_what_fits_and_warns_of_the_rest(file, tmp_path):
    with pytest.warns(UserWarning, match=r"13 tensors loaded; .* file's has 3 classes, the model's 5\.$"):
        model = small(classes=5, weights=file)
    np.testing.assert_array_equal(values(model)[0], 1)
    torch = pytest.importorskip("torch")
    state = {"conv1_7x7_s2.weight": torch.full((8, 3, 7, 7), 0.5), "new_fc.weight": torch.ones(3, 8)}
    torch.save({"state_dict": state}, tmp_path / "tsn.pth.tar")
    network = {"backbone": "bn_inception:conv1_7x7_s2_bn", "width": 0.125, "input_shape": (2, 32, 32, 3)}
    with pytest.warns(UserWarning, match=r"1 tensors loaded; .* file's has 3 classes, the model's 5\.$"):
        zoo.build("tsn", 5, weights=tmp_path / "tsn.pth.tar", **network)
