"""The demo in small: videos, two runs, one page."""

import base64
import importlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import keras_actrec
from browser import NEEDS_CHROMIUM, browsing
from keras_actrec import insight
from keras_actrec.cli.main import app
from keras_actrec.data import SYNTHETIC_PAIRS, probe
from keras_actrec.training import Run
from pages import Page

OVERRIDES = (
    "model.backbone=efficientnet_lite0:block1_output",
    "clip.size=32",
    "clip.frames=4",
    "train.epochs=1",
    "train.workers=0",
)
CLIPS = 3  # of each class, of which one is for testing
MODELS = ("hman", "frame_pool")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder, what the demo returned, and what it reported."""
    out, seen = tmp_path_factory.mktemp("demo"), []
    result = insight.demo(out, clips_per_class=CLIPS, overrides=OVERRIDES, progress=lambda *a: seen.append(a))
    return out, result, seen


def test_the_demo_leaves_videos_a_cache_two_runs_and_a_page(made):
    out, (page, _), _ = made
    assert {path.name for path in out.iterdir()} == {"videos", "cache", *MODELS, "demo.html"}
    assert page == out / "demo.html"
    assert len(list((out / "videos").rglob("*.mp4"))) == 10 * CLIPS
    assert not [path for path in out.rglob(".*")]


def test_both_models_saw_the_same_videos_and_are_scored_on_those_they_did_not_see(made):
    out, (_, evaluations), _ = made
    assert [result.name for result in evaluations] == list(MODELS)
    records = [json.loads((out / name / "run.json").read_text(encoding="utf-8")) for name in MODELS]
    assert records[0]["data"] == records[1]["data"]
    assert records[0]["data"]["parts"] == {"train": 20, "validation": 0, "test": 10}
    for result in evaluations:
        assert result.videos == 10 and result.skipped == () and result.part == "test"
        assert {record.path for record in result.records} == {
            f"{kind}/{kind}_{CLIPS - 1:03d}.mp4" for pair in SYNTHETIC_PAIRS for kind in pair
        }


def test_the_features_are_extracted_once_for_both(made):
    out, _, seen = made
    assert len(list((out / "cache").rglob("*.npy"))) == 20
    counts = {name: [step[1] for step in seen if step[0] == f"{name}: features"] for name in MODELS}
    assert counts["hman"][-1] == 20
    assert counts["frame_pool"] == [20]  # all there at the start


def test_the_runs_are_models_that_can_be_loaded(made):
    out, (_, evaluations), _ = made
    for name, result in zip(MODELS, evaluations, strict=True):
        recognizer = keras_actrec.load(out / name / "model.keras")
        record = result.records[0]
        label, score = recognizer.predict_video(record.file, top=1)[0]
        assert score == pytest.approx(result.scores[0].max(), abs=1e-5)
        assert label == result.class_names[result.predicted[0]]


def test_the_pairs_are_counted_next_to_the_classes(made):
    _, (_, evaluations), _ = made
    pair_of = {kind: pair for pair in SYNTHETIC_PAIRS for kind in pair}
    for result in evaluations:
        rows = [
            (result.class_names[label], result.class_names[predicted])
            for label, predicted in zip(result.labels, result.predicted, strict=True)
        ]
        found = [label == predicted for label, predicted in rows if pair_of[label] == pair_of[predicted]]
        inside = sum(found) / len(found) if found else 0.0
        assert result.extra == {
            "right pair": f"{len(found) / len(rows):.1%}",
            "right inside the pair": f"{inside:.1%}",
        }


def test_the_page_shows_what_both_models_were_wrong_and_right_about(made):
    _, (page, evaluations), _ = made
    found = Page(page.read_text(encoding="utf-8"))
    for text in (*MODELS, "right inside the pair", *evaluations[0].extra.values()):
        assert text in found.text
    assert len(found.told["files"]) == 10 and all("video" in file for file in found.told["files"])
    for model, result in zip(found.told["models"], evaluations, strict=True):
        answers = [clip["top"][0][0] for clip in model["clips"]]
        assert answers == result.predicted.tolist() and answers != result.labels.tolist()


def test_what_hman_saw_lies_on_the_time_of_the_clip(made):
    out, (page, evaluations), _ = made
    hman, frame_pool = Page(page.read_text(encoding="utf-8")).told["models"]
    assert set(frame_pool["clips"][3]["trace"]) == {"times", "steps"}
    recognizer = keras_actrec.load(out / "hman" / "model.keras")
    clip, record = hman["clips"][3], evaluations[0].records[3]
    trace, seen = clip["trace"], insight.explain(recognizer, record.file)
    # Of 24 frames every other one, 12, and of these the middles of quarters: 1, 4, 7, 10.
    fps = probe(record.file).fps
    np.testing.assert_allclose(trace["times"], np.array([2, 8, 14, 20]) / fps, atol=2e-3)
    np.testing.assert_allclose(trace["steps"][str(record.label)], seen.steps[:, record.label], atol=1e-3)
    np.testing.assert_allclose(trace["boundaries"], seen.boundaries.T, atol=1e-3)
    np.testing.assert_allclose(trace["temperature"], seen.temperature, atol=1e-3)
    brightness = np.frombuffer(base64.b64decode(trace["attention"]), "uint8").reshape(seen.attention.shape)
    cells = [step.argmax() for step in seen.attention]
    assert [step.argmax() for step in brightness] == cells and trace["region"] == [0, 0, 1, 1]


@NEEDS_CHROMIUM
@pytest.mark.once
def test_axe_finds_no_serious_fault_in_the_page(made, tmp_path):
    with browsing(tmp_path) as browser:
        browser.open((made[0] / "demo.html").as_uri())
        assert browser.faults() == [] and browser.complaints == []


def test_progress_names_the_model_and_the_stage(made):
    _, _, seen = made
    stages = list(dict.fromkeys(step[0] for step in seen))
    assert stages[0] == "writing videos"
    for name in MODELS:
        assert {f"{name}: {stage}" for stage in ("videos", "features", "epochs", "scoring")} <= set(stages)
    assert all(step[1] <= step[2] for step in seen)


@pytest.fixture
def quick(made, monkeypatch):
    """Makes the demo one of empty files: where they go is what the real demo tells its parts.

    Called with the number of the part, from 0, in which it is killed.
    """
    _, (_, evaluations), _ = made
    module = importlib.import_module("keras_actrec.insight.demo")
    state = {"part": 0, "dies": None}

    def part(*files, result=None):
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.parent / f".part-{file.name}").touch()
            if state["part"] == state["dies"]:
                raise KeyboardInterrupt
            (file.parent / f".part-{file.name}").unlink()
            file.write_text(str(state["part"]))
            state["part"] += 1
        return result

    def write_synthetic(out, **options):
        part(*(out / kind / f"{kind}_000.mp4" for kind in ("grow", "shrink")), out / "manifest.csv")

    def train(recipe, data, out, *, cache, progress):
        part(cache / "features" / "entry.npy", out / "checkpoint.npz", out / "model.keras")
        return Run(out, SimpleNamespace(class_names=evaluations[0].class_names), {})

    monkeypatch.setattr(module, "write_synthetic", write_synthetic)
    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(
        module, "read_run", lambda folder, name, progress: insight.Reported(name, evaluations[0])
    )
    monkeypatch.setattr(module, "write_report", lambda page, **content: part(page))

    def run(out, dies=None):
        state.update(part=0, dies=dies)
        return CliRunner().invoke(app, ["demo", "--out", str(out)])

    return run


def test_the_command_replaces_an_earlier_demo(made, quick, tmp_path):
    out, (_, evaluations), _ = made
    first = quick(tmp_path / "demo")
    assert first.exit_code == 0, first.output
    there = {path.name for path in (tmp_path / "demo").iterdir()}
    assert there == {path.name for path in out.iterdir()}  # what the real demo leaves
    old = tmp_path / "demo" / "hman" / "old.txt"
    old.touch()
    second = quick(tmp_path / "demo")
    assert second.exit_code == 0, second.output
    assert not old.exists() and {path.name for path in (tmp_path / "demo").iterdir()} == there
    lines = second.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [MODELS[0], MODELS[0], "wrote"]
    assert lines[0].split()[1:3] == ["top-1", f"{evaluations[0].top1:.3f}"]
    assert "right inside the pair" in lines[1] and lines[2] == f"wrote {tmp_path / 'demo' / 'demo.html'}"


def test_the_command_replaces_what_an_interrupted_demo_left_at_any_time(quick, tmp_path):
    for dies in range(10):  # three files of the set, three of each run, the page
        assert quick(tmp_path, dies).exit_code == 130
        assert any(tmp_path.rglob(".part-*"))
        done = quick(tmp_path)
        assert done.exit_code == 0, f"{dies}: {done.output}"
        assert not any(tmp_path.rglob(".part-*"))


def test_an_interrupted_removal_can_be_gone_on_with(quick, tmp_path, monkeypatch):
    removed = []

    def rmtree(folder):
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(folder.name)
        real(folder)

    assert quick(tmp_path).exit_code == 0
    real = shutil.rmtree
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", rmtree)
        assert quick(tmp_path).exit_code == 130
    assert len(removed) == 2 and "videos" not in removed
    assert quick(tmp_path).exit_code == 0


@pytest.mark.parametrize("file", ["notes.txt", "videos/mine.mp4", "cache/entry.npy", "hman/model.keras"])
def test_a_folder_that_may_be_somebody_elses_is_kept(quick, tmp_path, file):
    if file in ("notes.txt", "videos/mine.mp4"):
        assert quick(tmp_path).exit_code == 0
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    done = quick(tmp_path)
    assert done.exit_code == 1 and (tmp_path / file).exists()
    assert "holds something else than an earlier demo: choose another --out" in done.stderr


def test_the_scores_are_those_of_the_confusion_matrix(made):
    _, (_, evaluations), _ = made
    for result in evaluations:
        assert result.confusion.sum() == 10
        assert result.top1 == pytest.approx(np.trace(result.confusion) / 10)
