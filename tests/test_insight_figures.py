"""Pictures of several runs, rows and labels: what they show, and the numbers behind them."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from keras_actrec import insight
from keras_actrec.data import body
from keras_actrec.errors import UserError
from keras_actrec.insight import _figures
from keras_actrec.insight._clips import skeletons, stage_of, steps_of
from keras_actrec.insight._skeleton import Stage, relative_response, response_of
from keras_actrec.insight._timeline import Timeline
from keras_actrec.insight.gates import average_response
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


def test_a_long_title_takes_as_many_lines_as_it_needs(tmp_path, monkeypatch):
    seen, title = words(monkeypatch), f"{'long ' * 30}end"
    picture = insight.draw_bars({"[]": [0.5]}, tmp_path / "b.png", title=title)
    (drawn,) = {text for text in seen if text.endswith("end")}
    assert drawn.split() == title.split()
    assert cv2.imread(str(picture))[:, -4:].min() > 250  # nothing runs out of the picture


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
def test_a_head_is_above_the_feet_in_pictures_of_skeletons(layout, depth, up):
    names = body(layout or "coco17").joints
    places = np.zeros((3, 2, len(names), 3))
    places[:, 0, :, 0] = np.arange(len(names))
    heights = [next(i for i, part in enumerate(HEIGHTS) if part in name) for name in names]
    places[:, 0, :, 1] = up * np.array([heights] * 3)
    places[..., 2] = 0.1 * depth * places.any(axis=-1)
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.add_subplot()
    origin = names.index("pelvis") if "pelvis" in names else None
    if origin is None:
        places[:, 0, 0] = 0  # it is missing
    else:
        places[:, 0] -= places[:, 0, [origin]]
    Stage(places, None, None if layout is None else body(layout), origin).draw(axes, 1, _figures.COLORS)
    head = next(place for place, name in enumerate(names) if name in ("head", "left_ear"))
    low, high = axes.get_ylim()
    share = [(y - low) / (high - low) for y in places[0, 0, [head, len(names) - 1], 1]]
    assert 1 >= share[0] > 0.7 > 0.3 > share[1] >= 0
    missing = 1 if origin is None else 0  # of the first person; the second one is not there
    assert len(axes.collections[0].get_offsets()) == len(names) - missing
    assert bool(axes.lines) == (layout is not None)


# From above; each joint has one of these in its name.
HEIGHTS = (
    *("head", "nose", "eye", "ear", "shoulder", "elbow", "spine", "wrist", "hand"),
    *("pelvis", "hip", "knee", "ankle", "foot"),
)
# Skeletons: joints whose places and responses are known.


def skeleton(joints, gates, **more):
    steps = len(joints)
    return insight.Explanation(
        path=Path("a.json"),
        frames=None,
        mask=np.ones(steps, bool),
        attention=None,
        boundaries=None,
        temperature=None,
        steps=np.full((steps, 2), 0.5),
        scores=np.array([0.25, 0.75]),
        class_names=("walk", "走る"),
        joints=np.asarray(joints, float),
        gates=np.asarray(gates, float),
        **more,
    )


def place_of(image, share):
    """Row and column of the middle of what has the color of a share of the range, and how many pixels."""
    color = 255 * np.array(pytest.importorskip("matplotlib").colormaps["viridis_r"](share)[:3])
    found = np.argwhere(np.abs(np.asarray(image).astype(int) - color).max(-1) < 20)
    assert len(found), share
    return found.mean(axis=0), len(found)


def pictures_of(path):
    frames = []
    with pytest.importorskip("PIL.Image").open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.array(image.convert("RGB")))
    return frames


@pytest.mark.parametrize("depth", [0.0, 1.0])
def test_circles_lie_on_the_joints_and_are_as_large_as_the_response(tmp_path, depth):
    # Three joints; the second one's gates open at the second step, the third one's close.
    one = np.array([[1, 1, depth], [3, 1, depth], [1, 5, depth]], float)
    gates = np.array([[[1, 1, 1], [1, 1, 1], [1, 1, 1]], [[1, 1, 1], [3, 3, 3], [0.2, 0.2, 0.2]]])
    found = skeleton([one[None], one[None]], gates.reshape(2, 9))
    # a / mean(a): of the second joint 1/2 and 3/2, of the third 1/.6 and .2/.6.
    np.testing.assert_allclose(response_of(found), [[1, 0.5, 5 / 3], [1, 1.5, 1 / 3]])
    first, second = pictures_of(insight.draw_explanation(found, tmp_path / "a.gif"))
    (high, large), (low, small) = place_of(first, 1.0), place_of(second, 0.0)
    np.testing.assert_allclose(high, low, atol=2)  # the third joint, at both ends of the range
    assert large > 4 * small
    middle = place_of(first, 0.5)[0]  # of .5: (1 - 1/3) / (5/3 - 1/3), the first joint
    up = high - middle
    assert abs(up[1]) < 2 and (up[0] < 0) == bool(depth)  # rows of images count from the top
    dark = place_of(second, 0.875)[0] - middle  # of .875: the second joint
    assert abs(dark[0]) < 3
    assert dark[1] == pytest.approx(abs(up[0]) / 2, rel=0.05)  # 2 beside the first, the third is 4 from it


def test_absent_joints_and_persons_are_not_drawn(tmp_path):
    joints = np.zeros((2, 2, 2, 3))
    joints[:, 0] = [[0, 0, 1], [1, 1, 1]]
    joints[1, 0, 1] = 0
    found = skeleton(
        joints, np.ones((2, 12)), body=SimpleNamespace(lines=((0, 1),), torso=((), ()), place=list)
    )
    figure = pytest.importorskip("matplotlib.figure").Figure()
    for step, (points, bones) in enumerate([(2, 1), (1, 0)]):
        axes = figure.add_subplot()
        stage_of(found).draw(axes, step, _figures.COLORS)
        assert len(axes.collections[0].get_offsets()) == points and len(axes.lines) == bones


def test_the_joints_that_change_most_are_named(monkeypatch):
    joints = np.ones((4, 1, 20, 3))
    gates = np.ones((4, 20, 3))
    gates[:, 7] = [[1] * 3, [2] * 3, [3] * 3, [4] * 3]
    figure = pytest.importorskip("matplotlib.figure").Figure()
    shown = Timeline(skeleton(joints, gates.reshape(4, -1), body=body("kinect20")))
    shown.draw(figure, _figures.COLORS)
    first = figure.axes[0].get_legend().get_texts()[0].get_text()
    assert first == "left hand" and shown.titles == ["response of the joints", "probability"]
    line = next(line for line in figure.axes[0].lines if line.get_label() == first)
    np.testing.assert_allclose(line.get_ydata(), [0.4, 0.8, 1.2, 1.6])


HEADS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "gif": b"GIF8"}


@pytest.mark.parametrize("suffix", HEADS)
def test_an_explanation_is_drawn_in_every_format_and_always_the_same(tmp_path, suffix):
    joints = np.array([[[[0, 0, 1], [1, 1, 1]]]] * 3, float)
    found = skeleton(joints, np.ones((3, 6)), true_label="walk")
    files = [insight.draw_explanation(found, tmp_path / f"{name}.{suffix}") for name in "ab"]
    first, second = (file.read_bytes() for file in files)
    assert first.startswith(HEADS[suffix]) and first == second
    assert not list(tmp_path.glob(".part-*"))


def test_a_picture_for_a_dark_page_has_a_dark_ground_and_light_words(tmp_path):
    matplotlib = pytest.importorskip("matplotlib.image", reason="the extra `viz` is not installed")
    found = skeleton(np.array([[[[0, 0, 1], [1, 1, 1]]]] * 3, float), np.ones((3, 6)), true_label="walk")
    light, dark = (
        matplotlib.imread(insight.draw_explanation(found, tmp_path / f"{dark}.png", dark=dark))[..., :3]
        for dark in (False, True)
    )
    assert light.shape == dark.shape
    assert np.median(light) == 1 and light.min() < 0.2
    assert np.median(dark) < 0.15 and dark.max() > 0.85
    assert dark.mean() < 0.25  # nowhere a panel that stayed white


def test_skeletons_that_lie_have_lower_pictures_than_those_that_stand():
    across = np.array([[[[0, 0, 1], [4, 1, 1]]]] * 3, float)
    (lying,), (standing,) = (
        skeletons(skeleton(joints, np.ones((3, 6)))) for joints in (across, across[..., [1, 0, 2]])
    )
    assert lying.width == standing.width and lying.height < 0.6 * standing.height


def test_another_suffix_is_refused(tmp_path):
    found = skeleton(np.ones((1, 1, 2, 3)), np.ones((1, 6)))
    with pytest.raises(UserError, match=r"a.bmp: a picture ends in .pdf, .png, .svg, .gif; name such a file"):
        insight.draw_explanation(found, tmp_path / "a.bmp")
    with pytest.raises(UserError, match=r"a.gif: a picture ends in .pdf, .png, .svg; name such a file"):
        insight.draw_counts({"rare": 1}, tmp_path / "a.gif")


def test_a_picture_for_print_names_classes_in_any_script(tmp_path, monkeypatch):
    seen = words(monkeypatch)
    frames = np.zeros((8, 6, 10, 3), "uint8")
    found = insight.Explanation(
        **{
            **vars(explanation([0.5] * 8)),
            "frames": frames,
            "mask": np.ones(8, bool),
            "evidence": np.linspace(0, 1, 8 * 4).reshape(8, 2, 2),
            "seconds": np.arange(8) / 4,
            "steps": np.full((8, 2), 0.5),
            "scores": np.array([0.25, 0.75]),
            "class_names": ("walk", "走る"),
        }
    )
    insight.draw_explanation(found, tmp_path / "a.pdf")
    assert {"0.00 s", "1.75 s", "evidence", "probability", "walk 0.25"} <= set(seen)
    assert "走る 0.75" in seen or "#0 0.75" in seen  # where no font has it


def test_the_step_with_most_evidence_is_among_those_that_are_shown():
    found = insight.Explanation(
        **{**vars(explanation([0.5] * 21)), "evidence": np.eye(21)[9][:, None, None] * np.ones((1, 2, 2))}
    )
    assert steps_of(found, 6) == [0, 4, 9, 11, 15, 19]  # the last step is padding; 9 in the place of 8
    assert steps_of(insight.Explanation(**{**vars(found), "evidence": None}), 6) == [0, 4, 8, 11, 15, 19]
