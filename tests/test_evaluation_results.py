"""Rows of results: what a run and its test have written, in one table."""

import csv
import json
import re

import pytest
from typer.testing import CliRunner

from keras_actrec import load, training
from keras_actrec.cli.main import app
from keras_actrec.data import write_synthetic
from keras_actrec.errors import UserError
from keras_actrec.evaluation import (
    RESULT_COLUMNS,
    describe_folds,
    describe_run,
    evaluate,
    find_runs,
    read_results,
    result_row,
    write_results,
)

pytestmark = pytest.mark.once

RECORD = {
    "recipe_name": "hman/fight",
    "overrides": ["model.motion=false", "data.test_fold=2", "train.seed=3", "train.epochs = 9"],
    "recipe": {"model": {"name": "hman"}, "data": {"test_fold": 2}, "train": {"seed": 3}},
    "data": {"sha256": "0123456789abcdef", "found": 40, "official": 50},
    "versions": {"jax": "0.10.2"},
    "backend": "jax",
    "machine": "two cores",
    "commit": None,
    "seconds": 12.5,
}
TEST = {
    "top1": 0.123456,
    "mean_class": 2 / 3,
    "videos": 9,
    "skipped": ["a: bad"],
    "protocol": "hman: 1 clip",
    "manifest": "0123456789abcdef",
    "part": "test",
    "floors": {"majority class": 0.1, "frame differences": 0.25},
}
ROW = {
    "experiment": "fight",
    "recipe": "hman/fight",
    "set": "model.motion=false train.epochs = 9",
    "fold": "2",
    "seed": "3",
    "top1": "0.1235",
    "mean_class": "0.6667",
    "videos": "9",
    "skipped": "1",
    "found": "40",
    "official": "50",
    "protocol": "hman: 1 clip",
    "commit": "",
    "backend": "jax 0.10.2",
    "machine": "two cores",
    "manifest": "0123456789ab",
    "seconds": "12.5",
    "floor": "0.2500",
    "floor_of": "frame differences",
}


def write(folder, record=None, test=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({**RECORD, **(record or {})}), encoding="utf-8")
    (folder / "test.json").write_text(json.dumps({**TEST, **(test or {})}), encoding="utf-8")
    return folder


def test_a_row_says_what_was_reached_by_what_on_what_and_where(tmp_path):
    assert result_row(write(tmp_path)) == ROW
    assert tuple(ROW) == RESULT_COLUMNS


def test_a_set_without_folds_or_official_count_has_empty_cells(tmp_path):
    recipe = {"model": {"name": "hman"}, "data": {}, "train": {"seed": 3}}
    data = {**RECORD["data"], "official": None}
    row = result_row(write(tmp_path, {"recipe": recipe, "data": data, "overrides": []}))
    assert (row["fold"], row["official"], row["set"]) == ("", "", "")


@pytest.mark.parametrize(
    ("data", "change"),
    [({"split": 2}, "data.split=2"), ({"split": "cs", "options": {"fold": 2}}, "data.options={fold=2}")],
)
def test_an_official_split_and_a_fold_of_a_reader_are_the_fold(data, change, tmp_path):
    recipe = {"model": {"name": "hman"}, "data": data, "train": {"seed": 3}}
    row = result_row(write(tmp_path, {"recipe": recipe, "overrides": [change, "model.motion=false"]}))
    assert (row["fold"], row["set"]) == ("2", "model.motion=false")


def test_a_fold_counts_once_in_the_mean_of_folds(tmp_path):
    def run(name, fold, top1, **recipe):
        record = {"recipe": {**RECORD["recipe"], "data": {"test_fold": fold}}, **recipe}
        return result_row(write(tmp_path / name, record, {"top1": top1, "mean_class": top1}))

    rows = [run("a", 0, 0.5), run("b", 0, 0.7), run("c", 1, 0.8), run("d", 1, 0.1, recipe_name="hman/other")]
    # The folds' means .6 and .8; Student's t of one degree, 12.7062, times .1
    assert describe_folds(rows) == [
        "hman/fight model.motion=false train.epochs = 9, mean of 2 folds: top-1 0.7000 ± 1.2706  "
        "mean class 0.7000"
    ]
    done = CliRunner().invoke(app, ["results", str(tmp_path)])
    assert done.exit_code == 0 and "mean of 2 folds: top-1 0.7000" in done.output


def test_a_test_without_floors_has_empty_cells(tmp_path):
    row = result_row(write(tmp_path, test={"floors": None}))
    assert (row["floor"], row["floor_of"]) == ("", "")


@pytest.mark.parametrize("test", [{"manifest": "another"}, {"part": "train"}, {"part": "all"}])
def test_a_test_on_other_data_or_another_part_is_no_result_of_the_run(tmp_path, test):
    with pytest.raises(UserError, match="test.json: a row is about the test part of the data"):
        result_row(write(tmp_path, test=test))


def test_what_is_missing_is_named_with_the_command_that_writes_it(tmp_path):
    with pytest.raises(UserError, match="run.json does not exist: is it a run directory"):
        result_row(tmp_path)
    (write(tmp_path) / "test.json").unlink()
    with pytest.raises(
        UserError, match="test.json does not exist: write it with `keras-actrec evaluate .*--json"
    ):
        result_row(tmp_path)
    (tmp_path / "test.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="test.json is not JSON"):
        result_row(tmp_path)


def test_a_run_of_an_older_version_is_refused_with_what_it_lacks(tmp_path):
    write(tmp_path)
    (tmp_path / "test.json").write_text(json.dumps({"top1": 1, "part": "test"}), encoding="utf-8")
    with pytest.raises(
        UserError, match="older keras_actrec and lacks 'manifest': train and evaluate it again"
    ):
        result_row(tmp_path)


def test_rows_replace_those_of_their_experiment_and_leave_others(tmp_path):
    file = tmp_path / "results.csv"
    write_results(file, [{**ROW, "seed": "1"}, {**ROW, "seed": "2"}, {**ROW, "experiment": "other"}])
    write_results(file, [{**ROW, "seed": "4"}])
    rows = read_results(file)
    assert [(row["experiment"], row["seed"]) for row in rows] == [("other", "3"), ("fight", "4")]
    assert rows[0] == {**ROW, "experiment": "other"}


def test_a_file_without_a_column_that_came_later_is_read_and_filled_up(tmp_path):
    file = tmp_path / "results.csv"
    file.write_text("experiment,top1\nold,0.5\n", encoding="utf-8")
    write_results(file, [ROW])
    assert read_results(file) == [
        {**dict.fromkeys(RESULT_COLUMNS, ""), "experiment": "old", "top1": "0.5"},
        ROW,
    ]


def test_a_csv_file_of_something_else_is_refused_and_stays(tmp_path):
    file = tmp_path / "videos.csv"
    file.write_text("path,label\na.mp4,run\n", encoding="utf-8")
    with pytest.raises(UserError, match="videos.csv is not a file of results: it has the column 'path'"):
        write_results(file, [ROW])
    assert file.read_text(encoding="utf-8") == "path,label\na.mp4,run\n"


def test_no_file_has_no_rows(tmp_path):
    assert read_results(tmp_path / "results.csv") == []


RECIPE = """
[model]
name = "frame_pool"
backbone = "efficientnet_lite0:block1_output"

[clip]
frames = 2
size = 32
crop = "none"

[train]
epochs = 1
"""


def test_the_command_line_goes_from_a_run_to_its_row(tmp_path):
    write_synthetic(tmp_path / "set", clips_per_class=3, size=32, frames=8, test_fraction=0.34)
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    folder, table = tmp_path / "run", tmp_path / "results.csv"
    changes = ["--set", "train.seed=5", "--set", "train.learning_rate=0.1"]
    commands = (
        ["train", recipe, "--data", tmp_path / "set", "--out", folder, *changes],
        ["evaluate", folder / "model.keras", "--data", tmp_path / "set", "--json", folder / "test.json"],
        ["results", folder, "--out", table],
    )
    for command in commands:
        done = CliRunner().invoke(app, [str(each) for each in command])
        assert done.exit_code == 0, done.output
    line, wrote = done.stdout.splitlines()
    assert line.startswith(f"{recipe} train.learning_rate=0.1 seed 5: top-1 ") and wrote == f"wrote {table}"
    with open(table, newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["experiment"], row["recipe"], row["set"]) == ("mine", str(recipe), "train.learning_rate=0.1")
    assert (row["seed"], row["videos"], row["found"], row["skipped"]) == ("5", "10", "30", "0")
    found = evaluate(load(folder / "model.keras"), tmp_path / "set")
    assert row["top1"] == f"{found.top1:.4f}" and found.manifest.startswith(row["manifest"])


def test_a_recipe_of_the_library_has_its_short_name_however_it_is_called():
    file = training.list_recipes()["hman/fight"]
    for name in ("hman/fight", "zoo/hman/fight.toml", str(file)):
        assert training.recipe_name(name) == "hman/fight"


HISTORY = "epoch,accuracy,loss,val_accuracy,learning_rate\n0,0.5,1.5,0.25,0.1\n1,0.75,1.25,0.5,0.1\n"


def begun(folder, **record):
    """A run directory after two of nine epochs."""
    folder.mkdir(parents=True)
    recipe = {**RECORD["recipe"], "train": {"seed": 3, "epochs": 9}}
    (folder / "run.json").write_text(json.dumps({**RECORD, "recipe": recipe, **record}), encoding="utf-8")
    (folder / "history.csv").write_text(HISTORY, encoding="utf-8")
    return folder


NAME = "hman/fight model.motion=false train.epochs = 9 fold 2 seed 3"


def test_a_run_that_has_not_ended_says_how_far_it_is(tmp_path):
    run = begun(tmp_path / "run")
    reached = "epoch 2 of 9  accuracy 0.7500  loss 1.2500  val_accuracy 0.5000"
    assert describe_run(run) == f"{NAME}: {reached}  {run} is unfinished: the same command goes on"
    (run / "history.csv").unlink()
    assert describe_run(run) == f"{NAME}: epoch 0 of 9  {run} is unfinished: the same command goes on"


def test_a_finished_run_without_scores_says_how_to_get_them(tmp_path):
    run = begun(tmp_path / "run")
    (run / "model.keras").touch()
    command = f"keras-actrec evaluate {run / 'model.keras'} --data DATA --json {run / 'test.json'}"
    assert describe_run(run).endswith(f"val_accuracy 0.5000  not evaluated: {command}")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"on_error": "skip", "max_skipped": 0.1}, ["--on-error", "skip"]),
        ({"on_error": "skip", "max_skipped": 0.3}, ["--on-error", "skip", "--max-skipped", "0.3"]),
        ({"on_error": "raise", "max_skipped": 0.3}, []),
    ],
)
def test_the_command_for_scores_stops_at_no_file_that_training_left_out(tmp_path, data, words):
    recipe = {**RECORD["recipe"], "data": data, "train": {"seed": 3, "epochs": 9}}
    run = begun(tmp_path / "run", recipe=recipe)
    (run / "model.keras").touch()
    _, _, command = describe_run(run).partition("not evaluated: keras-actrec ")
    assert command.split() == [
        *("evaluate", str(run / "model.keras"), "--data", "DATA"),
        *words,
        *("--json", str(run / "test.json")),
    ]
    with pytest.raises(UserError, match=f"write it with `keras-actrec {re.escape(command)}`"):
        result_row(run)


def test_an_evaluated_run_says_what_it_has_reached(tmp_path):
    scores = "top-1 0.1235  mean class 0.6667  9 videos, 1 skipped"
    assert describe_run(write(tmp_path / "run")) == f"{NAME}: {scores}"


def test_a_folder_stands_for_the_runs_inside(tmp_path):
    for name in ("b", "a/run", "a/other/run"):
        begun(tmp_path / name)
    (tmp_path / "c").mkdir()
    inside = [tmp_path / "a/other/run", tmp_path / "a/run"]
    assert find_runs([tmp_path]) == [*inside, tmp_path / "b"]
    assert find_runs([tmp_path / "b", tmp_path / "a", tmp_path / "b"]) == [tmp_path / "b", *inside]
    with pytest.raises(UserError, match="c is no run directory and holds none"):
        find_runs([tmp_path / "b", tmp_path / "c"])


def test_the_command_shows_all_runs_and_writes_the_evaluated_ones(tmp_path):
    write(tmp_path / "runs" / "evaluated")
    begun(tmp_path / "runs" / "begun")
    command = ["results", tmp_path / "runs", "--out", tmp_path / "results.csv"]
    done = CliRunner().invoke(app, [str(each) for each in command])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines[:2]] == [NAME, NAME]
    assert (
        "goes on" in lines[0] and "top-1" in lines[1] and lines[2:] == [f"wrote {tmp_path / 'results.csv'}"]
    )
    assert read_results(tmp_path / "results.csv") == [ROW]


def test_a_run_that_cannot_be_read_is_said_and_the_others_are_shown(tmp_path):
    runs = tmp_path / "runs"
    write(runs / "evaluated")
    begun(runs / "begun")
    damaged = begun(runs / "damaged")
    (damaged / "run.json").write_text("{", encoding="utf-8")
    cut = begun(runs / "cut")
    (cut / "history.csv").write_text("epoch,loss\n0,", encoding="utf-8")
    lists = begun(runs / "lists")
    (lists / "run.json").write_text("[]", encoding="utf-8")
    (tmp_path / "stopped before it began" / "cache").mkdir(parents=True)
    command = ["results", runs, tmp_path / "stopped before it began", "--out", tmp_path / "results.csv"]
    done = CliRunner().invoke(app, [str(each) for each in command])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.output
    lines = done.stdout.splitlines()
    said = [line.removeprefix("not shown: ").split(":")[0] for line in lines if line.startswith("not shown")]
    assert said[0].startswith(f"{tmp_path / 'stopped before it began'} is no run directory")
    assert set(said[1:]) == {f"{damaged / 'run.json'} is not JSON", str(cut), str(lists)}
    assert sum(line.startswith(NAME) for line in lines) == 2
    assert read_results(tmp_path / "results.csv") == [ROW]


def test_scores_of_a_run_that_was_begun_again_are_not_its_result(tmp_path):
    run = write(tmp_path / "run")
    record = {name: value for name, value in RECORD.items() if name != "seconds"}
    record["recipe"] = {**RECORD["recipe"], "train": {"seed": 3, "epochs": 9}}
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert describe_run(run).endswith("is unfinished: the same command goes on")


def test_a_record_of_an_older_version_is_refused_with_what_it_lacks(tmp_path):
    run = begun(tmp_path / "run", recipe={"data": {}, "train": {"seed": 1}})
    with pytest.raises(UserError, match="older keras_actrec and lacks 'epochs': train and evaluate it again"):
        describe_run(run)
