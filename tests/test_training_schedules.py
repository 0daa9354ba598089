"""Learning rates over a run, what counts epochs, and runs with the options of [train]."""

import csv
import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_actrec import backbones, training, zoo
from keras_actrec.data import write_synthetic
from keras_actrec.errors import UserError
from keras_actrec.layers import FrameWise, GateShift
from keras_actrec.training import fit, parse_recipe, warmup_cosine
from keras_actrec.training.optimizers import learning_rate_of
from keras_actrec.training.schedules import EarlyStop, LogScalars, Plateau, callbacks_of


def table(**train):
    return parse_recipe({"model": {"name": "hman"}, "train": train}).train


def rates(epochs, batches=1, **train):
    """The learning rate of every batch of a run, `(epochs, batches)`, and the logged ones."""
    settings = table(epochs=epochs, **train)
    seen = []

    class See(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(float(ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(learning_rate_of(settings, batches)), "mse")
    x = np.zeros((batches, 1))
    history = model.fit(x, x, 1, epochs, verbose=0, callbacks=[*callbacks_of(settings), See()]).history
    return np.reshape(seen, (epochs, batches)), history["learning_rate"]


def test_warmup_cosine_has_the_rates_of_gsms_code():
    expected = {0: 1e-3, 1: 1.9e-3, 5: 5.5e-3, 9: 9.1e-3, 10: 0.01, 11: 9.9901e-3, 20: 9.0451e-3}
    expected |= {35: 5e-3, 50: 9.549e-4, 58: 3.943e-5, 59: 9.867e-6}
    for epoch, rate in expected.items():
        found = warmup_cosine(epoch, learning_rate=0.01, epochs=60, warmup_epochs=10)
        assert found == pytest.approx(rate, rel=2e-4)


def test_warmup_cosine_has_the_rates_of_sa_gsms_code():
    found = [warmup_cosine(epoch, learning_rate=0.01, epochs=15, warmup_epochs=10) for epoch in range(15)]
    assert found[9:] == pytest.approx([9.1e-3, 0.01, 9.045e-3, 6.545e-3, 3.455e-3, 9.55e-4], rel=2e-4)


def test_a_run_that_is_shorter_than_the_warm_up_only_warms_up():
    seen, _ = rates(2, schedule="warmup_cosine", learning_rate=1.0)
    np.testing.assert_allclose(seen[:, 0], [0.1, 0.19], rtol=1e-6)


def test_warmup_cosine_holds_for_every_batch_of_an_epoch_and_is_logged():
    seen, logged = rates(4, 3, schedule="warmup_cosine", warmup_epochs=2, learning_rate=1.0)
    np.testing.assert_allclose(seen, np.repeat([[0.1], [0.55], [1.0], [0.5]], 3, axis=1), rtol=1e-6)
    np.testing.assert_allclose(logged, seen[:, 0])


def test_multistep_divides_at_its_epochs():
    seen, logged = rates(5, 2, schedule="multistep", milestones=[1, 3], learning_rate=1.0)
    np.testing.assert_allclose(seen[:, 0], [1, 0.1, 0.1, 0.01, 0.01], rtol=1e-6)
    np.testing.assert_allclose(seen[:, 0], logged)


def test_steps_are_batches_and_an_epoch_logs_the_rate_it_began_with():
    seen, logged = rates(2, 3, learning_rate=1.0, final_learning_rate=0.25, drop_after=2)
    assert seen.tolist() == [[1, 1, 0.25], [0.25] * 3] and logged == [1, 0.25]


def test_a_constant_rate_stays():
    seen, logged = rates(2, 2, schedule="constant", learning_rate=0.5)
    assert seen.tolist() == [[0.5, 0.5], [0.5, 0.5]] and logged == [0.5, 0.5]


def test_cosine_restarts_fall_to_nothing_and_begin_anew_each_time_for_longer():
    def found(count, **train):
        settings = table(schedule="cosine_restarts", restart_after=1, learning_rate=1.0, **train)
        return ops.convert_to_numpy(learning_rate_of(settings, 4)(ops.arange(count)))  # 4 batches an epoch

    def part(count):
        return (1 + np.cos(np.pi * np.arange(count) / count)) / 2

    np.testing.assert_allclose(found(28), np.concatenate([part(4), part(8), part(16)]), atol=1e-5)
    np.testing.assert_allclose(found(12, restart_factor=1), np.tile(part(4), 3), atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    "share, number",
    [
        ({"drop_after": 0.25}, {"drop_after": 6}),  # of 8 epochs of 3 batches
        ({"schedule": "warmup_cosine", "warmup_epochs": 0.25}, {"warmup_epochs": 2}),
        ({"schedule": "multistep", "milestones": [0.25, 0.75]}, {"milestones": [2, 6]}),
        ({"schedule": "cosine_restarts", "restart_after": 0.25}, {"restart_after": 2}),
    ],
)
def test_a_share_of_the_run_is_so_many_batches_or_epochs(share, number):
    found, _ = rates(8, 3, **share)
    np.testing.assert_array_equal(found, rates(8, 3, **{**share, **number})[0])
    others = {name: [1] if isinstance(value, list) else 1 for name, value in number.items()}
    assert np.any(found != rates(8, 3, **{**share, **others})[0])


def test_a_short_run_has_no_warm_up_by_share_and_one_batch_before_a_drop():
    assert rates(4, schedule="warmup_cosine", warmup_epochs=0.05, learning_rate=1.0)[0][0, 0] == 1
    found, _ = rates(1, 3, drop_after=0.01, learning_rate=1.0, final_learning_rate=0.25)
    assert found.tolist() == [[1, 0.25, 0.25]]


@pytest.mark.parametrize(
    "train",
    [
        {"schedule": "warmup_cosine"},
        {"schedule": "warmup_cosine", "warmup_epochs": 0.4},
        {"schedule": "multistep", "milestones": [2]},
        {"schedule": "multistep", "milestones": [0.5, 0.8]},
    ],
)
def test_a_resumed_run_has_the_rates_of_one_that_was_not_interrupted(train):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    x = np.zeros((1, 1))
    settings = table(epochs=5, learning_rate=1.0, **train)
    run = {"epochs": 5, "initial_epoch": 3, "verbose": 0, "callbacks": callbacks_of(settings)}
    assert model.fit(x, x, **run).history["learning_rate"] == pytest.approx(
        rates(5, **train, learning_rate=1.0)[1][3:]
    )


class Scored(keras.callbacks.Callback):
    """Says how an epoch went, from a list."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["accuracy"] = self.values[epoch]


def plateau_run(values, settings, *, start=0, model=None, state=None):
    """Epochs from `start` on with these accuracies: the rates logged, the model, the plateau's state."""
    if model is None:
        model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(learning_rate_of(settings, 1)), "mse")
    callbacks = callbacks_of(settings)
    (plateau,) = (each for each in callbacks if isinstance(each, Plateau))
    if state:
        plateau.set_state(state)
    x = np.zeros((1, 1))
    run = {"epochs": len(values), "initial_epoch": start, "verbose": 0}
    history = model.fit(x, x, **run, callbacks=[Scored(values), *callbacks]).history
    return history["learning_rate"], model, plateau.get_state()


FLAT = [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.7]


def test_a_plateau_divides_after_its_patience_and_waits_for_its_cooldown():
    settings = table(schedule="plateau", patience=2, cooldown=2, learning_rate=1.0)
    # Epochs 2 and 3 do not improve; 4 cools down; 5, at whose end it has cooled, and 6 do not improve.
    expected = [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]
    np.testing.assert_allclose(plateau_run(FLAT, settings)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("stop", range(1, 10))
def test_a_plateau_that_is_resumed_goes_on_counting(stop):
    settings = table(schedule="plateau", patience=2, cooldown=2, learning_rate=1.0)
    whole, _, end = plateau_run(FLAT, settings)
    first, model, state = plateau_run(FLAT[:stop], settings)
    state = json.loads(json.dumps(state))
    second, _, last = plateau_run(FLAT, settings, start=stop, model=model, state=state)
    assert first + second == whole and last == end


def test_the_defaults_of_a_plateau_are_eleattgs():
    (plateau, _) = callbacks_of(table(schedule="plateau"))
    found = [plateau.monitor, plateau.factor, plateau.patience, plateau.cooldown, plateau.mode]
    assert found == ["accuracy", 0.1, 5, 3, "max"]
    assert callbacks_of(table(schedule="plateau", monitor="val_loss"))[0].mode == "min"


def stopped(values, patience, *, start=0, state=None):
    """Number of the epochs from `start` on until it stops, and the state."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    stop, _ = callbacks_of(table(early_stop=patience))
    assert isinstance(stop, EarlyStop)
    if state:
        stop.set_state(state)
    x = np.zeros((1, 1))
    run = {"epochs": len(values), "initial_epoch": start, "verbose": 0}
    history = model.fit(x, x, **run, callbacks=[Scored(values), stop]).history
    return len(history["loss"]), stop.get_state()


def test_a_run_stops_after_so_many_epochs_without_a_better_score_also_when_resumed():
    assert stopped(FLAT, 3)[0] == 5  # epoch 1 is the best
    assert stopped(FLAT, 8)[0] == 10
    done, state = stopped(FLAT[:3], 3)
    assert (done, state) == (3, {"best": 0.6, "wait": 1})
    assert stopped(FLAT, 3, start=3, state=state)[0] == 2


def logged_by(model):
    log = LogScalars()
    log.set_model(model)
    log.on_epoch_begin(0)
    logs = {}
    log.on_epoch_end(0, logs)
    return logs


def test_temperatures_are_logged_by_name_or_by_path_where_two_have_it():
    sizes = {"input_shape": (3, 2, 2, 4), "units": 4, "num_layers": 1, "temperature": 0.5}
    hman = zoo.build("hman", 2, **sizes)
    hman.compile(keras.optimizers.SGD(0.25))
    assert logged_by(hman) == {"learning_rate": 0.25, "temperature": 0.5}
    both = zoo.build("hman", 2, attention="gumbel_constant", **sizes)
    both.compile(keras.optimizers.SGD(0.25))
    names = ["temporal/cell/attention/temperature", "temporal/cell/hm_rnn/temperature"]
    assert logged_by(both) == {"learning_rate": 0.25, names[0]: 0.5, names[1]: 0.5}
    policy = zoo.build("hman", 2, attention="reinforce", **sizes)
    policy.compile(keras.optimizers.SGD(0.25))
    assert logged_by(policy) == {"learning_rate": 0.25, "temperature": 0.5, "baseline": 0}


def norm(name):
    return layers.BatchNormalization(name=name)


def test_partial_bn_freezes_all_plain_trained_batch_normalizations_but_the_first():
    frame = keras.Sequential([keras.Input((4, 4, 4)), norm("one"), norm("two")])
    clip = keras.Input((2, 4, 4, 4))
    x = GateShift(name="gate")(FrameWise(frame, name="frames")(clip))
    plain = layers.BatchNormalization(name="scaling", center=False, scale=False)  # the data's statistics
    model = keras.Model(clip, norm("three")(plain(x)))
    returned = fit._freeze_norms(model)
    trained = [frame.get_layer("one"), model.get_layer("gate").batch_normalization, plain]
    frozen = [frame.get_layer("two"), model.get_layer("three")]
    assert [each.trainable for each in (*trained, *frozen)] == [True, True, True, False, False]
    assert returned == frozen
    before = [np.concatenate(each.get_weights()) for each in (*trained, *frozen)]
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(3, 2, size=(4, 2, 4, 4, 4)).astype("float32")
    model.fit(x, x, verbose=0)
    after = [np.concatenate(each.get_weights()) for each in (*trained, *frozen)]
    assert [bool(np.any(a != b)) for a, b in zip(after, before, strict=True)] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_partial_bn_without_a_norm_to_freeze_is_refused():
    model = keras.Sequential([keras.Input((4,)), norm("one")], name="small")
    with pytest.raises(
        UserError, match="train.partial_bn=true: small trains 1 batch normalizations, so none would be"
    ):
        fit._freeze_norms(model)


CLIP = {"frames": 4, "size": 32, "crop": "none"}
MODEL = {"name": "softmax_regression", "backbone": "efficientnet_lite0:block1_output"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """16 videos of two classes for training, 6 for validation and 2 for testing."""
    root = tmp_path_factory.mktemp("data")
    write_synthetic(root, clips_per_class=12, size=32, frames=8, test_fraction=1 / 3)
    with open(root / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in ("grow", "shrink")]
    for place, row in enumerate(row for row in rows if row["split"] == "test"):
        row["split"] = "validation" if place % 4 else "test"
    with open(root / "videos.csv", "w", newline="", encoding="utf-8") as file:
        lines = [(row["path"], row["label"], row["split"]) for row in rows]
        csv.writer(file).writerows([("path", "label", "split"), *lines])
    return root / "videos.csv"


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Trains with keys of [train]; returns the run and the rows of its history."""
    features = tmp_path_factory.mktemp("features")

    def go(model=None, clip=None, **train):
        train = {"batch_size": 4, "workers": 0, "epochs": 2, **train}
        recipe = parse_recipe({"model": model or MODEL, "clip": {**CLIP, **(clip or {})}, "train": train})
        done = training.train(recipe, data, tmp_path_factory.mktemp("run"), cache=features)
        with open(done.folder / "history.csv", newline="", encoding="utf-8") as file:
            return done, list(csv.DictReader(file))

    return go


def column(rows, name):
    return [float(row[name]) for row in rows]


def test_the_history_of_a_run_has_the_rate_of_every_epoch(run):
    done, rows = run(schedule="multistep", milestones=[1], learning_rate=0.5)
    assert column(rows, "learning_rate") == pytest.approx([0.5, 0.05])
    assert done.record["last_epoch"]["learning_rate"] == pytest.approx(0.05)


def test_a_share_of_the_data_is_an_update(run):
    """4 batches an epoch: with a half of them to an update, 2 epochs are 4 updates of RPROP."""
    done, rows = run(optimizer="rprop", learning_rate=0.01, accumulate=0.5)
    start, _ = run(schedule="constant", learning_rate=1e-30, epochs=1)
    moved = [
        np.abs(ours - theirs).max()
        for ours, theirs in zip(
            done.recognizer.model.get_layer("classifier").get_weights(),
            start.recognizer.model.get_layer("classifier").get_weights(),
            strict=True,
        )
    ]
    assert max(moved) == pytest.approx(0.01 * (1 + 1.2 + 1.44 + 1.728), rel=1e-3)  # never turned
    assert column(rows, "learning_rate") == pytest.approx([0.01, 0.01])


def test_validation_and_the_kept_model_use_the_moving_average(run):
    """With so slow an average that it stays where it began, after the first batch."""
    done, rows = run(ema=0.999999, schedule="constant", learning_rate=0.05, epochs=3)
    assert np.ptp(column(rows, "val_loss")) < 1e-4 < np.ptp(column(rows, "loss"))
    plain, others = run(schedule="constant", learning_rate=0.05, epochs=3)
    assert np.ptp(column(others, "val_loss")) > 1e-2
    # Swapping on TensorFlow adds and subtracts, so the weights that are trained move by rounding.
    np.testing.assert_allclose(column(rows, "loss"), column(others, "loss"), rtol=1e-3)
    kernel, other = (each.recognizer.model.get_layer("classifier").get_weights()[0] for each in (done, plain))
    assert np.abs(kernel - other).max() > 0.05


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains_and_keeps_a_float32_model(run, policy):
    options = {"schedule": "warmup_cosine", "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e-3}
    done, rows = run(mixed_precision=policy, **options)
    _, plain = run(**options)
    assert keras.config.dtype_policy().name == "float32"
    assert {layer.dtype_policy.name for layer in done.recognizer.model.layers} == {"float32"}
    assert column(rows, "learning_rate") == pytest.approx([0.01, 0.019])
    losses, reference = column(rows, "loss"), column(plain, "loss")
    assert losses != reference  # another arithmetic
    np.testing.assert_allclose(losses, reference, rtol=0.02)
    assert np.ptp(losses) > 0.02


def test_a_backbone_that_is_trained_in_half_precision_has_partial_bn(run):
    options = {"optimizer": "sgd", "weight_decay": 5e-4, "global_clipnorm": 20.0, "epochs": 1}
    options |= {"train_backbone": True, "partial_bn": True, "mixed_precision": "mixed_bfloat16"}
    done, _ = run(**options)
    start = backbones.build(MODEL["backbone"], input_shape=(32, 32, 3))
    moved = [
        [bool(np.any(a != b)) for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True)]
        for ours, theirs in zip(
            done.recognizer.model.get_layer("backbone").network.layers, start.layers, strict=True
        )
        if isinstance(ours, layers.BatchNormalization)
    ]
    assert moved == [[True] * 4, [False] * 4, [False] * 4]


def test_a_backbone_is_trained_after_its_wait_also_in_a_run_that_is_resumed(data, tmp_path, monkeypatch):
    options = {"batch_size": 4, "workers": 0, "epochs": 3, "schedule": "constant", "learning_rate": 0.01}
    options |= {"train_backbone": True, "unfreeze_after": 2, "backbone_rate": 0.5}
    recipe = parse_recipe({"model": MODEL, "clip": {**CLIP, "speed": [0.5, 1]}, "train": options})
    seen = []
    write = fit.Checkpoint.on_epoch_end

    def look(self, epoch, logs):
        weights = zoo.backbone(self.model).trainable_weights
        seen.append([np.array(ops.convert_to_numpy(weight)) for weight in weights])
        write(self, epoch, logs)

    monkeypatch.setattr(fit.Checkpoint, "on_epoch_end", look)
    whole = training.train(recipe, data, tmp_path / "whole")
    first, second, third = seen
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(np.any(a != b) for a, b in zip(second, third, strict=True))

    def stop(stage, done, total, text=""):
        if stage == "epochs" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, data, tmp_path / "parts", progress=stop)
    resumed = training.train(recipe, data, tmp_path / "parts")
    for one, other in zip(
        whole.recognizer.model.get_weights(), resumed.recognizer.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_backbone_of_a_network_over_clips_is_all_but_the_classifier():
    model = zoo.build("tsn", 3, input_shape=(2, 96, 96, 3), width=0.25)
    names = {weight.path for weight in model.trainable_weights}
    found = {weight.path for weight in fit._backbone_weights(model, zoo.spec(model))}
    assert names - found == {f"classifier/{name}" for name in ("kernel", "bias")}


@pytest.mark.parametrize(
    "train, message",
    [
        ({"accumulate": 9}, "train.accumulate=9 is an update every 9 batches, but the run has 8: lower it"),
        (
            {"train_backbone": True, "unfreeze_after": 2},
            "train.unfreeze_after=2 is as long as the run, 2 epochs, so the backbone would never be trained",
        ),
        ({"partial_bn": True}, "train.partial_bn=true: softmax_regression trains 0 batch normalizations"),
    ],
)
def test_what_could_never_happen_in_the_run_is_refused(run, train, message):
    with pytest.raises(UserError) as caught:
        run(**train)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_monitor_without_a_validation_part_is_refused():
    with pytest.raises(
        UserError, match="train.monitor='val_loss' needs a validation part: set data.validation_fr"
    ):
        fit._check_run(table(early_stop=3, monitor="val_loss"), 5, False)
