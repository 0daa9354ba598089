"""Several batches at a time: the answers that Keras gives to each."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from checks import close
from keras_actrec import _backend
from keras_actrec.layers import AttentiveRNN, EleAttGRUCell, FrameWise


def network():
    x = keras.Input((None, 5), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    steps = keras.layers.Dropout(0.5)(keras.layers.GRU(4, return_sequences=True)(x, mask=mask))
    answer = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(steps, mask=mask))
    return keras.Model({"features": x, "mask": mask}, answer)


def batches(count, steps=6):
    rng = np.random.default_rng(0)
    return [
        {"features": rng.normal(size=(2, steps, 5)).astype("float32"), "mask": rng.random((2, steps)) < 0.7}
        for _ in range(count)
    ]


def test_each_batch_is_answered_as_keras_does():
    model = network()
    for given in (batches(5), batches(1), batches(3, steps=4), batches(2)):
        expected = [model.predict_on_batch(batch) for batch in given]
        found = _backend.predict(model, given)
        assert len(found) == len(given)
        for answer, by_keras in zip(found, expected, strict=True):
            assert isinstance(answer, np.ndarray)
            np.testing.assert_allclose(answer, by_keras, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="others leave no circles of tensors")
@pytest.mark.usefixtures("garbage_of_this_test")
def test_no_tensor_of_a_call_is_left():
    import torch

    run, (batch,) = _backend.predictor(network()), batches(1)
    run(batch)
    gc.collect()
    gc.disable()
    try:
        counts = []
        for _ in range(3):
            run(batch)
            counts.append(sum(isinstance(each, torch.Tensor) for each in gc.get_objects()))
    finally:
        gc.enable()
    assert len(set(counts)) == 1


def test_a_layer_with_a_trace_can_be_called_by_two_threads_at_a_time(monkeypatch):
    layer = AttentiveRNN(EleAttGRUCell(4), return_sequences=True, return_trace=True)
    given = [batch["features"] for batch in batches(2)]
    expected = [keras.ops.convert_to_numpy(layer(batch)["gates"]) for batch in given]
    meet, put = threading.Barrier(2, timeout=60), layer._traces.put

    def both_put(trace):
        put(trace)
        meet.wait()

    monkeypatch.setattr(layer._traces, "put", both_put)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda batch: keras.ops.convert_to_numpy(layer(batch)["gates"]), given))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def branches(policy=None):
    """A network in which tensors are used twice, at once and later, or not at all."""
    frames = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", dtype=policy)(frames)
    norm = keras.layers.BatchNormalization(dtype=policy)
    left, right = norm(x), keras.layers.Dropout(0.5, dtype=policy)(norm(x))
    keras.layers.ReLU(dtype=policy)(left)
    first, _ = keras.ops.split(keras.layers.Add(dtype=policy)([left, right, x]), 2, axis=-1)
    return keras.Model(frames, keras.layers.Multiply(dtype=policy)([first, first]))


@pytest.mark.parametrize("policy", [None, "mixed_bfloat16"])
def test_a_network_of_branches_is_answered_as_keras_does_alone_and_in_a_layer(policy):
    model = branches(policy)
    clips = np.random.default_rng(0).normal(size=(2, 3, 6, 6, 3)).astype("float32")
    expected = model.predict_on_batch(clips[0])
    (found,) = _backend.predict(model, [clips[0]])
    assert found.dtype == expected.dtype
    close(found, expected, 1e-6)
    inputs = keras.Input((None, 6, 6, 3))
    (found,) = _backend.predict(keras.Model(inputs, FrameWise(model)(inputs)), [clips])
    close(found[0], expected, 1e-2 if policy else 1e-5)


def test_masks_that_layers_hand_on_and_weights_that_became_whole_numbers_count():
    inputs = keras.Input((None, 5))
    x = keras.layers.Activation("tanh")(keras.layers.Dense(8)(keras.layers.Masking()(inputs)))
    x = keras.layers.Add()([x, keras.layers.Dropout(0.5)(x)])
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x)))
    padded, shorter = (np.ones((2, steps, 5), "float32") for steps in (6, 4))
    padded[:, 4:] = 0
    found, expected = (_backend.predict(model, [given])[0] for given in (padded, shorter))
    close(found, expected, 1e-6)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.quantize("int8")
    model.make_predict_function(force=True)
    close(_backend.predict(model, [padded])[0], model.predict_on_batch(padded), 1e-6)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="elsewhere a compiler sees to it")
def test_what_no_layer_needs_any_more_is_let_go():
    made, alive = [], []

    class Watch(keras.layers.Layer):
        def call(self, x):
            alive.append(sum(reference() is not None for reference in made))
            x = x + 1
            made.append(weakref.ref(x))
            return x

    x = inputs = keras.Input((4,))
    for _ in range(6):
        x = Watch()(x)
    model = keras.Model(inputs, x)
    made.clear(), alive.clear()
    _backend.predict(model, [np.zeros((2, 4), "float32")])
    assert len(alive) == 6 and max(alive) <= 2


def test_weights_that_changed_count():
    model = network()
    before = _backend.predict(model, batches(2))
    model.set_weights([weight + 0.1 for weight in model.get_weights()])
    after = _backend.predict(model, batches(2))
    assert np.abs(after[1] - before[1]).max() > 0.01
    np.testing.assert_allclose(after[1], model.predict_on_batch(batches(2)[1]), atol=1e-6)


@pytest.mark.usefixtures("garbage_of_this_test")
def test_a_model_is_not_kept_alive():
    model = network()
    _backend.predict(model, batches(2))
    gone = weakref.ref(model)
    del model
    keras.utils.clear_session(free_memory=False)
    gc.collect()
    assert gone() is None


def test_a_backend_without_other_devices_is_on_a_cpu(monkeypatch):
    for devices, expected in (
        (["cpu:0"], True),
        (["CPU:0"], True),
        (["cpu:0", "cuda:0"], False),
        (["gpu:0"], False),
    ):
        monkeypatch.setattr(_backend, "devices", lambda devices=devices: devices)
        assert _backend.on_cpu() is expected


@pytest.mark.parametrize("pixels", [1, 112**2, 224**2, 224**2 + 1, 5000**2])
def test_a_batch_has_no_more_pixels_than_a_cpu_takes_fast_and_on_a_gpu_as_many_frames_as_ever(
    monkeypatch, pixels
):
    most = {"jax": 2, "torch": 4, "tensorflow": 8}[keras.backend.backend()] * 224**2
    monkeypatch.setattr(_backend, "on_cpu", lambda: True)
    frames = _backend.frames_at_once(pixels)
    assert frames == 32 or (frames + 1) * pixels > most
    assert frames == 1 or frames * pixels <= most
    monkeypatch.setattr(_backend, "on_cpu", lambda: False)
    assert _backend.frames_at_once(pixels) == 32


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="threads of torch")
def test_a_small_network_is_trained_by_one_thread_and_a_large_one_by_all():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for inputs, threads in ((1 << 10, 1), (1 << 20, 2)):
            network = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(1)])
            with _backend.cores_for(network):
                assert torch.get_num_threads() == threads
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
