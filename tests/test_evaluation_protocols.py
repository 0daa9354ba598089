"""Protocols: which frames and crops the papers test on, and how the answers become one."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_actrec import zoo
from keras_actrec.data import (
    ClipPreprocessor,
    ClipTransform,
    Sampling,
    SkeletonPreprocessor,
    SkeletonTransform,
)
from keras_actrec.errors import UserError
from keras_actrec.evaluation import PROTOCOLS, Protocol, evaluate
from keras_actrec.recognizer import Recognizer
from test_evaluation import SIZE, answer, recognizer, write

CLASSES = ("blue", "red", "green")


def stub(sampling=None, transform=None, steps=False):
    """A recognizer with a model that takes clips of any number of frames and any size."""
    clip = keras.Input((None, None, None, 3), name="clip")
    x = keras.layers.Lambda(lambda x: ops.softmax(ops.mean(ops.cast(x, "float32"), axis=(2, 3))))(clip)
    x = keras.layers.GlobalAveragePooling1D()(x)
    seen = ClipPreprocessor(sampling or Sampling(4), transform or ClipTransform(224, crop="none"))
    spec = zoo.ModelSpec("stub", "clip", per_step=steps)
    return Recognizer(keras.Model(clip, x, name="stub"), CLASSES, seen, spec=spec)


# Frames that a video of 40 shows a model of 4, by hand from the papers' code, side and number of the crops
# out of frames whose short side is the last number.
@pytest.mark.parametrize(
    "name, frames, size, crops, short_side",
    [
        ("gsm_1_clip", [[5, 15, 25, 35]], 224, 1, 256),
        ("gsm_2_clips", [[0, 10, 20, 30], [5, 15, 25, 35]], 224, 1, 256),
        ("sa_gsm", [[5, 15, 25, 35]], 224, 1, 256),
        ("tsm_1_clip", [[5, 15, 25, 35]], 224, 1, 256),
        ("tsm_2_clips", [[0, 10, 20, 30], [5, 15, 25, 35]], 256, 3, 256),
        ("trn", [[5, 15, 25, 35]], 224, 10, 256),
        ("tsn", [[int(1.6 * step + 0.8) for step in range(25)]], 224, 10, 256),
    ],
)
def test_a_paper_sees_these_frames_and_crops(name, frames, size, crops, short_side):
    seen = PROTOCOLS[name].of(stub(Sampling(4, "contiguous", 3, frame_step=2))).preprocessor
    np.testing.assert_array_equal(seen.sampling.clips(40)[0], frames)
    picture = np.zeros((1, short_side, 2 * short_side, 3), "uint8")
    assert seen.transform.crops(picture).shape == (crops, 1, size, size, 3)
    assert seen.transform.preparation.endswith(f"short side {short_side}")


def test_strn_sees_all_sequences_end_to_end_of_the_frames_that_it_uses():
    seen = PROTOCOLS["strn"].of(stub(Sampling(4, frame_step=2))).preprocessor
    clips, _ = seen.sampling.clips(18)
    assert clips.tolist() == [[0, 2, 4, 6], [8, 10, 12, 14]]


def test_sharma_sees_the_blocks_from_every_frame_on_and_repeats_the_last_of_a_short_video():
    seen = PROTOCOLS["sharma"].of(stub(steps=True)).preprocessor
    clips, mask = seen.sampling.clips(6)
    assert clips.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]] and mask.all()
    assert seen.sampling.clips(2)[0].tolist() == [[0, 1, 1, 1]]


def test_short_videos_are_stretched_by_the_segments():
    seen = PROTOCOLS["gsm_1_clip"].of(stub(Sampling(4, "contiguous", short="repeat"))).preprocessor
    clips, _ = seen.sampling.clips(2)
    assert clips.tolist() == [[0, 0, 1, 1]]


@pytest.fixture
def data(tmp_path):
    """Two videos; every three frames in a row of the red one are mostly blue 4 times and mostly red twice."""
    write(tmp_path / "red/clip.mp4", *["blue"] * 4, "red", "blue", *["red"] * 2)
    write(tmp_path / "blue/clip.mp4", *["blue"] * 8)
    return tmp_path


@pytest.mark.parametrize("average", ["probabilities", "logits", "votes"])
def test_views_become_one_answer_as_the_protocol_says(average, data):
    blues = [3, 3, 2, 2, 1, 1]  # of the three
    views = np.array([answer(*["blue"] * count, *["red"] * (3 - count)) for count in blues])
    expected = {
        "probabilities": views.mean(axis=0),
        "logits": np.exp(np.log(views).mean(axis=0)) / np.exp(np.log(views).mean(axis=0)).sum(),
        "votes": [4 / 6, 2 / 6, 0],
    }
    protocol = Protocol("mine", {"method": "sequences", "hop": 1}, average=average)
    result = evaluate(recognizer(CLASSES, sampling=Sampling(3)), data, part="all", protocol=protocol)
    found = result.scores[[record.path for record in result.records].index("red/clip.mp4")]
    # a vote carries a little of the mean, at most half a vote of seven
    np.testing.assert_allclose(found, expected[average], atol=0.07 if average == "votes" else 0.02)
    assert np.abs(expected["probabilities"] - expected["logits"]).max() > 0.04


def test_each_view_counts_by_itself_in_the_sequence_accuracy(data):
    protocol = Protocol("mine", {"method": "sequences", "hop": 1})
    result = evaluate(recognizer(CLASSES, sampling=Sampling(3)), data, part="all", protocol=protocol)
    # Two of the six of the red video are mostly red, and all six of the blue one blue.
    assert (result.views, result.view_accuracy) == (12, 8 / 12)
    assert (result.top1, result.to_json()["view_accuracy"]) == (1 / 2, 8 / 12)


def test_hmans_sequences_lie_end_to_end_and_repeat_the_last_frame_of_a_short_video():
    seen = PROTOCOLS["hman_sequences"].of(stub(Sampling(3, "contiguous"), steps=True)).preprocessor
    assert seen.sampling.clips(8)[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert seen.sampling.clips(2)[0].tolist() == [[0, 1, 1]]


def test_the_name_and_what_was_seen_are_stamped_into_the_result(data):
    model = recognizer(CLASSES, sampling=Sampling(2))
    result = evaluate(model, data, part="all", protocol=Protocol("twice", {"num_clips": 2}, average="logits"))
    words = f"twice: 2 clips of 2 frames (segments), whole frame {SIZE}, mean of the views' logits"
    assert result.to_json()["protocol"] == words
    plain = evaluate(model, data, part="all").to_json()["protocol"]
    assert plain == f"1 clip of 2 frames (segments), whole frame {SIZE}"


def test_a_protocol_is_found_by_its_name(data):
    model = recognizer(CLASSES, sampling=Sampling(2, "contiguous"))
    result = evaluate(model, data, part="all", protocol="gsm_2_clips")
    assert result.protocol.startswith("gsm_2_clips: 2 clips of 2 frames (segments), center crop 32")
    with pytest.raises(UserError, match="unknown protocol 'gsm_2_clip': did you mean 'gsm_2_clips'?"):
        evaluate(model, data, protocol="gsm_2_clip")


def test_steps_are_averaged_and_named(data):
    words = PROTOCOLS["hman"].words(PROTOCOLS["hman"].of(stub(steps=True)))
    assert words == "hman: 1 clip of 4 frames (segments), whole frame 224, mean of the steps' probabilities"


@pytest.mark.parametrize("name", ["hman", "hman_sequences", "sharma"])
def test_a_model_with_one_answer_a_clip_cannot_be_tested_by_its_steps(name):
    with pytest.raises(UserError, match=f"protocol {name} averages the answers of all steps, and stub"):
        PROTOCOLS[name].of(stub())


def test_a_model_of_skeletons_has_no_clips():
    x = keras.Input((None, 6), name="features")
    model = keras.Model(x, keras.layers.GlobalAveragePooling1D(name="average")(x), name="joints")
    skeletons = Recognizer(model, CLASSES, SkeletonPreprocessor("poses", SkeletonTransform(10)))
    assert Protocol().of(skeletons) is skeletons
    with pytest.raises(UserError, match="protocol strn: it is about clips of videos, and this model"):
        PROTOCOLS["strn"].of(skeletons)


def segments(name, size=32, frames=4, **arguments):
    shape = (frames, size, size, 3)
    return zoo.build(
        name,
        3,
        backbone="bn_inception:inception_3a_output",
        width=0.125,
        input_shape=shape,
        classifier_activation=None,
        **arguments,
    )


@pytest.mark.parametrize(
    "name, protocol, frames, size, masked",
    [("tsm", "tsm_2_clips", 4, 36, False), ("tsn", "tsn", 25, 32, True)],
)
def test_a_model_is_built_again_for_more_or_larger_frames_with_the_same_weights(
    name, protocol, frames, size, masked
):
    model = segments(name, masked=masked)
    found = PROTOCOLS[protocol].of(
        Recognizer(model, CLASSES, ClipPreprocessor(Sampling(4), ClipTransform(32)))
    )
    expected = segments(name, size, frames, masked=masked)
    expected.set_weights(model.get_weights())
    clips = np.random.default_rng(0).integers(0, 256, (2, frames, size, size, 3)).astype("uint8")
    x = {"clip": clips, "mask": np.ones(clips.shape[:2], bool)} if masked else clips
    answers = [np.asarray(each.predict_on_batch(x)) for each in (found.model, expected)]
    np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-7)
    assert np.ptp(answers[0], axis=0).max() > 1e-3
    assert model.input_shape != found.model.input_shape  # the model itself stays as it was


def test_a_model_that_takes_one_size_only_is_refused():
    model = zoo.build(
        "frame_pool", 3, backbone="efficientnet_lite0:block1_output", input_shape=(None, 32, 32, 3)
    )
    with pytest.raises(UserError, match="tsm_2_clips shows clips of 4 x 36 x 36, and frame_pool takes only"):
        PROTOCOLS["tsm_2_clips"].of(
            Recognizer(model, CLASSES, ClipPreprocessor(Sampling(4), ClipTransform(32)))
        )


def test_ten_crops_of_classes_that_a_mirror_swaps_are_refused():
    model = stub(transform=ClipTransform(32, flip=True, swap=((0, 1),)))
    with pytest.raises(UserError, match="half of the others are mirrored"):
        PROTOCOLS["trn"].of(model)


def test_an_unknown_average_is_refused():
    with pytest.raises(
        UserError, match="`average` must be one of probabilities, logits, votes. Received: 'sum'"
    ):
        Protocol(average="sum")
