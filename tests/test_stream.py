"""`Stream`: frames one at a time, what each model remembers of them, and memory that stays as it is."""

import gc
import tracemalloc

import keras
import numpy as np
import pytest

import keras_actrec
from checks import close
from keras_actrec import zoo
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    FeaturePreprocessor,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
)
from keras_actrec.deploy import Stream
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

CLASSES = ("sit", "stand", "wave")
RNG = np.random.default_rng(0)
SIZE = 8
FRAMES = RNG.integers(0, 256, (14, 12, 10, 3), dtype="uint8")
JOINTS = RNG.normal(0, 1, (14, 2, 4, 3))


def network():
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(4, 4, 4, activation="relu")])


def of_clips(name, sampling, **arguments):
    """A recognizer of clips, its model behind a small backbone."""
    arguments = {"backbone": network(), "input_shape": (None, SIZE, SIZE, 3), **arguments}
    model = zoo.build(name, 3, masked=sampling.masks, **arguments)
    return Recognizer(model, CLASSES, ClipPreprocessor(sampling, ClipTransform(SIZE)))


def of_joints(transform, **arguments):
    width = JOINTS[0].size * (2 if transform.velocity else 1)
    model = zoo.stacked_rnn(
        3, input_shape=(None, width), units=4, masked=transform.length == "pad", **arguments
    )
    return Recognizer(model, CLASSES, SkeletonPreprocessor("ntu_rgbd", transform))


def answer(recognizer, steps, mask=None):
    """The recognizer's answer to one clip."""
    return recognizer.model.predict_on_batch(recognizer.batch(steps, mask))[0]


def pushed(stream, frames, chunk=1):
    parts = [frames[at : at + chunk] for at in range(0, len(frames), chunk)]
    return [each for part in parts for each in stream.push(part if chunk > 1 else part[0])]


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_a_causal_model_answers_as_to_the_clip_so_far(chunk):
    recognizer = of_clips("frame_gru", Sampling(4, "stride", stride=3), units=4)
    stream = keras_actrec.Stream(recognizer)
    assert (stream.causal, stream.window, stream.every) == (True, None, 3)
    assert str(stream) == "frame_gru is causal: 1 frame in 3, its states are carried from step to step"
    answers = pushed(stream, FRAMES, chunk)
    assert [each.frame for each in answers] == [0, 3, 6, 9, 12]
    seen = ClipTransform(SIZE)(FRAMES[::3])
    for count, each in enumerate(answers, start=1):
        if count in (1, 4):
            close(each.scores, answer(recognizer, seen[:count]), 1e-5)
    close(answers[3].scores, answer(recognizer, *_read(recognizer, FRAMES[:12])), 1e-5)


def _read(recognizer, frames):
    """What the recognizer sees of a video of these frames."""
    indices, mask = recognizer.preprocessor.sampling.indices(len(frames))
    return recognizer.preprocessor.transform(frames[indices]), mask


def test_tsm_says_that_it_has_a_form_for_streams():
    arguments = {"width": 0.25, "input_shape": (None, SIZE, SIZE, 3)}
    small = {"backbone": "efficientnet_lite0:block2_output", **arguments}
    lines = [str(Stream(of_clips("tsm", Sampling(8), **small, **form))) for form in ({}, {"online": True})]
    assert lines == [
        "tsm needs a whole clip: it looks through a sliding window of 8 steps; "
        "trained with `--set model.online=true` it carries its states",
        "tsm is causal: its states are carried from step to step",
    ]
    assert zoo.spec("tsm").causal_with == {"online": True}
    assert not any(zoo.spec(name).causal_with for name in set(zoo.list_models()) - {"tsm"})


@pytest.mark.parametrize("name", ["lstm_attention", "eleatt_rnn"])
@pytest.mark.parametrize("method", ["segments", "contiguous"])
def test_a_model_of_whole_clips_answers_as_to_a_video_of_the_last_frames(name, method):
    arguments = {"bidirectional": True} if name == "eleatt_rnn" else {}
    recognizer = of_clips(name, Sampling(5, method), units=3, **arguments)
    stream = Stream(recognizer, hop=2)
    assert (stream.causal, stream.window) == (False, 5)
    assert str(stream) == f"{name} needs a whole clip: it looks through a sliding window of 5 steps"
    answers = pushed(stream, FRAMES)
    assert [each.frame for each in answers] == [0, 2, 4, 6, 8, 10, 12]
    for each in answers:
        last = FRAMES[max(0, each.frame - 4) : each.frame + 1]
        close(each.scores, answer(recognizer, *_read(recognizer, last)), 1e-5)
        close(each.step, each.scores, 0)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("hman", {"num_layers": 1, "attention": "soft", "content": True}), ("lstm_attention", {})],
)
def test_the_attention_is_that_of_a_clip_that_ends_there(name, arguments):
    recognizer = of_clips(name, Sampling(5, "contiguous"), units=3, **arguments)
    stream = Stream(recognizer)
    view = zoo.ExplainingView(recognizer.model, recognizer.spec)
    answers = pushed(stream, FRAMES)
    for each in (answers[0], answers[1], answers[-1]):
        clip = ClipTransform(SIZE)(FRAMES[: each.frame + 1][None if stream.causal else -5 :])
        seen = view(recognizer.batch(clip, np.ones(len(clip), bool)), evidence=False)
        assert each.attention.shape == (4,)
        close(each.attention, seen["attention"][0, -1], 1e-5)
    assert np.ptp([each.attention for each in answers], axis=0).max() > 1e-4
    assert pushed(Stream(of_clips("frame_gru", Sampling(5), units=2)), FRAMES[:1])[0].attention is None


def test_a_window_of_a_network_over_clips():
    model = zoo.trn(3, input_shape=(4, 32, 32, 3), backbone="efficientnet_lite0", width=0.25)
    recognizer = Recognizer(model, CLASSES, ClipPreprocessor(Sampling(4), ClipTransform(32)))
    answers = pushed(Stream(recognizer, every=2), FRAMES[:9])
    assert [each.frame for each in answers] == [0, 2, 4, 6, 8]
    close(answers[-1].scores, answer(recognizer, ClipTransform(32)(FRAMES[[2, 4, 6, 8]])), 1e-5)


@pytest.mark.parametrize(
    "transform",
    [
        SkeletonTransform(14, center=1, align=(0, 2), velocity=True),
        SkeletonTransform(14, center=None),
        SkeletonTransform(14, center=1, unit_size=True),
        SkeletonTransform(14, length="resample"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 3])
def test_joints_are_moved_as_those_of_a_file(transform, chunk):
    recognizer = of_joints(transform)
    stream = Stream(recognizer)
    assert stream.causal == (transform.length == "pad" and not transform.unit_size)
    joints = JOINTS.copy()
    joints[3, 1] = joints[5, 0, 2] = 0  # missing
    answers = pushed(stream, joints, chunk)
    for each in answers[-3:]:
        close(each.scores, answer(recognizer, *transform(joints[: each.frame + 1])), 1e-5)


def test_a_window_of_joints_is_moved_as_a_file_of_its_own():
    transform = SkeletonTransform(5, center=1)
    recognizer = of_joints(transform, bidirectional=True)
    answers = pushed(Stream(recognizer), JOINTS)
    close(answers[-1].scores, answer(recognizer, *transform(JOINTS[9:14])), 1e-5)


def test_the_first_body_with_the_joints_settles_the_origin_of_a_stream():
    recognizer = of_joints(SkeletonTransform(14, center=1))
    empty = np.zeros((3, 2, 4, 3))
    late = pushed(Stream(recognizer), np.concatenate([empty, JOINTS]))
    whole, _ = SkeletonTransform(17, center=1)(np.concatenate([empty, JOINTS]))
    close(late[-1].scores, answer(recognizer, whole), 1e-5)


@pytest.mark.parametrize("shape", [(6,), (2, 2, 3)])
def test_features_are_steps(shape):
    model = zoo.softmax_regression(3, input_shape=(None, *shape), masked=True)
    recognizer = Recognizer(model, CLASSES, FeaturePreprocessor(Sampling(4, "contiguous"), shape))
    steps = RNG.normal(0, 1, (5, *shape)).astype("float32")
    answers = pushed(Stream(recognizer), steps)
    close(answers[-1].scores, answer(recognizer, steps), 1e-5)
    close(answers[-1].step, answer(recognizer, steps[-1:]), 1e-5)
    with pytest.raises(UserError, match="this model takes features"):
        Stream(recognizer).push(steps[..., :2])


def test_a_stream_that_is_reset_begins_anew():
    stream = Stream(of_clips("hman", Sampling(4, "contiguous"), units=2, num_layers=2, hidden=0))
    first = pushed(stream, FRAMES[:4])
    stream.reset()
    again = pushed(stream, FRAMES[:4])
    assert [each.frame for each in again] == [0, 1, 2, 3]
    for one, other in zip(first, again, strict=True):
        close(one.scores, other.scores, 0)
    assert np.abs(stream.push(FRAMES[0])[0].scores - first[0].scores).max() > 0


def test_bad_frames_and_arguments_are_one_line():
    recognizer = of_clips("frame_pool", Sampling(4))
    with pytest.raises(UserError, match=r"^a frame has 3 axes. Received: shape \(8, 8\)$"):
        Stream(recognizer).push(np.zeros((8, 8), "uint8"))
    with pytest.raises(UserError, match="must be a uint8 array"):
        Stream(recognizer).push(np.zeros((8, 8, 3)))
    with pytest.raises(UserError, match="`every` must be"):
        Stream(recognizer, every=0)
    with pytest.raises(UserError, match="`hop` is of a window"):
        Stream(recognizer, hop=2)
    classifier = recognizer.model.get_layer("classifier")
    classifier.set_weights([np.full_like(each, np.nan) for each in classifier.get_weights()])
    with pytest.raises(UserError, match="the model's answer is no number"):
        Stream(recognizer).push(FRAMES[0])


@pytest.mark.graphs
@pytest.mark.usefixtures("garbage_of_this_test")
@pytest.mark.parametrize("name", ["frame_gru", "lstm_attention"])
def test_memory_stays_as_it_is(name):
    stream = Stream(of_clips(name, Sampling(4, "contiguous"), units=2))
    frame = FRAMES[0]

    def push(count):
        for _ in range(count):
            stream.push(frame)
        gc.collect()
        return tracemalloc.get_traced_memory()[0], len(gc.get_objects())

    tracemalloc.start()
    try:
        push(40)  # what is made once
        memory, objects = push(80)
        more, others = push(200)
    finally:
        tracemalloc.stop()
    assert more - memory < 30_000  # 150 bytes a frame; a kept frame of 8 x 8 pixels takes twice that
    assert others - objects < 100
