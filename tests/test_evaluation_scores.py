"""What a result says of itself, scores as a file, and several models together."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_actrec import insight
from keras_actrec.cli.main import app
from keras_actrec.data import Record, Sampling
from keras_actrec.errors import UserError
from keras_actrec.evaluation import (
    Evaluation,
    average_precision,
    bootstrap_interval,
    ensemble,
    evaluate,
    expected_calibration_error,
    read_scores,
    write_precisions,
    write_scores,
)
from test_evaluation import CLASSES, data, recognizer, trained_on  # noqa: F401  (data is a fixture)

SCORES = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.0, 0.3, 0.7]])
LABELS = np.array([0, 1, 1, 1, 0])


def result(
    scores=SCORES, names=("a", "b", "c"), groups="vwxyz", labels=LABELS, name="m", paths="01234", **more
):
    records = tuple(
        Record(Path(path), path, int(label), group=group)
        for path, label, group in zip(paths, labels, groups, strict=True)
    )
    return Evaluation(name, names, records, np.array(labels), np.array(scores), (), "1 clip", "test", **more)


def test_the_json_has_every_number_and_no_nan():
    written = result(manifest="abc").to_json()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert written["class_accuracy"] == [1 / 2, 1 / 3, None]  # of class c there is no video
    assert written["ece"] == expected_calibration_error(SCORES, LABELS)
    precision = average_precision(SCORES, LABELS)
    assert written["average_precision"] == [*precision[:2], None]
    assert written["map"] == pytest.approx(np.mean(precision[:2]))
    assert written["manifest"] == "abc"


def test_average_precisions_of_several_models_stand_side_by_side(tmp_path):
    turned = result(SCORES[:, [1, 0, 2]], names=("b", "a", "c"), labels=1 - LABELS)
    files = [str(tmp_path / f"{name}.npz") for name in ("one", "two")]
    for each, file in zip([result(), turned], files, strict=True):
        write_scores(each, file)
    table, page = tmp_path / "ap.csv", tmp_path / "page.html"
    command = ["evaluate", files[0], "--ensemble", files[1], "--precisions", str(table), "--page", str(page)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith(f"wrote {page}\n") and "top-5" not in done.stdout  # of three classes
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    # By hand: of class a the videos of rank 1 and 5, of b 1, 2 and 5, of c none.
    a, b = (1 + 2 / 5) / 2, (1 + 1 + 3 / 5) / 3
    for row, expected in zip(rows, [f"{a:.4f}", f"{b:.4f}", "", f"{(a + b) / 2:.4f}"], strict=True):
        assert list(row.values())[1:] == [expected] * 3, row
    assert [row["class"] for row in rows] == ["a", "b", "c", "mAP"]
    assert list(rows[0]) == ["class", "m + m", "m 2", "m 3"]
    text = page.read_text(encoding="utf-8")
    assert text.count(f'data-label="mAP">{50 * (a + b):.1f}%') == 3
    with pytest.raises(UserError, match="m and n do not have the same classes: 'c'"):
        write_precisions([result(), result(names=("a", "b", "d"), name="n")], table)


def test_the_numbers_are_printed_before_the_page_is_made(tmp_path, monkeypatch):
    def write_report(*_, **__):
        raise UserError("no page")

    monkeypatch.setattr(insight, "write_report", write_report)
    write_scores(result(), tmp_path / "one.npz")
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "one.npz"), "--page", str(tmp_path / "page")])
    assert done.exit_code == 1 and "error: no page" in done.output and "\ntop-1 " in done.output


def test_the_interval_is_over_groups_where_videos_have_them():
    right = np.array([1, 0, 1, 0, 0])
    grouped = result(groups=("p", "p", "p", "q", "q"))
    assert grouped.top1_interval == bootstrap_interval(right, groups=["p", "p", "p", "q", "q"])
    assert grouped.to_json()["interval_over"] == "groups"
    single = result(groups=("p", "", "p", "q", "q"))
    assert single.top1_interval == bootstrap_interval(right) != grouped.top1_interval
    assert single.to_json()["interval_over"] == "videos"


def test_there_is_no_interval_over_one_group():
    assert result(groups="ppppp").to_json()["top1_interval"] is None
    assert result(SCORES[:1], labels=[0], groups=("",), paths="0").to_json()["top1_interval"] is None


def test_scores_come_back_from_their_file_as_they_were(tmp_path):
    before = result(official=7, manifest="abc")
    write_scores(before, tmp_path / "scores.npz")
    after = read_scores(tmp_path / "scores.npz")
    assert after.to_json() == before.to_json()
    np.testing.assert_array_equal(after.scores, SCORES)
    with np.load(tmp_path / "scores.npz", allow_pickle=False) as archive:
        assert archive["path"].tolist() == list("01234") and archive["label"].tolist() == LABELS.tolist()
        assert archive["probabilities"].shape == (5, 3)


def test_a_file_of_an_older_form_is_named(tmp_path):
    write_scores(result(manifest="abc"), tmp_path / "scores.npz")
    with np.load(tmp_path / "scores.npz") as archive:
        values = dict(archive)
    about = json.loads(str(values["about"]))
    values["about"] = json.dumps({"split" if name == "part" else name: each for name, each in about.items()})
    np.savez(tmp_path / "scores.npz", **values)
    with pytest.raises(UserError, match="is not a file of scores: write it with `evaluate --scores`"):
        read_scores(tmp_path / "scores.npz")


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\x03\x04 cut"])
def test_a_file_that_holds_no_scores_is_named(tmp_path, content):
    path = tmp_path / "scores.npz"
    if content is None:
        with pytest.raises(UserError, match="scores.npz does not exist"):
            read_scores(path)
        np.savez(path, other=np.ones(3))
    else:
        path.write_bytes(content)
    with pytest.raises(
        UserError, match="scores.npz is not a file of scores: write it with `evaluate --scores`"
    ):
        read_scores(path)


def test_scores_go_into_an_npz_file(tmp_path):
    with pytest.raises(UserError, match="`path` must end in .npz. Received: path=.*scores.json"):
        write_scores(result(), tmp_path / "scores.json")


def test_models_are_brought_together_by_path_and_class_name():
    other = np.array([[0.2, 0.2, 0.6], [0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]])
    # the same videos and classes in another order
    order, columns = [3, 0, 4, 1, 2], [2, 0, 1]
    names = ("c", "a", "b")
    labels = [names.index("abc"[label]) for label in LABELS[order]]
    second = result(other[order][:, columns], names, labels=labels, paths=[str(n) for n in order], name="n")
    both = ensemble([result(), second])
    np.testing.assert_allclose(both.scores, (SCORES + other) / 2)
    assert (both.name, both.labels.tolist()) == ("m + n", LABELS.tolist())
    assert both.protocol == "mean of the probabilities of 2 models, each with 1 clip"
    logits = np.sqrt(np.maximum(SCORES * other, np.finfo("float32").tiny))
    # row 0 has no zero: the mean of the logarithms is the logarithm of the geometric mean
    found = ensemble([result(), second], "logits").scores[0]
    np.testing.assert_allclose(found, logits[0] / logits[0].sum())


def test_votes_of_three_models_go_to_the_majority():
    sure, two = np.eye(3)[[2] * 5], np.array([[0.4, 0.35, 0.25]] * 5)
    voted = ensemble([result(sure), result(two, name="n"), result(two, name="o")], "votes")
    assert voted.predicted.tolist() == [0] * 5
    assert (
        ensemble([result(sure), result(two, name="n"), result(two, name="o")]).predicted.tolist() == [2] * 5
    )


@pytest.mark.parametrize("swapped", [False, True])
def test_a_video_that_one_model_has_not_scored_is_named(swapped):
    fewer = result(SCORES[:4], labels=LABELS[:4], groups="vwxy", paths="0123", name="n")
    both = [fewer, result()] if swapped else [result(), fewer]
    with pytest.raises(UserError, match="^4 was scored by m and not by n: evaluate both on the same data"):
        ensemble(both)


def test_models_of_other_classes_or_labels_are_refused():
    with pytest.raises(UserError, match="m and n do not have the same classes: 'c'"):
        ensemble([result(), result(names=("a", "b", "d"), name="n")])
    with pytest.raises(UserError, match="0 has the label 'a' for m and 'b' for n"):
        ensemble([result(), result(labels=[1, 1, 1, 1, 0], name="n")])


def test_the_manifest_of_the_data_stands_in_the_result(data):  # noqa: F811
    about = trained_on(data)
    assert evaluate(recognizer(about=about), data).manifest == about["data"]["sha256"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_line_scores_writes_and_fuses(data, tmp_path):  # noqa: F811
    model = tmp_path / "model.keras"
    recognizer(about=trained_on(data)).save(model)
    files = {
        name: tmp_path / f"out/{name}" for name in ("one.npz", "both.npz", "both.json", "p.csv", "page.html")
    }
    first = run("evaluate", model, "--data", data, "--protocol", "tsm_1_clip", "--scores", files["one.npz"])
    assert first.exit_code == 0, first.output
    assert "protocol: tsm_1_clip: 1 clip of 4 frames (segments), center crop 32" in first.stdout
    assert "top-1, 95 % of draws over videos: 0.4000 to 1.0000" in first.stdout
    assert "calibration error " in first.stdout and "mAP " in first.stdout
    options = ["--ensemble", files["one.npz"], "--fuse", "logits", "--json", files["both.json"]]
    options += ["--scores", files["both.npz"], "--predictions", files["p.csv"], "--page", files["page.html"]]
    both = run("evaluate", model, "--data", data, *options)
    assert both.exit_code == 0, both.output
    assert "protocol: mean of the logits of 2 models, each with 1 clip" in both.stdout
    assert json.loads(files["both.json"].read_text(encoding="utf-8"))["top1"] == 0.8
    with open(files["p.csv"], newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 5
    assert "colors + colors, part test" in files["page.html"].read_text(encoding="utf-8")
    again = run("evaluate", files["both.npz"])
    assert again.exit_code == 0 and "colors + colors, part test: 5 videos" in again.stdout


def test_gsms_four_models_of_other_frames_and_clips_answer_by_the_sum_of_their_logits(data, tmp_path):  # noqa: F811
    protocols = {8: "gsm_2_clips", 12: "gsm_2_clips", 16: "gsm_1_clip", 24: "gsm_1_clip"}
    found, files = [], []
    for frames, protocol in protocols.items():
        recognizer(about=trained_on(data), sampling=Sampling(frames)).save(tmp_path / "model.keras")
        files.append(tmp_path / f"{frames}.npz")
        options = ["--data", data, "--protocol", protocol, "--scores", files[-1]]
        assert run("evaluate", tmp_path / "model.keras", *options).exit_code == 0
        found.append(read_scores(files[-1]))
        clips = 2 if protocol == "gsm_2_clips" else 1
        assert f"{clips} clip{'s' * (clips > 1)} of {frames} frames (segments)" in found[-1].protocol
    others = [word for file in files[1:] for word in ("--ensemble", file)]
    done = run("evaluate", files[0], *others, "--fuse", "logits", "--scores", tmp_path / "sum.npz")
    assert "mean of the logits of 4 models" in done.stdout
    logits = sum(np.log(each.scores) for each in found)  # up to a number that no softmax sees
    mean = np.exp(logits / 4)
    together = read_scores(tmp_path / "sum.npz")
    np.testing.assert_allclose(together.scores, mean / mean.sum(axis=1, keepdims=True), atol=1e-6)
    assert together.predicted.tolist() == logits.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    "options, words",
    [
        ([], "a model needs videos: set --data"),
        (["--data", "x.csv", "--protocol", "gsm"], "unknown protocol 'gsm'"),
    ],
)
def test_what_the_command_line_cannot_do_is_one_line(tmp_path, options, words):
    recognizer().save(tmp_path / "model.keras")
    failed = run("evaluate", tmp_path / "model.keras", *options)
    assert failed.exit_code == 1 and failed.stderr.count("\n") == 1
    assert failed.stderr.startswith(f"error: {words}")
