"""Joint sets and the maps between them.

A joint set names the joints of one source of skeletons (a landmark model, an annotation format, motion capture), the
bones between them and which joint is the mirror image of which. `convert` carries points from one set to another by
joint name; joints that a source lacks but that follow from others (the pelvis from the hips, the neck from the
shoulders) are computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class JointSet:
    """Named joints in a fixed order.

    Attributes:
        name: Short name of the set.
        joints: Joint names, unique.
        bones: Pairs of joint indices that are drawn as lines.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"joint set {self.name}: joint names repeat; each joint needs its own name")
        if any(not 0 <= end < len(self.joints) for bone in self.bones for end in bone):
            raise ValueError(f"joint set {self.name}: a bone ends at a joint that does not exist")

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Position of a joint.

        Raises:
            ValueError: The set has no joint of that name.
        """
        if joint not in self.joints:
            raise ValueError(f"joint set {self.name} has no joint {joint!r}; it has: {', '.join(self.joints)}")
        return self.joints.index(joint)

    @property
    def mirror(self) -> tuple[int, ...]:
        """For each joint, the index of its mirror image: `points[..., mirror, :]` swaps left and right."""
        return tuple(self.index(_other_side(joint)) for joint in self.joints)


def _other_side(joint: str) -> str:
    if joint.startswith("left_"):
        return "right_" + joint.removeprefix("left_")
    if joint.startswith("right_"):
        return "left_" + joint.removeprefix("right_")
    return joint


def _pairs(*names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for name in names for side in ("left", "right"))


def _joint_set(name: str, joints: tuple[str, ...], bones: str) -> JointSet:
    """Build a set from bones written as `a-b`; `*-` at both ends stands for the left and the right one."""
    pairs: list[tuple[int, int]] = []
    for bone in bones.split():
        ends = bone.split("-")
        sides = ("left_", "right_") if "*" in bone else ("",)
        pairs += [
            (joints.index(ends[0].replace("*", side)), joints.index(ends[1].replace("*", side))) for side in sides
        ]
    return JointSet(name=name, joints=joints, bones=tuple(pairs))


_LIMBS = _pairs("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_LIMB_BONES = "*shoulder-*elbow *elbow-*wrist *hip-*knee *knee-*ankle *shoulder-*hip"
_TRUNK_BONES = "left_shoulder-right_shoulder left_hip-right_hip"

BLAZEPOSE_33 = _joint_set(
    "blazepose_33",
    (
        "nose",
        *(f"{side}_eye{part}" for side in ("left", "right") for part in ("_inner", "", "_outer")),
        *_pairs("ear", "mouth", "shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
        *_pairs("hip", "knee", "ankle", "heel", "foot_index"),
    ),
    f"{_LIMB_BONES} {_TRUNK_BONES} nose-*eye_inner *eye_inner-*eye *eye-*eye_outer *eye_outer-*ear "
    "left_mouth-right_mouth *wrist-*pinky *wrist-*index *wrist-*thumb *pinky-*index *ankle-*heel *heel-*foot_index "
    "*ankle-*foot_index",
)
"""The 33 landmarks of BlazePose, in the order of its output. Source: Bazarevsky et al. 2020, arXiv:2006.10204, figure
3.
"""

COCO_17 = _joint_set(
    "coco_17",
    ("nose", *_pairs("eye", "ear"), *_LIMBS),
    f"{_LIMB_BONES} {_TRUNK_BONES} nose-*eye *eye-*ear *ear-*shoulder",
)
"""The 17 keypoints of the COCO dataset. Source: Lin et al. 2014, arXiv:1405.0312, and its keypoint annotation format.
"""

BODY_13 = _joint_set("body_13", ("nose", *_LIMBS), f"{_LIMB_BONES} {_TRUNK_BONES}")
"""What BlazePose, COCO and motion capture have in common: the nose and the twelve large joints. The default recogniser
reads these.
"""

HUMANOID_15 = _joint_set(
    "humanoid_15",
    ("pelvis", "neck", "nose", *_LIMBS),
    "pelvis-neck neck-nose neck-*shoulder *shoulder-*elbow *elbow-*wrist pelvis-*hip *hip-*knee *knee-*ankle",
)
"""The joints of the motion-capture humanoid, with the tip of the nose added to its head."""

_DERIVED: dict[str, tuple[str, ...]] = {
    "pelvis": ("left_hip", "right_hip"),
    "neck": ("left_shoulder", "right_shoulder"),
}


def convert(
    points: Float[np.ndarray, "*batch joints axes"], source: JointSet, target: JointSet
) -> Float[np.ndarray, "*batch target_joints axes"]:
    """Points of one joint set as points of another, by joint name.

    The pelvis and the neck are the middle of the hips and of the shoulders where the source does not have them. A third
    value such as a visibility is averaged in the same way.

    Args:
        points: Any number of leading axes, then joints of `source`, then coordinates.
        source: What `points` are.
        target: What is wanted.

    Raises:
        ValueError: `points` has another number of joints than `source`, or a target joint cannot be had from the
            source.
    """
    if points.shape[-2] != len(source):
        raise ValueError(f"points have {points.shape[-2]} joints; joint set {source.name} has {len(source)}")
    columns = []
    for joint in target.joints:
        if joint in source.joints:
            columns.append(points[..., source.joints.index(joint), :])
            continue
        parents = _DERIVED.get(joint, ())
        if not parents or any(parent not in source.joints for parent in parents):
            raise ValueError(f"joint set {source.name} cannot give {joint!r}, which {target.name} asks for")
        columns.append(np.mean([points[..., source.joints.index(parent), :] for parent in parents], axis=0))
    return np.stack(columns, axis=-2).astype(points.dtype, copy=False)
