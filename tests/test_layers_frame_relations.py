"""FrameRelations: scores from ordered subsets of the frames."""

import itertools

import keras
import numpy as np
import pytest

from checks import check_layer, close, gradients, numpy, randomize, slopes
from keras_actrec.errors import UserError
from keras_actrec.layers import FrameRelations

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(2, 4, 3)).astype("float32")


def reference(x, weights, subsets):
    """The sum over `subsets`, tuples of frames; `weights` as the layer's, four a scale."""
    relu = lambda a: np.maximum(a, 0)  # noqa: E731
    total = 0
    for subset in subsets:
        kernel, bias, classifier_kernel, classifier_bias = weights[4 * (len(subset) - 2) :][:4]
        side_by_side = relu(np.concatenate([x[:, frame] for frame in subset], axis=1))
        total = total + relu(side_by_side @ kernel + bias) @ classifier_kernel + classifier_bias
    return total


def every(size):
    return list(itertools.combinations(range(4), size))


# Of the six pairs those at 0, 2.5, which rounds to 2, and 5; of the four triples those at 0, 1.5 and 3.
FIXED = [*(every(2)[place] for place in (0, 2, 5)), *(every(3)[place] for place in (0, 2, 3)), (0, 1, 2, 3)]


def built(**kwargs):
    layer = FrameRelations(5, units=6, **kwargs)
    layer.build(FEATURES.shape)
    return randomize(layer)


@pytest.mark.graphs
def test_it_does_what_every_layer_must(tmp_path):
    shapes = {}
    for size in (2, 3, 4):
        shapes |= {f"kernel_{size}": (size * 3, 6), f"bias_{size}": (6,)}
        shapes |= {f"classifier_kernel_{size}": (6, 5), f"classifier_bias_{size}": (5,)}
    check_layer(
        lambda **kwargs: FrameRelations(5, units=6, **kwargs),
        (FEATURES,),
        tmp_path,
        weights=shapes,
        bad=(
            lambda: FrameRelations(5, units=0),
            "`units` must be a whole number from 1 to 65536. Received: units=0",
        ),
    )


def test_at_test_the_subsets_are_evenly_spaced_and_always_the_same():
    layer = built()
    expected = reference(FEATURES.astype("float64"), layer.get_weights(), FIXED)
    close(layer(FEATURES), expected, 1e-5)
    close(layer(FEATURES), layer(FEATURES), 0)


def test_with_enough_subsets_all_are_used_in_training_too():
    layer = built(num_subsets=6)
    expected = reference(FEATURES.astype("float64"), layer.get_weights(), every(2) + every(3) + every(4))
    close(layer(FEATURES), expected, 1e-5)
    close(layer(FEATURES, training=True), expected, 1e-5)


def test_in_training_three_subsets_of_each_scale_are_drawn_none_twice():
    layer = built(seed=3)
    x, weights = FEATURES.astype("float64"), layer.get_weights()
    pairs = list(itertools.combinations(every(2), 3))
    choices = [
        (*pair, *triple, (0, 1, 2, 3)) for pair in pairs for triple in itertools.combinations(every(3), 3)
    ]
    answers = np.stack([reference(x, weights, choice) for choice in choices])
    drawn = set()
    for _ in range(8):
        distance = np.abs(answers - numpy(layer(FEATURES, training=True))).max((1, 2))
        assert distance.min() < 1e-4
        drawn.add(int(distance.argmin()))
    assert len(drawn) > 2


def test_the_gradient_is_that_of_finite_differences():
    layer = built()
    weights = [w.astype("float64") for w in layer.get_weights()]
    probe = RNG.normal(size=(2, 5))
    weighted = keras.ops.convert_to_tensor(probe, "float32")
    found = gradients(lambda x: keras.ops.sum(layer(x) * weighted), [FEATURES])[0]
    expected = slopes(lambda x: (reference(x, weights, FIXED) * probe).sum(), FEATURES)
    close(found, expected, 1e-4)


@pytest.mark.parametrize("frames", [None, 1, 17])
def test_too_few_too_many_or_unknown_frames_are_refused(frames):
    with pytest.raises(UserError, match="^`features` must have 2 to 16 frames. Received: "):
        FrameRelations(5)(keras.KerasTensor((2, frames, 3)))
