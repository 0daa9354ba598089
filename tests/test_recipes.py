"""Every recipe in zoo/, made small, trains on a tree in its dataset's layout; its card and comments fit.

All of them train where nothing is compiled, on torch. Elsewhere most of the time is the compiler's, so one
recipe trains for each model, kind of input, attention, and way to train the backbone.
"""

import functools
import json
import re
import shlex
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from typer.testing import CliRunner

import trees
from keras_actrec import evaluation, training, zoo
from keras_actrec.cli.main import app
from keras_actrec.data import read_dataset, read_set, split_manifest
from keras_actrec.errors import UserError
from keras_actrec.training import fit, prepare

ZOO = Path(__file__).parents[1] / "zoo"
# Written by `python -m pytest tests/test_recipes.py -k own --write-answers`.
ANSWERS = Path(__file__).with_name("own_answers.json")
FILES = sorted(ZOO.glob("*/*.toml"))


def name_of(file):
    return f"{file.parent.name}/{file.stem}"


every_recipe = pytest.mark.parametrize("file", FILES, ids=name_of)


def one_of_a_kind():
    """Files of recipes that differ in more than numbers, `own` where there is a choice."""
    found = {}
    for file in sorted(FILES, key=lambda file: file.stem == "own"):
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        kind = next(name for name in ("clip", "skeleton", "features") if name in values)
        model, train = values["model"], values["train"]
        found[model["name"], kind, model.get("attention"), train.get("train_backbone")] = file
    return list(found.values())


TRAINED = FILES if keras.backend.backend() == "torch" else one_of_a_kind()

# What is smaller than in the recipe. All else is the recipe's: sampling, crops, splits, schedules.
SMALL = {"units": 4, "filters": 4, "num_layers": 1, "width": 0.125}
MOST = {"frames": 3, "frame_step": 3, "size": 32}
FROZEN = "efficientnet_lite0:block1_output"
WHOLE = {
    "bn_inception": "bn_inception:inception_3a_output",
    "efficientnet_lite0": "efficientnet_lite0:block2_output",
    "resnet50": "resnet50",
    "resnet50_v1_5": "resnet50_v1_5:conv2_block1_out",
}
OWN = {"index.csv": "folds", "manifest.csv": "splits", None: "folder"}


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """Writes the tree of a layout, once."""
    options = {"northwestern_ucla": {"episodes": 1, "views": (1, 2, 3)}}

    @functools.cache
    def write(name):
        return getattr(trees, name)(tmp_path_factory.mktemp(name), **options.get(name, {}))

    return write


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Features that the recipes share."""
    return tmp_path_factory.mktemp("cache")


def tree_of(recipe):
    if recipe.data.dataset == "poses" and recipe.skeleton.layout:
        return recipe.skeleton.layout
    return recipe.data.dataset or OWN[recipe.data.manifest]


def shrunk(file):
    """The recipe as it is, and the values of a small one."""
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    model = values["model"]
    arguments = zoo.spec(model["name"]).arguments
    model |= {name: size for name, size in SMALL.items() if name in arguments}
    model.pop("weights", None)  # nothing is downloaded
    if arguments.get("backbone", "") is not None:
        default = str(model.get("backbone", arguments.get("backbone"))).partition(":")[0]
        if model["name"] == "strn":  # whose blocks are those of a whole network
            model["backbone"] = default
        elif "backbone" in arguments:
            model["backbone"] = WHOLE.get(default, WHOLE["bn_inception"])
    elif "backbone" in model:
        model["backbone"] = FROZEN
    for name, most in MOST.items():
        table = values.get("clip") or values.get("skeleton") or values["features"]
        if name in table:
            table[name] = min(table[name], most)
    return training.read_recipe(file), values


def two_updates(values, data):
    """The small recipe with as many clips a batch as make two updates of one epoch."""
    train = values["train"] = values.get("train", {}) | {"epochs": 1, "workers": 0}
    _, parts = prepare.read_data(training.parse_recipe(values).data, data)
    batches = 2 * max(1, train.get("accumulate", 1))
    assert len(parts["train"]) % batches == 0  # or a smaller last batch is compiled for itself
    train["batch_size"] = len(parts["train"]) // batches
    return training.parse_recipe(values), parts


def numbers(weights):
    return {weight.path: ops.convert_to_numpy(weight).copy() for weight in weights}


def spied(monkeypatch, module, name, look=lambda made: None):
    """What a function of a module makes from now on, after a look at it."""
    function, made = getattr(module, name), []

    def spy(*arguments):
        made.append(function(*arguments))
        look(made[-1])
        return made[-1]

    monkeypatch.setattr(module, name, spy)
    return made


@pytest.mark.parametrize("file", TRAINED, ids=name_of)
def test_a_recipe_trains_for_two_updates_and_its_model_is_scored(
    file, tree, cache, tmp_path, monkeypatch, request
):
    write = request.config.getoption("--write-answers")
    recipe, values = shrunk(file)
    data = tree(tree_of(recipe))
    small, parts = two_updates(values, data)
    built, start = spied(monkeypatch, fit, "optimizer_of"), {}
    spied(monkeypatch, prepare, "build_model", lambda made: start.update(numbers(made[0].weights)))
    run = training.train(small, data, tmp_path / "run", cache=cache)
    model = run.recognizer.model

    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert record["data"]["parts"] == {part: len(records) for part, records in parts.items()}
    assert np.isfinite(record["last_epoch"]["loss"]) and record["last_epoch"]["loss"] > 0
    assert int(built[0].iterations) == 2
    still = [path for path, value in numbers(model.trainable_weights).items() if np.all(value == start[path])]
    if small.train.partial_bn:  # all normalizations but the first were frozen
        assert still and all(path.endswith(("/gamma", "/beta")) for path in still)
    else:
        assert not still

    result = evaluation.evaluate(run.recognizer, data, batch_size=4, workers=0)
    assert result.videos == len(parts["test"]) and result.protocol
    np.testing.assert_allclose(result.scores.sum(axis=1), 1, atol=1e-5)
    if file.stem == "own":
        check_answers(run.recognizer, write)


def check_answers(recognizer, write):
    """With shared weights, every backend gives the classifier what the one did that wrote the file."""
    model, spec = recognizer.model, recognizer.spec
    rng = np.random.default_rng(0)
    for weight in sorted(model.weights, key=lambda weight: weight.path):
        if len(weight.shape) > 1:
            inputs = weight.shape[:2] if "depthwise" in weight.path else weight.shape[:-1]
            weight.assign(rng.normal(0, np.prod(inputs) ** -0.5, weight.shape))
        elif "seed" not in weight.path:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    inputs = model.input[spec.input_name] if spec.masked else model.input
    _, _, *step = inputs.shape
    steps = inputs.shape[1] or 3
    if spec.input_name == "clip":  # patches, as noise in every pixel is gray to a network
        drawn = np.kron(rng.integers(0, 256, (2, steps, 4, 4, 3)), np.ones((8, 8, 1)))
    else:
        drawn = rng.normal(size=(2, steps, *step))
    batch = {spec.input_name: drawn.astype("float32"), "mask": np.arange(steps) < [[steps], [2]]}
    seen = keras.Model(model.input, model.get_layer("classifier").input)
    found = seen.predict_on_batch(batch if spec.masked else batch[spec.input_name]).reshape(2, -1)
    scale = np.abs(found).max()
    found = found @ (rng.normal(size=(found.shape[1], 8)) / found.shape[1] ** 0.5)  # every number has a part
    assert np.ptp(found, axis=0).max() > 1e-3 * scale  # the inputs matter
    answers = json.loads(ANSWERS.read_text(encoding="utf-8"))
    if write:
        answers[spec.name] = [[float(f"{value:.6g}") for value in row] for row in found]
        lines = [f"{json.dumps(name)}: {json.dumps(rows)}" for name, rows in sorted(answers.items())]
        ANSWERS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    np.testing.assert_allclose(found, answers[spec.name], atol=2e-5 * scale)


@every_recipe
def test_the_variants_in_a_recipes_comment_are_recipes_for_the_same_data(file, tree):
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#   --set "):
            command = shlex.split(re.split(r"\s{2,}", line.removeprefix("#").strip())[0])
            assert command[::2] == ["--set"] * (len(command) // 2), line
            recipe = training.read_recipe(file, command[1::2])
            prepare.read_data(recipe.data, tree(tree_of(recipe)))


@every_recipe
def test_a_card_lists_its_recipes_and_each_begins_with_a_comment_that_tells_the_cost(file):
    card = (file.parent / "README.md").read_text(encoding="utf-8")
    assert f"| [{file.name}]({file.name}) |" in card
    comment = re.match(r"(#.*\n)+", file.read_text(encoding="utf-8"))
    assert "Cost:" in comment[0]


@pytest.mark.no_backend
@pytest.mark.parametrize("model", ["eleatt_rnn", "stacked_rnn"])
@pytest.mark.parametrize(("name", "batch_size", "num_layers"), [("ntu_features", 256, 3), ("jhmdb", 32, 1)])
def test_networks_on_features_of_pixels_learn_as_those_of_eleattgs_table_1(
    model, name, batch_size, num_layers
):
    recipe = training.read_recipe(f"{model}/{name}")
    train = recipe.train
    assert (train.optimizer, train.learning_rate, train.batch_size) == ("adam", 0.001, batch_size)
    assert recipe.model.arguments["units"] == 512 and recipe.model.arguments["num_layers"] == num_layers
    assert recipe.model.arguments["backbone"] == {"ntu_features": "resnet50"}.get(name, "efficientnet_lite0")
    assert not train.train_backbone


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("name", "videos", "updates"),
    [("ucf_sports", 112, 400), ("olympic_sports", 649, 2500), ("hmdb51", 3570, 10_000)],
)
def test_hman_makes_the_updates_of_its_papers_table_2_in_whole_epochs(name, videos, updates):
    train = training.read_recipe(f"hman/{name}").train
    an_epoch = -(-videos // train.batch_size)
    assert (train.batch_size, train.accumulate) == (64, 1)
    assert updates <= train.epochs * an_epoch < updates + an_epoch


@pytest.mark.parametrize(
    "name",
    ["kinetics", "msr_action3d"],  # which have no recipe
)
def test_a_tree_has_all_its_classes_in_the_layout_of_its_reader(name, tree):
    parts = split_manifest(read_dataset(name, tree(name)))
    assert parts["train"] and parts["test"]


def test_options_of_a_reader_reach_it_in_training_and_in_evaluation(tree, cache, tmp_path):
    values = {
        "model": {"name": "frame_pool", "backbone": FROZEN},
        "data": {"dataset": "ucf_sports", "options": {"seed": 1}},
        "clip": {"frames": 2, "size": 32, "crop": "none"},
        "train": {"epochs": 1, "batch_size": 30, "workers": 0},
    }
    recipe, data = training.parse_recipe(values), tree("ucf_sports")
    run = training.train(recipe, data, tmp_path / "run", cache=cache)
    assert training.read_recipe(tmp_path / "run/recipe.toml") == recipe
    found = read_dataset("ucf_sports", data, seed=1)
    result = evaluation.evaluate(run.recognizer, data)
    assert result.records == tuple(record for record in found.records if record.split == "test")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dataset": "ucf_sports", "options": {"sed": 1}}, "ucf_sports has no option `sed`; its options are"),
        ({"options": {"seed": 1}}, "`seed` goes with a `dataset`. Received: seed=1"),
        ({"dataset": "ucf_sports", "split": "lan", "options": {"split": "lan"}}, "must not repeat `split`"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, tree):
    with pytest.raises(UserError, match=message):
        read_set(tree("ucf_sports"), **options)


def test_a_seed_among_the_options_draws_another_test_part(tree):
    def test_part(**options):
        found = read_set(tree("ucf_sports"), dataset="ucf_sports", options=options)
        return {record.path for record in found.records if record.split == "test"}

    assert test_part() == test_part(seed=0) != test_part(seed=1)


def test_skeletons_can_be_left_where_they_are():
    values = {"model": {"name": "stacked_rnn"}, "data": {"dataset": "basic_motions"}}
    values |= {"skeleton": {"center": "none"}}
    assert training.parse_recipe(values).skeleton.transform.center is None


def test_a_run_with_keys_taken_out_goes_on_with_the_same_command_and_records_it(tree, tmp_path):
    data, out = tree("basic_motions"), tmp_path / "run"
    changes = ["train.schedule=constant", "train.global_clipnorm=", "train.epochs=2", "model.units=2"]
    command = ["train", "eleatt_rnn/basic_motions", "--data", str(data), "--out", str(out)]
    command += [word for change in changes for word in ("--set", change)]
    recipe = training.read_recipe("eleatt_rnn/basic_motions", changes)
    assert (recipe.train.drop_after, recipe.train.global_clipnorm) == (None, None)

    def stop(stage, done, total, text=""):
        if stage == "epochs" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, data, out, progress=stop)
    assert len((out / "history.csv").read_text(encoding="utf-8").splitlines()) == 2
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:2] == [
        "train.drop_after falls away with train.schedule='constant'",
        "train.final_learning_rate falls away with train.schedule='constant'",
    ]
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["overrides"] == changes and "drop_after" not in record["recipe"]["train"]
    assert training.read_recipe(out / "recipe.toml") == recipe
    assert len((out / "history.csv").read_text(encoding="utf-8").splitlines()) == 3
