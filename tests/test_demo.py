"""The demo in small: videos, two runs, one page."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import keras_actrec
from keras_actrec import insight
from keras_actrec.cli.main import app
from keras_actrec.data import SYNTHETIC_PAIRS

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


def test_the_demo_leaves_videos_features_two_runs_and_a_page(made):
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


def test_the_pairs_are_counted_beside_the_classes(made):
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


def test_the_page_shows_both_models_and_six_clips(made):
    _, (page, evaluations), _ = made
    html = page.read_text(encoding="utf-8")
    for text in (*MODELS, "right inside the pair", *evaluations[0].extra.values()):
        assert text in html
    shown = sorted(kind for kind in evaluations[0].class_names)[:6]
    for kind in shown:
        assert f"{kind}/{kind}_{CLIPS - 1:03d}.mp4" in html


def test_progress_names_the_model_and_the_stage(made):
    _, _, seen = made
    stages = list(dict.fromkeys(step[0] for step in seen))
    assert stages[0] == "writing videos"
    for name in MODELS:
        assert {f"{name}: {stage}" for stage in ("videos", "features", "epochs", "batches")} <= set(stages)
    assert all(step[1] <= step[2] for step in seen)


def test_the_command_replaces_an_earlier_demo_also_an_interrupted_one(made, tmp_path, monkeypatch):
    _, (_, evaluations), _ = made
    left = tmp_path / "demo" / "videos" / "grow" / "grow_000.mp4"
    left.parent.mkdir(parents=True)
    left.touch()
    (tmp_path / "demo" / ".part-demo.html").touch()
    found = []

    def stub(out, progress):
        found.append((out, out.exists()))
        return out / "demo.html", evaluations

    monkeypatch.setattr(insight, "demo", stub)
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo")])
    assert result.exit_code == 0, result.output
    assert found == [(tmp_path / "demo", False)]
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*MODELS, "wrote"]
    assert lines[0].split()[1:3] == ["top-1", f"{evaluations[0].top1:.3f}"]
    assert "right inside the pair" in lines[1] and lines[2] == f"wrote {tmp_path / 'demo' / 'demo.html'}"


def test_the_scores_are_those_of_the_confusion_matrix(made):
    _, (_, evaluations), _ = made
    for result in evaluations:
        assert result.confusion.sum() == 10
        assert result.top1 == pytest.approx(np.trace(result.confusion) / 10)
