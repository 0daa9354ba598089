"""Studies: what the TOML means, what is refused and how, the studies that come along, and the command."""

import math
import shutil
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import trees
from checks import without_numbers
from keras_actrec import tuning, zoo
from keras_actrec.cli.main import app
from keras_actrec.errors import UserError
from keras_actrec.training import parse_recipe, read_recipe
from keras_actrec.tuning import estimate_study, list_studies, parse_study, read_study
from keras_actrec.tuning.space import overrides_of

pytestmark = pytest.mark.once

FILES = sorted((Path(__file__).parents[1] / "tuning").glob("*/study.toml"))

RECIPE = """
[model]
name = "stacked_rnn"
units = 2
num_layers = 1

[data]
dataset = "northwestern_ucla"
split = "view1_view2"
validation_fraction = 0.25

[skeleton]
frames = 4
length = "resample"

[train]
epochs = 5
batch_size = 40
workers = 0
"""

STUDY = """
[study]
title = "gate and width"
paper = "a paper, table 1"
recipe = "recipe.toml"
set = ["train.epochs=3"]
max_trials = 10
winner_seeds = [0, 1]

[budget]
parameters = 5_000

[space."model.name"]
values = ["stacked_rnn", "eleatt_rnn"]

[space."model.attention_layers"]
values = [[], [1]]
when = { "model.name" = ["eleatt_rnn"] }

[space."skeleton.velocity"]
values = [false, true]

[table]
row = ["model.name", "model.attention_layers"]
column = "accuracy"
paper = { "stacked_rnn" = 0.5, "eleatt_rnn, [1]" = 0.6 }
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "gate"
    folder.mkdir()
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return folder


def refusal(folder, old, new):
    """The one line that refuses the study with a piece of its text replaced."""
    assert old in STUDY
    (folder / "study.toml").write_text(STUDY.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_study(folder / "study.toml")
    message = str(caught.value)
    assert message.startswith(f"{folder / 'study.toml'}: ") and "\n" not in message
    return message.removeprefix(f"{folder / 'study.toml'}: ")


def test_a_study_is_what_its_file_says(folder):
    study = read_study(folder / "study.toml")
    assert (study.name, study.title, study.paper) == ("gate", "gate and width", "a paper, table 1")
    assert (study.objective, study.direction, study.oracle, study.seed) == ("val_accuracy", "max", "grid", 0)
    assert (study.max_trials, study.winner_seeds, study.overrides) == (10, [0, 1], ["train.epochs=3"])
    assert (study.budget.parameters, study.budget.trial_seconds) == (5000, None)
    assert list(study.space.axes) == ["model.name", "model.attention_layers", "skeleton.velocity"]
    assert study.space.size() == (1 + 2) * 2


def test_the_recipe_of_a_trial_is_the_base_with_the_overrides_of_the_study_and_its_own(folder):
    study = read_study(folder / "study.toml")
    expected = read_recipe(folder / "recipe.toml", ["train.epochs=3", "skeleton.velocity=true"])
    assert study.recipe_of(["skeleton.velocity=true"]) == expected
    assert study.recipe_of(["train.epochs=2"]).train.epochs == 2


def test_a_recipe_is_looked_for_beside_the_study_first(folder, monkeypatch, tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("units = 2", "units = 9"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert read_study("gate/study.toml").recipe_of().model.arguments["units"] == 2


def test_what_to_toml_writes_is_read_back_as_the_same_study(folder, tmp_path):
    study = read_study(folder / "study.toml", ["study.seed=4", "budget.trial_seconds=1.5"])
    path = tmp_path / "elsewhere" / "again.toml"
    path.parent.mkdir()
    path.write_text(study.to_toml(), encoding="utf-8")
    assert read_study(path) == study


def test_the_label_of_a_row_leaves_out_what_the_row_does_not_have(folder):
    table = read_study(folder / "study.toml").table
    assert table.label({"model.name": "stacked_rnn", "skeleton.velocity": True}) == "stacked_rnn"
    values = {"model.name": "eleatt_rnn", "model.attention_layers": [1]}
    assert table.label(values) == "eleatt_rnn, [1]"


def test_overrides_change_the_study_its_base_and_its_axes(folder):
    overrides = ["study.max_trials=2", "train.epochs=1", "study.oracle=random", "skeleton.velocity=true"]
    study = read_study(folder / "study.toml", overrides)
    assert (study.max_trials, study.oracle) == (2, "random")
    assert study.recipe_of().train.epochs == 1
    assert {values["skeleton.velocity"] for values in study.space.combinations()} == {True}
    assert study.space.size() == 3


def test_an_axis_that_is_left_one_value_keeps_its_condition(folder):
    study = read_study(folder / "study.toml", ["model.attention_layers=[1]"])
    rows = [study.table.label(values) for values in study.space.combinations()]
    assert set(rows) == {"stacked_rnn", "eleatt_rnn, [1]"}


def test_the_direction_is_that_of_the_objective(folder):
    file = folder / "study.toml"
    assert read_study(file).direction == "max"
    assert read_study(file, ["study.objective=val_loss"]).direction == "min"
    file.write_text(STUDY.replace(KEY, f'{KEY}\ndirection = "max"'), encoding="utf-8")
    assert read_study(file, ["study.objective=loss"]).direction == "min"
    with pytest.raises(UserError, match="study.direction must be 'min' for loss. Received: 'max'"):
        read_study(file, ["study.objective=loss", "study.direction=max"])


def test_keys_and_tables_of_a_study_can_be_taken_out(folder):
    study = read_study(folder / "study.toml", ["budget.parameters=", "study.winner_seeds=", "table="])
    assert (study.budget.parameters, study.winner_seeds, study.table) == (None, [0, 1, 2], None)
    study = read_study(folder / "study.toml", ["budget=", "budget.trial_seconds=3.0", "study.set="])
    assert (study.budget.parameters, study.budget.trial_seconds, study.overrides) == (None, 3.0, [])
    assert read_study(folder / "study.toml", ["budget.study_seconds="]) == read_study(folder / "study.toml")


@pytest.mark.parametrize(
    "override, words",
    [
        ("budget.parameter=", "unknown key 'budget.parameter'; did you mean 'parameters'?"),
        ("study.sets=", "unknown key 'study.sets'; did you mean 'set'?"),
        ("budgets=", "unknown table 'budgets'; did you mean 'budget'?"),
        ("skeleton.velocit=", "unknown key 'skeleton.velocit'; did you mean 'skeleton.velocity'?"),
        ("study.title=", "'study.title' is missing"),
        ("space=", "'space' is missing"),
    ],
)
def test_what_a_study_does_not_know_or_needs_cannot_be_taken_out(folder, override, words):
    with pytest.raises(UserError) as caught:
        read_study(folder / "study.toml", [override])
    assert str(caught.value).startswith(f"{folder / 'study.toml'}: ") and words in str(caught.value)


def test_a_key_of_the_base_can_be_taken_out_in_a_study(folder):
    file = folder / "study.toml"
    expected = read_recipe(folder / "recipe.toml", ["train.epochs=3", "data.validation_fraction="])
    assert read_study(file, ["data.validation_fraction="]).recipe_of() == expected
    file.write_text(STUDY.replace("train.epochs=3", "train.epochs="), encoding="utf-8")
    assert read_study(file).recipe_of().train.epochs == 60  # the default


def test_an_axis_can_be_taken_out_with_what_depends_on_it(folder):
    told = []
    study = read_study(folder / "study.toml", ["skeleton.velocity="], tell=told.append)
    assert list(study.axes) == ["model.name", "model.attention_layers"] and told == []
    study = read_study(folder / "study.toml", ["model.attention_layers="], tell=told.append)
    assert list(study.axes) == ["model.name", "skeleton.velocity"] and told == []
    assert study.table.rows == ["model.name"]
    study = read_study(folder / "study.toml", ["model.name="], tell=told.append)
    assert list(study.axes) == ["skeleton.velocity"] and study.table is None
    assert told == [
        "model.attention_layers falls away without model.name",
        "table falls away without model.attention_layers",
    ]


def test_an_axis_that_exists_under_other_values_only_falls_away(folder):
    told, file = [], folder / "study.toml"
    study = read_study(file, ["model.name=stacked_rnn"], tell=told.append)
    assert study.space.size() == 2 and list(study.axes) == ["model.name", "skeleton.velocity"]
    assert told == ["model.attention_layers falls away with model.name='stacked_rnn'"]
    study = read_study(file, ["model.name=eleatt_rnn"])
    assert study.space.size() == 4 and "model.attention_layers" in study.axes
    for overrides in (
        ["model.name=stacked_rnn", "model.attention_layers=[1]"],
        ["model.attention_layers=[1]"],
    ):
        with pytest.raises(UserError, match="`when`: model.name is never 'eleatt_rnn'"):
            read_study(file, [*overrides, "model.name=stacked_rnn"])


def test_of_two_values_for_an_axis_the_last_one_counts(folder):
    overrides = ["model.name=stacked_rnn", "model.name=eleatt_rnn"]
    assert read_study(folder / "study.toml", overrides) == read_study(folder / "study.toml", overrides[1:])


@pytest.mark.parametrize(
    "text, words",
    [("study = 3\n", "the table [study] is missing"), ("table = 3\n[study]\n", "'study.title' is missing")],
)
def test_a_table_that_is_none_is_refused_with_overrides_too(folder, text, words):
    (folder / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_study(folder / "study.toml", ["model.name=eleatt_rnn", "study.seed=1"])
    assert words in str(caught.value)


def test_of_several_values_that_an_axis_exists_under_the_one_that_is_left_counts(folder):
    text = STUDY.replace('["eleatt_rnn"]', '["stacked_rnn", "eleatt_rnn"]').replace(
        "attention_layers", "dropout"
    )
    (folder / "study.toml").write_text(text.replace("[[], [1]]", "[0.1, 0.2]"), encoding="utf-8")
    study = read_study(folder / "study.toml", ["model.name=stacked_rnn", "model.dropout=0.5"])
    assert list(study.space.combinations()) == [
        {"model.name": "stacked_rnn", "model.dropout": 0.5, "skeleton.velocity": velocity}
        for velocity in (False, True)
    ]


def test_keys_of_the_base_fall_away_for_an_axis_and_for_the_studys_own_set(folder):
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE + 'schedule = "multistep"\nmilestones = [2]\nclipnorm = 1.0\n', encoding="utf-8")
    axis = '[space."train.optimizer"]\nvalues = ["adam", "rprop"]\n\n[table]'
    file = folder / "study.toml"
    file.write_text(STUDY.replace("[table]", axis), encoding="utf-8")
    study = read_study(file)
    values = tomllib.loads(RECIPE)
    values["train"] |= {"epochs": 3, "optimizer": "rprop"}
    assert study.recipe_of(['train.optimizer="rprop"']) == parse_recipe(values)
    told = []
    study = read_study(file, ["train.schedule=plateau", "train.optimizer=adam"], tell=told.append)
    assert told == ["train.milestones falls away with train.schedule='plateau'"]
    values["train"] |= {"optimizer": "adam", "schedule": "plateau", "clipnorm": 1.0}
    assert study.recipe_of(['train.optimizer="adam"']) == parse_recipe(values)
    with pytest.raises(UserError, match="with .*rprop.*: .*train.schedule: must be left out"):
        read_study(file, ["train.schedule=plateau"])
    with pytest.raises(UserError, match="with .*rprop.*: .*train.clipvalue: must be left out"):
        read_study(file, ["train.clipvalue=0.5"])


KEY = "max_trials = 10"


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("[study]", "[studi]", "unknown table 'studi'; did you mean 'study'?"),
        ("[budget]", "[budgets]", "unknown table 'budgets'; did you mean 'budget'?"),
        ('title = "gate and width"\n', "", "'study.title' is missing"),
        ("max_trials", "max_trial", "'study.max_trials' is missing"),
        (KEY, f"{KEY}\norakel = 3", "unknown key 'study.orakel'; did you mean 'oracle'"),
        (KEY, f"max_trials = {10**20}", "max_trials: input should be at least 1 and at most 65536"),
        (KEY, f"seed = {10**20}\n{KEY}", "seed: input should be at least 0 and at most 4294967295"),
        (KEY, "max_trials = 0", "max_trials: input should be at least 1 and at most 65536"),
        (KEY, 'max_trials = "10"', "study.max_trials: input should be a valid integer"),
        (KEY, f'{KEY}\noracle = "gird"', "study.oracle: input should be 'grid', 'random'"),
        (KEY, f'{KEY}\nobjective = "val_loss"\ndirection = "max"', "direction must be 'min' for val_loss"),
        (KEY, f'{KEY}\ndirection = "min"', "direction must be 'max' for val_accuracy"),
        ("parameters", "parameter", "unknown key 'budget.parameter'; did you mean 'parameters'?"),
        ("5_000", "0", "budget.parameters: input should be above 0. Received: 0"),
        ("[[], [1]]", "[]", 'space."model.attention_layers".values: list should have at least 1 item'),
        ("[[], [1]]", "[[1], [1]]", 'space."model.attention_layers": a value occurs twice'),
        ("when", "wenn", "unknown key 'space.\"model.attention_layers\".wenn'; did you mean 'when'?"),
        ('["eleatt_rnn"]', '["eleat_rnn"]', "`when`: model.name is never 'eleat_rnn'"),
        ("recipe.toml", "hman/synthetik", "no recipe 'hman/synthetik': did you mean 'hman/synthetic', "),
        ("train.epochs=3", "train.epoch=3", "unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        ("skeleton.velocity", "skeleton.velocit", "unknown key 'skeleton.velocit'; did you mean"),
        ("skeleton.velocity", "velocity", "--set takes table.key=value"),
        ('"eleatt_rnn"]\n\n', '"eleat_rnn"]\n\n', "model.name is never 'eleatt_rnn'"),
        ("[false, true]", "[false, 1.5]", 'with model.name="stacked_rnn" skeleton.velocity=1.5:'),
        (
            "[false, true]\n",
            '[false, true]\n\n[space."train.learning_rate"]\nlow = 0.1\nhigh = 1.0\n',
            "study.oracle='grid' needs an end of all values: give train.learning_rate values or a step",
        ),
        (
            "[false, true]\n",
            '[false, true]\n\n[space."data.split_seed"]\nlow = 0\nhigh = 99_999\n',
            "study.oracle='grid' tries all combinations, which are more than 10000: give fewer values, or",
        ),
        (
            '"model.attention_layers"]\ncolumn',
            '"model.units"]\ncolumn',
            "table.row: unknown axis 'model.units'",
        ),
        ("column", "colum", "'table.column' is missing"),
        *[
            (
                'skeleton.velocity"]\nvalues = [false, true]',
                f'train.seed"]\nvalues = {seeds}',
                f"study.winner_seeds: {again} is a seed of the search, choose others: {others}",
            )
            for seeds, again, others in (([0, 1, 2], 0, [3, 4, 5]), ([7, 1], 1, [8, 9, 10]))
        ],
    ],
)
def test_a_study_that_means_nothing_is_refused_in_one_line(folder, old, new, words):
    assert words in refusal(folder, old, new)


def test_of_a_grid_all_combinations_are_tried_on_the_recipe(folder):
    text = '[space."train.optimizer"]\nvalues = ["adam", "rprop"]\n[space."train.clipnorm"]\nvalues = [1.0]\n'
    message = refusal(folder, "[table]", f"{text}[table]")
    assert (
        'train.optimizer="rprop" train.clipnorm=1.0' in message
        and "train.clipnorm: must be left out" in message
    )


def test_the_luckiest_seed_is_not_searched_for(folder):
    text = STUDY.replace("skeleton.velocity", "train.seed").replace("[false, true]", "[5, 6]")
    (folder / "study.toml").write_text(text, encoding="utf-8")
    assert read_study(folder / "study.toml").space.size() == 6
    for oracle in ("random", "bayesian", "hyperband"):
        study = read_study(folder / "study.toml", [f"study.oracle={oracle}"])
        assert study.axes["train.seed"].values == [5] and study.space.size() == 3
        (folder / "written.toml").write_text(study.to_toml(), encoding="utf-8")
        assert read_study(folder / "written.toml").axes == study.axes
    (folder / "study.toml").write_text(
        text.replace('"model.attention_layers"]\ncolumn', '"train.seed"]\ncolumn')
    )
    with pytest.raises(UserError, match="table.row: train.seed makes no row"):
        read_study(folder / "study.toml")


def test_hyperband_sets_the_epochs_itself(folder):
    text = 'set = []\noracle = "hyperband"\n'
    (folder / "study.toml").write_text(
        STUDY.replace('set = ["train.epochs=3"]\n', text)
        .replace("skeleton.velocity", "train.epochs")
        .replace("[false, true]", "[1, 2]"),
        encoding="utf-8",
    )
    with pytest.raises(UserError, match="study.oracle='hyperband' sets train.epochs itself"):
        read_study(folder / "study.toml")


def test_a_file_that_is_not_toml_is_refused(folder):
    (folder / "study.toml").write_text("[study", encoding="utf-8")
    with pytest.raises(UserError, match="study.toml is not TOML"):
        read_study(folder / "study.toml")


def test_a_study_without_its_table_is_refused():
    with pytest.raises(UserError, match=r"study: the table \[study\] is missing"):
        parse_study({"space": {}})


@pytest.mark.parametrize("name", ["hman_frames", "tuning/hman_frames", "tuning/hman_frames/study.toml"])
def test_a_study_that_comes_along_is_found_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tuning.find_study(name) == list_studies()["hman_frames"]


def test_a_study_that_is_not_there_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match="there is no study 'hman_frame': did you mean 'hman_frames'"):
        read_study("hman_frame")


@pytest.mark.parametrize("override", ["max_trials=3", "study.max_trials", "=3"])
def test_an_override_without_table_and_value_is_refused(folder, override):
    with pytest.raises(UserError, match="--set takes table.key=value, such as study.max_trials=4"):
        read_study(folder / "study.toml", [override])


def test_the_studies_that_come_along_are_the_folders_in_the_checkout():
    assert list_studies() == {file.parent.name: file for file in FILES}
    assert len(FILES) >= 16


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_a_study_that_comes_along_covers_its_grid_and_its_table(file):
    study = read_study(file)
    assert study.max_trials >= study.space.size()  # the whole table
    rows = {study.table.label(values) for values in study.space.combinations()}
    times = math.prod(len(study.axes[name].values) for name in study.repeat)
    assert len(rows) * times == study.space.size()  # nothing else is mixed
    assert set(study.table.paper) <= rows
    if "train.seed" in study.axes:
        assert len(set(study.winner_seeds) - set(study.axes["train.seed"].values)) == 3
    if study.objective.startswith("val_"):
        assert study.recipe_of().data.validation_fraction > 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_combination_of_a_study_that_comes_along_can_be_built(file):
    study = read_study(file)
    recipes = [study.recipe_of(overrides_of(values)) for values in study.space.combinations()]
    models = {}
    for recipe in recipes:
        clips = zoo.spec(recipe.model.name).input == "clip"
        shape = {"input_shape": (recipe.frames, 64, 64, 3)} if clips else {}
        models[repr((recipe.model, shape))] = recipe.model, shape
    for model, shape in models.values():
        with without_numbers():
            built = zoo.build(model.name, 10, **model.arguments, **shape)
        assert built.output_shape[-1] == 10


def test_the_rows_of_the_thesis_are_the_thesis():
    paper = {name: read_study(name).table.paper for name in list_studies()}
    # Iqbal 2017, UCF101 split 1: error rates of tables 5.3 to 5.7
    assert paper["strn_learning"] == {"rprop, 0.1": 0.222, "adam, 0.1": 0.233, "adam, 0.01": 0.197}
    assert paper["strn_placement"] == {"5-11": 0.265, "49-55": 0.234, "86-92": 0.231, "98-104": 0.219}
    assert paper["strn_connection"] == {"identity": 0.197, "linear": 0.219, "nonlinear": 0.21}
    assert paper["strn_sampling"] == {"2": 0.195, "5": 0.196, "10": 0.197, "15": 0.213}
    assert paper["strn_context"] == {"2, false": 0.197, "3": 0.194, "2, true": 0.205, "5": 0.209}
    assert paper["strn_sequences"] == {"2": 0.197, "3, false": 0.194, "3, true": 0.205, "5": 0.209}


def test_the_rows_of_the_other_papers_are_theirs():
    paper = {name: read_study(name).table.paper for name in list_studies()}
    # HM-AN, arXiv 1708.07590, tables 3 and 4, UCF Sports
    assert list(paper["hman_frames"].values()) == [0.70, 0.74, 0.78, 0.82, 0.801]
    gumbel = {"gumbel_adaptive": 0.82, "gumbel_constant": 0.76}
    assert paper["hman_attention"] == {"soft": 0.811, "reinforce": 0.82, **gumbel}
    # Table 5, Olympic Sports, as the text has it
    assert list(paper["hman_precision"].values()) == [0.824, 0.771, 0.823, 0.827]
    assert paper["hman_temperature"] == {"gumbel_constant, 0.3": 0.76, "gumbel_adaptive": 0.82}
    # EleAttG, arXiv 1807.04445, tables 6 and 7, NTU RGB+D, cross-subject
    assert list(paper["eleatt_layers"].values()) == [0.752, 0.787, 0.773, 0.764, 0.798]
    assert list(paper["eleatt_activation"].values()) == [0.75, 0.727, 0.72, 0.787, 0.773, 0.764]
    assert list(paper["eleatt_width"].values()) == [0.755, 0.758, 0.786, 0.752, 0.765, 0.798]
    # Tables 2 and 5: NTU RGB+D, cross-subject, and the two settings of SYSU 3D HOI
    assert list(paper["eleatt_cell"].values()) == [0.516, 0.616, 0.772, 0.784, 0.752, 0.798]
    assert list(paper["eleatt_folds"].values()) == [0.821, 0.849, 0.857, 0.821, 0.845, 0.857]


def test_the_plain_rnn_of_the_cells_has_one_layer_and_the_others_have_three():
    study = read_study("eleatt_cell")
    for values in study.space.combinations():
        recipe = study.recipe_of(overrides_of(values))
        layers = 1 if values["model.cell"] == "rnn" else 3
        assert (recipe.model.arguments["num_layers"], recipe.model.arguments["units"]) == (layers, 100)
        assert recipe.model.arguments["cell"] == values["model.cell"]


def test_the_study_of_folds_trains_each_row_on_all_30():
    study, folds = read_study("eleatt_folds"), {}
    for values in study.space.combinations():
        recipe = study.recipe_of(overrides_of(values))
        assert recipe.data.validation_fraction == 0
        turned = values.get("skeleton.rotation", 0.0)
        assert recipe.skeleton.rotation == turned and recipe.model.name == values["model.name"]
        row = folds.setdefault((recipe.data.split, recipe.model.name, turned), [])
        row.append(recipe.data.options["fold"])
    assert len(folds) == 6 and set(map(tuple, folds.values())) == {tuple(range(1, 31))}
    assert (study.repeats, read_study("eleatt_cell").repeats) == ("folds", "seeds")


def test_what_is_repeated_makes_no_row_and_has_no_winner_of_other_seeds(folder):
    text = STUDY.replace(KEY, f'{KEY}\nrepeat = ["skeleton.velocity"]')
    (folder / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="winner_seeds: the best configuration has been trained with each"):
        read_study(folder / "study.toml")
    overrides = ["study.winner_seeds=[]", 'table.row=["model.name", "skeleton.velocity"]']
    with pytest.raises(UserError, match=r"table.row: skeleton.velocity makes no row"):
        read_study(folder / "study.toml", overrides)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_row_of_the_paper_is_one_that_the_study_trains(file):
    study = read_study(file)
    trained = {study.table.label(values) for values in study.space.combinations()}
    assert study.table.paper and trained >= set(study.table.paper)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.northwestern_ucla(tmp_path_factory.mktemp("data"), subjects=2)


def test_a_description_counts_combinations_trials_and_parameters(folder, data):
    stages = set()
    found = estimate_study(
        read_study(folder / "study.toml"),
        data,
        progress=lambda stage, done, total, text="": stages.add(stage),
    )
    assert (found["combinations"], found["trials"], found["epochs"]) == (6, 6, 3)
    # A GRU of N = 2 units, 3 N (D + N + 1), on D = 20 x 3 coordinates, and 10 classes; a gate D (D + N + 1).
    classes = 2 * 10 + 10
    assert found["smallest"] == 3 * 2 * (60 + 2 + 1) + classes
    assert found["largest"] == 3 * 2 * (120 + 2 + 1) + classes + 120 * (120 + 2 + 1)
    assert found["refused"] == [] and stages >= {"epochs"}
    assert 0 < found["seconds"] < 3600


def test_a_description_leaves_weights_out_that_are_not_trained(folder, data):
    found = estimate_study(read_study(folder / "study.toml", ["model.motion=true"]), data)
    model = zoo.stacked_rnn(10, input_shape=(None, 60), units=2, num_layers=1, motion=True)
    assert model.non_trainable_weights
    assert found["smallest"] == sum(math.prod(weight.shape) for weight in model.trainable_weights)


def test_a_description_names_combinations_that_cannot_be_built(folder, data):
    study = read_study(folder / "study.toml", ["model.attention_layers=[2]", "skeleton.velocity=false"])
    (line,) = estimate_study(study, data)["refused"]
    assert line.startswith('model.name="eleatt_rnn" model.attention_layers=[2] skeleton.velocity=false: ')
    assert "`attention_layers` must be a list of numbers from 1 to 1" in line


def test_an_objective_that_the_base_does_not_have_is_refused(folder, data):
    study = read_study(folder / "study.toml", ["data.validation_fraction=0.0"])
    with pytest.raises(UserError, match="gate: study.objective='val_accuracy' needs a validation part"):
        estimate_study(study, data)


def test_a_dry_run_prints_the_description_and_writes_nothing(folder, data):
    arguments = ["tune", folder / "study.toml", "--data", data, "--dry-run", "--set", "study.max_trials=4"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        "combinations: 6",
        "trials: 4, 3 epochs each",
        "trainable parameters: 408 to 15,528",
    ]
    assert lines[3].startswith("estimated time: ") and len(lines) == 4
    assert sorted(path.name for path in folder.iterdir()) == ["recipe.toml", "study.toml"]


@pytest.mark.parametrize(
    "options, words",
    [
        ([], "--out is missing"),
        (["--out", "o", "--role", "chief"], "--role and --address go together"),
        (["--out", "o", "--address", "localhost:8000"], "--role and --address go together"),
        (["--out", "o", "--role", "worker", "--address", "localhost:8000"], "--id goes with --role worker"),
        (["--out", "o", "--id", "w"], "--id goes with --role worker"),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_one_line(folder, data, options, words):
    arguments = ["tune", str(folder / "study.toml"), "--data", str(data), *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and words in result.stderr and result.stderr.count("\n") == 1


def test_the_studies_are_read_from_the_package_where_they_are_installed(tmp_path, monkeypatch):
    installed = tmp_path / "keras_actrec"
    shutil.copytree(FILES[0].parents[1], installed / "studies")
    monkeypatch.setattr("keras_actrec.__file__", str(installed / "__init__.py"))
    assert list_studies()["hman_frames"] == installed / "studies" / "hman_frames" / "study.toml"


def test_the_recipe_beside_a_study_differs_from_the_models_own_in_its_schedule_alone():
    ours = tomllib.loads((FILES[0].parents[1] / "strn_learning" / "recipe.toml").read_text(encoding="utf-8"))
    theirs = read_recipe("strn/synthetic").model_dump()
    assert ours["model"] == {**read_recipe("strn/synthetic").model.arguments, "name": "strn"}
    assert {key: theirs["clip"][key] for key in ours["clip"]} == ours["clip"]
    assert ours["train"]["schedule"] == "constant"
