"""The runner of studies: with stand-ins in the place of trials, and one trial after the other for real."""

import csv
import errno
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import keras_actrec
import trees
from keras_actrec import _files, evaluation, training, tuning
from keras_actrec.errors import DiskFullError, UserError
from keras_actrec.training.folder import RunFolder
from keras_actrec.training.prepare import read_data
from keras_actrec.tuning import distributed, study_run, trial

_search = pytest.importorskip("keras_actrec.tuning._search", reason="the extra tune is not installed")

RECIPE = """
[model]
name = "stacked_rnn"
units = 2
num_layers = 1
dropout = 0.0
[data]
dataset = "northwestern_ucla"
split = "view1_view2"
validation_fraction = 0.25
[skeleton]
frames = 8
[train]
epochs = 2
batch_size = 20
learning_rate = 0.01
workers = 0
"""
# What it does depends on the number of units; without Keras it takes some hundredths of a second.
STAND_IN = """
import json, os, sys, time, tomllib
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
recipe = tomllib.loads(Path(job["recipe"]).read_text())
run, units = Path(job["run"]), recipe["model"]["units"]
run.mkdir(exist_ok=True)
with open(run.parent / "starts.txt", "a") as file:
    print(os.getpid(), file=file)
if units == 90:
    sys.exit("no luck")
if units == 91:
    os.kill(os.getpid(), 9)
if units == 92:
    kept = bytearray(150_000_000)
if units in (92, 93):
    time.sleep(60)
record = {"data": {"found": 9, "official": 9, "parts": {"train": 3, "validation": 3, "test": 3}}}
record |= {"versions": {"jax": "1"}, "backend": "jax", "commit": "0", "machine": "m"}
(run / "run.json").write_text(json.dumps(record))
seed = recipe["train"]["seed"]
metrics = {"val_accuracy": units / 100 + seed / 1000, "test_top1": units / 100, "test_videos": 100}
result = {"status": "COMPLETED", "reason": "", "metrics": metrics, "protocol": "once", "seconds": 1}
result |= {"epochs": recipe["train"]["epochs"], "parameters": units}
(run.parent / "result").write_text(json.dumps(result))
os.replace(run.parent / "result", job["result"])
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    file = tmp_path / "stand_in.py"
    file.write_text(STAND_IN)
    monkeypatch.setattr(study_run, "_command", lambda module, job: [sys.executable, str(file), str(job)])
    monkeypatch.setattr(_search, "_PAUSE", 0.0)
    monkeypatch.setattr(study_run, "_LOOK", 0.02)


@pytest.fixture
def make(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)

    def study(units=(10, 20), seeds=None, *, budget=None, table=None, **head):
        head = {"max_trials": 9, "winner_seeds": []} | head
        axes = {"model.units": {"values": list(units)}} | ({"train.seed": {"values": seeds}} if seeds else {})
        recipe = {"name": "s", "title": "A study", "recipe": str(tmp_path / "recipe.toml")}
        tables = {"study": recipe | head, "space": axes, "budget": budget or {}}
        return tuning.parse_study(tables | ({"table": table} if table else {}))

    return study


def rows(out):
    with open(out / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def starts(out):
    """How often each trial's process was started."""
    files = sorted(out.glob("trials/*/starts.txt"))
    return {int(file.parent.name): len(file.read_text().split()) for file in files}


@pytest.mark.no_backend
def test_a_grid_is_walked_in_order_and_ends_before_max_trials(make, stand_in, tmp_path):
    told = []
    out = tuning.run_study(
        make((10, 20, 30), [0, 5]), tmp_path, tmp_path / "out", progress=lambda *each: told.append(each)
    )
    found = rows(out)
    assert [(int(r["model.units"]), int(r["train.seed"])) for r in found] == [
        (units, seed) for units in (10, 20, 30) for seed in (0, 5)
    ]
    assert {r["status"] for r in found} == {"COMPLETED"}
    assert [float(r["val_accuracy"]) for r in found] == pytest.approx([0.1, 0.105, 0.2, 0.205, 0.3, 0.305])
    assert (found[0]["epochs"], found[0]["parameters"], found[0]["seconds"]) == ("2", "10", "1")
    assert [each[:3] for each in told] == [("trials", n, 9) for n in range(1, 7)]
    assert "units = 30" in (out / "best.toml").read_text()


@pytest.mark.no_backend
def test_what_the_folder_of_the_data_has_beside_is_told_once(make, stand_in, tmp_path):
    own = RECIPE.replace('dataset = "northwestern_ucla"\nsplit = "view1_view2"', 'dataset = "features"')
    (tmp_path / "recipe.toml").write_text(own.replace("[skeleton]", "[features]"))
    for name in ("a/1.npy", "b/2.npy", "a/3.npy", "b/4.npy", "a/5.npy", "b/6.npy", "c/7.pt"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    told = []
    tuning.run_study(make(), tmp_path / "data", tmp_path / "out", tell=told.append)
    assert told == ["1 file passed over: 1 .pt", "nothing to read in 'c'"]


@pytest.mark.no_backend
def test_a_study_does_not_go_on_with_data_that_changed_since_its_first_trial(make, stand_in, tmp_path):
    own = RECIPE.replace('dataset = "northwestern_ucla"\nsplit = "view1_view2"', 'dataset = "features"')
    (tmp_path / "recipe.toml").write_text(own.replace("[skeleton]", "[features]"))
    files = [tmp_path / "data" / label / f"{number}.npy" for label in "ab" for number in range(5)]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.full((4, 3), number, "float32"))
    out = tuning.run_study(make(), tmp_path / "data", tmp_path / "out")
    run = out / "trials" / "0" / "run"  # of a stand-in, which now gets what a run keeps of its data
    (run / "model.keras").touch()
    recipe = training.read_recipe(run.parent / "recipe.toml")
    manifest, parts = read_data(recipe.data, tmp_path / "data")
    record = json.loads((run / "run.json").read_text())
    record["data"]["sha256"] = manifest.sha256
    (run / "run.json").write_text(json.dumps(record))
    (run / "files.json").write_text(json.dumps(RunFolder(run, None).check_files(recipe, parts, None)))
    tuning.run_study(make(), tmp_path / "data", out, resume=True)
    np.save(files[0], np.ones((5, 3), "float32"))
    with pytest.raises(UserError, match=f"{files[0].name} is another file than when {run} was begun"):
        tuning.run_study(make(), tmp_path / "data", out, resume=True)
    files[0].unlink()
    with pytest.raises(UserError, match=f"{run} holds a run whose data was another"):
        tuning.run_study(make(), tmp_path / "data", out, resume=True)


@pytest.mark.once
def test_what_goes_wrong_in_a_trial_has_a_reason_and_ends_the_trial_alone(make, stand_in, tmp_path, capfd):
    study = make((90, 91, 92, 93, 10), budget={"trial_seconds": 2.0, "trial_memory_mb": 100.0})
    out = tuning.run_study(study, tmp_path, tmp_path / "out")
    assert "".join(capfd.readouterr()) == ""
    found = rows(out)
    assert [row["status"] for row in found] == ["FAILED"] * 4 + ["COMPLETED"]
    reasons = [row["reason"] for row in found]
    assert reasons[0] == "ended with status 1: no luck"
    assert reasons[1] == "killed by SIGKILL (out of memory?)"
    assert reasons[2].startswith("over budget: 1") and reasons[2].endswith("MB, budget.trial_memory_mb=100.0")
    assert reasons[3] == "over budget: longer than budget.trial_seconds=2.0"
    assert "units = 10" in (out / "best.toml").read_text()
    page = (out / "README.md").read_text()
    assert "5 trials, 1 completed." in page and "- trial 0 failed: ended with status 1: no luck" in page


def test_where_all_trials_fail_the_first_reason_is_told_and_there_is_no_best_one(make, stand_in, tmp_path):
    with pytest.raises(
        UserError, match="all 2 trials failed, the first one so: ended with status 1: no luck"
    ):
        tuning.run_study(make((90, 91)), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out" / "best.toml").exists()
    assert len(rows(tmp_path / "out")) == 2


def test_a_combination_that_the_recipe_refuses_fails_with_its_reason(make, stand_in, tmp_path):
    place = study_run.StudyRun(make(), tmp_path, tmp_path / "out")
    result = place.run_trial("0", {"model.unit": 3})
    assert result["status"] == "FAILED" and "has no argument 'unit'" in result["reason"]


@pytest.mark.no_backend
@pytest.mark.parametrize("oracle, trials", [("random", 3), ("bayesian", 5), ("hyperband", 2)])
def test_every_oracle_gives_as_many_trials_as_it_may(oracle, trials, make, stand_in, tmp_path):
    units = tuple(range(10, 30))
    study = make(units, oracle=oracle, max_trials=trials)
    found = rows(tuning.run_study(study, tmp_path, tmp_path / "out"))
    assert [row["status"] for row in found] == ["COMPLETED"] * trials
    again = rows(tuning.run_study(study, tmp_path, tmp_path / "again"))
    assert [row["model.units"] for row in again] == [row["model.units"] for row in found]  # also of seed 0


def test_a_small_space_ends_a_random_search(make, stand_in, tmp_path):
    found = rows(tuning.run_study(make((10, 20), oracle="random"), tmp_path, tmp_path / "out"))
    assert sorted(row["model.units"] for row in found) == ["10", "20"]


@pytest.mark.no_backend
def test_hyperband_sets_the_epochs(make, stand_in, tmp_path):
    study = make(tuple(range(10, 40)), oracle="hyperband", max_trials=7, set=["train.epochs=3"])
    out = tuning.run_study(study, tmp_path, tmp_path / "out")
    assert {row["epochs"] for row in rows(out)} == {"1", "3"}  # 3 epochs, halved by three
    longer = [row for row in rows(out) if row["epochs"] == "3"]
    best = max(rows(out), key=lambda row: float(row["val_accuracy"]) if row["epochs"] == "1" else 0)
    assert best["model.units"] in {row["model.units"] for row in longer}


def test_the_winner_is_trained_again_with_the_seeds(make, stand_in, tmp_path):
    out = tuning.run_study(make((10, 20), winner_seeds=[3, 4]), tmp_path, tmp_path / "out")
    results = [
        json.loads((out / "winner" / "1" / f"seed-{seed}" / "result.json").read_text()) for seed in (3, 4)
    ]
    assert [each["metrics"]["val_accuracy"] for each in results] == pytest.approx([0.203, 0.204])
    assert "Trained again with 2 seeds: val_accuracy 0.2035 ± 0.0064" in (out / "README.md").read_text()


def test_only_a_fresh_directory_or_that_of_the_study_is_taken(make, stand_in, tmp_path):
    study, out = make(), tmp_path / "out"
    with pytest.raises(UserError, match="holds no study to go on with: leave --resume out"):
        tuning.run_study(study, tmp_path, out, resume=True)
    tuning.run_study(study, tmp_path, out)
    with pytest.raises(UserError, match="holds a study: add --resume"):
        tuning.run_study(study, tmp_path, out)
    with pytest.raises(UserError, match="holds a study with another `axes`"):
        tuning.run_study(make((10, 21)), tmp_path, out, resume=True)
    with pytest.raises(UserError, match="is not empty and holds no study"):
        tuning.run_study(study, tmp_path, tmp_path)
    with pytest.raises(UserError, match="/nowhere does not exist: give the folder or CSV file"):
        tuning.run_study(study, tmp_path / "nowhere", tmp_path / "new")
    with pytest.raises(UserError, match="`workers` must be a whole number from 1"):
        tuning.run_study(study, tmp_path, tmp_path / "new", workers=0)


def test_more_trials_may_be_asked_for_later(make, stand_in, tmp_path):
    out = tmp_path / "out"
    tuning.run_study(make((10, 20, 30), max_trials=2), tmp_path, out)
    tuning.run_study(make((10, 20, 30)), tmp_path, out, resume=True)
    assert [row["model.units"] for row in rows(out)] == ["10", "20", "30"]
    assert starts(out) == {0: 1, 1: 1, 2: 1}


@pytest.mark.no_backend
@pytest.mark.parametrize("oracle", ["grid", "random", "bayesian", "hyperband"])
def test_stopped_around_any_save_of_the_oracle_no_trial_is_lost_or_run_twice(
    oracle, make, stand_in, tmp_path, monkeypatch
):
    study = make(tuple(range(10, 20)), oracle=oracle, max_trials=4)
    whole = rows(tuning.run_study(study, tmp_path, tmp_path / "whole"))
    save = study_run.write_json
    for stop, before in [(1, False), (2, True), (2, False), (3, True), (3, False)]:
        out, saves = tmp_path / f"out-{stop}-{before}", itertools.count(1)

        def stopping(path, values, stop=stop, before=before, saves=saves):
            this = next(saves) == stop
            if this and before:
                raise KeyboardInterrupt
            save(path, values)
            if this:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(_search, "write_json", stopping)
            with pytest.raises(KeyboardInterrupt):
                tuning.run_study(study, tmp_path, out)
        tuning.run_study(study, tmp_path, out, resume=True)
        assert [row["status"] for row in rows(out)] == ["COMPLETED"] * 4
        assert set(starts(out).values()) == {1}
        assert len(json.loads((out / "oracle.json").read_text())["end_order"]) == 4
        if oracle != "bayesian":  # whose generator starts again
            assert [row["model.units"] for row in rows(out)] == [row["model.units"] for row in whole]


def test_an_interrupt_ends_the_trials_process_and_leaves_a_study_to_go_on_with(
    make, stand_in, tmp_path, monkeypatch
):
    study, out = make((93, 10), budget={"trial_memory_mb": 1e6, "trial_seconds": 1.0}), tmp_path / "out"
    file = out / "trials" / "0" / "starts.txt"

    def interrupt(pid):
        if file.exists() and file.read_text().strip():
            raise KeyboardInterrupt
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(study_run, "_memory", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tuning.run_study(study, tmp_path, out)
    assert rows(out)[0]["status"] == "RUNNING"
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)
    tuning.run_study(study, tmp_path, out, resume=True)
    assert [row["status"] for row in rows(out)] == ["FAILED", "COMPLETED"]
    assert starts(out) == {0: 2, 1: 1}


@pytest.mark.once
def test_the_studys_time_ends_it_and_more_time_takes_it_up(make, stand_in, tmp_path):
    out, begun = tmp_path / "out", time.monotonic()
    tuning.run_study(make((10, 93), budget={"study_seconds": 2.0}), tmp_path, out)
    assert time.monotonic() - begun < 20
    assert [row["status"] for row in rows(out)] == ["COMPLETED", "RUNNING"]
    tuning.run_study(make((10, 93), budget={"trial_seconds": 0.5}), tmp_path, out, resume=True)
    assert [row["status"] for row in rows(out)] == ["COMPLETED", "FAILED"]


@pytest.mark.parametrize(
    "role, address, name, message",
    [
        ("boss", "node:8000", None, "role must be 'chief' or 'worker'. Received: role='boss'"),
        ("worker", "node", "worker-1", "the address must be host:port"),
        ("worker", "node:x", "worker-1", "the address must be host:port"),
        ("worker", "node:8000", None, "a worker needs an id"),
        ("worker", "node:8000", "a/b", "a worker needs an id"),
        ("worker", "node:8000", "chief-2", "without the word chief"),  # KerasTuner would take it for one
        ("chief", "node:8000", "worker-1", "a chief has no id"),
    ],
)
def test_roles_addresses_and_ids_are_checked(role, address, name, message, make, tmp_path):
    with pytest.raises(UserError, match=message):
        distributed.run_role(make(), tmp_path, tmp_path / "out", role, address, worker_id=name)
    assert not (tmp_path / "out").exists()


def test_a_worker_writes_nothing_before_the_chief_has_opened_the_directory(make, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        distributed,
        "_work",
        lambda study_run, *rest: seen.append(sorted(path.name for path in study_run.out.iterdir())),
    )
    arguments = (make(), tmp_path, tmp_path / "out", "worker", "node:8000")
    worker = threading.Thread(
        target=distributed.run_role, args=arguments, kwargs={"worker_id": "worker-1"}, daemon=True
    )
    worker.start()
    time.sleep(1)
    assert seen == [] and not (tmp_path / "out").exists()
    study_run.StudyRun(make(), tmp_path, tmp_path / "out").open(resume=False)
    worker.join(20)
    assert seen == [[".lock-worker-1", "study.toml"]]  # that no other worker has its id


def test_a_worker_without_a_chief_says_so(make, monkeypatch, tmp_path):
    monkeypatch.setattr(distributed, "_PATIENCE", 0.1)
    with pytest.raises(
        UserError, match="no chief has opened a study in .*: start it, and give all the same --out"
    ):
        distributed.run_role(make(), tmp_path, tmp_path / "out", "worker", "node:8000", worker_id="worker-1")


def test_a_damaged_state_is_named(make, stand_in, tmp_path):
    out = tuning.run_study(make(), tmp_path, tmp_path / "out")
    (out / "oracle.json").write_text('{"trials": [')
    with pytest.raises(UserError, match="oracle.json is damaged"):
        tuning.run_study(make(), tmp_path, out, resume=True)


@pytest.mark.no_backend
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_of_the_runner_stays_flat(make, stand_in, tmp_path):
    used = []
    study = make(tuple(range(10, 30)), max_trials=20)
    tuning.run_study(
        study, tmp_path, tmp_path / "out", progress=lambda *_: used.append(study_run._memory(os.getpid()))
    )
    assert len(used) == 20 and min(used) > 50
    slope = np.polyfit(range(20), used, 1)[0]
    print(f"{slope:.4f} MB a trial, {used[0]:.1f} to {used[-1]:.1f} MB")
    assert slope < 2


def test_a_missing_extra_is_one_line(make, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(UserError, match=r"pip install 'keras_actrec\[tune\]'"):
        tuning.run_study(make(), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.northwestern_ucla(tmp_path_factory.mktemp("data"))


@pytest.fixture
def job(data, tmp_path):
    def make_job(recipe=RECIPE, **changes):
        (tmp_path / "recipe.toml").write_text(recipe)
        values = {
            "recipe": tmp_path / "recipe.toml",
            "data": data,
            "run": tmp_path / "run",
            "cache": tmp_path,
        }
        values |= {"test": True, "objective": "val_accuracy", "parameters": None}
        return values | changes

    return make_job


def test_a_trial_tells_the_last_epoch_and_the_test_part(job, capsys):
    values = job()
    result = trial.run(values)
    with open(values["run"] / "history.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert result["status"] == "COMPLETED" and result["epochs"] == 2
    assert result["metrics"]["val_accuracy"] == pytest.approx(float(last["val_accuracy"]))
    assert result["metrics"]["test_videos"] == 80 and 0 <= result["metrics"]["test_top1"] <= 1
    # a GRU of 2 units on 60 values, 3 (60 + 2 + 1) 2, and 10 classes, (2 + 1) 10
    assert result["parameters"] == 3 * 63 * 2 + 30
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["1/2", "2/2"]
    assert trial.run(values)["metrics"] == pytest.approx(result["metrics"])  # from the finished run


def test_a_trial_tells_the_average_precision_of_the_part_by_which_it_is_chosen(job, data, tmp_path):
    values = job(objective="val_map")
    result = trial.run(values)
    recognizer = keras_actrec.load(values["run"] / "model.keras")
    for part, name in (("validation", "val_map"), ("test", "test_map")):
        scored = evaluation.evaluate(recognizer, data, part=part)
        precision = evaluation.average_precision(scored.scores, scored.labels)
        assert result["metrics"][name] == pytest.approx(np.nanmean(precision))


def test_a_trial_with_too_many_parameters_does_not_train(job):
    count = trial.run(job())["parameters"]
    values = job(run=job()["run"] / "other", parameters=count - 1)
    result = trial.run(values)
    assert result == {
        "status": "FAILED",
        "reason": f"over budget: {count} trained parameters, budget.parameters={count - 1}",
    }
    assert not values["run"].exists()


def test_a_trial_without_a_validation_part_says_so(job, tmp_path):
    with pytest.raises(UserError, match="val_accuracy needs a validation part: put"):
        trial.run(job(RECIPE.replace("0.25", "0.0")))
    assert not (tmp_path / "run").exists()  # before it trains


def test_a_loss_that_is_no_number_is_the_trials_reason(job, tmp_path, monkeypatch):
    values = job(RECIPE.replace("0.01", "1e38"), result=tmp_path / "result.json", run=tmp_path / "run")
    (tmp_path / "job.json").write_text(
        json.dumps({k: str(v) if isinstance(v, Path) else v for k, v in values.items()})
    )
    monkeypatch.setattr(sys, "argv", ["trial", str(tmp_path / "job.json")])
    monkeypatch.setattr(trial, "end_with_parent", lambda wait: None)
    trial.main()
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["status"] == "FAILED" and "not a number" in result["reason"]


@pytest.mark.no_backend
def test_a_file_in_the_place_of_the_trials_ends_the_study_and_names_it(make, stand_in, tmp_path, monkeypatch):
    real = study_run.StudyRun.open

    def opened(self, resume):
        real(self, resume)
        (self.out / "trials").touch()

    monkeypatch.setattr(study_run.StudyRun, "open", opened)
    with pytest.raises(UserError, match="out/trials/0 cannot be a folder"):
        tuning.run_study(make((10, 20)), tmp_path, tmp_path / "out")


@pytest.mark.no_backend
@pytest.mark.parametrize("file", ["trials/1/trial.json", "trials/1/recipe.toml", "trials.csv"])
def test_a_full_disk_ends_the_study_which_then_goes_on(make, stand_in, tmp_path, monkeypatch, file):
    """As `RLIMIT_FSIZE` and `ENOSPC` do, a write fails behind the first trial."""
    real = _files.os.replace

    def replace(source, target):
        if Path(target) == tmp_path / "out" / file and (tmp_path / "out/trials/0/result.json").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(_files.os, "replace", replace)
    line = f"{tmp_path / 'out' / file} cannot be written, the disk is full: make room, and the same command"
    with pytest.raises(DiskFullError) as full:
        tuning.run_study(make((10, 20)), tmp_path, tmp_path / "out")
    assert str(full.value) == f"{line} with --resume goes on"
    monkeypatch.setattr(_files.os, "replace", real)
    out = tuning.run_study(make((10, 20)), tmp_path, tmp_path / "out", resume=True)
    assert [row["status"] for row in rows(out)] == ["COMPLETED"] * 2
    assert starts(out) == {0: 1, 1: 1}


@pytest.mark.no_backend
def test_a_trial_that_finds_the_disk_full_is_no_failed_one(make, stand_in, tmp_path, monkeypatch):
    command = [sys.executable, "-c", f"raise SystemExit({trial.CANNOT_WRITE})"]
    monkeypatch.setattr(study_run, "_command", lambda module, job: command)
    with pytest.raises(DiskFullError, match=r"trials/0 cannot be written, .* with --resume goes on"):
        tuning.run_study(make((10, 20)), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out/trials/0/result.json").exists()
