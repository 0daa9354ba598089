"""The hierarchical multi-scale cell and layer, against NumPy written from the papers' equations."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, compiled, gradients, numpy, randomize
from keras_actrec import _backend
from keras_actrec.errors import UserError
from keras_actrec.layers import HMRNN, HMRNNCell

BATCH, TIME, CHANNELS, UNITS = 3, 4, 5, 2
RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(BATCH, TIME, CHANNELS)).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def linear(x):
    return x


def hard(logits):
    return (logits >= 0).astype("float64")


class StraightThrough:
    """`hard` going forward; moves as `sigmoid(logit / temperature)` does around the logits of the first run.

    So finite differences of a function that uses it are the gradient that straight-through declares.
    """

    def __init__(self, temperature):
        self.temperature, self.first, self.position = temperature, [], None

    def __call__(self, logits):
        if self.position is None:
            self.first.append(logits)
            return hard(logits)
        first = self.first[self.position]
        self.position += 1
        return hard(first) + sigmoid(logits / self.temperature) - sigmoid(first / self.temperature)

    def again(self):
        self.position = 0
        return self


class Reference:
    """HM-RNN in float64. `weights` by name; `detectors[l]` is how many boundary detectors layer l has."""

    def __init__(self, weights, widths, detectors, activation=np.tanh, detect=hard):
        self.weights, self.widths, self.detectors = weights, widths, detectors
        self.activation, self.detect = activation, detect

    def start(self, batch):
        h = [np.zeros((batch, width)) for width in self.widths]
        return h, [part.copy() for part in h], [np.zeros((batch, size)) for size in self.detectors]

    def step(self, x, state, noise=None):
        h_old, c_old, z_old = state
        h_new, c_new, z_new = [], [], []
        for index, width in enumerate(self.widths):
            number, top = index + 1, index + 1 == len(self.widths)
            below, z_below = (x, 1.0) if index == 0 else (h_new[-1], z_new[-1])
            z = z_old[index] if self.detectors[index] else 0.0
            s = (z_below * below) @ self.weights[f"kernel_{number}"]
            s = s + h_old[index] @ self.weights[f"recurrent_kernel_{number}"] + self.weights[f"bias_{number}"]
            if not top:
                s = s + (z * h_old[index + 1]) @ self.weights[f"top_down_kernel_{number}"]
            i, f, o, g = (s[:, k * width : (k + 1) * width] for k in range(4))
            i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
            flush, update, copy = z, (1 - z) * z_below, (1 - z) * (1 - z_below)
            c = flush * (i * g) + update * (f * c_old[index] + i * g) + copy * c_old[index]
            h = (flush + update) * (o * self.activation(c)) + copy * h_old[index]
            h_new.append(h)
            c_new.append(c)
            logits = s[:, 4 * width :]
            if noise is not None:
                logits = logits + noise[index]
            z_new.append(self.detect(logits) if self.detectors[index] else np.zeros((len(x), 0)))
        return h_new, c_new, z_new

    def run(self, clips, noise=None):
        state, outputs, boundaries = self.start(len(clips)), [], []
        for t in range(clips.shape[1]):
            step_noise = None if noise is None else [part[:, t] for part in noise]
            state = self.step(clips[:, t], state, step_noise)
            outputs.append(np.concatenate(state[0], -1))
            shares = [part.mean(-1) if part.size else np.zeros(len(clips)) for part in state[2]]
            boundaries.append(np.stack(shares, -1))
        return np.stack(outputs, 1), np.stack(boundaries, 1), state


FORMS = {
    "scalar": ({"boundary": "scalar"}, [UNITS] * 3, [1] * 3, np.tanh),
    "units": ({"boundary": "units"}, [UNITS] * 3, [UNITS] * 3, np.tanh),
    "unequal widths": ({"units": [2, 3, 4]}, [2, 3, 4], [1] * 3, np.tanh),
    "no top boundary": ({"top_boundary": False}, [UNITS] * 3, [1, 1, 0], np.tanh),
    "printed output": ({"output_activation": "linear"}, [UNITS] * 3, [1] * 3, linear),
    "one layer": ({"num_layers": 1}, [UNITS], [1], np.tanh),
    "one layer without boundary": ({"num_layers": 1, "top_boundary": False}, [UNITS], [0], np.tanh),
}


def pair(form, detect=hard, seed=4):
    """A cell with random weights and the reference with the same."""
    arguments, widths, detectors, activation = FORMS[form]
    cell = HMRNNCell(**{"units": UNITS, **arguments})
    cell.build((None, CHANNELS))
    randomize(cell, seed, scale=1.0)
    weights = {weight.name: ops.convert_to_numpy(weight).astype("float64") for weight in cell.weights}
    return cell, Reference(weights, widths, detectors, activation, detect)


def logistic_noise(detectors, time=TIME):
    return [RNG.logistic(size=(BATCH, time, size)) for size in detectors]


class NoisyRNN(keras.layers.Layer):
    """Runs a cell's steps with given noise."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def call(self, clips, noise):
        steps = {"x": ops.transpose(clips, (1, 0, 2)), "noise": ops.transpose(noise, (1, 0, 2))}

        def step(states, inputs):
            return self.cell.step(inputs["x"], states, noise=inputs["noise"])[:2]

        outputs, _ = _backend.loop(step, self.cell.get_initial_state(batch_size=clips.shape[0]), steps)
        return ops.transpose(outputs, (1, 0, 2))


@pytest.mark.graphs
def test_the_cell_does_what_every_layer_must(tmp_path):
    states = [RNG.normal(size=(BATCH, 6)), RNG.normal(size=(BATCH, 6)), RNG.integers(0, 2, size=(BATCH, 3))]
    columns = 4 * UNITS + 1
    check_layer(
        lambda **kwargs: HMRNNCell(UNITS, **kwargs),
        (CLIPS[:, 0], states),
        tmp_path,
        weights={
            "kernel_1": (CHANNELS, columns),
            "recurrent_kernel_1": (UNITS, columns),
            "top_down_kernel_1": (UNITS, columns),
            "bias_1": (columns,),
            "kernel_2": (UNITS, columns),
            "recurrent_kernel_2": (UNITS, columns),
            "top_down_kernel_2": (UNITS, columns),
            "bias_2": (columns,),
            "kernel_3": (UNITS, columns),
            "recurrent_kernel_3": (UNITS, columns),
            "bias_3": (columns,),
            "temperature": (),
        },
        bad=(lambda: HMRNNCell(2.5), "`units` must be a whole number from 1 to 65536."),
    )


@pytest.mark.graphs
def test_the_layer_does_what_every_layer_must(tmp_path):
    check_layer(
        lambda **kwargs: HMRNN([2, 3], num_layers=2, top_boundary=False, return_trace=True, **kwargs),
        (CLIPS,),
        tmp_path,
        weights={
            "cell/kernel_1": (CHANNELS, 9),
            "cell/recurrent_kernel_1": (2, 9),
            "cell/top_down_kernel_1": (3, 9),
            "cell/bias_1": (9,),
            "cell/kernel_2": (2, 12),  # no detector at the top
            "cell/recurrent_kernel_2": (3, 12),
            "cell/bias_2": (12,),
            "cell/temperature": (),
        },
        bad=(
            lambda: HMRNN(3, num_layers=0),
            "`num_layers` must be a whole number from 1 to 65536. Received: num_layers=0",
        ),
        time=True,
        pick=lambda trace: trace["output"],
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"units": 0}, "`units` must be a whole number from 1 to 65536. Received: units=0"),
        ({"units": [2, 3]}, "`units` must be one number, or 3. Received: units=[2, 3]"),
        ({"units": 2, "boundary": "vector"}, '`boundary` must be "scalar" or "units". Received: boundary='),
        ({"units": [2, 3, 4], "boundary": "units"}, '`boundary="units"` needs layers of equal width.'),
        ({"units": 2, "temperature": 0.0}, "`temperature` must be positive. Received: temperature=0.0"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(UserError) as caught:
        HMRNNCell(**arguments)
    assert str(caught.value).startswith(message)


def test_widths_may_be_numpy_integers():
    cell = HMRNNCell(np.int64(2), num_layers=2)
    assert cell.state_size == [4, 4, 2]
    assert type(cell.get_config()["units"]) is int


@pytest.mark.parametrize("form", FORMS)
def test_every_step_is_that_of_the_equations(form):
    cell, reference = pair(form)
    arguments = {"units": UNITS, **FORMS[form][0]}
    layer = HMRNN(**arguments, return_sequences=True, return_state=True, return_trace=True)
    layer(CLIPS)
    layer.set_weights(cell.get_weights())
    trace, h, c, z = layer(CLIPS)
    outputs, boundaries, state = reference.run(CLIPS)
    close(trace["output"], outputs)
    close(trace["boundaries"], boundaries, 0)
    close([h, c, z], [np.concatenate(part, -1) for part in state])
    if sum(FORMS[form][2]) > 0:
        assert 0 < boundaries[..., 0].mean() < 1  # both happen, so the comparison says something


@pytest.mark.parametrize("form", ["scalar", "units", "unequal widths", "no top boundary"])
def test_noise_is_added_to_the_logit_of_its_detector(form):
    cell, reference = pair(form)
    noise = logistic_noise(FORMS[form][2])
    outputs, boundaries, _ = reference.run(CLIPS, noise)
    packed = np.concatenate(noise, -1).astype("float32")
    close(compiled(NoisyRNN(cell))(CLIPS, packed), outputs)
    assert np.any(boundaries != reference.run(CLIPS)[1])


@pytest.mark.parametrize("boundary", ["scalar", "units"])
@pytest.mark.parametrize("z_before", [0, 1])
@pytest.mark.parametrize("z_below", [0, 1])
def test_the_middle_layer_flushes_updates_or_copies(boundary, z_before, z_below):
    # Noise of +-1e4 forces the boundary of the layer below.
    cell, reference = pair(boundary)
    size = 1 if boundary == "scalar" else UNITS
    h, c = RNG.normal(size=(2, BATCH, 6)).astype("float32")
    z = np.full((BATCH, 3 * size), z_before, "float32")
    noise = np.zeros((BATCH, 3 * size), "float32")
    noise[:, :size] = 1e4 if z_below else -1e4
    x, h_t, c_t, z_t, noise = (ops.convert_to_tensor(part) for part in (CLIPS[:, 0], h, c, z, noise))
    output, (_, cells, boundaries), _ = cell.step(x, [h_t, c_t, z_t], noise=noise)
    h_1, h_2 = numpy(output)[:, :2], numpy(output)[:, 2:4]
    c_2 = numpy(cells)[:, 2:4]
    close(boundaries[:, :size], np.full((BATCH, size), z_below), 0)

    w = reference.weights
    s = z_below * h_1 @ w["kernel_2"] + h[:, 2:4] @ w["recurrent_kernel_2"] + w["bias_2"]
    s = s + z_before * h[:, 4:6] @ w["top_down_kernel_2"]
    i, f, o = sigmoid(s[:, 0:2]), sigmoid(s[:, 2:4]), sigmoid(s[:, 4:6])
    g = np.tanh(s[:, 6:8])
    if z_before:  # FLUSH, whatever the layer below says
        close(c_2, i * g)
        close(h_2, o * np.tanh(i * g))
    elif z_below:  # UPDATE
        close(c_2, f * c[:, 2:4] + i * g)
        close(h_2, o * np.tanh(f * c[:, 2:4] + i * g))
    else:  # COPY, bit for bit
        close(c_2, c[:, 2:4], 0)
        close(h_2, h[:, 2:4], 0)
    close(boundaries[:, size : 2 * size], s[:, 8:] >= 0, 0)


@pytest.mark.parametrize("form", ["scalar", "units", "no top boundary"])
def test_updates_are_the_share_of_units_that_are_not_flushed_and_see_a_boundary_below(form):
    cell, _ = pair(form)
    sizes = FORMS[form][2]
    state = [ops.zeros((BATCH, size)) for size in cell.state_size]
    before = np.zeros((BATCH, sum(sizes)))
    for step in range(CLIPS.shape[1]):
        _, state, trace = cell.step(ops.convert_to_tensor(CLIPS[:, step]), state)
        after, expected, below = numpy(state[2]), [], np.ones((BATCH, 1))
        splits = np.cumsum(sizes)[:-1]
        for z_before, z in zip(np.split(before, splits, 1), np.split(after, splits, 1), strict=True):
            free = 1 - z_before if z_before.shape[1] else 1.0
            expected.append((free * below).mean(axis=1))
            below = z
        close(trace["updates"], np.stack(expected, axis=1))
        before = after
    assert before.any()


def test_the_first_layer_never_copies_and_a_top_without_boundary_never_flushes():
    cell, reference = pair("no top boundary")
    h, c = RNG.normal(size=(2, BATCH, 6)).astype("float32")
    z = np.zeros((BATCH, 2), "float32")
    up = np.full((BATCH, 2), 1e4, "float32")  # both detectors fire: layers 2 and 3 update
    x, h_t, c_t, z_t, noise = (ops.convert_to_tensor(part) for part in (CLIPS[:, 0], h, c, z, up))
    output, states, trace = cell.step(x, [h_t, c_t, z_t], noise=noise)
    assert tuple(states[2].shape) == (BATCH, 2)
    close(trace["boundaries"], np.tile([1.0, 1.0, 0.0], (BATCH, 1)), 0)
    split = [part.reshape(BATCH, 3, 2).transpose(1, 0, 2) for part in (h, c)]
    noise = [up[:, :1], up[:, 1:], np.zeros((BATCH, 0))]
    expected = reference.step(CLIPS[:, 0], (*split, [z[:, :1], z[:, 1:], None]), noise)
    close(output, np.concatenate(expected[0], -1))
    assert np.all(np.abs(numpy(states[1]) - c) > 0)  # nobody copied


def test_the_boundary_is_exactly_0_or_1_at_any_temperature():
    for temperature in (1e-3, 0.3, 100.0):
        cell = HMRNNCell(8, num_layers=2, boundary="units", temperature=temperature)
        cell.build((None, CHANNELS))
        randomize(cell)
        noise = RNG.logistic(size=(BATCH, 16)).astype("float32")
        x = ops.convert_to_tensor(CLIPS[:, 0])
        _, (_, _, z), _ = cell.step(x, cell.get_initial_state(batch_size=BATCH), ops.convert_to_tensor(noise))
        assert set(np.unique(numpy(z))) == {0.0, 1.0}


@pytest.mark.parametrize("form", ["units", "unequal widths", "no top boundary"])
def test_the_gradient_is_that_of_the_declared_surrogate(form):
    # Finite differences in float64 of a reference whose boundaries are hard and move softly.
    temperature = 0.7
    cell, reference = pair(form, detect=StraightThrough(temperature))
    cell.temperature_value.assign(temperature)
    detectors = FORMS[form][2]
    noise = logistic_noise(detectors)
    packed = np.concatenate(noise, -1).astype("float32")
    probe = RNG.normal(size=(BATCH, TIME, sum(FORMS[form][1])))
    names = [weight.name for weight in cell.trainable_weights]

    layer = NoisyRNN(cell)
    found = gradients(
        lambda clips: ops.sum(ops.multiply(layer(clips, packed), probe.astype("float32"))),
        [CLIPS],
        cell.trainable_weights,
    )

    def loss():
        return np.sum(reference.run(clips, noise)[0] * probe)

    clips = CLIPS.astype("float64")
    loss()  # records the logits
    for array, gradient in zip([clips, *(reference.weights[name] for name in names)], found, strict=True):
        numeric = np.zeros_like(array)
        for position in np.ndindex(array.shape):
            kept, values = array[position], []
            for shift in (1e-6, -1e-6):
                array[position] = kept + shift
                reference.detect.again()
                values.append(loss())
            array[position] = kept
            numeric[position] = (values[0] - values[1]) / 2e-6
        close(gradient, numeric, 1e-4)


def test_biases_begin_as_asked_and_the_others_at_zero():
    cell = HMRNNCell(UNITS, num_layers=2, boundary="units", boundary_bias=-2.0, forget_bias=1.0)
    cell.build((None, CHANNELS))
    for weight in cell.weights:
        if weight.name.startswith("bias"):
            found = numpy(weight).tolist()
            assert found == [0] * UNITS + [1] * UNITS + [0] * 2 * UNITS + [-2] * UNITS
    layer = HMRNN(UNITS, boundary_bias=-2.0, forget_bias=1.0, boundary_noise=False)
    twin = HMRNN.from_config(layer.get_config())
    assert (twin.cell.boundary_bias, twin.cell.forget_bias, twin.cell.boundary_noise) == (-2.0, 1.0, False)


def test_without_noise_training_gives_what_the_test_gives():
    noisy = randomize(HMRNN(8, return_sequences=True), seed=4)
    quiet = HMRNN(8, return_sequences=True, boundary_noise=False)
    for layer in (noisy, quiet):
        layer(CLIPS)
    randomize(noisy, seed=4)
    quiet.set_weights(noisy.get_weights()[: len(quiet.get_weights())])
    close(quiet(CLIPS, training=True), quiet(CLIPS), 1e-6)  # by taps: another order of the same sums
    close(quiet(CLIPS), noisy(CLIPS), 0)
    assert np.any(numpy(noisy(CLIPS, training=True)) != numpy(noisy(CLIPS)))


def test_the_noise_is_logistic_and_as_wide_as_there_are_detectors():
    cell, _ = pair("units")
    assert cell.noise_size == 6
    assert pair("no top boundary")[0].noise_size == 2
    noise = numpy(cell.draw_noise((40, 100), keras.random.SeedGenerator(1)))
    assert noise.shape == (40, 100, 6)
    assert abs(noise.mean()) < 0.05  # deviation of the mean: 1.81 / sqrt(24000) = .012
    assert abs(noise.var() - np.pi**2 / 3) < 0.2


def test_a_detector_fires_with_the_probability_of_its_logit():
    # A Gumbel-sigmoid with logit s is 1 with probability sigmoid(s).
    draws, logit = 20_000, 0.8
    cell = HMRNNCell(1, num_layers=1)
    cell.build((None, 1))
    for weight in cell.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    cell.trainable_weights[-1].assign([0.0, 0.0, 0.0, 0.0, logit])
    noise = cell.draw_noise((draws,), keras.random.SeedGenerator(0))
    x = ops.zeros((draws, 1))
    _, (_, _, z), _ = cell.step(x, cell.get_initial_state(batch_size=draws), noise)
    p = sigmoid(logit)
    assert abs(numpy(z).mean() - p) < 4 * np.sqrt(p * (1 - p) / draws)


@pytest.mark.parametrize("boundary, expected", [("units", 167_802_880), ("scalar", 134_258_691)])
def test_the_parameter_count_at_the_size_of_the_paper(boundary, expected):
    # 3 x 2048 units on 2048 channels: by hand (4u + z)(8u + 3) with z = u or 1. Nothing is allocated.
    class Counted(HMRNNCell):
        parameters = 0

        def add_weight(self, shape=(), trainable=True, **kwargs):
            self.parameters += trainable * int(np.prod(shape))

    cell = Counted(2048, boundary=boundary)
    cell.build((None, 2048))
    assert cell.parameters == expected == (4 * 2048 + (2048 if boundary == "units" else 1)) * (8 * 2048 + 3)
