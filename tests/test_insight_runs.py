"""The report of runs: on which part of which data they are scored, what is kept, what is said without it."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import trees
from keras_actrec import evaluation, insight, training
from keras_actrec.cli.main import app
from keras_actrec.errors import UserError
from keras_actrec.insight import _facts
from pages import Page

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.features(tmp_path_factory.mktemp("vectors"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Two runs on the same features, the second one with a validation part that is dearer to it."""
    folder = tmp_path_factory.mktemp("runs")
    for name, table in {"first": {}, "second": {"validation_fraction": 0.3}}.items():
        recipe = training.parse_recipe(
            {
                "model": {"name": "stacked_rnn", "units": 4, "num_layers": 1, "dropout": 0.0},
                "data": {"dataset": "features"} | table,
                "features": {"frames": 6},
                "train": {"epochs": 2, "batch_size": 9, "workers": 0},
            }
        )
        training.train(recipe, data, folder / name, name="stacked_rnn/own", overrides=["train.epochs=2"])
    return folder


@pytest.fixture
def runs(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs")


@pytest.fixture
def count(monkeypatch):
    """How often a model is scored."""
    calls = []
    real = insight.runs.evaluate
    monkeypatch.setattr(
        insight.runs, "evaluate", lambda *args, **more: calls.append(more["part"]) or real(*args, **more)
    )
    return calls


def report(*arguments):
    done = CliRunner().invoke(app, ["report", *map(str, arguments)])
    return done.exit_code, done.output


def page(path):
    return Page(path.read_text(encoding="utf-8"))


def test_right_after_training_a_run_is_scored_on_its_test_part(runs, tmp_path, data):
    code, output = report(runs / "first", "--out", tmp_path / "page.html")
    assert code == 0 and output.endswith(f"wrote {tmp_path / 'page.html'}\n")
    found = page(tmp_path / "page.html")
    result = evaluation.evaluate(training_model(runs / "first"), data, floors=True)
    text = " ".join(found.text.split())
    assert f"first {100 * result.top1:.1f}%" in text and "floor: majority class 33.3%" in text
    assert [file["path"] for file in found.told["files"]] == [record.path for record in result.records]
    for words in (
        "Run first",
        "How training went",
        "stacked_rnn/own",
        "train.epochs=2",
        "part test, 6 clips",
    ):
        assert words in text
    assert "6 clips on a plane" in found.of("svg")[-1]["aria-label"]


def test_files_that_were_left_out_are_named_as_in_the_tables_of_the_data(tmp_path):
    (tmp_path / "set.csv").write_text("path,label\n", encoding="utf-8")
    lines = [f"{tmp_path / 'a' / '1.mp4'}: empty", "b/2.mp4: empty"]
    for data in (tmp_path, tmp_path / "set.csv"):
        assert _facts.below(lines, data) == ["a/1.mp4: empty", "b/2.mp4: empty"]


def test_a_page_does_not_say_where_somebodys_folders_are(runs):
    record = json.loads((runs / "first" / "run.json").read_text(encoding="utf-8"))
    record |= {"recipe_name": str(runs / "demo" / "recipe.toml"), "start": {"file": str(runs / "x.keras")}}
    facts = _facts.made(record)
    assert (facts["recipe"], facts["started from"]) == ("demo/recipe.toml", "runs/x.keras")
    assert _facts.made(record | {"recipe_name": "hman/own"})["recipe"] == "hman/own"


def training_model(run):
    import keras_actrec

    return keras_actrec.load(run / "model.keras")


def test_scores_are_kept_and_are_those_of_evaluate(runs, tmp_path, data, count):
    insight.report_runs([runs / "first"], tmp_path / "page.html")
    kept = evaluation.read_scores(runs / "first" / "test.npz")
    assert kept.part == "test" and kept.floors and count == ["test"]
    first = page(tmp_path / "page.html").told
    insight.report_runs([runs / "first"], tmp_path / "page.html")
    assert count == ["test"] and page(tmp_path / "page.html").told == first
    os.utime(runs / "first" / "model.keras")  # another model since
    insight.report_runs([runs / "first"], tmp_path / "page.html")
    assert count == ["test", "test"]


def test_several_runs_stand_on_one_page(runs, tmp_path):
    code, _ = report(runs, "--out", tmp_path / "page.html")
    found = page(tmp_path / "page.html")
    text = " ".join(found.text.split())
    assert code == 0 and "2 runs 2 models." in text
    assert [model["name"] for model in found.told["models"]] == ["first", "second"]
    assert len(found.told["files"]) == 6  # each clip once
    curves = [svg["aria-label"] for svg in found.of("svg") if svg.get("aria-label", "").startswith("Curves")]
    assert len(curves) == 2 and "first: " in curves[0] and "second, validation: " in curves[0]


def test_runs_of_one_name_are_told_apart(runs, tmp_path):
    (runs / "other").mkdir()
    shutil.copytree(runs / "first", runs / "other" / "first")
    insight.report_runs([runs / "first", runs / "other" / "first"], tmp_path / "page.html")
    names = [model["name"] for model in page(tmp_path / "page.html").told["models"]]
    assert names == ["runs/first", "other/first"]


def test_data_that_moved_is_named_and_found_by_an_option(runs, tmp_path, data):
    moved = shutil.copytree(data, tmp_path / "moved")
    file = runs / "first" / "run.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    assert record["root"] == str(data.resolve())
    file.write_text(json.dumps(record | {"root": str(tmp_path / "gone")}), encoding="utf-8")
    code, output = report(runs / "first", "--out", tmp_path / "page.html")
    assert code == 1 and not (tmp_path / "page.html").exists()
    assert f"its data is not at {tmp_path / 'gone'} any more: say with --data where it is" in output
    code, _ = report(runs / "first", "--out", tmp_path / "page.html", "--data", moved)
    assert code == 0
    (moved / "test" / trees.CLASSES[0] / "3_0.npy").unlink()
    code, output = report(runs / "first", "--out", tmp_path / "page.html", "--data", moved)
    assert code == 1 and f"{moved} is not the data that the run was trained on" in output


def test_of_several_runs_one_whose_data_moved_is_a_note(runs, tmp_path, data, count):
    file = runs / "first" / "run.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(record | {"root": str(tmp_path / "gone")}), encoding="utf-8")
    code, output = report(runs, "--out", tmp_path / "page.html")
    assert code == 0 and f"first: {runs / 'first'}: its data is not at {tmp_path / 'gone'} any more" in output
    found = page(tmp_path / "page.html")
    assert [model["name"] for model in found.told["models"]] == ["second"] and count == ["test"]
    assert "any more: say with --data" in found.text and found.text.count("stacked_rnn/own") == 2
    insight.report_runs([runs / "first"], tmp_path / "page.html", data=data)
    code, output = report(runs, "--out", tmp_path / "page.html")  # now the scores of both are there
    assert code == 0 and "first: add --data, the folder of its data, to see the clips" in output
    assert [model["name"] for model in page(tmp_path / "page.html").told["models"]] == ["first", "second"]
    other = tmp_path / "other"
    shutil.copytree(data, other)
    (other / "test" / trees.CLASSES[0] / "3_0.npy").unlink()
    code, output = report(runs, "--out", tmp_path / "page.html", "--data", other)
    assert code == 0 and output.count(f"{other} is not the data that the run was trained on") == 2
    assert len(page(tmp_path / "page.html").told["models"]) == 2


def test_a_run_of_an_older_version_needs_to_be_told_where_its_data_is(runs, tmp_path, data):
    file = runs / "first" / "run.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    del record["root"]
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(UserError, match="does not say where its data is: add --data"):
        insight.report_runs([runs / "first"], tmp_path / "page.html")
    insight.report_runs([runs / "first"], tmp_path / "page.html", data=data)
    said = []
    insight.report_runs([runs / "first"], tmp_path / "page.html", tell=said.append)  # which has scores now
    assert said == ["first: add --data, the folder of its data, to see the clips"]
    assert "t-SNE" not in page(tmp_path / "page.html").text


def test_a_run_that_has_not_ended_is_shown_as_far_as_it_has_come(runs, tmp_path):
    (runs / "first" / "model.keras").unlink()
    code, output = report(runs, "--out", tmp_path / "page.html")
    assert code == 0 and "first: this run has not ended: the same command goes on with it" in output
    found = page(tmp_path / "page.html")
    assert [model["name"] for model in found.told["models"]] == ["second"]
    assert "first: this run has not ended" in found.text and found.text.count("stacked_rnn/own") == 2


def test_without_a_test_part_the_validation_part_is_shown(runs, tmp_path, count):
    file = runs / "second" / "run.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    record["data"]["parts"]["test"] = 0
    file.write_text(json.dumps(record), encoding="utf-8")
    insight.report_runs([runs / "second"], tmp_path / "page.html")
    assert count == ["validation"] and (runs / "second" / "validation.npz").exists()
    record["data"]["parts"]["validation"] = 0
    file.write_text(json.dumps(record), encoding="utf-8")
    insight.report_runs([runs / "second"], tmp_path / "page.html")
    assert "all its data were trained on, so there are no scores" in page(tmp_path / "page.html").text


def test_a_page_that_is_a_folder_is_refused_before_anything_is_scored(runs, tmp_path, count):
    code, output = report(runs, "--out", tmp_path)
    assert code == 1 and count == [] and f"{tmp_path} is a folder: name a file, such as" in output


def test_scores_of_other_files_are_refused(runs, tmp_path):
    insight.report_runs([runs / "first"], tmp_path / "page.html")
    kept = evaluation.read_scores(runs / "first" / "test.npz")
    records = tuple(replace(record, path=f"other/{record.path}") for record in kept.records)
    evaluation.write_scores(replace(kept, records=records), runs / "first" / "test.npz")
    with pytest.raises(UserError, match="is not the data that the run was trained on"):
        insight.report_runs([runs / "first"], tmp_path / "page.html")


def test_what_is_no_run_is_refused(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty is no run directory and holds none"):
        insight.report_runs([tmp_path / "empty"], tmp_path / "page.html")
    (runs / "first" / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="was written by an older keras_actrec and lacks 'data'"):
        insight.report_runs([runs / "first"], tmp_path / "page.html")
    (runs / "first" / "run.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(UserError, match="what it holds is damaged"):
        insight.report_runs([runs / "first"], tmp_path / "page.html")
