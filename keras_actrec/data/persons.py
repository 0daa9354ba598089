"""Persons in a sequence: who is who from frame to frame, which ones are taken, and what was not seen."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_actrec._numbers import whole
from keras_actrec.data._pose import Pose
from keras_actrec.errors import UserError

_CROWD = 64  # persons of a frame that are followed, and the most that a recipe may take
_KEPT = 8  # persons of a sequence that are kept, those that move most
_LOST = 30  # frames after which nobody is waited for
_NEAR = 0.5  # of a body's size: as far as its joints may be from the same ones a frame later, in the mean
_SPARSE = 4  # times as many frames as there are some with persons; more are no video
_MOST_GAP = 10_000


@dataclass(frozen=True)
class Persons:
    """Which persons of a sequence are taken, and what becomes of joints that were not seen.

    In this order:

    1. `min_score`: a joint whose score is lower was not seen. Without scores in the file all count.
    2. `gap`: a joint that was not seen in so many frames in a row, or fewer, is put on the line from the
       frame before to the frame after; all other joints that were not seen are zeros.
    3. `bodies`: so many persons, those that move most first, and of equal ones those that the file has
       first; absent ones are zeros. A person moves as far as its joints, in the mean, from frame to frame.
    4. `scores`: the score of each joint becomes a fourth coordinate, 0 where it was not seen.

    Attributes:
        bodies: number of persons, 1 to 64; `None` takes all, in the file's order.
        min_score: 0 or more.
        gap: frames, 0 to 10,000.
        scores: whether to add the scores; in a file without them what was seen has 1.

    Raises:
        UserError: an argument out of range.
    """

    bodies: int | None = None
    min_score: float = 0.0
    gap: int = 0
    scores: bool = False

    def __post_init__(self) -> None:
        if self.bodies is not None:
            object.__setattr__(self, "bodies", whole("bodies", self.bodies, high=_CROWD))
        object.__setattr__(self, "gap", whole("gap", self.gap, 0, _MOST_GAP))
        if not 0 <= self.min_score < math.inf:
            raise UserError(f"`min_score` must be 0 or more. Received: min_score={self.min_score}")

    def __call__(self, pose: Pose) -> np.ndarray:
        """The joints of the persons that are taken.

        Returns:
            float32 array `(T, bodies, joints, 3)`, or `4` with `scores`; of joints in two dimensions the
            third is 0.
        """
        joints = np.pad(pose.joints, [(0, 0)] * 3 + [(0, 3 - pose.joints.shape[3])])
        seen = np.any(joints, axis=-1)  # (T, M, V)
        if self.min_score and pose.scores is not None:
            seen = seen & (pose.scores >= self.min_score)
            joints = np.where(seen[..., None], joints, np.float32(0))
        if self.gap:
            joints = _bridged(joints, seen, self.gap)
        order = slice(None) if self.bodies is None else np.argsort(-movement(joints), kind="stable")
        if self.scores:
            scores = np.ones(seen.shape, "float32") if pose.scores is None else pose.scores
            joints = np.concatenate([joints, np.where(seen, scores, 0)[..., None]], axis=-1)
        joints = joints[:, order]
        if self.bodies is not None:
            absent = max(self.bodies - joints.shape[1], 0)
            joints = np.pad(joints[:, : self.bodies], [(0, 0), (0, absent), (0, 0), (0, 0)])
        return np.ascontiguousarray(joints, "float32")


def movement(joints: np.ndarray) -> np.ndarray:
    """How far each person moves, `(M,)`.

    That is the sum over frames of the mean distance of its joints from where they were a frame before; joints
    that are missing, zeros, in one of the two are left out.

    Args:
        joints: `(T, M, V, C)`.
    """
    seen = np.any(joints, axis=-1)
    both = seen[1:] & seen[:-1]
    steps = np.where(both, np.linalg.norm(np.diff(joints.astype("float64"), axis=0), axis=-1), 0)
    return (steps.sum(axis=-1) / np.maximum(both.sum(axis=-1), 1)).sum(axis=0)


def _bridged(joints: np.ndarray, seen: np.ndarray, gap: int) -> np.ndarray:
    """The joints with gaps of up to so many frames filled, linear between the frames around them."""
    frames = len(joints)
    number = np.arange(frames)[:, None, None]
    before = np.maximum.accumulate(np.where(seen, number, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, number, frames)[::-1], axis=0)[::-1]
    fills = ~seen & (before >= 0) & (after < frames) & (after - before - 1 <= gap)
    at = np.nonzero(fills)
    start, end = before[at], after[at]
    share = ((at[0] - start) / (end - start))[:, None]
    filled = joints.copy()
    filled[at] = (1 - share) * joints[start, at[1], at[2]] + share * joints[end, at[1], at[2]]
    return filled


class NobodyError(ValueError):
    """There is no person in any frame of a sequence."""


@dataclass(frozen=True)
class Seen:
    """A person in one frame.

    Attributes:
        joints: float32 `(V, 2 or 3)`; a joint that was not seen is zeros.
        scores: float32 `(V,)`.
        track: who it is, where the file says so.
    """

    joints: np.ndarray
    scores: np.ndarray
    track: int | str | None = None


@dataclass
class _Track:
    """A person over time.

    Attributes:
        frames: where it was seen.
        sightings: what was seen there.
        size: of its largest sighting; of a head alone it would be too small to tell what is near.
    """

    frames: list[int] = field(default_factory=list)
    sightings: list[Seen] = field(default_factory=list)
    size: float = 0.0

    def movement(self) -> float:
        """As the function of this name; of two sightings that are apart, as if they were not."""
        if len(self.sightings) < 2:
            return 0.0
        return float(movement(np.stack([each.joints for each in self.sightings])[:, None])[0])

    def add(self, frame: int, person: Seen) -> None:
        """Note where it was seen."""
        self.frames.append(frame)
        self.sightings.append(person)
        self.size = max(self.size, _size(person.joints))


def sequence_of(frames: Mapping[int, Sequence[Seen]]) -> tuple[np.ndarray, np.ndarray]:
    """The joints and scores of persons that were found frame by frame.

    Who has a track is followed by it, all others from frame to frame by where their joints are. Where one
    frame has a track twice, as all of AlphaPose without tracking have, tracks tell nothing and are passed
    over. At most eight are kept, those that move most, in the order in which they come.

    Args:
        frames: number of each frame and the persons in it. Where all numbers are a multiple apart, such as
            every fifth, so are the frames of the result.

    Returns:
        float32 arrays `(T, M, V, C)` and `(T, M, V)`.

    Raises:
        NobodyError: for no person at all.
        ValueError: for persons with different joints, or numbers that are no video's.
    """
    shapes = {each.joints.shape for persons in frames.values() for each in persons}
    if not shapes:
        raise NobodyError("there is no person in any frame; leave it out")
    if len(shapes) > 1:
        raise ValueError(f"persons have joints of the shapes {', '.join(map(str, sorted(shapes)[:4]))}")
    all_frames = numbers_of(frames)
    named = [[each.track for each in persons if each.track is not None] for persons in frames.values()]
    if any(len(set(each)) < len(each) for each in named):
        frames = {n: [Seen(each.joints, each.scores) for each in persons] for n, persons in frames.items()}
    tracks = _followed((all_frames.index(number), frames[number]) for number in sorted(frames))
    kept = sorted(range(len(tracks)), key=lambda place: -tracks[place].movement())[:_KEPT]
    (shape,) = shapes
    joints = np.zeros((len(all_frames), len(kept), *shape), "float32")
    scores = np.zeros((len(all_frames), len(kept), shape[0]), "float32")
    for person, place in enumerate(sorted(kept)):
        joints[tracks[place].frames, person] = [each.joints for each in tracks[place].sightings]
        scores[tracks[place].frames, person] = [each.scores for each in tracks[place].sightings]
    return joints, scores


def numbers_of(frames: Collection[int]) -> range:
    """The numbers of all frames, also of those between that a file leaves out.

    Raises:
        ValueError: for numbers that are no video's.
    """
    found = sorted(frames)
    step = math.gcd(*(after - before for before, after in zip(found, found[1:], strict=False))) or 1
    numbers = range(found[0], found[-1] + 1, step)
    if (found[-1] - found[0]) // step >= _SPARSE * len(found) + 1000:  # `len` takes no such numbers
        told = f"{len(found)} frames are numbered from {found[0]} to {found[-1]}"
        raise ValueError(f"{told}, so they are not of one video")
    return numbers


def _followed(frames: Iterable[tuple[int, Sequence[Seen]]]) -> list[_Track]:
    """The persons over time, in the order in which they come."""
    tracks: list[_Track] = []
    known: dict[int | str, _Track] = {}
    waiting: list[_Track] = []  # those without a name that may come back
    for number, persons in frames:
        best = sorted(persons, key=lambda each: -float(each.scores.sum()))[:_CROWD]
        best = list(persons) if len(persons) <= _CROWD else best
        waiting = [track for track in waiting if number - track.frames[-1] <= _LOST][-2 * _CROWD :]
        matched = _matched([each for each in best if each.track is None], waiting)
        matched += [(each, None) for each in best if each.track is not None]
        for person, track in matched:
            if person.track is not None:
                track = known.get(person.track)
            if track is None:
                track = _Track()
                tracks.append(track)
                if person.track is None:
                    waiting.append(track)
                else:
                    known[person.track] = track
            track.add(number, person)
    return tracks


def _matched(persons: Sequence[Seen], tracks: Sequence[_Track]) -> list[tuple[Seen, _Track | None]]:
    """Each person of a frame with the one that it was before, the nearest first, or None."""
    if not persons or not tracks:
        return [(person, None) for person in persons]
    now = np.stack([person.joints for person in persons])[:, None]  # (P, 1, V, C)
    then = np.stack([track.sightings[-1].joints for track in tracks])[None]  # (1, N, V, C)
    both = np.any(now, axis=-1) & np.any(then, axis=-1)
    apart = np.where(both, np.linalg.norm(now - then, axis=-1), 0).sum(axis=-1)
    apart = np.where(both.any(axis=-1), apart / np.maximum(both.sum(axis=-1), 1), np.inf)
    sizes = np.array([[_size(person.joints)] for person in persons])
    apart = apart / np.maximum(sizes, [track.size for track in tracks])
    found: dict[int, _Track] = {}
    for _ in persons:
        person, place = divmod(int(np.argmin(apart)), len(tracks))
        if not apart[person, place] <= _NEAR:
            break
        found[person] = tracks[place]
        apart[person], apart[:, place] = np.inf, np.inf
    return [(person, found.get(number)) for number, person in enumerate(persons)]


def _size(joints: np.ndarray) -> float:
    """The longer side of the box around the joints that were seen."""
    seen = joints[np.any(joints, axis=-1)]
    return max(float(np.ptp(seen, axis=0).max()), 1e-6) if len(seen) else 1e-6
