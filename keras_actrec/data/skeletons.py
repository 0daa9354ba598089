"""From joints of any length to sequences of one length."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from keras_actrec._numbers import whole
from keras_actrec.data._video_error import VideoError
from keras_actrec.data.sampling import Sampling
from keras_actrec.errors import MisfitError, UserError

_LENGTHS = ("pad", "resample")
_MOST_SPEED = 9.0
_MOST_VIEWS = 1000
_DOWN = 1e-9  # nearer to straight down than this
STREAMS = ("joints", "bones", "velocities", "bone_velocities", "posture", "distances")


@dataclass(frozen=True)
class SkeletonForm:
    """What the sequences of a set have in common.

    Attributes:
        bodies: largest number of persons.
        joints: number of joints.
        depth: whether the third coordinate says something; of joints in two dimensions it is 0.
    """

    bodies: int
    joints: int
    depth: bool

    @classmethod
    def of(cls, sequences: Sequence[np.ndarray]) -> "SkeletonForm":
        """That of sequences `(T, bodies, joints, 3)`."""
        bodies = max(sequence.shape[1] for sequence in sequences)
        return cls(bodies, sequences[0].shape[2], any(map(_has_depth, sequences)))

    def fitted(self, path: Path, sequence: np.ndarray, whose: str = "the model takes") -> np.ndarray:
        """A sequence with as many persons as all: those that are absent are zeros.

        Args:
            path: its file.
            sequence: array `(T, bodies, joints, 3)`.
            whose: who has this form, in words for the error.

        Raises:
            VideoError: for more persons, other joints, or 2-D joints among 3-D ones and the other way round.
        """
        bodies, joints = sequence.shape[1:3]
        if joints != self.joints or bodies > self.bodies:
            reason = f"{bodies} persons x {joints} joints, {whose} {self.bodies} x {self.joints}"
            raise VideoError(path, "unreadable", f"{reason}; write it as the others or remove it")
        if sequence.any() and _has_depth(sequence) != self.depth:
            its, ours = ("2-D", "3-D") if self.depth else ("3-D", "2-D")
            reason = f"its joints are {its}, {whose} {ours} joints"
            raise VideoError(path, "unreadable", f"{reason}; write it as the others or remove it")
        return np.pad(sequence, [(0, 0), (0, self.bodies - bodies), (0, 0), (0, 0)])


def _has_depth(sequence: np.ndarray) -> bool:
    return bool(sequence[..., 2].any())


@dataclass(frozen=True)
class SkeletonTransform:
    """Moves, turns and scales a skeleton sequence and gives it a fixed length.

    With a generator, first of all a stretch of time is taken, of a share of the frames drawn from `crop` to
    1, and `mirror` shows half of the sequences in a mirror: x becomes -x, joints of the left and of the right
    are swapped. Then the whole sequence, with all its bodies, is moved as one, in this order:

    1. `center`: a joint, or the middle of several, becomes the origin where the first frame has it.
    2. `unit_size`: all coordinates are divided by their spread, the root of the mean squared distance of all
       joints of the sequence from the origin: pixels, meters and persons near and far become alike. With
       `torso` it is the median length of the trunk instead, which no raised arm makes longer.
    3. `upright`: the shortest turn after which the trunk of the first frame points up, along y, whichever way
       the camera was tilted.
    4. `align`: a turn about the vertical axis, y, after which the line from one joint of the first frame to
       another points along x, whichever way it dips.
    5. `view`, with a generator: a turn about y by an angle drawn from -`view` to `view`, as if the camera
       had gone around.
    6. `rotation`, with a generator: R = Rz Ry Rx about the origin, each angle drawn from -`rotation` to
       `rotation`.
    7. `shear`, with a generator: each coordinate gains the others times factors drawn from -`shear` to
       `shear`.
    8. `scale`, with a generator: a factor drawn from 1 - `scale` to 1 + `scale`.
    9. `drop`, with a generator: each joint but those of `center` is missing throughout, with this
       probability.
    10. `length`: `"pad"` adds frames of zeros that the mask leaves out; of a longer sequence it takes a
        window that is drawn with a generator, else centered. `"resample"` takes `frames` points evenly from
        the first frame to the last, linear between frames. `speed`, with a generator, draws f between
        1 / (1 + `speed`) and 1 + `speed`, as likely slower as faster: before `"pad"` the sequence is played
        f times as fast; of `"resample"`, which knows no speed, the point at a share t of the time is that
        at t^f instead, so that the pace changes on the way.
    11. `streams`: what is seen of each joint, three channels each, one stream behind the other.

    `"joints"` are the coordinates and `"bones"` those relative to the joint that is the parent in `bones`;
    `"posture"` is relative to the place of `center` in the same frame, so that the way of the body is gone.
    `"velocities"` and `"bone_velocities"` are the steps of joints and bones from the frame before, 0 in the
    first. `"distances"` are how far away the two `hands` and `center` are in the same frame, which no turn
    changes. What has no parent, no hand or no center is 0.

    A joint at exactly (0, 0, 0) is missing, such as all joints of a body that is absent: it stays zero,
    nothing is interpolated between it and a frame that has it (the nearer of the two is taken), and steps to
    and from it are 0. "The first frame" is the first one in which body 0 has the joints in question, or, if
    none does, the next body; without one, nothing is moved. Joints in two dimensions stay so: whatever turns
    them, the third coordinate is 0.

    Attributes:
        frames: T, length of the result.
        length: `"pad"` or `"resample"`.
        center: joint, or several, or `None` to leave the origin where it is; 1, the middle of the spine, is
            that of EleAttG on NTU RGB+D.
        unit_size: whether to divide by the spread.
        torso: joints at the upper and at the lower end of the trunk, two tuples, or `None`; with `unit_size`.
        align: two joints, such as the right and the left hip, or `None`.
        mirror: pairs of joints, left and right, or `None`.
        swap: pairs of class ids that a mirrored sequence changes, such as "kick left" and "kick right".
        rotation: largest angle in degrees about each axis, 0 to 180; EleAttG draws up to 35.
        scale: largest relative change of size, 0 or more and below 1.
        velocity: whether to add the stream `"velocities"`.
        view: largest angle in degrees about the vertical axis, 0 to 180.
        shear: largest share of one coordinate that another one gains, 0 or more and below 1.
        crop: least share of the frames that training sees, above 0 and at most 1.
        speed: largest relative change of the pace, 0 or more.
        drop: probability of each joint to be missing in training, 0 or more and below 1.
        upright: joints at the upper and at the lower end of the trunk, two tuples, or `None`.
        streams: what is seen of each joint, of `STREAMS`, in this order.
        bones: pairs of joints, the parent first; needed by the streams of bones.
        hands: two joints, such as the left and the right hand; needed by the stream of distances.
        num_views: how often a test looks at a sequence, see `views`.

    Raises:
        UserError: an argument out of range, or several views of which all would be alike.

    Reference:
        [Zhang et al., 2018](https://arxiv.org/abs/1807.04445).
    """

    frames: int = 300
    length: str = "pad"
    center: int | tuple[int, ...] | None = 1
    align: tuple[int, int] | None = None
    rotation: float = 0.0
    scale: float = 0.0
    velocity: bool = False
    mirror: tuple[tuple[int, int], ...] | None = None
    unit_size: bool = False
    torso: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    swap: tuple[tuple[int, int], ...] = ()
    view: float = 0.0
    shear: float = 0.0
    crop: float = 1.0
    speed: float = 0.0
    drop: float = 0.0
    upright: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    streams: tuple[str, ...] = ("joints",)
    bones: tuple[tuple[int, int], ...] = ()
    hands: tuple[int, int] | None = None
    num_views: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", whole("frames", self.frames))
        object.__setattr__(self, "num_views", whole("num_views", self.num_views, 1, _MOST_VIEWS))
        if self.length not in _LENGTHS:
            raise UserError(
                f"`length` must be one of {', '.join(_LENGTHS)}. Received: length={self.length!r}"
            )
        if self.center is not None and not isinstance(self.center, int):
            several = tuple(self.center)  # JSON and TOML have lists
            object.__setattr__(self, "center", several[0] if len(several) == 1 else several)
        if self.center is not None and min(self._center, default=-1) < 0:
            raise UserError(f"`center` must be a joint, 0 or more. Received: center={self.center}")
        if self.align is not None:
            object.__setattr__(self, "align", tuple(self.align))
            if len(self.align) != 2 or self.align[0] == self.align[1] or min(self.align) < 0:
                raise UserError(f"`align` must be two joints. Received: align={self.align}")
        if self.mirror is not None:
            object.__setattr__(self, "mirror", _pairs("mirror", self.mirror, "joints, each joint"))
        object.__setattr__(self, "swap", _pairs("swap", self.swap, "class ids, each id"))
        for name in ("torso", "upright"):
            ends = getattr(self, name)
            if ends is not None:
                object.__setattr__(self, name, tuple(map(tuple, ends)))
                if len(ends) != 2 or min(min(end, default=-1) for end in ends) < 0:
                    raise UserError(f"`{name}` must be joints at two ends. Received: {name}={ends}")
        if self.torso is not None and not self.unit_size:
            raise MisfitError(
                f"`torso` goes with `unit_size`. Received: torso={self.torso}", ("torso", "unit_size")
            )
        self._check_numbers()
        self._check_streams()

    def _check_numbers(self) -> None:
        for name in ("rotation", "view"):
            if not 0 <= getattr(self, name) <= 180:
                raise UserError(f"`{name}` must be from 0 to 180. Received: {name}={getattr(self, name)}")
        for name in ("scale", "shear", "drop"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(
                    f"`{name}` must be at least 0 and below 1. Received: {name}={getattr(self, name)}"
                )
        if not 0 < self.crop <= 1:
            raise UserError(f"`crop` must be above 0 and at most 1. Received: crop={self.crop}")
        if not 0 <= self.speed <= _MOST_SPEED:
            raise UserError(f"`speed` must be from 0 to {_MOST_SPEED}. Received: speed={self.speed}")
        drawn = ("view", "rotation", "shear", "scale", "speed")
        if self.num_views > 1 and self.crop == 1 and not any(getattr(self, name) for name in drawn):
            names = ", ".join(f"`{name}`" for name in drawn)
            raise UserError(
                f"views differ by what training draws, {names} or `crop`: set one, or leave `num_views` out. "
                f"Received: num_views={self.num_views}"
            )

    def _check_streams(self) -> None:
        streams = tuple(self.streams)
        if self.velocity and "velocities" not in streams:
            streams = (*streams, "velocities")
        object.__setattr__(self, "streams", streams)
        object.__setattr__(self, "bones", tuple(map(tuple, self.bones)))
        foreign = [each for each in streams if each not in STREAMS]
        if foreign or not streams or len(set(streams)) < len(streams):
            raise UserError(
                f"`streams` must be some of {', '.join(STREAMS)}, each once. Received: streams={streams}"
            )
        for name in streams:
            if name.startswith("bone") and not self.bones:
                raise UserError(f"the stream {name!r} needs `bones`. Received: bones={self.bones}")
        for name in ("posture", "distances"):
            if name in streams and self.center is None:
                raise UserError(f"the stream {name!r} needs a `center`. Received: center=None")
        if self.hands is not None:
            object.__setattr__(self, "hands", tuple(self.hands))
            if len(self.hands) != 2 or min(self.hands) < 0:
                raise UserError(f"`hands` must be two joints. Received: hands={self.hands}")
        elif "distances" in streams:
            raise UserError("the stream 'distances' needs `hands`. Received: hands=None")
        if any(len(bone) != 2 for bone in self.bones) or min(sum(self.bones, ()), default=0) < 0:
            raise UserError(f"`bones` must be pairs of joints. Received: bones={self.bones}")
        # A joint that hangs on two has the first of them as its parent.
        parents: dict[int, int] = {}
        for start, end in self.bones:
            parents.setdefault(end, start)
        object.__setattr__(self, "bones", tuple((start, end) for end, start in parents.items()))

    @property
    def _sees_bones(self) -> bool:
        return any(name.startswith("bone") for name in self.streams)

    def __call__(
        self, joints: np.ndarray, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Transforms a sequence.

        Args:
            joints: float array `(N, bodies, joints, 3)`, N at least 1; a fourth coordinate is a score, which
                is left as it is.
            rng: for training; `None` gives the same result every time.

        Returns:
            float32 array `(frames, D)` with D = bodies x joints x 3 x streams, a joint one more with a score,
            behind its first stream, and bool array `(frames,)`, true where the frame counts.

        Raises:
            UserError: `joints` has another shape, holds what is not a number, or lacks a joint that `center`,
                `align`, `mirror`, `torso`, `upright`, `bones` or `hands` names.
        """
        return self.labeled(joints, 0, rng)[:2]  # whatever the label

    def views(self, joints: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What a test looks at, whose answers are averaged: `num_views` times what a call gives.

        The first one is the sequence as it is. Each other one is moved and taken in time as training would,
        but never mirrored, and no joint is dropped: what is drawn depends on the number of the view alone.

        Args:
            joints: as for a call.

        Yields:
            What a call gives.

        Raises:
            UserError: as a call.
        """
        yield self(joints)
        drawn = replace(self, mirror=None, drop=0.0)
        for number in range(1, self.num_views):
            yield drawn(joints, np.random.default_rng(number))

    def labeled(
        self, joints: np.ndarray, label: int, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Transforms a sequence and its class id, which a mirrored sequence swaps.

        Args:
            joints: as for a call.
            label: class id.
            rng: as for a call.

        Returns:
            What a call gives, and the class id.

        Raises:
            UserError: as a call.
        """
        joints = self._checked(joints)
        if rng is not None and self.crop < 1:
            joints = _stretch(joints, self.crop, rng)
        if rng is not None and self.mirror and rng.random() < 0.5:
            joints = self._mirrored(joints)
            label = {**dict(self.swap), **{second: first for first, second in self.swap}}.get(label, label)
        known = np.any(joints[..., :3], axis=-1)  # (N, bodies, joints)
        joints = self._moved(joints, known, rng)
        if rng is not None and self.drop:
            stays = rng.random(known.shape[1:]) >= self.drop
            stays[:, list(self._center)] = True  # which the posture is relative to
            known = known & stays
        joints = np.where(known[..., None], joints, 0)
        joints, known, mask = self._in_time(joints, known, rng)
        joints = np.where(mask[:, None, None, None], self._seen(joints, known), 0)
        return joints.reshape(self.frames, -1).astype("float32"), mask, label

    def _in_time(
        self, joints: np.ndarray, known: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Joints, which are known, and which frames count, of `frames` frames."""
        pace = 1.0
        if rng is not None and self.speed:
            pace = (1 + self.speed) ** rng.uniform(-1, 1)
        if self.length == "resample":
            share = np.linspace(0, 1, self.frames) if self.frames > 1 else np.array([0.5])
            if pace != 1:
                return (*_at(joints, known, share**pace * (len(joints) - 1)), np.ones(self.frames, bool))
            return (*_resample(joints, known, self.frames), np.ones(self.frames, bool))
        if pace != 1:
            frames = max(1, round(len(joints) / pace))
            joints, known = _resample(joints, known, frames)
        indices, mask = Sampling(self.frames, "contiguous").indices(len(joints), rng)
        return joints[indices], known[indices], mask

    def _seen(self, joints: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The channels of each joint, `(N, bodies, joints, C)`: its streams, and a score behind the first."""
        places, scores = joints[..., :3], joints[..., 3:]
        bones, ends = np.zeros_like(places), np.zeros_like(known)
        if self._sees_bones:
            start, end = (list(each) for each in zip(*self.bones, strict=True))
            ends[:, :, end] = known[:, :, start] & known[:, :, end]
            bones[:, :, end] = places[:, :, end] - places[:, :, start]
            bones = np.where(ends[..., None], bones, 0)
        made = {
            "joints": lambda: places,
            "bones": lambda: bones,
            "velocities": lambda: _steps(places, known),
            "bone_velocities": lambda: _steps(bones, ends),
            "posture": lambda: _posture(places, known, self._center),
            "distances": lambda: _distances(
                places, known, [(hand,) for hand in self.hands or ()] + [self._center]
            ),
        }
        first, *others = (made[name]() for name in self.streams)
        return np.concatenate([first, scores, *others], axis=-1)

    @property
    def _center(self) -> tuple[int, ...]:
        """The joints whose middle becomes the origin."""
        if self.center is None:
            return ()
        return (self.center,) if isinstance(self.center, int) else self.center

    def _checked(self, joints: np.ndarray) -> np.ndarray:
        joints = np.asarray(joints, "float64")
        if joints.ndim != 4 or joints.shape[-1] not in (3, 4) or not joints.size:
            raise UserError(f"`joints` must have the shape (N, bodies, joints, 3). Received: {joints.shape}")
        if not np.isfinite(joints).all():
            frame = int(np.argwhere(~np.isfinite(joints))[0, 0])
            raise UserError(f"`joints` must be numbers; a missing joint is zero. Frame {frame} has others")
        largest = {
            "center": max(self._center, default=0),
            "align": max(self.align or (0,)),
            "mirror": max((max(pair) for pair in self.mirror or ()), default=0),
            "torso": max((max(end) for end in self.torso or ()), default=0),
            "upright": max((max(end) for end in self.upright or ()), default=0),
            "bones": max((max(bone) for bone in self.bones), default=0),
            "hands": max(self.hands or (0,)),
        }
        for name, value in largest.items():
            if value >= joints.shape[2]:
                raise UserError(
                    f"`{name}` names joint {value}, but the joints are 0 to {joints.shape[2] - 1}"
                )
        return joints

    def _mirrored(self, joints: np.ndarray) -> np.ndarray:
        order = np.arange(joints.shape[2])
        for left, right in self.mirror or ():
            order[[left, right]] = right, left
        return joints[:, :, order] * [-1, 1, 1, 1][: joints.shape[-1]]

    def _moved(self, joints: np.ndarray, known: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        joints, scores = joints[..., :3], joints[..., 3:]
        return np.concatenate([self._moved_places(joints, known, rng), scores], axis=-1)

    def _moved_places(
        self, joints: np.ndarray, known: np.ndarray, rng: np.random.Generator | None
    ) -> np.ndarray:
        origin, turn = self._place(joints, known)
        if rng is not None and self.view:
            turn = _rotation_y(math.radians(rng.uniform(-self.view, self.view))) @ turn
        if rng is not None and self.rotation:
            x, y, z = np.radians(rng.uniform(-self.rotation, self.rotation, 3))
            turn = _rotation_z(z) @ _rotation_y(y) @ _rotation_x(x) @ turn
        if rng is not None and self.shear:
            turn = _shear(rng.uniform(-self.shear, self.shear, 6)) @ turn
        if rng is not None and self.scale:
            turn = turn * rng.uniform(1 - self.scale, 1 + self.scale)
        moved = (joints - origin) @ turn.T
        if not joints[..., 2].any():
            moved[..., 2] = 0  # what is flat at test is flat in training
        if not self.unit_size:
            return moved
        if self.torso is not None:
            size = _torso(joints, known, *self.torso)
        else:
            size = math.sqrt(np.square((joints - origin)[known]).sum(axis=-1).mean()) if known.any() else 0.0
        return moved / size if size else moved

    def _place(self, joints: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The origin, and the turn to the upright and about the vertical axis."""
        origin, turn = np.zeros(3), np.eye(3)
        if self.center is not None:
            origin = _first(joints, known, self._center).mean(axis=0)
        if self.upright is not None:
            upper, lower = self.upright
            ends = _first(joints, known, (*upper, *lower))
            turn = _to_vertical(ends[: len(upper)].mean(axis=0) - ends[len(upper) :].mean(axis=0))
        if self.align is not None:
            start, end = _first(joints, known, self.align)
            line = turn @ (end - start)
            turn = _rotation_y(math.atan2(line[2], line[0])) @ turn
        return origin, turn


class SkeletonSteps:
    """What `SkeletonTransform` makes of a sequence, of frames as they come: all together are the sequence's.

    Origin and turn are those of the first frame in which a body has all joints that `center`, `align` and
    `upright` name; what comes before stays where it is. Of a sequence whose first frame has them, nothing
    differs.

    Args:
        transform: how joints are moved, without `unit_size` and `length="resample"`, which need all frames.
    """

    def __init__(self, transform: SkeletonTransform) -> None:
        self._transform = transform
        self._placed = False
        self._origin, self._turn = np.zeros(3), np.eye(3)
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # joints and which are known

    def __call__(self, joints: np.ndarray) -> np.ndarray:
        """The steps `(N, D)` of the next frames `(N, bodies, joints, 3)`.

        Raises:
            UserError: as `SkeletonTransform`.
        """
        joints = self._transform._checked(joints)
        known = np.any(joints[..., :3], axis=-1)
        steps = [self._step(*each) for each in zip(joints, known, strict=True)]
        return np.stack(steps).reshape(len(steps), -1).astype("float32")

    def _step(self, joints: np.ndarray, known: np.ndarray) -> np.ndarray:
        transform = self._transform
        names = [*transform._center, *(transform.align or ()), *sum(transform.upright or (), ())]
        if not self._placed and known[:, names].all(axis=-1).any():
            self._origin, self._turn = transform._place(joints[None, ..., :3], known[None])
            self._placed = True
        moved = np.concatenate([(joints[..., :3] - self._origin) @ self._turn.T, joints[..., 3:]], axis=-1)
        moved = np.where(known[..., None], moved, 0)
        before, was = self._before or (moved, known)
        self._before = moved, known
        return transform._seen(np.stack([before, moved]), np.stack([was, known]))[1]


def _steps(places: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The way from the frame before, 0 in the first and where one of both is missing."""
    steps = np.zeros_like(places)
    both = (known[1:] & known[:-1])[..., None]
    steps[1:] = np.where(both, np.diff(places, axis=0), 0)
    return steps


def _posture(places: np.ndarray, known: np.ndarray, center: tuple[int, ...]) -> np.ndarray:
    """Each body relative to its center in the same frame, 0 where one of both is missing."""
    there = known[:, :, list(center)].all(axis=-1, keepdims=True) & known
    return np.where(there[..., None], places - places[:, :, list(center)].mean(axis=2, keepdims=True), 0)


def _distances(places: np.ndarray, known: np.ndarray, ends: Iterable[tuple[int, ...]]) -> np.ndarray:
    """How far each joint is from ends of its body in the same frame, 0 where one of both is missing."""
    return np.stack([np.linalg.norm(_posture(places, known, end), axis=-1) for end in ends], axis=-1)


def _stretch(joints: np.ndarray, least: float, rng: np.random.Generator) -> np.ndarray:
    """Frames one after the other, from `least` of them to all."""
    count = max(1, round(len(joints) * rng.uniform(least, 1)))
    start = int(rng.integers(len(joints) - count + 1))
    return joints[start : start + count]


def _first(joints: np.ndarray, known: np.ndarray, names: Sequence[int]) -> np.ndarray:
    """The named joints in the first frame of the first body that has them all, else zeros."""
    shown = np.all(known[:, :, list(names)], axis=-1)  # (N, bodies)
    body = int(shown.any(axis=0).argmax())
    frame = int(shown[:, body].argmax())
    return joints[frame, body, list(names)] * shown[frame, body]


def _torso(joints: np.ndarray, known: np.ndarray, upper: tuple[int, ...], lower: tuple[int, ...]) -> float:
    """The median length of the trunk, of all frames and bodies that have both of its ends, else 0."""
    shown = known[:, :, [*upper, *lower]].all(axis=-1)  # (N, bodies)
    ends = [joints[:, :, list(end)].mean(axis=2)[shown] for end in (upper, lower)]
    return float(np.median(np.linalg.norm(ends[0] - ends[1], axis=-1))) if shown.any() else 0.0


def _pairs(name: str, pairs: Iterable[Iterable[int]], what: str) -> tuple[tuple[int, int], ...]:
    """Pairs as tuples, if each number is in one of them, once."""
    made = tuple(tuple(pair) for pair in pairs)
    named = [number for pair in made for number in pair]
    if any(len(pair) != 2 for pair in made) or len(set(named)) < len(named) or min(named, default=0) < 0:
        raise UserError(f"`{name}` must be pairs of {what} once. Received: {name}={made}")
    return cast(tuple[tuple[int, int], ...], made)


def _resample(joints: np.ndarray, known: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """`frames` points in even steps from the first frame to the last; a single one is the middle."""
    last, steps = len(joints) - 1, max(frames - 1, 1)
    position = np.arange(frames) * last if frames > 1 else np.array([last // 2])
    return _between(joints, known, position // steps, (position % steps) / steps)


def _at(joints: np.ndarray, known: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is at places in time, in frames."""
    before = np.floor(places).astype(int)
    return _between(joints, known, before, places - before)


def _between(
    joints: np.ndarray, known: np.ndarray, before: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points at shares of the way from frames to the ones behind them."""
    after = np.minimum(before + 1, len(joints) - 1)
    share = shares[:, None, None]  # (frames, 1, 1)
    # A missing joint has no position to interpolate from: the nearer frame counts alone.
    share = np.where(known[before] & known[after], share, share >= 0.5)  # (frames, bodies, joints)
    known = np.where(share < 1, known[before], known[after])
    share = share[..., None]
    return (1 - share) * joints[before] + share * joints[after], known


def _to_vertical(line: np.ndarray) -> np.ndarray:
    """The shortest turn after which a line points along y; none for a line of no length."""
    length = np.linalg.norm(line)
    if not length:
        return np.eye(3)
    x, y, z = line / length
    if y < _DOWN - 1:  # straight down: about z, as what nearly is in a picture
        return _rotation_z(math.pi)
    # Rodrigues about the cross product of the line and y, as long as the sine: 1 + K + K^2 / (1 + cosine).
    k = np.array([[0, -x, 0], [x, 0, z], [0, -z, 0]])
    return np.eye(3) + k + k @ k / (1 + y)


def _shear(factors: np.ndarray) -> np.ndarray:
    """1 on the diagonal and six factors beside it."""
    matrix = np.eye(3)
    matrix[~np.eye(3, dtype=bool)] = factors
    return matrix


def _rotation_x(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _rotation_y(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _rotation_z(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
