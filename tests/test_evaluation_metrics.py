"""Calibration, average precision, intervals and fusion: against figures by hand."""

import math

import numpy as np
import pytest

from keras_actrec.errors import UserError
from keras_actrec.evaluation import (
    average_precision,
    bootstrap_interval,
    expected_calibration_error,
    fuse,
    mean_average_precision,
    student_interval,
)

pytestmark = pytest.mark.no_backend


def test_the_calibration_error_by_hand():
    # Five bins. (0.4, 0.6]: 0.5 right, 0.6 wrong; (0.6, 0.8]: 0.8 right; (0.8, 1]: 0.9 wrong, 1.0 right.
    confidence = np.array([0.5, 0.6, 0.8, 0.9, 1.0])
    scores = np.stack([confidence, 1 - confidence], axis=1)
    expected = 2 / 5 * abs(0.5 - 0.55) + 1 / 5 * abs(1 - 0.8) + 2 / 5 * abs(0.5 - 0.95)
    found = expected_calibration_error(scores, [0, 1, 0, 1, 0], bins=5)
    assert found == pytest.approx(expected) == pytest.approx(0.24)


def test_the_calibration_error_has_fifteen_bins_unless_told():
    # 0.85 and 0.9: bins (12/15, 13/15] and (13/15, 14/15]; in one bin of ten they would be even.
    scores = np.array([[0.85, 0.15], [0.9, 0.1]])
    assert expected_calibration_error(scores, [0, 1]) == pytest.approx((0.15 + 0.9) / 2)
    assert expected_calibration_error(scores, [0, 1], bins=5) == pytest.approx(0.875 - 0.5)


def test_a_model_that_is_as_often_right_as_it_says_has_no_calibration_error():
    scores = np.tile([0.75, 0.25], (8, 1))
    assert expected_calibration_error(scores, [0, 0, 0, 1] * 2) == 0
    assert expected_calibration_error(np.eye(3), [0, 1, 2]) == 0
    assert expected_calibration_error(np.eye(3), [1, 2, 0]) == 1


# The quantiles of Student's distribution are from a printed table.
@pytest.mark.parametrize(
    "values, level, quantile, deviation",
    [
        ([0.5, 0.6, 0.7], 0.95, 4.3027, 0.1),
        ([0.0, 1.0], 0.95, 12.7062, math.sqrt(0.5)),
        ([1, 2, 3, 4, 5], 0.99, 4.6041, math.sqrt(2.5)),
        ([0.25] * 4, 0.95, 3.1824, 0.0),
    ],
)
def test_students_interval_by_hand(values, level, quantile, deviation):
    mean, half = student_interval(values, level)
    assert mean == pytest.approx(sum(values) / len(values))
    assert half == pytest.approx(quantile * deviation / math.sqrt(len(values)), rel=1e-4)


def test_average_precision_by_hand():
    # Class 0, rows by score: right, wrong, right: precisions 1 and 2/3 at the two hits.
    # Class 1: its one row comes second: 1/2. Class 2 does not occur.
    scores = np.array([[0.9, 0.05, 0.05], [0.5, 0.2, 0.3], [0.3, 0.6, 0.1]])
    found = average_precision(scores, [0, 1, 0])
    np.testing.assert_allclose(found, [(1 + 2 / 3) / 2, 1 / 2, np.nan])
    assert mean_average_precision(scores, [0, 1, 0]) == pytest.approx((5 / 6 + 1 / 2) / 2)


def test_the_interval_of_an_accuracy_is_the_binomials():
    right = np.repeat([0, 1], [40, 60])
    low, high = bootstrap_interval(right)
    spread = 1.96 * np.sqrt(0.6 * 0.4 / 100)
    assert (low, high) == (pytest.approx(0.6 - spread, abs=0.02), pytest.approx(0.6 + spread, abs=0.02))
    assert bootstrap_interval(right, level=0.5) == (
        pytest.approx(0.57, abs=0.02),
        pytest.approx(0.63, abs=0.02),
    )


def test_the_interval_is_wider_where_groups_are_drawn_whole():
    right = np.repeat([0, 1], [40, 60])
    groups = np.repeat(["d", "c", "b", "a", "e"], 20)  # each of them all wrong or all right
    low, high = bootstrap_interval(right, groups=groups)
    assert (low, high) == (pytest.approx(0.2), 1)  # of 5 groups, 1 or more are right in 99 %
    assert bootstrap_interval(right, groups=np.zeros(100)) == (0.6, 0.6)  # one group is always drawn whole


def test_groups_of_unlike_size_keep_their_weight():
    # Groups of 1 and 3: a draw is (1, 1), (1, 3) or (3, 3) with shares right of 1, 1/4 and 0.
    draws = []
    bootstrap_interval([1, 0, 0, 0], lambda rows: draws.append(rows.mean()) or 0.0, groups=[7, 2, 2, 2])
    values, counts = np.unique(draws, return_counts=True)
    assert values.tolist() == [0, 0.25, 1]
    np.testing.assert_allclose(counts / 2000, [0.25, 0.5, 0.25], atol=0.04)


def test_the_same_seed_gives_the_same_interval_and_another_another():
    values = np.random.default_rng(0).random(30)
    assert bootstrap_interval(values) == bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_any_number_of_the_rows_has_an_interval():
    rows = np.array([[1, 2], [3, 4]])
    low, high = bootstrap_interval(rows, lambda drawn: drawn[:, 1].max())
    assert (low, high) == (2, 4)


RUNS = np.array(
    [
        [[0.5, 0.3, 0.2], [0.98, 0.01, 0.01]],
        [[0.2, 0.5, 0.3], [0.4, 0.5, 0.1]],
        [[0.2, 0.4, 0.4], [0.4, 0.5, 0.1]],
    ]
)


def test_fusion_by_probabilities_is_their_mean():
    np.testing.assert_allclose(fuse(RUNS)[0], [0.3, 0.4, 0.3])


def test_fusion_by_logits_is_the_softmax_of_the_runs_mean_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 6, 5))
    softmax = lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)  # noqa: E731
    np.testing.assert_allclose(fuse(softmax(logits), "logits"), softmax(logits.mean(axis=0)), rtol=1e-9)
    roots = np.cbrt([0.5 * 0.2 * 0.2, 0.3 * 0.5 * 0.4, 0.2 * 0.3 * 0.4])
    np.testing.assert_allclose(fuse(RUNS, "logits")[0], roots / roots.sum())


def test_fusion_by_logits_takes_a_probability_of_zero():
    fused = fuse([[[1.0, 0.0]], [[0.5, 0.5]]], "logits")
    np.testing.assert_allclose(fused, [[1, 0]], atol=1e-12)


def test_fusion_by_votes_is_the_majority_whatever_the_probabilities():
    fused = fuse(RUNS, "votes")
    assert fused.argmax(axis=1).tolist() == [1, 1] and fuse(RUNS).argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_allclose(fused.sum(axis=1), 1)


def test_even_votes_are_decided_by_the_mean_of_the_probabilities():
    pair = np.array([[[0.6, 0.4]], [[0.1, 0.9]]])
    assert fuse(pair, "votes").argmax(axis=1).tolist() == [1]
    assert fuse(pair[:, :, ::-1], "votes").argmax(axis=1).tolist() == [0]


@pytest.mark.parametrize("how", ["probabilities", "logits", "votes"])
def test_one_run_is_answered_as_it_is(how):
    assert fuse(RUNS[:1], how).argmax(axis=1).tolist() == [0, 0]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: expected_calibration_error([[2.0, -1.0]], [0]), "`scores` must be probabilities"),
        (lambda: expected_calibration_error([[0.5, 0.1]], [0]), "rows that add up to 1"),
        (lambda: expected_calibration_error([[0.5, 0.5]], [0, 1]), "Received: shapes (1, 2) and (2,)"),
        (lambda: expected_calibration_error(np.zeros((0, 2)), []), "Received: shapes (0, 2) and (0,)"),
        (lambda: expected_calibration_error([[0.5, 0.5]], [0], bins=0), "`bins` must be at least 1"),
        (lambda: average_precision([0.5, 0.5], [0, 1]), "Received: shapes (2,) and (2,)"),
        (lambda: average_precision([[0.5, 0.5]], [2]), "`labels` must be class ids below 2. Received: 2"),
        (lambda: student_interval([0.5]), "`values` must hold at least two numbers. Received: 1"),
        (lambda: student_interval([1, 2], level=0), "`level` must be in (0, 1). Received: level=0"),
        (lambda: bootstrap_interval([]), "`values` must hold at least one video"),
        (lambda: bootstrap_interval([1], level=95), "`level` must be in (0, 1). Received: level=95"),
        (lambda: bootstrap_interval([1], draws=0), "`draws` must be at least 1. Received: draws=0"),
        (lambda: bootstrap_interval([1, 0], groups=[1]), "a group for each of the 2 videos. Received: 1"),
        (lambda: fuse([[0.5, 0.5]]), "`scores` must be (V, N, C), none of them 0. Received: shape=(1, 2)"),
        (lambda: fuse(np.zeros((0, 2, 3))), "Received: shape=(0, 2, 3)"),
        (
            lambda: fuse(RUNS, "mean"),
            "`how` must be one of probabilities, logits, votes. Received: how='mean'",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(call, message):
    with pytest.raises(UserError) as caught:
        call()
    assert message in str(caught.value)
