"""From probabilities in time to segments, and the files of them."""

import csv
import json

import numpy as np
import pytest

from keras_actrec.deploy import Segment, Segmenter, writing_segments
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

NAMES = ("idle", "jump", "wave")


def segments(rows, **options):
    """The segments of probabilities of `jump` and `wave`, a row a second, which end at the number of rows."""
    segmenter = Segmenter(NAMES, smoothing=0, **options)
    found = [segmenter.add(second, (1 - jump - wave, jump, wave)) for second, (jump, wave) in enumerate(rows)]
    return [each for each in [*found, segmenter.finish(len(rows))] if each is not None]


def test_a_segment_begins_high_and_ends_low():
    rows = [(0.1, 0), (0.5, 0.1), (0.45, 0.1), (0.3, 0.3), (0.29, 0.3), (0.4, 0.35), (0.1, 0.7)]
    found = segments(rows, ignore=["idle"])
    assert [(each.start, each.end, each.label) for each in found] == [(1, 4, "jump"), (6, 7, "wave")]
    np.testing.assert_allclose([each.score for each in found], [(0.5 + 0.45 + 0.3) / 3, 0.7])


def test_another_class_takes_over_at_once():
    found = segments([(0.6, 0.3), (0.49, 0.5), (0.4, 0.6)])
    assert [(each.start, each.end, each.label) for each in found] == [(0, 1, "jump"), (1, 3, "wave")]


def test_classes_that_are_ignored_end_segments_and_begin_none():
    found = segments([(0.9, 0), (0.1, 0.1), (0.9, 0)], ignore=["idle"], leave=0.05)
    assert [(each.start, each.end, each.label) for each in found] == [(0, 1, "jump"), (2, 3, "jump")]


def test_short_segments_are_left_out():
    rows = [(0.9, 0), (0, 0), (0.9, 0), (0.9, 0), (0, 0)]
    found = segments(rows, ignore=["idle"], shortest=2)
    assert [(each.start, each.end) for each in found] == [(2, 4)]


def test_smoothing_is_by_time_and_not_by_number():
    share = 1 - np.exp(-1 / 2)  # of one second, with a time constant of two
    once, twice = (Segmenter(NAMES, smoothing=2) for _ in range(2))
    for segmenter in (once, twice):
        segmenter.add(0, (1, 0, 0))
    once.add(1, (0, 1, 0))
    twice.add(0.5, (0, 1, 0))
    twice.add(1, (0, 1, 0))
    np.testing.assert_allclose(once.scores, (1 - share, share, 0))
    np.testing.assert_allclose(twice.scores, once.scores)
    once.add(0.5, (0, 0, 1))  # a clock that goes back changes nothing
    np.testing.assert_allclose(once.scores, twice.scores)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leave": 0.6}, "`leave` must be above 0 and at most `enter`"),
        ({"enter": 1.5}, "`leave` must be above 0 and at most `enter`"),
        ({"smoothing": -1}, "`smoothing` must be seconds"),
        ({"shortest": float("inf")}, "`shortest` must be seconds"),
        ({"ignore": ["fly"]}, "`ignore` names fly, and the model has idle, jump, wave"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Segmenter(NAMES, **options)


FOUND = [Segment(0.0, 1.23456, "a <b> & c --> d", 0.87654321), Segment(3723.5, 3724.0, 'Vidéo "動画"\n', 0.5)]


def test_json_is_a_list(tmp_path):
    with writing_segments(tmp_path / "new" / "a.json") as keep:
        for each in FOUND:
            keep(each)
        assert not (tmp_path / "new/a.json").exists()  # not before it is whole
    assert json.loads((tmp_path / "new/a.json").read_text("utf-8")) == [
        {"start": 0.0, "end": 1.235, "label": "a <b> & c --> d", "score": 0.876543},
        {"start": 3723.5, "end": 3724.0, "label": 'Vidéo "動画"\n', "score": 0.5},
    ]
    with writing_segments(tmp_path / "none.json"):
        pass
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_subtitles_are_webvtt(tmp_path):
    with writing_segments(tmp_path / "a.VTT") as keep:
        for each in FOUND:
            keep(each)
    assert (tmp_path / "a.VTT").read_text("utf-8") == (
        "WEBVTT\n"
        "\n00:00:00.000 --> 00:00:01.235\na &lt;b&gt; &amp; c --&gt; d 0.88\n"
        '\n01:02:03.500 --> 01:02:04.000\nVidéo "動画"\\n 0.50\n'
    )


def test_a_table_has_four_columns(tmp_path):
    with writing_segments(tmp_path / "a.csv") as keep:
        for each in FOUND:
            keep(each)
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["start", "end", "label", "score"]
    assert rows == [
        ["0.0", "1.235", "a <b> & c --> d", "0.876543"],
        ["3723.5", "3724.0", 'Vidéo "動画"\n', "0.5"],
    ]


@pytest.mark.parametrize("name", ["a.json", "a.vtt", "a.csv"])
def test_an_error_leaves_what_was_there(tmp_path, name):
    (tmp_path / name).write_text("before")
    with pytest.raises(ZeroDivisionError), writing_segments(tmp_path / name) as keep:
        keep(FOUND[0])
        raise ZeroDivisionError
    assert (tmp_path / name).read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"segments are written as \.json, \.vtt, \.csv; name such a file"):
        writing_segments(tmp_path / "a.txt").__enter__()
    (tmp_path / "a.json").mkdir()
    with pytest.raises(UserError, match="is a folder: name a file"):
        writing_segments(tmp_path / "a.json").__enter__()
