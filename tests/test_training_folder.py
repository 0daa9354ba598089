"""A run directory: the same command goes on or finds the run finished; another is refused with the reason."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import trees
from keras_actrec import training
from keras_actrec.cli.main import app
from keras_actrec.data import VideoError, audit_videos, read_dataset
from keras_actrec.errors import UserError

pytestmark = pytest.mark.once

RECIPE = """
[model]
name = "stacked_rnn"
units = 2
num_layers = 1

[data]
dataset = "northwestern_ucla"
split = "view1_view2"

[skeleton]
frames = 4

[train]
epochs = 2
batch_size = 100
workers = 0
"""


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    return trees.northwestern_ucla(folder, subjects=1, episodes=2)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Reads the recipe with changes."""
    file = tmp_path_factory.mktemp("recipe") / "mine.toml"
    file.write_text(RECIPE, encoding="utf-8")

    def read(*changes):
        return training.read_recipe(file, changes)

    read.file = file
    return read


def after_an_epoch(stage, done, total, text=""):
    if stage == "epochs" and done == 1:
        raise Stop


@pytest.fixture(scope="module")
def runs(data, recipe, tmp_path_factory):
    """A folder with a run that was stopped behind its first epoch, `started`, and with `finished`."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.raises(Stop):
        training.train(recipe(), data, folder / "started", progress=after_an_epoch)
    shutil.copytree(folder / "started", folder / "finished")
    training.train(recipe(), data, folder / "finished")
    return folder


@pytest.fixture
def started(runs, tmp_path):
    return shutil.copytree(runs / "started", tmp_path / "started")


@pytest.fixture
def finished(runs, tmp_path):
    return shutil.copytree(runs / "finished", tmp_path / "finished")


def contents(folder):
    return {path: path.read_bytes() for path in folder.iterdir()}


def test_a_finished_run_is_left_alone_and_given_back(finished, data, recipe):
    before = contents(finished)
    run = training.train(recipe(), data, finished)
    assert run.was_finished and contents(finished) == before
    assert run.record == json.loads((finished / "run.json").read_text(encoding="utf-8"))
    assert run.recognizer.model.name == "stacked_rnn"


def test_the_command_says_that_a_run_is_finished_and_where_its_model_is(finished, data, recipe):
    before = contents(finished)
    command = ["train", recipe.file, "--data", data, "--out", finished]
    done = CliRunner().invoke(app, [str(each) for each in command])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"this run is finished: its model is {finished / 'model.keras'}\n"
    assert contents(finished) == before


CHANGES = {
    "train.epochs=3": "train.epochs=2 there, 3 here",
    "model.units=3": "model.units=2 there, 3 here",
    "train.clipnorm=1.0": "train.clipnorm not set there, 1.0 here",
    "model.num_layers=": "model.num_layers=1 there, not set here",
    'model.cell="lstm"': 'model.cell not set there, "lstm" here',
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", ["started", "finished"])
def test_another_recipe_is_refused_with_the_first_difference(state, change, data, recipe, request):
    folder = request.getfixturevalue(state)
    before = contents(folder)
    with pytest.raises(UserError) as caught:
        training.train(recipe(change), data, folder)
    words = f"holds a run with another recipe, {CHANGES[change]}: choose another --out, or remove it"
    assert str(caught.value) == f"{folder} {words}"
    assert contents(folder) == before


@pytest.mark.parametrize("state", ["started", "finished"])
def test_other_data_are_refused(state, data, recipe, request, tmp_path):
    folder = request.getfixturevalue(state)
    (tmp_path / "other").mkdir()
    trees.northwestern_ucla(tmp_path / "other", subjects=2, episodes=1)
    with pytest.raises(UserError, match="holds a run whose data was another: choose another --out"):
        training.train(recipe(), tmp_path / "other", folder)


def first_file(data):
    return data / "all_sqe" / "a01_s01_e00_v01.json"


def test_a_file_that_changed_since_a_run_began_is_refused_and_put_back_it_goes_on(
    started, data, recipe, tmp_path
):
    spoiled = shutil.copytree(data, tmp_path / "set")  # with the times of change
    file, before = first_file(spoiled), contents(started)
    content, about = file.read_bytes(), file.stat()
    for change in (lambda: file.write_bytes(content + b"\n"), lambda: os.utime(file)):
        change()
        with pytest.raises(UserError) as caught:
            training.train(recipe(), spoiled, started)
        assert str(caught.value).startswith(f"{file} is another file than when {started} was begun")
        assert "put it back as it was" in str(caught.value) and "choose another --out" in str(caught.value)
        assert contents(started) == before
    file.write_bytes(content)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert not training.train(recipe(), spoiled, started).was_finished


def test_with_an_audit_the_content_counts_and_not_the_time(data, recipe, tmp_path):
    spoiled, out, audit = shutil.copytree(data, tmp_path / "set"), tmp_path / "run", tmp_path / "audit.json"
    manifest = read_dataset("northwestern_ucla", spoiled, split="view1_view2")
    audit_videos(manifest, out=audit)
    with pytest.raises(Stop):
        training.train(recipe(), spoiled, out, audit=audit, progress=after_an_epoch)
    os.utime(first_file(spoiled))
    with pytest.raises(UserError, match="is another file than when"):
        training.train(recipe(), spoiled, out)
    audit_videos(manifest, out=audit)
    assert not training.train(recipe(), spoiled, out, audit=audit).was_finished


def test_a_run_whose_file_went_bad_goes_on_as_its_error_says(started, data, recipe, tmp_path):
    """With the options of the command that the error names, and nothing else changed."""
    spoiled = shutil.copytree(data, tmp_path / "set")
    first_file(spoiled).write_text("{", encoding="utf-8")
    command = ["train", recipe.file, "--data", spoiled, "--out", started]
    failed = CliRunner().invoke(app, [str(each) for each in command])
    assert failed.exit_code == 1 and "or pass `--on-error skip`" in failed.stderr
    done = CliRunner().invoke(app, [str(each) for each in [*command, "--on-error", "skip"]])
    assert done.exit_code == 0, done.output
    assert f"skipped: {first_file(spoiled)}: " in done.stdout
    assert done.stdout.endswith(f"evaluate {started / 'model.keras'} --data {spoiled} --on-error skip\n")


def test_more_bad_files_than_may_be_skipped_go_on_with_the_share_that_the_error_says(
    started, data, recipe, tmp_path
):
    spoiled = shutil.copytree(data, tmp_path / "set")
    for file in sorted((spoiled / "all_sqe").glob("*e00_v01.json"))[:5]:
        file.write_text("{", encoding="utf-8")
    command = ["train", recipe.file, "--data", spoiled, "--out", started, "--on-error", "skip"]
    failed = CliRunner().invoke(app, [str(each) for each in command])
    assert failed.exit_code == 1
    (advice,) = re.findall(r"pass `(--max-skipped [0-9.]+)`", failed.stderr)
    done = CliRunner().invoke(app, [str(each) for each in [*command, *advice.split()]])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("skipped: ") == 5
    assert done.stdout.endswith(f"--data {spoiled} --on-error skip {advice}\n")


def test_what_changes_no_number_may_change(started, data, recipe, tmp_path):
    command = ["train", recipe.file, "--data", data, "--out", started, "--cache", tmp_path / "cache"]
    command += ["--set", "train.workers=1", "--set", "train.processes=false", "--log", "tensorboard"]
    done = CliRunner().invoke(app, [str(each) for each in [*command, "--verify"]])
    assert done.exit_code == 0, done.output


def test_another_backend_does_not_go_on_but_finds_a_run_finished(started, data, recipe, monkeypatch):
    record = json.loads((started / "run.json").read_text(encoding="utf-8"))
    (started / "run.json").write_text(json.dumps(record | {"backend": "another"}), encoding="utf-8")
    with pytest.raises(UserError, match="holds a run on another: set KERAS_BACKEND to it, or choose another"):
        training.train(recipe(), data, started)
    (started / "run.json").write_text(json.dumps(record), encoding="utf-8")
    training.train(recipe(), data, started)
    record = json.loads((started / "run.json").read_text(encoding="utf-8"))
    (started / "run.json").write_text(json.dumps(record | {"backend": "another"}), encoding="utf-8")
    assert training.train(recipe(), data, started).was_finished


def test_a_run_goes_on_with_other_workers_and_another_rule_for_bad_files(started, data, recipe):
    changes = ["train.workers=2", "data.on_error=skip", "data.max_skipped=0.5"]
    run = training.train(recipe(*changes), data, started)
    assert not run.was_finished
    assert len((started / "history.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert training.read_recipe(started / "recipe.toml") == recipe(*changes)
    assert training.train(recipe("train.processes=true", "train.workers=1"), data, started).was_finished


def test_a_run_that_goes_on_took_as_long_as_all_its_calls(started, data, recipe):
    file = started / "checkpoint.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    state = json.loads(str(arrays["state"]))
    assert 0 < state["seconds"] < 500
    np.savez(file, **arrays | {"state": np.array(json.dumps(state | {"seconds": 1000.0}))})
    assert 1000 < training.train(recipe(), data, started).record["seconds"] < 1500


def test_a_run_that_failed_before_its_first_epoch_may_begin_with_another_recipe(data, recipe, tmp_path):
    bad, changes = shutil.copytree(data, tmp_path / "set"), ["data.on_error=skip", "train.epochs=1"]
    (bad / "all_sqe" / "a01_s01_e00_v01.json").write_text("{", encoding="utf-8")
    with pytest.raises(VideoError):
        training.train(recipe(), bad, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = training.train(recipe(*changes), bad, tmp_path / "run")
    assert len(run.record["data"]["skipped"]) == 1


def test_a_run_that_was_stopped_in_its_first_epoch_may_begin_with_another_recipe(data, recipe, tmp_path):
    def in_the_first(stage, done, total, text=""):
        if stage == "epochs":
            raise Stop

    with pytest.raises(Stop):
        training.train(recipe("train.batch_size=3"), data, tmp_path / "run", progress=in_the_first)
    assert (tmp_path / "run" / "run.json").exists()
    run = training.train(recipe("train.epochs=1"), data, tmp_path / "run")
    assert run.record["recipe"]["train"]["epochs"] == 1


def test_the_record_is_there_while_a_run_trains_and_says_how_it_began(started, recipe):
    record = json.loads((started / "run.json").read_text(encoding="utf-8"))
    assert record["recipe"] == recipe().model_dump(exclude_none=True)
    assert record["data"]["found"] == 40 and record["start"] is None
    assert "seconds" not in record and "last_epoch" not in record


def test_what_is_left_of_a_run_without_its_record_is_refused(started, data, recipe):
    (started / "run.json").unlink()
    with pytest.raises(UserError, match="run.json does not exist: .* holds what is left of a run; choose"):
        training.train(recipe(), data, started)
    (started / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="run.json is not JSON: .* holds what is left of a run; choose"):
        training.train(recipe(), data, started)
