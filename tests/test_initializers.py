"""Initial weights that NumPy draws: their statistics, and that seeds rule them."""

import numpy as np
import pytest

from checks import close, numpy
from keras_actrec.layers._initializers import Orthogonal, VarianceScaling, glorot_uniform, he_normal


@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (5, 12), (13, 6), (33, 100), (3, 3, 5, 8), (3, 1, 2, 9)])
def test_rows_or_columns_are_orthonormal_whichever_are_fewer(shape):
    matrix = numpy(Orthogonal()(shape)).reshape(-1, shape[-1])
    if len(matrix) > len(matrix.T):
        matrix = matrix.T
    close(matrix @ matrix.T, np.eye(len(matrix)), 1e-5)


def test_the_gain_scales_an_orthogonal_matrix():
    matrix = numpy(Orthogonal(gain=3.0)((6, 6)))
    close(matrix @ matrix.T, 9 * np.eye(6), 1e-5)


def test_an_orthogonal_matrix_is_spread_over_all_its_entries():
    # of a random one the entries are about normal with variance 1 / n
    matrix = numpy(Orthogonal(seed=0)((64, 256)))
    assert abs(matrix.mean()) < 0.002 and abs(matrix).max() < 6 / 16
    np.testing.assert_allclose(((matrix * 16) ** 4).mean(), 3, atol=0.3)


@pytest.mark.parametrize("mode, fan", [("fan_in", 9 * 20), ("fan_out", 9 * 60), ("fan_avg", 9 * 40)])
@pytest.mark.parametrize("distribution, largest", [("uniform", 3**0.5), ("untruncated_normal", 6)])
def test_the_variance_is_the_scale_over_the_fan(mode, fan, distribution, largest):
    values = numpy(VarianceScaling(2.0, mode, distribution, seed=0)((3, 3, 20, 60)))
    deviation = (2 / fan) ** 0.5
    np.testing.assert_allclose(values.std(), deviation, rtol=0.02)
    assert abs(values.mean()) < 0.05 * deviation
    assert 0.99 * min(largest, 3) * deviation < abs(values).max() <= 1.001 * largest * deviation


def test_the_named_ones_are_those_of_their_papers():
    np.testing.assert_allclose(numpy(glorot_uniform()((100, 300))).std(), (2 / 400) ** 0.5, rtol=0.02)
    np.testing.assert_allclose(numpy(he_normal()((100, 300))).std(), (2 / 100) ** 0.5, rtol=0.02)
    np.testing.assert_allclose(numpy(he_normal("fan_out")((100, 300))).std(), (2 / 300) ** 0.5, rtol=0.02)


MAKERS = {
    "orthogonal": Orthogonal,
    "uniform": lambda seed: VarianceScaling(1.0, "fan_in", "uniform", seed=seed),
    "normal": lambda seed: VarianceScaling(1.0, "fan_in", "untruncated_normal", seed=seed),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_fixes_the_numbers_and_another_gives_others(name):
    make = MAKERS[name]
    first = numpy(make(seed=1)((4, 6)))
    close(make(seed=1)((4, 6)), first, 0)
    close(type(make(seed=1)).from_config(make(seed=1).get_config())((4, 6)), first, 0)
    assert np.any(numpy(make(seed=2)((4, 6))) != first)


def test_two_weights_of_a_layer_do_not_start_alike():
    assert np.all(numpy(glorot_uniform()((4, 6))) != numpy(glorot_uniform()((4, 6))))
