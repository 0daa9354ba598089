"""Pictures of several runs, rows and labels: what they show, and the numbers behind them."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_actrec import insight
from keras_actrec.data import body
from keras_actrec.data.skeletons import SkeletonForm
from keras_actrec.errors import UserError
from keras_actrec.insight.gates import _bones, _limits, average_response, relative_response
from keras_actrec.insight.temperature import UNTRAINED

pytestmark = pytest.mark.no_backend
BLUE, VERMILION = (0, 114, 178), (213, 94, 0)


@pytest.fixture(autouse=True)
def _viz():
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'keras_actrec[viz]'")


def words(monkeypatch):
    """The texts of pictures that are drawn from now on."""
    text = pytest.importorskip("matplotlib.text")
    seen, draw = [], text.Text.draw
    monkeypatch.setattr(
        text.Text, "draw", lambda self, renderer: seen.append(self.get_text()) or draw(self, renderer)
    )
    return seen


def columns_of(picture, color):
    image = cv2.imread(str(picture))[..., ::-1].astype(int)
    rows, columns = np.nonzero(np.abs(image - color).max(axis=-1) < 12)
    return rows / image.shape[0], columns / image.shape[1]


def run(folder, losses, **more):
    folder.mkdir()
    rows = [f"{epoch},{loss},{loss / 2},{1 - loss / 9}" for epoch, loss in enumerate(losses)]
    text = "\n".join(["epoch,loss,val_loss,accuracy", *rows])
    (folder / "history.csv").write_text(f"{text}\n", encoding="utf-8")
    record = {"recipe": {"train": {"batch_size": 10, **more}}, "data": {"parts": {"train": 95}}}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_each_run_has_a_color_and_validation_is_dashed(tmp_path, monkeypatch):
    runs = {"high": run(tmp_path / "a", [4.0, 4.0]), "low": run(tmp_path / "b", [1.0, 1.0])}
    seen = words(monkeypatch)
    picture = insight.draw_curves(runs, tmp_path / "c.png", columns=("loss", "val_loss"), title="two $x$")
    assert {"two $x$", "high", "low", "high, validation", "loss", "epoch"} <= set(seen)
    high, low = (np.median(columns_of(picture, color)[0]) for color in (BLUE, VERMILION))
    assert high < low  # rows count from the top


def test_each_quantity_has_a_panel(tmp_path):
    runs = {"one": run(tmp_path / "a", [4.0, 2.0])}
    heights = [
        cv2.imread(str(insight.draw_curves(runs, tmp_path / "c.png", columns=columns))).shape[0]
        for columns in (("loss", "val_loss"), ("loss", "accuracy"))
    ]
    assert heights[1] > 1.5 * heights[0]


def test_a_column_that_a_history_lacks_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"has no column 'val_accuracy': it has epoch, loss, val_loss"):
        insight.draw_curves({"one": run(tmp_path / "a", [1.0])}, tmp_path / "c.png", columns=["val_accuracy"])


@pytest.mark.parametrize(
    ("losses", "more", "epochs", "updates"),
    [  # 95 clips are 10 batches
        ([3.0, 2.0, 1.0], {}, 3, 30),
        ([3.0, 1.04, 1.0], {}, 2, 20),  # 1.1 is 95 % of the fall
        ([3.0, 1.0, 2.0], {"accumulate": 2}, 2, 10),
        ([3.0, 1.0], {"accumulate": 0.5}, 2, 4),
        ([1.0], {}, 1, 10),
    ],
)
def test_convergence_is_where_most_of_the_fall_is_behind(tmp_path, losses, more, epochs, updates):
    assert insight.converged(run(tmp_path / "a", losses, **more)) == (epochs, updates)


def explanation(temperature, name="walk"):
    steps = len(temperature)
    return insight.Explanation(
        path=Path("clip.mp4"),
        frames=np.zeros((steps, 2, 2, 3), "uint8"),
        mask=np.arange(steps) < steps - 1,
        attention=None,
        boundaries=None,
        temperature=np.array(temperature),
        steps=np.ones((steps, 1)),
        scores=np.ones(1),
        class_names=(name,),
        true_label=name,
    )


def test_the_untrained_temperature_is_that_of_a_zero_map(tmp_path, monkeypatch):
    assert pytest.approx(1 / (math.log1p(math.exp(0)) + 1)) == UNTRAINED
    seen = words(monkeypatch)
    picture = insight.draw_temperature([explanation([0.5, 0.5, 9.0])], tmp_path / "t.png", printed=[0.6, 0.7])
    assert {"untrained: 0.591", "printed in the paper", "walk"} <= set(seen)
    assert "9.0" not in seen and len(columns_of(picture, BLUE)[0])  # padding is no step


def test_a_clip_without_a_temperature_is_refused(tmp_path):
    clip = insight.Explanation(**{**vars(explanation([0.5, 0.5])), "temperature": None})
    with pytest.raises(UserError, match="has no temperature: train hman"):
        insight.draw_temperature([clip], tmp_path / "t.png")
    with pytest.raises(UserError, match="at least one clip"):
        insight.draw_temperature([], tmp_path / "t.png")


def test_bars_are_as_high_as_the_means(tmp_path, monkeypatch):
    seen = words(monkeypatch)
    ours = {"[]": [0.5], "[1]": [0.25], "none": []}
    picture = insight.draw_bars(ours, tmp_path / "b.png", printed={"[]": 0.9}, title="t")
    assert {"[]", "[1]", "none", "here", "printed in the paper"} <= set(seen)
    rows, columns = columns_of(picture, BLUE)
    bars = [
        rows[(columns > low) & (columns < high) & (rows < 0.9)] for low, high in ((0.1, 0.4), (0.4, 0.65))
    ]
    heights = [bar.max() - bar.min() for bar in bars]
    assert heights[0] == pytest.approx(2 * heights[1], rel=0.05)
    with pytest.raises(UserError, match="a row with figures"):
        insight.draw_bars({"[]": []}, tmp_path / "b.png")


def test_labels_come_by_frequency(tmp_path, monkeypatch):
    seen = words(monkeypatch)
    picture = insight.draw_counts({"rare": 1, "often": 8, "some": 4}, tmp_path / "l.png")
    names = [word for word in seen if word in ("rare", "often", "some")]
    assert list(dict.fromkeys(names)) == ["often", "some", "rare"]
    rows, columns = columns_of(picture, BLUE)
    left, right = (rows[(columns > low) & (columns < high)].min() for low, high in ((0.1, 0.3), (0.8, 1)))
    assert left < right
    insight.draw_counts({str(number): 1 for number in range(100)}, tmp_path / "many.png")
    assert "100 labels, by frequency" in seen
    with pytest.raises(UserError, match="a label with a clip"):
        insight.draw_counts({"rare": 0}, tmp_path / "l.png")


def test_the_response_of_a_joint_is_that_of_its_coordinates_against_their_average():
    x = np.array([[1.0, 2.0, 0.0, 1.0], [3.0, 2.0, 0.0, 1.0]])
    gates = np.array([[0.5, 1.0, 0.3, 0.2], [0.5, 0.0, 0.9, 0.4]])
    average = average_response((x**2).sum(axis=0), ((gates * x) ** 2).sum(axis=0))
    # by hand: half everywhere; sqrt(4 / 8); an element that is always 0; sqrt(.2 / 2)
    np.testing.assert_allclose(average, [0.5, math.sqrt(0.5), 1.0, math.sqrt(0.1)])
    response = relative_response(gates, average, joints=2)
    expected = [[1 + math.sqrt(2), 0.3 + 0.2 / math.sqrt(0.1)], [1.0, 0.9 + 0.4 / math.sqrt(0.1)]]
    np.testing.assert_allclose(response, expected)


@pytest.mark.parametrize(
    ("layout", "depth", "up"),
    [("coco17", False, 1), ("coco17", True, 1), ("kinect20", True, -1), (None, False, 1)],
)
def test_a_head_is_above_the_feet_in_pictures_of_gates(layout, depth, up):
    joints = 17 if layout is None else len(body(layout).joints)
    form = SkeletonForm(2, joints, depth)
    places = np.zeros((3, 2 * joints, 2))
    places[:, :, 0] = np.arange(2 * joints)
    names = body(layout or "coco17").joints
    heights = [next(i for i, part in enumerate(HEIGHTS) if part in name) for name in names]
    places[:, :joints, 1] = up * np.array([heights] * 3)
    limits = _limits(places, np.ones(2 * joints, bool), layout, form)
    head = next(place for place, name in enumerate(names) if name in ("head", "nose"))
    share = [(y - limits[1][0]) / (limits[1][1] - limits[1][0]) for y in places[0, [head, joints - 1], 1]]
    assert 1 > share[0] > 0.7 > 0.3 > share[1] > 0
    bones = _bones(layout, form)
    lines = () if layout is None else body(layout).lines
    assert bones == [*lines, *((start + joints, end + joints) for start, end in lines)]


# From above; each joint has one of these in its name.
HEIGHTS = (
    *("head", "nose", "eye", "ear", "shoulder", "elbow", "spine", "wrist", "hand"),
    *("pelvis", "hip", "knee", "ankle", "foot"),
)
