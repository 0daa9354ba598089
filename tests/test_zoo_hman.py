"""The options of `hman` that are not in the paper: what the recurrent layers see, and how they begin."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import close, numpy, randomize
from keras_actrec import zoo
from keras_actrec.errors import UserError

RNG = np.random.default_rng(0)


def small(**arguments):
    options = {"units": 4, "num_layers": 2, "hidden": 0, "attention": "soft", "embedding": 3, **arguments}
    return zoo.hman(3, **{"input_shape": (None, 2, 2, 9), **options})


def seen(model, maps):
    """What the attention chooses from: `(B, T, N, channels)`."""
    return numpy(keras.Model(model.input, model.get_layer("locations_and_summary").output)(maps))


def test_each_location_is_embedded_and_has_the_summary_of_its_step_behind_it():
    maps = RNG.normal(size=(2, 3, 2, 2, 9)).astype("float32")
    model = randomize(small())
    found = seen(model, maps)
    assert found.shape == (2, 3, 4, 3 + 3)
    kernel, bias = model.get_layer("locations_embedding").get_weights()
    close(found[..., :3], maps.reshape(2, 3, 4, 9) @ kernel + bias)
    norm = model.get_layer("normalization")
    mean = numpy(norm(ops.convert_to_tensor(maps.mean((2, 3)))))
    kernel, bias = model.get_layer("features_embedding").get_weights()
    close(found[..., 3:], np.repeat((mean @ kernel + bias)[:, :, None], 4, axis=2))


def test_the_summary_reaches_the_recurrent_layers_whatever_is_chosen():
    maps = RNG.normal(size=(2, 3, 2, 2, 9)).astype("float32")
    for attention in ("soft", "gumbel_adaptive", "reinforce"):
        model = randomize(small(attention=attention))
        found = seen(model, maps)
        cell = model.get_layer("temporal").cell
        context = numpy(cell.attention(found[:, 0], RNG.normal(size=(2, 4)).astype("float32")))
        close(context[:, 3:], found[:, 0, 0, 3:])


def test_pixels_are_part_of_the_summary_and_of_no_location():
    maps = RNG.normal(size=(2, 3, 2, 2, 9)).astype("float32")
    model = randomize(small(pixels=True))
    found = seen(model, maps)
    assert found.shape == (2, 3, 4, 3 + 3 + 3)
    other = maps.copy()
    other[..., 5:] = RNG.normal(size=(2, 3, 2, 2, 4))
    changed = seen(model, other)
    close(changed[..., :6], found[..., :6], 0)
    assert np.all(changed[:, 1:, :, 6:] != found[:, 1:, :, 6:])


def test_a_padded_clip_with_its_mask_gives_what_the_clip_gives():
    maps = RNG.normal(size=(2, 3, 2, 2, 9)).astype("float32")
    model = randomize(small(pixels=True, motion=True, masked=True, steady=True))
    padded = np.concatenate([maps, RNG.normal(size=(2, 2, 2, 2, 9)).astype("float32")], axis=1)
    mask = np.array([[True] * 3 + [False] * 2] * 2)
    whole = model({"features": maps, "mask": np.ones((2, 3), bool)})
    close(model({"features": padded, "mask": mask}), whole, 1e-5)


def test_channels_are_left_out_at_all_steps_and_locations():
    model = small(embedding=9, input_dropout=0.5)
    layer = model.get_layer("locations_dropout")
    kept = numpy(layer(np.ones((8, 3, 4, 9), "float32"), training=True))
    assert set(np.unique(kept)) == {0.0, 2.0}
    close(kept, np.broadcast_to(kept[:, :1, :1], kept.shape), 0)


def test_steady_boundaries_begin_rare_and_are_the_same_in_training():
    cell = small(steady=True).get_layer("temporal").cell.cell
    assert (cell.boundary_bias, cell.forget_bias, cell.boundary_noise) == (-2.0, 1.0, False)
    assert small().get_layer("temporal").cell.cell.boundary_noise
    model = small(steady=True, dropout=0.0)
    maps = RNG.normal(size=(2, 3, 2, 2, 9)).astype("float32")
    temporal = model.get_layer("temporal")
    inputs = seen(model, maps)
    close(temporal(inputs, training=True)["output"], temporal(inputs)["output"], 1e-6)


def test_the_width_of_content_is_that_of_its_kernel():
    assert small(content=True, content_units=5).get_layer("temporal").cell.attention.content_kernel.shape == (
        6,
        5,
    )
    assert small(content=True).get_layer("temporal").cell.attention.content_kernel.shape == (6, 6)


def test_without_a_fully_connected_layer_the_classifier_sees_the_recurrent_ones():
    assert small().get_layer("classifier").kernel.shape == (2 * 4, 3)
    assert small(hidden=7).get_layer("classifier").kernel.shape == (7, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"pixels": True, "embedding": None}, "`pixels` needs `embedding`, such as 64"),
        ({"input_dropout": 0.5, "embedding": None}, "`input_dropout` needs `embedding`, such as 64"),
        ({"input_dropout": 1.0}, "`input_dropout` must be at least 0 and below 1"),
        ({"embedding": 0}, "`embedding` must be a whole number from 1 to 65536. Received: embedding=0"),
        ({"content_units": 4}, "`content_units` needs `content=True`"),
    ],
)
def test_options_that_would_do_nothing_or_do_not_fit_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        small(**arguments)


def test_what_the_first_frame_is_asked_by_is_made_of_the_clips_features():
    maps = RNG.normal(size=(6, 3, 2, 2, 9)) + RNG.normal(scale=5, size=(6, 1, 1, 1, 9))
    maps = maps.astype("float32")
    options = {"embedding": None, "attention": "gumbel_adaptive", "boundary": "scalar", "masked": True}
    mask = np.array([[True, True, False]] * 6)
    found, kernels = {}, {}
    for start in ("zeros", "features"):
        model = randomize(small(start=start, **options), seed=2, scale=1.0)
        view = zoo.ExplainingView(model, zoo.spec(model))
        found[start] = view({"features": maps, "mask": mask})["attention"][:, 0]  # (B, N)
        kernels[start] = numpy(model.get_layer("temporal").cell.attention.kernel)
    assert np.all(np.argmax(found["zeros"], axis=1) == 0)
    kernel, bias = model.get_layer("initial_h").get_weights()
    asked = np.tanh(maps[:, :2].mean((1, 2, 3)) @ kernel + bias)  # of the steps that count
    place = np.argmax(asked @ kernels["features"], axis=1)
    assert len(set(place)) > 1
    close(found["features"], np.eye(4)[place], 0)


def test_the_start_from_features_has_two_maps_of_them_more():
    plain, more = small(embedding=None), small(embedding=None, start="features")
    assert more.count_params() - plain.count_params() == 2 * (9 * 4 + 4)
    with pytest.raises(UserError, match="`start` must be one of zeros, features. Received: start='ones'"):
        small(start="ones")


@pytest.mark.parametrize("more", [{}, {"start": "features", "motion": True, "masked": True}])
def test_a_model_from_a_file_is_built_on_in_a_new_process(more, tmp_path):
    model = small(**more)
    spec = zoo.spec(model)
    # Keras names what is no layer anew in each process, and refuses names that come twice.
    assert all(isinstance(each, keras.layers.Layer) for each in model.operations)
    model.save(tmp_path / "model.keras")
    keras.utils.clear_session(free_memory=False)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    if not more:
        zoo.streaming_view(loaded, spec, loaded.input.shape[2:])
    zoo.features_view(loaded)
