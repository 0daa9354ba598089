"""Search spaces: what KerasTuner is told, conditions, pinned axes, and hypermodels over the zoo."""

import itertools
import json
import os
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pydantic
import pytest
from keras_tuner.engine.hyperparameters import Fixed

from keras_actrec import tuning
from keras_actrec.errors import UserError
from keras_actrec.tuning import Axis, Space

# Three levels: b under two choices of a, c under one choice of b; d is free.
NESTED = {
    "t.a": Axis(values=["x", "y", "z"]),
    "t.b": Axis(values=[1, 2], when={"t.a": ["x", "y"]}),
    "t.c": Axis(values=[True, False], when={"t.b": [2]}),
    "t.d": Axis(values=[[1], [1, 2]]),
}


def by_hand():
    """All combinations of NESTED, written as plain loops."""
    for a, d in itertools.product(["x", "y", "z"], [[1], [1, 2]]):
        if a == "z":
            yield {"t.a": a, "t.d": d}
            continue
        yield {"t.a": a, "t.b": 1, "t.d": d}
        for c in (True, False):
            yield {"t.a": a, "t.b": 2, "t.c": c, "t.d": d}


def key(values):
    return json.dumps(values, sort_keys=True)


def fixed(**values):
    hp = keras_tuner.HyperParameters()
    for name, value in values.items():
        hp.Fixed(f"t.{name}", value)
    return hp


def drawn(space, hp=None):
    """The values of random trials of KerasTuner's own oracle, and what the space makes of them."""
    hp = hp or keras_tuner.HyperParameters()
    space.declare(hp)
    found = []
    for seed in range(1, 9000, 1000):  # each draw counts the seed up
        oracle = keras_tuner.oracles.RandomSearchOracle(
            objective=keras_tuner.Objective("loss", "min"), max_trials=20, hyperparameters=hp, seed=seed
        )
        for trial in range(20):
            values = oracle.populate_space(str(trial))["values"]
            if values is not None:
                chosen = hp.copy()
                chosen.values = values
                found.append((values, space.choose(chosen)))
    return found


def test_a_combination_becomes_the_overrides_of_a_recipe():
    space = Space({"clip.frames": Axis(values=[30, 40]), "model.attention": Axis(values=["soft"])})
    assert space.declare(keras_tuner.HyperParameters()) == ["clip.frames=30", 'model.attention="soft"']


@pytest.mark.parametrize(
    "values, text",
    [
        ([True, False], "true"),
        ([[1], [1, 2]], "[1]"),
        ([0.01, 4], "0.01"),
        ([1e-05, 0.1], "1e-05"),
        (["a", 3], '"a"'),
        ([4, 8], "4"),
    ],
)
def test_a_value_of_any_kind_comes_back_from_keras_tuner_as_it_was(values, text):
    space = Space({"t.a": Axis(values=values)})
    hp = keras_tuner.HyperParameters()
    assert space.declare(hp) == [f"t.a={text}"]
    hp.values["t.a"] = hp.space[0].values[1]
    chosen = space.choose(hp)["t.a"]
    assert chosen == values[1] and type(chosen) is type(values[1])


def test_whole_ends_make_whole_numbers_and_fractions_make_fractions():
    space = Space({"t.a": Axis(low=2, high=9), "t.b": Axis(low=1e-4, high=1e-2, sampling="log")})
    found = [chosen for _, chosen in drawn(space)]
    assert {type(chosen["t.a"]) for chosen in found} == {int}
    assert {chosen["t.a"] for chosen in found} == set(range(2, 10))
    rates = np.array([chosen["t.b"] for chosen in found])
    assert rates.min() >= 1e-4 and rates.max() <= 1e-2
    assert 0.3 < np.mean(rates < 1e-3) < 0.7  # half of them in each decade


def test_the_combinations_are_those_of_plain_loops():
    space = Space(NESTED)
    expected = [key(values) for values in by_hand()]
    assert sorted(map(key, space.combinations())) == sorted(expected)
    assert space.size() == len(expected) == 14


def test_random_trials_hold_active_axes_alone():
    allowed = {key(values) for values in by_hand()}
    found = drawn(Space(NESTED))
    assert {key(chosen) for _, chosen in found} == allowed
    assert all(values.keys() == chosen.keys() for values, chosen in found)


def test_steps_are_counted_with_both_ends():
    assert Axis(low=0.0, high=0.7, step=0.1).choices == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert Axis(low=10, high=30, step=10).choices == [10, 20, 30]
    assert Space({"t.a": Axis(low=1, high=4)}).size() == 4
    assert Space({"t.a": Axis(values=[1]), "t.b": Axis(low=0.0, high=1.0)}).size() is None


def test_samples_show_every_value_and_both_ends():
    axes = {**NESTED, "t.e": Axis(low=1, high=9)}
    samples = list(Space(axes).samples())
    seen = {(name, key(value)) for values in samples for name, value in values.items()}
    expected = {(name, key(value)) for name, axis in axes.items() for value in axis.values or [1, 9]}
    assert seen == expected
    allowed = {key(values) for values in by_hand()}
    assert all(key({n: v for n, v in values.items() if n != "t.e"}) in allowed for values in samples)


def test_a_fixed_axis_is_not_searched():
    found = drawn(Space(NESTED), fixed(a="x"))
    assert {chosen["t.a"] for _, chosen in found} == {"x"}
    assert {key(chosen) for _, chosen in found} == {key(v) for v in by_hand() if v["t.a"] == "x"}


def test_a_fixed_axis_that_is_conditional_holds_in_its_branch_alone():
    found = drawn(Space(NESTED), fixed(b=2))
    expected = {key(v) for v in by_hand() if v.get("t.b", 2) == 2}
    assert {key(chosen) for _, chosen in found} == expected


def test_fixing_a_parent_takes_the_other_branch_out():
    found = drawn(Space(NESTED), fixed(a="z", d="[1, 2]"))
    assert {key(chosen) for _, chosen in found} == {key({"t.a": "z", "t.d": [1, 2]})}


@pytest.mark.parametrize("value", [True, "true"])
def test_a_boolean_is_fixed_as_itself_or_as_text(value):
    hp = fixed(a="x", b=2, c=value)
    assert Space(NESTED).choose(hp)["t.c"] is True


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({}, "give either values, or low and high"),
        ({"values": [1], "low": 1, "high": 2}, "give either values, or low and high"),
        ({"low": 1}, "give either values, or low and high"),
        ({"values": []}, "at least 1 item"),
        ({"values": [1, 2, 1]}, "a value occurs twice"),
        ({"values": [1], "step": 1}, "step and sampling go with low and high"),
        ({"low": 3, "high": 3}, "low must be below high, both from -1e15 to 1e15. Received: low=3, high=3"),
        (
            {"low": 0, "high": 10**20},
            "low must be below high, both from -1e15 to 1e15. Received: low=0, high=1",
        ),
        ({"low": 0, "high": 10**12}, "it has more than 1000000 values: give a larger step, or another range"),
        ({"low": 0.0, "high": 1.0, "step": 1e-320}, "it has more than 1000000 values"),
        ({"low": 0.0, "high": 1.0, "sampling": "log"}, "low above 0"),
        ({"low": 1, "high": 9, "step": 0}, "step must be above 0. Received: step=0"),
        ({"low": 1, "high": float("nan")}, "finite"),
        ({"values": [1], "when": {"a": [1], "b": [2]}}, "at most 1 item"),
        ({"values": [1], "wen": {}}, "wen"),
    ],
)
def test_an_axis_that_means_nothing_is_refused(arguments, words):
    with pytest.raises(pydantic.ValidationError, match=words):
        Axis(**arguments)


@pytest.mark.parametrize(
    "when, words",
    [
        ({"t.c": [1]}, "t.b: `when` names 't.c', which is no axis before it; did you mean 't.r'?"),
        ({"t.a": ["w"]}, r"t.b: `when`: t.a is never 'w'; its values are \['x', 'y'\]"),
        ({"t.r": [1]}, "t.b: `when` needs a parent with `values`, t.r has a range"),
    ],
)
def test_a_condition_that_can_never_hold_is_refused(when, words):
    axes = {"t.a": Axis(values=["x", "y"]), "t.r": Axis(low=1, high=2), "t.b": Axis(values=[1], when=when)}
    with pytest.raises(UserError, match=words):
        Space({**axes, "t.c": Axis(values=[1])})


LEARNING = ["optimizer", "learning_rate", "accumulate"]
HYPERMODELS = {
    "HMANHyperModel": (
        ["attention", "attention_temperature", "boundary", "temperature", "units", "num_layers", "dropout"],
        {"input_shape": (None, 2, 2, 3)},
        {"attention": "gumbel_constant", "units": 2, "num_layers": 1},
    ),
    "EleAttHyperModel": (
        ["cell", "units", "num_layers", "attention_layers", "attention_activation", "dropout"],
        {"input_shape": (None, 3)},
        {"cell": "rnn", "units": 2, "num_layers": 1},
    ),
    "STRNHyperModel": (
        ["placement", "connection", "temporal_context", "special3"],
        {"input_shape": (None, 32, 32, 3), "width": 0.0625},
        {"placement": "5-11"},
    ),
    "GSMHyperModel": (
        ["model", "attention_layers", "shuffle", "dropout"],
        {
            "input_shape": (None, 32, 32, 3),
            "width": 0.0625,
            "backbone": "bn_inception:inception_3a_output",
        },
        {"model": "sa_gsm", "attention_layers": "[1]"},
    ),
}


@pytest.mark.parametrize("name", HYPERMODELS)
def test_a_hypermodel_declares_exactly_its_space(name):
    axes, arguments, _ = HYPERMODELS[name]
    hypermodel = getattr(tuning, name)(2, **arguments, frames=[2, 3], frame_step=[1, 2])
    hp = keras_tuner.HyperParameters()
    hypermodel.space.declare(hp)
    assert [each.name for each in hp.space] == ["frames", "frame_step", *axes, *LEARNING]


@pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")  # KerasTuner 1.4.8
@pytest.mark.parametrize("name", HYPERMODELS)
def test_a_real_search_over_a_hypermodel_completes_two_trials(name, tmp_path):
    _, arguments, pins = HYPERMODELS[name]
    hypermodel = getattr(tuning, name)(2, **arguments, frames=[2])
    hp = keras_tuner.HyperParameters()
    for pin, value in {**pins, "optimizer": "adam", "accumulate": 1}.items():
        hp.Fixed(pin, value)
    tuner = keras_tuner.RandomSearch(
        hypermodel,
        objective=keras_tuner.Objective("loss", "min"),
        max_trials=2,
        hyperparameters=hp,
        directory=tmp_path,
        overwrite=True,
    )
    shape = (4, 5, *arguments["input_shape"][1:])
    x, y = np.random.default_rng(0).random(shape, "float32"), np.arange(4) % 2
    tuner.search(x, y, epochs=1, batch_size=4, verbose=0)
    trials = list(tuner.oracle.trials.values())
    assert [trial.status for trial in trials] == ["COMPLETED"] * 2
    for trial in trials:
        assert {pin: trial.hyperparameters.get(pin) for pin in pins} == pins


def test_an_argument_of_a_hypermodel_takes_its_axis_out_of_the_search():
    hp = keras_tuner.HyperParameters()
    pins = {"cell": "rnn", "units": 2, "num_layers": 3, "attention_layers": [1], "optimizer": "sgd"}
    model = tuning.EleAttHyperModel(2, (None, 3), **pins, learning_rate=0.01, accumulate=4).build(hp)
    assert {each.name for each in hp.space if not isinstance(each, Fixed)} == {
        "attention_activation",
        "dropout",
    }
    assert type(model.optimizer).__name__ == "SGD" and model.optimizer.gradient_accumulation_steps == 4
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model.optimizer.learning_rate), 0.01, rtol=1e-6)
    recurrent = [2 * (inputs + 2 + 1) for inputs in (3, 2, 2)]
    assert model.count_params() == sum(recurrent) + 3 * (3 + 2 + 1) + 2 * 2 + 2


def test_a_hypermodel_builds_what_the_hyperparameters_say():
    hp = keras_tuner.HyperParameters()
    for name, value in {"cell": "gru", "units": 2, "num_layers": 3, "attention_layers": "[1]"}.items():
        hp.Fixed(name, value)
    model = tuning.EleAttHyperModel(2, (None, 3)).build(hp)
    gru = [3 * 2 * (inputs + 2 + 1) for inputs in (3, 2, 2)]
    gate, classifier = 3 * (3 + 2 + 1), 2 * 2 + 2
    assert model.count_params() == sum(gru) + gate + classifier


def test_frames_and_steps_are_cut_out_of_the_data():
    seen = []

    class Model:
        def fit(self, x, y, validation_data=None, callbacks=None):
            seen.append((x[0, :, 0].tolist(), validation_data[0][0, :, 0].tolist()))

    hypermodel = tuning.EleAttHyperModel(2, (None, 1), frames=[3, 4], frame_step=[2])
    x = np.arange(10.0)[None, :, None]
    hypermodel.fit(keras_tuner.HyperParameters(), Model(), x, [0], validation_data=(-x, [0]))
    assert seen == [([0, 2, 4], [0, -2, -4])]


def test_frames_of_a_generator_are_refused():
    hypermodel = tuning.EleAttHyperModel(2, (None, 1), frames=[3])
    with pytest.raises(UserError, match="`frames` and `frame_step` choose from arrays"):
        hypermodel.fit(keras_tuner.HyperParameters(), None, iter([]))


def test_an_argument_that_the_builder_does_not_have_is_refused():
    with pytest.raises(UserError, match="did you mean 'motion'"):
        tuning.HMANHyperModel(2, moton=True)


@pytest.mark.no_backend
def test_without_keras_tuner_one_line_names_the_extra(run_python, hide):
    code = (
        "from keras_actrec import tuning\n"
        "print(tuning.read_study('hman_frames').name)\n"
        "try:\n    tuning.HMANHyperModel\n"
        "except ValueError as error:\n    print(type(error).__name__, error)"
    )
    path = os.pathsep.join([str(hide("keras_tuner")), str(Path(__file__).parents[1])])
    done = run_python("-c", code, PYTHONPATH=path)
    assert done.stdout.splitlines() == [
        "hman_frames",
        "UserError searching needs the extra `tune` (keras_tuner is missing): "
        "pip install 'keras_actrec[tune]'",
    ], done.stderr
