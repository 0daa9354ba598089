"""Conv-Attention and CHAM: first states, the slower layer, sizes."""

import keras
import numpy as np
import pytest

from checks import close, randomize
from keras_actrec import zoo
from keras_actrec.errors import UserError
from keras_actrec.layers import AttentiveRNN

SHAPE, FILTERS = (None, 2, 2, 3), 2
FEATURES = np.random.default_rng(0).normal(size=(2, 7, *SHAPE[1:])).astype("float32")
# By hand, for 3 channels, 4 places, 2 filters and 3 classes.
FIRST_STATES = 2 * (9 * 3 * 2 + 2)
ATTENTION = 3 * 2 + 2 * 2 + 2 + 2
LSTM = 9 * 3 * 8 + 9 * 2 * 8 + 8
SECOND_LSTM = 9 * 2 * 8 + 9 * 2 * 8 + 8
HEAD = (4 * 2 + 1) * 1024 + (1024 + 1) * 3
PARAMETERS = {
    "conv_attention": FIRST_STATES + ATTENTION + LSTM + HEAD,
    "cham": FIRST_STATES + ATTENTION + LSTM + SECOND_LSTM + HEAD,
}


def small(name, **arguments):
    return zoo.build(name, 3, **{"input_shape": SHAPE, "filters": FILTERS, **arguments})


def outputs_of(model, name, inputs):
    return keras.Model(model.input, model.get_layer(name).output).predict_on_batch(inputs)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_parameters_are_as_many_as_by_hand(name):
    model = small(name)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == PARAMETERS[name]
    assert model.count_params() - PARAMETERS[name] == 0 and model.output_shape == (None, 3)


def test_the_first_states_are_convolutions_of_the_mean_of_the_valid_steps():
    model = randomize(small("conv_attention", masked=True))
    features, mask = FEATURES.copy(), np.ones((2, 7), bool)
    mask[0, 3:] = False
    features[~mask] = 100.0
    found = outputs_of(model, "initial_c", {"features": features, "mask": mask})
    means = np.stack([FEATURES[0, :3].mean(0), FEATURES[1].mean(0)])
    kernel, bias = model.get_layer("initial_c").get_weights()
    padded = np.pad(means, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for row in range(2):
        for column in range(2):
            window = padded[:, row : row + 3, column : column + 3]
            expected = np.tanh(np.einsum("bijc,ijcf->bf", window, kernel) + bias)
            close(found[:, row, column], expected, 1e-5)


@pytest.mark.parametrize("step_every, steps", [(1, range(7)), (2, (0, 2, 4, 6)), (3, (0, 3, 6)), (9, (0,))])
def test_the_second_layer_steps_at_every_kth_frame_and_holds_between(step_every, steps):
    model = randomize(small("cham", step_every=step_every))
    found = outputs_of(model, "temporal_2", FEATURES)
    held = [t for t in range(1, 7) if np.array_equal(found[:, t], found[:, t - 1])]
    assert held == [t for t in range(1, 7) if t not in steps]
    # and at its steps it is the layer that has seen those frames alone
    cell = model.get_layer("temporal_2").cell
    first = keras.Model(model.input, model.get_layer("temporal_2").input).predict_on_batch(FEATURES)
    seen = first[:, list(steps)]
    close(found[:, list(steps)], AttentiveRNN(cell, return_sequences=True)(seen), 1e-5)


def test_the_answer_is_the_mean_of_all_steps_also_of_those_in_between():
    model = randomize(small("cham"))
    steps = small("cham", return_sequences=True)
    steps.set_weights(model.get_weights())
    close(model.predict_on_batch(FEATURES), steps.predict_on_batch(FEATURES).mean(1), 1e-5)


def test_padding_does_not_step_the_second_layer():
    model = randomize(small("cham", masked=True))
    mask = np.arange(7) < np.array([[4], [7]])
    features = np.where(mask[..., None, None, None], FEATURES, 100).astype("float32")
    padded = outputs_of(model, "temporal_2", {"features": features, "mask": mask})
    plain = small("cham")
    plain.set_weights(model.get_weights())
    close(padded[0, :4], outputs_of(plain, "temporal_2", FEATURES[:1, :4])[0], 1e-5)
    close(padded[0, 4:], np.repeat(padded[0, 3:4], 3, axis=0), 0)


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("conv_attention", {"input_shape": (None, 12)}, "Attention needs feature maps (T, K, K, D) of known"),
        (
            "cham",
            {"input_shape": (None, None, None, 3)},
            "Attention needs feature maps (T, K, K, D) of known",
        ),
        ("conv_attention", {"filters": 0}, "`filters` must be a whole number from 1 to 65536. Received: "),
        ("cham", {"step_every": 0}, "`step_every` must be a whole number from 1 to 65536. Received: step_e"),
    ],
)
def test_a_bad_argument_is_named_in_one_line(name, arguments, message):
    with pytest.raises(UserError) as caught:
        small(name, **arguments)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
