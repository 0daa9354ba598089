"""Skeleton sets from a recipe to a model: trained, audited, scored and asked about one file."""

import csv
import os
import re
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import keras_actrec
import trees
from keras_actrec import evaluation, training
from keras_actrec.cli.main import app
from keras_actrec.data import (
    Record,
    SkeletonPreprocessor,
    SkeletonTransform,
    audit_videos,
    index_skeletons,
    read_dataset,
    read_skeleton,
    write_pose,
)
from keras_actrec.data.skeletons import SkeletonForm
from keras_actrec.errors import UserError
from keras_actrec.training import prepare

JOINTS = 20


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.northwestern_ucla(tmp_path_factory.mktemp("data"))


def recipe(model=None, data=None, skeleton=None, train=None, **tables):
    return training.parse_recipe(
        {
            "model": model or {"name": "stacked_rnn", "units": 16, "num_layers": 1, "dropout": 0.0},
            "data": {"dataset": "northwestern_ucla", "split": "view1_view2"} | (data or {}),
            "skeleton": {"frames": 16, "velocity": True} | (skeleton or {}),
            "train": {"epochs": 40, "batch_size": 10, "learning_rate": 0.01, "workers": 0} | (train or {}),
            **tables,
        }
    )


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return training.train(recipe(), data, tmp_path_factory.mktemp("run"))


def test_models_of_different_streams_answer_together(data, tmp_path):
    small = {"name": "stacked_rnn", "units": 2, "num_layers": 1}
    looks = {"layout": "kinect20", "frames": 4, "length": "resample", "velocity": False}
    files, answers = [], []
    for streams in (["joints"], ["bones", "posture"]):
        values = recipe(small, skeleton={**looks, "streams": streams}, train={"epochs": 1})
        run = training.train(values, data, tmp_path / streams[0])
        assert run.recognizer.model.input_shape == (None, None, 60 * len(streams))
        files.append(str(run.folder / "model.keras"))
        answers.append(evaluation.evaluate(run.recognizer, data).scores)
    out = tmp_path / "both.npz"
    command = ["evaluate", files[0], "--ensemble", files[1], "--data", str(data), "--no-floors"]
    done = CliRunner().invoke(app, [*command, "--scores", str(out)])
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(evaluation.read_scores(out).scores, np.mean(answers, axis=0), atol=1e-6)


@pytest.mark.graphs  # hundreds of steps
def test_a_network_learns_which_joint_moves(run, data, tmp_path):
    result = evaluation.evaluate(run.recognizer, data)
    assert (result.videos, result.official) == (80, 504) and result.top1 > 0.9  # chance .1
    assert result.protocol == "16 steps in the middle, shorter ones padded"
    result.write_predictions(tmp_path / "p.csv")
    with open(tmp_path / "p.csv", newline="") as file:
        assert len({row["predicted"] for row in csv.DictReader(file)}) == 10


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_history_has_top_5_and_what_the_test_part_is_told_after_an_epoch(data, tmp_path, smoothing):
    learning = {"epochs": 2, "learning_rate": 1e-3, "label_smoothing": smoothing}
    seen = recipe(data={"watch_test": True}, train=learning)
    watched = training.train(seen, data, tmp_path / "run")
    rows = list(csv.DictReader((watched.folder / "history.csv").read_text().splitlines()))
    scores = evaluation.evaluate(watched.recognizer, data, part="test")
    ranks = (scores.scores > scores.scores[np.arange(80), scores.labels][:, None]).sum(axis=1)
    assert float(rows[-1]["val_top5"]) == pytest.approx(np.mean(ranks < 5), abs=1e-6)
    assert float(rows[-1]["val_accuracy"]) == pytest.approx(np.mean(ranks < 1), abs=1e-6)
    assert 0 <= float(rows[0]["accuracy"]) <= float(rows[0]["top5"]) <= 1
    assert np.mean(ranks < 1) < np.mean(ranks < 5) < 1  # the figures can be told apart


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": {"keep": "best"}}, "nothing may be chosen: leave it out, or train.monitor='val_accuracy'"),
        ({"data": {"validation_fraction": 0.25}}, "data.watch_test=true is for data without a validation"),
    ],
)
def test_nothing_is_chosen_by_a_test_part_that_is_watched(data, values, message):
    with pytest.raises(UserError, match=message):
        prepare.read_data(
            recipe(**{"train": {}, **values, "data": {"watch_test": True, **values.get("data", {})}}).data,
            data,
        )


def test_the_file_reads_a_sequence_as_it_was_trained(run, data):
    loaded = keras_actrec.load(run.folder / "model.keras")
    assert loaded.preprocessor == SkeletonPreprocessor(
        "northwestern_ucla", SkeletonTransform(16, velocity=True), SkeletonForm(1, JOINTS, True)
    )
    file = data / "all_sqe" / "a02_s03_e00_v01.json"
    steps, mask = loaded.read(file)
    record = next(
        r for r in read_dataset("northwestern_ucla", data, split="view1_view2").records if r.file == file
    )
    np.testing.assert_array_equal(
        steps, SkeletonTransform(16, velocity=True)(read_skeleton("northwestern_ucla", record))[0]
    )
    assert mask.sum() == 12  # of subject 3
    names, scores = zip(*loaded.predict_video(file), strict=True)
    assert names[0] == "pick up with two hands" and abs(sum(scores) - 1) < 1e-5


def test_the_record_says_what_was_found(run):
    found = run.record["data"]
    assert (found["found"], found["official"]) == (160, 1020)
    assert found["parts"] == {"train": 80, "validation": 0, "test": 80}
    assert 'dataset = "northwestern_ucla"' in (run.folder / "recipe.toml").read_text()


def test_resampled_sequences_need_no_mask(data, tmp_path):
    run = training.train(
        recipe(skeleton={"length": "resample", "frames": 6}, train={"epochs": 1}), data, tmp_path / "run"
    )
    assert not run.recognizer.spec.masked
    assert run.recognizer.model.input_shape == (None, None, JOINTS * 3 * 2)


def test_damaged_files_are_skipped_and_named(data, tmp_path):
    root = tmp_path / "data"
    (root / "all_sqe").mkdir(parents=True)
    for file in (data / "all_sqe").iterdir():
        (root / "all_sqe" / file.name).write_bytes(file.read_bytes())
    (root / "all_sqe" / "a01_s01_e00_v01.json").write_text("{")
    short = {"train": {"epochs": 1}}
    with pytest.raises(UserError, match=r"a01_s01_e00_v01.json: .*--on-error skip"):
        training.train(recipe(**short), root, tmp_path / "one")
    run = training.train(recipe(data={"on_error": "skip"}, **short), root, tmp_path / "two")
    (skipped,) = run.record["data"]["skipped"]
    assert "a01_s01_e00_v01.json" in skipped


def test_a_damaged_first_file_is_passed_by_where_a_model_is_only_built(tmp_path):
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    write_pose(good, np.ones((3, 1, 17, 2), "float32"))
    bad.write_bytes(b"")
    values = recipe(data={"dataset": "poses", "split": None})
    records = [Record(bad, "bad.npz", 0), Record(good, "good.npz", 0)]
    (shown,) = prepare.first_shown(values, records)
    assert shown[0] == records[1]
    with pytest.raises(UserError, match="^no file of the training part can be read$"):
        prepare.first_shown(values, records[:1])
    clips = training.parse_recipe({"model": {"name": "tsn"}})
    assert prepare.first_shown(clips, records) == ()  # clips need no file to be shown


def test_an_audit_reads_sequences(data, tmp_path):
    manifest = read_dataset("northwestern_ucla", data, split="view1_view2")
    found = audit_videos(manifest, out=tmp_path / "audit.json")
    assert found.counts == {"ok": 160, "truncated": 0, "unreadable": 0, "empty": 0}
    assert found.files["all_sqe/a01_s04_e00_v01.json"]["frames"] == 13
    assert len(found.files["all_sqe/a01_s04_e00_v01.json"]["sha256"]) == 64


def test_joints_are_read_in_the_order_of_the_records(data):
    records = read_dataset("northwestern_ucla", data, split="view1_view2").records
    good, bad = index_skeletons(records, "northwestern_ucla", workers=3)
    assert not bad and [record for record, _ in good] == list(records)
    assert all(len(joints) == 9 + int(record.file.stem.split("_")[1][1:]) for record, joints in good)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"clip": {}}, r"\[clip\] and \[skeleton\] exclude each other"),
        (
            {"data": {"dataset": "ucf101", "split": 1}},
            r"ucf101 holds videos: write \[clip\] instead of \[skeleton\]",
        ),
        ({"skeleton": {"frames": 0}}, r"\[skeleton\] `frames` must be a whole number from 1 to 65536"),
        ({"skeleton": {"velocty": True}}, "unknown key 'skeleton.velocty'; did you mean 'skeleton.velocity'"),
        (
            {"model": {"name": "stacked_rnn", "input_shape": [3]}},
            "'input_shape' cannot be set here, it follows from clip.size, or from",
        ),
    ],
)
def test_recipes_that_do_not_fit_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        recipe(**values)


def test_a_skeleton_set_without_its_table_is_refused():
    values = {"model": {"name": "stacked_rnn"}, "data": {"dataset": "utkinect"}}
    with pytest.raises(UserError, match=r"utkinect holds skeletons: write \[skeleton\] instead of \[clip\]"):
        training.parse_recipe(values)
    with pytest.raises(UserError, match=r"\[skeleton\] needs the name of the set: set data.dataset"):
        training.parse_recipe({"model": {"name": "stacked_rnn"}, "skeleton": {}})


def test_a_model_of_clips_says_that_it_takes_none(data, tmp_path):
    with pytest.raises(UserError, match="^gsm takes clips of videos: write .clip. instead of .skeleton.$"):
        training.train(recipe(model={"name": "gsm"}), data, tmp_path)


def test_joints_do_not_go_through_a_backbone(data, tmp_path):
    model = {"name": "eleatt_rnn", "backbone": "efficientnet_lite0"}
    with pytest.raises(UserError, match="^skeletons go past a backbone: leave model.backbone out$"):
        training.train(recipe(model=model), data, tmp_path)


BASIC = {"X_train": (8, 5, 6), "X_test": (4, 5, 6)}


def basic_motions(root, **changes):
    rng = np.random.default_rng(1)
    arrays = {name: rng.normal(size=shape).astype("float32") for name, shape in BASIC.items()}
    arrays |= {"y_train": np.arange(8) % 4, "y_test": np.arange(4)}
    arrays |= {"class_names": np.array(["Badminton", "Running", "Standing", "Walking"])} | changes
    np.savez(root / "basic_motions.npz", **{k: v for k, v in arrays.items() if v is not None})
    return arrays


def test_basic_motions_are_two_sensors_of_three_axes(tmp_path):
    arrays = basic_motions(tmp_path)
    manifest = read_dataset("basic_motions", tmp_path)
    assert (manifest.found, manifest.official) == ({"train": 8, "test": 4}, {"train": 40, "test": 40})
    assert manifest.class_names == ("Badminton", "Running", "Standing", "Walking")
    record = manifest.records[9]
    assert (record.path, record.label, record.split) == ("basic_motions.npz#test-1", 1, "test")
    np.testing.assert_array_equal(
        read_skeleton("basic_motions", record), arrays["X_test"][1].reshape(5, 1, 2, 3)
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"y_test": None}, "not the arrays X_train, y_train"),
        ({"y_test": np.array([0, 1, 2, 4])}, r"y_test class ids \(N,\)"),
        ({"X_train": np.zeros((8, 5, 3))}, r"X_train must be \(N, T, 6\)"),
        ({"class_names": np.array([{}], dtype=object)}, "not the arrays"),
    ],
)
def test_another_file_is_not_taken_for_basic_motions(changes, message, tmp_path):
    basic_motions(tmp_path, **changes)
    with pytest.raises(UserError, match=message):
        read_dataset("basic_motions", tmp_path)


def posed(root, name, bodies=1, joints=5, axes=3, frames=8):
    write_pose(root / name, np.random.default_rng(0).normal(size=(frames, bodies, joints, axes)) + 1)
    return root / name


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    """Files with one person and with two, in splits."""
    root = tmp_path_factory.mktemp("poses")
    for part in ("train", "val", "test"):
        for label in ("run", "wave"):
            posed(root, f"{part}/{label}/one.npz")
            posed(root, f"{part}/{label}/two.npz", bodies=2)
    return root


def own_recipe(**data):
    values = {
        "model": {"name": "stacked_rnn", "units": 4, "num_layers": 1},
        "data": {"dataset": "poses", **data},
        "skeleton": {"frames": 8, "center": 0},
        "train": {"epochs": 1, "batch_size": 2, "workers": 0},
    }
    return training.parse_recipe(values)


@pytest.fixture(scope="module")
def posed_run(poses, tmp_path_factory):
    return training.train(own_recipe(), poses, tmp_path_factory.mktemp("run"))


def test_persons_that_are_absent_are_zeros_up_to_the_number_of_the_set(posed_run, poses):
    recognizer = keras_actrec.load(posed_run.folder / "model.keras")
    assert recognizer.preprocessor.form == SkeletonForm(2, 5, True)
    steps, _ = recognizer.read(poses / "test" / "run" / "one.npz")
    assert steps.shape == (8, 2 * 5 * 3) and steps[:, :15].all(axis=1).any() and not steps[:, 15:].any()
    assert evaluation.evaluate(recognizer, poses).videos == 4
    statuses = [prediction.status for prediction in recognizer.predict(poses / "test")]
    assert statuses == ["ok"] * 4


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"bodies": 3}, "3 persons x 5 joints, the model takes 2 x 5; write it as the others or remove it"),
        ({"joints": 17}, "1 persons x 17 joints, the model takes 2 x 5; write it as the others or remove it"),
        ({"axes": 2}, "its joints are 2-D, the model takes 3-D joints; write it as the others or remove it"),
    ],
)
def test_other_persons_joints_or_axes_are_one_line_in_each_command(posed_run, tmp_path, about, reason):
    recognizer = posed_run.recognizer
    file = posed(tmp_path, "test/run/other.npz", **about)
    posed(tmp_path, "test/wave/good.npz")
    bad, good = recognizer.predict(tmp_path / "test")
    assert (bad.status, bad.error, good.status) == ("unreadable", reason, "ok")
    with pytest.raises(UserError, match=f"^{file}: {reason}, or pass `--on-error skip`$"):
        evaluation.evaluate(recognizer, tmp_path)
    result = evaluation.evaluate(recognizer, tmp_path, on_error="skip", max_skipped=0.5)
    assert (result.videos, list(result.skipped)) == (1, [f"{file}: {reason}"])


@pytest.mark.parametrize("about", [{"joints": 17}, {"axes": 2}])
def test_files_of_another_kind_among_those_for_training_are_named(tmp_path, about):
    for label in ("run", "wave"):
        for number in range(3):
            posed(tmp_path / "set", f"{label}/{number}.npz")
    file = posed(tmp_path / "set", "wave/9.npz", **about)
    with pytest.raises(UserError) as caught:
        training.train(own_recipe(test_fraction=0.1), tmp_path / "set", tmp_path / "run")
    assert str(caught.value).startswith(f"{file}: ") and "run/0.npz has" in str(caught.value)
    record = training.train(
        own_recipe(test_fraction=0.1, on_error="skip", max_skipped=0.5), tmp_path / "set", tmp_path / "run"
    ).record
    assert [line.split(": ")[0] for line in record["data"]["skipped"]] == [str(file)]


def test_flat_joints_are_learnt_from_and_deep_ones_then_refused(tmp_path):
    for label in ("run", "wave"):
        for number in range(3):
            posed(tmp_path / "set", f"{label}/{number}.npz", axes=2)
    run = training.train(own_recipe(), tmp_path / "set", tmp_path / "run")
    assert not run.recognizer.preprocessor.form.depth
    posed(tmp_path, "deep.npz")
    (answer,) = run.recognizer.predict(tmp_path / "deep.npz")
    assert answer.error.startswith("its joints are 3-D, the model takes 2-D joints")


def test_the_option_that_a_reader_advises_is_taken_as_it_is_written(data, tmp_path):
    copied = shutil.copytree(data, tmp_path / "ucla")
    joints = copied / "all_sqe"
    shutil.copy(joints / "a01_s01_e00_v01.json", joints / "a01_s01_e00_v03.json")
    listless = tmp_path / "msr"
    listless.mkdir()
    trees.msr_action3d(listless)
    (listless / "JiangExperimentFileList.txt").unlink()
    for dataset, root in (("northwestern_ucla", copied), ("msr_action3d", listless)):
        values = {"model": {"name": "stacked_rnn"}, "skeleton": {"frames": 2}, "data": {"dataset": dataset}}
        file = tmp_path / f"{dataset}.toml"
        file.write_text(training.parse_recipe(values).to_toml(), encoding="utf-8")
        with pytest.raises(UserError) as caught:
            prepare.read_data(training.read_recipe(file).data, root)
        (advice,) = re.findall(r"in a recipe (data.options=\{.*?\})", str(caught.value))
        assert prepare.read_data(training.read_recipe(file, [advice]).data, root)[1]["train"]


def test_a_bad_file_is_no_copy_of_another_and_can_be_skipped(data, tmp_path):
    for number, bad in enumerate((lambda file: file.write_bytes(b""), os.mkfifo)):
        root = shutil.copytree(data, tmp_path / f"{number}")
        for view in (1, 3):
            file = root / "all_sqe" / f"a01_s01_e00_v0{view}.json"
            file.unlink(missing_ok=True)
            bad(file)
        records = prepare.read_data(recipe().data, root)[1]["train"]
        assert "all_sqe/a01_s01_e00_v01.json" in [record.path for record in records]
        _, skipped = recipe().preprocessor.index(records, on_error="skip", max_skipped=0.5)
        assert [error.path.name for error in skipped] == ["a01_s01_e00_v01.json"]


GRAPH = {"name": "st_gcn", "layout": "coco17", "bodies": 2, "filters": 2}
PARTS = {"name": "eleatt_rnn", "embedding": 2, "joints": 34, "units": 2, "num_layers": 1}


@pytest.mark.parametrize(
    ("model", "skeleton", "shown", "message"),
    [
        # A step has channels enough for all of these: without a word, joints would be taken for others.
        (
            GRAPH | {"layout": "ntu25", "bodies": 1},
            {"layout": "openpose25"},
            (1, 25),
            "model.layout is ntu25, and the joints are shown as openpose25: set model.layout='openpose25'",
        ),
        (GRAPH, {}, (2, 17), "the joints are shown without names: set skeleton.layout='coco17'"),
        (
            GRAPH,
            {"layout": "coco17"},
            (1, 17),
            "model.bodies is 2, and the files show 1: set model.bodies=1, or skeleton.bodies=2",
        ),
        (
            PARTS | {"joints": 17},
            {"layout": "coco17"},
            (2, 17),
            "model.joints is 17, and the files show 2 x 17 joints: set model.joints=34, or skeleton.bodies",
        ),
    ],
)
def test_a_model_that_counts_other_joints_than_it_is_shown_is_refused(model, skeleton, shown, message):
    values = recipe(model, {"dataset": "poses", "split": None}, {"velocity": True} | skeleton)
    items = [(Record("a.npz", "a.npz", 0), np.ones((4, *shown, 3)))]
    with pytest.raises(UserError) as caught:
        prepare.build_model(values, 3, items)
    assert message in str(caught.value)


@pytest.mark.parametrize("model", [GRAPH, PARTS])
def test_a_model_that_counts_the_joints_it_is_shown_is_built(model):
    values = recipe(model, {"dataset": "poses", "split": None}, {"layout": "coco17", "velocity": True})
    built, _ = prepare.build_model(values, 3, [(Record("a.npz", "a.npz", 0), np.ones((4, 2, 17, 3)))])
    assert built.inputs[0].shape == (None, None, 2 * 17 * 6)
