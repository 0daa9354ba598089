"""Layers over joints and time: the neighbors of a joint, and what padding gives."""

import keras
import numpy as np
import pytest

from checks import check_layer, close, numpy, randomize
from keras_actrec import zoo
from keras_actrec.errors import UserError
from keras_actrec.layers import GraphConvolution, StepConvolution

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4, 2)).astype("float32")  # four joints, two channels
BONES = [(0, 1), (1, 2), (1, 3)]
MASK = np.array([[True, True, False], [True] * 3])


@pytest.mark.graphs
def test_a_graph_convolution_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda dtype=None: GraphConvolution(5, BONES, dtype=dtype),
        (X,),
        tmp_path,
        weights={"kernel": (2, 15), "importance": (3, 4, 4)},
        bad=(lambda: GraphConvolution(5, [(0, 1, 2)]), "`bones` must be pairs of joints. Received"),
        time=True,
    )


def test_a_joint_sees_itself_what_it_hangs_on_and_the_mean_of_what_hangs_on_it():
    layer = GraphConvolution(1, BONES)
    layer.build(X.shape)
    for part, expected in (
        (0, X[..., 0]),
        (1, np.stack([0 * X[:, :, 0, 0], X[:, :, 0, 0], X[:, :, 1, 0], X[:, :, 1, 0]], axis=-1)),
        (2, np.stack([X[:, :, 1, 0], X[:, :, 2:, 0].mean(-1), *[0 * X[:, :, 0, 0]] * 2], axis=-1)),
    ):
        kernel = np.zeros((2, 3))
        kernel[0, part] = 1  # of the first channel alone
        layer.kernel.assign(kernel)
        close(layer(X)[..., 0], expected)
        doubled = np.ones((3, 4, 4))
        doubled[part] = 2
        layer.importance.assign(doubled)
        close(layer(X)[..., 0], 2 * expected)
        layer.importance.assign(np.ones((3, 4, 4)))


def test_a_bone_to_a_joint_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="^`bones` name joint 4, but the joints are 0 to 3"):
        GraphConvolution(1, [(0, 4)])(X)


@pytest.mark.graphs
def test_a_step_convolution_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda dtype=None: StepConvolution(5, 3, dtype=dtype),
        (X,),
        tmp_path,
        weights={"kernel": (3, 1, 2, 5), "bias": (5,)},
        bad=(lambda: StepConvolution(5, 0), "`steps` must be a whole number from 1"),
        time=True,
    )


def test_a_step_convolution_is_a_sum_over_steps_that_sees_zeros_for_padding():
    layer = StepConvolution(1, 3)
    layer.build(X.shape)
    randomize(layer)
    kernel, bias = numpy(layer.kernel)[:, 0, :, 0], float(numpy(layer.bias)[0])
    padded = X.copy()
    padded[0, 2] = 100.0
    seen = np.where(MASK[:, :, None, None], X, 0)
    seen = np.pad(seen, [(0, 0), (1, 1), (0, 0), (0, 0)])
    expected = sum(seen[:, step : step + 3] @ kernel[step] for step in range(3)) + bias
    close(layer(padded, mask=MASK)[..., 0], expected)


def test_the_persons_of_st_gcn_share_no_edge():
    model = zoo.st_gcn(3, input_shape=(None, 2 * 17 * 2), layout="coco17", filters=2)
    block = keras.Model(model.input, model.get_layer("block_2").output)
    clips = RNG.normal(size=(1, 4, 68)).astype("float32")
    moved = clips.copy()
    moved[..., 34:] += 1
    before, after = numpy(block(clips)), numpy(block(moved))
    close(before[:, :, :17], after[:, :, :17], 1e-6)
    assert np.abs(before[:, :, 17:] - after[:, :, 17:]).max() > 1e-3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"layout": "coco18"}, "`layout` must be the name of a body; did you mean 'coco17'"),
        (
            {"bodies": 1, "input_shape": (None, 60)},
            "ntu25 has 25 joints, so that steps .* of 1 bodies have",
        ),
        ({"bodies": 0}, "`bodies` must be a whole number from 1"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1. Received: dropout=1.0"),
    ],
)
def test_what_st_gcn_cannot_be_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        zoo.st_gcn(3, **arguments)
