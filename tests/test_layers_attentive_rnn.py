"""AttentiveRNN and AttentionCell: the stock loop, masks, states, noise, traces."""

import keras
import numpy as np
import pytest
from keras import ops

from checks import check_layer, close, gradients, numpy, randomize
from keras_actrec import zoo
from keras_actrec.errors import UserError
from keras_actrec.layers import (
    HMRNN,
    AttentionCell,
    AttentiveRNN,
    EleAttGRU,
    EleAttGRUCell,
    EleAttLSTM,
    GumbelHardAttention,
    HMRNNCell,
    LastStep,
    ReinforceAttention,
    SelfAttention2D,
    SlowRNN,
    SoftAttention,
    StepCentering,
)

BATCH, TIME, LOCATIONS, CHANNELS, UNITS = 2, 4, 6, 3, 2
RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(BATCH, TIME, LOCATIONS, CHANNELS)).astype("float32")
VECTORS = CLIPS[:, :, 0]
MASK = np.array([[True, True, False, False], [True] * 4])  # the first clip has two steps

CELLS = {
    "lstm": lambda: keras.layers.LSTMCell(UNITS),
    "gumbel x hm_rnn": lambda: AttentionCell(GumbelHardAttention(), HMRNNCell(UNITS, num_layers=2)),
    "soft x gru": lambda: AttentionCell(SoftAttention(), keras.layers.GRUCell(UNITS)),
}
WEIGHTLESS_NOISE = {  # the location with the largest noise is looked at, whatever the clip
    "gumbel": GumbelHardAttention,
    "reinforce": ReinforceAttention,
}


def clips_for(name):
    return CLIPS if " x " in name else VECTORS


def layers_of(name, stock=False, **kwargs):
    """An `AttentiveRNN` with weights from NumPy and, with `stock`, Keras's layer around the same cell."""
    cell = CELLS[name]()
    layer = AttentiveRNN(cell, **kwargs)
    layer.build(clips_for(name).shape)
    randomize(layer, seed=3, scale=1.0)
    return (layer, keras.layers.RNN(cell, **kwargs)) if stock else layer


def noisy(attention="reinforce", seed=None, locations=16, **kwargs):
    """A layer whose attention shows the noise: all its weights are 0."""
    cell = AttentionCell(WEIGHTLESS_NOISE[attention](), keras.layers.SimpleRNNCell(UNITS))
    layer = AttentiveRNN(cell, return_sequences=True, return_trace=True, seed=seed, **kwargs)
    layer.build((None, None, locations, 1))
    for weight in layer.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    return layer


NOISE_CLIPS = np.ones((4, 8, 16, 1), "float32")


def looked_at(layer, training=True):
    return numpy(layer(NOISE_CLIPS, training=training)["attention"]).argmax(-1)  # (B, T)


@pytest.mark.graphs
def test_the_layer_around_attention_does_what_every_layer_must(tmp_path):
    def make(**kwargs):
        attention, cell = GumbelHardAttention(0.5, name="look"), HMRNNCell(UNITS, num_layers=1, name="hm")
        cell = AttentionCell(attention, cell, name="cell")
        return AttentiveRNN(cell, return_sequences=True, return_trace=True, **kwargs)

    check_layer(
        make,
        (CLIPS,),
        tmp_path,
        weights={
            "cell/look/kernel": (UNITS, LOCATIONS),
            "cell/look/temperature": (),
            "cell/hm/kernel_1": (CHANNELS, 9),
            "cell/hm/recurrent_kernel_1": (UNITS, 9),
            "cell/hm/bias_1": (9,),
            "cell/hm/temperature": (),
        },
        bad=(
            lambda: AttentiveRNN([keras.layers.LSTMCell(2), keras.layers.LSTMCell(2)]),
            "`cell` must be one cell: stack AttentiveRNN layers instead.",
        ),
        time=True,
        pick=lambda trace: trace["output"],
    )


def test_a_step_asks_with_the_first_layers_h_and_splits_the_noise_between_attention_and_cell():
    cell = AttentionCell(GumbelHardAttention(), HMRNNCell([2, 3], num_layers=2))
    cell.build((BATCH, LOCATIONS, CHANNELS))
    randomize(cell)
    noise = RNG.gumbel(size=(BATCH, LOCATIONS + 2)).astype("float32")
    noise[:, LOCATIONS:] = [[-9.0, 9.0], [9.0, -9.0]]  # forces both layers' boundaries
    states = [RNG.normal(size=(BATCH, size)).astype("float32") for size in (5, 5)] + [
        np.zeros((BATCH, 2), "float32")
    ]
    x, noise, *states = (ops.convert_to_tensor(part) for part in (CLIPS[:, 0], noise, *states))
    output, _, trace = cell.step(x, states, noise=noise)
    context, scores, _ = cell.attention.attend(x, states[0][:, :2], noise[:, :LOCATIONS])
    close(trace["attention"], scores, 0)
    close(trace["boundaries"], np.array([[0, 1], [1, 0]]), 0)
    close(output, cell.cell.step(context, states, noise=noise[:, LOCATIONS:])[0], 0)


@pytest.mark.parametrize("argument", ["dropout", "recurrent_dropout"])
@pytest.mark.parametrize("around", [AttentiveRNN, lambda cell: AttentionCell(SoftAttention(), cell)])
def test_a_cell_with_dropout_is_refused(argument, around):
    with pytest.raises(UserError, match=f"^`cell` must not have `{argument}`"):
        around(keras.layers.GRUCell(2, **{argument: 0.5}))


@pytest.mark.parametrize("name", CELLS)
def test_without_noise_it_is_the_stock_layer(name):
    ours, stock = layers_of(name, stock=True, return_sequences=True, return_state=True)
    close(ours(clips_for(name)), stock(clips_for(name)), 1e-6)


def test_go_backwards_is_the_clip_from_its_end():
    ours, stock = layers_of("gumbel x hm_rnn", stock=True, return_sequences=True, go_backwards=True)
    close(ours(CLIPS), stock(CLIPS), 1e-6)
    forwards = AttentiveRNN(ours.cell, return_sequences=True)
    close(ours(CLIPS), forwards(CLIPS[:, ::-1]), 1e-6)
    # Padding comes first then, and leaves the states at their start.
    close(ours(CLIPS, mask=MASK)[:1, 2:], ours(CLIPS[:1, :2]), 1e-6)


def test_unrolled_is_rolled():
    rolled = layers_of("gumbel x hm_rnn", return_sequences=True, return_trace=True)
    unrolled = AttentiveRNN(rolled.cell, return_sequences=True, return_trace=True, unroll=True)
    close(unrolled(CLIPS, mask=MASK), rolled(CLIPS, mask=MASK), 1e-6)


@pytest.mark.parametrize("name", ["lstm", "gumbel x hm_rnn"])
def test_padding_with_its_mask_is_the_shorter_clip(name):
    layer = layers_of(name, return_sequences=True, return_state=True)
    clips = clips_for(name).copy()
    clips[0, 2:] = 100.0  # padding must not matter, whatever is in it
    sequence, *states = layer(clips, mask=MASK)
    short, *short_states = layer(clips[:1, :2])
    close(sequence[:1, :2], short, 1e-5)
    close([state[:1] for state in states], short_states, 1e-5)
    close(sequence[0, 2:], np.stack([numpy(short)[0, 1]] * 2), 1e-5)  # the last output is held
    whole = layer(clips[1:])
    close([sequence[1:], *(state[1:] for state in states)], whole, 1e-5)


def test_the_gradients_of_a_padded_clip_are_those_of_the_shorter_one():
    layer = layers_of("gumbel x hm_rnn")
    clip = CLIPS[:1]
    probe = RNG.normal(size=(1, layer.compute_output_shape(clip.shape)[-1])).astype("float32")

    def loss(mask):
        return lambda clip: ops.sum(ops.multiply(layer(clip, mask=mask), probe))

    padded = gradients(loss(MASK[:1]), [clip], layer.trainable_weights)
    short = gradients(loss(None), [clip[:, :2]], layer.trainable_weights)
    assert not np.any(padded[0][:, 2:])
    close([padded[0][:, :2], *padded[1:]], short, 1e-4)


def test_masked_outputs_are_zero_where_that_is_asked_for():
    layer = layers_of("lstm", return_sequences=True, zero_output_for_mask=True)
    outputs = numpy(layer(VECTORS, mask=MASK))
    assert np.all((outputs != 0).any(-1) == MASK)


def test_a_clip_in_two_halves_is_the_whole():
    layer = layers_of("gumbel x hm_rnn", return_sequences=True, return_state=True)
    whole, *last = layer(CLIPS)
    first, *states = layer(CLIPS[:, :2])
    second, *states = layer(CLIPS[:, 2:], initial_state=states)
    close([first, second, *states], [whole[:, :2], whole[:, 2:], *last], 1e-6)


def test_a_stateful_layer_goes_on_until_it_is_reset():
    layer = layers_of("lstm", return_sequences=True, stateful=True)
    whole = AttentiveRNN(layer.cell, return_sequences=True)(VECTORS)
    first, second = layer(VECTORS[:, :2]), layer(VECTORS[:, 2:])
    close([first, second], [whole[:, :2], whole[:, 2:]], 1e-6)
    layer.reset_state()
    close(layer(VECTORS[:, :2]), first, 0)


def test_the_trace_has_what_attention_and_cell_have_to_show():
    layer = layers_of("gumbel x hm_rnn", return_state=True, return_trace=True)
    trace, *states = layer(CLIPS)
    assert {key: tuple(value.shape) for key, value in trace.items()} == {
        "output": (BATCH, 2 * UNITS),
        "attention": (BATCH, TIME, LOCATIONS),
        "temperature": (BATCH, TIME, 1),
        "boundaries": (BATCH, TIME, 2),
        "updates": (BATCH, TIME, 2),
    }
    assert len(states) == 3
    symbolic, *_ = layer(keras.Input((None, LOCATIONS, CHANNELS)))
    assert {key: value.shape[1:] for key, value in symbolic.items()} == {
        "output": (2 * UNITS,),
        "attention": (None, LOCATIONS),
        "temperature": (None, 1),
        "boundaries": (None, 2),
        "updates": (None, 2),
    }
    assert set(layers_of("soft x gru", return_trace=True)(CLIPS)) == {"output", "attention"}
    assert set(layers_of("lstm", return_trace=True)(VECTORS)) == {"output"}
    assert set(noisy()(NOISE_CLIPS)) == {"output", "attention", "log_prob"}


def test_the_trace_is_0_at_masked_steps():
    layer = layers_of("gumbel x hm_rnn", return_trace=True)
    trace = {key: numpy(value) for key, value in layer(CLIPS, mask=MASK).items()}
    for key in ("attention", "temperature", "boundaries", "updates"):
        assert not np.any(trace[key][0, 2:]), key
    for key in ("attention", "temperature"):
        assert np.all(trace[key][MASK].any(-1)), key


def test_the_mask_goes_with_every_part_of_the_trace_that_has_steps():
    inputs = keras.Input((TIME, CHANNELS))
    masked = keras.layers.Masking()(inputs)
    trace = HMRNN(UNITS, num_layers=2, return_sequences=True, return_trace=True)(masked)
    model = keras.Model(inputs, {key: keras.layers.GlobalAveragePooling1D()(x) for key, x in trace.items()})
    clips = np.where(MASK[:, :, None], VECTORS, 0)
    padded, short = model(clips), numpy(keras.Model(inputs, trace)(clips[:1]))
    for key in short:
        close(padded[key][:1], short[key][:, :2].mean(1), 1e-6)


def test_noise_differs_between_steps_samples_and_calls():
    layer = noisy()
    first, second = looked_at(layer), looked_at(layer)
    # 16 locations, 32 draws: what should differ agrees by chance in two of them on average.
    assert (first[0] == first[1]).mean() < 0.6
    assert (first[:, 0] == first[:, 1]).mean() < 0.8 and len(np.unique(first[0])) > 2
    assert (first == second).mean() < 0.4


def test_the_boundaries_have_noise_of_their_own():
    layer = HMRNN(8, num_layers=1, boundary="units", return_trace=True, seed=1)
    layer.build(VECTORS.shape)
    for weight in layer.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    fired = numpy(layer(VECTORS, training=True)["boundaries"])  # the share of the eight that did
    assert np.any(fired[0] != fired[1]) and len(np.unique(fired[0])) > 1
    assert np.all(numpy(layer(VECTORS)["boundaries"]) == 1)  # logits of 0 fire without noise


@pytest.mark.parametrize("attention", WEIGHTLESS_NOISE)
def test_there_is_no_noise_outside_training(attention):
    layer = noisy(attention)
    assert not np.any(looked_at(layer, training=False))  # all logits are 0: the first location
    assert np.any(looked_at(layer))


def test_noise_repeats_with_its_seed():
    first, same, other = (looked_at(noisy(seed=seed)) for seed in (5, 5, 6))
    close(first, same, 0)
    assert (first == other).mean() < 0.4


class AlwaysTraining(keras.Model):
    """Draws noise even in `predict`, which is compiled."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, clips):
        return self.layer(clips, training=True)["attention"]


def test_noise_differs_in_compiled_code_too():
    model = AlwaysTraining(noisy())
    draws = [model.predict(NOISE_CLIPS, batch_size=2, verbose=0).argmax(-1) for _ in range(2)]
    for draw in draws:
        assert (draw[:2] == draw[2:]).mean() < 0.5  # two batches of one call
        assert (draw[0] == draw[1]).mean() < 0.8 and len(np.unique(draw[0])) > 2
    assert (draws[0] == draws[1]).mean() < 0.5


def test_noise_is_drawn_in_fit_and_not_in_evaluate():
    layer = noisy("gumbel")
    inputs = keras.Input(NOISE_CLIPS.shape[1:])
    trace = layer(inputs)
    model = keras.Model(inputs, [trace["attention"], trace["output"]])
    model.compile(keras.optimizers.SGD(0.0), ["mse", "mse"])
    # The loss tells which locations were drawn.
    targets = [np.random.default_rng(0).normal(size=(4, 8, 16)), np.zeros((4, 8, UNITS))]
    assert len({model.train_on_batch(NOISE_CLIPS, targets)[0] for _ in range(3)}) == 3
    assert len({model.test_on_batch(NOISE_CLIPS, targets)[0] for _ in range(3)}) == 1


@pytest.mark.graphs
def test_a_new_temperature_changes_the_gradient_and_builds_nothing_again():
    traces = []

    class Watched(HMRNN):
        def inner_loop(self, *args, **kwargs):
            traces.append(1)
            return super().inner_loop(*args, **kwargs)

    layer = Watched(UNITS, num_layers=2, seed=1)
    inputs = keras.Input(VECTORS.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    randomize(layer)
    start, seed_state = model.get_weights(), ops.convert_to_numpy(layer.seed_generator.state)
    targets = np.ones((8, 2 * UNITS))

    def step(temperature):
        model.set_weights(start)
        layer.seed_generator.state.assign(seed_state)
        layer.cell.temperature_value.assign(temperature)
        loss = model.train_on_batch(np.tile(VECTORS, (4, 1, 1)), targets)
        return loss, ops.convert_to_numpy(layer.cell.trainable_weights[0]) - start[0]

    (sharp_loss, sharp), count = step(0.3), len(traces)
    soft_loss, soft = step(3.0)
    _, again = step(0.3)
    assert sharp_loss == pytest.approx(soft_loss, rel=1e-6)  # the same noise and decisions
    assert np.abs(sharp - soft).max() > 1e-3
    close(again, sharp, 1e-6)
    if keras.backend.backend() != "torch":  # which compiles nothing
        assert len(traces) == count


def test_a_trace_model_agrees_with_the_model_that_was_saved_without_it(tmp_path):
    cell = AttentionCell(GumbelHardAttention(), HMRNNCell(UNITS, num_layers=2))
    inputs = keras.Input((None, LOCATIONS, CHANNELS))
    trace = AttentiveRNN(cell, return_sequences=True, return_trace=True, name="temporal")(inputs)
    logits = keras.layers.Dense(3)(trace["output"])
    model = randomize(keras.Model(inputs, logits))
    everything = keras.Model(inputs, {**trace, "logits": logits})
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded_trace = dict(zip(sorted(trace), loaded.get_layer("temporal").output, strict=True))
    again = keras.Model(loaded.input, {**loaded_trace, "logits": loaded.output})
    before, after = everything(CLIPS), again(CLIPS)
    assert before.keys() == after.keys()
    for key in before:
        close(after[key], before[key], 0)
    close(after["logits"], model(CLIPS), 0)


def test_a_cell_computes_in_the_type_of_its_layer():
    layer = AttentiveRNN(CELLS["gumbel x hm_rnn"](), dtype="mixed_bfloat16")
    parts = (layer, layer.cell, layer.cell.attention, layer.cell.cell)
    assert {part.compute_dtype for part in parts} == {"bfloat16"}


def test_a_saved_layer_opens_in_a_fresh_process_without_custom_objects(run_python, tmp_path):
    inputs = keras.Input((None, LOCATIONS, CHANNELS))
    outputs = {
        name.replace(" ", "_"): AttentiveRNN(CELLS[name](), return_trace=True)(inputs)
        for name in CELLS
        if " x " in name
    }
    model = randomize(keras.Model(inputs, outputs))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "clips.npy", CLIPS)
    code = (
        "import keras, keras_actrec, numpy as np\n"
        "model = keras.saving.load_model('model.keras')\n"
        "flat = keras.tree.flatten(model(np.load('clips.npy')))\n"
        "np.savez('found.npz', *[keras.ops.convert_to_numpy(x) for x in flat])\n"
    )
    done = run_python("-W", "ignore", "-c", code)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "found.npz") as found:
        close(list(found.values()), keras.tree.flatten(model(CLIPS)), 1e-6)


@pytest.mark.parametrize("steps", [5, 7])
def test_a_mask_of_another_number_of_steps_is_refused_with_both_numbers(steps):
    sequences, mask = np.ones((2, 6, 3), "float32"), np.ones((2, steps), bool)
    layers = EleAttGRU(4), HMRNN(4), SlowRNN(keras.layers.GRUCell(4), step_every=2)
    for layer in layers:
        with pytest.raises(UserError, match=f"`mask` has {steps} steps and `sequences` have 6: give both as"):
            layer(sequences, mask=mask)


@pytest.mark.parametrize("layer", [LastStep, StepCentering])
def test_what_takes_all_steps_together_refuses_none_and_a_mask_of_another_number(layer):
    sequences = np.ones((2, 6, 3), "float32")
    with pytest.raises(UserError, match="`mask` has 5 steps and `sequences` have 6"):
        layer()(sequences, mask=np.ones((2, 5), bool))
    with pytest.raises(UserError, match="`sequences` have no steps"):
        layer()(sequences[:, :0])


@pytest.mark.parametrize("shape", [(2, 6, 1), (2,), (3, 6), ()])
def test_a_mask_of_another_form_is_refused(shape):
    for layer in (EleAttGRU(4), HMRNN(4), SlowRNN(keras.layers.GRUCell(4), step_every=2), LastStep()):
        with pytest.raises(UserError, match=r"`mask` must be \(2, T\), a value a step. Received: shape \("):
            layer(np.ones((2, 6, 3), "float32"), mask=np.ones(shape, bool))


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 3, 4)])
def test_steps_that_are_no_vectors_are_refused(shape):
    for layer in (EleAttGRU(4), HMRNN(4)):
        with pytest.raises(UserError, match=r"takes \(B, D\) a step. Received: shape \("):
            layer(np.ones(shape, "float32"))


@pytest.mark.graphs
@pytest.mark.parametrize("name", ["hman", "stacked_rnn", "eleatt_rnn"])
def test_a_model_refuses_a_mask_that_is_a_step_short(name):
    size = {"units": 4, "num_layers": 1}
    shape = (None, 2, 2, 3) if name == "hman" else (None, 3)
    model = zoo.build(name, 2, input_shape=shape, masked=True, **size)
    inputs = {"features": np.ones((2, 6, *shape[1:]), "float32"), "mask": np.ones((2, 5), bool)}
    for answer in (model, model.predict_on_batch, lambda batch: model.predict(batch, verbose=0)):
        with pytest.raises(UserError, match="`mask` has 5 steps and `sequences` have 6"):
            answer(inputs)


@pytest.mark.graphs
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other backends know every shape")
def test_a_graph_that_does_not_know_the_numbers_compares_them_when_it_runs():
    import tensorflow as tf

    layer = EleAttGRU(4)
    layer(np.ones((2, 6, 3), "float32"))
    specs = tf.TensorSpec((None, None, 3), "float32"), tf.TensorSpec((None, None), "bool")
    run = tf.function(lambda sequences, mask: layer(sequences, mask=mask), input_signature=specs)
    assert run(np.ones((2, 6, 3), "float32"), np.ones((2, 6), bool)).shape == (2, 4)
    for steps in (5, 7):
        words = f"`mask` and `sequences` must have as many steps.*{steps}.*6"
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            run(np.ones((2, 6, 3), "float32"), np.ones((2, steps), bool))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`sequences` have no steps: give one at least"):
        run(np.ones((2, 0, 3), "float32"), np.ones((2, 0), bool))


# Layers with a trace, and what a step of their sequences is.
TRACED = {
    "HMRNN": (lambda **how: HMRNN(3, **how), (4,)),
    "EleAttGRU": (lambda **how: EleAttGRU(3, **how), (4,)),
    "EleAttLSTM": (lambda **how: EleAttLSTM(3, **how), (4,)),
    "AttentiveRNN": (lambda **how: AttentiveRNN(attention_cell(), **how), (5, 4)),
    "SlowRNN": (lambda **how: SlowRNN(EleAttGRUCell(3), step_every=2, **how), (4,)),
}


def attention_cell():
    return AttentionCell(SoftAttention(), keras.layers.GRUCell(3))


@pytest.mark.parametrize("name", TRACED)
@pytest.mark.parametrize("return_sequences", [False, True])
def test_bidirectional_takes_a_layer_without_its_trace_and_says_so(name, return_sequences):
    make, step = TRACED[name]
    sequences = np.ones((2, 6, *step), "float32")
    both = keras.layers.Bidirectional(make(return_sequences=return_sequences))
    width = both.forward_layer.compute_output_shape(sequences.shape)[-1]
    assert both(sequences).shape == ((2, 6, 2 * width) if return_sequences else (2, 2 * width))
    traced = {"return_sequences": return_sequences, "return_trace": True}
    for wrap in (
        lambda: keras.layers.Bidirectional(make(**traced)),
        lambda: keras.layers.Bidirectional(
            make(return_sequences=return_sequences), backward_layer=make(go_backwards=True, **traced)
        ),
    ):
        with pytest.raises(UserError, match="^`Bidirectional` has no place for a trace: set return_trace=Fa"):
            wrap()
    assert make(zero_output_for_mask=True, **traced).zero_output_for_mask


@pytest.mark.parametrize("name", TRACED)
@pytest.mark.parametrize("traced", [False, True])
def test_no_steps_are_one_line_and_no_valid_ones_leave_the_first_state(name, traced):
    make, step = TRACED[name]
    layer = make(return_sequences=True, return_trace=traced)
    for mask in (None, np.ones((2, 0), bool)):
        with pytest.raises(UserError) as caught:
            layer(np.ones((2, 0, *step), "float32"), mask=mask)
        assert str(caught.value) == "`sequences` have no steps: give one at least"
    answer = layer(np.ones((2, 6, *step), "float32"), mask=np.zeros((2, 6), bool))
    for values in keras.tree.flatten(answer):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(values), 0)


@pytest.mark.parametrize("units", ["4", True, np.True_, 0, -1, 2.5, float("nan"), float("inf"), 10**20, None])
def test_a_width_that_is_none_is_one_line(units):
    for make in (HMRNN, HMRNNCell, EleAttGRU, EleAttLSTM, EleAttGRUCell):
        with pytest.raises(UserError) as caught:
            make(units)
        received = f"Received: units={units!r}"
        assert str(caught.value) == f"`units` must be a whole number from 1 to 65536. {received}"
    with pytest.raises(
        UserError, match=r"^`key_channels` must be a whole number from 1 to 65536\. Received: "
    ):
        SelfAttention2D(0 if units is None else units)
    with pytest.raises(
        UserError, match=r"^`units` must be a whole number from 1 to 65536\. Received: units="
    ):
        zoo.build("frame_gru", 2, input_shape=(None, 3), units=units)


@pytest.mark.parametrize("units", [4.0, np.int64(4), np.uint8(4), np.float32(4)])
def test_a_width_of_another_type_is_a_number_of_python(units):
    for make in (HMRNN, HMRNNCell, EleAttGRU, EleAttLSTM, EleAttGRUCell):
        assert type(make(units).get_config()["units"]) is int
    assert HMRNN(units)(np.ones((2, 3, 5), "float32")).shape == (2, 12)
