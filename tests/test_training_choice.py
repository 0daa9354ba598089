"""Training without a recipe: what is chosen for data of every shape, and that it trains."""

import tomllib

import numpy as np
import pytest
from typer.testing import CliRunner

import trees
from keras_actrec import training
from keras_actrec.cli.main import app
from keras_actrec.data import write_pose
from keras_actrec.errors import UserError
from keras_actrec.training import Facts, choose, look, parse_recipe, read_recipe

SHAPES = {
    "4 clips": Facts("videos", (1, 1), (60,) * 4, 30.0, found=4, validated=False),
    "60 clips": Facts("videos", (15, 15, 15), (75,) * 60, 25.0, found=60),
    "10,000 clips": Facts("videos", (75,) * 100, (250,) * 10_000, 25.0, found=10_000),
    "200 classes": Facts("videos", (6,) * 200, (90,) * 1600, 30.0, found=1600),
    "half a second": Facts("videos", (30, 30), (15,) * 80, 30.0, found=80),
    "ten minutes": Facts("videos", (20, 20), (18_000,) * 54, 30.0, found=54),
    "three frames": Facts("videos", (9, 9), (3,) * 24, 25.0, found=24),
    "frame folders": Facts("videos", (30, 30), (40,) * 80, 0.0, found=80),
    "uneven": Facts("videos", (10, 40), (75,) * 66, 25.0, found=66),
    "a GPU": Facts("videos", (15, 15), (75,) * 40, 25.0, found=40, gpu=True),
    "damaged": Facts("videos", (15, 15), (75,) * 40, 25.0, bad=2, found=42),
    "splits": Facts("videos", (15, 15), (75,) * 40, 25.0, found=40, splits=("test", "train")),
    "all splits": Facts("videos", (15, 15), (75,) * 40, 25.0, splits=("test", "train", "validation")),
    "folds": Facts("videos", (15, 15), (75,) * 40, 25.0, found=40, folds=("0", "1"), grouped=True),
    "joints": Facts("poses", (15, 15), (80,) * 40, 0.0, found=40, depth=True),
    "features": Facts("features", (84,) * 12, (16,) * 1980, 0.0, found=1980, grouped=True),
    "flat joints": Facts("poses", (15, 15), (10,) * 40, 0.0, found=40),
    "a body": Facts("poses", (15, 15), (80,) * 40, 0.0, found=40, depth=True, layout="mediapipe33"),
    "two flat bodies": Facts("poses", (15, 15), (80,) * 40, 0.0, found=40, layout="openpose25", persons=2),
}


@pytest.mark.no_backend
@pytest.mark.parametrize("minutes", [1, 15, 600])
@pytest.mark.parametrize("facts", SHAPES.values(), ids=SHAPES)
def test_what_is_chosen_is_a_recipe_with_a_reason_for_each_value(facts, minutes):
    choice = choose(facts, minutes=minutes)
    recipe = parse_recipe(choice.values)
    assert parse_recipe(tomllib.loads(choice.to_toml())) == recipe
    for name, reason in choice.reasons.items():
        table, key = name.split(".")
        assert reason and f"{key} = " in choice.to_toml() and key in choice.values[table]
    assert 2 <= recipe.train.batch_size <= max(2, facts.clips)
    assert recipe.train.epochs >= 1 and recipe.train.warmup_epochs < recipe.train.epochs
    if recipe.clip:
        assert recipe.clip.frames * recipe.clip.frame_step <= max(2, max(facts.frames))


SEEN_OF_A_BODY = ["joints", "bones", "velocities", "bone_velocities", "distances"]


# By hand from the table at the head of training/choice.py.
@pytest.mark.no_backend
@pytest.mark.parametrize(
    "shape, expected",
    [
        ("4 clips", {"train.keep": "last", "train.batch_size": 2, "train.epochs": 200}),
        ("60 clips", {"train.batch_size": 8, "train.epochs": 150, "clip.frame_step": 2, "clip.frames": 24}),
        ("60 clips", {"train.keep": "last", "clip.size": 112}),
        ("10,000 clips", {"data.validation_fraction": 0.15, "train.keep": "best"}),
        ("10,000 clips", {"train.batch_size": 64, "train.epochs": 8}),
        ("200 classes", {"train.batch_size": 32, "train.epochs": 24}),
        ("half a second", {"clip.frame_step": 1, "clip.frames": 15}),
        ("ten minutes", {"clip.frame_step": 75, "clip.frames": 24}),
        ("three frames", {"clip.frame_step": 1, "clip.frames": 3}),
        ("frame folders", {"clip.frame_step": 1, "clip.frames": 24}),
        ("uneven", {"train.class_weights": "balanced"}),
        ("a GPU", {"clip.size": 224}),
        ("splits", {"train.keep": "last"}),
        ("all splits", {"train.keep": "best"}),
        ("folds", {"data.test_fold": "0"}),
        ("joints", {"model.name": "stacked_rnn", "skeleton.frames": 80, "skeleton.center": 0}),
        ("joints", {"skeleton.streams": ["joints", "velocities"], "skeleton.rotation": 35.0}),
        ("a body", {"skeleton.layout": "mediapipe33", "skeleton.align": True, "skeleton.view": 45.0}),
        ("a body", {"skeleton.streams": SEEN_OF_A_BODY, "skeleton.bodies": 1}),
        ("two flat bodies", {"skeleton.streams": SEEN_OF_A_BODY, "skeleton.bodies": 2}),
        ("features", {"model.name": "stacked_rnn", "features.frames": 8, "data.dataset": "features"}),
        ("flat joints", {"data.dataset": "poses", "skeleton.frames": 20}),
    ],
)
def test_values_follow_from_the_data(shape, expected):
    values = choose(SHAPES[shape], minutes=600).values
    assert {name: values[name.split(".")[0]][name.split(".")[1]] for name in expected} == expected


@pytest.mark.no_backend
def test_what_the_data_does_not_need_is_not_chosen():
    assert "validation_fraction" not in choose(SHAPES["4 clips"]).values["data"]
    assert "validation_fraction" not in choose(SHAPES["all splits"]).values["data"]
    assert "class_weights" not in choose(SHAPES["60 clips"]).values["train"]
    assert "test_fraction" not in choose(SHAPES["splits"]).values["data"]
    assert "center" not in choose(SHAPES["a body"]).values["skeleton"]
    for flat_or_unknown in ("joints", "flat joints", "two flat bodies"):
        assert not {"align", "view"} & choose(SHAPES[flat_or_unknown]).values["skeleton"].keys()


@pytest.mark.no_backend
def test_a_graph_has_the_bones_of_the_data():
    values = choose(SHAPES["two flat bodies"], model="st_gcn").values
    assert (values["model"]["layout"], values["model"]["bodies"]) == ("openpose25", 2)
    assert (values["skeleton"]["layout"], values["skeleton"]["bodies"]) == ("openpose25", 2)
    parse_recipe(values)
    with pytest.raises(UserError, match="st_gcn/own must know whose joints .* poses.toml"):
        choose(SHAPES["joints"], model="st_gcn")
    with pytest.raises(UserError, match="st_gcn/own does not take features"):
        choose(SHAPES["features"], model="st_gcn")


def test_a_passer_by_in_one_of_forty_files_is_no_second_person(tmp_path):
    for number in range(40):
        joints = np.full((9, 1, 5, 2), 300.0 + number)
        write_pose(tmp_path / trees.CLASSES[number % 2] / f"{number}.npz", joints)
    assert look(tmp_path).persons == 1
    two = np.full((9, 2, 5, 2), 300.0) + [[[[0]], [[90]]]]
    write_pose(tmp_path / trees.CLASSES[0] / "0.npz", two)
    assert look(tmp_path).persons == 1
    write_pose(tmp_path / trees.CLASSES[1] / "1.npz", two)
    assert look(tmp_path).persons == 2


@pytest.mark.no_backend
def test_less_time_means_fewer_epochs_and_fewer_frames():
    times = (0.5, 5, 50, 500)
    choices = [choose(SHAPES["10,000 clips"], minutes=minutes).values for minutes in times]
    epochs = [values["train"]["epochs"] for values in choices]
    steps = [values["clip"]["frame_step"] for values in choices]
    assert epochs == sorted(epochs) and steps == sorted(steps, reverse=True) and steps[0] > steps[-1]


@pytest.mark.no_backend
def test_longer_sequences_take_longer():
    short, long = (Facts("poses", (900,) * 10, (frames,) * 9000, 0.0, found=9000) for frames in (20, 80))
    assert choose(short, minutes=3).values["train"]["epochs"] == 5  # 180 s at 9000 x 20 x 0.0002 s an epoch
    assert choose(long, minutes=3).values["train"]["epochs"] == 1
    assert "20 frames in the middle: about 3 min" in choose(short, minutes=3).summary


@pytest.mark.no_backend
@pytest.mark.parametrize("model", ["hman", "gsm", "strn", "cham"])
def test_a_model_can_be_named(model):
    values = choose(SHAPES["60 clips"], model=model).values
    assert values["model"]["name"] == model
    parse_recipe(values)


@pytest.mark.no_backend
@pytest.mark.parametrize("model", ["hman", "eleatt_rnn", "frame_gru", "cham"])
def test_a_model_behind_a_backbone_takes_features_without_it(model):
    values = choose(SHAPES["features"], model=model).values
    assert not {"backbone", "pixels"} & values["model"].keys() and "clip" not in values
    parse_recipe(values)


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "shape, recipe", [("60 clips", "videos"), ("features", "features"), ("joints", "own")]
)
def test_a_model_may_have_a_recipe_for_each_kind_of_files(shape, recipe):
    for model in ("stacked_rnn", "eleatt_rnn"):
        values = choose(SHAPES[shape], model=model).values
        expected = read_recipe(f"{model}/{recipe}").model
        assert values["model"] == expected.model_dump(exclude_none=True)


@pytest.mark.no_backend
def test_what_cannot_be_chosen_for_is_refused():
    with pytest.raises(UserError, match="gsm/own does not take poses: choose another model"):
        choose(SHAPES["joints"], model="gsm")
    with pytest.raises(UserError, match="gsm/own does not take features"):
        choose(SHAPES["features"], model="gsm")
    with pytest.raises(UserError, match="hmann.*did you mean 'hman'"):
        choose(SHAPES["60 clips"], model="hmann")
    with pytest.raises(UserError, match="`minutes` must be above 0, at most 100000. Received: minutes=0"):
        choose(SHAPES["60 clips"], minutes=0)


@pytest.mark.parametrize(
    "tree, expected",
    [
        # Of 8 clips a class a quarter is for the test.
        (trees.folder, {"kind": "videos", "counts": (6, 6), "fps": 10.0, "splits": (), "folds": ()}),
        (trees.splits, {"kind": "videos", "counts": (6, 6, 6), "splits": ("test", "train"), "grouped": True}),
        (trees.features, {"kind": "features", "counts": (6, 6, 6), "splits": ("test", "train")}),
        (trees.poses, {"kind": "poses", "counts": (6, 6), "fps": 0.0, "depth": False}),
    ],
)
def test_the_facts_are_those_of_the_data(tree, expected, tmp_path):
    facts = look(tree(tmp_path), audit=tmp_path / "audit.json")
    assert {name: getattr(facts, name) for name in expected} == expected
    assert facts.found == len(facts.frames) == 8 * len(facts.counts) and facts.bad == 0


def test_folds_are_found_and_the_first_one_is_for_the_test(tmp_path):
    facts = look(trees.folds(tmp_path) / "index.csv")
    assert (facts.folds, facts.counts, facts.grouped) == (("0", "1", "2"), (4, 4), True)


def test_sequences_that_are_cut_out_of_videos_are_as_long_as_they_are_and_stay_together(tmp_path):
    rows = ["path,label,start,stop"]
    for clip in range(4):
        trees.video(tmp_path / f"{clip}.mp4", clip % 2)
        rows += [f"{clip}.mp4,walk,0,4", f"{clip}.mp4,sit,4,{trees.FRAMES}"]
    trees.lines(tmp_path / "list.csv", *rows)
    facts = look(tmp_path / "list.csv")
    assert (facts.counts, facts.grouped, facts.splits) == ((3, 3), True, ())
    assert facts.frames == tuple(sorted([4] * 4 + [trees.FRAMES - 4] * 4))


def test_folders_of_frames_are_videos(tmp_path):
    for name in ("clap", "wave"):
        for clip in range(4):
            trees.images(tmp_path / name / f"clip{clip}", clip)
    facts = look(tmp_path)
    assert (facts.kind, facts.counts, facts.fps) == ("videos", (3, 3), 0.0)
    assert set(facts.frames) == {trees.FRAMES}


def test_files_that_cannot_be_read_are_counted_and_a_class_without_others_is_an_error(tmp_path):
    data = trees.folder(tmp_path)
    (data / "cartwheel/clip 3.mp4").write_bytes(b"no video")
    assert look(data).bad == 1
    for clip in range(8):
        (data / f"cartwheel/clip {clip}.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="no file of class 'cartwheel' that is for training can be read"):
        look(data)


def test_train_without_a_recipe_chooses_once_and_goes_on_with_its_choice(tmp_path):
    data, out = trees.poses(tmp_path / "poses"), tmp_path / "run"
    command = ["train", "--data", str(data), "--out", str(out), "--set", "train.epochs=2"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "model.name" in done.stdout and (out / "audit.json").is_file()
    assert (out / "model.keras").is_file()
    recipe = training.read_recipe(out / "chosen.toml")
    assert recipe.model.name == "stacked_rnn" and recipe.skeleton.unit_size
    (out / "model.keras").unlink()
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0 and "model.name" not in again.stdout


def test_a_directory_with_a_run_of_a_named_recipe_is_not_chosen_for(tmp_path):
    (tmp_path / "recipe.toml").touch()
    with pytest.raises(UserError, match="holds a run of a recipe that was named"):
        training.choose_for_run(tmp_path, tmp_path)


def test_init_writes_a_recipe_that_can_be_read_and_never_over_another(tmp_path):
    data, out = trees.poses(tmp_path / "poses"), tmp_path / "mine.toml"
    command = ["init", "--data", str(data), "--out", str(out), "--minutes", "3"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert f"next: keras-actrec train {out} --data {data}" in " ".join(done.stdout.split())
    assert training.read_recipe(out).data.dataset == "poses"
    assert "# " in out.read_text(encoding="utf-8")
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1


@pytest.mark.parametrize(
    "recipe, tree, own",
    [
        ("hman/fight", trees.folder, "hman/own"),
        ("strn/ucf101", trees.folder, "strn/own"),
        ("gsm/synthetic", trees.folder, "gsm/own"),
        ("eleatt_rnn/utkinect", trees.folder, "eleatt_rnn/videos"),
        ("eleatt_rnn/utkinect", trees.poses, "eleatt_rnn/own"),
        ("hman/fight", trees.poses, "stacked_rnn/own"),
    ],
)
def test_a_recipe_of_a_set_given_data_of_ones_own_names_the_recipe_for_it(recipe, tree, own, tmp_path):
    recipe = training.read_recipe(recipe)
    with pytest.raises(UserError, match=f"; for data of your own, take the recipe {own}$"):
        training.train(recipe, tree(tmp_path / "data"), tmp_path / "run")
