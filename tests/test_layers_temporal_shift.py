"""TemporalShift, by hand."""

import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, gradients
from keras_actrec.errors import UserError
from keras_actrec.layers import TemporalShift

CLIPS = np.random.default_rng(0).normal(size=(2, 3, 2, 2, 10)).astype("float32")


@pytest.mark.graphs
@pytest.mark.parametrize("online", [False, True])
def test_temporal_shift_does_what_every_layer_must(tmp_path, online):
    check_layer(
        lambda **kwargs: TemporalShift(fold=4, online=online, **kwargs),
        (CLIPS,),
        tmp_path,
        weights={},
        bad=(
            lambda: TemporalShift(fold=1, online=online),
            "`fold` must be a whole number from 2 to 65536. Received: fold=1",
        ),
        time=True,
    )


def test_the_first_channels_come_from_the_next_frame_and_the_second_from_the_one_before():
    # frame t holds 10 t + channel; fold 2 of 5 channels is 2 either way
    steps = np.array([[[10 * t + c for c in range(5)] for t in (1, 2, 3)]], "float32")
    expected = [[[20, 21, 0, 0, 14], [30, 31, 12, 13, 24], [0, 0, 22, 23, 34]]]
    close(TemporalShift(fold=2)(steps), np.array(expected), 0)


def test_online_the_first_channels_come_from_the_frame_before_and_the_others_stay():
    steps = np.array([[[10 * t + c for c in range(5)] for t in (1, 2, 3)]], "float32")
    expected = [[[0, 0, 12, 13, 14], [10, 11, 22, 23, 24], [20, 21, 32, 33, 34]]]
    close(TemporalShift(fold=2, online=True)(steps), np.array(expected), 0)


def test_an_eighth_moves_either_way_by_default():
    steps = np.arange(1, 33, dtype="float32").reshape(1, 2, 16)
    moved = ops.convert_to_numpy(TemporalShift()(steps))[0] != steps[0]
    assert moved.tolist() == [[True] * 4 + [False] * 12] * 2


def test_a_gradient_goes_back_to_where_the_value_came_from():
    # of frame t by channel: once at t - 1, once at t + 1, where those exist, and at t for what stays
    probe = np.array([[[10 * t + c for c in range(5)] for t in (1, 2, 3)]], "float32")
    found = gradients(lambda x: ops.sum(ops.multiply(TemporalShift(fold=2)(x), probe)), [probe])[0]
    close(found, np.array([[[0, 0, 22, 23, 14], [10, 11, 32, 33, 24], [20, 21, 0, 0, 34]]]), 0)


def test_what_lies_behind_the_end_of_a_clip_does_not_matter():
    layer, mask = TemporalShift(fold=4), np.array([[True, True, True], [True, True, False]])
    clips = np.where(mask[:, :, None, None, None], CLIPS, np.nan)
    found = layer(clips, mask=mask)
    close(found[0], layer(CLIPS)[0], 0)
    close(found[1, :2], layer(CLIPS[:, :2])[1], 0)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4, 7), (2, 8)])
def test_too_few_channels_or_axes_are_refused(shape):
    with pytest.raises(UserError, match="^`inputs` must be .* at least fold=8. Received: shape="):
        TemporalShift().build(shape)
