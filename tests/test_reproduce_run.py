"""Tables and figures of the papers made for real, on tiny data: each picture once, a table, and a study."""

import json
import re
import shlex

import cv2
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import trees
from keras_actrec import reproduction
from keras_actrec.cli.main import app
from keras_actrec.data import write_synthetic

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="what is drawn are numbers that are the same on every backend"
)

TINY = {
    "hman": (
        "clip.size=32",
        "clip.frames=4",
        "model.backbone=efficientnet_lite0:block1_output",
        "model.units=8",
        "model.num_layers=2",
        "model.hidden=8",
        "train.epochs=2",
    ),
    "softmax_regression": (
        "clip.size=32",
        "clip.frames=4",
        "model.backbone=efficientnet_lite0:block1_output",
        "train.epochs=2",
    ),
    "frame_pool": (
        "model.name=frame_pool",
        "clip.size=32",
        "clip.frames=2",
        "model.backbone=efficientnet_lite0:block1_output",
        "train.epochs=1",
    ),
    "utkinect": ("model.units=8", "skeleton.frames=6", "train.epochs=2", "train.drop_after=1"),
}


@pytest.fixture(scope="module", autouse=True)
def _viz():
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'keras_actrec[viz]'")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A tiny synthetic set."""
    root = tmp_path_factory.mktemp("clips")
    write_synthetic(root, clips_per_class=4, size=32, frames=8, test_fraction=0.5)
    return root


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory):
    return trees.utkinect(tmp_path_factory.mktemp("utkinect"))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """One folder for all: elements share trainings there."""
    return tmp_path_factory.mktemp("out")


def make(name, root, out, model, *more):
    """What the command prints."""
    words = ["reproduce", name, "--small", "--data", root, "--out", out]
    words += [word for change in (*TINY[model], *more) for word in ("--set", change)]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(f"wrote {out}\n")
    assert json.loads((out / "made.json").read_text(encoding="utf-8"))["element"] == name
    return result.stdout


def has(picture, *colors):
    """Whether a picture is there and shows these colors, RGB."""
    image = cv2.imread(str(picture))[..., ::-1].astype(int)
    return all((np.abs(image - color).max(axis=-1) < 12).sum() > 20 for color in colors)


BLUE, VERMILION, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)


def test_loss_curves_of_two_runs_are_on_one_axis(skeletons, out):
    stdout = make("eleattg/figure4", skeletons, out / "skeletons", "utkinect")
    assert [line.split(": ")[0] for line in stdout.splitlines()[:3]] == ["1 of 3", "2 of 3", "3 of 3"]
    assert has(out / "skeletons" / "figure4.png", BLUE, VERMILION)
    assert len(list((out / "skeletons" / "runs").iterdir())) == 2
    page = (out / "skeletons" / "README.md").read_text(encoding="utf-8")
    assert "![figure4](figure4.png)" in page and "Files found of the official number: 40 of 199" in page


def test_a_confusion_matrix_is_on_a_page(clips, out):
    make("hman/figure8", clips, out, "hman")
    page = (out / "figure8.html").read_text(encoding="utf-8")
    assert "[figure8](figure8.html)" in (out / "README.md").read_text(encoding="utf-8")
    assert "Confusion matrix of hman" in page and "UCF Sports: confusion matrix" in page
    assert "(hman/figure8, here on clips that are made)" in page


def test_attention_boundaries_and_temperature_are_on_a_page(clips, out):
    make("hman/figure10", clips, out, "hman")
    assert len(list((out / "runs").iterdir())) == 1  # elements share trainings in one folder
    page = (out / "figure10.html").read_text(encoding="utf-8")
    assert "Most attention in row/column" in page and "Boundaries of layer 2" in page


def test_the_temperature_stands_beside_the_untrained_and_the_printed_one(clips, out, monkeypatch):
    text = pytest.importorskip("matplotlib.text")
    seen, draw = [], text.Text.draw
    monkeypatch.setattr(
        text.Text, "draw", lambda self, renderer: seen.append(self.get_text()) or draw(self, renderer)
    )
    make("hman/figure11", clips, out, "hman")
    assert {"untrained: 0.591", "printed in the paper", "temperature", "step", "move_left"} <= set(seen)
    assert has(out / "figure11.png", BLUE, GREEN)


def test_epochs_and_updates_until_convergence_are_a_table(clips, out):
    make("hman/table2", clips, out, "hman")
    page = (out / "README.md").read_text(encoding="utf-8")
    # 20 clips to train on are 2 batches of 16; of two epochs the second has the lower loss, or not
    assert re.search(r"^\| made clips \|  \| (2 \|  \| 1|4 \|  \| 2) \|$", page, re.M), page
    assert "| UCF Sports | 400 |  | 2 |  |" in page


def test_a_table_of_trainings_has_what_their_tests_gave(clips, out, monkeypatch):
    make("hman/table6", clips, out / "table6", "softmax_regression")
    (test,) = (out / "table6" / "runs").glob("*/test.json")
    top1 = json.loads(test.read_text(encoding="utf-8"))["top1"]
    page = (out / "table6" / "README.md").read_text(encoding="utf-8")
    assert f"| EfficientNet-Lite0 |  | {100 * top1:.1f} |" in page
    assert "| GoogLeNet | 33.5 |  |" in page
    rows = (out / "table6" / "table6.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 2 and f",{top1:.4f}," in rows[1]
    paper = reproduction.read_paper("hman")
    paper.elements["table6"].missing["Their network"] = "nobody has it"
    monkeypatch.setattr(reproduction.paper, "read_paper", lambda name: paper)
    again = make("hman/table6", clips, out / "table6", "softmax_regression")  # nothing is trained again
    page = (out / "table6" / "README.md").read_text(encoding="utf-8")
    assert "\n\nTheir network: nobody has it." in page
    assert "of 3: keras-actrec train" in again
    assert (out / "table6" / "table6.csv").read_text(encoding="utf-8").splitlines() == rows


def test_the_commands_that_are_advised_do_the_same(clips, out, tmp_path):
    words = ["reproduce", "hman/table6", "--small", "--dry-run", "--data", clips, "--out", tmp_path]
    words += [word for change in TINY["softmax_regression"] for word in ("--set", change)]
    lines = CliRunner().invoke(app, [str(word) for word in words]).stdout.splitlines()
    for line in lines[:2]:
        program, *arguments = shlex.split(line)
        assert program == "keras-actrec"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    (file,) = (tmp_path / "runs").glob("*/history.csv")
    (other,) = (out / "table6" / "runs").glob("*/history.csv")
    assert file.parent.name == other.parent.name
    losses = [np.loadtxt(each, delimiter=",", skiprows=1)[:, 1:] for each in (file, other)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_a_command_that_a_description_advises_makes_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = CliRunner().invoke(app, ["reproduce", "hman/table1"]).stdout.splitlines()
    (line,) = [line for line in lines if line.endswith("--small")]
    program, *arguments = shlex.split(line)
    assert program == "keras-actrec"
    assert CliRunner().invoke(app, arguments).exit_code == 0
    page = (tmp_path / "runs/hman-table1/README.md").read_text(encoding="utf-8")
    assert "| layers 1, 2, 3 together | 6144 |" in page
    assert re.search(r"^\| classifier \| 12 x 10 \| 50 \|$", page, re.M), page  # 4 x 10 + 10


def test_features_of_two_models_are_laid_out_side_by_side(clips, out):
    make("sa_gsm/figure9", clips, out / "features", "frame_pool")
    picture = cv2.imread(str(out / "features" / "figure9.png"))
    assert picture.shape[1] > 1.8 * picture.shape[0]  # two panels
    assert has(out / "features" / "figure9.png", (31, 119, 180))


def test_a_set_in_numbers_and_its_labels(clips, out):
    make("sa_gsm/table1", clips, out / "set", "frame_pool")
    page = (out / "set" / "README.md").read_text(encoding="utf-8")
    for line in (
        "| videos | 108,499 | 40 |",
        "| labels | 174 | 10 |",
        "| height | 100 | 32 |",
        "| part test | 11,522 | 20 |",
        "| 10 most frequent labels, % | 8.4 | 100 |",
    ):
        assert line in page, page
    make("sa_gsm/figure4", clips, out / "set", "frame_pool")
    assert has(out / "set" / "figure4.png", BLUE)


def test_gates_are_drawn_on_the_joints(skeletons, out):
    make("eleattg/figure3", skeletons, out / "skeletons", "utkinect")
    picture = cv2.imread(str(out / "skeletons" / "figure3.png"))
    assert picture.shape[1] > picture.shape[0] > 600


def test_bars_are_those_of_a_study(skeletons, out):
    pytest.importorskip("keras_tuner", reason="needs KerasTuner: pip install 'keras_actrec[tune]'")
    one = ("model.attention_layers=[1]", "train.seed=0", "study.winner_seeds=[]", "model.num_layers=1")
    make("eleattg/figure2", skeletons, out / "study", "utkinect", *one)
    page = (out / "study" / "study" / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^\| \[1\] \| 0.787 \| [01]\.\d+ \|", page, re.M), page
    assert has(out / "study" / "figure2.png", BLUE, (213, 218, 224))


def test_sets_that_anyone_can_make_are_made(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "keras_actrec.data.write_synthetic", lambda root, **options: calls.append((root, options))
    )
    monkeypatch.setattr(
        "keras_actrec.training.train", lambda *args, **options: pytest.fail("no videos were made")
    )
    with pytest.raises(pytest.fail.Exception):
        CliRunner().invoke(
            app, ["reproduce", "hman/figure5", "--small", "--out", str(tmp_path)], catch_exceptions=False
        )
    ((root, options),) = calls
    assert root == tmp_path / "data" / "synthetic"
    assert (options["clips_per_class"], options["frames"], options["test_fraction"]) == (120, 24, 0.2)
