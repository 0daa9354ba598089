import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_actrec import training
from keras_actrec.cli.main import app
from keras_actrec.data import ClipDataset, Sampling, index_videos, read_manifest, write_synthetic

BACKBONE = "efficientnet_lite0:stem"
FROZEN = f"""
[model]
name = "softmax_regression"
backbone = "{BACKBONE}"

[data]
manifest = "manifest.csv"

[clip]
frames = 3
frame_step = 2
size = 32
crop = "none"

[train]
epochs = 1
"""
CLIPS = FROZEN.replace('crop = "none"', 'crop = "multiscale"\nshrink = 40\nflip = true')


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten classes of two videos of 8 frames."""
    folder = tmp_path_factory.mktemp("data")
    write_synthetic(folder / "set", clips_per_class=2, size=48, frames=8)
    return folder / "set"


def run(*arguments):
    result = CliRunner().invoke(app, ["extract", *(str(argument) for argument in arguments)])
    return result.exit_code, result.stdout, result.stderr


def succeeds(*arguments):
    code, stdout, stderr = run(*arguments)
    assert code == 0, stderr
    return stdout


def fails(*arguments):
    code, _, stderr = run(*arguments)
    assert code == 1 and stderr.startswith("error: ") and stderr.count("\n") == 1
    return stderr.removeprefix("error: ").rstrip("\n")


def recipe(folder, text):
    (folder / "recipe.toml").write_text(text)
    return folder / "recipe.toml"


def cached(values, data, out):
    """What training as the recipe says finds: the pairs, and how many of them had to be made."""
    manifest, seen = read_manifest(data, manifest="manifest.csv"), []
    pairs = training.caching(values, len(manifest.class_names))(
        index_videos(manifest.records)[0], out=out, index=None, progress=lambda *p: seen.append(p)
    )
    return pairs, seen[-1][1] - seen[0][0]


def test_frames_are_written_as_the_options_say(data, tmp_path):
    options = ["--frames", "--size", 24, "--short-side", 28, "--frame-step", 4, "--workers", 1]
    stdout = succeeds("--data", data, "--out", tmp_path / "out", *options)
    total = len(list(data.rglob("*.mp4")))
    assert (
        stdout == f"{total} videos, {2 * total} frames of (28, 28, 3) below {tmp_path / 'out'}; 0 skipped\n"
    )
    files = list((tmp_path / "out").rglob("*.npy"))
    assert len(files) == total and all(np.load(file).shape == (2, 28, 28, 3) for file in files)
    assert all(np.load(file).dtype == np.uint8 for file in files)


def test_shards_together_are_the_whole(data, tmp_path):
    options = ["--data", data, "--frames", "--size", 24]
    succeeds(*options, "--out", tmp_path / "whole")
    for number in (1, 2, 3):
        succeeds(*options, "--out", tmp_path / "parts", "--shard", f"{number}/3")
    names = [
        {str(file.relative_to(tmp_path / out)) for file in (tmp_path / out).rglob("*.npy")}
        for out in ("whole", "parts")
    ]
    assert names[0] == names[1] and names[0]
    rows = []
    for out in ("whole", "parts"):
        lists = sorted((tmp_path / out).glob("frames-*/index*.csv"))
        rows.append([])
        for path in lists:
            with open(path, newline="", encoding="utf-8") as file:
                rows[-1] += csv.DictReader(file)
        shown = [path.name for path in lists]
        assert shown == (["index.csv"] if out == "whole" else [f"index-{n}-of-3.csv" for n in (1, 2, 3)])
    assert sorted(row["path"] for row in rows[0]) == sorted(row["path"] for row in rows[1])


def test_a_recipe_with_a_frozen_backbone_writes_the_features_that_its_training_reads(data, tmp_path):
    file = recipe(tmp_path, FROZEN)
    options = ["--recipe", file, "--set", "clip.size=16", "--batch-size", 5]
    stdout = succeeds("--data", data, "--out", tmp_path / "out", *options)
    assert " frames of (8, 8, 32) below " in stdout
    pairs, made = cached(training.read_recipe(file, ["clip.size=16"]), data, tmp_path / "out")
    assert made == 0 and {video.dtype for _, video in pairs} == {"float16"}
    assert {video.frames for _, video in pairs} == {4}
    assert cached(training.read_recipe(file), data, tmp_path / "out")[1] == len(pairs)  # another size


@pytest.mark.parametrize(
    ("text", "change"),
    [(CLIPS, "train.train_backbone=true"), (FROZEN, "model.name=tsm"), (CLIPS, "model.name=tsm")],
)
def test_a_recipe_that_trains_on_clips_writes_the_frames_that_it_reads(data, tmp_path, text, change):
    if "tsm" in change:
        text = text.replace(f'backbone = "{BACKBONE}"', "")
    file = recipe(tmp_path, text)
    succeeds("--data", data, "--out", tmp_path / "out", "--recipe", file, "--set", change)
    values = training.read_recipe(file, [change])
    pairs, made = cached(values, data, tmp_path / "out")
    assert made == 0 and {video.dtype for _, video in pairs} == {"uint8"}
    clips, _ = ClipDataset(pairs, Sampling(3), values.clip.transform, batch_size=1)[0]
    assert clips.shape == (1, 3, 32, 32, 3)


def test_a_recipe_that_cannot_be_trained_is_refused(data, tmp_path):
    arguments = ["--data", data, "--out", tmp_path / "out", "--recipe"]
    assert "a frozen backbone sees every frame once" in fails(*arguments, recipe(tmp_path, CLIPS))
    text = FROZEN.replace(f'backbone = "{BACKBONE}"', "")
    assert "videos need a backbone" in fails(*arguments, recipe(tmp_path, text))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shard", "3/2"], '`shard` must be such as "2/8"'),
        (["--recipe", "no_recipe"], "there is no recipe 'no_recipe'"),
        (["--recipe", "hman/synthetic", "--size", 24], "--size does not go with --recipe: change the recipe"),
        (["--recipe", "hman/synthetic", "--short-side", 24], "--short-side does not go with --recipe"),
        (["--recipe", "hman/synthetic", "--frames"], "--frames does not go with --recipe"),
        (["--set", "clip.size=3"], "--set changes a recipe: name one with --recipe"),
        (["--frames", "--size", 24, "--short-side", 20], "`short_side` must be at least `size`, 24"),
    ],
)
def test_a_bad_option_is_named(data, tmp_path, options, message):
    assert message in fails("--data", data, "--out", tmp_path / "out", *options)


@pytest.mark.parametrize("option", ["--frame-step", "--batch-size", "--workers"])
def test_a_number_that_must_be_positive(data, tmp_path, option):
    code, _, stderr = run("--data", data, "--out", tmp_path / "out", option, 0)
    assert code == 2 and option in stderr
