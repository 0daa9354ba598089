"""From the answers to windows to segments: proposals, and temporal non-maximum suppression."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

LEVELS = tuple(number / 10 for number in range(1, 10))
_MARGIN = 0.5  # of a proposal's length, on each side


class Proposals(NamedTuple):
    """Parts of a recording that may show a class, arrays of one length.

    Attributes:
        starts: where each begins, as the edges are given.
        ends: where it ends.
        labels: class ids.
        scores: mean probability of the class inside.
        contrasts: by how much that is above its mean in the margins.
    """

    starts: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    contrasts: np.ndarray

    def take(self, which: ArrayLike) -> "Proposals":
        """Those of these numbers, or where this is true."""
        return Proposals(*(values[np.asarray(which)] for values in self))


def mean_scores(
    starts: ArrayLike, scores: ArrayLike, length: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mean, at each time, of the answers to all windows that hold it.

    Args:
        starts: first step of each window `(W,)`; together they hold all steps.
        scores: its probabilities `(W, C)`.
        length: steps of a window; the last one may have fewer.
        count: steps of the recording.

    Returns:
        Edges `(E + 1,)`, in steps, between which nothing changes, and the means there `(E, C)`.
    """
    starts, scores = np.asarray(starts), np.asarray(scores, "float64")
    ends = np.minimum(starts + length, count)
    edges = np.unique(np.concatenate([starts, ends]))
    sums, holding = np.zeros((len(edges), scores.shape[1])), np.zeros(len(edges))
    for at, sign in ((starts, 1), (ends, -1)):
        place = np.searchsorted(edges, at)
        np.add.at(sums, place, sign * scores)
        np.add.at(holding, place, sign)
    return edges, np.cumsum(sums, axis=0)[:-1] / np.cumsum(holding)[:-1, None]


def propose(edges: ArrayLike, means: ArrayLike, least: float = 0.5) -> Proposals:
    """The parts where a class stays at or above a level, for each class and each of `LEVELS`.

    A low level bridges a moment of doubt, a high one finds the core. Which of them is the action tells the
    contrast of the mean inside `[s, e)` and the mean in the margins on both sides, `m = (e - s) / 2` each, in
    which p is 0 beyond the ends of the recording:

        contrast = 1 / (e - s) (int_s^e p dt - int_{s-m}^s p dt - int_e^{e+m} p dt)

    As margins and inside are of one length, it is highest where p crosses one half on its way from 1 to 0.

    Args:
        edges: `(E + 1,)`, between which nothing changes.
        means: the probabilities there `(E, C)`.
        least: lowest mean probability inside of a proposal.

    Reference: the contrast is that of Shou et al., AutoLoc, ECCV 2018, as a score and not as a loss.
    """
    edges, means = np.asarray(edges, "float64"), np.asarray(means, "float64")
    found: list[tuple[np.ndarray, ...]] = []
    for label, curve in enumerate(means.T):
        integral = np.concatenate([[0.0], np.cumsum(curve * np.diff(edges))])
        runs = []
        for level in LEVELS:
            steps = np.diff(np.concatenate([[0], curve >= level, [0]]).astype(int))
            runs.append(np.stack([np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)], axis=1))
        first, last = np.unique(np.concatenate(runs), axis=0).T
        start, end = edges[first], edges[last]
        margin = _MARGIN * (end - start)
        inside = integral[last] - integral[first]
        wide = np.interp(end + margin, edges, integral) - np.interp(start - margin, edges, integral)
        scores = inside / (end - start)
        contrasts = scores - (wide - inside) / (2 * margin)
        found.append((start, end, np.full(len(start), label), scores, contrasts))
    proposals = Proposals(*map(np.concatenate, zip(*found, strict=True)))
    return proposals.take(proposals.scores >= least)


def suppress(proposals: Proposals, overlap: float = 0.0) -> Proposals:
    """Temporal non-maximum suppression: of those that overlap, the one with the highest contrast is left.

    From the highest contrast down, one is kept unless `|a and b| / |a or b| > overlap` with one that is kept,
    whatever the classes.

    Args:
        proposals: of one recording.
        overlap: largest intersection over union; 0 leaves segments that do not overlap.

    Returns:
        Those that are kept, by time.
    """
    kept: list[int] = []
    starts, ends = proposals.starts, proposals.ends
    for one in np.argsort(-proposals.contrasts, kind="stable").tolist():
        both = np.minimum(ends[one], ends[kept]) - np.maximum(starts[one], starts[kept])
        either = ends[one] - starts[one] + ends[kept] - starts[kept] - both
        if not np.any((both > 0) & (both > overlap * either)):
            kept.append(one)
    return proposals.take(np.array(sorted(kept, key=lambda one: (starts[one], ends[one])), int))
