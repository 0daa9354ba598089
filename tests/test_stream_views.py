"""Causal models as streams: the same weights, step by step, give what the whole clip gives."""

import keras
import numpy as np
import pytest

from checks import close
from keras_actrec import zoo
from keras_actrec._backend import predictor
from keras_actrec.errors import UserError

STEPS = 10
VECTORS, MAPS, CLIP = (STEPS, 6), (STEPS, 2, 2, 4), (STEPS, 32, 32, 3)
# Each causal model in its forms: the name, the clip's shape, and the arguments.
CAUSAL = {
    "hman": ("hman", MAPS, {"units": [3, 2], "num_layers": 2, "boundary": "scalar", "hidden": 5}),
    "hman motion": ("hman", MAPS, {"units": 3, "motion": True, "embedding": 3, "steady": True}),
    "hman soft": ("hman", MAPS, {"units": 2, "attention": "soft", "content": True, "hidden": 0}),
    "hman reinforce": ("hman", MAPS, {"units": 2, "num_layers": 1, "attention": "reinforce"}),
    "softmax_regression": ("softmax_regression", MAPS, {"motion": True}),
    "eleatt_rnn gru": ("eleatt_rnn", VECTORS, {"units": 3, "num_layers": 2}),
    "eleatt_rnn lstm": ("eleatt_rnn", VECTORS, {"units": 3, "cell": "lstm", "attention_layers": [2]}),
    "eleatt_rnn motion": ("eleatt_rnn", MAPS, {"units": 3, "cell": "rnn", "motion": True, "normalize": True}),
    "stacked_rnn": ("stacked_rnn", VECTORS, {"units": 3, "embedding": 4, "input_dropout": 0.5}),
    "frame_gru": ("frame_gru", MAPS, {"units": 3, "motion": True}),
    "frame_pool": ("frame_pool", VECTORS, {}),
    "strn": (
        "strn",
        CLIP,
        {"width": 0.07, "temporal_context": 3, "connection": "nonlinear", "special3": True},
    ),
    "tsm": ("tsm", CLIP, {"width": 0.25, "backbone": "efficientnet_lite0", "motion": True, "online": True}),
    "tsn": ("tsn", CLIP, {"width": 0.25, "backbone": "efficientnet_lite0", "motion": True}),
}
# Models that need the whole clip, one for each reason, and arguments of small ones.
WHOLE = {
    "hman start": ("hman", MAPS, {"units": 2, "start": "features"}),
    "hman pixels": ("hman", (STEPS, 4, 4, 8), {"units": 2, "pixels": True, "embedding": 2}),
    "eleatt_rnn": ("eleatt_rnn", VECTORS, {"units": 2, "bidirectional": True}),
    "stacked_rnn": ("stacked_rnn", VECTORS, {"units": 2, "centered": True}),
    "lstm_attention": ("lstm_attention", MAPS, {"units": 2}),
    "conv_attention": ("conv_attention", MAPS, {"filters": 2}),
    "cham": ("cham", MAPS, {"filters": 2}),
    "tsm": ("tsm", CLIP, {"width": 0.25, "backbone": "efficientnet_lite0:block2_output"}),
}


def built(name, shape, arguments, masked, steps=None):
    rng = np.random.default_rng(1)  # of each test, whichever ran before
    model = zoo.build(name, 3, input_shape=(steps, *shape[1:]), masked=masked, **arguments)
    for weight in model.weights:  # moving averages too, so that each layer has something to say
        small = shape != CLIP or any(name in weight.path for name in ("classifier", "motion_conv"))
        if weight.dtype == "float32" and small:  # in a deep network they would grow
            low, high = (0.5, 2) if "variance" in weight.path else (-0.5, 0.5)
            weight.assign(rng.uniform(low, high, weight.shape))
    top = 255 if shape == CLIP else 1
    return model, (top * rng.uniform(0, 1, shape)).astype("float32")


def offline(model, clip):
    """The model's answer to a whole clip."""
    inputs = clip[None]
    if isinstance(model.input, dict):
        inputs = {next(iter(set(model.input) - {"mask"})): inputs, "mask": np.ones((1, len(clip)), bool)}
    return model.predict_on_batch(inputs)[0]


def streamed(view, clip, chunk):
    """The answers to all steps, which come in chunks."""
    run, states, found = predictor(view.model), view.start, []
    (name,) = set(view.model.input) - set(view.start)
    for begin in range(0, len(clip), chunk):
        states = run({name: clip[None, begin : begin + chunk], **states})
        scores, steps = states.pop("scores"), states.pop("steps")
        found += list(zip(scores[0], steps[0], strict=True))
    return [np.stack(each) for each in zip(*found, strict=True)]


@pytest.mark.parametrize(
    ("case", "masked"), [*((case, True) for case in CAUSAL), ("hman motion", False), ("stacked_rnn", False)]
)
def test_a_stream_gives_what_the_clip_so_far_gives(case, masked):
    name, shape, arguments = CAUSAL[case]
    model, clip = built(name, shape, arguments, masked)
    view = zoo.streaming_view(model, zoo.spec(model), shape[1:])
    assert {id(weight) for weight in model.trainable_weights} >= {
        id(weight) for weight in view.model.trainable_weights
    }
    counts = np.array([STEPS] if shape == CLIP else [1, 4, STEPS])  # each number is compiled anew
    expected = np.stack([offline(model, clip[:count]) for count in counts])
    first, *others = (streamed(view, clip, chunk) for chunk in (1, 3, 7))
    assert np.ptp(first[0], axis=0).max() > 1e-4  # it changes, so that a standing answer is found
    close(first[0][counts - 1], expected, 1e-5)
    for scores, steps in others:
        close(scores, first[0], 1e-5)
        close(steps, first[1], 1e-5)
    close(first[1][0], first[0][0], 1e-5)  # of one step both are the same


def test_every_causal_model_is_tried_here():
    assert {name for name, _, _ in CAUSAL.values()} == {
        name for name in zoo.list_models() if zoo.spec(name).causal
    }


@pytest.mark.parametrize("case", WHOLE)
def test_what_needs_the_whole_clip_is_refused_as_a_stream(case):
    name, shape, arguments = WHOLE[case]
    model, clip = built(name, shape, arguments, False)
    assert not zoo.spec(model).causal
    with pytest.raises(UserError, match="needs the whole clip"):
        zoo.streaming_view(model, zoo.spec(model), shape[1:])


def test_a_model_of_a_fixed_number_of_steps_streams_any_number():
    _, shape, arguments = CAUSAL["frame_gru"]
    model, clip = built("frame_gru", shape, arguments, False, steps=STEPS)
    view = zoo.streaming_view(model, zoo.spec(model), shape[1:])
    close(streamed(view, clip, 1)[0][-1], offline(model, clip), 1e-5)
    assert len(streamed(view, np.concatenate([clip, clip]), 1)[0]) == 2 * STEPS


def test_a_step_alone_has_no_part_in_the_mean():
    model, clip = built("frame_pool", VECTORS, {}, False)
    view = zoo.streaming_view(model, zoo.spec(model), VECTORS[1:])
    expected = np.stack([offline(model, step[None]) for step in clip])
    close(streamed(view, clip, 3)[1], expected, 1e-5)


def test_what_is_remembered_of_frames_of_any_size_has_that_of_the_stream():
    model = zoo.strn(3, input_shape=(None, None, None, 3), width=0.07)
    view = zoo.streaming_view(model, zoo.spec(model), (64, 32, 3))
    (before,) = [value for name, value in view.start.items() if name != "seen"]
    assert before.shape[:-1] == (1, 1, 2, 1)  # a block of the last stage, at a 32nd of the size


def test_of_each_shift_an_eighth_of_the_channels_is_remembered():
    arguments = {"backbone": "efficientnet_lite0:block4_output", "online": True}
    model = zoo.tsm(3, input_shape=(None, None, None, 3), **arguments)
    view = zoo.streaming_view(model, zoo.spec(model), (64, 32, 3))
    shapes = [value.shape for name, value in view.start.items() if "shift" in name]
    # In front of blocks 2b, 3b, 4b and 4c: 24, 40 and 80 channels at a 4th, an 8th and a 16th of the size.
    assert shapes == [(1, 1, 16, 8, 3), (1, 1, 8, 4, 5), (1, 1, 4, 2, 10), (1, 1, 4, 2, 10)]


def test_states_are_kept_in_float32_whatever_the_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model, clip = built("eleatt_rnn", VECTORS, {"units": 3}, True)
        view = zoo.streaming_view(model, zoo.spec(model), VECTORS[1:])
    finally:
        keras.config.set_dtype_policy("float32")
    assert {value.dtype.name for value in view.start.values()} == {"float32"}
    close(streamed(view, clip, 1)[0][-1], offline(model, clip), 1e-2)
