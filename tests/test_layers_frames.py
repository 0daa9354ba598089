"""Layers over the frames of a clip: FrameWise, FoldTime and UnfoldTime, FrameDifference, Coordinates."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, randomize
from keras_actrec.layers import Coordinates, FoldTime, FrameDifference, FrameWise, UnfoldTime

BATCH, TIME, SIZE = 2, 3, 4
CLIPS = np.random.default_rng(0).uniform(0, 2, (BATCH, TIME, SIZE, SIZE, 3)).astype("float32")


def network():
    """A network of frames with weights, statistics and a difference between training and not."""
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Conv2D(2, 3, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name="network",
    )


@pytest.mark.graphs
def test_frame_wise_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda dtype=None: FrameWise(keras.layers.Conv2D(2, 3, name="conv", dtype=dtype), dtype=dtype),
        (CLIPS,),
        tmp_path,
        weights={"conv/kernel": (3, 3, 3, 2), "conv/bias": (2,)},
        time=True,
    )


def test_frame_wise_is_a_loop_over_the_frames():
    frames = network()
    randomize(frames)
    expected = np.stack([ops.convert_to_numpy(frames(CLIPS[:, t])) for t in range(TIME)], axis=1)
    found = FrameWise(frames)(CLIPS)
    assert tuple(found.shape) == (BATCH, TIME, 2, 2, 2)
    close(found, expected, 1e-6)


def test_frame_wise_works_in_training_mode_on_all_frames_at_once():
    frames = network()
    layer = FrameWise(frames)
    values = ops.convert_to_numpy(layer(CLIPS, training=True))
    # The statistics are those of all frames of the batch, not of one frame after the other.
    np.testing.assert_allclose(values.mean(axis=(0, 1, 2, 3)), 0, atol=1e-5)


def test_frame_wise_hands_the_mask_on():
    inputs = keras.Input((None, 5))
    outputs = FrameWise(keras.layers.Dense(2))(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(outputs))
    x = np.ones((1, 4, 5), "float32")
    x[:, 2:] = 0
    close(model(x), model(x[:, :2]), 1e-6)


@pytest.mark.parametrize("built", [True, False])
def test_a_frozen_network_stays_as_it_is_in_training(built):
    frames = network() if built else keras.Sequential(network().layers[0:2])
    layer = FrameWise(frames, trainable=False)
    inputs = keras.Input(CLIPS.shape[1:])
    features = layer(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling3D()(features)))
    model.compile("sgd", "mse")
    before, seen = layer.get_weights(), ops.convert_to_numpy(layer(CLIPS))
    close(layer(CLIPS, training=True), seen, 0)  # moving statistics, as in `evaluate`
    model.train_on_batch(CLIPS, np.ones((BATCH, 1)))
    assert layer.trainable_weights == [] and len(model.trainable_weights) == 2
    close(layer.get_weights(), before, 0)


def test_a_frozen_network_is_still_frozen_after_loading_and_thaws_when_told(tmp_path):
    inputs = keras.Input((None, SIZE, SIZE, 3))
    outputs = FrameWise(network(), trainable=False, name="frames")(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.trainable_weights == []
    loaded.get_layer("frames").trainable = True
    assert len(loaded.trainable_weights) == 4


def test_frames_lie_clip_after_clip_and_find_back_to_their_clips(tmp_path):
    inputs = keras.Input((None, None, None, 3))
    frames = FoldTime()(inputs)
    halves = UnfoldTime()([keras.layers.AveragePooling2D(2)(frames), inputs])
    assert frames.shape == (None, None, None, 3) and halves.shape == (None, None, None, None, 3)
    keras.Model(inputs, [frames, halves]).save(tmp_path / "model.keras")
    found, back = keras.saving.load_model(tmp_path / "model.keras").predict_on_batch(CLIPS)
    close(found, np.concatenate(list(CLIPS)), 0)
    close(back, CLIPS.reshape(BATCH, TIME, 2, 2, 2, 2, 3).mean((3, 5)), 1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_folding_time_keeps_pixels_as_they_are_in_mixed_precision(dtype):
    pixels = (CLIPS * 100).astype(dtype)
    fold, unfold = FoldTime(dtype="mixed_bfloat16"), UnfoldTime(dtype="mixed_bfloat16")
    frames = fold(pixels)
    clips = unfold([frames, pixels])
    np.testing.assert_array_equal(ops.convert_to_numpy(clips), pixels)
    symbol = keras.KerasTensor(pixels.shape, dtype)
    symbols = frames, clips, fold(symbol), unfold([fold(symbol), symbol])
    assert {keras.backend.standardize_dtype(x.dtype) for x in symbols} == {dtype}
    assert symbols[2].shape == (BATCH * TIME, SIZE, SIZE, 3) and symbols[3].shape == pixels.shape


@pytest.mark.graphs
@pytest.mark.parametrize("magnitude", [False, True])
def test_frame_difference_does_what_every_layer_must(magnitude, tmp_path):
    check_layer(
        lambda **kwargs: FrameDifference(magnitude=magnitude, **kwargs),
        (CLIPS,),
        tmp_path,
        weights={},
        time=True,
    )


def test_frame_difference_is_zero_first_and_then_what_changed():
    expected = np.zeros_like(CLIPS)
    for t in range(1, TIME):
        expected[:, t] = CLIPS[:, t] - CLIPS[:, t - 1]
    close(FrameDifference()(CLIPS), expected, 1e-6)
    close(FrameDifference(magnitude=True)(CLIPS), np.concatenate([expected, abs(expected)], -1), 1e-6)


def test_frame_difference_takes_none_across_padding():
    clips = np.where(np.arange(TIME)[:, None, None, None] == 1, np.nan, CLIPS)
    mask = np.array([[True, False, True], [False, False, True]])
    close(FrameDifference()(clips, mask=mask), np.zeros_like(CLIPS), 0)
    mask = np.array([[True, True, False], [False, True, True]])
    expected = np.zeros_like(CLIPS)
    expected[0, 1] = CLIPS[0, 1] - CLIPS[0, 0]
    expected[1, 2] = CLIPS[1, 2] - CLIPS[1, 1]
    close(FrameDifference()(CLIPS, mask=mask), expected, 1e-6)


@pytest.mark.graphs
def test_coordinates_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda **kwargs: Coordinates(scale=2.0, **kwargs),
        (CLIPS,),
        tmp_path,
        weights={},
        bad=(lambda: Coordinates().build((None, None, None, 4, 3)), "`inputs` must be (B, T, H, W, C) with"),
        time=True,
    )


def test_coordinates_are_the_column_and_the_row_from_minus_one_to_one():
    found = ops.convert_to_numpy(Coordinates()(CLIPS[:, :, :3, :2]))
    close(found[..., :3], CLIPS[:, :, :3, :2], 0)
    for b in range(BATCH):
        for t in range(TIME):
            close(found[b, t, :, :, 3], np.array([[-1, 1]] * 3), 1e-6)
            close(found[b, t, :, :, 4], np.array([[-1, -1], [0, 0], [1, 1]]), 1e-6)
    close(Coordinates(scale=2.0)(CLIPS)[..., 3:], 2 * Coordinates()(CLIPS)[..., 3:], 1e-6)
