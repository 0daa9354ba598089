"""A run that starts from a trained model: what is taken, what is said, and how it goes on."""

import hashlib
import json
import shutil

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import trees
from keras_actrec import checkpoints, training, zoo
from keras_actrec.cli.main import app
from keras_actrec.data import write_synthetic
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

NOTHING = 1e-30  # a learning rate that moves no float32 weight
BACKBONE = "efficientnet_lite0:block1_output"
TRAIN = {"epochs": 2, "batch_size": 100, "learning_rate": 0.01, "workers": 0}
VIDEOS = {
    "model": {"name": "softmax_regression", "backbone": BACKBONE},
    "clip": {"frames": 2, "size": 32, "crop": "none"},
    "train": TRAIN,
}
SKELETONS = {
    "model": {"name": "stacked_rnn", "units": 3, "num_layers": 2, "dropout": 0.5},
    "data": {"dataset": "northwestern_ucla", "split": "view1_view2"},
    "skeleton": {"frames": 4},
    "train": TRAIN,
}


class Stop(Exception):
    pass


def after_an_epoch(stage, done, total, text=""):
    if stage == "epochs" and done == 1:
        raise Stop


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Skeletons of ten classes, and videos of ten others."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "skeletons").mkdir()
    trees.northwestern_ucla(folder / "skeletons", subjects=1, episodes=2)
    write_synthetic(folder / "videos", clips_per_class=2, size=32, frames=8, test_fraction=0.5)
    (folder / "cache").mkdir()
    return folder


def run(data, folder, values, start=None, tell=None, progress=None, **tables):
    values = {**values, **{name: {**values.get(name, {}), **table} for name, table in tables.items()}}
    kind = "skeletons" if "skeleton" in values else "videos"
    return training.train(
        training.parse_recipe(values),
        data / kind,
        folder,
        start=start,
        cache=data / "cache",
        tell=tell,
        progress=progress,
    )


def weights(run):
    return [keras.ops.convert_to_numpy(weight).copy() for weight in run.recognizer.model.weights]


def same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def skeletons(data, tmp_path_factory):
    """A trained run on skeletons."""
    return run(data, tmp_path_factory.mktemp("skeletons"), SKELETONS)


@pytest.fixture(scope="module")
def videos(data, tmp_path_factory):
    """A run on videos whose backbone was trained too."""
    values = {"train": {"train_backbone": True}}
    return run(data, tmp_path_factory.mktemp("videos"), VIDEOS, **values)


def of_other_classes(trained, path, names):
    """The file of a model like that of the skeletons, with weights 0.01, 0.02, ... and for other classes."""
    model = zoo.build("stacked_rnn", len(names), input_shape=(None, 60), units=3, num_layers=2, masked=True)
    for number, weight in enumerate(model.weights, 1):
        weight.assign(np.full(weight.shape, 0.01 * number, "float32"))
    Recognizer(model, names, trained.recognizer.preprocessor).save(path)
    return path


@pytest.mark.parametrize("as_folder", [False, True])
def test_all_weights_of_a_model_of_the_same_classes_are_taken(skeletons, data, tmp_path, as_folder):
    start, told = skeletons.folder if as_folder else skeletons.folder / "model.keras", []
    again = run(data, tmp_path, SKELETONS, start, told.append, train={"epochs": 1, "learning_rate": NOTHING})
    same(weights(again), weights(skeletons))
    assert told == []
    assert again.record["start"] == {
        "file": f"{skeletons.folder.name}/model.keras",
        "sha256": hashlib.sha256((skeletons.folder / "model.keras").read_bytes()).hexdigest(),
        "loaded": 8,
        "not_taken": [],
    }


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (tuple("abcde"), "5 classes there, 10 here"),
        (tuple("abcdefghij"), "10 other classes"),
    ],
)
def test_other_classes_get_a_new_classifier(skeletons, data, tmp_path, names, words):
    start, told = of_other_classes(skeletons, tmp_path / "other.keras", names), []
    found = run(
        data, tmp_path / "run", SKELETONS, start, told.append, train={"epochs": 1, "learning_rate": NOTHING}
    )
    assert told == [f"not taken: classifier ({words})"] == found.record["start"]["not_taken"]
    *body, kernel, bias = weights(found)
    for number, weight in enumerate(body):
        np.testing.assert_allclose(weight, 0.01 * (number + 1), rtol=1e-6)
    assert kernel.shape == (3, 10) and np.ptp(kernel) > 0.1 and np.all(np.abs(bias) < 1e-20)


def test_other_layers_and_widths_are_left_and_named_by_layer(skeletons, data, tmp_path):
    told = []
    found = run(
        data,
        tmp_path,
        SKELETONS,
        skeletons.folder,
        told.append,
        model={"num_layers": 3, "units": 4},
        train={"epochs": 1, "learning_rate": NOTHING},
    )
    assert told == [
        "not taken, of another shape: temporal/cell/kernel (60x9 there, 60x12 here), temporal_2/cell/kernel "
        "(3x9 there, 4x12 here), classifier/kernel (3x10 there, 4x10 here)",
        "not in the file, as it was: temporal_3",
    ]
    assert found.record["start"]["loaded"] == 1  # the classifier's bias
    told.clear()
    run(data, tmp_path / "one", SKELETONS, skeletons.folder, told.append, model={"num_layers": 1})
    assert told == ["not taken, with no place here: temporal_2"]


def test_a_model_of_another_builder_is_refused(videos, data, tmp_path):
    with pytest.raises(UserError, match="is of softmax_regression, and the recipe trains stacked_rnn: start"):
        run(data, tmp_path, SKELETONS, videos.folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("until", ["efficientnet_lite0:block1_output", "efficientnet_lite0:stem_bn"])
def test_of_another_builder_the_backbone_alone_is_taken_up_to_the_layer_that_is_asked_for(
    videos, data, tmp_path, until
):
    told, values = [], {**VIDEOS, "model": {"name": "frame_pool", "normalize": False, "backbone": until}}
    found = run(data, tmp_path, values, videos.folder, told.append, train={"learning_rate": NOTHING})
    theirs, ours = (zoo.backbone(each.recognizer.model).network for each in (videos, found))
    assert len(ours.layers) <= len(theirs.layers) and ours.weights
    for layer in ours.layers:
        same(layer.get_weights(), theirs.get_layer(layer.name).get_weights())
    fresh = zoo.backbone(training.prepare.build_model(training.parse_recipe(values), 10)[0]).network
    kernel = next(each for each in fresh.layers if each.weights).name
    assert np.any(fresh.get_layer(kernel).get_weights()[0] != ours.get_layer(kernel).get_weights()[0])
    assert "not in the file, as it was: classifier" in told


def test_the_backbone_of_a_network_over_clips_is_taken_for_a_frozen_one(data, tmp_path):
    tsn, softmax = (
        {**VIDEOS, "model": {"name": name, "backbone": BACKBONE}, "train": {**TRAIN, "epochs": 1}}
        for name in ("tsn", "softmax_regression")
    )
    told, trained = [], run(data, tmp_path / "tsn", tsn)
    found = run(data, tmp_path / "softmax", softmax, trained.folder, told.append)
    ours = [each for each in zoo.backbone(found.recognizer.model).network.layers if each.weights]
    for layer in ours:
        same(layer.get_weights(), trained.recognizer.model.get_layer(layer.name).get_weights())
    assert len(ours) >= 4 and "not in the file, as it was: classifier" in told


def test_a_model_of_which_nothing_fits_is_refused(skeletons, data, tmp_path):
    start = of_other_classes(skeletons, tmp_path / "other.keras", ("a", "b"))
    with pytest.raises(UserError, match="other.keras does not fit stacked_rnn: no layer of the model takes"):
        run(data, tmp_path / "run", SKELETONS, start, model={"units": 5})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no.keras", "no.keras does not exist: start from a model.keras, its run directory, or a torch file"),
        (".", "model.keras does not exist: start from"),
        ("notes.txt", "`weights` must be a .weights.h5, .keras, .pth, .pt or .pth.tar file"),
        ("damaged.keras", "damaged.keras is not a .keras file, or not a whole one"),
    ],
)
def test_a_start_that_cannot_be_read_is_refused(skeletons, data, tmp_path, name, words):
    (tmp_path / "notes.txt").touch()
    whole = (skeletons.folder / "model.keras").read_bytes()
    (tmp_path / "damaged.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=words):
        run(data, tmp_path / "run", SKELETONS, tmp_path / name)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("train_backbone", [False, True])
def test_a_backbone_is_taken_whether_it_is_trained_or_frozen(videos, data, tmp_path, train_backbone, policy):
    table = {"train_backbone": train_backbone, "mixed_precision": policy, "learning_rate": NOTHING}
    found = run(data, tmp_path, VIDEOS, videos.folder, train={**table, "epochs": 1})
    moved = 0
    for before, after in zip(videos.recognizer.model.weights, found.recognizer.model.weights, strict=True):
        if not (train_backbone and before.name.startswith("moving")):  # statistics move at any rate
            same([keras.ops.convert_to_numpy(before)], [keras.ops.convert_to_numpy(after)])
        moved += 1
    assert moved == 17


KINDS = {
    "skeletons": (SKELETONS, {}),
    "a frozen backbone": (VIDEOS, {}),
    "a trained backbone": (VIDEOS, {"train": {"train_backbone": True}}),
    "half precision": (VIDEOS, {"train": {"mixed_precision": "mixed_bfloat16"}}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_stopped_ends_with_the_same_bits(kind, skeletons, videos, data, tmp_path, monkeypatch):
    values, tables = KINDS[kind]
    start = skeletons.folder if values is SKELETONS else videos.folder
    whole = run(data, tmp_path / "whole", values, start, **tables)
    with pytest.raises(Stop):
        run(data, tmp_path / "run", values, start, progress=after_an_epoch, **tables)
    begun = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["start"]
    told, loads = [], []
    load = checkpoints.load_weights
    monkeypatch.setattr(checkpoints, "load_weights", lambda *a, **k: loads.append(a) or load(*a, **k))
    resumed = run(data, tmp_path / "run", values, start, told.append, **tables)
    same(weights(resumed), weights(whole))
    assert told == [] and resumed.record["start"] == begun == whole.record["start"]
    # The checkpoint has all but a frozen backbone.
    assert len(loads) == (kind in ("a frozen backbone", "half precision"))


def test_a_run_does_not_go_on_with_another_start(skeletons, data, tmp_path):
    other = of_other_classes(skeletons, tmp_path / "other.keras", ("a", "b"))
    for folder, start in (("with", skeletons.folder), ("without", None)):
        with pytest.raises(Stop):
            run(data, tmp_path / folder, SKELETONS, start, progress=after_an_epoch)
    began = f"holds a run that started from {skeletons.folder.name}/model.keras, so --from must be as then"
    for start in (other, None):
        with pytest.raises(UserError, match=began):
            run(data, tmp_path / "with", SKELETONS, start)
    with pytest.raises(UserError, match="holds a run that did not start from another model, so --from must"):
        run(data, tmp_path / "without", SKELETONS, other)
    copy = shutil.copy(skeletons.folder / "model.keras", tmp_path / "copy.keras")
    assert run(data, tmp_path / "with", SKELETONS, copy).record["last_epoch"]
    assert run(data, tmp_path / "with", SKELETONS, copy).was_finished


def test_the_command_starts_from_a_model_and_says_what_it_did_not_take(skeletons, data, tmp_path):
    start = of_other_classes(skeletons, tmp_path / "other.keras", ("a", "b"))
    recipe = training.parse_recipe({**SKELETONS, "train": {**TRAIN, "epochs": 1}})
    (tmp_path / "mine.toml").write_text(recipe.to_toml(), encoding="utf-8")
    command = ["train", tmp_path / "mine.toml", "--data", data / "skeletons", "--out", tmp_path / "run"]
    done = CliRunner().invoke(app, [str(each) for each in [*command, "--from", start]])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "not taken: classifier (2 classes there, 10 here)"


def test_a_torch_checkpoint_is_a_start(data, tmp_path):
    torch = pytest.importorskip("torch")
    model = {"name": "tsn", "backbone": "bn_inception:conv1_7x7_s2_bn", "width": 0.125}
    state = {
        "base_model.conv1_7x7_s2.weight": torch.full((8, 3, 7, 7), 0.5),
        "new_fc.weight": torch.ones(3, 8),
    }
    torch.save({"state_dict": state}, tmp_path / "tsn.pth.tar")
    values, told = {**VIDEOS, "model": model}, []
    found = run(
        data,
        tmp_path / "run",
        values,
        tmp_path / "tsn.pth.tar",
        told.append,
        train={"epochs": 1, "learning_rate": NOTHING},
    )
    np.testing.assert_array_equal(found.recognizer.model.get_layer("conv1_7x7_s2").get_weights()[0], 0.5)
    assert told[0] == "not taken: classifier (3 classes there, 10 here)"
    assert told[1].startswith("not in the file, as it was: conv1_7x7_s2")
    assert found.record["start"]["file"].endswith("/tsn.pth.tar")
