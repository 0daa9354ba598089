"""Bodies by name: which joints there are, in which order, and what follows from it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_actrec._suggest import did_you_mean
from keras_actrec.errors import UserError

# Joints that lie in the middle of two others, of bodies that have these and not them.
_BETWEEN = {
    "pelvis": ("left_hip", "right_hip"),
    "neck": ("left_shoulder", "right_shoulder"),
    "shoulder_center": ("left_shoulder", "right_shoulder"),
}


@dataclass(frozen=True)
class Body:
    """The joints of a skeleton in the order in which files have them.

    Left and right are the person's, as all estimators below have them. A place between joints is the mean of
    these: `("left_hip", "right_hip")` is the middle of the hips.

    Attributes:
        name: such as `"coco17"`.
        joints: names, in order.
        bones: pairs of joints, the one nearer to the trunk first.
        center: the place that becomes the origin.
        torso: the upper and the lower end of the trunk, two places; its length is the size of the body.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]
    center: tuple[str, ...]
    torso: tuple[tuple[str, ...], tuple[str, ...]]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Place in the order, 0-based, of each joint."""
        return {joint: number for number, joint in enumerate(self.joints)}

    @property
    def hips(self) -> tuple[int, int]:
        """The right and the left hip, as `SkeletonTransform.align` takes them: x points to the left one."""
        return self.numbers["right_hip"], self.numbers["left_hip"]

    @property
    def hands(self) -> tuple[int, int]:
        """The left and the right hand, or the wrists of a body without hands."""
        end = "hand" if "left_hand" in self.numbers else "wrist"
        return self.numbers[f"left_{end}"], self.numbers[f"right_{end}"]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Each joint of the left and its match on the right, as `SkeletonTransform.mirror` takes them."""
        left = [joint for joint in self.joints if joint.startswith("left_")]
        return tuple((self.numbers[one], self.numbers[f"right_{one.removeprefix('left_')}"]) for one in left)

    @property
    def lines(self) -> tuple[tuple[int, int], ...]:
        """The bones as pairs of numbers, to draw them."""
        return tuple((self.numbers[start], self.numbers[end]) for start, end in self.bones)

    def place(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """The numbers of joints by name.

        Raises:
            UserError: for a name that this body does not have, with the nearest one.
        """
        for name in names:
            if name not in self.numbers:
                raise UserError(f"{self.name} has no joint {name!r}; {did_you_mean(name, self.joints)}")
        return tuple(self.numbers[name] for name in names)


def list_bodies() -> tuple[str, ...]:
    """Names for `body`."""
    return tuple(_BODIES)


def body(name: str) -> Body:
    """A body by its name.

    - `ntu25`: Kinect v2, the sets NTU RGB+D. `kinect20`: Kinect v1, such as Northwestern-UCLA and UTKinect.
    - `coco17`: COCO, of AlphaPose, MMPose, YOLO, HRNet and most others.
    - `openpose18` and `openpose25`: the models COCO and BODY_25 of OpenPose.
    - `mediapipe33`: MediaPipe Pose. `halpe26`: AlphaPose on Halpe.

    Args:
        name: one of `list_bodies()`.

    Raises:
        UserError: for another name.
    """
    if name not in _BODIES:
        hint = did_you_mean(name, _BODIES)
        raise UserError(f"`layout` must be the name of a body; {hint}. Received: layout={name!r}")
    return _BODIES[name]


def map_joints(joints: np.ndarray, source: str, target: str) -> np.ndarray:
    """Joints of one body in the order of another, by name.

    The neck, the middle of the shoulders and the pelvis are means of shoulders or hips where the source does
    not have them. What it has no match for is zeros: missing. A mean of a missing joint is missing too.

    Args:
        joints: array `(..., V, C)` of the body `source`; a joint at exactly 0 is missing.
        source: name of the body that `joints` is of.
        target: name of the body that is asked for.

    Returns:
        Array `(..., V', C)`, of the same type.

    Raises:
        UserError: for an unknown body, or another number of joints than `source` has.
    """
    old, new = body(source), body(target)
    joints = np.asarray(joints)
    if joints.ndim < 2 or joints.shape[-2] != len(old.joints):
        raise UserError(
            f"{source} has {len(old.joints)} joints: (..., {len(old.joints)}, C). Received: {joints.shape}"
        )
    mapped = np.zeros((*joints.shape[:-2], len(new.joints), joints.shape[-1]), joints.dtype)
    for number, name in enumerate(new.joints):
        if name in old.numbers:
            mapped[..., number, :] = joints[..., old.numbers[name], :]
        elif set(_BETWEEN.get(name, ("",))) <= old.numbers.keys():
            ends = joints[..., old.place(_BETWEEN[name]), :]
            known = np.all(np.any(ends, axis=-1), axis=-1)[..., None]
            mapped[..., number, :] = np.where(known, ends.mean(axis=-2), 0)
    return mapped


def _sides(text: str) -> str:
    """Chains of joints of the left, and the same of the right."""
    return f"{text.replace('*', 'left_')}; {text.replace('*', 'right_')}"


def _made(name: str, joints: str, chains: str, center: str, upper: str, lower: str) -> Body:
    """A body of names apart: each chain of joints is as many bones less one."""
    found = [chain.split() for chain in chains.split(";")]
    bones = tuple(pair for chain in found for pair in zip(chain[:-1], chain[1:], strict=True))
    places = tuple(upper.split()), tuple(lower.split())
    return Body(name, tuple(joints.split()), bones, tuple(center.split()), places)


_SHOULDERS, _HIPS = "left_shoulder right_shoulder", "left_hip right_hip"
_LIMBS = _sides("*shoulder *elbow *wrist; *hip *knee *ankle")
_COCO = """
nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow
left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle
"""
_KINECT = """
left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow right_wrist right_hand
left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot
"""
_KINECT_LIMBS = _sides("shoulder_center *shoulder *elbow *wrist *hand; pelvis *hip *knee *ankle *foot")
_OPENPOSE_ARMS = "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist"
_OPENPOSE_LEGS = "right_hip right_knee right_ankle left_hip left_knee left_ankle"
_OPENPOSE_HEAD = "right_eye left_eye right_ear left_ear"

_BODIES = {
    made.name: made
    for made in (
        # The neck of Kinect v2 lies above SpineShoulder, which is where v1 has the middle of the shoulders.
        _made(
            "ntu25",
            f"pelvis spine neck head {_KINECT} shoulder_center "
            "left_hand_tip left_thumb right_hand_tip right_thumb",
            f"pelvis spine shoulder_center neck head; {_KINECT_LIMBS}; "
            + _sides("*hand *hand_tip; *wrist *thumb"),
            "spine",
            "shoulder_center",
            "pelvis",
        ),
        _made(
            "kinect20",
            f"pelvis spine shoulder_center head {_KINECT}",
            f"pelvis spine shoulder_center head; {_KINECT_LIMBS}",
            "pelvis",
            "shoulder_center",
            "pelvis",
        ),
        _made(
            "coco17",
            _COCO,
            f"left_shoulder right_shoulder; left_hip right_hip; {_LIMBS}; "
            + _sides("nose *eye *ear; *shoulder *hip; *shoulder nose"),
            _HIPS,
            _SHOULDERS,
            _HIPS,
        ),
        _made(
            "openpose18",
            f"nose neck {_OPENPOSE_ARMS} {_OPENPOSE_LEGS} {_OPENPOSE_HEAD}",
            "neck nose; " + _sides("neck *shoulder *elbow *wrist; neck *hip *knee *ankle; nose *eye *ear"),
            _HIPS,
            "neck",
            _HIPS,
        ),
        _made(
            "openpose25",
            f"nose neck {_OPENPOSE_ARMS} pelvis {_OPENPOSE_LEGS} {_OPENPOSE_HEAD} "
            "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel",
            "pelvis neck nose; "
            + _sides(
                "neck *shoulder *elbow *wrist; pelvis *hip *knee *ankle; nose *eye *ear; "
                "*ankle *big_toe *small_toe; *ankle *heel"
            ),
            "pelvis",
            "neck",
            "pelvis",
        ),
        _made(
            "mediapipe33",
            "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer "
            "left_ear right_ear left_mouth right_mouth left_shoulder right_shoulder left_elbow right_elbow "
            "left_wrist right_wrist left_pinky right_pinky left_index right_index left_thumb right_thumb "
            "left_hip right_hip left_knee right_knee left_ankle right_ankle left_heel right_heel "
            "left_foot_index right_foot_index",
            f"left_shoulder right_shoulder; left_hip right_hip; left_mouth right_mouth; {_LIMBS}; "
            + _sides(
                "nose *eye_inner *eye *eye_outer *ear; *shoulder *hip; *shoulder nose *mouth; "
                "*wrist *pinky; *wrist *index; "
                "*wrist *thumb; *ankle *heel *foot_index"
            ),
            _HIPS,
            _SHOULDERS,
            _HIPS,
        ),
        _made(
            "halpe26",
            f"{_COCO} head neck pelvis left_big_toe right_big_toe left_small_toe right_small_toe "
            "left_heel right_heel",
            "pelvis neck head nose; "
            + _sides(
                "neck *shoulder *elbow *wrist; pelvis *hip *knee *ankle; nose *eye *ear; "
                "*ankle *big_toe; *ankle *small_toe; *ankle *heel"
            ),
            "pelvis",
            "neck",
            "pelvis",
        ),
    )
}
