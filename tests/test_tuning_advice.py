"""What `tune` says that one should do leads to the end, step by step."""

import contextlib
import csv
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import trees
from keras_actrec import training, tuning
from keras_actrec.cli.main import app
from keras_actrec.errors import UserError
from keras_actrec.training.prepare import read_data
from keras_actrec.tuning import distributed, study_run, trial

pytestmark = pytest.mark.once

_search = pytest.importorskip("keras_actrec.tuning._search", reason="the extra tune is not installed")

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
epochs = 1
batch_size = 60
workers = 0
"""
STUDY = """
[study]
title = "A study"
recipe = "recipe.toml"
set = ["data.validation_fraction=0.25"]
max_trials = 2
winner_seeds = []
[space."model.units"]
values = [2, 3]
"""


class Here:
    """A process of a study, in this one."""

    pid = 1

    def __init__(self, module, job, log, program=trial):
        with (
            open(log, "a") as file,
            contextlib.redirect_stdout(file),
            contextlib.redirect_stderr(file),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "argv", [module, str(job)])
            patch.setattr(trial, "end_with_parent", lambda wait: None)
            self.returncode = 0
            try:
                program.main()
            except SystemExit as end:
                self.returncode = end.code

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def poll(self):
        return self.returncode

    @property
    def process(self):
        return self

    def close(self):
        pass


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setattr(study_run, "WorkerProcess", Here)
    monkeypatch.setattr(_search, "_PAUSE", 0.0)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "recipe.toml").write_text(RECIPE)
    (tmp_path / "study" / "study.toml").write_text(STUDY)
    return tmp_path / "study" / "study.toml"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return trees.northwestern_ucla(tmp_path_factory.mktemp("data"), subjects=1, episodes=2)


@pytest.fixture
def data(good, tmp_path):
    return shutil.copytree(good, tmp_path / "data")


@pytest.fixture
def quick(monkeypatch):
    """Trials that read their data and train nothing."""

    def done(job):
        recipe, folder = training.read_recipe(job["recipe"]), Path(job["run"])
        parts = read_data(recipe.data, job["data"])[1]
        records = [*parts["train"], *parts["validation"]]
        recipe.preprocessor.index(records, on_error=recipe.data.on_error, max_skipped=recipe.data.max_skipped)
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"train": 1, "validation": 1, "test": 1}
        record = {"data": {"found": 3, "official": None, "parts": parts}, "versions": {"x": "1"}}
        record |= {"backend": "x", "commit": "0", "machine": "m"}
        (folder / "run.json").write_text(json.dumps(record))
        result = {"status": "COMPLETED", "reason": "", "metrics": {"val_accuracy": 0.5}, "protocol": ""}
        return result | {"seconds": 1, "epochs": 1, "parameters": 1}

    monkeypatch.setattr(trial, "run", done)


def tune(study, data, *options):
    return ["tune", study, "--data", data, "--out", study.parent / "out", *options]


def run(arguments):
    """The one line of its error, or None, and what it prints."""
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    if done.exit_code == 0:
        return None, done.stdout
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.output
    *_, line = done.stderr.splitlines()
    assert line.startswith("error: ") and "Traceback" not in done.stderr
    return line.removeprefix("error: "), done.stdout


def follow(arguments, steps=5):
    """What was advised, until the command has worked."""
    taken = []
    for _ in range(steps):
        line, _ = run(arguments)
        if line is None:
            return taken
        (advice,) = re.findall(r"(?:pass `|add )(--[^`]+?)(?:`| to go on|$)", line)
        assert advice.split()[0] not in arguments, line
        taken.append(advice)
        arguments = [*arguments, *advice.split()]
    pytest.fail(f"it leads nowhere: {taken}")


def rows(study):
    with open(study.parent / "out" / "trials.csv", newline="") as file:
        return [(row["model.units"], row["status"]) for row in csv.DictReader(file)]


@pytest.mark.usefixtures("quick")
def test_a_bad_file_ends_a_study_and_what_is_advised_takes_it_to_its_end(study, data):
    """No trial has failed for it, and none of those that had ended is run again."""
    (data / "all_sqe" / "a01_s01_e00_v01.json").write_text("{")
    assert follow(tune(study, data)) == ["--on-error skip", "--resume"]
    assert rows(study) == [("2", "COMPLETED"), ("3", "COMPLETED")]


def test_more_bad_files_than_may_be_skipped_too(study, data):
    (data / "all_sqe" / "a01_s01_e00_v01.json").write_text("{")
    taken = follow(tune(study, data, "--dry-run", "--set", "data.max_skipped=0"))
    assert taken == ["--on-error skip", "--max-skipped 0.1"]  # one of ten for validation


def test_a_bad_file_ends_the_process_of_a_worker_which_is_not_started_again(study, data, monkeypatch):
    def no_luck(*arguments):
        raise study_run.BadDataError("0.json: no luck")

    made = tuning.read_study(study)
    run = study_run.StudyRun(made, data, study.parent / "out", workers=["worker-0"])
    run.open(resume=False)
    monkeypatch.setattr(distributed, "_work", no_luck)
    monkeypatch.setattr(distributed, "end_with_parent", lambda wait: None)
    monkeypatch.setattr(
        distributed, "_start", lambda job: Here("", job, job.with_suffix(".txt"), distributed)
    )
    with pytest.raises(UserError, match="^worker-0: 0.json: no luck$"):
        distributed._Process.begin(run, "worker-0", "127.0.0.1:1").look(run)


@pytest.mark.usefixtures("quick")
def test_what_is_said_of_the_directory_holds(study, data):
    command = tune(study, data)
    assert run(command[:-2])[0] == "--out is missing: the directory of the study"
    assert run([*command, "--resume"])[0].endswith("holds no study to go on with: leave --resume out")
    assert run(command)[0] is None
    before = (study.parent / "out" / "trials" / "0" / "result.json").stat().st_mtime_ns
    assert follow(command) == ["--resume"]
    assert (study.parent / "out" / "trials" / "0" / "result.json").stat().st_mtime_ns == before
    other = [*command, "--resume", "--set", "train.epochs=2"]
    assert run(other)[0].endswith("holds a study with another `overrides`: choose another --out")
    state = (study.parent / "out" / "oracle.json").read_text()
    (study.parent / "out" / "oracle.json").write_text("{")
    line, _ = run([*command, "--resume"])
    assert line.endswith("oracle.json is damaged: start the study anew in another --out")
    (study.parent / "out" / "oracle.json").write_text(state)
    (study.parent / "out" / "trials" / "0" / "result.json").write_text('{"status": "COMPLETED"}')
    line, _ = run([*command, "--resume"])
    assert line.endswith("0/result.json is damaged: start the study anew in another --out")
    for name, options in (("new", []), ("newer", ["--set", "train.epochs=2"])):
        assert run([*command[:-1], study.parent / name, *options])[0] is None


def test_where_all_trials_fail_the_reason_is_mended_in_another_directory(study, data, monkeypatch):
    command = tune(study, data, "--set", "data.validation_fraction=0")
    line, _ = run(command)
    assert line.startswith(
        "all 2 trials failed, the first one so: val_accuracy needs a validation part: put "
    )
    assert line.endswith("mend that, and start the study anew in another --out")
    (override,) = re.findall("put (.*) into `set`", line)
    again = [*tune(study, data)[:-1], study.parent / "new", "--set", "study.max_trials=1", "--set", override]
    assert run(again)[0] is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--role", "worker"], "--role and --address go together: "),
        (["--address", "localhost:8000"], "--role and --address go together: "),
        (["--role", "worker", "--address", "host:8000"], "--id goes with --role worker, which needs one: "),
        (["--role", "worker", "--address", "host:8000", "--id", "a/b"], "a worker needs an id of letters"),
        (["--role", "worker", "--address", "host", "--id", "w"], "the address must be host:port, such as "),
    ],
)
def test_options_as_they_are_advised_start_a_worker(study, data, monkeypatch, given, words):
    monkeypatch.setattr(distributed, "_PATIENCE", 0.0)
    line, _ = run(tune(study, data, *given))
    assert line.startswith(words)
    found = re.findall(r"--(role|address|id) ([\w:-]*\d)", line) + re.findall(r"--(role) (worker)", line)
    found += [("address", each) for each in re.findall(r"such as (\w+:\d+)", line)]
    found += [("id", each) for each in re.findall(r"such as (worker-\d+)", line)]
    options = dict(zip(given[::2], given[1::2], strict=True)) | {f"--{name}": each for name, each in found}
    line, _ = run(tune(study, data, *(word for option in options.items() for word in option)))
    assert line.startswith("no chief has opened a study in "), line  # it waits for one


@pytest.mark.parametrize(
    ("old", "new", "words", "advice"),
    [
        (
            'title = "A',
            'direction = "min"\ntitle = "A',
            "study.direction must be 'max'",
            "study.direction=max",
        ),
        ("winner_seeds = []", "", "is a seed of the search, choose others: ", "study.winner_seeds="),
        ("values = [2, 3]", "low = 1.0\nhigh = 2.0", "give model.units values or a step", "model.units=2"),
        ("values = [2, 3]", "low = 1\nhigh = 60000", "or take another oracle", "study.oracle=random"),
    ],
)
def test_a_study_is_taken_with_the_change_that_is_advised(study, old, new, words, advice):
    seeds = '[space."train.seed"]\nvalues = [0, 1]\n' if "seeds" in old else ""
    study.write_text(STUDY.replace(old, new) + seeds)
    with pytest.raises(UserError) as caught:
        tuning.read_study(study)
    assert words in str(caught.value)
    if advice.endswith("="):  # the values are in the message
        advice += str(caught.value).rpartition(": ")[2]
    tuning.read_study(study, [advice])


def test_epochs_are_taken_out_where_the_oracle_sets_them(study):
    study.write_text(STUDY + '[space."train.epochs"]\nvalues = [1, 2]\n')
    with pytest.raises(UserError, match="sets train.epochs itself: take the axis out"):
        tuning.read_study(study, ["study.oracle=hyperband"])
    tuning.read_study(study, ["study.oracle=hyperband", "train.epochs="])
