"""Features of one's own from a recipe to a model: trained, scored, asked about one file, opened elsewhere."""

import csv
import importlib.util
import json

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import checks
import keras_actrec
import trees
from keras_actrec import _backend, evaluation, insight, training, zoo
from keras_actrec.cli.main import app
from keras_actrec.data import (
    FeatureDataset,
    FeaturePreprocessor,
    Record,
    Sampling,
    VideoError,
    audit_videos,
    index_features,
    preprocessor_of,
    read_dataset,
)
from keras_actrec.errors import UserError
from keras_actrec.evaluation.protocols import PROTOCOLS
from keras_actrec.training import prepare

MAPS = (2, 3, 8)  # height and width differ
OTHERS = sorted({"jax", "torch", "tensorflow"} - {keras.backend.backend()})
SMALL = {"units": 8, "filters": 4, "num_layers": 1, "dropout": 0.0, "content": True}
NAMES = [name for name in zoo.list_models() if zoo.spec(name).input != "clip"]
NAMES.remove("st_gcn")  # which takes joints alone
ATTENTIVE = ["cham", "conv_attention", "hman", "lstm_attention"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.features(tmp_path_factory.mktemp("vectors"))


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    return trees.features(tmp_path_factory.mktemp("maps"), step=MAPS, dtype="float64")


def recipe(name="stacked_rnn", data=None, features=None, train=None, **model):
    arguments = {key: value for key, value in SMALL.items() if key in zoo.spec(name).arguments}
    return training.parse_recipe(
        {
            "model": {"name": name, **arguments, **model},
            "data": {"dataset": "features"} | (data or {}),
            "features": {"frames": 6} | (features or {}),
            "train": {"epochs": 30, "batch_size": 9, "learning_rate": 0.01, "workers": 0} | (train or {}),
        }
    )


ONCE = {"train": {"epochs": 1}}


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Padded sequences of the first eight steps, and a validation part."""
    values = recipe(
        features={"frames": 8, "method": "stride"}, data={"validation_fraction": 0.3}, train={"epochs": 30}
    )
    return training.train(values, data, tmp_path_factory.mktemp("run"))


@pytest.mark.graphs  # hundreds of steps
def test_a_network_learns_which_channel_rises(run, data):
    result = evaluation.evaluate(run.recognizer, data)
    assert result.videos == 6 and result.top1 > 0.9  # chance .33
    assert result.protocol == "1 clip of 8 steps (stride)"
    assert run.record["data"]["parts"]["validation"] > 0
    assert run.record["last_epoch"]["val_accuracy"] > 0.9
    assert run.recognizer.class_names == trees.CLASSES
    assert run.recognizer.model.input["features"].shape == (None, None, 8)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="threads of torch")
def test_a_small_network_is_trained_by_one_thread(data, tmp_path):
    import torch

    threads = {}

    def progress(stage, done, total, text=""):
        threads[stage] = torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        training.train(recipe(train={"epochs": 1}), data, tmp_path / "run", progress=progress)
        assert threads["epochs"] == 1 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_file_reads_features_as_it_was_trained(run, data):
    loaded = keras_actrec.load(run.folder / "model.keras")
    assert loaded.preprocessor == FeaturePreprocessor(Sampling(8, "stride"), (8,))
    path = data / "test/catch/3_1.npy"  # of six steps
    steps, mask = loaded.read(path)
    array = np.load(path).astype("float32")
    np.testing.assert_array_equal(steps, array[[0, 1, 2, 3, 4, 5, 5, 5]])
    assert steps.dtype == "float32" and mask.tolist() == [True] * 6 + [False] * 2
    names, scores = zip(*loaded.predict_video(path), strict=True)
    assert names[0] == "catch" and abs(sum(scores) - 1) < 1e-5


def test_padding_changes_no_answer(run):
    model = run.recognizer.model
    whole = np.random.default_rng(0).normal(size=(1, 6, 8)).astype("float32")
    padded = np.concatenate([whole, np.full((1, 3, 8), 9, "float32")], axis=1)
    mask = np.arange(9)[None] < 6
    answers = [
        model.predict_on_batch({"features": whole, "mask": mask[:, :6]}),
        model.predict_on_batch({"features": padded, "mask": mask}),
    ]
    np.testing.assert_allclose(*answers, atol=1e-5)


ANSWERS = """
import sys
import numpy as np
import keras_actrec

answers = keras_actrec.load(sys.argv[1]).predict_video(sys.argv[2])
np.save("answers.npy", [score for _, score in sorted(answers)])
"""


@pytest.mark.parametrize("backend", OTHERS)
def test_a_file_gives_the_same_answers_on_another_backend(run, data, backend, run_python, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    path = data / "test/catch/3_0.npy"
    done = run_python("-c", ANSWERS, run.folder / "model.keras", path, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    expected = [score for _, score in sorted(run.recognizer.predict_video(path))]
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_model_of_features_takes_maps(name, maps, tmp_path):
    values = recipe(name, features={"frames": 9, "method": "contiguous"}, **ONCE)
    run = training.train(values, maps, tmp_path / "run")
    assert run.recognizer.preprocessor.step == MAPS and run.recognizer.spec.masked
    result = evaluation.evaluate(keras_actrec.load(tmp_path / "run/model.keras"), maps)
    np.testing.assert_allclose(result.scores.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(ATTENTIVE)))
def test_models_without_attention_take_vectors(name, data, tmp_path):
    run = training.train(recipe(name, **ONCE), data, tmp_path / "run")
    assert run.recognizer.model.input_shape == (None, None, 8)


@pytest.mark.parametrize("name", ATTENTIVE)
def test_attention_says_that_it_needs_maps(name, data, tmp_path):
    line = rf"^{name} cannot be built as \[model\] says: Attention needs feature maps \(T, K, K, D\) of known"
    with pytest.raises(UserError, match=line) as error:
        training.train(recipe(name, **ONCE), data, tmp_path / "run")
    assert "vectors (None, 8)" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_backbone_is_refused(name, data, tmp_path):
    line = "^features go past a backbone: leave model.backbone out$"
    with pytest.raises(UserError, match=line):
        training.train(recipe(name, backbone="efficientnet_lite0"), data, tmp_path)


def test_a_model_of_clips_is_refused(data, tmp_path):
    with pytest.raises(
        UserError, match=r"^tsn takes clips of videos: write \[clip\] instead of \[features\]$"
    ):
        training.train(recipe("tsn"), data, tmp_path)


@pytest.mark.parametrize(
    "values, line",
    [
        ({"clip": {}, "features": {}}, r"\[clip\] and \[features\] exclude each other"),
        ({"skeleton": {}, "features": {}}, r"\[skeleton\] and \[features\] exclude each other"),
        ({"clip": {}}, r"features holds features: write \[features\] instead of \[clip\]"),
        ({"skeleton": {}}, r"features holds features: write \[features\] instead of \[skeleton\]"),
        (
            {"features": {}, "data": {}},
            r"\[features\] needs the name of the set: set data.dataset='features'",
        ),
        (
            {"features": {}, "data": {"dataset": "utkinect"}},
            r"utkinect holds skeletons: write \[skeleton\] instead of \[features\]",
        ),
        ({"features": {"frame": 3}}, "unknown key 'features.frame'; did you mean 'features.frames'?"),
        ({"features": {"size": 3}}, "unknown key 'features.size'"),
        ({"features": {"frames": 0}}, r"\[features\] `frames` must be a whole number from 1 to 65536"),
        ({"features": {"stride": 2}}, r'\[features\] `stride` must be 1 with method="segments"'),
        (
            {"features": {}, "model": {"name": "stacked_rnn", "masked": True}},
            r"'masked' cannot be set here, it follows from method and short of \[clip\] or \[features\]",
        ),
    ],
)
def test_recipes_that_do_not_fit_are_refused(values, line):
    with pytest.raises(UserError, match=line):
        training.parse_recipe({"model": {"name": "stacked_rnn"}, "data": {"dataset": "features"}} | values)


def test_what_goes_with_a_method_falls_away_with_it(tmp_path):
    values = recipe(features={"method": "contiguous", "stride": 2})
    (tmp_path / "recipe.toml").write_text(values.to_toml(), encoding="utf-8")
    told = []
    changed = training.read_recipe(tmp_path / "recipe.toml", ["features.method=segments"], tell=told.append)
    assert changed.features.stride == 1
    assert told == ["features.stride falls away with features.method='segments'"]


def test_bad_files_are_skipped_and_named(data, tmp_path):
    root = trees.features(tmp_path / "data")
    (root / "train/catch/0_0.npy").write_bytes(b"")
    np.save(root / "train/catch/1_0.npy", np.zeros((4, 5)))
    with pytest.raises(VideoError, match="0_0.npy: the file has zero bytes.*--on-error skip"):
        training.train(recipe(**ONCE), root, tmp_path / "one")
    values = recipe(data={"on_error": "skip", "max_skipped": 0.2}, **ONCE)
    run = training.train(values, root, tmp_path / "two")
    first, second = run.record["data"]["skipped"]
    assert "0_0.npy: the file has zero bytes" in first
    assert "1_0.npy: its steps have the shape (5,), and" in second and "has (8,)" in second


@pytest.mark.parametrize("part", ["validation", "test"])
def test_another_shape_in_another_part_is_named(part, tmp_path):
    root = trees.features(tmp_path / "data")
    if part == "validation":
        for place, name in enumerate(trees.CLASSES):
            (root / "validation" / name).mkdir(parents=True)
            np.save(root / "validation" / name / "1.npy", np.zeros((4, 8 + place)))
        with pytest.raises(
            VideoError, match=r"1.npy: its steps have the shape \(9,\), and the model takes \(8,\)"
        ):
            training.train(recipe(**ONCE), root, tmp_path / "run")
        return
    run = training.train(recipe(**ONCE), root, tmp_path / "run")
    odd = root / "test/catch/3_0.npy"
    np.save(odd, np.zeros((4, 8, 8, 8)))
    line = r"3_0.npy: its steps have the shape \(8, 8, 8\), and the model takes \(8,\)"
    with pytest.raises(VideoError, match=line):
        evaluation.evaluate(run.recognizer, root)
    with pytest.raises(VideoError, match=line):
        run.recognizer.predict_video(odd)
    result = evaluation.evaluate(run.recognizer, root, on_error="skip", max_skipped=0.5)
    assert result.videos == 5 and "3_0.npy" in result.skipped[0]
    with pytest.raises(UserError, match=r"this model takes features \(T, 8\). Received: shape \(4, 9\)"):
        run.recognizer.batch(np.zeros((4, 9)))


def test_a_damaged_first_file_is_passed_by_where_a_model_is_only_built(data, tmp_path):
    bad = tmp_path / "bad.npy"
    bad.write_bytes(b"")
    good = data / "test/catch/3_0.npy"
    records = [Record(bad, "bad.npy", 0), Record(good, "good.npy", 0)]
    ((record, file),) = prepare.first_shown(recipe(), records)
    assert record == records[1] and file.step == (8,)


def test_training_draws_other_steps_in_every_epoch_and_testing_the_same(data):
    items, _ = index_features(read_dataset("features", data).records)
    drawn = FeatureDataset(items, Sampling(3), batch_size=24, training=True)
    batches = []
    for _ in range(2):
        x, y = drawn[0]
        order = np.argsort(drawn.item_indices(0))
        batches.append((x[order], y[order]))
        drawn.on_epoch_end()
    assert batches[0][0].dtype == "float32" and batches[0][0].shape == (24, 3, 8)
    np.testing.assert_array_equal(batches[0][1], batches[1][1])
    assert np.any(batches[0][0] != batches[1][0])
    still = FeatureDataset(items, Sampling(3), batch_size=24)
    for (_, file), row in zip(items, still[0][0], strict=True):
        np.testing.assert_array_equal(row, np.load(file.file)[[1, 3, 5] if file.frames == 6 else [1, 4, 7]])


def test_workers_give_the_same_batches(data):
    items, _ = index_features(read_dataset("features", data).records)
    plain, *others = (
        FeatureDataset(items, Sampling(4), batch_size=5, training=True, masked=True, **options)
        for options in ({}, {"workers": 2}, {"workers": 1, "processes": True})
    )
    for other in others:
        for index in range(len(plain)):
            (ours, labels), (theirs, other_labels) = plain[index], other[index]
            np.testing.assert_array_equal(labels, other_labels)
            for name in ("features", "mask"):
                np.testing.assert_array_equal(ours[name], theirs[name])


def test_several_clips_of_a_file_are_averaged(run, data):
    path = data / "test/catch/3_0.npy"  # of nine steps
    seen = FeaturePreprocessor(Sampling(3, num_clips=2), (8,))
    items, _ = seen.index([Record(path, "3_0.npy", 2)])
    (part,) = seen.views(items, size=4, ahead=1, workers=0)
    views = np.stack([view for view, _ in part.views])
    np.testing.assert_array_equal(views, np.load(path)[[[0, 3, 6], [1, 4, 7]]])
    assert part.last and seen.protocol == "2 clips of 3 steps (segments)"

    recognizer = keras_actrec.Recognizer(run.recognizer.model, trees.CLASSES, seen, spec=run.recognizer.spec)
    by_hand = run.recognizer.model.predict_on_batch({"features": views, "mask": np.ones((2, 3), bool)})
    scores = dict(recognizer.predict_video(path))
    np.testing.assert_allclose([scores[name] for name in trees.CLASSES], np.mean(by_hand, axis=0), atol=1e-6)


def test_a_protocol_changes_the_steps_and_not_the_crops(run, data):
    result = evaluation.evaluate(run.recognizer, data, protocol="strn")
    assert result.protocol.startswith("strn: all clips of 8 steps (sequences), mean of the views")
    with pytest.raises(
        UserError, match="protocol trn: its crops are of frames of videos, and this model sees"
    ):
        PROTOCOLS["trn"].of(run.recognizer)
    with pytest.raises(UserError, match="protocol tsm_2_clips: its crops"):
        PROTOCOLS["tsm_2_clips"].of(run.recognizer)


def test_what_a_file_of_a_model_holds_is_read_back():
    for step in (None, (8,), MAPS):
        seen = FeaturePreprocessor(Sampling(4, "stride", stride=2), step)
        assert preprocessor_of(json.loads(json.dumps(seen.to_json()))) == seen


def test_attention_on_features_has_no_frames(maps, tmp_path):
    square = trees.features(tmp_path / "square", step=(2, 2, 8))
    run = training.train(recipe("hman", **ONCE), square, tmp_path / "run")
    found = insight.explain(run.recognizer, square / "test/catch/3_0.npy", "catch")
    assert found.frames is None and found.attention.shape[1:] == found.evidence.shape[1:] == (2, 2)
    with pytest.raises(UserError, match="^`crop` is of videos, and hman sees others: leave it out$"):
        insight.explain(run.recognizer, square / "test/catch/3_0.npy", crop=1)


def test_features_are_not_extracted_again(data, tmp_path):
    with pytest.raises(
        UserError, match="^features holds features, and extract reads videos: train on them as"
    ):
        training.extraction_recipe(data={"dataset": "features"})
    line = r"^a recipe with \[features\] reads features, of which nothing is computed once$"
    with pytest.raises(UserError, match=line):
        training.extract(recipe(), data, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_half_precision_gives_a_model_in_single_precision(data, tmp_path):
    run = training.train(
        recipe(train={"epochs": 1, "mixed_precision": "mixed_bfloat16"}), data, tmp_path / "run"
    )
    assert {weight.dtype for weight in run.recognizer.model.weights} == {"float32"}


def test_blocks_that_run_again_train_to_the_same(data, tmp_path, monkeypatch):
    # Six steps, the shorter of them masked, in blocks of four.
    asked, loop = set(), _backend.loop
    monkeypatch.setattr(_backend, "loop", lambda *a, **b: asked.add(b["remat"]) or loop(*a, **b))
    found = []
    for remat in (None, 4):
        values = recipe(train={"epochs": 1, "remat": remat} if remat else {"epochs": 1}, bidirectional=True)
        found.append(training.train(values, data, tmp_path / str(remat)).recognizer.model)
        assert (4 in asked) == bool(remat)
    kept, again = found
    # It is of the run, and not of the model that it leaves.
    assert [layer.remat for layer in again.layers if layer.name.startswith("temporal")] == [None, None]
    for one, other in zip(again.weights, kept.weights, strict=True):
        np.testing.assert_allclose(checks.numpy(one), checks.numpy(other), atol=1e-5)


def test_blocks_are_refused_where_no_layer_has_them(data, tmp_path):
    with pytest.raises(UserError, match="^train.remat is about recurrent layers, and frame_gru has none of"):
        training.train(recipe("frame_gru", train={"remat": 4}), data, tmp_path / "run")


# ---- the command line


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(recipe(train={"epochs": 2}).to_toml(), encoding="utf-8")
    return path


def test_the_commands_from_the_audit_to_an_answer(data, file, tmp_path):
    out, audit = tmp_path / "run", tmp_path / "audit.json"
    found = call("audit", "--data", data, "--dataset", "features", "--json", audit)
    assert found.exit_code == 0 and "24 files: 24 ok, 0 truncated" in found.stdout
    train = ["train", file, "--data", data, "--out", out, "--audit", audit]
    trained = call(*train)
    assert trained.exit_code == 0, trained.output
    again = call(*train)
    assert again.exit_code == 0 and "this run is finished" in again.stdout
    scores = call("evaluate", out / "model.keras", "--data", data, "--predictions", tmp_path / "p.csv")
    assert scores.exit_code == 0 and "part test: 6 videos, 0 skipped" in scores.stdout
    with open(tmp_path / "p.csv", newline="", encoding="utf-8") as rows:
        assert len(list(csv.DictReader(rows))) == 6
    answer = call("predict", out / "model.keras", data / "test/catch/3_0.npy")
    assert answer.exit_code == 0 and all(name in answer.stdout for name in trees.CLASSES)


@pytest.mark.parametrize(
    "command",
    [
        ("extract", "--data", "{data}", "--out", "{out}", "--dataset", "features"),
        ("extract", "--data", "{data}", "--out", "{out}", "--recipe", "{file}"),
        ("extract", "--data", "{data}", "--out", "{out}"),
        (
            "train",
            "{file}",
            "--data",
            "{data}",
            "--out",
            "{out}",
            "--set",
            "model.backbone=efficientnet_lite0",
        ),
        ("train", "{file}", "--data", "{data}", "--out", "{out}", "--set", "data.dataset="),
    ],
)
def test_what_does_not_go_with_features_is_one_line(command, data, file, tmp_path):
    done = call(*(word.format(data=data, out=tmp_path / "out", file=file) for word in command))
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "features" in line or "no videos found" in line


PROGRAM = """
import json, sys
from keras_actrec import training
training.train(training.read_recipe(sys.argv[1]), sys.argv[2], sys.argv[3],
               progress=lambda *about: print(*about[:2], flush=True))
"""


@pytest.mark.graphs  # as the killed process makes them
def test_a_killed_run_ends_with_the_same_bits(data, tmp_path, kill_at):
    values = recipe("eleatt_rnn", features={"frames": 4}, train={"epochs": 4, "workers": 2}, dropout=0.5)
    (tmp_path / "mine.toml").write_text(values.to_toml(), encoding="utf-8")
    whole = training.train(values, data, tmp_path / "whole")
    kill_at("epochs 2", PROGRAM, tmp_path / "mine.toml", data, tmp_path / "killed")
    assert not (tmp_path / "killed/model.keras").exists()
    done = training.train(values, data, tmp_path / "killed")
    for ours, theirs in zip(done.recognizer.model.weights, whole.recognizer.model.weights, strict=True):
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(w.value) for w in (ours, theirs)))


def test_a_run_goes_on_with_an_audit_too(data, tmp_path):
    audit_videos(read_dataset("features", data), out=tmp_path / "audit.json")
    plain = training.train(recipe(**ONCE), data, tmp_path / "plain")
    audited = training.train(recipe(**ONCE), data, tmp_path / "audited", audit=tmp_path / "audit.json")
    assert plain.record["last_epoch"] == audited.record["last_epoch"]
