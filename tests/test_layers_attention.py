"""The three attentions over locations, against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, gradients, numpy, randomize
from keras_actrec.errors import UserError
from keras_actrec.layers import GumbelHardAttention, ReinforceAttention, SoftAttention

BATCH, LOCATIONS, CHANNELS, QUERY = 3, 4, 5, 2
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(BATCH, LOCATIONS, CHANNELS)).astype("float32")
ASKED = RNG.normal(size=(BATCH, QUERY)).astype("float32")
NOISE = RNG.gumbel(size=(BATCH, LOCATIONS)).astype("float32")
PROBE = RNG.normal(size=(BATCH, CHANNELS)).astype("float32")
ATTENTIONS = (SoftAttention, GumbelHardAttention, ReinforceAttention)


def made(layer, seed=0):
    layer.build(FEATURES.shape, ASKED.shape)
    return randomize(layer, seed, scale=1.0)


def weight(layer, name):
    (found,) = (weight for weight in layer.weights if weight.name == name)
    return ops.convert_to_numpy(found)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


QUERY_WEIGHTS = {"kernel": (QUERY, LOCATIONS)}
CONTENT_WEIGHTS = {
    "content_kernel": (CHANNELS, 6),
    "content_bias": (6,),
    "kernel": (QUERY, 6),
    "score_kernel": (6, 1),
}
TEMPERATURE_WEIGHTS = {"temperature_kernel": (QUERY, 1), "temperature_bias": (1,)}


@pytest.mark.graphs
@pytest.mark.parametrize("content", [False, True])
def test_soft_attention_does_what_every_layer_must(content, tmp_path):
    arguments = {"content": True, "content_units": 6} if content else {}
    check_layer(
        lambda **kwargs: SoftAttention(**arguments, **kwargs),
        (FEATURES, ASKED),
        tmp_path,
        weights=CONTENT_WEIGHTS if content else QUERY_WEIGHTS,
        bad=(lambda: SoftAttention(content_units=3), "`content_units` needs `content=True`. Received: "),
    )


@pytest.mark.graphs
@pytest.mark.parametrize("temperature", ["adaptive", 0.5])
def test_gumbel_hard_attention_does_what_every_layer_must(temperature, tmp_path):
    own = TEMPERATURE_WEIGHTS if temperature == "adaptive" else {"temperature": ()}
    check_layer(
        lambda **kwargs: GumbelHardAttention(temperature, **kwargs),
        (FEATURES, ASKED, NOISE),
        tmp_path,
        weights=QUERY_WEIGHTS | own,
        bad=(lambda: GumbelHardAttention(0), '`temperature` must be "adaptive" or positive. Received: '),
    )


@pytest.mark.graphs
def test_reinforce_attention_does_what_every_layer_must(tmp_path):
    check_layer(
        ReinforceAttention,
        (FEATURES, ASKED, NOISE),
        tmp_path,
        weights=QUERY_WEIGHTS,
        unmoved=["kernel"],  # the choice has no gradient
        bad=(
            lambda: ReinforceAttention(content=True, content_units=0),
            "`content_units` must be a whole number from 1 to 65536",
        ),
    )


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("shape", [(None, None, CHANNELS), (None, 2, 2, CHANNELS)])
def test_the_number_of_locations_must_be_known(attention, shape):
    with pytest.raises(UserError, match="^`features` must be \\(batch, locations, channels\\)"):
        attention().build(shape, ASKED.shape)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_scores_come_beside_the_context_in_symbols_too(attention):
    layer = attention()
    inputs = keras.Input(FEATURES.shape[1:]), keras.Input((QUERY,)), keras.Input((LOCATIONS,))
    model = keras.Model(inputs, layer(*inputs, return_attention_scores=True))
    assert [x.shape for x in model.outputs] == [(None, CHANNELS), (None, LOCATIONS)]
    context, scores = model([FEATURES, ASKED, NOISE])
    close(scores, layer(FEATURES, ASKED, NOISE, return_attention_scores=True)[1], 1e-6)
    close(context, np.einsum("bn,bnd->bd", numpy(scores), FEATURES), 1e-5)


def test_soft_attention_is_the_mean_under_the_softmax_of_the_query():
    layer = made(SoftAttention())
    alpha = softmax(ASKED @ weight(layer, "kernel"))
    context, scores = layer(FEATURES, ASKED, return_attention_scores=True)
    close(scores, alpha)
    close(context, (alpha[:, :, None] * FEATURES).sum(1))


def test_soft_attention_takes_no_noise():
    layer = made(SoftAttention())
    assert layer.noise_size == 0
    close(layer(FEATURES, ASKED, NOISE), layer(FEATURES, ASKED), 0)


def test_content_attention_is_the_released_form():
    # a_n = u . tanh(x_n V + b + h W), location by location
    layer = made(SoftAttention(content=True))
    kernel, bias, asks, score = (
        weight(layer, name) for name in ("content_kernel", "content_bias", "kernel", "score_kernel")
    )
    logits = np.zeros((BATCH, LOCATIONS))
    for b in range(BATCH):
        for n in range(LOCATIONS):
            logits[b, n] = np.tanh(FEATURES[b, n] @ kernel + bias + ASKED[b] @ asks) @ score[:, 0]
    assert kernel.shape == (CHANNELS, CHANNELS)  # as wide as the features, as released
    close(layer(FEATURES, ASKED, return_attention_scores=True)[1], softmax(logits))


@pytest.mark.parametrize("temperature", ["adaptive", 0.5])
def test_gumbel_attention_looks_at_exactly_the_location_with_the_largest_noisy_logit(temperature):
    layer = made(GumbelHardAttention(temperature))
    best = (ASKED @ weight(layer, "kernel") + NOISE).argmax(-1)
    context, scores = layer(FEATURES, ASKED, NOISE, return_attention_scores=True)
    close(scores, np.eye(LOCATIONS)[best], 0)
    close(context, FEATURES[np.arange(BATCH), best], 0)


@pytest.mark.parametrize("attention", [GumbelHardAttention, ReinforceAttention])
def test_hard_attention_without_noise_takes_the_most_probable_location(attention):
    layer = made(attention(), seed=1)
    best = (ASKED @ weight(layer, "kernel")).argmax(-1)
    assert np.any(best != (ASKED @ weight(layer, "kernel") + NOISE).argmax(-1))  # the noise would matter
    close(layer(FEATURES, ASKED, return_attention_scores=True)[1], np.eye(LOCATIONS)[best], 0)


def test_the_temperature_does_not_change_the_choice_even_where_scores_underflow():
    layer = made(GumbelHardAttention(1e-6))
    layer.constant_temperature.assign(1e-30)
    layer.kernel.assign([[0.0, 1.0, 3.0, 2.0]] * QUERY)
    asked, noise = np.ones_like(ASKED), np.zeros_like(NOISE)
    _, scores = layer(FEATURES, asked, noise, return_attention_scores=True)
    close(scores, np.eye(LOCATIONS)[[2, 2, 2]], 0)


def test_the_adaptive_temperature_is_one_over_one_plus_softplus():
    layer = made(GumbelHardAttention())
    level = ASKED @ weight(layer, "temperature_kernel") + weight(layer, "temperature_bias")
    expected = 1 / (np.log1p(np.exp(level)) + 1)
    found = layer.temperature_of(ASKED)
    assert found.shape == (BATCH, 1)
    close(found, expected, 1e-6)
    assert np.all((numpy(found) > 0) & (numpy(found) < 1))


def test_a_constant_temperature_is_the_weight_of_that_name():
    layer = made(GumbelHardAttention(0.5))
    layer.constant_temperature.assign(0.25)
    close(layer.temperature_of(ASKED), np.full((BATCH, 1), 0.25), 0)
    assert layer.constant_temperature.name == "temperature" and not layer.constant_temperature.trainable


@pytest.mark.parametrize("temperature", ["adaptive", 0.5])
def test_the_gradient_of_gumbel_attention_is_that_of_the_soft_scores(temperature):
    layer = made(GumbelHardAttention(temperature))

    def loss(features, query):
        return ops.sum(ops.multiply(layer(features, query, NOISE), PROBE))

    found = gradients(loss, [FEATURES, ASKED], layer.trainable_weights)

    # By hand: y = softmax(s / tau), s = h W + g, dL/dy_n = x_n . probe.
    kernel = weight(layer, "kernel")
    s = ASKED @ kernel + NOISE
    tau = numpy(layer.temperature_of(ASKED))
    y, dy = softmax(s / tau), FEATURES @ PROBE[:, :, None]
    dy = dy[:, :, 0]
    d_ratio = y * (dy - (y * dy).sum(-1, keepdims=True))
    d_query = d_ratio / tau @ kernel.T
    d_features = np.eye(LOCATIONS)[s.argmax(-1)][:, :, None] * PROBE[:, None]
    expected = [d_features, d_query, ASKED.T @ (d_ratio / tau)]
    if temperature == "adaptive":
        level = ASKED @ weight(layer, "temperature_kernel") + weight(layer, "temperature_bias")
        d_tau = (d_ratio * -s / tau**2).sum(-1, keepdims=True)
        d_level = d_tau * -(tau**2) * sigmoid(level)
        expected[1] = d_query + d_level @ weight(layer, "temperature_kernel").T
        expected += [ASKED.T @ d_level, d_level.sum(0)]
    for a, b in zip(found, expected, strict=True):
        close(a, b, 1e-4)


def test_log_prob_is_that_of_the_drawn_location_and_trains_the_kernel():
    layer = made(ReinforceAttention())

    def log_prob(query):
        _, scores, trace = layer.attend(ops.convert_to_tensor(FEATURES), query, NOISE)
        assert trace["log_prob"].shape == (BATCH, 1)
        return trace["log_prob"]

    logits = ASKED @ weight(layer, "kernel")
    drawn = np.eye(LOCATIONS)[(logits + NOISE).argmax(-1)]
    expected = np.log((softmax(logits) * drawn).sum(-1, keepdims=True))
    close(log_prob(ops.convert_to_tensor(ASKED)), expected)
    _, by_kernel = gradients(lambda query: ops.sum(log_prob(query)), [ASKED], layer.trainable_weights)
    close(by_kernel, ASKED.T @ (drawn - softmax(logits)), 1e-4)


def test_reinforce_attention_gives_its_kernel_no_gradient_through_the_choice():
    layer = made(ReinforceAttention())
    by_features, by_query, by_kernel = gradients(
        lambda features, query: ops.sum(ops.multiply(layer(features, query, NOISE), PROBE)),
        [FEATURES, ASKED],
        layer.trainable_weights,
    )
    assert np.any(by_features) and not np.any(by_query) and not np.any(by_kernel)


@pytest.mark.parametrize("attention", [GumbelHardAttention, ReinforceAttention])
def test_the_drawn_locations_follow_the_softmax(attention):
    draws = 20_000
    layer = attention()
    layer.build((draws, LOCATIONS, 1), (draws, 1))
    logits = np.array([[1.0, 0.0, -1.0, 0.5]])
    layer.kernel.assign(logits)
    noise = layer.draw_noise((draws,), keras.random.SeedGenerator(0))
    assert noise.shape == (draws, layer.noise_size)
    query, features = np.ones((draws, 1), "float32"), np.zeros((draws, LOCATIONS, 1), "float32")
    scores = numpy(layer(features, query, noise, return_attention_scores=True)[1])
    p = softmax(logits)[0]
    # Four standard deviations of a binomial share: less than one failure in ten thousand seeds.
    np.testing.assert_array_less(np.abs(scores.mean(0) - p), 4 * np.sqrt(p * (1 - p) / draws))


def test_gumbel_noise_has_the_mean_and_variance_of_the_gumbel_distribution():
    layer = made(GumbelHardAttention())
    noise = numpy(layer.draw_noise((50, 100), keras.random.SeedGenerator(1)))
    assert noise.shape == (50, 100, LOCATIONS)
    assert abs(noise.mean() - 0.5772) < 0.04  # deviation of the mean: 1.28 / sqrt(20000) = .009
    assert abs(noise.var() - np.pi**2 / 6) < 0.12
