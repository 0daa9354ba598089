"""Frame accuracy, edit score and segmental F1, by hand; labels of frames in a CSV file."""

import numpy as np
import pytest

import hostile
from keras_actrec.data import Record
from keras_actrec.errors import UserError
from keras_actrec.evaluation import (
    SegmentationScores,
    edit_score,
    frame_accuracy,
    frame_labels,
    labels_at,
    segmental_f1,
)

pytestmark = pytest.mark.no_backend


def frames(text):
    """Class ids of frames: a digit each, a dot for none."""
    return [-1 if letter == "." else int(letter) for letter in text]


TRUE = [frames("0000011111..22222222")]
FOUND = [frames("0001111111..22225222")]


def test_frame_accuracy_is_over_the_frames_of_all_recordings():
    assert frame_accuracy(TRUE, FOUND) == 17 / 20
    assert frame_accuracy([*TRUE, [0]], [*FOUND, [1]]) == 17 / 21


def test_the_edit_score_counts_the_order_of_segments_and_is_a_mean_of_recordings():
    assert edit_score(TRUE, FOUND) == 1 - 2 / 5  # 0 1 2 and 0 1 2 5 2: two to take out
    assert edit_score([frames("0011")], [frames("0001")]) == 1
    assert edit_score([frames("0011")], [frames("1100")]) == 0  # two replacements of two
    assert edit_score([frames("0120")], [frames("0320")]) == 1 - 1 / 4
    assert edit_score([frames("..")], [frames("..")]) == 1
    assert edit_score([frames("00..")], [frames("....")]) == 0
    assert edit_score([*TRUE, [0]], [*FOUND, [1]]) == (1 - 2 / 5) / 2


def test_segmental_f1_counts_segments_that_overlap_enough():
    # 0: 3 of 5. 1: 5 of 7. 2 twice: 4 of 8 and 3 of 8, both nearest to the same, which the first has. 5: no.
    assert segmental_f1(TRUE, FOUND, 0.5) == 2 * 3 / (2 * 3 + 2 + 0)
    assert segmental_f1(TRUE, FOUND, 0.6) == 2 * 2 / (2 * 2 + 3 + 1)  # at least: .6 counts
    assert segmental_f1(TRUE, FOUND, 0.7) == 2 * 1 / (2 * 1 + 4 + 2)
    assert segmental_f1(TRUE, FOUND, 0.8) == 0
    assert segmental_f1(TRUE, TRUE, 1.0) == 1
    assert segmental_f1([frames("..")], [frames("..")], 0.5) == 1
    assert segmental_f1([frames("0.")], [frames("..")], 0.5) == 0


def test_f1_counts_segments_of_all_recordings_together():
    # one of one, and none of two, of which one is predicted
    assert segmental_f1([[0], frames("11.22")], [[0], frames("...11")], 0.1) == 2 / (2 + 1 + 2)


def test_all_scores_are_one_line():
    scores = SegmentationScores.of(TRUE, FOUND)
    assert scores.f1 == {0.1: 0.75, 0.25: 0.75, 0.5: 0.75}
    line = "frame accuracy 0.8500  edit 0.6000  F1@10 0.7500  F1@25 0.7500  F1@50 0.7500"
    assert str(scores) == line


@pytest.mark.parametrize(
    ("true", "found"), [([[0]], []), ([], []), ([[0, 1]], [[0]]), ([[]], [[]]), ([[[0]]], [[[0]]])]
)
def test_what_does_not_go_together_is_refused(true, found):
    for score in (frame_accuracy, edit_score, lambda a, b: segmental_f1(a, b, 0.5)):
        with pytest.raises(UserError, match="`labels`"):
            score(true, found)
    with pytest.raises(UserError, match="`overlap` must be from 0 to 1. Received: overlap=50"):
        segmental_f1(TRUE, FOUND, 50)


def test_labels_of_frames_come_from_a_table_in_seconds_or_frames(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile.write(tmp_path / "a.mp4", [np.zeros((16, 16, 3), "uint8")] * 12)  # 10 frames a second
    table = tmp_path / "labels.csv"
    table.write_text("path,start,end,label\na.mp4,0.2,0.5,wave\na.mp4,0.7,0.9,idle\na.mp4,0.9,,sit\n")
    found = frame_labels(table, ("sit", "wave"), ignore=["idle"])
    expected = [-1, -1, 1, 1, 1, -1, -1, -1, -1, 0, 0, 0]
    assert labels_at(found, tmp_path / "x" / ".." / "a.mp4", np.arange(12)).tolist() == expected
    assert labels_at(found, tmp_path / "a.mp4", [4, 10]).tolist() == [1, 0]
    table.write_text("path,start,stop,label\na.mp4,2,5,wave\na.mp4,9,,sit\n")
    assert labels_at(frame_labels(table, ("sit", "wave")), "a.mp4", np.arange(12)).tolist() == expected
    with pytest.raises(UserError, match="b.mp4: no row of the labels is about it"):
        labels_at(found, tmp_path / "b.mp4", [0])
    with pytest.raises(UserError, match="'wave' of a.mp4#2-5 is not one of .* or pass `--ignore wave`"):
        frame_labels(table, ("sit",))
    with pytest.raises(UserError, match="`ignore` names fly, which is no class of the model and no label"):
        frame_labels(table, ("sit", "wave"), ignore=["fly"])


def test_the_last_row_counts_where_several_have_a_frame():
    records = [Record(None, "", 0, start=0, stop=4), Record(None, "", 1, start=2, stop=3)]
    assert labels_at({"/a": records}, "/a", np.arange(5)).tolist() == [0, 0, 1, 0, -1]
