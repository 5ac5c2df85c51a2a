"""NTU RGB+D and NTU RGB+D 120: skeletons of 25 joints in space from a depth camera, one `.skeleton` file each.

A name such as `S001C002P003R002A013.skeleton` tells setup, camera, performer (subject), replication and action. The
file is text: the number of frames; for each frame the number of bodies; for each body a line with its id and nine
states, the number of joints, and a line for each joint: x y z in metres, its place in the depth and the colour
picture, its orientation, and its state of tracking (0 no, 1 inferred, 2 yes).

Protocols: `xsub` trains on 20 subjects (53 of 120), `xview` on cameras 2 and 3, `xset` (120 only) on setups of even
number. What is not trained on is the test. Files listed as having missing skeletons are to be left out: give that
list.

Source: Shahroudy, Liu, Ng, Wang 2016, arXiv:1604.02808, section 4.3; Liu et al. 2019, arXiv:1905.04757, section 4.2;
the format as Matlab/read_skeleton_file.m of shahroudy/NTURGB-D reads it; the numbers of the subjects as MMAction2
lists them (tools/data/skeleton/gen_ntu_rgbd_raw.py at commit 4d6c9347).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32

from tubelet.datasets.annotation_files import read_text
from tubelet.datasets.labelled import Split
from tubelet.datasets.ntu_classes import NTU_CLASSES
from tubelet.datasets.skeleton_sequences import SkeletonSequence, SkeletonSet
from tubelet.errors import DatasetError

FPS = 30.0
NUM_JOINTS = 25
Protocol = Literal["xsub", "xview", "xset"]
# fmt: off
_SUBJECTS_60 = frozenset((1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38))
_SUBJECTS_120 = _SUBJECTS_60 | {
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95,
    97, 98, 100, 103,
}
# fmt: on
_CAMERAS = frozenset((2, 3))
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_BODY_VALUES, _JOINT_VALUES = 10, 12


@dataclass(frozen=True, kw_only=True, slots=True)
class NtuName:
    """What the name of a sample tells; all count from 1."""

    setup: int
    camera: int
    subject: int
    replication: int
    action: int


def parse_ntu_name(name: str) -> NtuName | None:
    """What a name such as S001C002P003R002A013 tells; None for any other."""
    found = _NAME.match(name)
    if found is None:
        return None
    setup, camera, subject, replication, action = (int(number) for number in found.groups())
    return NtuName(setup=setup, camera=camera, subject=subject, replication=replication, action=action)


def ntu_split(name: NtuName, protocol: Protocol, num_classes: Literal[60, 120]) -> Split:
    """Whether a sample is trained on or tested by a protocol.

    Raises:
        ValueError: The protocol is none of this dataset.
    """
    if protocol == "xsub":
        is_trained = name.subject in (_SUBJECTS_60 if num_classes == 60 else _SUBJECTS_120)
    elif protocol == "xview" and num_classes == 60:
        is_trained = name.camera in _CAMERAS
    elif protocol == "xset" and num_classes == 120:
        is_trained = name.setup % 2 == 0
    else:
        allowed = "xsub or xview" if num_classes == 60 else "xsub or xset"
        raise ValueError(f"protocol is {protocol!r}; allowed with {num_classes} classes: {allowed}")
    return "train" if is_trained else "test"


def read_ntu_rgbd(
    root: Path,
    *,
    protocol: Protocol = "xsub",
    num_classes: Literal[60, 120] = 60,
    missing_skeletons: Path | None = None,
    max_people: int = 2,
) -> SkeletonSet:
    """Read all samples of a folder into memory: about 0.2 MB each, one by one with `read_skeleton_file` else.

    Args:
        root: Folder with `.skeleton` files.
        protocol: Which samples are trained on.
        num_classes: 60 reads actions A001 to A060 with the subjects of the first release, 120 all of them.
        missing_skeletons: The dataset's list of samples to leave out.
        max_people: As in `read_skeleton_file`.

    Raises:
        DatasetError: There is no such file, a name is not as described, or a file is damaged.
        ValueError: The protocol is none of this dataset.
    """
    files = sorted(root.glob("*.skeleton"))
    if not files:
        raise DatasetError(f"{root}: there is no .skeleton file in it; give the folder nturgb+d_skeletons")
    listed = _listed(missing_skeletons) if missing_skeletons is not None else set()
    sequences: list[SkeletonSequence] = []
    left_out: list[str] = []
    for path in files:
        name = parse_ntu_name(path.stem)
        if name is None or not 1 <= name.action <= len(NTU_CLASSES):
            raise DatasetError(f"{path}: the name is not such as S001C002P003R002A013.skeleton; take it away")
        if path.stem in listed:
            left_out.append(f"{path.stem}: on the list of missing skeletons")
            continue
        if name.action > num_classes:
            left_out.append(f"{path.stem}: an action beyond the {num_classes}")
            continue
        joints, scores = read_skeleton_file(path, max_people=max_people)
        sequences.append(
            SkeletonSequence(
                id=path.stem,
                joints=joints,
                scores=scores,
                labels=(name.action - 1,),
                group=f"P{name.subject:03d}",
                split=ntu_split(name, protocol, num_classes),
                fps=FPS,
            )
        )
    return SkeletonSet(
        name="NTU RGB+D" if num_classes == 60 else "NTU RGB+D 120",
        classes=NTU_CLASSES[:num_classes],
        sequences=tuple(sequences),
        split_rule=f"the official protocol {protocol}",
        group_rule="the performer (P001, …)"
        + ("" if protocol == "xsub" else ", who is in both splits by this protocol"),
        left_out=tuple(left_out),
    )


def read_skeleton_file(
    path: Path, *, max_people: int = 2
) -> tuple[Float32[np.ndarray, "people time 25 3"], Float32[np.ndarray, "people time 25"]]:
    """Joints and scores of one file.

    Bodies are followed by their ids. Of more than `max_people`, those that move most are kept: the depth camera takes
    furniture for people at times. Those kept are in the order in which they appear.

    Args:
        path: The file.
        max_people: How many bodies to keep at most.

    Returns:
        Metres, 0 where a body is not in a frame; and scores: 0 not tracked or not there, 0.5 inferred, 1 tracked.

    Raises:
        DatasetError: The file is not as described, or has no body in any frame.

    Differs: MMAction2 takes the place of a body within a frame for the person; ids keep people apart who come and go.
    """
    tokens = _Tokens(path)
    num_frames = tokens.count("the number of frames", 1, 100_000)
    bodies: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for frame in range(num_frames):
        for _ in range(tokens.count(f"the number of bodies in frame {frame}", 0, 100)):
            body = tokens.take(_BODY_VALUES)[0]  # 17 digits, more than a float holds
            tokens.count("the number of joints", NUM_JOINTS, NUM_JOINTS)
            values = tokens.numbers(NUM_JOINTS * _JOINT_VALUES).reshape(NUM_JOINTS, _JOINT_VALUES)
            joints, scores = bodies.setdefault(
                body,
                (
                    np.zeros((num_frames, NUM_JOINTS, 3), dtype=np.float32),
                    np.zeros((num_frames, NUM_JOINTS), dtype=np.float32),
                ),
            )
            if not np.isfinite(values[:, :3]).all():
                raise DatasetError(
                    f"{path}: a joint in frame {frame} is nowhere; leave the file out, or take another copy"
                )
            joints[frame], scores[frame] = values[:, :3], values[:, -1] / 2
    tokens.end()
    if not bodies:
        raise DatasetError(
            f"{path}: nobody is in any of its {num_frames} frames; leave it out (list of missing skeletons)"
        )
    kept = set(sorted(bodies, key=lambda body: -_motion(*bodies[body]))[:max_people])
    pairs = [pair for body, pair in bodies.items() if body in kept]
    return np.stack([joints for joints, _ in pairs]), np.stack([scores for _, scores in pairs])


def _motion(joints: np.ndarray, scores: np.ndarray) -> float:
    seen = joints[scores.any(axis=1)]
    return float(seen.std(axis=(0, 1)).sum()) if len(seen) else 0.0


def _listed(path: Path) -> set[str]:
    """Names on a list that begins with sentences."""
    return {line.strip() for line in read_text(path).splitlines() if _NAME.fullmatch(line.strip())}


class _Tokens:
    """The numbers of a file one after another; line ends tell nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokens = read_text(path).split()
        self._place = 0

    def take(self, count: int) -> list[str]:
        taken = self._tokens[self._place : self._place + count]
        if len(taken) < count:
            raise DatasetError(f"{self._path}: ends too early, after {len(self._tokens)} values; take another copy")
        self._place += count
        return taken

    def count(self, what: str, lowest: int, highest: int) -> int:
        (token,) = self.take(1)
        if not token.isdecimal() or not lowest <= int(token) <= highest:
            allowed = str(lowest) if lowest == highest else f"{lowest} to {highest}"
            raise DatasetError(f"{self._path}: {what} is {token!r}; allowed: {allowed}. Take another copy")
        return int(token)

    def numbers(self, count: int) -> Float32[np.ndarray, " count"]:
        try:
            values = np.array(self.take(count), dtype=np.float32)
        except ValueError as error:
            raise DatasetError(
                f"{self._path}: a joint has a value that is no number ({error}); take another copy"
            ) from error
        return values

    def end(self) -> None:
        if self._place < len(self._tokens):
            raise DatasetError(f"{self._path}: goes on after its last frame; take another copy")
