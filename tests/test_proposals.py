"""Means of windows, proposals and what non-maximum suppression leaves of them, by hand."""

import numpy as np
import pytest

from keras_actrec.deploy import Proposals, propose, suppress
from keras_actrec.deploy.proposals import mean_scores

pytestmark = pytest.mark.no_backend


def test_at_each_time_counts_the_mean_of_the_windows_that_hold_it():
    # windows of 4 steps at 0, 2, 4 and, as the last one that fits, 5
    edges, means = mean_scores([0, 2, 4, 5], [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.2, 0.8]], 4, 9)
    assert edges.tolist() == [0, 2, 4, 5, 6, 8, 9]
    expected = [1.0, 0.75, 0.25, (0.5 + 0 + 0.2) / 3, 0.1, 0.2]
    np.testing.assert_allclose(means[:, 0], expected)
    np.testing.assert_allclose(means.sum(axis=1), 1)


def test_a_recording_shorter_than_a_window_is_one_piece():
    edges, means = mean_scores([0], [[0.3, 0.7]], 8, 3)
    assert edges.tolist() == [0, 3]
    np.testing.assert_allclose(means, [[0.3, 0.7]])


def test_a_proposal_is_a_run_above_a_level_with_its_mean_and_contrast():
    curve = np.array([0.05, 0.85, 0.85, 0.45, 0.05])
    found = propose(np.arange(6), curve[:, None], least=0.0)
    assert list(zip(found.starts, found.ends, strict=True)) == [(1, 3), (1, 4)]
    np.testing.assert_allclose(found.scores, [0.85, (0.85 + 0.85 + 0.45) / 3])
    # margins of 1 step: .05 and .45; of 1.5 steps: .05 and nothing, .05 and nothing
    contrasts = [(1.7 - 0.05 - 0.45) / 2, (2.15 - 0.05 - 0.05) / 3]
    np.testing.assert_allclose(found.contrasts, contrasts)
    assert len(propose(np.arange(6), curve[:, None], least=0.8).starts) == 1
    assert len(propose(np.arange(6), curve[:, None], least=0.9).starts) == 0


def test_time_counts_and_not_the_number_of_pieces():
    found = propose([0, 1, 9, 10], np.array([[0.95], [0.55], [0.95]]), least=0.0)
    low = found.scores[(found.starts == 0) & (found.ends == 10)]
    np.testing.assert_allclose(low, [(0.95 + 8 * 0.55 + 0.95) / 10])


def proposals(*rows):
    starts, ends, labels, contrasts = map(np.array, zip(*rows, strict=True))
    return Proposals(starts, ends, labels, contrasts, contrasts)


@pytest.mark.parametrize(("overlap", "kept"), [(0.0, "bd"), (0.34, "abd"), (0.9, "abcd")])
def test_of_proposals_that_overlap_the_one_with_the_highest_contrast_is_left(overlap, kept):
    # a and b share 5 of 15 steps, a and c 4 of 15, b and c 9 of 10, d touches two of them
    rows = {"a": (0, 10, 0, 0.7), "b": (5, 15, 1, 0.9), "c": (6, 15, 1, 0.8), "d": (15, 20, 0, 0.5)}
    found = suppress(proposals(*rows.values()), overlap)
    assert list(zip(found.starts, found.ends, strict=True)) == [rows[name][:2] for name in kept]


def test_nothing_is_left_of_nothing():
    none = propose([0, 4], np.array([[0.05, 0.05]]))
    assert suppress(none).starts.tolist() == []


def test_a_dip_does_not_cut_a_segment_and_another_class_does():
    means = np.zeros((12, 2))
    means[:, 0] = [0.1, 0.9, 0.9, 0.4, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    means[7:10, 1] = 0.8
    found = suppress(propose(np.arange(13), means))
    assert list(zip(found.starts, found.ends, found.labels, strict=True)) == [(1, 6, 0), (7, 10, 1)]
