"""Recipes: what TOML means, what is refused and with which words."""

import dataclasses
import tomllib
from pathlib import Path

import pytest

from keras_actrec import zoo
from keras_actrec.data import ClipTransform, Sampling
from keras_actrec.errors import UserError
from keras_actrec.training import find_recipe, list_recipes, parse_recipe, read_recipe

pytestmark = pytest.mark.no_backend

ZOO = Path(__file__).parents[1] / "zoo"
FILES = sorted(ZOO.glob("*/*.toml"))

SMALL = """
[model]
name = "hman"
backbone = "efficientnet_lite0:block2_output"
units = 8

[train]
epochs = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def refusal(values):
    """The one line that refuses nested dicts as a recipe."""
    with pytest.raises(UserError) as caught:
        parse_recipe(values, "small.toml")
    message = str(caught.value)
    assert message.startswith("small.toml: ") and "\n" not in message
    return message


def test_the_defaults_of_training_are_those_of_the_paper():
    train = parse_recipe({"model": {"name": "hman"}}).train  # HM-AN, section 4.2
    assert (train.batch_size, train.learning_rate, train.final_learning_rate) == (64, 1e-4, 1e-5)
    assert train.drop_after == 10_000
    assert train.clipnorm is None and train.train_backbone is False


def test_a_bad_video_stops_a_run_unless_the_recipe_says_otherwise():
    assert parse_recipe({"model": {"name": "hman"}}).data.on_error == "raise"


def test_the_clip_table_becomes_a_sampling_and_a_transform():
    table = {"frames": 6, "method": "contiguous", "stride": 2, "frame_step": 3}
    table |= {"size": 64, "short_side": 72, "crop": "random", "flip": True}
    clip = parse_recipe({"model": {"name": "hman"}, "clip": table}).clip
    assert clip.sampling == Sampling(6, "contiguous", 2, 3)
    assert clip.transform == ClipTransform(64, 72, "random", True)


def test_every_argument_of_a_sampling_and_a_transform_is_a_key_of_the_clip_table():
    sampling = {"frames": 8, "method": "sequences", "stride": 2, "frame_step": 3, "short": "loop", "hop": 4}
    sampling |= {"speed": [0.8, 1.25]}
    transform = {
        "size": 64,
        "short_side": 72,
        "crop": "multiscale",
        "flip": True,
        "swap": [[86, 87], [93, 94]],
    }
    transform |= {"brightness": 0.1, "contrast": 0.2, "saturation": 0.3, "num_crops": 3}
    transform |= {"shrink": 80, "rand_augment": 2, "magnitude": 0.5, "erasing": 0.25}
    clip = parse_recipe({"model": {"name": "hman"}, "clip": sampling | transform}).clip
    assert clip.sampling == Sampling(**sampling)
    assert clip.transform == ClipTransform(**transform)
    clip = parse_recipe({"model": {"name": "hman"}, "clip": {"method": "dense", "num_clips": 10}}).clip
    assert clip.sampling == Sampling(method="dense", num_clips=10)
    fields = dataclasses.fields(Sampling) + dataclasses.fields(ClipTransform)
    assert {field.name for field in fields} == set(type(clip).model_fields)


def test_a_recipe_with_pairs_of_classes_is_the_same_when_it_is_written_and_read():
    recipe = parse_recipe({"model": {"name": "hman"}, "clip": {"flip": True, "swap": [[0, 1], [4, 3]]}})
    assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe


def test_every_key_of_the_model_table_but_the_name_is_an_argument(file):
    recipe = read_recipe(file)
    assert recipe.model.name == "hman"
    assert recipe.model.arguments == {"backbone": "efficientnet_lite0:block2_output", "units": 8}


def test_what_to_toml_writes_is_read_back_as_the_same_recipe(tmp_path):
    recipe = parse_recipe(
        {
            "model": {"name": "hman", "units": [4, 5, 6], "temperature": 1, "content": True, "dropout": 0.25},
            "data": {"manifest": 'Zürich "first" \\ list\t.csv', "test_fold": "b", "on_error": "skip"},
            "clip": {"crop": "random", "flip": True, "short_side": 240, "method": "stride", "stride": 3},
            "train": {"learning_rate": 1e-7, "clipnorm": 0.1, "seed": 12, "train_backbone": True},
        }
    )
    path = tmp_path / "again.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert read_recipe(path) == recipe


def test_to_toml_spells_out_every_default():
    recipe = parse_recipe({"model": {"name": "hman"}})
    values = tomllib.loads(recipe.to_toml())
    unset = {("data", key) for key in ("manifest", "test_fold", "dataset", "split", "per_class")}
    unset |= {("clip", key) for key in ("short_side", "short", "hop", "shrink", "speed", "magnitude")}
    # Off, or keys of other optimizers and schedules than Adam in two steps.
    unset |= {("train", name) for name in ("clipnorm", "global_clipnorm", "clipvalue", "ema", "early_stop")}
    unset |= {("train", name) for name in ("weight_decay", "decay", "momentum", "nesterov", "monitor")}
    unset |= {("train", name) for name in ("warmup_epochs", "restart_after", "restart_factor", "milestones")}
    unset |= {("train", name) for name in ("backbone_rate", "unfreeze_after", "rprop", "remat")}
    unset |= {("train", name) for name in ("factor", "patience", "cooldown", "buckets", "class_weights")}
    written = {(table, key) for table, keys in values.items() for key in keys}
    tables = {name: type(getattr(recipe, name)).model_fields for name in ("model", "data", "clip", "train")}
    assert written == {(table, key) for table, keys in tables.items() for key in keys} - unset


@pytest.mark.parametrize(
    "override, table, key, value",
    [
        ("train.epochs=6", "train", "epochs", 6),
        (" train.epochs = 6 ", "train", "epochs", 6),
        ("train.learning_rate=1e-2", "train", "learning_rate", 0.01),
        ("train.learning_rate=1", "train", "learning_rate", 1.0),
        ("train.train_backbone=true", "train", "train_backbone", True),
        ("clip.method=contiguous", "clip", "method", "contiguous"),
        ('clip.method="contiguous"', "clip", "method", "contiguous"),
        ("data.manifest=a=b.csv", "data", "manifest", "a=b.csv"),
        ("data.test_fold=2", "data", "test_fold", 2),
        ('data.test_fold="2"', "data", "test_fold", "2"),
        ("data.test_fold=02", "data", "test_fold", "02"),
        ("model.units=[4, 5, 6]", "model", "units", [4, 5, 6]),
        ("model.backbone=efficientnet_lite0:top", "model", "backbone", "efficientnet_lite0:top"),
        ("model.name=softmax_regression", "model", "name", "softmax_regression"),
    ],
)
def test_an_override_sets_one_value_with_the_type_it_has_in_toml(tmp_path, override, table, key, value):
    path = tmp_path / "plain.toml"
    path.write_text('[model]\nname = "hman"\n', encoding="utf-8")
    found = getattr(getattr(read_recipe(path, [override]), table), key)
    assert found == value and type(found) is type(value)


def test_of_two_overrides_of_a_value_the_last_one_counts(file):
    recipe = read_recipe(file, ["train.epochs=6", "train.epochs=7", "train.seed=1"])
    assert (recipe.train.epochs, recipe.train.seed) == (7, 1)
    assert recipe.model == read_recipe(file).model


@pytest.mark.parametrize("override", ["train.epochs", "epochs=3", "train.=3", "=3", ""])
def test_what_is_no_override_is_refused_with_an_example(file, override):
    with pytest.raises(UserError) as caught:
        read_recipe(file, [override])
    assert str(caught.value) == (
        "--set takes table.key=value, such as train.epochs=6, or table.key= to take the key out. "
        f"Received: {override!r}"
    )


FULL = """
[model]
name = "hman"
units = 8
dropout = 0.3

[data]
manifest = "index.csv"
test_fold = 0

[clip]
frames = 5
method = "sequences"
hop = 2
crop = "random"
short_side = 240
num_crops = 3
rand_augment = 2
magnitude = 0.4

[train]
optimizer = "sgd"
momentum = 0.8
weight_decay = 1e-3
decay = "kernels"
global_clipnorm = 2.0
backbone_rate = 0.1
schedule = "multistep"
milestones = [2, 4]
factor = 0.5
early_stop = 3
monitor = "val_loss"
"""


@pytest.fixture
def full(tmp_path):
    path = tmp_path / "full.toml"
    path.write_text(FULL, encoding="utf-8")
    return path


def by_hand(take_out=(), **tables):
    """The recipe of FULL without some keys and with others, as one would write it."""
    values = tomllib.loads(FULL)
    for name in take_out:
        table, key = name.split(".")
        del values[table][key]
    for table, keys in tables.items():
        values[table] |= keys
    return parse_recipe(values)


@pytest.mark.parametrize("override", ["data.manifest=", " data.manifest = "])
def test_nothing_behind_the_equals_sign_takes_a_key_out(full, override):
    assert read_recipe(full, [override]) == by_hand(["data.manifest"])
    assert (
        read_recipe(full, ["data.manifest=", "data.test_fold="]).data
        == parse_recipe({"model": {"name": "hman"}}).data
    )
    assert read_recipe(full, ['data.manifest=""']).data.manifest == ""
    assert read_recipe(full, ["model.units="]) == by_hand(["model.units"])
    assert read_recipe(full, ["train.epochs=7", "train.epochs="]) == by_hand()


def test_a_table_can_be_taken_out(full):
    recipe = read_recipe(full, ["clip=", "data.dataset=ntu_rgbd", "data.manifest=", "skeleton.frames=9"])
    assert recipe.clip is None and recipe.skeleton.frames == 9
    assert read_recipe(full, ["train="]).train == parse_recipe({"model": {"name": "hman"}}).train
    assert read_recipe(full, ["skeleton="]) == by_hand()


@pytest.mark.parametrize(
    "override", ["train.buckets=", "data.dataset=", "skeleton.center=", "model.attention=", "model.units="]
)
def test_a_known_key_that_is_not_set_can_be_taken_out(file, override):
    assert read_recipe(file, [override]).data == read_recipe(file).data


@pytest.mark.parametrize(
    "override, message",
    [
        ("data.manifst=", "unknown key 'data.manifst'; did you mean 'data.manifest'?"),
        ("skeleton.centre=", "unknown key 'skeleton.centre'; did you mean 'skeleton.center'?"),
        ("model.unit=", "hman has no argument 'unit'; did you mean 'units'?"),
        ("trian=", "unknown key 'trian'; did you mean 'train'?"),
        ("trian.epochs=", "unknown key 'trian'; did you mean 'train'?"),
        ("model.name=", "'model.name' is missing"),
    ],
)
def test_an_unknown_key_cannot_be_taken_out(file, override, message):
    with pytest.raises(UserError) as caught:
        read_recipe(file, [override])
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)


OF_RPROP = [
    "backbone_rate",
    "momentum",
    "weight_decay",
    "decay",
    "global_clipnorm",
    "schedule",
    "milestones",
    "factor",
]


@pytest.mark.parametrize(
    "overrides, fallen, set_",
    [
        (["train.schedule=constant"], ["train.milestones", "train.factor"], {"schedule": "constant"}),
        (["train.schedule=plateau"], ["train.milestones"], {"schedule": "plateau"}),  # it has a factor too
        (["train.schedule=multistep"], [], {}),
        (["train.optimizer=adam"], ["train.momentum"], {"optimizer": "adam"}),
        (["train.optimizer=rprop"], [f"train.{key}" for key in OF_RPROP], {"optimizer": "rprop"}),
        (["train.clipvalue=0.5"], ["train.global_clipnorm"], {"clipvalue": 0.5}),
        (["train.keep=best"], [], {"keep": "best"}),
        (["train.keep=best", "train.monitor=val_accuracy"], [], {"keep": "best", "monitor": "val_accuracy"}),
        (
            ["train.schedule=plateau", "train.patience=7"],
            ["train.milestones"],
            {"schedule": "plateau", "patience": 7},
        ),
        (["clip.method=dense"], ["clip.hop"], {"method": "dense"}),
        (["clip.rand_augment=0"], ["clip.magnitude"], {"rand_augment": 0}),
        (["clip.crop=none"], ["clip.short_side", "clip.num_crops"], {"crop": "none"}),
        (["model.name=frame_pool"], ["model.units", "model.dropout"], {"name": "frame_pool"}),
        (["model.name=frame_gru", "model.units=4"], ["model.dropout"], {"name": "frame_gru", "units": 4}),
    ],
)
def test_a_key_that_goes_with_a_choice_falls_away_when_the_choice_is_changed(full, overrides, fallen, set_):
    told, table = [], overrides[0].partition(".")[0]
    assert read_recipe(full, overrides, tell=told.append) == by_hand(fallen, **{table: set_})
    assert sorted(line.partition(" falls away ")[0] for line in told) == sorted(fallen)


@pytest.mark.parametrize(
    "name, fallen",
    [
        ("schedule", ["milestones", "factor"]),
        ("optimizer", ["momentum"]),
        ("weight_decay", ["decay"]),
        ("early_stop", ["monitor"]),
    ],
)
def test_a_key_that_goes_with_a_choice_falls_away_when_the_choice_is_taken_out(full, name, fallen):
    told = []
    expected = by_hand([f"train.{key}" for key in (*fallen, name)])
    assert read_recipe(full, [f"train.{name}="], tell=told.append) == expected
    assert told == [f"train.{key} falls away without train.{name}" for key in sorted(fallen)]


def test_a_monitor_that_is_no_validation_falls_away_when_the_best_epoch_is_kept(full):
    full.write_text(FULL.replace("val_loss", "loss"), encoding="utf-8")
    assert read_recipe(full, ["train.keep=best"]).train.monitor == "val_accuracy"
    with pytest.raises(UserError, match="keep='best' goes by the validation part"):
        read_recipe(full, ["train.keep=best", "train.monitor=loss"])


def test_what_falls_away_is_told_with_the_choice(full):
    told = []
    read_recipe(full, ["train.optimizer=rprop", "train.early_stop=", "clip.crop=none"], tell=told.append)
    assert "train.global_clipnorm falls away with train.optimizer='rprop'" in told
    assert "train.milestones falls away with train.optimizer='rprop'" in told
    assert "train.decay falls away without train.weight_decay" in told
    assert "train.monitor falls away without train.early_stop" in told
    assert "clip.short_side falls away with clip.crop='none'" in told


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["train.schedule=constant", "train.milestones=[3]"], "train.milestones: goes with schedule="),
        (["train.milestones=[3]", "train.schedule=constant"], "train.milestones: goes with schedule="),
        (["train.optimizer=rprop", "train.clipvalue=1.0"], "train.clipvalue: must be left out"),
        (["train.optimizer=rprop", "train.schedule=step"], "train.schedule: must be left out"),
        (["train.clipvalue=1.0", "train.clipnorm=1.0"], "only one of clipnorm, global_clipnorm, clipvalue"),
        (["train.patience=3"], "train.patience: goes with schedule='plateau'"),
        (["clip.stride=2", "clip.method=tsn"], '`stride` must be 1 with method="tsn"'),
        (["model.name=frame_pool", "model.units=3"], "frame_pool has no argument 'units'"),
        (["clip.size=300"], "`short_side` must be at least `size`, 300. Received: short_side=240"),
    ],
)
def test_what_an_override_sets_never_falls_away(full, overrides, message):
    with pytest.raises(UserError) as caught:
        read_recipe(full, overrides)
    assert message in str(caught.value)


def test_what_the_file_alone_gets_wrong_is_refused_with_any_override(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text('[model]\nname = "hman"\n[train]\nschedule = "constant"\ndrop_after = 5\n')
    with pytest.raises(UserError, match="train.drop_after: goes with schedule='step'. Received: 5"):
        read_recipe(path, ["train.epochs=3", "train.optimizer=adam"])


# The keys of each choice alone, as the documentation of [train] has them.
KEYS = {
    "optimizer": {
        "adam": set(),
        "sgd": {"momentum", "nesterov"},
        "rmsprop": set(),
        "adamw": set(),
        "rprop": {"rprop"},
    },
    "schedule": {
        "constant": set(),
        "step": {"final_learning_rate", "drop_after"},
        "warmup_cosine": {"warmup_epochs"},
        "cosine_restarts": {"restart_after", "restart_factor"},
        "multistep": {"milestones", "factor"},
        "plateau": {"factor", "patience", "cooldown"},
    },
}
NOT_RPROP = {"clipnorm", "global_clipnorm", "clipvalue", "weight_decay", "decay", "schedule"}


def without_keys_of_others(train, choices):
    """The values of [train] that go with choices of optimizer and schedule, with these choices."""
    kept = dict(train) | choices
    schedule = "constant" if choices.get("optimizer") == "rprop" else kept.get("schedule", "step")
    for key, chosen in (("optimizer", kept.get("optimizer", "adam")), ("schedule", schedule)):
        others = set().union(*KEYS[key].values()) - KEYS[key][chosen]
        kept = {name: value for name, value in kept.items() if name not in others}
    if choices.get("optimizer") == "rprop":
        kept = {name: value for name, value in kept.items() if name not in NOT_RPROP - set(choices)}
    return kept


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_of_the_library_takes_every_optimizer_and_every_schedule(path):
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    for optimizer in (None, *KEYS["optimizer"]):
        for schedule in (None, *KEYS["schedule"]):
            choices = {"optimizer": optimizer, "schedule": schedule}
            choices = {key: choice for key, choice in choices.items() if choice}
            overrides = [f"train.{key}={choice}" for key, choice in choices.items()]
            if optimizer == "rprop" and schedule not in (None, "constant"):
                with pytest.raises(
                    UserError, match="train.schedule: must be left out with optimizer='rprop'"
                ):
                    read_recipe(path, overrides)
                continue
            train = without_keys_of_others(values.get("train", {}), choices)
            assert read_recipe(path, overrides) == parse_recipe(values | {"train": train})


@pytest.mark.parametrize(
    "override, message",
    [
        ("train.epoch=6", "unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        ("trian.epochs=6", "unknown key 'trian'; did you mean 'train'?"),
        ("train.epochs=six", "train.epochs: input should be a valid integer"),
        ("model.unit=6", "hman has no argument 'unit'; did you mean 'units'?"),
    ],
)
def test_an_override_is_checked_as_the_file_is(file, override, message):
    with pytest.raises(UserError) as caught:
        read_recipe(file, [override])
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"trains": {}}, "unknown key 'trains'; did you mean 'train'?"),
        ({"zzz": {}}, "unknown key 'zzz'; there are: model, data, clip, skeleton, features, train"),
        ({"train": {"epoch": 3}}, "unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        ({"clip": {"sise": 64}}, "unknown key 'clip.sise'; did you mean 'clip.size'?"),
        ({"model": {"name": "hmann"}}, "Unknown model 'hmann'; did you mean 'hman'?"),
        ({"model": {"name": "hman", "unit": 8}}, "hman has no argument 'unit'; did you mean 'units'?"),
        ({"model": {"name": "hman", "num_classes": 8}}, "hman has no argument 'num_classes'; "),
        ({"model": {"name": "frame_pool", "units": 8}}, "frame_pool has no argument 'units'; "),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(values, message):
    assert message in refusal({"model": {"name": "hman"}, **values})


@pytest.mark.parametrize("values, name", [({}, "'model'"), ({"model": {"units": 8}}, "'model.name'")])
def test_a_recipe_without_a_model_is_refused(values, name):
    assert refusal(values) == f"small.toml: {name} is missing"


@pytest.mark.parametrize(
    "table, key, value",
    [
        ("train", "epochs", 0),
        ("train", "epochs", "6"),
        ("train", "epochs", 6.5),
        ("train", "epochs", True),
        ("train", "batch_size", 0),
        ("train", "learning_rate", 0),
        ("train", "learning_rate", float("nan")),
        ("train", "learning_rate", float("inf")),
        ("train", "final_learning_rate", -1e-3),
        ("train", "drop_after", 0),
        ("train", "clipnorm", 0.0),
        ("train", "global_clipnorm", 0.0),
        ("train", "clipvalue", -1),
        ("train", "optimizer", "adagrad"),
        ("train", "optimizer", ["adam"]),
        ("train", "schedule", "linear"),
        ("train", "schedule", 3),
        ("train", "momentum", 1.0),
        ("train", "factor", 1.0),
        ("train", "restart_factor", 0.5),
        ("train", "milestones", 30),
        ("train", "warmup_epochs", -1),
        ("train", "early_stop", 0),
        ("train", "monitor", "val_top5"),
        ("train", "accumulate", 0),
        ("train", "accumulate", "1%"),
        ("train", "accumulate", True),
        ("train", "weight_decay", 0.0),
        ("train", "decay", "biases"),
        ("train", "ema", 1.0),
        ("train", "mixed_precision", "float16"),
        ("train", "partial_bn", 1),
        ("train", "backbone_rate", 0.0),
        ("train", "unfreeze_after", 0),
        ("train", "cutmix", -1.0),
        ("train", "noise", -0.1),
        ("clip", "speed", 0.8),
        ("clip", "rand_augment", 1.5),
        ("clip", "erasing", "0.5"),
        ("train", "train_backbone", "yes"),
        ("train", "seed", -1),
        ("train", "workers", -1),
        ("data", "test_fraction", 1.0),
        ("data", "test_fraction", 0),
        ("data", "validation_fraction", 1.0),
        ("data", "split_seed", -1),
        ("data", "on_error", "ignore"),
        ("data", "manifest", 3),
        ("data", "test_fold", [1]),
        ("data", "test_fold", True),
        ("clip", "frames", "16"),
        ("clip", "method", "middle"),
        ("clip", "crop", "left"),
        ("clip", "flip", 1),
        ("clip", "short", "pad"),
        ("clip", "num_clips", 2.5),
        ("clip", "brightness", "0.4"),
        ("clip", "swap", 3),
    ],
)
def test_a_wrong_type_or_range_is_one_line_that_names_key_and_value(table, key, value):
    message = refusal({"model": {"name": "hman"}, table: {key: value}})
    assert message.startswith(f"small.toml: {table}.{key}: input should be ")
    assert message.endswith(f"Received: {value!r}")


@pytest.mark.parametrize(
    "train, filled",
    [
        ({}, {"optimizer": "adam", "schedule": "step", "final_learning_rate": 1e-5, "drop_after": 10_000}),
        ({"optimizer": "sgd"}, {"momentum": 0.9, "nesterov": False, "schedule": "step"}),
        ({"optimizer": "sgd", "momentum": 0}, {"momentum": 0.0}),
        (
            {"optimizer": "rprop"},
            {"schedule": "constant", "rprop": "irprop-", "drop_after": None, "final_learning_rate": None},
        ),
        ({"optimizer": "adamw"}, {"weight_decay": 0.004, "decay": "all"}),
        ({"weight_decay": 1e-5}, {"decay": "all"}),
        ({"schedule": "constant"}, {"drop_after": None, "final_learning_rate": None}),
        ({"schedule": "warmup_cosine"}, {"warmup_epochs": 10, "drop_after": None}),
        ({"schedule": "cosine_restarts"}, {"restart_after": 10, "restart_factor": 2.0}),
        ({"schedule": "multistep"}, {"milestones": [30, 60], "factor": 0.1, "patience": None}),
        ({"schedule": "multistep", "milestones": [3]}, {"milestones": [3], "factor": 0.1}),
        (
            {"schedule": "plateau", "patience": 7},
            {"factor": 0.1, "patience": 7, "cooldown": 3, "monitor": "accuracy"},
        ),
        ({"early_stop": 15}, {"monitor": "accuracy", "patience": None}),
        ({"accumulate": 4}, {"accumulate": 4}),
        ({"accumulate": 0.01}, {"accumulate": 0.01}),
        ({"drop_after": 0.5}, {"drop_after": 0.5}),
        ({"schedule": "multistep", "milestones": [0.5, 0.75]}, {"milestones": [0.5, 0.75]}),
    ],
)
def test_keys_that_go_with_a_choice_have_its_defaults_and_are_none_elsewhere(train, filled):
    recipe = parse_recipe({"model": {"name": "hman"}, "train": train})
    assert {name: getattr(recipe.train, name) for name in filled} == filled
    assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe


@pytest.mark.parametrize(
    "train, message",
    [
        ({"momentum": 0.9}, "train.momentum: goes with optimizer='sgd'. Received: 0.9"),
        ({"optimizer": "rmsprop", "nesterov": True}, "train.nesterov: goes with optimizer='sgd'."),
        ({"warmup_epochs": 5}, "train.warmup_epochs: goes with schedule='warmup_cosine'. Received: 5"),
        ({"schedule": "constant", "drop_after": 5}, "train.drop_after: goes with schedule='step'."),
        ({"schedule": "plateau", "final_learning_rate": 1e-5}, "train.final_learning_rate: goes with"),
        ({"factor": 0.5}, "train.factor: goes with schedule='multistep' or schedule='plateau'."),
        ({"schedule": "multistep", "patience": 5}, "train.patience: goes with schedule='plateau'."),
        ({"monitor": "val_loss"}, "train.monitor: goes with schedule='plateau', early_stop or keep='best'."),
        ({"decay": "kernels"}, "train.decay: goes with weight_decay. Received: 'kernels'"),
        (
            {"optimizer": "rprop", "schedule": "step"},
            "train.schedule: must be left out with optimizer='rprop'",
        ),
        ({"optimizer": "rprop", "backbone_rate": 0.1}, "train.backbone_rate: must be left out with"),
        ({"optimizer": "rprop", "unfreeze_after": 2}, "train.unfreeze_after: must be left out with"),
        ({"unfreeze_after": 2.5}, "train.unfreeze_after: input should be a number of epochs or a share"),
        ({"optimizer": "rprop", "clipnorm": 1.0}, "train.clipnorm: must be left out with optimizer='rprop'"),
        ({"optimizer": "rprop", "weight_decay": 0.1}, "train.weight_decay: must be left out"),
        (
            {"clipnorm": 1.0, "clipvalue": 0.5},
            "train.clipvalue: only one of clipnorm, global_clipnorm, clipvalue can be set. Received: 0.5",
        ),
        ({"accumulate": 1.5}, "train.accumulate: input should be a number of batches or a share of the data"),
        ({"drop_after": 1.5}, "train.drop_after: input should be a number of batches or a share of the run"),
        (
            {"schedule": "warmup_cosine", "warmup_epochs": 2.5},
            "train.warmup_epochs: input should be a number of epochs or a share of the run below 1",
        ),
        ({"schedule": "multistep", "milestones": [0.5, 2]}, "rising shares of the run. Received: [0.5, 2]"),
        ({"schedule": "multistep", "milestones": [1, 2.5]}, "rising shares of the run. Received: [1, 2.5]"),
        ({"schedule": "multistep", "milestones": []}, "train.milestones: input should be rising epochs"),
        ({"schedule": "multistep", "milestones": [0, 5]}, "train.milestones: input should be rising epochs"),
        ({"schedule": "multistep", "milestones": [6, 5]}, "of the run. Received: [6, 5]"),
        ({"schedule": "multistep", "milestones": [5, 5]}, "of the run. Received: [5, 5]"),
    ],
)
def test_keys_that_do_not_go_together_are_refused_in_one_line(train, message):
    assert message in refusal({"model": {"name": "hman"}, "train": train})


@pytest.mark.parametrize(
    "clip, message",
    [
        ({"frames": 0}, "`frames` must be a whole number from 1 to 65536. Received: frames=0"),
        ({"stride": 2}, '`stride` must be 1 with method="segments"'),
        ({"frame_step": 0}, "`frame_step` must be a whole number from 1 to 65536. Received: frame_step=0"),
        ({"num_clips": 2, "method": "stride"}, '`num_clips` must be 1 with method="stride"'),
        ({"hop": 3}, '`hop` goes with method="sequences"'),
        ({"contrast": 2}, "`contrast` must be from 0 to 1. Received: contrast=2.0"),
        ({"swap": [[1, 1]]}, "`swap` must be pairs of class ids, each id once."),
        ({"num_crops": 4}, "`num_crops` must be 1, 2, 3, 6 or 10. Received: num_crops=4"),
        ({"size": 0}, "`size` must be a whole number from 1 to 8192. Received: size=0"),
        ({"short_side": 100}, "`short_side` must be at least `size`, 224. Received: short_side=100"),
        (
            {"short_side": 300, "crop": "none"},
            '`short_side` goes with a crop and must be left out with crop="none"',
        ),
    ],
)
def test_clips_that_cannot_be_are_refused_when_the_recipe_is_read(clip, message):
    found = refusal({"model": {"name": "hman"}, "clip": clip})
    assert found.startswith(f"small.toml: [clip] {message}")


@pytest.mark.parametrize(
    "argument, value, expected",
    [
        ("content", "no", "true or false"),
        ("content", 1, "true or false"),
        ("attention", 3, "a string"),
        ("backbone", 3, "a string"),
        ("weights", ["a", "b"], "a string"),
    ],
)
def test_a_model_argument_of_the_wrong_type_is_refused_by_name(argument, value, expected):
    message = refusal({"model": {"name": "hman", argument: value}})
    assert message == f"small.toml: [model] {argument}: input should be {expected}. Received: {value!r}"


@pytest.mark.parametrize(
    "argument, value, range_",
    [
        *(("units", value, "a whole number from 1 to 65536") for value in ("many", 3.5, True, 0, -1, 10**20)),
        ("units", [1, 10**20, 1], "a whole number from 1 to 65536"),
        ("embedding", 10**20, "a whole number from 1 to 65536"),
        ("hidden", -1, "a whole number from 0 to 65536"),
        *(("dropout", value, "a number") for value in ("0.5", False, float("nan"), float("inf"))),
    ],
)
def test_a_number_of_a_model_that_is_none_is_refused_with_its_range(argument, value, range_):
    message = refusal({"model": {"name": "hman", argument: value}})
    received = 10**20 if isinstance(value, list) else value
    assert message == (
        f"small.toml: [model] `{argument}` must be {range_}. Received: {argument}={received!r}"
    )


LONG = 10**20
NESTED = f"[train]\nbuckets = {'[' * 3000}{']' * 3000}", f"[train]\nx = {'{a=' * 3000}1{'}' * 3000}"
TOO_MUCH = [
    (
        f"[train]\nseed = {LONG}",
        "train.seed: input should be at least 0 and at most 4294967295. Received: 1000",
    ),
    ("[train]\nseed = -1", "train.seed: input should be at least 0 and at most 4294967295. Received: -1"),
    (f"[train]\nbatch_size = {LONG}", "train.batch_size: input should be at least 1 and at most 65536. Rec"),
    (f"[train]\nepochs = {LONG}", "train.epochs: input should be at least 1 and at most 1000000. Received"),
    (f"[train]\nworkers = {LONG}", "train.workers: input should be at least 0 and at most 1024. Received"),
    (f"[train]\ndrop_after = {LONG}", "train.drop_after: input should be above 0 and at most 1000000000. Re"),
    (f"[train]\nbuckets = [{LONG}]", "train.buckets: input should be at least 1 and at most 65536. Received"),
    ("[train]\nlearning_rate = 1e300", "train.learning_rate: input should be above 0 and at most 3.4e+38. R"),
    ("[train]\nlearning_rate = inf", "train.learning_rate: input should be a finite number. Received: inf"),
    ("[train]\nnoise = nan", "train.noise: input should be a finite number. Received: nan"),
    (f"[data]\nsplit_seed = {LONG}", "data.split_seed: input should be at least 0 and at most 4294967295. R"),
    (
        "[clip]\nframes = 1_000_000_000_000",
        "[clip] `frames` must be a whole number from 1 to 65536. Received",
    ),
    (f"[clip]\nsize = {LONG}", "[clip] `size` must be a whole number from 1 to 8192. Received: size=1000"),
    ("[clip]\nspeed = [1e-300, 1]", "[clip] `speed` must be two rates from 0.01 to 100"),
    *((text, "tables or lists are in each other more than 16 times") for text in NESTED),
    (f"[train]\n{'.'.join(['a'] * 3000)} = 1", "tables or lists are in each other more than 16 times"),
    (f"[train]\nseed = {'9' * 5000}", "a whole number has thousands of digits: shorten it"),
    (f"[train]\nseed = 0x{'f' * 5000}", "at most 4294967295. Received: a huge int"),
    (f'[train]\noptimizer = "{"x" * 1000}"', "Received: 'xxx"),
    (f"[train]\n{'x' * 990} = 1", "unknown key 'train.xxx"),
    (f'[clip]\ncrop = "{"x" * 1000}"', "Received: 'xxx"),
    *(
        (text.format("x" * length), "characters: at most 1000 are taken")
        for length in (1001, 100_000)
        for text in ('[clip]\ncrop = "{}"', "[train]\n{} = 1", '[data]\noptions = {{a = ["{}"]}}')
    ),
    (f"# {'x' * 1_000_000}", "it has more than 1000000 bytes"),
]


@pytest.mark.parametrize("text, words", TOO_MUCH, ids=range(len(TOO_MUCH)))
def test_a_value_beyond_use_is_one_short_line_with_its_range(tmp_path, text, words):
    model = '[model]\nname = "softmax_regression"\nbackbone = "efficientnet_lite0"\n'
    (tmp_path / "recipe.toml").write_text(f"{model}{text}\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_recipe(tmp_path / "recipe.toml")
    assert words in str(caught.value) and len(str(caught.value)) <= 2000
    if "=" in text and len(text) < 20_000:  # the same as an override
        (tmp_path / "recipe.toml").write_text(model, encoding="utf-8")
        table, _, rest = text.removeprefix("[").partition("]\n")
        name, _, value = rest.partition(" = ")
        if "." not in name:  # `--set` has one dot
            with pytest.raises(UserError) as caught:
                read_recipe(tmp_path / "recipe.toml", [f"{table}.{name}={value}"])
            assert words in str(caught.value) and len(str(caught.value)) <= 2000


@pytest.mark.parametrize(
    "argument, value",
    [
        ("input_shape", [8, 112, 112, 3]),
        ("masked", True),
        ("return_sequences", True),
        ("classifier_activation", "linear"),
    ],
)
def test_what_training_decides_cannot_be_set(argument, value):
    message = refusal({"model": {"name": "hman", argument: value}})
    assert f"{argument!r} cannot be set here" in message and message.endswith("leave it out")


@pytest.mark.parametrize("content", [b"[model\nname = 3", b"\xff\xfe\x00", b"[model]\nname = 1\nname = 2\n"])
def test_a_file_that_is_not_toml_is_named(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match="broken.toml is not TOML: ") as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)


def test_a_recipe_of_the_library_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = ZOO / "hman" / "synthetic.toml"
    for name in ("hman/synthetic", "hman/synthetic.toml", "zoo/hman/synthetic.toml"):
        assert find_recipe(name).samefile(expected)
    assert read_recipe("hman/synthetic").model.name == "hman"


def test_a_file_wins_over_a_recipe_of_the_library(tmp_path, monkeypatch, file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hman").mkdir()
    file.rename(tmp_path / "hman" / "synthetic")
    assert read_recipe("hman/synthetic").model.arguments["units"] == 8


def test_a_recipe_that_is_not_there_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match="no recipe 'hman/syntetic': did you mean 'hman/synthetic', "):
        read_recipe("hman/syntetic")
    with pytest.raises(UserError, match="there is no recipe 'x.toml': keras-actrec models lists all"):
        read_recipe("x.toml")


def test_the_listed_recipes_are_the_files_in_the_zoo():
    assert {name: path.resolve() for name, path in list_recipes().items()} == {
        f"{path.parent.name}/{path.stem}": path for path in ZOO.glob("*/*.toml")
    }
    assert len(FILES) >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_of_the_library_is_valid_and_lies_with_its_model(path):
    recipe = read_recipe(path)
    assert recipe.model.name == path.parent.name
    assert set(recipe.model.arguments) <= set(zoo.spec(recipe.model.name).arguments)
    assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_of_the_library_says_what_it_costs(path):
    comment = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert any("Cost: " in line for line in comment)
