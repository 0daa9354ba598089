"""Switching joints off: which go first, and what a network then says whose one joint that counts is known."""

import numpy as np
import pytest

from checks import randomize
from keras_actrec import insight, zoo
from keras_actrec.data import FeaturePreprocessor, Record, Sampling, SkeletonTransform
from keras_actrec.data.preprocessors import SkeletonPreprocessor
from keras_actrec.data.skeletons import SkeletonForm
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

JOINTS, FRAMES = 4, 6


def preprocessor():
    transform = SkeletonTransform(FRAMES, "resample", center=None)
    return SkeletonPreprocessor("northwestern_ucla", transform, SkeletonForm(1, JOINTS, True))


def files(tmp_path, missing=None):
    """Eight sequences: joint 1 is at x = 1 in class 0 and at -1 in class 1; the others say nothing."""
    rng, items = np.random.default_rng(0), []
    for number in range(8):
        joints = rng.normal(0.5, 0.1, (FRAMES, 1, JOINTS, 3))
        joints[:, 0, 1, 0] = 1 - 2 * (number % 2)
        if missing is not None:
            joints[:, 0, missing] = 0
        items.append((Record(tmp_path / f"{number}.json", str(number), number % 2), joints))
    return items


@pytest.fixture
def recognizer():
    """A network that answers by joint 1 alone, whose gate is half open for all."""
    model = zoo.eleatt_rnn(2, input_shape=(None, 3 * JOINTS), units=1, num_layers=1, cell="rnn", dropout=0.0)
    weights = {weight.name: weight for weight in model.get_layer("temporal").weights}
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(np.zeros(weight.shape))
    kernel = np.zeros((3 * JOINTS, 1))
    kernel[3] = 5  # x of joint 1
    weights["kernel"].assign(kernel)
    model.get_layer("classifier").kernel.assign([[5.0, -5.0]])
    return Recognizer(model, ("one", "two"), preprocessor())


def open_for(recognizer, **slopes):
    """Opens the gate for joints, `joint_0=4.0`, where x of joint 1 is 1, and closes it where that is -1."""
    weights = {weight.name: weight for weight in recognizer.model.get_layer("temporal").weights}
    gate = np.zeros((3 * JOINTS, 3 * JOINTS))
    for name, slope in slopes.items():
        joint = int(name.removeprefix("joint_"))
        gate[3, 3 * joint : 3 * joint + 3] = slope
    weights["attention_kernel"].assign(gate)


def test_the_joint_that_counts_is_missed_when_it_goes_and_not_before(recognizer, tmp_path):
    open_for(recognizer, joint_2=4.0)  # in class 0 joint 2 goes first, in class 1 last
    found = insight.delete_joints(recognizer, files(tmp_path), draws=3)
    assert found.counts == (0, 1, 2, 3, 4)
    assert found.largest[0] == found.smallest[0] == 1.0 and (found.random[:, 0] == 1.0).all()
    # With all off every answer is the same, the first class: half of the files are of it.
    assert found.largest[-1] == found.smallest[-1] == 0.5 and (found.random[:, -1] == 0.5).all()
    assert found.random.shape == (3, 5)
    np.testing.assert_allclose(found.difference, (found.random.mean(0) - found.largest).mean())


def test_a_gate_that_opens_for_the_joint_that_counts_is_missed_at_once(recognizer, tmp_path):
    open_for(recognizer, joint_0=4.0, joint_1=-4.0)  # in class 1 it opens for joint 1, and closes for 0
    found = insight.delete_joints(recognizer, files(tmp_path), counts=[0, 1])
    assert found.largest[1] == 0.5  # joint 1 of class 1 is off: the first class is answered
    assert found.smallest[1] == 1.0  # joint 1 of class 0 goes first there, and that is answered anyway


def test_a_joint_that_is_never_shown_goes_last(recognizer, tmp_path):
    whole = insight.delete_joints(recognizer, files(tmp_path, missing=0), counts=[3, 4], draws=2)
    np.testing.assert_array_equal(whole.random[:, 0], whole.random[:, 1])  # nothing is left to go


def test_what_cannot_be_switched_off_is_refused(recognizer, tmp_path):
    with pytest.raises(UserError, match="in files of skeletons, for a model of them: eleatt_rnn, 0 files"):
        insight.delete_joints(recognizer, [])
    with pytest.raises(UserError, match="`counts` must be a whole number from 0 to 4. Received: counts=5"):
        insight.delete_joints(recognizer, files(tmp_path), counts=[5])
    plain = randomize(zoo.stacked_rnn(2, input_shape=(None, 12), units=2, num_layers=1))
    with pytest.raises(UserError, match="has no gate in its first recurrent layer"):
        insight.delete_joints(Recognizer(plain, ("one", "two"), preprocessor()), files(tmp_path))
    looks = FeaturePreprocessor(Sampling(4), (12,))
    with pytest.raises(UserError, match="for a model of them: eleatt_rnn, 8 files"):
        insight.delete_joints(Recognizer(recognizer.model, ("one", "two"), looks), files(tmp_path))
    mixed = zoo.eleatt_rnn(2, input_shape=(None, 12), units=2, num_layers=1, embedding=2 * JOINTS)
    refused = Recognizer(mixed, ("one", "two"), preprocessor())  # as wide as if each joint had two
    for call in (
        lambda: insight.delete_joints(refused, files(tmp_path)),
        lambda: insight.draw_gates(refused, files(tmp_path), tmp_path / "a.png", classes=["one"]),
    ):
        with pytest.raises(
            UserError, match="eleatt_rnn sees joints mixed, so none has a response: set model"
        ):
            call()
