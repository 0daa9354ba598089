"""What every layer and every model must do: `check_layer`, `check_model` and the helpers they share."""

import contextlib
import inspect
import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_actrec import zoo
from keras_actrec.errors import UserError

# Compute type of a policy, and how far a result may be from float32's where no hard decision changes.
PRECISIONS = {
    "mixed_bfloat16": ("bfloat16", 4e-2),
    "mixed_float16": ("float16", 4e-3),
}
LARGE_STEP = 1e4  # so large that the smallest gradient moves its weight


@contextlib.contextmanager
def without_numbers():
    """What is built inside has shapes and no numbers, which take seconds to draw for a whole network."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session(free_memory=False)  # or the next model that is compiled draws them all


def numpy(structure):
    """Tensors as float32 NumPy arrays, in the same structure."""
    return keras.tree.map_structure(lambda x: ops.convert_to_numpy(ops.cast(x, "float32")), structure)


def close(actual, expected, tolerance=1e-5):
    """Asserts that two structures of tensors or arrays agree, relative to values around 1."""
    actual, expected = (keras.tree.flatten(numpy(x)) for x in (actual, expected))
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def randomize(layer, seed=0, scale=0.5):
    """Draws the trainable weights from NumPy: the same numbers on every backend."""
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(0, scale, weight.shape))
    return layer


def compiled(function):
    """The function in one piece on JAX, which else compiles every operation by itself: 30 ms each."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def gradients(loss, inputs, weights=()):
    """Gradients of the scalar `loss(*inputs)` by every input and every weight, as NumPy arrays."""
    inputs = [np.asarray(x, "float32") for x in inputs]
    return [np.asarray(grad) for grad in GRADIENTS[keras.backend.backend()](loss, inputs, list(weights))]


def _jax_gradients(loss, inputs, weights):
    import jax

    def stateless(inputs, values):
        with keras.StatelessScope(state_mapping=list(zip(weights, values, strict=True))):
            return loss(*inputs)

    gradient = jax.jit(jax.grad(stateless, argnums=(0, 1)))
    by_input, by_weight = gradient(inputs, [weight.value for weight in weights])
    return [*by_input, *by_weight]


def _torch_gradients(loss, inputs, weights):
    import torch

    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    sources = leaves + [weight.value for weight in weights]
    found = torch.autograd.grad(loss(*leaves), sources, allow_unused=True)
    pairs = zip(found, sources, strict=True)
    return [np.zeros(source.shape) if grad is None else grad.numpy() for grad, source in pairs]


def _tensorflow_gradients(loss, inputs, weights):
    import tensorflow as tf

    leaves = [tf.constant(x) for x in inputs]
    sources = leaves + [weight.value for weight in weights]
    with tf.GradientTape() as tape:
        tape.watch(leaves)
        total = loss(*leaves)
    return tape.gradient(total, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)


GRADIENTS = {"jax": _jax_gradients, "torch": _torch_gradients, "tensorflow": _tensorflow_gradients}


def slopes(function, value, step=1e-5):
    """Gradient of a scalar function by central differences."""
    value, found = np.array(value, "float64"), np.zeros(np.shape(value))
    for index in np.ndindex(value.shape):
        kept = value[index]
        value[index] = kept + step
        above = function(value)
        value[index] = kept - step
        found[index] = (above - function(value)) / (2 * step)
        value[index] = kept
    return found


def check_layer(make, inputs, tmp_path, *, weights, bad=None, time=False, pick=None, unmoved=()):
    """Asserts what every layer must do.

    Args:
        make: `make(**kwargs)` gives a new layer; the only argument that is used is `dtype`.
        inputs: the arguments of the layer's call, nested as there, batch first.
        tmp_path: a folder.
        weights: shapes of the weights by name below the layer.
        bad: a function that raises a UserError, and how the message starts; None where nothing can be wrong.
        time: whether the second axis of the first argument may be unknown.
        pick: takes what the loss sees from the outputs, all of them by default.
        unmoved: names of the weights that get no gradient from there.
    """
    inputs = keras.tree.map_structure(lambda x: np.asarray(x, "float32"), inputs)
    symbols = keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape), inputs)
    layer = make()
    symbolic = layer(*symbols)
    randomize(layer)
    eager = layer(*inputs)
    for symbol, tensor in zip(keras.tree.flatten(symbolic), keras.tree.flatten(eager), strict=True):
        assert symbol.shape == tuple(tensor.shape)
        assert symbol.dtype == keras.backend.standardize_dtype(tensor.dtype) == "float32"
    _check_weight_names(layer, weights)
    _check_config(make(), layer, symbols, inputs, eager)
    _check_samples(layer, inputs, eager)
    _check_unknown_shapes(layer, inputs, eager, time, tmp_path)
    _check_precisions(make, layer, symbols, inputs, eager)
    _check_gradient(layer, inputs, pick, unmoved)
    if bad is None:
        return
    function, message = bad
    with pytest.raises(UserError) as caught:
        function()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def _check_weight_names(layer, expected):
    found = {weight.path.removeprefix(f"{layer.path}/"): tuple(weight.shape) for weight in layer.weights}
    assert found == expected


def _check_config(fresh, layer, symbols, inputs, eager):
    config = fresh.get_config()
    arguments = inspect.signature(type(layer).__init__).parameters.values()
    named = {argument.name for argument in arguments if argument.kind is argument.POSITIONAL_OR_KEYWORD}
    assert named - {"self"} <= set(config)
    copy = type(layer).from_config(json.loads(json.dumps(config)))
    assert copy.get_config() == config
    copy(*symbols)
    copy.set_weights(layer.get_weights())
    close(copy(*inputs), eager, 0)


def _check_samples(layer, inputs, eager):
    """What the others of a batch are does not change a sample's result."""
    others = keras.tree.map_structure(lambda x: np.concatenate([x[:1], 1 - x[1:]]), inputs)
    for before, after in zip(keras.tree.flatten(eager), keras.tree.flatten(layer(*others)), strict=True):
        close(after[0], before[0], 1e-6)


def _check_unknown_shapes(layer, inputs, eager, time, tmp_path):
    """As a functional model with batch and, with `time`, steps unknown; the same after saving and loading."""
    flat = [keras.Input(x.shape[1:]) for x in keras.tree.flatten(inputs)]
    if time:
        flat[0] = keras.Input((None, *flat[0].shape[2:]))
    symbolic = keras.tree.pack_sequence_as(inputs, flat)
    model = keras.Model(list(symbolic), layer(*symbolic))
    outputs = model(list(inputs))
    close(outputs, eager, 1e-6)
    model.save(tmp_path / "layer.keras")
    close(keras.saving.load_model(tmp_path / "layer.keras")(list(inputs)), outputs, 0)


def _check_precisions(make, layer, symbols, inputs, eager):
    for policy, (dtype, tolerance) in PRECISIONS.items():
        other = make(dtype=policy)
        symbolic = other(*symbols)
        other.set_weights(layer.get_weights())
        assert {keras.backend.standardize_dtype(weight.dtype) for weight in other.weights} <= {"float32"}
        outputs = compiled(other)(*inputs)
        for each in (symbolic, outputs):
            dtypes = {keras.backend.standardize_dtype(x.dtype) for x in keras.tree.flatten(each)}
            assert dtypes == {dtype}, policy
        assert all(np.isfinite(x).all() for x in keras.tree.flatten(numpy(outputs))), policy
        close(outputs, eager, tolerance)


def _check_gradient(layer, inputs, pick, unmoved):
    """One compiled training step moves every trainable weight, but those in `unmoved`."""
    trainable = {weight.path.removeprefix(f"{layer.path}/") for weight in layer.trainable_weights}
    if trainable == set(unmoved):  # nothing to train: optimizers refuse that
        return
    # Eight times the batch: with noise, some sample takes every branch.
    inputs = keras.tree.map_structure(lambda x: np.tile(x, [8] + [1] * (x.ndim - 1)), inputs)
    symbolic = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:]), inputs)
    outputs = layer(*symbolic)
    outputs = keras.tree.flatten(pick(outputs) if pick else outputs)
    model = keras.Model(list(symbolic), outputs)
    rng, batch = np.random.default_rng(1), len(keras.tree.flatten(inputs)[0])
    targets = [rng.normal(size=(batch, *x.shape[1:])) for x in outputs]
    model.compile(keras.optimizers.SGD(LARGE_STEP), ["mse"] * len(outputs))
    before = layer.get_weights()
    model.train_on_batch(list(inputs), targets)
    moved = {
        weight.path.removeprefix(f"{layer.path}/")
        for weight, old in zip(layer.weights, before, strict=True)
        if np.any(ops.convert_to_numpy(weight) != old) and not weight.name.startswith("moving_")
    }
    assert moved == trainable - set(unmoved)


def spread(model, seed=0):
    """Draws the trainable weights from NumPy, scaled so that deep networks keep their signals in range."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        scale = 0.7 / np.sqrt(np.prod(weight.shape[:-1])) if len(weight.shape) > 1 else 0.3
        weight.assign(rng.normal(0, scale, weight.shape) + (weight.name == "gamma"))
    return model


def batch_of(name, arguments, count=4, masked=True):
    """Inputs of a model: `count` samples of four steps; with a mask, the first two have three of them."""
    rng = np.random.default_rng(0)
    shape = (count, 4, *arguments["input_shape"][1:])
    clips = zoo.spec(name).input == "clip"
    x = rng.normal(size=shape).astype("float32")
    if clips:  # around the mean pixel, for signals of about 1 behind the input scaling
        x += np.linspace(110, 120, count, dtype="float32").reshape(-1, 1, 1, 1, 1)
    if not masked:
        return x
    mask = np.ones((count, 4), bool)
    mask[:2, 3:] = False
    x[~mask] = 100.0
    return {"clip" if clips else "features": x, "mask": mask}


def check_model(name, arguments, tmp_path):
    """Asserts what every model must do, built by name for three classes.

    `arguments` make it small; `arguments["input_shape"]` is that of features or clips, T unknown where the
    model allows that.
    """
    maskable = zoo.spec(name).masked
    options = {**arguments, "masked": True} if maskable else arguments
    inputs = batch_of(name, arguments, masked=maskable)

    model = spread(zoo.build(name, 3, **options))
    assert model.name == name and not model.compiled
    kind = zoo.spec(name).input_name
    expected = {kind: (None, *arguments["input_shape"])} | ({"mask": (None, None)} if maskable else {})
    assert {tensor.name: tensor.shape for tensor in model.inputs} == expected
    assert model.output_shape == (None, 3)
    answer = model.predict_on_batch(inputs)
    close(answer.sum(-1), np.ones(4), 1e-5)
    assert np.ptp(answer, axis=0).max() > 1e-4  # samples are told apart

    if maskable:  # padding with its mask is the shorter clip
        plain = zoo.build(name, 3, **arguments)
        plain.set_weights(model.get_weights())
        close(answer[:2], plain.predict_on_batch(inputs[kind][:2, :3]), 1e-5)

    if zoo.spec(name).per_step:
        steps = zoo.build(name, 3, return_sequences=True, **options)
        steps.set_weights(model.get_weights())
        every, mask = steps.predict_on_batch(inputs), inputs["mask"]
        assert every.shape == (4, 4, 3)
        close(answer, (every * mask[..., None]).sum(1) / mask.sum(1, keepdims=True), 1e-5)

    features = keras.Model(model.input, model.get_layer("classifier").input)
    assert None not in features.output_shape[-1:] and features.count_params() < model.count_params()

    model.save(tmp_path / "model.keras")
    close(keras.saving.load_model(tmp_path / "model.keras").predict_on_batch(inputs), answer, 1e-6)

    for count in (1, 0, -3, 2.5, True):
        with pytest.raises(
            UserError, match="^`num_classes` must be a whole number from 2 to 65536. Received"
        ):
            zoo.build(name, count, **arguments)
    wrong = f"^{name} has no argument 'input_shapes'; did you mean 'input_shape'\\?$"
    with pytest.raises(UserError, match=wrong):
        zoo.build(name, 3, input_shapes=())


def check_parameters(name, arguments, parameters):
    """Asserts the number of trainable parameters, and that a compiled step moves every weight they are in."""
    maskable = zoo.spec(name).masked
    options = {**arguments, "masked": True} if maskable else arguments
    model = spread(zoo.build(name, 3, **options))
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(LARGE_STEP), "sparse_categorical_crossentropy")
    model.train_on_batch(batch_of(name, arguments, 8, maskable), np.arange(8) % 3)
    pairs = zip(model.weights, before, strict=True)
    moved = {weight.path for weight, old in pairs if np.any(ops.convert_to_numpy(weight) != old)}
    # A softmax does not see the bias of its keys.
    assert {w.path for w in model.trainable_weights if w.name != "key_bias"} <= moved


def check_mixed_precision(name, arguments, policy):
    """Asserts that a model says it answers in float32, and learns, under a policy of mixed precision."""
    keras.config.set_dtype_policy(policy)
    try:
        model = zoo.build(name, 3, **arguments)
        x = batch_of(name, arguments, masked=False)
        assert model.output.dtype == "float32"
        assert model.get_layer("classifier").dtype_policy.name == "float32"
        model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
        before = model.get_weights()
        assert np.isfinite(model.train_on_batch(x, np.arange(4) % 3))
        after = model.get_weights()
        assert any(np.any(new != old) for new, old in zip(after, before, strict=True))
        assert all(np.isfinite(weight).all() for weight in after)
    finally:
        keras.config.set_dtype_policy("float32")
