"""The history of a run as a picture: what it shows, and what is said where it cannot be drawn."""

import csv
import json
import sys

import cv2
import numpy as np
import pytest

from keras_actrec.errors import UserError
from keras_actrec.insight import draw_history

pytestmark = pytest.mark.no_backend
BLUE, ORANGE = (0, 114, 178), (200, 78, 0)  # training and validation


def write(folder, epochs=3, kept=1, validation=True, name="hman/synthetic"):
    rows = []
    for epoch in range(epochs):
        row = {"epoch": epoch, "accuracy": 0.5, "loss": 1.0}
        rows.append(row | ({"val_accuracy": 0.25, "val_loss": 2.0} if validation else {}))
    with open(folder / "history.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    record = {"recipe_name": name} | ({} if kept is None else {"kept_epoch": kept})
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def pixels(picture, color):
    """Rows and columns of the pixels of a color, as shares of height and width."""
    image = cv2.imread(str(picture))[..., ::-1].astype(int)
    rows, columns = np.nonzero(np.abs(image - color).max(axis=-1) < 12)
    return rows / image.shape[0], columns / image.shape[1]


def words(folder, monkeypatch):
    """The texts of the picture."""
    text = pytest.importorskip("matplotlib.text", reason="needs matplotlib: pip install 'keras_actrec[viz]'")
    seen, draw = [], text.Text.draw
    monkeypatch.setattr(
        text.Text, "draw", lambda self, renderer: seen.append(self.get_text()) or draw(self, renderer)
    )
    draw_history(folder)
    return " | ".join(filter(None, seen))


@pytest.fixture(autouse=True)
def _viz():
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'keras_actrec[viz]'")


def test_both_parts_are_drawn_in_both_panels(tmp_path):
    picture = draw_history(write(tmp_path))
    assert picture == tmp_path / "history.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "history.png", "run.json"]
    for color, higher in ((BLUE, 0), (ORANGE, 1)):
        rows, columns = pixels(picture, color)
        inside = rows > 0.12  # below the legend
        accuracy, loss = (rows[inside & part] for part in (rows < 0.5, rows > 0.5))
        # A flat line each: accuracy .5 and .25 of 1, loss 1 and 2 of 2.1.
        assert np.ptp(accuracy) < 0.03 and np.ptp(loss) < 0.03
        assert accuracy.mean() == pytest.approx((0.31, 0.41)[higher], abs=0.03)
        assert loss.mean() == pytest.approx((0.73, 0.55)[higher], abs=0.03)
        assert np.ptp(columns[inside]) == pytest.approx(0.61, abs=0.03)  # two of the three epochs' widths


def test_a_run_without_a_validation_part_has_one_line(tmp_path, monkeypatch):
    picture = draw_history(write(tmp_path, validation=False))
    assert len(pixels(picture, ORANGE)[0]) == 0 < len(pixels(picture, BLUE)[0])
    shown = words(tmp_path, monkeypatch)
    assert "training" in shown and "validation" not in shown and "kept: epoch 2, accuracy 0.500" in shown


def test_the_epoch_that_is_kept_is_marked_with_what_it_reached(tmp_path, monkeypatch):
    shown = words(write(tmp_path), monkeypatch)
    for text in ("hman/synthetic", "training", "validation", "accuracy", "loss", "epoch"):
        assert text in shown
    assert "kept: epoch 2, validation accuracy 0.250" in shown


def test_a_run_that_has_not_ended_keeps_no_epoch(tmp_path, monkeypatch):
    assert "kept" not in words(write(tmp_path, kept=None), monkeypatch)


def test_epochs_are_whole_numbers_from_one_on(tmp_path, monkeypatch):
    shown = words(write(tmp_path, 1, kept=None), monkeypatch).split(" | ")
    assert "1" in shown and not {"1.2", "1.4", "0", "2"} & set(shown)
    assert "60" in words(write(tmp_path, 60, kept=None), monkeypatch).split(" | ")


def test_a_name_is_no_formula_and_a_long_one_is_cut(tmp_path, monkeypatch):
    assert "my/$own$.toml" in words(write(tmp_path, name="/somewhere/else/my/$own$.toml"), monkeypatch)
    assert "x" * 31 + "…" in words(write(tmp_path, name="x" * 100), monkeypatch)


def test_an_earlier_picture_is_replaced(tmp_path):
    before = draw_history(write(tmp_path)).read_bytes()
    assert draw_history(write(tmp_path, epochs=9)).read_bytes() != before


def test_without_matplotlib_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw_history(write(tmp_path)) is None
    assert not (tmp_path / "history.png").exists()


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match="history.csv does not exist: is it a run directory?"):
        draw_history(tmp_path)
    (write(tmp_path) / "run.json").unlink()
    with pytest.raises(UserError, match="run.json does not exist: is it a run directory?"):
        draw_history(tmp_path)
