"""What the joints of a skeleton are called, and which bones are between them."""

from dataclasses import dataclass

from keras_actrec.data.skeletons import SkeletonForm

_SIDES = """
left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow right_wrist right_hand
left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot
"""
_LIMBS = (
    *((2, 4), (4, 5), (5, 6), (6, 7), (2, 8), (8, 9), (9, 10), (10, 11)),
    *((0, 12), (12, 13), (13, 14), (14, 15), (0, 16), (16, 17), (17, 18), (18, 19)),
)


@dataclass(frozen=True)
class Body:
    """The joints of a skeleton.

    Attributes:
        joints: names, in their order.
        lines: the bones, as pairs of numbers of joints.
    """

    joints: tuple[str, ...]
    lines: tuple[tuple[int, int], ...]


_KINECT20 = Body(
    ("pelvis", "spine", "shoulder_center", "head", *_SIDES.split()), ((0, 1), (1, 2), (2, 3), *_LIMBS)
)
_NTU25 = Body(
    (
        *("pelvis", "spine", "neck", "head", *_SIDES.split(), "shoulder_center"),
        *("left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb"),
    ),
    (
        *((0, 1), (1, 20), (20, 2), (2, 3), (7, 21), (6, 22), (11, 23), (10, 24)),
        *((20 if start == 2 else start, end) for start, end in _LIMBS),
    ),
)
_OF_SETS = {
    "northwestern_ucla": _KINECT20,
    "ntu_rgbd": _NTU25,
    "sysu_3d_hoi": _KINECT20,
    "utkinect": _KINECT20,
}


def body_of(dataset: str, form: SkeletonForm) -> Body | None:
    """What the joints of a set are, None where that is not known."""
    body = _OF_SETS.get(dataset)
    return body if body is not None and len(body.joints) == form.joints else None
