"""Training: the run directory, the loss by hand, seeds, the schedule, and what stops a run."""

import csv
import json
import re
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_actrec
from keras_actrec import backbones, evaluation, training
from keras_actrec.data import (
    VideoError,
    extract_features,
    index_videos,
    read_manifest,
    split_manifest,
    write_synthetic,
)
from keras_actrec.errors import UserError
from keras_actrec.training import prepare
from keras_actrec.training import record as records

BACKBONE = "efficientnet_lite0:block1_output"
CLASSES = ("grow", "move_up", "shrink")
STEPS = 5  # of a clip, every other frame: of 8 frames 4 are kept, of 12 frames 6, so some clips are padded

MODEL = {"name": "softmax_regression", "backbone": BACKBONE}
CLIP = {"frames": STEPS, "method": "stride", "frame_step": 2, "size": 32, "crop": "none"}
TRAIN = {"epochs": 1, "batch_size": 100, "workers": 0}  # one batch an epoch
HMAN = {
    "model": {
        "name": "hman",
        "backbone": BACKBONE,
        "content": True,
        "motion": True,
        "units": 4,
        "num_layers": 1,
    },
    "data": {"validation_fraction": 0.25},
    "train": {"epochs": 4, "batch_size": 5, "learning_rate": 3e-2, "seed": 7},
}
NOTHING = 1e-30  # a learning rate that moves no float32 weight


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """24 videos of three classes, half of 8 and half of 12 frames, for training and for testing."""
    root = tmp_path_factory.mktemp("data")
    rows = []
    for frames in (8, 12):
        write_synthetic(root / f"of_{frames}", clips_per_class=4, size=32, frames=frames, test_fraction=0.25)
        with open(root / f"of_{frames}" / "manifest.csv", newline="", encoding="utf-8") as file:
            rows += [
                (f"of_{frames}/{row['path']}", row["label"], row["split"])
                for row in csv.DictReader(file)
                if row["label"] in CLASSES
            ]
    with open(root / "videos.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return root / "videos.csv"


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """A folder that the runs share, so that each frame goes through the backbone once."""
    return tmp_path_factory.mktemp("features")


def recipe(model=None, data=None, clip=None, train=None):
    return training.parse_recipe(
        {
            "model": {**MODEL, **(model or {})},
            "data": data or {},
            "clip": {**CLIP, **(clip or {})},
            "train": {**TRAIN, **(train or {})},
        }
    )


@pytest.fixture(scope="module")
def run(data, features, tmp_path_factory):
    """HM-AN, trained for four epochs, with a validation part."""
    return training.train(recipe(**HMAN), data, tmp_path_factory.mktemp("run"), cache=features)


@pytest.fixture(scope="module")
def still(data, features, tmp_path_factory):
    """A softmax regression after one epoch that moved nothing: its loss is that of the weights it has."""
    return training.train(
        recipe(train={"learning_rate": NOTHING}), data, tmp_path_factory.mktemp("still"), cache=features
    )


def weights(result):
    return [ops.convert_to_numpy(weight) for weight in result.recognizer.model.weights]


def same(ours, theirs, **tolerance):
    for a, b in zip(weights(ours), weights(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, **{"atol": 0, **tolerance})


def differ(ours, theirs):
    return any(np.any(a != b) for a, b in zip(weights(ours), weights(theirs), strict=True))


def history(result):
    with open(result.folder / "history.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stored(data, features, part, **split):
    """Features of a part in float32 `(N, T, K, K, D)`, which steps count `(N, T)`, and labels."""
    records = split_manifest(read_manifest(data), **split)[part]
    network = backbones.build(BACKBONE, input_shape=(32, 32, 3))
    pairs = extract_features(
        index_videos(records)[0], network, transform=recipe().clip.transform, out=features, stride=2
    )
    padded = [
        np.load(video.file)[np.minimum(np.arange(STEPS), video.frames - 1)].astype("float32")
        for _, video in pairs
    ]
    counts = np.array([np.arange(STEPS) < video.frames for _, video in pairs])
    return np.stack(padded), counts, np.array([record.label for record, _ in pairs])


def loss_and_accuracy(steps, counts, labels):
    """Cross-entropy and accuracy of probabilities `(N, T, C)`, over all steps that count, by hand."""
    true = np.take_along_axis(steps, labels[:, None, None], axis=2)[..., 0]
    right = np.argmax(steps, axis=2) == labels[:, None]
    return -np.log(true[counts]).mean(), right[counts].mean()


def step_answers(result, maps):
    """Probabilities `(N, T, C)` of a softmax regression on the mean feature of every frame."""
    kernel, bias = result.recognizer.model.get_layer("classifier").get_weights()
    logits = maps.mean(axis=(2, 3)) @ kernel + bias
    steps = np.exp(logits - logits.max(axis=2, keepdims=True))
    return steps / steps.sum(axis=2, keepdims=True)


def test_a_run_directory_holds_recipe_record_history_model_and_nothing_else(run):
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "checkpoint.npz",
        "history.csv",
        "model.keras",
        "recipe.toml",
        "run.json",
    ]


def test_the_recipe_in_the_run_directory_is_the_one_that_was_trained(run):
    assert training.read_recipe(run.folder / "recipe.toml") == recipe(**HMAN)


def test_the_record_says_what_was_trained_on_what_and_where(run, data):
    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    backend = keras.backend.backend()
    manifest = read_manifest(data)
    parts = split_manifest(manifest, validation_fraction=0.25)
    assert record["data"] == {
        "sha256": manifest.sha256,
        "found": 24,
        "official": None,
        "parts": {part: len(records) for part, records in parts.items()},
        "skipped": [],
        "clip": {"frames": 8, "fps": 12.0},  # of every file
    }
    assert record["recipe"]["train"]["seed"] == 7 and record["recipe"]["data"]["split_seed"] == 0
    assert record["backend"] == backend
    assert record["versions"]["keras"] == keras.__version__
    assert record["versions"]["keras_actrec"] == keras_actrec.__version__
    assert set(record["versions"]) == {"keras_actrec", "keras", "numpy", "cv2", backend}
    assert "cores" in record["machine"] and record["seconds"] > 0
    assert record["commit"] == records._commit()
    assert record == run.record


def test_the_file_of_the_model_carries_the_record_and_names_in_the_order_of_the_labels(run, data):
    loaded = keras_actrec.load(run.folder / "model.keras")
    assert {
        **loaded.about,
        "root": str(data.resolve()),
    } == run.record  # no path goes with the model
    assert loaded.class_names == CLASSES == read_manifest(data).class_names
    assert loaded.preprocessor == recipe().preprocessor
    assert loaded.spec.masked


def test_the_history_has_a_row_an_epoch_with_the_validation_part(run):
    rows = history(run)
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    for row in rows:
        measured = {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert set(row) == {"epoch", "learning_rate", "temperature", *measured}
        assert all(np.isfinite(float(value)) for value in row.values())
    assert run.record["last_epoch"] == pytest.approx(
        {key: float(value) for key, value in rows[-1].items() if key != "epoch"}
    )


def test_the_loss_is_the_mean_over_the_steps_that_the_mask_leaves(still, data, features):
    maps, counts, labels = stored(data, features, "train")
    assert counts.sum(axis=1).tolist() == [4] * 9 + [5] * 9  # both kinds, so that a mean of means is another
    steps = step_answers(still, maps)
    loss, accuracy = loss_and_accuracy(steps, counts, labels)
    assert float(history(still)[0]["loss"]) == pytest.approx(loss, abs=1e-5)
    assert float(history(still)[0]["accuracy"]) == pytest.approx(accuracy, abs=1e-5)
    assert abs(loss_and_accuracy(steps, counts | True, labels)[0] - loss) > 1e-3  # padding would be seen


def clips_of(records, recognizer):
    clips, masks = zip(*(recognizer.read(record.file) for record in records), strict=True)
    return {"clip": np.stack(clips), "mask": np.stack(masks)}


def test_the_saved_model_has_the_trained_weights(run, data, features):
    """The file's model, behind its backbone, has the last epoch's validation loss on the same features."""
    model = keras_actrec.load(run.folder / "model.keras").model
    head = keras.Model(
        [model.get_layer("backbone").output, model.input["mask"]], model.get_layer("classifier").output
    )
    maps, counts, labels = stored(data, features, "validation", validation_fraction=0.25)
    loss, accuracy = loss_and_accuracy(head.predict([maps, counts], verbose=0), counts, labels)
    found = [float(row["val_loss"]) for row in history(run)]
    assert min(abs(found[-1] - other) for other in found[:-1]) > 1e-3  # weights of another moment are seen
    assert found[-1] == pytest.approx(loss, abs=1e-4)
    assert float(history(run)[-1]["val_accuracy"]) == pytest.approx(accuracy, abs=1e-5)


def test_the_answer_to_a_clip_is_that_to_its_extracted_features(still, data, features):
    """By hand from the stored features: the probabilities' mean over the steps that count."""
    maps, counts, _ = stored(data, features, "test")
    expected = (step_answers(still, maps) * counts[..., None]).sum(axis=1) / counts.sum(axis=1, keepdims=True)
    inputs = clips_of(split_manifest(read_manifest(data))["test"], still.recognizer)
    np.testing.assert_array_equal(inputs["mask"], counts)
    answers = still.recognizer.model.predict(inputs, verbose=0)
    assert np.ptp(answers, axis=0).max() > 0.05
    np.testing.assert_allclose(answers, expected, atol=1e-3)  # features are float16


def test_the_answer_is_the_mean_of_the_steps_that_count(run, data):
    model = run.recognizer.model
    both = keras.Model(model.input, [model.get_layer("classifier").output, model.output])
    frames, mask = run.recognizer.read(read_manifest(data).records[0].file)
    assert mask.tolist() == [True] * 4 + [False]
    steps, answer = both.predict_on_batch(run.recognizer.batch(frames, mask))
    np.testing.assert_allclose(answer[0], steps[0, :4].mean(axis=0), atol=1e-6)


def test_a_frozen_backbone_stays_what_it_was(run):
    network = run.recognizer.model.get_layer("backbone").network
    original = backbones.build(BACKBONE, input_shape=(32, 32, 3))
    for ours, theirs in zip(network.weights, original.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))


def test_the_statistics_of_the_motion_are_trained_too(run):
    mean, variance = run.recognizer.model.get_layer("motion_scale").get_weights()
    assert np.any(mean != 0) and np.any(variance != 1)


@pytest.mark.graphs
def test_the_same_seed_gives_the_same_weights_whoever_decodes(data, features, tmp_path):
    # Both in graphs: `run` is trained step by step where another test needs it first, which rounds otherwise.
    once = training.train(recipe(**HMAN), data, tmp_path / "once", cache=features)
    values = {**HMAN, "train": {**HMAN["train"], "workers": 2}}
    again = training.train(recipe(**values), data, tmp_path / "again")
    same(once, again)
    assert history(once) == history(again)
    assert any((tmp_path / "again" / "cache").rglob("*.npy"))  # where features go that are not shared


def test_another_seed_gives_other_weights(still, data, features, tmp_path):
    values = {"train": {"learning_rate": NOTHING, "seed": 1}}
    assert differ(still, training.train(recipe(**values), data, tmp_path / "other", cache=features))


def test_the_learning_rate_drops_after_as_many_steps_as_the_recipe_says(still, data, features, tmp_path):
    def trained(name, **train):
        table = {"learning_rate": 1e-3, "final_learning_rate": NOTHING, **train}  # an epoch is one step
        return training.train(recipe(train=table), data, tmp_path / name, cache=features)

    one = trained("one", epochs=1, drop_after=1)
    moved = [np.abs(a - b).max() for a, b in zip(weights(one), weights(still), strict=True)]
    assert max(moved) == pytest.approx(1e-3, rel=1e-2)  # the first step of Adam moves by the learning rate
    same(one, trained("dropped", epochs=3, drop_after=1))
    assert differ(one, trained("later", epochs=2, drop_after=2))


def test_clipnorm_shortens_the_gradient(still, data, features, tmp_path):
    table = {"learning_rate": 1e-3, "clipnorm": 1e-12}  # far below Adam's epsilon, 1e-7
    clipped = training.train(recipe(train=table), data, tmp_path / "clipped", cache=features)
    same(still, clipped, atol=1e-6)


def test_a_backbone_is_trained_where_the_recipe_says_so(data, tmp_path):
    values = {
        "clip": {"flip": True, "crop": "random"},
        "train": {"train_backbone": True, "learning_rate": 1e-3},
    }
    trained = training.train(recipe(**values), data, tmp_path / "run")
    network = trained.recognizer.model.get_layer("backbone").network
    original = backbones.build(BACKBONE, input_shape=(32, 32, 3))
    pairs = [
        (weight.name, np.abs(ops.convert_to_numpy(weight) - ops.convert_to_numpy(other)).max())
        for weight, other in zip(network.weights, original.weights, strict=True)
    ]
    assert all(moved > 0 for name, moved in pairs if name in ("kernel", "depthwise_kernel", "beta"))
    assert all(moved > 0 for name, moved in pairs if name.startswith("moving"))
    assert not (tmp_path / "run" / "cache").exists()


def test_progress_is_reported_to_the_end_of_every_stage(data, features, tmp_path):
    seen = []
    training.train(
        recipe(train={"epochs": 2}),
        data,
        tmp_path / "run",
        cache=features,
        progress=lambda *a: seen.append(a),
    )
    assert [step[:3] for step in seen if step[0] == "epochs"] == [("epochs", 1, 2), ("epochs", 2, 2)]
    assert all(step[3].startswith("loss ") and "accuracy " in step[3] for step in seen if step[0] == "epochs")
    assert [step[1:3] for step in seen if step[0] == "videos"] == [(n, 18) for n in range(1, 19)]
    assert [step[1:3] for step in seen if step[0] == "features"][-1] == (18, 18)


def test_batches_are_reported_within_an_epoch(data, features, tmp_path):
    seen = []
    training.train(
        recipe(data={"validation_fraction": 0.34}, train={"epochs": 2, "batch_size": 5}),
        data,
        tmp_path / "run",
        cache=features,
        progress=lambda *a: seen.append(a),
    )
    # Of the 18 videos 12 train, in 3 batches, and 6 validate, in 2.
    steps = [step[1:] for step in seen if step[0] == "epochs"]
    assert [done for done, *_ in steps] == pytest.approx([n / 5 for n in range(1, 11)])
    assert [done for done, *_ in steps if done == int(done)] == [1, 2] and {step[1] for step in steps} == {2}
    words = [re.sub(r"\d\.\d+", "x", text) for *_, text in steps[4:]]
    assert words == [
        "loss x  accuracy x  val loss x  val accuracy x",
        *(f"epoch 2, batch {n}/3  loss x  accuracy x  last val accuracy x" for n in (1, 2, 3)),
        "epoch 2, validation 1/2  val loss x  val accuracy x",
        "loss x  accuracy x  val loss x  val accuracy x",
    ]


def test_a_loss_that_is_no_number_stops_the_run_and_is_not_gone_on_with(data, features, tmp_path):
    broken = recipe(train={"learning_rate": 3e38, "epochs": 5})
    with pytest.raises(
        UserError, match="the loss is not a number after epoch [2-5]: lower train.learning_rate"
    ):
        training.train(broken, data, tmp_path / "run", cache=features)
    assert not (tmp_path / "run" / "model.keras").exists()
    done = history(training.Run(tmp_path / "run", None, None))
    assert 1 <= len(done) < 5 and all(np.isfinite(float(row["loss"])) for row in done)
    with pytest.raises(
        UserError, match="another recipe, train.epochs=5 there, 1 here: choose another --out, or remove it"
    ):
        training.train(recipe(), data, tmp_path / "run", cache=features)


@pytest.fixture
def few(tmp_path):
    """Two classes with two short videos each for training and one for testing."""
    write_synthetic(tmp_path / "few", clips_per_class=3, size=32, frames=8)
    rows = [
        (f"{kind}/{kind}_00{number}.mp4", kind, "test" if number == 2 else "train")
        for kind in ("grow", "shrink")
        for number in range(3)
    ]
    with open(tmp_path / "few" / "few.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return tmp_path / "few" / "few.csv"


def test_a_bad_video_stops_the_run_before_anything_is_computed(few, tmp_path, monkeypatch):
    (few.parent / "shrink" / "shrink_001.mp4").write_bytes(b"")
    monkeypatch.setattr(prepare, "caching", None)
    with pytest.raises(VideoError, match="shrink_001.mp4: the file has zero bytes"):
        training.train(recipe(), few, tmp_path / "run")


def test_a_skipped_video_is_named_and_counted(few, tmp_path):
    (few.parent / "shrink" / "shrink_001.mp4").write_bytes(b"")
    skip = {"on_error": "skip", "max_skipped": 0.25}
    result = training.train(recipe(data=skip), few, tmp_path / "run")
    (line,) = result.record["data"]["skipped"]
    assert "shrink_001.mp4: the file has zero bytes" in line
    assert (result.record["data"]["found"], result.record["data"]["parts"]["train"]) == (6, 4)
    assert len(list((tmp_path / "run" / "cache").rglob("*.npy"))) == 3


def test_a_class_of_which_every_video_was_skipped_is_named(few, tmp_path):
    for number in (0, 1):
        (few.parent / "shrink" / f"shrink_00{number}.mp4").write_bytes(b"")
    skip = {"on_error": "skip", "max_skipped": 1}
    with pytest.raises(UserError, match="no video of class 'shrink' is left to train on"):
        training.train(recipe(data=skip), few, tmp_path / "run")
    for number in (0, 1):
        (few.parent / "grow" / f"grow_00{number}.mp4").write_bytes(b"")
    with pytest.raises(UserError, match="no video is left to train on: all were skipped"):
        training.train(recipe(data=skip), few, tmp_path / "run2")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"clip": {"flip": True}}, "a frozen backbone sees every frame once"),
        ({"clip": {"crop": "random", "short_side": 40}}, "at random: leave clip.crop out (clip.speed, "),
        ({"clip": {"contrast": 0.2, "erasing": 0.5}}, "leave clip.contrast, clip.erasing out"),
        ({"clip": {"rand_augment": 2}}, "leave clip.rand_augment out"),
        ({"train": {"backbone_rate": 0.1}}, "train.backbone_rate is about a backbone that is trained: set"),
        ({"train": {"unfreeze_after": 2}}, "set train.train_backbone=true, or leave it out"),
        ({"clip": {"swap": [[0, 12]]}}, "clip.swap names class 12, but the data has"),
        ({"model": {"backbone": "efficientnet_lite"}}, "did you mean 'efficientnet_lite0'?"),
        ({"model": {"backbone": "efficientnet_lite0:block9_output"}}, "efficientnet_lite0 has no layer"),
        ({"model": {"weights": "no.weights.h5"}}, "`weights`: file no.weights.h5 does not exist"),
        ({"data": {"test_fold": 1}}, "`test_fold` goes with folds"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(few, tmp_path, values, message):
    with pytest.raises(UserError) as caught:
        training.train(recipe(**values), few, tmp_path / "run")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_recipe_without_a_backbone_is_refused_with_those_there_are(few, tmp_path):
    plain = training.parse_recipe({"model": {"name": "hman"}})
    with pytest.raises(
        UserError, match="videos need a backbone: set model.backbone, one of .*efficientnet_lite0"
    ):
        training.train(plain, few, tmp_path / "run")
    with pytest.raises(UserError, match=r"st_gcn takes joints: write \[skeleton\] instead of \[clip\]"):
        training.train(training.parse_recipe({"model": {"name": "st_gcn"}}), few, tmp_path / "run")


def git(folder, *arguments):
    names = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *names, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_librarys_checkout_and_of_no_other(tmp_path, monkeypatch):
    package = tmp_path / "checkout" / "keras_actrec"
    (package / "training").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "training" / "fit.py").touch()
    monkeypatch.setattr(keras_actrec, "__file__", str(package / "__init__.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert records._commit() is None  # no checkout
    git(package.parent, "init")
    (package.parent / "README.md").touch()
    git(package.parent, "add", "README.md")
    git(package.parent, "commit", "--message", "Somebody's project")
    assert records._commit() is None  # installed inside a checkout of something else
    git(package.parent, "add", ".")
    git(package.parent, "commit", "--message", "Ours")
    head = git(package.parent, "rev-parse", "--short", "HEAD")
    (package.parent / "notes.txt").touch()
    assert records._commit() == head
    (package / "training" / "fit.py").write_text("changed = True\n", encoding="utf-8")
    assert records._commit() == head + "+"


def test_no_half_written_file_is_left_anywhere(run, still, features):
    for folder in (run.folder, still.folder, features):
        assert list(Path(folder).rglob(".part-*")) == []


TSN = {"name": "tsn", "backbone": "bn_inception:inception_3a_output", "width": 0.125}


@pytest.mark.graphs
def test_a_network_over_clips_is_trained_on_the_clips(data, tmp_path):
    values = recipe(
        model=TSN, clip={"frames": 2, "method": "segments"}, train={"batch_size": 9, "learning_rate": 1e-2}
    )
    run = training.train(values, data, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.npz",
        "history.csv",
        "model.keras",
        "recipe.toml",
        "run.json",
    ]
    model = keras_actrec.load(tmp_path / "model.keras").model
    assert model.input_shape == (None, 2, 32, 32, 3)
    np.testing.assert_array_equal(model.get_layer("conv1_7x7_s2").get_weights()[0], weights(run)[0])


def test_a_model_of_exactly_as_many_frames_is_not_trained_with_masks(few, tmp_path):
    values = recipe(model={**TSN, "name": "trn"})
    with pytest.raises(UserError, match="^trn has no mask for padding: set clip.short='stretch'$"):
        training.train(values, few, tmp_path / "run")


def test_a_dataset_in_its_official_layout_is_trained_on_and_counted(data, features, tmp_path):
    root, classes = tmp_path / "UCF-101", ("Grow", "Shrink")
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(classes, 1)))
    parts = {"train": [], "test": []}
    for name in classes:
        (root / name).mkdir()
        for group, part in ((1, "test"), (2, "train"), (3, "train")):
            clip = f"v_{name}_g{group:02}_c01"
            source = next((data.parent / "of_8").glob(f"**/{name.lower()}*{group}*.mp4"))
            (root / name / f"{clip}.mp4").write_bytes(source.read_bytes())
            parts[part].append(f"{name}/{clip}.avi")
    for part, lines in parts.items():
        (lists / f"{part}list01.txt").write_text("\n".join(lines) + "\n")

    values = recipe(data={"dataset": "ucf101", "split": 1})
    run = training.train(values, root, tmp_path / "run")
    assert run.recognizer.class_names == classes  # in the order of the official file
    assert run.record["data"]["parts"] == {"train": 4, "validation": 0, "test": 2}
    assert (run.record["data"]["found"], run.record["data"]["official"]) == (6, 9537 + 3783)
    result = evaluation.evaluate(run.recognizer, root)
    assert (result.videos, result.to_json()["official"]) == (2, 3783)


def test_a_cache_of_frames_changes_no_number(data, tmp_path):
    values = recipe(
        model=TSN,
        clip={"frames": 2, "method": "segments", "crop": "random", "flip": True},
        train={"batch_size": 9, "learning_rate": 1e-2},
    )
    runs = [
        training.train(values, data, tmp_path / name, cache=cache)
        for name, cache in (("decoded", None), ("cached", tmp_path / "cache"))
    ]
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 18  # the training part, all different
    assert not differ(*runs)
    scores = [
        evaluation.evaluate(runs[0].recognizer, data, cache=cache).scores
        for cache in (None, tmp_path / "cache")
    ]
    np.testing.assert_array_equal(*scores)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 24
