"""Optimizers: against the formulas in NumPy, by hand, in `fit`, saved; and which one [train] names."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_actrec.errors import UserError
from keras_actrec.training import RPROP, SGD, AdamL2, RMSpropL2, parse_recipe
from keras_actrec.training.optimizers import optimizer_of
from keras_actrec.training.tables import counted

KINDS = {"rprop": RPROP, "sgd": SGD, "adam": AdamL2}
L2_KINDS = (SGD, AdamL2, RMSpropL2)


def walk(optimizer, gradients, start, rates=None):
    """Where a weight is after each of the gradients `(n, ...)`."""
    weight = keras.Variable(np.asarray(start, "float32"))
    places = []
    for index, gradient in enumerate(gradients):
        if rates is not None:
            optimizer.learning_rate = rates[index]
        optimizer.apply([ops.convert_to_tensor(np.asarray(gradient, "float32"))], [weight])
        places.append(np.array(ops.convert_to_numpy(weight)))
    return np.array(places)


def rprop_in_numpy(gradients, start, step, minus=0.5, plus=1.2, least=1e-6, most=50.0):
    weight, steps, before = (
        np.array(start, "float64"),
        np.full(np.shape(start), step),
        np.zeros(np.shape(start)),
    )
    places = []
    for gradient in np.array(gradients, "float64"):
        for i in np.ndindex(gradient.shape):
            if gradient[i] * before[i] > 0:
                steps[i] = min(steps[i] * plus, most)
            elif gradient[i] * before[i] < 0:
                steps[i] = max(steps[i] * minus, least)
                gradient[i] = 0
            weight[i] -= np.sign(gradient[i]) * steps[i]
        before = gradient
        places.append(weight.copy())
    return np.array(places)


def test_rprop_by_hand():
    # 0.1, longer by 1.2, a turn: rest with half the step, go on with it, a gradient of 0 rests and forgets
    places = walk(RPROP(0.1), [[3.0], [0.2], [-5.0], [-1.0], [0.0], [-1.0], [-1.0]], [1.0])
    np.testing.assert_allclose(places[:, 0], [0.9, 0.78, 0.78, 0.84, 0.84, 0.9, 0.972], atol=1e-6)


def test_rprop_is_the_formula_over_many_updates():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(60, 4, 5)) + 0.5 * np.sin(np.arange(60))[:, None, None]
    start = rng.normal(size=(4, 5))
    expected = rprop_in_numpy(gradients, start, 0.01)
    np.testing.assert_allclose(walk(RPROP(0.01), gradients, start), expected, atol=1e-5)
    assert np.abs(expected[-1] - expected[0]).max() > 0.05


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        # 0.1 and 0.12 down; a turn takes the 0.12 back, and the step is 0.06; down by it, and by 0.072
        ("rprop+", [0.9, 0.78, 0.9, 0.84, 0.768]),
        # the turn goes back by the shorter step at once, the next turn by 0.03, then down by 0.036
        ("rprop-", [0.9, 0.78, 0.84, 0.81, 0.774]),
    ],
)
def test_rprops_variants_by_hand_where_a_gradient_turns(variant, expected):
    places = walk(RPROP(0.1, variant=variant), [[3.0], [0.2], [-5.0], [1.0], [2.0]], [1.0])
    np.testing.assert_allclose(places[:, 0], expected, atol=1e-6)


def test_rprops_steps_stay_between_the_shortest_and_the_longest():
    long = walk(RPROP(0.1, max_step=0.15), np.ones((5, 1)), [0.0])
    np.testing.assert_allclose(np.diff(long[:, 0], prepend=0), [-0.1, -0.12, -0.144, -0.15, -0.15], rtol=1e-5)
    turns = [[1.0], [-1.0], [-1.0], [1.0], [1.0]]  # 0.1, rest, 0.06, rest, 0.06
    short = walk(RPROP(0.1, min_step=0.06), turns, [0.0])
    np.testing.assert_allclose(short[:, 0], [-0.1, -0.1, -0.04, -0.04, -0.1], atol=1e-6)


def test_rprop_sees_the_sign_of_gradients_whose_product_is_below_float32():
    places = walk(RPROP(0.1), np.full((2, 1), 1e-30), [0.0])
    np.testing.assert_allclose(places[:, 0], [-0.1, -0.22], rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"learning_rate": 0}, "`learning_rate` must be a number from `min_step`, 1e-06"),
        ({"learning_rate": 51.0}, "to `max_step`, 50.0. Received: learning_rate=51.0"),
        ({"min_step": 0}, "`min_step`, 0, which is above 0"),
        ({"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 5)}, "must be a number"),
        ({"eta_minus": 1.0}, "`eta_minus` must be in (0, 1) and `eta_plus` above 1. Received: eta_minus=1.0"),
        ({"eta_plus": 0.9}, "eta_plus=0.9"),
        ({"variant": "rprop"}, "`variant` must be one of irprop-, rprop+, rprop-. Received: variant='rprop'"),
    ],
)
def test_rprop_refuses_what_is_out_of_range(arguments, message):
    with pytest.raises(UserError) as caught:
        RPROP(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", L2_KINDS)
def test_a_negative_weight_decay_is_refused(kind):
    with pytest.raises(UserError, match="`l2` must be at least 0. Received: l2=-1"):
        kind(l2=-1)


def sgd_in_numpy(gradients, start, rates, momentum, nesterov, l2):
    weight, velocity, places = np.array(start, "float64"), 0, []
    for gradient, rate in zip(gradients, rates, strict=True):
        gradient = gradient + l2 * weight
        velocity = momentum * velocity + gradient
        weight = weight - rate * (gradient + momentum * velocity if nesterov else velocity)
        places.append(weight)
    return np.array(places)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_pytorchs_formula_also_where_the_learning_rate_drops(momentum, nesterov):
    gradients = np.random.default_rng(0).normal(size=(20, 5))
    start, rates = np.ones(5), [0.1] * 8 + [0.01] * 12
    expected = sgd_in_numpy(gradients, start, rates, momentum, nesterov, 0.05)
    optimizer = SGD(0.1, momentum=momentum, nesterov=nesterov, l2=0.05)
    np.testing.assert_allclose(walk(optimizer, gradients, start, rates), expected, atol=1e-6)


def test_sgd_without_gradient_shrinks_weights_by_the_rate_and_then_faster():
    places = walk(SGD(0.1, momentum=0.5, l2=0.2), np.zeros((2, 1)), [1.0])
    # v = 0.2, w = 0.98; v = 0.1 + 0.196 = 0.296, w = 0.9504
    np.testing.assert_allclose(places[:, 0], [0.98, 0.9504], rtol=1e-6)


@pytest.mark.parametrize(
    "kind, plain", [(AdamL2, keras.optimizers.Adam), (RMSpropL2, keras.optimizers.RMSprop)]
)
def test_weight_decay_in_the_gradient_is_the_plain_optimizer_on_that_gradient(kind, plain):
    gradients = np.random.default_rng(0).normal(size=(15, 3))
    weight = keras.Variable(np.ones(3, "float32"))
    reference, places = plain(0.01), []
    for gradient in gradients.astype("float32"):
        full = gradient + 0.1 * ops.convert_to_numpy(weight)
        reference.apply([ops.convert_to_tensor(full)], [weight])
        places.append(np.array(ops.convert_to_numpy(weight)))
    np.testing.assert_allclose(walk(kind(0.01, l2=0.1), gradients, np.ones(3)), places, atol=1e-6)


def test_the_decay_is_added_after_clipping():
    places = walk(SGD(0.1, l2=0.5, global_clipnorm=1.0), [[30.0, 40.0]], [2.0, 0.0])
    np.testing.assert_allclose(places[0], [2 - 0.1 * (0.6 + 1), -0.1 * 0.8], rtol=1e-6)


def problem():
    """A regression and a model with a kernel and a bias, always the same."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(24, 4)).astype("float32")
    y = x @ rng.normal(size=(4, 3)).astype("float32") + 1
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)])
    model.set_weights([0.5 * rng.normal(size=weight.shape) for weight in model.weights])
    return model, x, y


def fitted(optimizer, batch_size, epochs, policy="float32"):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model, x, y = problem()
    finally:
        keras.config.set_dtype_policy(before)
    model.compile(optimizer=optimizer, loss="mse")
    history = model.fit(x, y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0)
    return model, history.history["loss"]


@pytest.mark.parametrize("name", ["rprop", "sgd"])
def test_batches_accumulated_to_the_whole_give_the_same_weights_as_the_whole(name):
    """Jitted by `fit`: 4 batches of 6 are 1 batch of 24; the mean of the gradients is that of the batch."""
    parts, _ = fitted(KINDS[name](0.01, gradient_accumulation_steps=4), 6, 8)
    whole, _ = fitted(KINDS[name](0.01), 24, 8)
    start, _, _ = problem()
    for ours, theirs, first in zip(parts.weights, whole.weights, start.weights, strict=True):
        ours, theirs, first = (ops.convert_to_numpy(each) for each in (ours, theirs, first))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert np.abs(theirs - first).max() > 0.01


def test_gradients_that_an_epoch_leaves_over_are_taken_into_the_next_one():
    """4 batches an epoch, an update every 3: 3 epochs are 4 updates, the same as 12 batches in a row."""
    model, _ = fitted(SGD(0.01, gradient_accumulation_steps=3), 6, 3)
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 4
    other, x, y = problem()
    other.compile(optimizer=SGD(0.01, gradient_accumulation_steps=3), loss="mse")
    other.fit(np.tile(x, (3, 1)), np.tile(y, (3, 1)), batch_size=6, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["rprop", "sgd"])
def test_training_lowers_the_loss_in_half_precision(name, policy):
    _, losses = fitted(KINDS[name](0.01), 24, 12, policy)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", ["rprop", "sgd", "adam"])
def test_an_optimizer_is_saved_with_the_model_and_goes_on_as_if_nothing_had_been(name, tmp_path):
    extra = {} if name == "rprop" else {"l2": 0.1}
    model, _ = fitted(KINDS[name](0.01, **extra), 24, 3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert (
        type(again.optimizer) is KINDS[name] and again.optimizer.get_config() == model.optimizer.get_config()
    )
    _, x, y = problem()
    for each in (model, again):
        each.fit(x, y, batch_size=24, epochs=3, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def table(**train):
    return parse_recipe({"model": {"name": "hman"}, "train": train}).train


def made(batches=100, weights=(), **train):
    return optimizer_of(table(**train), batches, weights)


@pytest.mark.parametrize(
    "train, kind, attributes",
    [
        (
            {},
            keras.optimizers.Adam,
            {"clipnorm": None, "gradient_accumulation_steps": None, "use_ema": False},
        ),
        ({"clipnorm": 1.0}, keras.optimizers.Adam, {"clipnorm": 1.0}),
        ({"global_clipnorm": 20.0}, keras.optimizers.Adam, {"global_clipnorm": 20.0, "clipnorm": None}),
        ({"clipvalue": 0.5}, keras.optimizers.Adam, {"clipvalue": 0.5}),
        ({"weight_decay": 1e-5}, AdamL2, {"l2": 1e-5, "weight_decay": None}),
        ({"optimizer": "sgd"}, SGD, {"momentum": 0.9, "nesterov": False, "l2": 0.0}),
        (
            {"optimizer": "sgd", "momentum": 0, "nesterov": True, "weight_decay": 5e-4},
            SGD,
            {"momentum": 0.0, "nesterov": True, "l2": 5e-4, "weight_decay": None},
        ),
        ({"optimizer": "rmsprop"}, keras.optimizers.RMSprop, {"rho": 0.9}),
        ({"optimizer": "rmsprop", "weight_decay": 0.1}, RMSpropL2, {"l2": 0.1}),
        ({"optimizer": "adamw"}, keras.optimizers.AdamW, {"weight_decay": 0.004}),
        ({"optimizer": "adamw", "weight_decay": 0.01}, keras.optimizers.AdamW, {"weight_decay": 0.01}),
        ({"optimizer": "rprop", "learning_rate": 0.1}, RPROP, {"initial_step": 0.1, "eta_plus": 1.2}),
        ({"ema": 0.99}, keras.optimizers.Adam, {"use_ema": True, "ema_momentum": 0.99}),
        ({"accumulate": 4}, keras.optimizers.Adam, {"gradient_accumulation_steps": 4}),
        ({"accumulate": 0.1}, keras.optimizers.Adam, {"gradient_accumulation_steps": 10}),
        ({"accumulate": 0.01}, keras.optimizers.Adam, {"gradient_accumulation_steps": None}),
    ],
)
def test_the_recipe_names_the_optimizer_and_its_arguments(train, kind, attributes):
    optimizer = made(**train)
    assert isinstance(optimizer, kind) and isinstance(optimizer, L2_KINDS) == (kind in L2_KINDS)
    assert {name: getattr(optimizer, name) for name in attributes} == attributes
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(
        train.get("learning_rate", 1e-4)
    )


@pytest.mark.parametrize(
    "accumulate, batches, steps",
    [(1, 10, 1), (7, 10, 7), (3.0, 10, 3), (0.1, 100, 10), (0.01, 954, 10), (0.01, 30, 1), (0.5, 3, 2)],
)
def test_a_share_of_the_data_is_so_many_batches(accumulate, batches, steps):
    assert counted(accumulate, batches) == steps and isinstance(counted(accumulate, batches), int)


@pytest.mark.parametrize("decay, shrunk", [("all", {"kernel", "bias", "gamma"}), ("kernels", {"kernel"})])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_decay_spares_biases_and_normalizations_where_the_recipe_says_kernels(optimizer, decay, shrunk):
    names = {"kernel": (2, 2), "bias": (2, 6), "gamma": (2,)}  # the bias of Keras's GRU is a matrix
    weights = [keras.Variable(np.ones(shape), name=name) for name, shape in names.items()]
    train = {"optimizer": optimizer, "weight_decay": 0.5, "decay": decay, "learning_rate": 0.1}
    optimizer = made(weights=weights, **train)
    optimizer.apply([ops.zeros(weight.shape) for weight in weights], weights)
    moved = {weight.name for weight in weights if np.all(ops.convert_to_numpy(weight) < 0.999)}
    assert moved == shrunk


PACED = [
    {"optimizer": "adam"},
    {"optimizer": "adam", "weight_decay": 0.1},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "sgd", "weight_decay": 0.1},
    {"optimizer": "rmsprop"},
    {"optimizer": "rmsprop", "weight_decay": 0.1},
]


def walks(optimizer, gradients, weights):
    """Where weights are after each of the gradients `(n, w, 3)`, `(n, w, 3)`."""
    places = []
    for each in np.asarray(gradients, "float32"):
        optimizer.apply([ops.convert_to_tensor(gradient) for gradient in each], weights)
        places.append([np.array(ops.convert_to_numpy(weight)) for weight in weights])
    return np.array(places)


def paced(train, gradients, batches=4, **extra):
    """Of two weights the first one is the backbone's."""
    weights = [keras.Variable(np.ones(3, "float32")) for _ in range(2)]
    settings = table(learning_rate=0.01, schedule="constant", epochs=10, **train, **extra)
    return walks(optimizer_of(settings, batches, weights, weights[:1]), gradients, weights)


@pytest.mark.parametrize("train", PACED, ids=str)
def test_a_backbone_with_a_rate_of_its_own_is_one_of_an_optimizer_of_that_rate(train):
    gradients = np.random.default_rng(0).normal(size=(12, 2, 3))
    found = paced(train, gradients, backbone_rate=0.1)
    for number, rate in ((0, 0.001), (1, 0.01)):
        weight = keras.Variable(np.ones(3, "float32"))
        plain = made(learning_rate=rate, schedule="constant", **train)
        expected = walks(plain, gradients[:, [number]], [weight])
        np.testing.assert_allclose(found[:, number], expected[:, 0], atol=1e-6)
        assert np.abs(expected[-1] - 1).max() > rate


@pytest.mark.parametrize("train", PACED, ids=str)
def test_a_backbone_that_is_frozen_stands_still_to_the_bit_and_then_is_trained(train):
    """For 2 epochs of 4 batches; the other weight is that of an optimizer of its own."""
    gradients = np.random.default_rng(0).normal(size=(12, 2, 3))
    for wait in (2, 0.2):
        found = paced(train, gradients, unfreeze_after=wait)
        assert (found[:8, 0] == 1).all() and np.abs(found[8, 0] - 1).min() > 1e-4
        weight = keras.Variable(np.ones(3, "float32"))
        expected = walks(made(learning_rate=0.01, schedule="constant", **train), gradients[:, [1]], [weight])
        np.testing.assert_allclose(found[:, 1], expected[:, 0], atol=1e-6)


def test_the_first_steps_of_an_unfrozen_backbone_are_those_of_adams_formula():
    gradients = np.random.default_rng(0).normal(size=(12, 2, 3))
    found = paced({}, gradients, unfreeze_after=2)
    m = v = 0.0
    weight = np.ones(3)
    for number, gradient in enumerate(gradients[:, 0]):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        step = m / (1 - 0.9 ** (number + 1)) / (np.sqrt(v / (1 - 0.999 ** (number + 1))) + 1e-7)
        weight = weight - (0.01 if number >= 8 else 0) * step
        np.testing.assert_allclose(found[number, 0], weight, atol=1e-5)


def test_accumulated_batches_that_end_behind_the_wait_move_the_backbone():
    """Updates at the batches 2, 5, 8 and 11 (from 0); the first 4 are frozen, so 5 is the first to move."""
    found = paced({"optimizer": "sgd"}, np.ones((12, 2, 3)), accumulate=3, unfreeze_after=1)
    assert (found[:5, 0] == 1).all() and (found[5, 0] < 1).all() and (found[2, 1] < 1).all()


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_model_is_fitted_with_a_slow_and_late_first_layer(policy):
    """24 samples are 4 batches an epoch; the loss scale of half precision is around the optimizer."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model, x, y = problem()
    finally:
        keras.config.set_dtype_policy(before)
    settings = table(learning_rate=0.01, epochs=3, unfreeze_after=1, backbone_rate=0.01)
    slow = model.layers[0].trainable_weights
    model.compile(optimizer_of(settings, 4, model.trainable_weights, slow), loss="mse")
    start = [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]
    model.fit(x, y, batch_size=6, epochs=1, verbose=0)
    first = [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]
    assert [bool(np.any(a != b)) for a, b in zip(start, first, strict=True)] == [False, False, True, True]
    model.fit(x, y, batch_size=6, epochs=2, verbose=0)
    last = [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]
    moved = [np.abs(a - b).max() for a, b in zip(first, last, strict=True)]
    assert 0 < max(moved[:2]) <= 8 * 1.5e-4 and min(moved[2:]) > 1e-2
