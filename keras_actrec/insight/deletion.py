"""Whether the joints that a gate lets through are those that the answer needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_actrec._numbers import whole
from keras_actrec.data.preprocessors import Indexed
from keras_actrec.errors import UserError
from keras_actrec.insight._skeleton import relative_response
from keras_actrec.insight.gates import average_response, gates_of_joints
from keras_actrec.recognizer import Recognizer

_BATCH = 64


@dataclass(frozen=True)
class Deletion:
    """The share of right answers, top-1, of files in which some joints are switched off.

    Attributes:
        counts: how many joints are off, `(N,)`.
        largest: with those off that the gate lets through most, `(N,)`.
        smallest: with those off that it lets through least, `(N,)`.
        random: with others off in each of some draws, `(draws, N)`.
    """

    counts: tuple[int, ...]
    largest: np.ndarray
    smallest: np.ndarray
    random: np.ndarray

    @property
    def difference(self) -> float:
        """Mean over the counts of random less largest: above 0, the gate's joints are missed more."""
        return float((self.random.mean(axis=0) - self.largest).mean())


def delete_joints(
    recognizer: Recognizer,
    items: Indexed,
    *,
    counts: Sequence[int] | None = None,
    draws: int = 5,
    seed: int = 0,
) -> Deletion:
    """Switch off joints in the order of the first gate's response, in the opposite one, and at random.

    The response of a joint is that of `draw_gates`, a against its average over all files, the mean over the
    steps of a file, with all joints on: each file has an order of its own. A joint that is off is 0 at all
    steps and in all streams, and the network, gates and all, answers to what is left. In the stream of
    distances the others still tell how far they are from a hand that is off. Joints that a file never shows
    come last in each order.

    Args:
        recognizer: a model with a gate in its first layer, trained on skeletons.
        items: what `recognizer.preprocessor.index` gave, with labels.
        counts: of joints that are off; by default each number from 0 to that of the joints.
        draws: random orders.
        seed: of the draws.

    Raises:
        UserError: for a model without such a gate, or not of skeletons, or no files.
    """
    preprocessor = recognizer.preprocessor
    if preprocessor.files != "skeletons" or preprocessor.form is None or not items:
        raise UserError(
            f"joints are switched off in files of skeletons, for a model of them: {recognizer.model.name}, "
            f"{len(items)} files"
        )
    joints = preprocessor.form.bodies * preprocessor.form.joints
    counts = range(joints + 1) if counts is None else [whole("counts", each, 0, joints) for each in counts]
    x, mask = (np.stack(each) for each in zip(*map(preprocessor.sample, items), strict=True))
    shown = x.reshape(*x.shape[:2], joints, -1).any(axis=(1, 3))  # (files, joints)
    labels = np.array([record.label for record, _ in items])
    response = np.where(shown, _responses(recognizer, x, mask, joints), -np.inf)
    rng = np.random.default_rng(seed)
    chance = [np.where(shown, rng.random(shown.shape), -np.inf) for _ in range(whole("draws", draws))]

    def curve(order: np.ndarray) -> np.ndarray:
        places = np.argsort(np.argsort(-order, axis=1, kind="stable"), axis=1)  # of each joint, 0 goes first
        found = []
        for count in counts:
            left = np.repeat(places >= count, x.shape[-1] // joints, axis=1)
            answers = _predict(recognizer.model, recognizer, x * left[:, None], mask)
            found.append(np.mean(answers.argmax(axis=-1) == labels))
        return np.array(found)

    smallest = np.where(shown, -response, -np.inf)
    random = np.stack([curve(each) for each in chance])
    return Deletion(tuple(counts), curve(response), curve(smallest), random)


def _responses(recognizer: Recognizer, x: np.ndarray, mask: np.ndarray, joints: int) -> np.ndarray:
    """Of each file and joint the relative response, the mean over steps, `(files, joints)`."""
    pairs = np.asarray(_predict(gates_of_joints(recognizer), recognizer, x, mask), "float64")
    seen, gates = np.moveaxis(pairs, 2, 0)  # (files, T, D) each
    there = mask[..., None]
    energies = [np.sum(each**2 * there, axis=(0, 1)) for each in (seen, gates * seen)]
    average = average_response(*energies)
    response = [
        relative_response(each[steps], average, joints).mean(axis=0)
        for each, steps in zip(gates, mask, strict=True)
    ]
    return np.stack(response)


def _predict(model: keras.Model, recognizer: Recognizer, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    x = x.astype("float32")
    inputs = {"features": x, "mask": mask} if recognizer.spec.masked else x
    return model.predict(inputs, batch_size=_BATCH, verbose=0)
